// SPDX-License-Identifier: GPL-2.0
/*
 * A guest with the module: see guest.h.
 */
#include "guest.h"

/**
 * guest_begin - make a guest, load the module, bind drivers to its devices
 * @g: the guest
 * @cpus: how many CPUs
 * @devices: how many devices, which reach everything; of more than two, the last one
 *	cannot be told apart from the first
 * @window: bytes of window
 * @arena: bytes of arena: bounce mode; 0: window mode
 * @chunks: the host grants the window in chunks, and each group has its own domain
 * @ram: bytes
 */
void guest_begin(struct guest *g, unsigned int cpus, unsigned int devices,
		 u64 window, u64 arena, bool chunks, unsigned long ram)
{
	guest_begin_direct(g, cpus, devices, window, arena, chunks, ram, 0);
}

/* A guest, its host device and others, and no module yet: see guest_begin_direct() */
void guest_plug(struct guest *g, unsigned int cpus, unsigned int devices,
		u64 window, u64 arena, bool chunks, unsigned long ram, u64 limit)
{
	u64 granted = g->limit ?: window;
	unsigned int i;

	memset(g, 0, sizeof(*g));
	shim_init(cpus, ram);
	g->config = (struct host_config){
		.features = (arena ? PV_IOMMU_F_BOUNCE : PV_IOMMU_F_WINDOW) |
			    (chunks ? PV_IOMMU_F_CHUNKS : 0) |
			    (limit ? PV_IOMMU_F_DIRECT | PV_IOMMU_F_LARGE : 0),
		.window_phys = SZ_4G,
		.window_size = window,
		.window_dma = SZ_2M,
		.arena_dma = 3ULL * SZ_4G,
		.arena_size = arena,
		.chunk = host_chunk_size(window, SZ_2M),
		.limit = granted,
		.direct_dma = 16ULL * SZ_4G,
		.direct_limit = limit,
	};
	g->host = host_create(&g->config);
	g->nr_devices = devices;
	for (i = 0; i < devices; i++) {
		struct pci_dev *pdev = shim_device_add(0, PCI_DEVFN(i + 1, 0), 0x00ff00);

		pdev->dma_mask = DMA_BIT_MASK(64);
		pdev->dev.coherent_dma_mask = DMA_BIT_MASK(64);
		pdev->dma_parms.max_segment_size = SZ_1M;
		g->devices[i] = &pdev->dev;
		g->rids[i] = pdev->devfn;
		host_set_group(pdev->devfn, i > 1 && i == devices - 1 ? 1 : i + 1);
	}
}

/**
 * guest_begin_direct - the same, of a host that grants RAM as well
 * @g: the guest
 * @cpus: how many CPUs
 * @devices: how many devices, which reach everything
 * @window: bytes of window
 * @arena: bytes of arena: bounce mode; 0: window mode
 * @chunks: the host grants the window in chunks, and every device has its own domain
 * @ram: bytes
 * @limit: bytes that it grants; 0: none
 */
void guest_begin_direct(struct guest *g, unsigned int cpus, unsigned int devices,
			u64 window, u64 arena, bool chunks, unsigned long ram, u64 limit)
{
	unsigned int i;

	guest_plug(g, cpus, devices, window, arena, chunks, ram, limit);
	if (shim_module_init() || shim_probe_result)
		shim_panic("probe: %d: %s", shim_probe_result, shim_log.last);
	for (i = 0; i < devices; i++) {
		shim_bind(to_pci_dev(g->devices[i]));
		if (!g->devices[i]->dma_ops || !host_attached(g->rids[i]))
			shim_panic("device %u is not attached: %s", i, shim_log.last);
	}
}

/* What guest_plug() has made */
void guest_unplug(void)
{
	shim_free_devices();
	host_destroy();
	shim_exit();
}

void guest_end(struct guest *g)
{
	unsigned int i;

	for (i = 0; i < g->nr_devices; i++)
		shim_unbind(to_pci_dev(g->devices[i]));
	if (host_mappings())
		shim_panic("the host has %u mappings still", host_mappings());
	if (shim_module.refs)
		shim_panic("%d references to the module are left", shim_module.refs);
	shim_module_exit();
	guest_unplug();
}

long long guest_number(const char *file, const char *name)
{
	char text[8192], pattern[64], *p;
	long long value;

	if (shim_debugfs_read(file, text, sizeof(text)) < 0)
		return -1;
	snprintf(pattern, sizeof(pattern), "%s ", name);
	for (p = text; (p = strstr(p, pattern)); p++)
		if ((p == text || p[-1] == '\n') &&
		    sscanf(p + strlen(pattern), "%lli", &value) == 1)
			return value;
	return -1;
}

long guest_emptied(unsigned int group)
{
	char text[16 * SZ_1K], *line;
	unsigned int g;
	long emptied;

	if (shim_debugfs_read("domains", text, sizeof(text)) < 0)
		shim_panic("no domains");
	for (line = strchr(text, '\n'); line; line = strchr(line + 1, '\n')) {
		if (sscanf(line, "%*u %u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %ld", &g,
			   &emptied) == 2 && g == group)
			return emptied;
	}
	return -1;
}

void guest_check(void)
{
	char why[256];

	if (shim_debugfs_read("check", why, sizeof(why)) < 0 || strcmp(why, "ok\n"))
		shim_panic("check says: %s", why);
}
