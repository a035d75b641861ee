// SPDX-License-Identifier: GPL-2.0
/*
 * pviommu_bench: what map, sync and unmap cost, by the DMA API alone
 *
 * Binds to QEMU's edu device, for its struct device; the device itself never
 * does DMA here. The module knows nothing of what serves the DMA API, so that
 * all schemes are measured by the same code.
 *
 *	echo single BYTES DIR DEPTH ROUNDS >/sys/kernel/debug/pviommu_bench/run
 *	echo sg PAGES DIR DEPTH ROUNDS >/sys/kernel/debug/pviommu_bench/run
 *	echo frag PERCENT MIB STEPS >/sys/kernel/debug/pviommu_bench/run
 *	cat /sys/kernel/debug/pviommu_bench/result
 *
 * DIR is to, from or both. A round maps DEPTH buffers, syncs each of them and
 * unmaps them, with IRQs off, so that nothing else runs in between. The unit is
 * that of get_cycles(): instructions, where QEMU runs with -icount shift=0.
 * What the loop and the reading of the clock cost is measured in each round as
 * well ("loop"), and so is a plain memcpy() of the same buffers ("copy").
 *
 * Around maps, syncs and unmaps the module writes the phase's number to a
 * register of the device. That does nothing but show up in QEMU's trace, where
 * whoever counts exits can tell the phases apart.
 */
#include <linux/debugfs.h>
#include <linux/dma-mapping.h>
#include <linux/io.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/prandom.h>
#include <linux/scatterlist.h>
#include <linux/seq_file.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/timex.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

/* edu's "liveness check": a register that holds what was written to it */
#define EDU_REG_MARKER		0x04

#define PVB_MAX_BYTES		SZ_4M
#define PVB_MAX_PAGES		256
#define PVB_MAX_DEPTH		64
#define PVB_MAX_ROUNDS		100000
/* Mappings before those that count */
#define PVB_WARM_UP		128
#define PVB_MAX_LIVE		8192

enum pvb_phase {
	PVB_IDLE,
	PVB_LOOP,
	PVB_COPY,
	PVB_MAP,
	PVB_SYNC,
	PVB_UNMAP,
	PVB_NR_PHASES
};

/**
 * struct pvb - the benchmark
 * @pdev: the edu device
 * @regs: its BAR 0
 * @lock: one run at a time; @result
 * @memory: what is mapped: PVB_MAX_BYTES, contiguous
 * @copy: where the plain memcpy goes, the same size
 * @page: PVB_MAX_PAGES pages of @memory, none beside the one before
 * @table: scatterlists of a round
 * @dma: addresses of a round
 * @nents: what dma_map_sg() returned, for a round
 * @row: number of the measurement, in the markers
 * @depth: mappings in a round
 * @bytes: size of a mapping
 * @pages: entries of a list; 0: single mappings
 * @dir: direction
 * @failures: mappings refused
 * @segments: DMA segments of one mapping
 * @identity: the DMA address was the physical one
 * @sum: of each phase
 * @result: the last run's, as text
 */
struct pvb {
	struct pci_dev *pdev;
	void __iomem *regs;
	struct mutex lock;		/* one run at a time; result */
	void *memory;
	void *copy;
	struct page *page[PVB_MAX_PAGES];
	struct scatterlist *table[PVB_MAX_DEPTH];
	dma_addr_t dma[PVB_MAX_DEPTH];
	int nents[PVB_MAX_DEPTH];
	unsigned int row;
	unsigned int depth;
	size_t bytes;
	unsigned int pages;
	enum dma_data_direction dir;
	unsigned int failures;
	unsigned int segments;
	bool identity;
	u64 sum[PVB_NR_PHASES];
	char result[400];
};

static struct pvb *pvb;
static DEFINE_MUTEX(pvb_probe_lock);	/* pvb itself */

/* ---- phases; each goes once over the mappings of a round ---- */

static void *pvb_buffer(struct pvb *b, unsigned int i)
{
	return b->memory + (i * b->bytes) % PVB_MAX_BYTES;
}

static void pvb_single_loop(struct pvb *b, struct device *dev)
{
	unsigned int i;

	for (i = 0; i < b->depth; i++)
		WRITE_ONCE(b->dma[i], (unsigned long)pvb_buffer(b, i));
}

static void pvb_single_copy(struct pvb *b, struct device *dev)
{
	unsigned int i;

	for (i = 0; i < b->depth; i++)
		memcpy(b->copy, pvb_buffer(b, i), b->bytes);
}

static void pvb_single_map(struct pvb *b, struct device *dev)
{
	unsigned int i;

	for (i = 0; i < b->depth; i++)
		b->dma[i] = dma_map_single_attrs(dev, pvb_buffer(b, i), b->bytes,
						 b->dir, DMA_ATTR_NO_WARN);
}

static void pvb_single_sync(struct pvb *b, struct device *dev)
{
	unsigned int i;

	for (i = 0; i < b->depth; i++) {
		if (b->dir != DMA_TO_DEVICE)
			dma_sync_single_for_cpu(dev, b->dma[i], b->bytes, b->dir);
		if (b->dir != DMA_FROM_DEVICE)
			dma_sync_single_for_device(dev, b->dma[i], b->bytes, b->dir);
	}
}

static void pvb_single_unmap(struct pvb *b, struct device *dev)
{
	unsigned int i;

	for (i = 0; i < b->depth; i++)
		dma_unmap_single(dev, b->dma[i], b->bytes, b->dir);
}

static void pvb_sg_loop(struct pvb *b, struct device *dev)
{
	unsigned int i;

	for (i = 0; i < b->depth; i++)
		WRITE_ONCE(b->nents[i], (long)b->table[i]);
}

static void pvb_sg_copy(struct pvb *b, struct device *dev)
{
	/* Not a constant: the compiler's own copy is not what is compared with */
	size_t bytes = b->bytes / b->pages;
	unsigned int i, j;

	for (i = 0; i < b->depth; i++)
		for (j = 0; j < b->pages; j++)
			memcpy(b->copy + j * PAGE_SIZE, page_address(b->page[j]),
			       bytes);
}

static void pvb_sg_map(struct pvb *b, struct device *dev)
{
	unsigned int i;

	for (i = 0; i < b->depth; i++)
		b->nents[i] = dma_map_sg_attrs(dev, b->table[i], b->pages, b->dir,
					       DMA_ATTR_NO_WARN);
}

static void pvb_sg_sync(struct pvb *b, struct device *dev)
{
	unsigned int i;

	for (i = 0; i < b->depth; i++) {
		if (b->dir != DMA_TO_DEVICE)
			dma_sync_sg_for_cpu(dev, b->table[i], b->pages, b->dir);
		if (b->dir != DMA_FROM_DEVICE)
			dma_sync_sg_for_device(dev, b->table[i], b->pages, b->dir);
	}
}

static void pvb_sg_unmap(struct pvb *b, struct device *dev)
{
	unsigned int i;

	for (i = 0; i < b->depth; i++)
		dma_unmap_sg(dev, b->table[i], b->pages, b->dir);
}

typedef void (*pvb_fn)(struct pvb *b, struct device *dev);

static const pvb_fn pvb_single_fns[PVB_NR_PHASES] = {
	[PVB_LOOP]	= pvb_single_loop,
	[PVB_COPY]	= pvb_single_copy,
	[PVB_MAP]	= pvb_single_map,
	[PVB_SYNC]	= pvb_single_sync,
	[PVB_UNMAP]	= pvb_single_unmap,
};

static const pvb_fn pvb_sg_fns[PVB_NR_PHASES] = {
	[PVB_LOOP]	= pvb_sg_loop,
	[PVB_COPY]	= pvb_sg_copy,
	[PVB_MAP]	= pvb_sg_map,
	[PVB_SYNC]	= pvb_sg_sync,
	[PVB_UNMAP]	= pvb_sg_unmap,
};

static noinline void pvb_clocked(struct pvb *b, unsigned int phase, pvb_fn fn,
				 bool counts)
{
	struct device *dev = &b->pdev->dev;
	u64 begin, end;

	if (counts && phase >= PVB_MAP)
		writel(b->row << 8 | phase, b->regs + EDU_REG_MARKER);
	begin = get_cycles();
	fn(b, dev);
	end = get_cycles();
	if (counts && phase >= PVB_MAP)
		writel(b->row << 8 | PVB_IDLE, b->regs + EDU_REG_MARKER);
	if (counts)
		b->sum[phase] += end - begin;
}

/* Did all of the round's mappings succeed? If not, undo those that did. */
static bool pvb_mapped(struct pvb *b)
{
	struct device *dev = &b->pdev->dev;
	unsigned int i, failures = 0;

	for (i = 0; i < b->depth; i++)
		if (b->pages ? b->nents[i] <= 0 : dma_mapping_error(dev, b->dma[i]))
			failures++;
	b->segments = b->pages ? b->nents[0] : 1;
	b->identity = b->pages ?
		sg_dma_address(b->table[0]) == sg_phys(b->table[0]) :
		b->dma[0] == virt_to_phys(pvb_buffer(b, 0));
	if (!failures)
		return true;

	b->failures += failures;
	b->segments = 0;
	for (i = 0; i < b->depth; i++) {
		if (b->pages && b->nents[i] > 0)
			dma_unmap_sg(dev, b->table[i], b->pages, b->dir);
		if (!b->pages && !dma_mapping_error(dev, b->dma[i]))
			dma_unmap_single(dev, b->dma[i], b->bytes, b->dir);
	}
	return false;
}

static bool pvb_round(struct pvb *b, bool counts)
{
	const pvb_fn *fns = b->pages ? pvb_sg_fns : pvb_single_fns;
	unsigned long flags;
	unsigned int phase;
	bool ok = true;

	local_irq_save(flags);
	for (phase = PVB_LOOP; phase < PVB_NR_PHASES && ok; phase++) {
		pvb_clocked(b, phase, fns[phase], counts);
		if (phase == PVB_MAP)
			ok = pvb_mapped(b);
	}
	local_irq_restore(flags);
	return ok;
}

static int pvb_measure(struct pvb *b, const char *op, unsigned int rounds)
{
	static const char * const dirs[] = {
		[DMA_TO_DEVICE] = "to", [DMA_FROM_DEVICE] = "from",
		[DMA_BIDIRECTIONAL] = "both",
	};
	unsigned int i, j, warm_up = DIV_ROUND_UP(PVB_WARM_UP, b->depth);
	bool ok = true;

	b->failures = 0;
	b->row++;
	memset(b->sum, 0, sizeof(b->sum));
	for (i = 0; i < b->depth && b->pages; i++) {
		sg_init_table(b->table[i], b->pages);
		for (j = 0; j < b->pages; j++)
			sg_set_page(&b->table[i][j], b->page[j], PAGE_SIZE, 0);
	}

	for (i = 0; i < warm_up + rounds && ok; i++) {
		ok = pvb_round(b, i >= warm_up);
		cond_resched();
	}

	snprintf(b->result, sizeof(b->result),
		 "row=%u op=%s direction=%s bytes=%zu entries=%u depth=%u mappings=%u failures=%u segments=%u identity=%u loop=%llu copy=%llu map=%llu sync=%llu unmap=%llu",
		 b->row, op, dirs[b->dir], b->bytes, b->pages ?: 1, b->depth,
		 ok ? b->depth * rounds : 0, b->failures, b->segments, b->identity,
		 b->sum[PVB_LOOP], b->sum[PVB_COPY], b->sum[PVB_MAP],
		 b->sum[PVB_SYNC], b->sum[PVB_UNMAP]);
	return 0;
}

/* ---- fragmentation ---- */

/**
 * struct pvb_live - a mapping of the fragmentation run
 * @dma: its address
 * @bytes: its size
 */
struct pvb_live {
	dma_addr_t dma;
	size_t bytes;
};

/* Map a random size, up to 1 MiB: as many of 1 KiB to 2 KiB as of 2 to 4 */
static size_t pvb_random_size(struct rnd_state *rnd)
{
	size_t top = SZ_512 << (prandom_u32_state(rnd) % 12);

	return top / 2 + prandom_u32_state(rnd) % (top / 2) + 1;
}

static bool pvb_live_map(struct pvb *b, struct pvb_live *m, size_t bytes)
{
	struct device *dev = &b->pdev->dev;

	m->bytes = bytes;
	m->dma = dma_map_single_attrs(dev, b->memory, bytes, DMA_TO_DEVICE,
				      DMA_ATTR_NO_WARN);
	return !dma_mapping_error(dev, m->dma);
}

static void pvb_live_unmap(struct pvb *b, struct pvb_live *m)
{
	dma_unmap_single(&b->pdev->dev, m->dma, m->bytes, DMA_TO_DEVICE);
}

/*
 * Mappings of random sizes come and go in random order, @percent of @mib MiB of
 * them at a time. Each 100 steps a mapping of the largest size is tried on top,
 * and in the end, with all else unmapped, as many of these as there can be.
 */
static int pvb_fragment(struct pvb *b, unsigned int percent, unsigned int mib,
			unsigned int steps)
{
	size_t limit = (size_t)mib * SZ_1M / 100 * percent, used = 0;
	unsigned int i, nr = 0, failures = 0, tried = 0, large = 0, at_end = 0;
	struct pvb_live *live, one;
	struct rnd_state rnd;

	live = vmalloc_array(PVB_MAX_LIVE, sizeof(*live));
	if (!live)
		return -ENOMEM;
	prandom_seed_state(&rnd, 1);

	for (i = 1; i <= steps; i++) {
		size_t bytes = pvb_random_size(&rnd);

		while (nr && (used + bytes > limit || nr == PVB_MAX_LIVE)) {
			unsigned int victim = prandom_u32_state(&rnd) % nr;

			pvb_live_unmap(b, &live[victim]);
			used -= live[victim].bytes;
			live[victim] = live[--nr];
		}
		if (pvb_live_map(b, &live[nr], bytes))
			used += live[nr++].bytes;
		else
			failures++;
		if (!(i % 100)) {
			tried++;
			if (pvb_live_map(b, &one, PVB_MAX_BYTES)) {
				large++;
				pvb_live_unmap(b, &one);
			}
			cond_resched();
		}
	}

	while (nr)
		pvb_live_unmap(b, &live[--nr]);
	while (nr < PVB_MAX_LIVE && pvb_live_map(b, &live[nr], PVB_MAX_BYTES))
		nr++;
	at_end = nr;
	while (nr)
		pvb_live_unmap(b, &live[--nr]);
	vfree(live);

	snprintf(b->result, sizeof(b->result),
		 "op=frag percent=%u mib=%u steps=%u failures=%u tried=%u mapped=%u at_end=%u",
		 percent, mib, steps, failures, tried, large, at_end);
	return 0;
}

/* ---- the files ---- */

static int pvb_run(struct pvb *b, const char *command)
{
	unsigned int size, mib, rounds;
	char op[8], dir[8];

	if (sscanf(command, "frag %u %u %u", &size, &mib, &rounds) == 3)
		return size > 100 ? -EINVAL : pvb_fragment(b, size, mib, rounds);
	if (sscanf(command, "%7s %u %7s %u %u", op, &size, dir, &b->depth,
		   &rounds) != 5)
		return -EINVAL;

	if (!strcmp(dir, "to"))
		b->dir = DMA_TO_DEVICE;
	else if (!strcmp(dir, "from"))
		b->dir = DMA_FROM_DEVICE;
	else if (!strcmp(dir, "both"))
		b->dir = DMA_BIDIRECTIONAL;
	else
		return -EINVAL;

	if (!size || !b->depth || b->depth > PVB_MAX_DEPTH || !rounds ||
	    rounds > PVB_MAX_ROUNDS)
		return -EINVAL;
	if (!strcmp(op, "single") && size <= PVB_MAX_BYTES) {
		b->bytes = size;
		b->pages = 0;
	} else if (!strcmp(op, "sg") && size <= PVB_MAX_PAGES) {
		b->bytes = size * PAGE_SIZE;
		b->pages = size;
	} else {
		return -EINVAL;
	}
	return pvb_measure(b, op, rounds);
}

static ssize_t pvb_run_write(struct file *file, const char __user *from,
			     size_t len, loff_t *ppos)
{
	struct pvb *b = file->private_data;
	char command[64];
	int ret;

	if (len >= sizeof(command))
		return -EINVAL;
	if (copy_from_user(command, from, len))
		return -EFAULT;
	command[len] = '\0';

	mutex_lock(&b->lock);
	b->result[0] = '\0';
	ret = pvb_run(b, command);
	mutex_unlock(&b->lock);
	return ret ?: len;
}

static const struct file_operations pvb_run_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.write = pvb_run_write,
};

static int pvb_result_show(struct seq_file *m, void *unused)
{
	struct pvb *b = m->private;

	mutex_lock(&b->lock);
	seq_printf(m, "%s\n", b->result);
	mutex_unlock(&b->lock);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(pvb_result);

/* ---- the device ---- */

static void pvb_free(struct pvb *b)
{
	unsigned int i;

	for (i = 0; i < PVB_MAX_DEPTH; i++)
		kfree(b->table[i]);
	free_pages((unsigned long)b->copy, get_order(PVB_MAX_BYTES));
	free_pages((unsigned long)b->memory, get_order(PVB_MAX_BYTES));
	kfree(b);
}

static struct pvb *pvb_alloc(void)
{
	struct pvb *b = kzalloc(sizeof(*b), GFP_KERNEL);
	unsigned int i;

	if (!b)
		return NULL;
	mutex_init(&b->lock);
	b->memory = (void *)__get_free_pages(GFP_KERNEL, get_order(PVB_MAX_BYTES));
	b->copy = (void *)__get_free_pages(GFP_KERNEL, get_order(PVB_MAX_BYTES));
	if (!b->memory || !b->copy)
		goto err;
	memset(b->memory, 0x5a, PVB_MAX_BYTES);
	for (i = 0; i < PVB_MAX_DEPTH; i++) {
		b->table[i] = kmalloc_array(PVB_MAX_PAGES, sizeof(*b->table[i]),
					    GFP_KERNEL);
		if (!b->table[i])
			goto err;
	}
	/* From the last to the first, with a page between each two */
	for (i = 0; i < PVB_MAX_PAGES; i++)
		b->page[i] = virt_to_page(b->memory +
					  (PVB_MAX_PAGES - 1 - i) * 2 * PAGE_SIZE);
	return b;
err:
	pvb_free(b);
	return NULL;
}

static struct dentry *pvb_dir;

static int pvb_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct pvb *b;
	int ret;

	ret = pcim_enable_device(pdev);
	if (!ret)
		ret = dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(64));
	if (ret)
		return ret;
	/* As a device that asks for nothing: what merges, may */
	dma_set_max_seg_size(&pdev->dev, UINT_MAX);
	dma_set_seg_boundary(&pdev->dev, ULONG_MAX);

	b = pvb_alloc();
	if (!b)
		return -ENOMEM;
	b->pdev = pdev;
	b->regs = pcim_iomap(pdev, 0, 0);
	ret = -ENOMEM;
	if (!b->regs)
		goto err;

	mutex_lock(&pvb_probe_lock);
	ret = pvb ? -EBUSY : 0;
	if (!ret)
		pvb = b;
	mutex_unlock(&pvb_probe_lock);
	if (ret)
		goto err;

	pci_set_drvdata(pdev, b);
	pvb_dir = debugfs_create_dir("pviommu_bench", NULL);
	debugfs_create_file("run", 0200, pvb_dir, b, &pvb_run_fops);
	debugfs_create_file("result", 0400, pvb_dir, b, &pvb_result_fops);
	return 0;
err:
	pvb_free(b);
	return ret;
}

static void pvb_remove(struct pci_dev *pdev)
{
	struct pvb *b = pci_get_drvdata(pdev);

	debugfs_remove(pvb_dir);
	mutex_lock(&pvb_probe_lock);
	pvb = NULL;
	mutex_unlock(&pvb_probe_lock);
	pvb_free(b);
}

/* Not exported to modprobe: whoever wants it loads it by name */
static const struct pci_device_id pvb_ids[] = {
	{ PCI_DEVICE(0x1234, 0x11e8) },
	{ }
};

static struct pci_driver pvb_driver = {
	.name = "pviommu_bench",
	.id_table = pvb_ids,
	.probe = pvb_probe,
	.remove = pvb_remove,
};
module_pci_driver(pvb_driver);

MODULE_DESCRIPTION("Benchmark of a DMA API backend by QEMU's edu device");
MODULE_LICENSE("GPL");
