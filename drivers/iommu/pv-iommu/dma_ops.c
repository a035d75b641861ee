// SPDX-License-Identifier: GPL-2.0
/*
 * pv-iommu: what the DMA API calls
 *
 * Two tables, for the two ways in which streaming DMA is served, two more of each for
 * those where some of it, or all, is not bounced at all, and two for devices that
 * must not reach anything: those that could not be attached, and those whose driver is
 * gone. Coherent memory is a piece of the window in both ways, or of the arena's start
 * for devices that do not reach it, and is struct-page memory, so that it can be mapped
 * to user space and put into scatterlists like any other.
 */
#include <linux/dma-map-ops.h>
#include <linux/dma-mapping.h>
#include <linux/mm.h>
#include <linux/scatterlist.h>

#include "pviommu.h"
#include "window.h"
#include "bounce.h"
#include "direct.h"
#include "trace.h"
#include "compat/dma-map-ops.h"

/* dma_opt_mapping_size() has no device; past this, drivers gain nothing */
#define PVIOMMU_OPT_MAPPING	SZ_256K

/* Beyond this, coherent memory is aligned to chunks only, like that of others to CMA's */
#define PVIOMMU_COHERENT_ALIGN	get_order(PVIOMMU_MAX_MAPPING)

static u64 pviommu_coherent_limit(struct device *dev)
{
	return min_not_zero(dev->coherent_dma_mask, dev->bus_dma_limit);
}

/* The kernel's address of coherent memory, or NULL */
static void *pviommu_alloc_pages(struct device *dev, size_t size, dma_addr_t *dma)
{
	struct pviommu_dev *pd = to_pviommu_dev(dev);
	struct pviommu_want want = {
		.npages = PFN_UP(size),
		.dma_limit = pviommu_coherent_limit(dev),
		.coherent = true,
	};
	struct pviommu_slot *slot = NULL;
	struct pviommu_space *sp;
	struct pviommu_window *w;
	void *virt = NULL;

	if (WARN_ON_ONCE(!pd) || !size)
		return NULL;

	w = &pd->host->window;
	sp = &w->space;
	/*
	 * Of a size near its type's limit, there would be 0 pages. Who does not reach
	 * the window at all need not have others give anything back.
	 */
	if (size <= w->size && want.dma_limit > w->space.dma) {
		want.order = min_t(unsigned int, order_base_2(want.npages),
				   PVIOMMU_COHERENT_ALIGN);
		slot = pviommu_window_alloc_exact(pd->domain, &want);
		if (slot)
			virt = pviommu_page_virt(w, slot->page);
	}
	if (!slot && READ_ONCE(pd->mode) == PVIOMMU_MODE_BOUNCE) {
		want.order = get_order(size);
		sp = &pd->host->arena;
		slot = pviommu_low_alloc(pd->host, &want);
		if (slot)
			virt = pd->host->low.virt + (slot->page << PAGE_SHIFT);
	}
	if (!slot) {
		this_cpu_inc(pd->stats->failures);
		trace_pviommu_fail(pd->rid, size, -ENOMEM);
		return NULL;
	}

	/* The whole of it, as whoever maps it to user space shows whole pages */
	memset(virt, 0, want.npages << PAGE_SHIFT);
	slot->len = min_t(size_t, size, U32_MAX);
	slot->off = 0;
	WRITE_ONCE(slot->rid, pd->rid);
	/* Pairs with the acquire of who looks for what a driver has left */
	smp_store_release(&slot->state, PVIOMMU_SLOT_COHERENT);
	*dma = pviommu_page_dma(sp, slot->page);
	return virt;
}

/* The device may be attached, or not any more: see attach.c */
static void pviommu_free_pages(struct device *dev, dma_addr_t dma)
{
	struct pviommu_window *w = &pviommu_host->window;
	struct pviommu_space *sp = &w->space;
	struct pviommu_slot *slot = pviommu_slot_at(sp, dma);
	u8 state = PVIOMMU_SLOT_FREE;
	unsigned long page;

	if (unlikely(!slot)) {
		sp = &pviommu_host->arena;
		slot = pviommu_slot_at(sp, dma);
	}

	if (slot && READ_ONCE(slot->rid) == pviommu_rid(to_pci_dev(dev))) {
		state = cmpxchg(&slot->state, PVIOMMU_SLOT_COHERENT,
				PVIOMMU_SLOT_FREE);
		if (unlikely(state == PVIOMMU_SLOT_ORPHAN))
			state = cmpxchg(&slot->state, PVIOMMU_SLOT_ORPHAN,
					PVIOMMU_SLOT_FREE);
	}
	if (dev_WARN_ONCE(dev, state != PVIOMMU_SLOT_COHERENT &&
			  state != PVIOMMU_SLOT_ORPHAN,
			  "pv_iommu: free of coherent memory at %pad that is not allocated\n",
			  &dma))
		return;

	page = pviommu_page_at(sp, dma);
	if (likely(sp == &w->space))
		pviommu_window_free_coherent(w->chunks[page >> sp->shift]->domain, page,
					     slot->npages);
	else
		pviommu_low_free(pviommu_host, page, slot->npages);
	if (unlikely(state == PVIOMMU_SLOT_ORPHAN))
		pviommu_orphan_freed(dev);
}

static void *pviommu_alloc(struct device *dev, size_t size, dma_addr_t *dma,
			   gfp_t gfp, unsigned long attrs)
{
	void *virt = pviommu_alloc_pages(dev, size, dma);

	if (!virt && !(attrs & DMA_ATTR_NO_WARN) && !(gfp & __GFP_NOWARN)) {
		u64 reach = pviommu_coherent_limit(dev);

		if (reach < pviommu_host->window.space.dma)
			dev_warn_ratelimited(dev, "pv_iommu: no room for %zu bytes of coherent memory: its coherent mask, %#llx, does not reach the window at %#llx; give the host device a larger arena-coherent=\n",
					     size, reach, pviommu_host->window.space.dma);
		else
			dev_warn_ratelimited(dev, "pv_iommu: no room for %zu bytes of coherent memory; give the host device a larger memdev= or limit=\n",
					     size);
	}
	return virt;
}

static void pviommu_free(struct device *dev, size_t size, void *vaddr,
			 dma_addr_t dma, unsigned long attrs)
{
	pviommu_free_pages(dev, dma);
}

static struct page *pviommu_alloc_page(struct device *dev, size_t size,
				       dma_addr_t *dma,
				       enum dma_data_direction dir, gfp_t gfp)
{
	void *virt = pviommu_alloc_pages(dev, size, dma);

	return virt ? virt_to_page(virt) : NULL;
}

static void pviommu_free_page(struct device *dev, size_t size, struct page *page,
			      dma_addr_t dma, enum dma_data_direction dir)
{
	pviommu_free_pages(dev, dma);
}

static int pviommu_mmap(struct device *dev, struct vm_area_struct *vma,
			void *cpu_addr, dma_addr_t dma, size_t size,
			unsigned long attrs)
{
	unsigned long count = PFN_UP(size);

	if (vma->vm_pgoff >= count || vma_pages(vma) > count - vma->vm_pgoff)
		return -ENXIO;

	return remap_pfn_range(vma, vma->vm_start,
			       PHYS_PFN(virt_to_phys(cpu_addr)) + vma->vm_pgoff,
			       vma_pages(vma) << PAGE_SHIFT, vma->vm_page_prot);
}

static int pviommu_get_sgtable(struct device *dev, struct sg_table *sgt,
			       void *cpu_addr, dma_addr_t dma, size_t size,
			       unsigned long attrs)
{
	int ret = sg_alloc_table(sgt, 1, GFP_KERNEL);

	if (!ret)
		sg_set_page(sgt->sgl, virt_to_page(cpu_addr), PAGE_ALIGN(size), 0);
	return ret;
}

static int pviommu_dma_supported(struct device *dev, u64 mask)
{
	struct pviommu_dev *pd = to_pviommu_dev(dev);

	return !WARN_ON_ONCE(!pd) && pviommu_serves_mask(pd, mask);
}

static u64 pviommu_get_required_mask(struct device *dev)
{
	struct pviommu_space *window = &pviommu_host->window.space;
	struct pviommu_space *arena = &pviommu_host->arena;

	return DMA_BIT_MASK(fls64(max3(window->dma + window->size,
				       arena->dma + arena->size,
				       pviommu_host->direct_dma +
				       pviommu_host->direct_size) - 1));
}

/* A block has room for where in a page the buffer begins, too, if the device wants that kept */
static size_t pviommu_max_mapping_size(struct device *dev)
{
	size_t offset = PAGE_ALIGN(dma_get_min_align_mask(dev));

	return max(pviommu_host->max_mapping - min(offset, pviommu_host->max_mapping),
		   PAGE_SIZE);
}

static size_t pviommu_opt_mapping_size(void)
{
	return min_t(size_t, PVIOMMU_OPT_MAPPING, pviommu_host->max_mapping);
}

/* What the tables have in common */
#define PVIOMMU_COMMON_OPS						\
	.alloc			= pviommu_alloc,			\
	.free			= pviommu_free,				\
	PVIOMMU_OP_ALLOC_PAGES	= pviommu_alloc_page,			\
	.free_pages		= pviommu_free_page,			\
	.mmap			= pviommu_mmap,				\
	.get_sgtable		= pviommu_get_sgtable,			\
	.dma_supported		= pviommu_dma_supported,		\
	.get_required_mask	= pviommu_get_required_mask,		\
	.max_mapping_size	= pviommu_max_mapping_size,		\
	.opt_mapping_size	= pviommu_opt_mapping_size

#define PVIOMMU_STREAMING_OPS(mode)					\
	PVIOMMU_OP_MAP(mode),						\
	.map_sg			= pviommu_##mode##_map_sg,		\
	.unmap_sg		= pviommu_##mode##_unmap_sg,		\
	.sync_single_for_cpu	= pviommu_##mode##_sync_single_for_cpu,	\
	.sync_single_for_device	= pviommu_##mode##_sync_single_for_device, \
	.sync_sg_for_cpu	= pviommu_##mode##_sync_sg_for_cpu,	\
	.sync_sg_for_device	= pviommu_##mode##_sync_sg_for_device

PVIOMMU_DEFINE_MAP(window)
PVIOMMU_DEFINE_MAP(bounce)

const struct dma_map_ops pviommu_window_ops = {
	PVIOMMU_COMMON_OPS,
	PVIOMMU_STREAMING_OPS(window),
};

const struct dma_map_ops pviommu_bounce_ops = {
	PVIOMMU_COMMON_OPS,
	PVIOMMU_STREAMING_OPS(bounce),
};

/* The same, where pages of the guest's may be granted: see direct.c */
PVIOMMU_DEFINE_MAP(some_window)
PVIOMMU_DEFINE_MAP(some_bounce)
PVIOMMU_DEFINE_MAP(all_window)
PVIOMMU_DEFINE_MAP(all_bounce)

const struct dma_map_ops pviommu_some_window_ops = {
	PVIOMMU_COMMON_OPS,
	PVIOMMU_STREAMING_OPS(some_window),
};

const struct dma_map_ops pviommu_some_bounce_ops = {
	PVIOMMU_COMMON_OPS,
	PVIOMMU_STREAMING_OPS(some_bounce),
};

const struct dma_map_ops pviommu_all_window_ops = {
	PVIOMMU_COMMON_OPS,
	PVIOMMU_STREAMING_OPS(all_window),
};

const struct dma_map_ops pviommu_all_bounce_ops = {
	PVIOMMU_COMMON_OPS,
	PVIOMMU_STREAMING_OPS(all_bounce),
};

/*
 * For a device that could not be attached: it must not fall back to addressing
 * all of memory. No mask is good enough, so drivers give up in their probe.
 */
static dma_addr_t pviommu_blocked_map_phys(struct device *dev, phys_addr_t phys,
					   size_t size, enum dma_data_direction dir,
					   unsigned long attrs)
{
	return DMA_MAPPING_ERROR;
}

static void pviommu_blocked_unmap_phys(struct device *dev, dma_addr_t dma,
				       size_t size, enum dma_data_direction dir,
				       unsigned long attrs)
{
}

static int pviommu_blocked_map_sg(struct device *dev, struct scatterlist *sg,
				  int nents, enum dma_data_direction dir,
				  unsigned long attrs)
{
	return -EIO;
}

static void *pviommu_blocked_alloc(struct device *dev, size_t size,
				   dma_addr_t *dma, gfp_t gfp, unsigned long attrs)
{
	return NULL;
}

static int pviommu_blocked_supported(struct device *dev, u64 mask)
{
	return 0;
}

PVIOMMU_DEFINE_MAP(blocked)

#define PVIOMMU_REFUSING_OPS						\
	PVIOMMU_OP_MAP(blocked),					\
	.map_sg		= pviommu_blocked_map_sg,			\
	.alloc		= pviommu_blocked_alloc,			\
	.free		= pviommu_free,					\
	.free_pages	= pviommu_free_page,				\
	.dma_supported	= pviommu_blocked_supported

const struct dma_map_ops pviommu_blocked_ops = {
	PVIOMMU_REFUSING_OPS,
};

/* For a device whose driver is gone, and has not freed all that it had */
const struct dma_map_ops pviommu_gone_ops = {
	PVIOMMU_REFUSING_OPS,
};
