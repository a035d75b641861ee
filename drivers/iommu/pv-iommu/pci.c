// SPDX-License-Identifier: GPL-2.0
/*
 * pv-iommu: the host device
 *
 * Nothing that it says is believed: the window has to be memory that is not
 * the kernel's, the DMA addresses have to be ones that devices can use, and the
 * features ones that were asked for.
 */
#include <linux/cc_platform.h>
#include <linux/crash_dump.h>
#include <linux/dma-mapping.h>
#include <linux/io-64-nonatomic-lo-hi.h>
#include <linux/ioport.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/suspend.h>

#include "pviommu.h"

/* Interrupt messages of x86 are writes to here: no memory can be */
#define PVIOMMU_MSI_START	0xfee00000ULL
#define PVIOMMU_MSI_END		0xfeefffffULL

/* As much of the window as a crash kernel uses */
#define PVIOMMU_KDUMP_WINDOW	SZ_32M

/* The one host device, while it is bound */
struct pviommu_host *pviommu_host;

static u32 pviommu_read32(struct pviommu_host *host, unsigned int reg)
{
	return ioread32(host->regs + reg);
}

/* A counter's upper half changes once while it is read; a hostile host's, for ever */
#define PVIOMMU_READ_TRIES	4

/**
 * pviommu_read64 - read a register pair
 * @host: the host device
 * @reg: PV_IOMMU_REG_*
 *
 * Return: the value; of a counter, one that it had while it was read. A host whose
 * registers never read the same gets away with any.
 */
u64 pviommu_read64(struct pviommu_host *host, unsigned int reg)
{
	unsigned int tries = PVIOMMU_READ_TRIES;
	u32 lo, hi, again;

	again = pviommu_read32(host, reg + 4);
	do {
		hi = again;
		lo = pviommu_read32(host, reg);
		again = pviommu_read32(host, reg + 4);
	} while (again != hi && --tries);
	return (u64)hi << 32 | lo;
}

static int pviommu_check_range(struct pviommu_host *host, const char *what,
			       u64 dma, u64 size)
{
	u64 last;

	if (!size || !IS_ALIGNED(dma | size, PAGE_SIZE) ||
	    check_add_overflow(dma, size - 1, &last) ||
	    last > DMA_BIT_MASK(52) ||
	    (dma <= PVIOMMU_MSI_END && last >= PVIOMMU_MSI_START)) {
		pci_err(host->pdev, "%s at DMA address %#llx, %#llx bytes, cannot be; check dma-base= and arena-base= of the host device\n",
			what, dma, size);
		return -EINVAL;
	}
	return 0;
}

/* Each of its pages has a slot from the start, whether anything is mapped or not */
static int pviommu_check_arena(struct pviommu_host *host, u64 dma, u64 size)
{
	u64 slots = (size >> PAGE_SHIFT) * sizeof(struct pviommu_slot);
	int ret = pviommu_check_range(host, "arena", dma, size);

	if (!ret && slots > (u64)totalram_pages() << PAGE_SHIFT >> 3) {
		pci_err(host->pdev, "bookkeeping of an arena of %#llx bytes would take more than an eighth of the memory; lower arena-size= of the host device\n",
			size);
		return -ENOMEM;
	}
	return ret;
}

/* Choose a mode that the host offers and the user wants */
static int pviommu_choose(struct pviommu_host *host)
{
	u64 offered = pviommu_read64(host, PV_IOMMU_REG_HOST_FEATURES);
	bool window = offered & PV_IOMMU_F_WINDOW;
	bool bounce = offered & PV_IOMMU_F_BOUNCE;

	if (pviommu_mode == PVIOMMU_MODE_WINDOW && !window) {
		pci_err(host->pdev, "mode=window, but the host lets no streaming DMA into the window (hw-iommu=off); use mode=auto or mode=bounce\n");
		return -EOPNOTSUPP;
	}
	if (pviommu_mode == PVIOMMU_MODE_BOUNCE && !bounce) {
		pci_err(host->pdev, "mode=bounce, but the host has no arena (arena-size=0); use mode=auto or mode=window\n");
		return -EOPNOTSUPP;
	}
	if (!window && !bounce) {
		pci_err(host->pdev, "the host offers features %#llx, none of which is known\n",
			offered);
		return -EOPNOTSUPP;
	}

	host->mode = pviommu_mode;
	if (host->mode == PVIOMMU_MODE_AUTO)
		host->mode = window ? PVIOMMU_MODE_WINDOW : PVIOMMU_MODE_BOUNCE;
	host->features = host->mode == PVIOMMU_MODE_WINDOW ? PV_IOMMU_F_WINDOW :
							     PV_IOMMU_F_BOUNCE;
	host->features |= offered & PV_IOMMU_F_CHUNKS;
	/* A crash kernel has no memory for tables of all that there is */
	if (offered & PV_IOMMU_F_CHUNKS && !is_kdump_kernel())
		host->features |= offered & PV_IOMMU_F_DIRECT;
	if (host->features & PV_IOMMU_F_DIRECT)
		host->features |= offered & PV_IOMMU_F_LARGE;
	/* For devices that do not reach the window */
	if (pviommu_mode != PVIOMMU_MODE_WINDOW &&
	    (offered & PV_IOMMU_F_HOST_PHYS ||
	     pviommu_read64(host, PV_IOMMU_REG_ARENA_COHERENT)))
		host->features |= offered & PV_IOMMU_F_BOUNCE;
	if (offered & PV_IOMMU_F_HOST_PHYS) {
		host->features |= PV_IOMMU_F_HOST_PHYS;
		pci_warn(host->pdev, "nothing confines the devices: their DMA addresses are the host's own, and whoever drives an assigned one reaches all of the host's memory\n");
	}
	return 0;
}

/* Not all ones, which a device answers that is gone */
static bool pviommu_is_enabled(struct pviommu_host *host)
{
	return pviommu_read32(host, PV_IOMMU_REG_CONTROL) == PV_IOMMU_CTL_ENABLE;
}

/**
 * pviommu_host_enable - reset the host device and agree on features
 * @host: the host device, with its features chosen
 *
 * Every device is detached afterwards, and reaches nothing but if it is exempt.
 *
 * Context: process, or noirq resume.
 * Return: 0, or -EIO when the host does not accept.
 */
int pviommu_host_enable(struct pviommu_host *host)
{
	iowrite32(PV_IOMMU_CTL_RESET, host->regs + PV_IOMMU_REG_CONTROL);
	iowrite32(lower_32_bits(host->features),
		  host->regs + PV_IOMMU_REG_GUEST_FEATURES);
	iowrite32(upper_32_bits(host->features),
		  host->regs + PV_IOMMU_REG_GUEST_FEATURES + 4);
	pviommu_exempt_all(host);
	iowrite32(PV_IOMMU_CTL_ENABLE, host->regs + PV_IOMMU_REG_CONTROL);
	if (!pviommu_is_enabled(host)) {
		pci_err(host->pdev, "host does not accept features %#llx\n",
			host->features);
		return -EIO;
	}
	return 0;
}

/* The window's memory: bounced data is copied there, so it has to be cached */
static void pviommu_check_cached(struct pviommu_host *host)
{
#ifdef CONFIG_X86
	unsigned int level;
	pte_t *pte = lookup_address((unsigned long)host->window.virt, &level);

	if (!pte || pte_flags(*pte) & (_PAGE_PCD | _PAGE_PWT))
		pci_warn(host->pdev, "the window is not mapped write-back: copies will be slow; has the firmware covered it by an MTRR?\n");
#endif
}

static int pviommu_map_window(struct pviommu_host *host)
{
	struct pviommu_window *w = &host->window;
	u64 last;

	w->phys = pviommu_read64(host, PV_IOMMU_REG_WINDOW_ADDR);
	w->size = pviommu_read64(host, PV_IOMMU_REG_WINDOW_SIZE);
	/* Bookkeeping for more would not fit what a crash kernel has to itself */
	if (is_kdump_kernel())
		w->size = min_t(u64, w->size, PVIOMMU_KDUMP_WINDOW);
	if (!w->size || !IS_ALIGNED(w->phys | w->size, SZ_2M) ||
	    check_add_overflow((u64)w->phys, w->size - 1, &last) ||
	    region_intersects(w->phys, w->size, IORESOURCE_SYSTEM_RAM,
			      IORES_DESC_NONE) != REGION_DISJOINT) {
		pci_err(host->pdev, "window at %pap, %#llx bytes, cannot be\n",
			&w->phys, w->size);
		return -EINVAL;
	}

	/* Seen in /proc/iomem, and nobody else's */
	if (!request_mem_region(w->phys, w->size, "pv_iommu window")) {
		pci_err(host->pdev, "window at %pap, %#llx bytes, is in use by somebody else; see /proc/iomem, and choose another memaddr= for the host device\n",
			&w->phys, w->size);
		return -EBUSY;
	}
	w->claimed = true;

	w->pgmap.type = MEMORY_DEVICE_GENERIC;
	w->pgmap.range.start = w->phys;
	w->pgmap.range.end = last;
	w->pgmap.nr_range = 1;
	w->virt = memremap_pages(&w->pgmap, dev_to_node(&host->pdev->dev));
	if (IS_ERR(w->virt)) {
		int ret = PTR_ERR(w->virt);

		pci_err(host->pdev, "window at %pap, %#llx bytes, cannot be mapped: error %d\n",
			&w->phys, w->size, ret);
		w->virt = NULL;
		return ret;
	}
	pviommu_check_cached(host);
	return 0;
}

/*
 * A chunk's pages, as a power of two: what the host says; if it says nothing, what it
 * would say (spec.rst). -EINVAL if that cannot be.
 */
static int pviommu_chunk_shift(struct pviommu_host *host, u64 dma)
{
	u64 size = rounddown_pow_of_two(host->window.size / 32);

	if (dma)
		size = min(size, 1ULL << __ffs64(dma));
	size = clamp_t(u64, size, PAGE_SIZE << PVIOMMU_CHUNK_ORDER_MIN,
		       PAGE_SIZE << PVIOMMU_CHUNK_ORDER_MAX);
	if (host->features & PV_IOMMU_F_CHUNKS)
		size = pviommu_read64(host, PV_IOMMU_REG_CHUNK_SIZE);

	if (!is_power_of_2(size) || size < PAGE_SIZE << PVIOMMU_CHUNK_ORDER_MIN ||
	    size > PAGE_SIZE << PVIOMMU_CHUNK_ORDER_MAX ||
	    !IS_ALIGNED(dma | host->window.size, size)) {
		pci_err(host->pdev, "a window of %#llx bytes at DMA address %#llx cannot be divided into chunks of %#llx; set dma-base= of the host device to a multiple of 2 MiB\n",
			host->window.size, dma, size);
		return -EINVAL;
	}
	return ilog2(size) - PAGE_SHIFT;
}

static bool pviommu_overlaps(struct pviommu_space *sp, u64 dma, u64 size)
{
	return sp->size && dma < sp->dma + sp->size && sp->dma < dma + size;
}

/* Where the guest's own pages are, if they can be granted */
static int pviommu_init_direct(struct pviommu_host *host)
{
	u64 dma, size;
	int ret;

	if (!(host->features & PV_IOMMU_F_DIRECT)) {
		if (pviommu_ram_cache_budget())
			pci_warn(host->pdev, "direct_cache= is not used: the host offers no direct mappings; give the host device direct-limit=\n");
		return 0;
	}
	dma = pviommu_read64(host, PV_IOMMU_REG_DIRECT_DMA);
	size = pviommu_read64(host, PV_IOMMU_REG_DIRECT_SIZE);
	ret = pviommu_check_range(host, "guest RAM", dma, size);
	if (ret)
		return ret;
	/* Queued revokes have 32 bits of frame number */
	if (size >> PAGE_SHIFT > U32_MAX ||
	    pviommu_overlaps(&host->window.space, dma, size) ||
	    pviommu_overlaps(&host->arena, dma, size)) {
		pci_err(host->pdev, "guest RAM at DMA address %#llx, %#llx bytes, cannot be; leave direct-base= of the host device out\n",
			dma, size);
		return -EINVAL;
	}
	host->direct_dma = dma;
	host->direct_size = size;
	host->max_cached = pviommu_ram_cache_budget();
	if (host->max_cached && !pviommu_ram_cache_offered(host)) {
		pci_warn(host->pdev, "direct_cache= is not used: the host grants no 2 MiB at once; update it\n");
		host->max_cached = 0;
	}
	pviommu_direct_setup(host);
	return 0;
}

/*
 * What dma_max_mapping_size() says. There is to be room for a few such mappings at once;
 * and in the one chunk that a domain may have, beside what stays, for one. Drivers that
 * give up what has found no room a few times, as libata does, make none larger.
 */
static void pviommu_choose_largest(struct pviommu_host *host, u64 arena_size)
{
	struct pviommu_window *w = &host->window;
	unsigned int shift = w->space.shift + PAGE_SHIFT;
	u64 most = PVIOMMU_MAX_MAPPING;

	if (host->features & PV_IOMMU_F_BOUNCE)
		most = min(most, arena_size / 8);
	if (host->mode == PVIOMMU_MODE_WINDOW) {
		most = min(most, ((u64)w->limit << shift) / 16);
		/* Who grants none has granted all of it to the one domain that there is */
		if (host->features & PV_IOMMU_F_CHUNKS)
			most = min(most, BIT_ULL(shift) / 2);
	}
	host->max_mapping = rounddown_pow_of_two(max_t(u64, most, PAGE_SIZE));
}

static int pviommu_init_spaces(struct pviommu_host *host)
{
	u64 dma = pviommu_read64(host, PV_IOMMU_REG_WINDOW_DMA), arena_size = 0;
	struct pviommu_window *w = &host->window;
	int ret;

	ret = pviommu_check_range(host, "window", dma, w->size);
	if (!ret)
		ret = pviommu_chunk_shift(host, dma);
	if (ret >= 0)
		ret = pviommu_space_init(&w->space, dma, w->size, ret);
	if (!ret)
		ret = pviommu_domains_init(host);
	if (ret)
		return ret;

	if (host->features & PV_IOMMU_F_BOUNCE) {
		arena_size = pviommu_read64(host, PV_IOMMU_REG_ARENA_SIZE);
		dma = pviommu_read64(host, PV_IOMMU_REG_ARENA_DMA);
		ret = pviommu_check_arena(host, dma, arena_size);
		if (!ret && pviommu_overlaps(&w->space, dma, arena_size)) {
			pci_err(host->pdev, "arena at DMA address %#llx, %#llx bytes, is in the window; leave arena-base= of the host device out\n",
				dma, arena_size);
			ret = -EINVAL;
		}
		if (!ret)
			ret = pviommu_space_init(&host->arena, dma, arena_size,
						 PVIOMMU_CHUNK_ORDER_MAX);
		if (!ret)
			ret = pviommu_space_populate(&host->arena);
		if (ret)
			return ret;
		pviommu_low_init(host);
		arena_size -= (u64)host->low.npages << PAGE_SHIFT;
	}
	pviommu_choose_largest(host, arena_size);
	return pviommu_init_direct(host);
}

static void pviommu_host_free(struct pviommu_host *host)
{
	if (host->channel)
		pviommu_channels_exit(host);
	pviommu_domains_exit(host);
	pviommu_space_exit(&host->window.space);
	pviommu_low_exit(host);
	pviommu_space_exit(&host->arena);
	if (host->window.virt)
		memunmap_pages(&host->window.pgmap);
	if (host->window.claimed)
		release_mem_region(host->window.phys, host->window.size);
	kfree(host);
}

/* Nobody finds it any more, and nobody has anything of it */
static void pviommu_host_drop(struct pviommu_host *host)
{
	pviommu_host = NULL;
	pviommu_host_free(host);
}

/*
 * An image of memory has not the window, and with it what drivers have in there.
 * This is asked before anything is frozen; nobody is to come after it.
 */
static int pviommu_pm_notify(struct notifier_block *nb, unsigned long action,
			     void *unused)
{
	struct pviommu_host *host = container_of(nb, struct pviommu_host, pm_notifier);

	switch (action) {
	case PM_HIBERNATION_PREPARE:
		if (pviommu_forbid_attach(host))
			break;
		pci_err(host->pdev, "hibernation refused: it would lose what drivers have in the window; suspend to RAM, or unbind the drivers of the devices that are attached before\n");
		return notifier_from_errno(-EBUSY);
	case PM_POST_HIBERNATION:
		pviommu_permit_attach(host);
		break;
	}
	return NOTIFY_DONE;
}

static int pviommu_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct pviommu_host *host;
	u32 magic, version;
	int ret;

	/* One that was removed by hand is forgotten when its last memory is free */
	if (pviommu_host && !pviommu_host->pdev && !pviommu_has_orphans())
		pviommu_host_drop(pviommu_host);
	if (pviommu_host) {
		if (pviommu_host->pdev)
			pci_err(pdev, "there is one already; one host device serves all\n");
		else
			pci_err(pdev, "drivers that are gone have memory of the one that was removed still; close what uses their devices\n");
		return -EBUSY;
	}
	if (cc_platform_has(CC_ATTR_GUEST_MEM_ENCRYPT)) {
		pci_err(pdev, "the window of a guest with encrypted memory would be plain text to the host; not supported\n");
		return -EOPNOTSUPP;
	}

	host = kzalloc(sizeof(*host), GFP_KERNEL);
	if (!host)
		return -ENOMEM;
	host->pdev = pdev;
	mutex_init(&host->lock);
	INIT_LIST_HEAD(&host->devices);

	ret = pcim_enable_device(pdev);
	if (ret)
		goto err;
	host->regs = pcim_iomap(pdev, PV_IOMMU_BAR_REGS, PV_IOMMU_REGS_SIZE);
	if (!host->regs) {
		ret = -ENOMEM;
		goto err;
	}
	/* A port write is the cheaper exit, but ports may not have been assigned */
	host->doorbell = host->regs + PV_IOMMU_REG_DOORBELL;
	if (pci_resource_len(pdev, PV_IOMMU_BAR_DOORBELL) &&
	    !(pci_resource_flags(pdev, PV_IOMMU_BAR_DOORBELL) & IORESOURCE_UNSET)) {
		void __iomem *port = pcim_iomap(pdev, PV_IOMMU_BAR_DOORBELL,
						PV_IOMMU_DOORBELL_SIZE);

		if (port)
			host->doorbell = port;
	}

	magic = pviommu_read32(host, PV_IOMMU_REG_MAGIC);
	version = pviommu_read32(host, PV_IOMMU_REG_VERSION);
	if (magic != PV_IOMMU_MAGIC || PV_IOMMU_VERSION_MAJOR(version) !=
				       PV_IOMMU_VERSION_MAJOR(PV_IOMMU_VERSION)) {
		pci_err(pdev, "magic %#x, version %#x: this driver knows %#x, %#x; update the older of the two\n",
			magic, version, PV_IOMMU_MAGIC, PV_IOMMU_VERSION);
		ret = -ENODEV;
		goto err;
	}

	ret = pviommu_choose(host);
	if (!ret)
		ret = pviommu_map_window(host);
	if (!ret)
		ret = pviommu_init_spaces(host);
	if (!ret)
		ret = pviommu_channels_init(host);
	if (!ret)
		ret = pviommu_host_enable(host);
	if (ret)
		goto err;

	pviommu_host = host;
	pci_set_drvdata(pdev, host);
	ret = pviommu_ram_cache_watch(host);
	if (ret)
		goto err_reset;
	ret = pviommu_attach_init(host);
	if (ret)
		goto err_unwatch;
	host->pm_notifier.notifier_call = pviommu_pm_notify;
	register_pm_notifier(&host->pm_notifier);
	pviommu_debugfs_init(host);

	pci_info(pdev, "%s mode, window of %llu MiB at %pap, DMA address %#llx\n",
		 pviommu_mode_name(host->mode), host->window.size / SZ_1M,
		 &host->window.phys, host->window.space.dma);
	return 0;

err_unwatch:
	pviommu_ram_cache_unwatch(host);
err_reset:
	iowrite32(PV_IOMMU_CTL_RESET, host->regs + PV_IOMMU_REG_CONTROL);
	pviommu_host = NULL;
err:
	pviommu_host_free(host);
	return ret;
}

static void pviommu_remove(struct pci_dev *pdev)
{
	struct pviommu_host *host = pci_get_drvdata(pdev);

	pviommu_debugfs_exit();
	unregister_pm_notifier(&host->pm_notifier);
	pviommu_attach_exit(host);
	pviommu_ram_cache_unwatch(host);
	pviommu_domains_stop(host);
	iowrite32(PV_IOMMU_CTL_RESET, host->regs + PV_IOMMU_REG_CONTROL);
	pviommu_channels_exit(host);

	/* Not at module exit: each holds the module */
	if (pviommu_has_orphans()) {
		pci_warn(pdev, "removed while drivers that are gone have coherent memory still; the window stays until they have freed it\n");
		host->pdev = NULL;
		return;
	}
	pviommu_host_drop(host);
}

/*
 * The devices are silent; what they have queued to be unmapped would be unknown
 * to a host device that has been reset in the meantime.
 */
static int pviommu_suspend_noirq(struct device *dev)
{
	struct pviommu_host *host = dev_get_drvdata(dev);

	pviommu_flush(host);
	pviommu_attach_flush(host);
	return 0;
}

/* To a host that has forgotten all */
static int pviommu_say_anew(struct pviommu_host *host)
{
	int ret = pviommu_host_enable(host);

	if (!ret)
		return pviommu_reattach_all(host);
	pviommu_cut_off_all(host, false);
	return ret;
}

/* After S3 the host device has been reset, after s2idle it has not */
static int pviommu_resume_noirq(struct device *dev)
{
	struct pviommu_host *host = dev_get_drvdata(dev);

	return pviommu_is_enabled(host) ? 0 : pviommu_say_anew(host);
}

/* Another kernel has had the host device in the meantime, whatever it says */
static int pviommu_restore_noirq(struct device *dev)
{
	return pviommu_say_anew(dev_get_drvdata(dev));
}

/* All devices are awake; their drivers may have said a word to them, but not many have */
static int pviommu_resume_early(struct device *dev)
{
	struct pviommu_host *host = dev_get_drvdata(dev);

	if (!pviommu_is_enabled(host))
		pviommu_cut_off_all(host, true);
	return 0;
}

static const struct dev_pm_ops pviommu_pm_ops = {
	.suspend_noirq = pviommu_suspend_noirq,
	.resume_noirq = pviommu_resume_noirq,
	.freeze_noirq = pviommu_suspend_noirq,
	.thaw_noirq = pviommu_resume_noirq,
	.poweroff_noirq = pviommu_suspend_noirq,
	.restore_noirq = pviommu_restore_noirq,
	.resume_early = pviommu_resume_early,
};

/*
 * The next kernel may not know of us, or its drivers may come first: devices that
 * are attached still would take its addresses for the window's. Those that are
 * served have been shut down before us.
 */
static void pviommu_shutdown(struct pci_dev *pdev)
{
	struct pviommu_host *host = pci_get_drvdata(pdev);

	if (system_state != SYSTEM_RESTART)
		return;
	iowrite32(PV_IOMMU_CTL_RESET, host->regs + PV_IOMMU_REG_CONTROL);
	pci_notice(pdev, "devices reach no memory until the next kernel's pv_iommu attaches them or the machine is reset\n");
}

static const struct pci_device_id pviommu_ids[] = {
	{ PCI_DEVICE(PV_IOMMU_PCI_VENDOR_ID, PV_IOMMU_PCI_DEVICE_ID) },
	{ }
};
MODULE_DEVICE_TABLE(pci, pviommu_ids);

static struct pci_driver pviommu_driver = {
	.name = "pv_iommu",
	.id_table = pviommu_ids,
	.probe = pviommu_probe,
	.remove = pviommu_remove,
	.shutdown = pviommu_shutdown,
	.dev_groups = pviommu_host_groups,
	.driver = {
		.pm = pm_sleep_ptr(&pviommu_pm_ops),
		/* Devices that it serves depend on it, and it must serve them early */
		.suppress_bind_attrs = true,
		.probe_type = PROBE_FORCE_SYNCHRONOUS,
	},
};

/**
 * pviommu_pci_register - look for the host device, now and later
 *
 * Context: process; sleeps.
 * Return: 0 or a negative errno; a host that has no such device is no error.
 */
int pviommu_pci_register(void)
{
	return pci_register_driver(&pviommu_driver);
}

/**
 * pviommu_pci_unregister - give the host device up
 *
 * Context: process; sleeps. No device is attached: each holds the module.
 */
void pviommu_pci_unregister(void)
{
	pci_unregister_driver(&pviommu_driver);
	/* Who gave up the module's last reference, in attach.c, may not have returned yet */
	synchronize_rcu_tasks();
	/* Removed before by hand, when it could not go yet */
	if (pviommu_host)
		pviommu_host_drop(pviommu_host);
}
