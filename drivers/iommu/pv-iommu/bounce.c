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
#include "compat/dma-map-ops.h"
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
				     size, pd->host->mode == PVIOMMU_MODE_BOUNCE ?
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

/*
 * Memory that is no RAM cannot be bounced. The window's own can: a driver may map
 * what it got from dma_alloc_pages(). That has to be known from its address. If
 * the driver has it on a list by page->lru, that is where pgmap was.
 */
static __always_inline int pviommu_check_page(struct pviommu_host *host,
					      struct page *page)
{
	if (unlikely(is_zone_device_page(page)) &&
	    page_to_phys(page) - host->window.phys >= host->window.size &&
	    is_pci_p2pdma_page(page))
		return -EREMOTEIO;
	return 0;
}

static __always_inline int pviommu_check_phys(struct pviommu_host *host,
					      phys_addr_t phys)
{
	if (unlikely(!pviommu_has_page(phys)))
		return -EINVAL;
	return pviommu_check_page(host, pfn_to_page(PHYS_PFN(phys)));
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
	WRITE_ONCE(slot->rid, pd->rid);
	return slot;
}

/*
 * From here on the block is found: by lookups of this device, and by who looks
 * for what a device has left. They must see whose it is, not whose it was.
 */
static __always_inline void pviommu_publish(struct pviommu_slot *slot,
					    enum pviommu_slot_state state)
{
	/* With pviommu_find() and pviommu_release() */
	smp_store_release(&slot->state, state);
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

/* Is a block what somebody has mapped, and not coherent memory? */
static __always_inline bool pviommu_is_streaming(struct pviommu_slot *slot)
{
	u8 state = READ_ONCE(slot->state);

	return state == PVIOMMU_SLOT_SINGLE || state == PVIOMMU_SLOT_SG;
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
		/* Others' blocks, which may come and go, are looked at, too */
		if (smp_load_acquire(&slot->state) != PVIOMMU_SLOT_FREE &&
		    READ_ONCE(slot->order) >= order)
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

	if (!slot || READ_ONCE(slot->state) != state ||
	    READ_ONCE(slot->rid) != pd->rid ||
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
	error = pviommu_check_phys(pd->host, phys);
	if (unlikely(error))
		goto fail;

	off = phys & lim.align_mask;
	slot = pviommu_get(pd, &lim, NULL, 1, phys, off, off + size, dir,
			   &offset, &error, host_copies);
	if (unlikely(!slot))
		goto fail;

	slot->phys = phys;
	pviommu_publish(slot, PVIOMMU_SLOT_SINGLE);
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
 * How many entries fit into a block of at most @cap bytes, how long it then has
 * to be, and how many segments there will be. The first entry counts in any case,
 * and empty ones do not.
 */
static __always_inline unsigned int
pviommu_measure(struct pviommu_host *host, struct scatterlist *sgl,
		unsigned int nents, const struct pviommu_limits *lim, size_t cap,
		size_t *len, unsigned int *nsegs, int *error, bool host_copies)
{
	const unsigned int max_nents = host_copies ? PV_IOMMU_MAX_SEGS :
						     PVIOMMU_RUN_NENTS;
	unsigned int i, n = 0, segs = 0;
	struct pviommu_layout l;
	struct scatterlist *sg;
	size_t end = 0;

	*error = 0;
	for_each_sg(sgl, sg, min_t(unsigned int, nents, U16_MAX), i) {
		if (unlikely(!sg->length))
			continue;
		*error = pviommu_check_page(host, sg_page(sg));
		if (unlikely(*error))
			return 0;

		segs += pviommu_place(&l, lim, sg_phys(sg), sg->length, !n);
		l.pos += sg->length;
		if (n && (n == max_nents || l.pos > cap))
			break;
		n++;
		end = l.pos;
		if (unlikely(end > PVIOMMU_MAX_BLOCK)) {
			*len = end;
			*error = -E2BIG;
			return 0;
		}
	}
	if (unlikely(!n))
		*error = -EINVAL;
	*nsegs = segs;
	*len = end;
	return i;
}

/**
 * struct pviommu_cursor - a place in a scatterlist
 * @sg: the entry, as the caller filled it in
 * @seg: the entry whose DMA members hold the segment that it belongs to
 * @note: the entry whose DMA members are to say where the next entry lies that
 *	begins no segment; or NULL
 */
struct pviommu_cursor {
	struct scatterlist *sg;
	struct scatterlist *seg;
	struct scatterlist *note;
};

static __always_inline void pviommu_note(struct pviommu_cursor *c, dma_addr_t dma)
{
	if (c->note) {
		sg_dma_address(c->note) = dma;
		sg_dma_len(c->note) = 0;
		c->note = sg_next(c->note);
	}
}

/*
 * Write down the DMA segments of a run, and copy its data into the window.
 * @c->seg is the last segment written so far, or NULL.
 *
 * The DMA members that no segment needs say where the entries lie that begin
 * none, in their order: what the caller's own members say may have changed when
 * the list is synced or unmapped. A driver may cut an entry short, which must not
 * move those behind it.
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

		if (unlikely(!len)) {
			pviommu_note(c, base + l.pos);
			continue;
		}
		if (pviommu_place(&l, lim, phys, len, !nsegs)) {
			c->seg = c->seg ? sg_next(c->seg) : slot->sgl;
			sg_dma_address(c->seg) = base + l.pos;
			sg_dma_len(c->seg) = 0;
			nsegs++;
			if (!host_copies && l.pos > end)
				memset(virt + end, 0, l.pos - end);
		} else if (!host_copies) {
			pviommu_note(c, base + l.pos);
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

static struct scatterlist *pviommu_skip(struct scatterlist *sg, unsigned int n)
{
	while (n-- && sg)
		sg = sg_next(sg);
	return sg;
}

/**
 * struct pviommu_places - where a run's entries lie, in their order
 * @seg: the next segment; an entry begins there
 * @note: the next place of an entry that begins none
 * @seg_pos: where @seg begins, bytes from the start of the block
 * @note_pos: the same of @note
 * @nsegs: segments left
 * @nnotes: places left
 */
struct pviommu_places {
	struct scatterlist *seg;
	struct scatterlist *note;
	size_t seg_pos;
	size_t note_pos;
	unsigned int nsegs;
	unsigned int nnotes;
};

static __always_inline size_t pviommu_place_of(struct scatterlist *sg,
					       unsigned int left, dma_addr_t base)
{
	return left && sg ? sg_dma_address(sg) - base : SIZE_MAX;
}

/* Both kinds ascend, so the next is the lower one; SIZE_MAX if there is none */
static __always_inline size_t pviommu_next_place(struct pviommu_places *p,
						 dma_addr_t base)
{
	size_t pos;

	if (p->note_pos < p->seg_pos) {
		pos = p->note_pos;
		p->note = sg_next(p->note);
		p->note_pos = pviommu_place_of(p->note, --p->nnotes, base);
	} else {
		pos = p->seg_pos;
		if (pos != SIZE_MAX) {
			p->seg = sg_next(p->seg);
			p->seg_pos = pviommu_place_of(p->seg, --p->nsegs, base);
		}
	}
	return pos;
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
 * lies, so this holds whatever became of the device's limits and of the entries'
 * lengths since the map. Members that make no sense end it.
 *
 * Return: the bytes copied.
 */
static size_t pviommu_copy_run(struct pviommu_window *w, struct pviommu_slot *slot,
			       struct pviommu_cursor c, size_t start, size_t end,
			       bool to_device)
{
	dma_addr_t base = pviommu_slot_dma(&w->space, slot);
	struct pviommu_places places = {
		.seg = c.seg,
		.nsegs = slot->nsegs,
		.nnotes = slot->nents - slot->nsegs,
	};
	void *virt = pviommu_slot_virt(w, slot);
	size_t copied = 0, pos, next;
	unsigned int i;

	/* The whole list is one run, if it has places noted down */
	if (places.nnotes)
		places.note = pviommu_skip(c.sg, slot->nsegs);
	places.seg_pos = pviommu_place_of(places.seg, places.nsegs, base);
	places.note_pos = pviommu_place_of(places.note, places.nnotes, base);

	pos = pviommu_next_place(&places, base);
	for (i = 0; i < slot->nents && c.sg; i++, c.sg = sg_next(c.sg), pos = next) {
		size_t from, to;

		next = i + 1 < slot->nents ? pviommu_next_place(&places, base) :
					     slot->len;
		if (pos < slot->off || pos > next || next > slot->len)
			break;
		from = max(pos, start);
		to = min3(pos + c.sg->length, next, end);
		if (from < to) {
			pviommu_copy(virt + from, sg_phys(c.sg) + from - pos,
				     to - from, to_device);
			copied += to - from;
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

/* The first entry that is not empty: there is one */
static __always_inline struct scatterlist *pviommu_first(struct scatterlist *sg)
{
	while (unlikely(!sg->length))
		sg = sg_next(sg);
	return sg;
}

/*
 * Have every entry of a list become a segment. An empty one cannot, and is
 * refused in such a list.
 */
static noinline int pviommu_no_merging(struct scatterlist *sgl, unsigned int nents,
				       struct pviommu_limits *lim)
{
	struct scatterlist *sg;
	unsigned int i;

	lim->max_seg = 0;
	for_each_sg(sgl, sg, nents, i) {
		if (!sg->length)
			return -EINVAL;
	}
	return 0;
}

static __always_inline int
pviommu_map_sg(struct device *dev, struct scatterlist *sgl, int nents,
	       enum dma_data_direction dir, unsigned long attrs, bool host_copies)
{
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
		unsigned int n, run_segs;
		struct pviommu_slot *slot;
		unsigned long offset;

		n = pviommu_measure(pd->host, c.sg, left, &lim, cap, &len,
				    &run_segs, &error, host_copies);
		if (unlikely(error))
			goto unwind;
		/* Places are noted for lists of one run, so that others need none */
		if (unlikely(n < nents && lim.max_seg && !host_copies)) {
			error = pviommu_no_merging(sgl, nents, &lim);
			if (error)
				goto unwind;
			continue;
		}

		slot = pviommu_get(pd, &lim, c.sg, n, 0,
				   sg_phys(pviommu_first(c.sg)) & lim.align_mask,
				   len, dir, &offset, &error, host_copies);
		if (unlikely(!slot)) {
			/* Two pieces may be free where one of the size is not */
			if (error == -ENOMEM && n > 1) {
				cap = len / 2;
				continue;
			}
			goto unwind;
		}

		if (!host_copies && run_segs < n)
			c.note = pviommu_skip(sgl, run_segs);
		slot->sgl = sgl;
		slot->nents = n;
		pviommu_publish(slot, PVIOMMU_SLOT_SG);
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

/* Copy what of a range lies in a block. Returns where the block's data ends. */
static __always_inline dma_addr_t
pviommu_sync_block(struct device *dev, struct pviommu_dev *pd,
		   struct pviommu_space *sp, struct pviommu_slot *slot,
		   dma_addr_t dma, size_t size, enum dma_data_direction dir,
		   bool to_device, bool host_copies)
{
	size_t start, end, off;

	off = dma - pviommu_slot_dma(sp, slot);
	start = max_t(size_t, off, slot->off);
	end = off + min_t(size_t, size, slot->len);
	end = min_t(size_t, end, slot->len);
	if (unlikely(start >= end))
		return dma - off + slot->len;

	if (host_copies)
		pviommu_arena_sync(pd, slot, start, end, to_device);
	else if (likely(slot->state == PVIOMMU_SLOT_SINGLE))
		pviommu_copy(pviommu_slot_virt(&pd->host->window, slot) + start,
			     slot->phys + start - slot->off, end - start, to_device);
	else
		pviommu_sync_in_list(dev, pd, slot, start, end, to_device);
	pviommu_count_sync(pd, end - start, to_device);
	trace_pviommu_sync(pd->rid, dma, end - start, 0, dir);
	return dma - off + slot->len;
}

/*
 * Mappings that follow one another without a gap can be one to their driver:
 * AF_XDP treats pages so. What goes on past the last of them is nobody's.
 */
static noinline void
pviommu_sync_neighbours(struct device *dev, struct pviommu_dev *pd,
			struct pviommu_space *sp, dma_addr_t dma, size_t size,
			enum dma_data_direction dir, bool to_device, bool host_copies)
{
	while (size) {
		struct pviommu_slot *slot = pviommu_find(sp, dma);
		dma_addr_t end;

		/* It has to begin here, which data behind an offset does not */
		if (!slot || READ_ONCE(slot->rid) != pd->rid ||
		    !pviommu_is_streaming(slot) ||
		    slot->off || pviommu_slot_dma(sp, slot) != dma)
			return;
		end = pviommu_sync_block(dev, pd, sp, slot, dma, size, dir,
					 to_device, host_copies);
		size -= min_t(size_t, size, end - dma);
		dma = end;
	}
}

static __always_inline void
pviommu_sync_single(struct device *dev, dma_addr_t dma, size_t size,
		    enum dma_data_direction dir, bool to_device, bool host_copies)
{
	struct pviommu_dev *pd = to_pviommu_dev(dev);
	struct pviommu_slot *slot;
	struct pviommu_space *sp;
	dma_addr_t end;

	if (!pviommu_sync_copies(dir, to_device))
		return;
	if (WARN_ON_ONCE(!pd))
		return;

	sp = pviommu_space(pd->host, host_copies);
	slot = pviommu_find(sp, dma);
	/* dma_alloc_pages() memory is synced too, and is the window in any mode */
	if (host_copies && !slot)
		slot = pviommu_find(&pd->host->window.space, dma);
	if (unlikely(!slot || READ_ONCE(slot->rid) != pd->rid)) {
		pviommu_bad_handle(dev, "sync", dma);
		return;
	}
	/* Coherent memory, also that of a driver before this one */
	if (!pviommu_is_streaming(slot))
		return;

	end = pviommu_sync_block(dev, pd, sp, slot, dma, size, dir, to_device,
				 host_copies);
	if (unlikely(size > end - dma))
		pviommu_sync_neighbours(dev, pd, sp, end, size - (end - dma), dir,
					to_device, host_copies);
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
	if (slot && slot->rid == pd->rid &&
	    (slot->state == PVIOMMU_SLOT_COHERENT || slot->state == PVIOMMU_SLOT_ORPHAN))
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
