// SPDX-License-Identifier: GPL-2.0
/*
 * pv-iommu: streaming DMA
 *
 * A mapping is a block of DMA address space into which the caller's data is
 * copied: in window mode a block of the window, and this CPU copies; in bounce
 * mode a block of the host's arena, and the host copies. All else is the same:
 * the code here is compiled once for each, with @host_copies constant.
 *
 * A scatterlist becomes one block, its entries one behind the other, so that
 * the device sees as few segments as its limits allow. Only where no block of
 * that size is to be had, or where it would be larger than the largest, does a
 * list become several blocks ("runs").
 *
 * A map copies in whatever the direction: a device that writes less than it
 * may would otherwise return what an earlier mapping left. For the same reason
 * the rest of the first and the last page of a block are zeroed.
 */
#include <linux/dma-map-ops.h>
#include <linux/dma-mapping.h>
#include <linux/highmem.h>
#include <linux/scatterlist.h>

#include "pviommu.h"
#include "bounce.h"
#include "window.h"
#include "compat/dma-mapping.h"
#include "trace.h"

/* Most entries of a scatterlist in one run; slots count them in 16 bits */
#define PVIOMMU_RUN_NENTS	4096

/* Beyond any mapping that a window could serve; keeps slot.len from wrapping */
#define PVIOMMU_MAX_BLOCK	(SZ_32M - SZ_64K)

/* Most low bits that can be kept: pviommu_slot.off has to hold them */
#define PVIOMMU_MAX_ALIGN_MASK	U16_MAX

/* MMIO cannot be bounced, and what must not be copied cannot either */
#define PVIOMMU_ATTRS_REFUSED	(DMA_ATTR_MMIO | DMA_ATTR_REQUIRE_COHERENT)

static __always_inline struct pviommu_space *
pviommu_space(struct pviommu_host *host, bool host_copies)
{
	return host_copies ? &host->arena : &host->window.space;
}

/* Copy between the caller's memory and the window */
static __always_inline void pviommu_copy(void *virt, phys_addr_t phys,
					 size_t len, bool to_device)
{
	if (!IS_ENABLED(CONFIG_HIGHMEM)) {
		if (to_device)
			memcpy(virt, phys_to_virt(phys), len);
		else
			memcpy(phys_to_virt(phys), virt, len);
		return;
	}

	while (len) {
		size_t n = min_t(size_t, len, PAGE_SIZE - offset_in_page(phys));
		struct page *page = pfn_to_page(PHYS_PFN(phys));

		if (to_device)
			memcpy_from_page(virt, page, offset_in_page(phys), n);
		else
			memcpy_to_page(page, offset_in_page(phys), virt, n);
		virt += n;
		phys += n;
		len -= n;
	}
}

/*
 * Zero what an earlier mapping left in the first and the last page around
 * @off..@end. What it left is remembered, so that a block that is used again
 * with the same size costs nothing.
 */
static __always_inline void pviommu_pad(void *virt, struct pviommu_slot *slot,
					u32 off, u32 end)
{
	u32 page_end = PAGE_ALIGN(end);

	if (off > slot->dirty_start)
		memset(virt + slot->dirty_start, 0, off - slot->dirty_start);
	slot->dirty_start = off;

	if (end < slot->dirty_end)
		memset(virt + end, 0, min(slot->dirty_end, page_end) - end);
	if (slot->dirty_end <= page_end)
		slot->dirty_end = end;
}

static __always_inline struct pviommu_limits pviommu_get_limits(struct device *dev)
{
	return (struct pviommu_limits) {
		.dma_limit = min_not_zero(dma_get_mask(dev), dev->bus_dma_limit),
		.align_mask = dma_get_min_align_mask(dev),
		.boundary_mask = dma_get_seg_boundary(dev),
		.max_seg = dma_get_max_seg_size(dev),
	};
}

/*
 * A mapping failed. Drivers retry, so a full window is no error of the
 * device's; but it is slow, and worth a line that says what to do.
 */
static noinline void pviommu_map_failed(struct pviommu_dev *pd, size_t size,
					unsigned long attrs, int error)
{
	this_cpu_inc(pd->stats->failures);
	trace_pviommu_fail(pd->rid, size, error);
	if (attrs & DMA_ATTR_NO_WARN)
		return;

	switch (error) {
	case -ENOMEM:
		dev_warn_ratelimited(pd->dev, "pv_iommu: no room for %zu bytes; if this persists, give the host device a larger %s\n",
				     size, pd->mode == PVIOMMU_MODE_BOUNCE ?
				     "arena-size=" : "memdev=");
		break;
	case -E2BIG:
		dev_warn_ratelimited(pd->dev, "pv_iommu: %zu bytes are more than dma_max_mapping_size() allows\n",
				     size);
		break;
	default:
		dev_warn_ratelimited(pd->dev, "pv_iommu: mapping of %zu bytes refused: error %d\n",
				     size, error);
	}
}

static void pviommu_bad_handle(struct device *dev, const char *what, dma_addr_t dma)
{
	dev_WARN_ONCE(dev, 1, "pv_iommu: %s of DMA address %pad, which is not mapped\n",
		      what, &dma);
}

/* Memory that is no RAM cannot be bounced */
static __always_inline int pviommu_check_page(struct page *page)
{
	if (unlikely(is_zone_device_page(page)) && is_pci_p2pdma_page(page))
		return -EREMOTEIO;
	return 0;
}

/* ---- one block: taken, filled, given back ---- */

static __always_inline struct pviommu_slot *
pviommu_get(struct pviommu_dev *pd, const struct pviommu_limits *lim,
	    struct scatterlist *sgl, unsigned int nents, phys_addr_t phys,
	    size_t off, size_t len, enum dma_data_direction dir,
	    unsigned long *offset, int *error, bool host_copies)
{
	struct pviommu_window *w = &pd->host->window;
	struct pviommu_slot *slot;
	unsigned int order;

	if (host_copies) {
		slot = pviommu_arena_map(pd, lim, sgl, nents, phys, off, len,
					 dir, error);
		if (unlikely(!slot))
			return NULL;
		*offset = pviommu_slot_offset(&pd->host->arena, slot);
	} else {
		/* Keeping bits above a page takes a block that is aligned to them */
		order = fls64((max_t(u64, len - 1, lim->align_mask)) >> PAGE_SHIFT);
		if (likely(order < PVIOMMU_CACHE_ORDERS &&
			   lim->dma_limit >= w->dma_last))
			slot = pviommu_window_alloc(w, order);
		else
			slot = pviommu_window_alloc_exact(w, PFN_UP(len), order,
							  lim->dma_limit);
		if (unlikely(!slot)) {
			*error = -ENOMEM;
			return NULL;
		}
		*offset = pviommu_slot_offset(&w->space, slot);
		pviommu_pad(w->virt + *offset, slot, off, len);
	}

	slot->len = len;
	slot->off = off;
	slot->rid = pd->rid;
	return slot;
}

static __always_inline void pviommu_put(struct pviommu_dev *pd,
					struct pviommu_slot *slot, bool copy_back,
					bool host_copies)
{
	if (host_copies)
		pviommu_arena_unmap(pd, slot, copy_back);
	else
		pviommu_window_free(&pd->host->window, slot);
}

/* The live block in which an address lies: its start, or anywhere inside it */
static struct pviommu_slot *pviommu_find(struct pviommu_space *sp, dma_addr_t dma)
{
	unsigned long page = dma >> PAGE_SHIFT;
	unsigned int order;

	if (page < sp->first || page >= sp->end)
		return NULL;

	for (order = 0; order <= PVIOMMU_MAX_ORDER; order++) {
		unsigned long head = page & ~(BIT(order) - 1);
		struct pviommu_slot *slot;

		if (head < sp->first)
			break;
		slot = &sp->slots[head - sp->first];
		if (slot->state != PVIOMMU_SLOT_FREE && slot->order >= order)
			return slot;
	}
	return NULL;
}

/* A block whose data starts in a later page than its first, or none */
static noinline struct pviommu_slot *
pviommu_lookup_slow(struct pviommu_space *sp, struct pviommu_dev *pd,
		    dma_addr_t dma, enum pviommu_slot_state state)
{
	struct pviommu_slot *slot = pviommu_find(sp, dma);

	if (!slot || slot->state != state || slot->rid != pd->rid ||
	    pviommu_slot_dma(sp, slot) + slot->off != dma)
		return NULL;
	return slot;
}

/* The device's block whose data starts at an address */
static __always_inline struct pviommu_slot *
pviommu_lookup(struct pviommu_space *sp, struct pviommu_dev *pd, dma_addr_t dma,
	       enum pviommu_slot_state state)
{
	struct pviommu_slot *slot = pviommu_slot_at(sp, dma);

	if (likely(slot && slot->state == state && slot->rid == pd->rid &&
		   slot->off == offset_in_page(dma)))
		return slot;
	return pviommu_lookup_slow(sp, pd, dma, state);
}

/* ---- single mappings ---- */

static __always_inline dma_addr_t
pviommu_map_phys(struct device *dev, phys_addr_t phys, size_t size,
		 enum dma_data_direction dir, unsigned long attrs,
		 bool host_copies)
{
	struct pviommu_limits lim = pviommu_get_limits(dev);
	struct pviommu_dev *pd = to_pviommu_dev(dev);
	struct pviommu_slot *slot;
	unsigned long offset;
	dma_addr_t dma;
	int error;
	u32 off;

	if (WARN_ON_ONCE(!pd))
		return DMA_MAPPING_ERROR;

	if (unlikely(!size || lim.align_mask > PVIOMMU_MAX_ALIGN_MASK ||
		     attrs & PVIOMMU_ATTRS_REFUSED)) {
		error = -EINVAL;
		goto fail;
	}
	if (unlikely(size > PVIOMMU_MAX_BLOCK)) {
		error = -E2BIG;
		goto fail;
	}
	error = pviommu_check_page(pfn_to_page(PHYS_PFN(phys)));
	if (unlikely(error))
		goto fail;

	off = phys & lim.align_mask;
	slot = pviommu_get(pd, &lim, NULL, 1, phys, off, off + size, dir,
			   &offset, &error, host_copies);
	if (unlikely(!slot))
		goto fail;

	slot->phys = phys;
	slot->state = PVIOMMU_SLOT_SINGLE;
	offset += off;
	dma = pviommu_space(pd->host, host_copies)->dma + offset;
	if (!host_copies)
		pviommu_copy(pd->host->window.virt + offset, phys, size, true);

	this_cpu_inc(pd->stats->maps);
	this_cpu_add(pd->stats->bytes_to_device, size);
	trace_pviommu_map(pd->rid, dma, size, 0, dir);
	return dma;
fail:
	pviommu_map_failed(pd, size, attrs, error);
	return DMA_MAPPING_ERROR;
}

static __always_inline bool pviommu_copies_back(enum dma_data_direction dir,
						unsigned long attrs)
{
	return dir != DMA_TO_DEVICE && !(attrs & DMA_ATTR_SKIP_CPU_SYNC);
}

static __always_inline void
pviommu_unmap_phys(struct device *dev, dma_addr_t dma, size_t size,
		   enum dma_data_direction dir, unsigned long attrs,
		   bool host_copies)
{
	struct pviommu_dev *pd = to_pviommu_dev(dev);
	struct pviommu_space *sp;
	struct pviommu_slot *slot;
	u32 len;

	if (WARN_ON_ONCE(!pd))
		return;

	sp = pviommu_space(pd->host, host_copies);
	slot = pviommu_lookup(sp, pd, dma, PVIOMMU_SLOT_SINGLE);
	if (unlikely(!slot)) {
		pviommu_bad_handle(dev, "unmap", dma);
		return;
	}

	len = slot->len - slot->off;
	if (pviommu_copies_back(dir, attrs)) {
		if (!host_copies)
			pviommu_copy(pd->host->window.virt + (dma - sp->dma),
				     slot->phys, len, false);
		this_cpu_add(pd->stats->bytes_from_device, len);
	}
	pviommu_put(pd, slot, pviommu_copies_back(dir, attrs), host_copies);
	this_cpu_inc(pd->stats->unmaps);
	trace_pviommu_unmap(pd->rid, dma, len, 0, dir);
}

/* ---- scatterlists ---- */

/*
 * How many entries fit into a block of at most @cap bytes, and how long it
 * then has to be. The first entry counts in any case.
 */
static unsigned int pviommu_measure(struct scatterlist *sgl, unsigned int nents,
				    const struct pviommu_limits *lim, size_t cap,
				    size_t *len, int *error)
{
	struct pviommu_layout l;
	struct scatterlist *sg;
	unsigned int i;

	*error = 0;
	*len = 0;
	for_each_sg(sgl, sg, nents, i) {
		*error = sg->length ? pviommu_check_page(sg_page(sg)) : -EINVAL;
		if (unlikely(*error))
			return 0;

		pviommu_place(&l, lim, sg_phys(sg), sg->length, !i);
		if (i && l.pos + sg->length > cap)
			break;
		l.pos += sg->length;
		*len = l.pos;
		if (unlikely(*len > PVIOMMU_MAX_BLOCK)) {
			*error = -E2BIG;
			return 0;
		}
	}
	return i;
}

/**
 * struct pviommu_cursor - a place in a scatterlist
 * @sg: the entry, as the caller filled it in
 * @seg: the entry whose DMA members hold the segment that it belongs to
 */
struct pviommu_cursor {
	struct scatterlist *sg;
	struct scatterlist *seg;
};

/*
 * Write down the DMA segments of a run, and copy its data into the window.
 * @c->seg is the last segment written so far, or NULL.
 */
static __always_inline size_t
pviommu_fill(struct pviommu_dev *pd, struct pviommu_slot *slot,
	     unsigned long offset, struct pviommu_cursor *c,
	     const struct pviommu_limits *lim, bool host_copies)
{
	dma_addr_t base = pviommu_space(pd->host, host_copies)->dma + offset;
	void *virt = host_copies ? NULL : pd->host->window.virt + offset;
	struct pviommu_layout l = { .pos = slot->off };
	size_t total = 0, end = slot->off;
	unsigned int i, nsegs = 0;

	for (i = 0; i < slot->nents; i++, c->sg = sg_next(c->sg)) {
		phys_addr_t phys = sg_phys(c->sg);
		unsigned int len = c->sg->length;

		if (pviommu_place(&l, lim, phys, len, !i)) {
			c->seg = c->seg ? sg_next(c->seg) : slot->sgl;
			sg_dma_address(c->seg) = base + l.pos;
			sg_dma_len(c->seg) = 0;
			nsegs++;
			if (!host_copies && l.pos > end)
				memset(virt + end, 0, l.pos - end);
		}
		sg_dma_len(c->seg) += len;
		if (!host_copies)
			pviommu_copy(virt + l.pos, phys, len, true);
		l.pos += len;
		end = l.pos;
		total += len;
	}
	slot->nsegs = nsegs;
	return total;
}

/* The run that begins at a cursor; NULL, and said, if there is none */
static struct pviommu_slot *pviommu_run(struct device *dev, struct pviommu_dev *pd,
					struct pviommu_space *sp,
					struct pviommu_cursor *c, const char *what)
{
	struct pviommu_slot *slot = NULL;

	if (c->sg && c->seg)
		slot = pviommu_lookup(sp, pd, sg_dma_address(c->seg), PVIOMMU_SLOT_SG);
	if (unlikely(!slot))
		pviommu_bad_handle(dev, what, c->seg ? sg_dma_address(c->seg) : 0);
	return slot;
}

static void pviommu_next_run(struct pviommu_cursor *c, struct pviommu_slot *slot)
{
	unsigned int i;

	for (i = 0; i < slot->nents && c->sg; i++)
		c->sg = sg_next(c->sg);
	for (i = 0; i < slot->nsegs && c->seg; i++)
		c->seg = sg_next(c->seg);
}

/*
 * Copy the part of a run that lies in @start..@end (bytes from the start of the
 * block) between window and caller. The list's DMA members say where each entry
 * lies, so this holds whatever became of the device's limits since the map.
 *
 * Return: the bytes copied.
 */
static size_t pviommu_copy_run(struct pviommu_window *w, struct pviommu_slot *slot,
			       struct pviommu_cursor c, size_t start, size_t end,
			       bool to_device)
{
	dma_addr_t base = pviommu_slot_dma(&w->space, slot);
	void *virt = pviommu_slot_virt(w, slot);
	size_t copied = 0, done = 0;
	unsigned int i;

	for (i = 0; i < slot->nents && c.sg && c.seg; i++, c.sg = sg_next(c.sg)) {
		size_t pos, from, to;

		pos = sg_dma_address(c.seg) - base + done;
		if (pos < slot->off || pos + c.sg->length > slot->len)
			break;
		from = max(pos, start);
		to = min(pos + c.sg->length, end);
		if (from < to) {
			pviommu_copy(virt + from, sg_phys(c.sg) + from - pos,
				     to - from, to_device);
			copied += to - from;
		}

		done += c.sg->length;
		if (done >= sg_dma_len(c.seg)) {
			c.seg = sg_next(c.seg);
			done = 0;
		}
	}
	return copied;
}

static __always_inline void
pviommu_unmap_sg(struct device *dev, struct scatterlist *sgl, int nents,
		 enum dma_data_direction dir, unsigned long attrs,
		 bool host_copies)
{
	struct pviommu_dev *pd = to_pviommu_dev(dev);
	struct pviommu_cursor c = { .sg = sgl, .seg = sgl };
	bool copy_back = pviommu_copies_back(dir, attrs);
	struct pviommu_slot *slot;
	struct pviommu_space *sp;

	if (WARN_ON_ONCE(!pd))
		return;

	sp = pviommu_space(pd->host, host_copies);
	trace_pviommu_unmap(pd->rid, sg_dma_address(sgl), 0, nents, dir);
	while (nents > 0) {
		struct pviommu_slot run;

		slot = pviommu_run(dev, pd, sp, &c, "unmap");
		if (!slot)
			return;
		run = *slot;

		if (copy_back) {
			size_t len = slot->len - slot->off;

			if (!host_copies)
				len = pviommu_copy_run(&pd->host->window, slot, c,
						       0, slot->len, false);
			this_cpu_add(pd->stats->bytes_from_device, len);
		}
		pviommu_put(pd, slot, copy_back, host_copies);
		nents -= run.nents;
		if (nents > 0)
			pviommu_next_run(&c, &run);
	}
	this_cpu_inc(pd->stats->unmaps);
}

static __always_inline int
pviommu_map_sg(struct device *dev, struct scatterlist *sgl, int nents,
	       enum dma_data_direction dir, unsigned long attrs, bool host_copies)
{
	unsigned int max_nents = host_copies ? PV_IOMMU_MAX_SEGS : PVIOMMU_RUN_NENTS;
	struct pviommu_cursor c = { .sg = sgl, .seg = NULL };
	struct pviommu_limits lim = pviommu_get_limits(dev);
	struct pviommu_dev *pd = to_pviommu_dev(dev);
	int error = -EINVAL, left = nents, nsegs = 0;
	size_t cap, total = 0, len = 0;

	if (WARN_ON_ONCE(!pd))
		return -EIO;
	if (unlikely(nents <= 0 || lim.align_mask > PVIOMMU_MAX_ALIGN_MASK ||
		     attrs & PVIOMMU_ATTRS_REFUSED))
		goto fail;

	cap = pd->host->max_mapping;
	while (left) {
		struct pviommu_slot *slot;
		unsigned long offset;
		unsigned int n;

		n = pviommu_measure(c.sg, min_t(unsigned int, left, max_nents),
				    &lim, cap, &len, &error);
		if (unlikely(error))
			goto unwind;

		slot = pviommu_get(pd, &lim, c.sg, n, 0,
				   sg_phys(c.sg) & lim.align_mask, len, dir,
				   &offset, &error, host_copies);
		if (unlikely(!slot)) {
			/* Two pieces may be free where one of the size is not */
			if (error == -ENOMEM && n > 1) {
				cap = len / 2;
				continue;
			}
			goto unwind;
		}

		slot->sgl = sgl;
		slot->nents = n;
		slot->state = PVIOMMU_SLOT_SG;
		total += pviommu_fill(pd, slot, offset, &c, &lim, host_copies);
		nsegs += slot->nsegs;
		left -= n;
	}

	if (nsegs < nents)
		sg_dma_len(sg_next(c.seg)) = 0;
	this_cpu_inc(pd->stats->maps);
	this_cpu_add(pd->stats->bytes_to_device, total);
	trace_pviommu_map(pd->rid, sg_dma_address(sgl), total, nsegs, dir);
	return nsegs;

unwind:
	if (left < nents) {
		pviommu_unmap_sg(dev, sgl, nents - left, dir,
				 attrs | DMA_ATTR_SKIP_CPU_SYNC, host_copies);
		this_cpu_dec(pd->stats->unmaps);
	}
fail:
	pviommu_map_failed(pd, len, attrs, error);
	/* dma_map_sgtable() knows no others */
	switch (error) {
	case -ENOMEM:
	case -EREMOTEIO:
		return error;
	case -EINVAL:
	case -E2BIG:
		return -EINVAL;
	default:
		return -EIO;
	}
}

/* ---- syncs ---- */

/* Which syncs copy at all, see Documentation/core-api/dma-api.rst */
static __always_inline bool pviommu_sync_copies(enum dma_data_direction dir,
						bool to_device)
{
	return dir == DMA_BIDIRECTIONAL ||
	       dir == (to_device ? DMA_TO_DEVICE : DMA_FROM_DEVICE);
}

static __always_inline void pviommu_count_sync(struct pviommu_dev *pd, size_t len,
					       bool to_device)
{
	this_cpu_inc(pd->stats->syncs);
	if (to_device)
		this_cpu_add(pd->stats->bytes_to_device, len);
	else
		this_cpu_add(pd->stats->bytes_from_device, len);
}

/* Sync by address inside the mapping of a list: find the run, then copy */
static void pviommu_sync_in_list(struct device *dev, struct pviommu_dev *pd,
				 struct pviommu_slot *slot, size_t start,
				 size_t end, bool to_device)
{
	struct pviommu_window *w = &pd->host->window;
	struct pviommu_cursor c = { .sg = slot->sgl, .seg = slot->sgl };
	struct pviommu_slot *run;

	while ((run = pviommu_run(dev, pd, &w->space, &c, "sync"))) {
		if (run == slot) {
			pviommu_copy_run(w, slot, c, start, end, to_device);
			return;
		}
		pviommu_next_run(&c, run);
	}
}

static __always_inline void
pviommu_sync_single(struct device *dev, dma_addr_t dma, size_t size,
		    enum dma_data_direction dir, bool to_device, bool host_copies)
{
	struct pviommu_dev *pd = to_pviommu_dev(dev);
	struct pviommu_slot *slot;
	struct pviommu_space *sp;
	size_t start, end, off;

	if (!pviommu_sync_copies(dir, to_device))
		return;
	if (WARN_ON_ONCE(!pd))
		return;

	sp = pviommu_space(pd->host, host_copies);
	slot = pviommu_find(sp, dma);
	/* dma_alloc_pages() memory is synced too, and is the window in any mode */
	if (host_copies && !slot)
		slot = pviommu_find(&pd->host->window.space, dma);
	if (unlikely(!slot || slot->rid != pd->rid)) {
		pviommu_bad_handle(dev, "sync", dma);
		return;
	}
	if (slot->state == PVIOMMU_SLOT_COHERENT)
		return;

	off = dma - pviommu_slot_dma(sp, slot);
	start = max_t(size_t, off, slot->off);
	end = off + min_t(size_t, size, slot->len);
	end = min_t(size_t, end, slot->len);
	if (unlikely(start >= end))
		return;

	if (host_copies)
		pviommu_arena_sync(pd, slot, start, end, to_device);
	else if (likely(slot->state == PVIOMMU_SLOT_SINGLE))
		pviommu_copy(pviommu_slot_virt(&pd->host->window, slot) + start,
			     slot->phys + start - slot->off, end - start, to_device);
	else
		pviommu_sync_in_list(dev, pd, slot, start, end, to_device);
	pviommu_count_sync(pd, end - start, to_device);
	trace_pviommu_sync(pd->rid, dma, end - start, 0, dir);
}

static __always_inline void
pviommu_sync_sg(struct device *dev, struct scatterlist *sgl, int nents,
		enum dma_data_direction dir, bool to_device, bool host_copies)
{
	struct pviommu_dev *pd = to_pviommu_dev(dev);
	struct pviommu_cursor c = { .sg = sgl, .seg = sgl };
	struct pviommu_slot *slot;
	size_t len = 0;

	if (!pviommu_sync_copies(dir, to_device))
		return;
	if (WARN_ON_ONCE(!pd))
		return;

	/* dma_alloc_noncontiguous() memory: a list of one, and the window */
	slot = pviommu_slot_at(&pd->host->window.space, sg_dma_address(sgl));
	if (slot && slot->state == PVIOMMU_SLOT_COHERENT && slot->rid == pd->rid)
		return;

	while (nents > 0) {
		slot = pviommu_run(dev, pd, pviommu_space(pd->host, host_copies),
				   &c, "sync");
		if (!slot)
			return;

		if (host_copies) {
			pviommu_arena_sync(pd, slot, slot->off, slot->len, to_device);
			len += slot->len - slot->off;
		} else {
			len += pviommu_copy_run(&pd->host->window, slot, c, 0,
						slot->len, to_device);
		}
		nents -= slot->nents;
		if (nents > 0)
			pviommu_next_run(&c, slot);
	}
	pviommu_count_sync(pd, len, to_device);
	trace_pviommu_sync(pd->rid, sg_dma_address(sgl), len, 1, dir);
}

/* ---- the two sets of callbacks, see bounce.h ---- */

enum {
	pviommu_window_host_copies = false,
	pviommu_bounce_host_copies = true,
};

#define PVIOMMU_DEFINE_STREAMING(mode)							\
dma_addr_t pviommu_##mode##_map_phys(struct device *dev, phys_addr_t phys,		\
				     size_t size, enum dma_data_direction dir,		\
				     unsigned long attrs)				\
{											\
	return pviommu_map_phys(dev, phys, size, dir, attrs, pviommu_##mode##_host_copies);	\
}											\
											\
void pviommu_##mode##_unmap_phys(struct device *dev, dma_addr_t dma,			\
				 size_t size, enum dma_data_direction dir,		\
				 unsigned long attrs)					\
{											\
	pviommu_unmap_phys(dev, dma, size, dir, attrs, pviommu_##mode##_host_copies);	\
}											\
											\
int pviommu_##mode##_map_sg(struct device *dev, struct scatterlist *sgl,		\
			    int nents, enum dma_data_direction dir,			\
			    unsigned long attrs)					\
{											\
	return pviommu_map_sg(dev, sgl, nents, dir, attrs, pviommu_##mode##_host_copies);	\
}											\
											\
void pviommu_##mode##_unmap_sg(struct device *dev, struct scatterlist *sgl,		\
			       int nents, enum dma_data_direction dir,			\
			       unsigned long attrs)					\
{											\
	pviommu_unmap_sg(dev, sgl, nents, dir, attrs, pviommu_##mode##_host_copies);	\
}											\
											\
void pviommu_##mode##_sync_single_for_cpu(struct device *dev, dma_addr_t dma,		\
					  size_t size,					\
					  enum dma_data_direction dir)			\
{											\
	pviommu_sync_single(dev, dma, size, dir, false, pviommu_##mode##_host_copies);	\
}											\
											\
void pviommu_##mode##_sync_single_for_device(struct device *dev,			\
					     dma_addr_t dma, size_t size,		\
					     enum dma_data_direction dir)		\
{											\
	pviommu_sync_single(dev, dma, size, dir, true, pviommu_##mode##_host_copies);	\
}											\
											\
void pviommu_##mode##_sync_sg_for_cpu(struct device *dev,				\
				      struct scatterlist *sgl, int nents,		\
				      enum dma_data_direction dir)			\
{											\
	pviommu_sync_sg(dev, sgl, nents, dir, false, pviommu_##mode##_host_copies);	\
}											\
											\
void pviommu_##mode##_sync_sg_for_device(struct device *dev,				\
					 struct scatterlist *sgl, int nents,		\
					 enum dma_data_direction dir)			\
{											\
	pviommu_sync_sg(dev, sgl, nents, dir, true, pviommu_##mode##_host_copies);	\
}

PVIOMMU_DEFINE_STREAMING(window)
PVIOMMU_DEFINE_STREAMING(bounce)
