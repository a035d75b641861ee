// SPDX-License-Identifier: GPL-2.0
/*
 * fuzz-host: a host whose registers and answers are the input, while drivers map,
 * sync and unmap. Their data may be lost; but the module touches nothing that is not
 * its own (the sanitizers watch), does not hang, warns of nothing as its own mistake,
 * gives each page to one at a time, keeps the devices' limits whatever the host has
 * answered, and leaves nothing behind when it goes.
 *
 * With libFuzzer; or, with files as arguments, just those.
 */
#include "guest.h"

#define NR_DEVICES	3
#define NR_HELD		16
#define BUFFER		SZ_64K
#define RAM		SZ_8M
/* Half of it lies above what one of the devices reaches */
#define ARENA_DMA	(SZ_4G - SZ_512K)
/* Its last block is not whole */
#define ARENA_SIZE	(SZ_1M + 3 * PAGE_SIZE)

/* A register that has been read so often for an input is read for ever */
#define MAX_READS	100000

static const u8 *input;
static size_t input_left;

static u64 take(unsigned int bytes)
{
	u64 v = 0;

	bytes = min_t(size_t, bytes, input_left);
	memcpy(&v, input, bytes);
	input += bytes;
	input_left -= bytes;
	return v;
}

/* A smaller quarantine, or most of the time goes into fresh pages */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "quarantine_size_mb=4";
}

/* Some registers, and the status of a request, are lies as the input has it */
static bool lying;

/* The upper halves of registers never read the same, once the input has ended */
static bool restless;

/* Where window and arena are is as the host was told */
static bool places_known;
static unsigned int reads;

/* What each pair of registers was said to be, the upper half that was read first */
static u64 told[PV_IOMMU_REGS_SIZE / 8];
static u32 told_high[PV_IOMMU_REGS_SIZE / 8];

static u32 untrue(u32 value)
{
	switch (take(1) % 4) {
	case 0:
		return 0;
	case 1:
		return value ^ BIT(take(1) % 32);
	case 2:
		return value + (take(1) << PAGE_SHIFT);
	default:
		return take(4);
	}
}

static u32 lie_reg(unsigned int reg, u32 value)
{
	u32 said = value;

	if (++reads > MAX_READS)
		shim_panic("register %#x is read for ever", reg);
	if (lying && !input_left && restless && reg > PV_IOMMU_REG_VERSION && reg & 4)
		said ^= reads;
	else if (lying && !(take(1) % 16))
		said = untrue(value);
	if (said != value && reg < PV_IOMMU_REG_FAULT_COUNT)
		places_known = false;
	if (reg & 4)
		told_high[reg / 8] = said;
	else
		told[reg / 8] = (u64)told_high[reg / 8] << 32 | said;
	return said;
}

static u64 told_of(unsigned int reg)
{
	return told[reg / 8];
}

static void check_place(const char *what, u64 dma, u64 size)
{
	if (!size || (dma | size) % PAGE_SIZE || dma + size - 1 < dma ||
	    (dma + size - 1) >> 52 || (dma < 0xfef00000 && dma + size > 0xfee00000))
		shim_panic("%s at %#llx, %#llx bytes, was taken", what, dma, size);
}

/* Where the host has said that things are, and the module has believed it */
static void check_places(void)
{
	u64 phys = told_of(PV_IOMMU_REG_WINDOW_ADDR);
	u64 size = told_of(PV_IOMMU_REG_WINDOW_SIZE);
	u64 dma = told_of(PV_IOMMU_REG_WINDOW_DMA);
	u64 chunk = told_of(PV_IOMMU_REG_CHUNK_SIZE);
	u64 arena = told_of(PV_IOMMU_REG_ARENA_DMA);
	u64 arena_size = told_of(PV_IOMMU_REG_ARENA_SIZE);

	check_place("window", dma, size);
	if (phys < RAM || phys + size - 1 < phys)
		shim_panic("window at address %#llx was taken", phys);
	if (chunk && (!is_power_of_2(chunk) || chunk < SZ_64K || (dma | size) % chunk))
		shim_panic("chunks of %#llx bytes were taken", chunk);
	/* Asked for only where it is used */
	if (!arena_size)
		return;
	check_place("arena", arena, arena_size);
	if (dma < arena + arena_size && arena < dma + size)
		shim_panic("window and arena at one place were taken");
}

/* Or an answer that never came would be the last one's */
static void asked(const struct pv_iommu_req *req)
{
	if (req->status != PV_IOMMU_S_NONE)
		shim_panic("a request with a status already: %u", req->status);
}

static void lie(struct pv_iommu_req *req)
{
	unsigned int how = lying ? take(1) : 0;

	if (how & 1)
		req->status = take(1) % (PV_IOMMU_S_PAGE + 3);
	if (how & 2)
		req->dma_addr ^= BIT_ULL(take(1) % 64);
	if (how & 4)
		req->dma_addr = ARENA_DMA + (take(2) << PAGE_SHIFT);
	if (how & 8)
		req->group = take(1) % 4;
	if (how & 16)
		req->unmap_errors = take(2);
	if (how & 32)
		req->revoke_errors = take(2);
	if (how & 64)
		req->status = PV_IOMMU_S_NONE;
	/* The whole of it, as it is the host's to write as well */
	if (how & 128 && !(take(1) % 8))
		memset(req, take(1), sizeof(*req));
}

struct held {
	struct device *dev;
	dma_addr_t dma;
	u32 len;
	void *vaddr;
};

static struct held held[NR_HELD];
static struct guest guest;

static void drop(struct held *h)
{
	const struct dma_map_ops *ops = h->dev ? h->dev->dma_ops : NULL;

	if (!h->dev)
		return;
	if (h->vaddr)
		ops->free(h->dev, h->len, h->vaddr, h->dma, 0);
	else
		ops->unmap_phys(h->dev, h->dma, h->len, DMA_BIDIRECTIONAL, 0);
	h->dev = NULL;
}

static bool is_inside(const struct held *h, u64 dma, u64 size)
{
	return h->dma >= dma && h->dma + h->len <= dma + size;
}

/* Whatever the host has said, the device gets an address that it can use */
static void check_address(const struct held *h, struct device *dev)
{
	u64 last = h->dma + h->len - 1;
	unsigned int i;

	if (last > to_pci_dev(dev)->dma_mask)
		shim_panic("%#llx, %#x bytes: not reached", h->dma, h->len);
	if (!h->vaddr && h->dma & (roundup_pow_of_two(h->len) - 1))
		shim_panic("%#llx, %#x bytes: not aligned", h->dma, h->len);
	if (places_known && !is_inside(h, ARENA_DMA, ARENA_SIZE) &&
	    !is_inside(h, SZ_2M, guest.config.window_size))
		shim_panic("%#llx, %#x bytes: nothing is there", h->dma, h->len);
	for (i = 0; i < NR_HELD; i++) {
		if (!held[i].dev || held[i].dma > last ||
		    h->dma > held[i].dma + held[i].len - 1)
			continue;
		/* Blocks of the arena are the host's own: they may overlap, to its harm */
		if (h->dma == held[i].dma || h->dma - SZ_2M < guest.config.window_size)
			shim_panic("%#llx is mapped twice", h->dma);
	}
}

static void map(struct held *h, phys_addr_t phys)
{
	struct device *dev = guest.devices[take(1) % NR_DEVICES];
	const struct dma_map_ops *ops = dev->dma_ops;

	if (!ops || !ops->map_phys || !to_pci_dev(dev)->dev.driver)
		return;
	h->len = 1 + take(2) % BUFFER;
	h->vaddr = NULL;
	if (take(1) % 8) {
		h->dma = ops->map_phys(dev, phys, h->len, DMA_BIDIRECTIONAL, 0);
		if (h->dma == DMA_MAPPING_ERROR)
			return;
	} else {
		h->vaddr = ops->alloc(dev, h->len, &h->dma, GFP_ATOMIC, 0);
		if (!h->vaddr)
			return;
		memset(h->vaddr, 0x11, h->len);
	}
	check_address(h, dev);
	h->dev = dev;
}

static void rebind(struct pci_dev *pdev)
{
	unsigned int i;

	for (i = 0; i < NR_HELD; i++)
		if (held[i].dev == &pdev->dev)
			drop(&held[i]);
	shim_unbind(pdev);
	if (take(1) & 1)
		shim_bind(pdev);
}

static void drive(phys_addr_t phys)
{
	unsigned int steps = 0;

	while (input_left && steps++ < 300) {
		struct held *h = &held[take(1) % NR_HELD];

		shim_set_cpu(take(1) % nr_cpu_ids);
		switch (take(1) % 8) {
		case 0 ... 3:
			if (h->dev)
				drop(h);
			else
				map(h, phys);
			break;
		case 4:
			if (h->dev && h->dev->dma_ops->sync_single_for_cpu)
				h->dev->dma_ops->sync_single_for_cpu(h->dev, h->dma, h->len,
								     DMA_BIDIRECTIONAL);
			break;
		case 5:
			shim_run_work(take(1) * 8);
			break;
		case 6:
			rebind(to_pci_dev(guest.devices[take(1) % NR_DEVICES]));
			break;
		case 7:
			lying = !lying;
			break;
		}
	}
}

/* A probe that fails is well, if it leaves nothing */
static void begin(void)
{
	unsigned int i, flags = take(1);

	shim_init(2, RAM);
	guest.config = (struct host_config){
		.features = (flags & 1 ? PV_IOMMU_F_WINDOW : 0) | PV_IOMMU_F_BOUNCE |
			    (flags & 2 ? PV_IOMMU_F_CHUNKS : 0),
		.window_phys = SZ_1G, .window_size = SZ_2M, .window_dma = SZ_2M,
		.arena_dma = ARENA_DMA, .arena_size = ARENA_SIZE,
		.chunk = SZ_64K, .limit = SZ_2M,
		/* Who was told so believes that it has a chunk, and harms nobody there */
		.no_poison = true,
	};
	host_create(&guest.config);
	for (i = 0; i < NR_DEVICES; i++) {
		struct pci_dev *pdev = shim_device_add(0, PCI_DEVFN(i + 1, 0), 0x00ff00);

		pdev->dma_mask = DMA_BIT_MASK(i ? 64 : 32);
		pdev->dev.coherent_dma_mask = pdev->dma_mask;
		guest.devices[i] = &pdev->dev;
		host_set_group(pdev->devfn, i / 2 + 1);
	}
	host_asked = asked;
	host_tamper = lie;
	host_tamper_reg = lie_reg;
	lying = flags & 4;
	restless = flags & 8;
	places_known = true;
	reads = 0;
	memset(told, 0, sizeof(told));
	memset(told_high, 0, sizeof(told_high));
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);
int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct page *page;
	unsigned int i;

	if (size > 4096)
		return 0;
	input = data;
	input_left = size;
	memset(held, 0, sizeof(held));
	begin();
	page = shim_alloc_pages(GFP_ATOMIC | __GFP_ZERO, PFN_UP(BUFFER));
	if (shim_module_init())
		shim_panic("no module");
	if (!shim_probe_result) {
		check_places();
		for (i = 0; i < NR_DEVICES; i++)
			shim_bind(to_pci_dev(guest.devices[i]));
		drive(page_to_phys(page));
		lying = false;
		for (i = 0; i < NR_HELD; i++)
			drop(&held[i]);
		for (i = 0; i < NR_DEVICES; i++)
			shim_unbind(to_pci_dev(guest.devices[i]));
	}
	shim_free_pages(page, PFN_UP(BUFFER));
	shim_module_exit();
	if (shim_log.warns)
		shim_panic("%lu WARN()s: %s", shim_log.warns, shim_log.last);
	shim_free_devices();
	host_destroy();
	shim_exit();
	return 0;
}
