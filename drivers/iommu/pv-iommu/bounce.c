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
				     size, pd->host->mode == PVIOMMU_MODE_BOUNCE ?
				     "arena-size=" : "memdev= or limit=");
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

/*
 * A block that is larger than CPUs keep, or instead of one that lies higher than the
 * device reaches: @high, which goes back. No struct pviommu_map, which would then have
 * to be in memory.
 */
static noinline unsigned long pviommu_get_window_slow(struct pviommu_domain *d,
						      size_t len, unsigned int order,
						      u64 dma_limit, unsigned long high)
{
	const struct pviommu_want want = {
		.npages = PFN_UP(len),
		.order = order,
		.dma_limit = dma_limit,
	};

	if (high != PVIOMMU_NO_PAGE)
		pviommu_window_free(d, pviommu_slot_of(&d->host->window.space, high), high);
	return pviommu_window_alloc_exact(d, &want);
}

/* A block of the device's domain, for all of @m */
static __always_inline unsigned long
pviommu_get_window(struct pviommu_map *m)
{
	struct pviommu_domain *d = m->pd->domain;
	struct pviommu_space *sp = &d->host->window.space;
	unsigned long page = PVIOMMU_NO_PAGE;
	/* Keeping bits above a page takes a block that is aligned to them */
	unsigned int order = fls64(max_t(u64, m->len - 1, m->lim.align_mask) >> PAGE_SHIFT);

	if (likely(order < PVIOMMU_CACHE_ORDERS)) {
		page = pviommu_window_alloc(d, order);
		if (likely(page == PVIOMMU_NO_PAGE ||
			   pviommu_page_dma(sp, page + BIT(order)) - 1 <= m->lim.dma_limit))
			return page;
	}
	return pviommu_get_window_slow(d, m->len, order, m->lim.dma_limit, page);
}

/* On success @m->slot and @m->page are set, else @m->error */
static __always_inline bool pviommu_get(struct pviommu_map *m, bool host_copies)
{
	struct pviommu_window *w = &m->pd->host->window;

	if (host_copies) {
		if (unlikely(!pviommu_arena_map(m)))
			return false;
	} else {
		m->page = pviommu_get_window(m);
		if (unlikely(m->page == PVIOMMU_NO_PAGE)) {
			m->error = -ENOMEM;
			return false;
		}
		m->slot = pviommu_slot_of(&w->space, m->page);
		pviommu_pad(pviommu_page_virt(w, m->page), m->slot, m->off, m->len);
	}

	m->slot->len = m->len;
	m->slot->off = m->off;
	m->slot->rid = m->pd->rid;
	return true;
}

/* Who walks the slots of a device that goes sees all of a slot that is not FREE */
static __always_inline void pviommu_publish(struct pviommu_slot *slot, u8 state)
{
	smp_store_release(&slot->state, state);
}

static __always_inline void pviommu_put(struct pviommu_dev *pd,
					struct pviommu_slot *slot, unsigned long page,
					bool copy_back, bool host_copies)
{
	if (host_copies)
		pviommu_arena_unmap(pd, slot, page, copy_back);
	else
		pviommu_window_free(pd->domain, slot, page);
}

/*
 * The live block in which an address lies, its start or anywhere inside it, and its
 * first page
 */
static struct pviommu_slot *pviommu_find(struct pviommu_host *host,
					 struct pviommu_space *sp, dma_addr_t dma,
					 unsigned long *head)
{
	unsigned long page = pviommu_page_at(sp, dma), base = sp->dma >> PAGE_SHIFT;
	struct pviommu_slot *slot;
	struct pviommu_chunk *c;
	unsigned int order;

	if (dma - sp->dma >= sp->size)
		return NULL;

	for (order = 0; order <= PVIOMMU_MAX_ORDER; order++) {
		unsigned long first = (base + page) & ~(BIT(order) - 1);

		if (first < base)
			break;
		*head = first - base;
		slot = pviommu_slot_of(sp, *head);
		if (slot && slot->state != PVIOMMU_SLOT_FREE && slot->order >= order &&
		    page - *head < (slot->npages ?: BIT(slot->order)))
			return slot;
	}

	/* Coherent memory of several chunks is not aligned to its size */
	c = sp == &host->window.space ? host->window.chunks[page >> sp->shift] : NULL;
	if (!c || c->head == c->index)
		return NULL;
	*head = (unsigned long)c->head << sp->shift;
	slot = pviommu_slot_of(sp, *head);
	return slot && slot->state != PVIOMMU_SLOT_FREE ? slot : NULL;
}

/* A block whose data starts in a later page than its first, or none */
static noinline struct pviommu_slot *
pviommu_lookup_slow(struct pviommu_space *sp, struct pviommu_dev *pd,
		    dma_addr_t dma, enum pviommu_slot_state state, unsigned long *page)
{
	struct pviommu_slot *slot = pviommu_find(pd->host, sp, dma, page);

	if (!slot || slot->state != state || slot->rid != pd->rid ||
	    pviommu_page_dma(sp, *page) + slot->off != dma)
		return NULL;
	return slot;
}

/* The device's block whose data starts at an address, and its first page */
static __always_inline struct pviommu_slot *
pviommu_lookup(struct pviommu_space *sp, struct pviommu_dev *pd, dma_addr_t dma,
	       enum pviommu_slot_state state, unsigned long *page)
{
	struct pviommu_slot *slot = pviommu_slot_at(sp, dma);

	if (likely(slot && slot->state == state && slot->rid == pd->rid &&
		   slot->off == offset_in_page(dma))) {
		*page = pviommu_page_at(sp, dma);
		return slot;
	}
	return pviommu_lookup_slow(sp, pd, dma, state, page);
}

/* ---- single mappings ---- */

static __always_inline dma_addr_t
pviommu_map_phys(struct device *dev, phys_addr_t phys, size_t size,
		 enum dma_data_direction dir, unsigned long attrs,
		 bool host_copies)
{
	struct pviommu_dev *pd = to_pviommu_dev(dev);
	struct pviommu_map m = {
		.pd = pd,
		.lim = pviommu_get_limits(dev),
		.nents = 1,
		.phys = phys,
		.dir = dir,
	};
	dma_addr_t dma;

	if (WARN_ON_ONCE(!pd))
		return DMA_MAPPING_ERROR;

	if (unlikely(!size || m.lim.align_mask > PVIOMMU_MAX_ALIGN_MASK ||
		     attrs & PVIOMMU_ATTRS_REFUSED)) {
		m.error = -EINVAL;
		goto fail;
	}
	if (unlikely(size > PVIOMMU_MAX_BLOCK)) {
		m.error = -E2BIG;
		goto fail;
	}
	m.error = pviommu_check_page(pfn_to_page(PHYS_PFN(phys)));
	if (unlikely(m.error))
		goto fail;

	m.off = phys & m.lim.align_mask;
	m.len = m.off + size;
	if (unlikely(!pviommu_get(&m, host_copies)))
		goto fail;

	m.slot->phys = phys;
	pviommu_publish(m.slot, PVIOMMU_SLOT_SINGLE);
	dma = pviommu_page_dma(pviommu_space(pd->host, host_copies), m.page) + m.off;
	if (!host_copies)
		pviommu_copy(pviommu_page_virt(&pd->host->window, m.page) + m.off,
			     phys, size, true);

	this_cpu_inc(pd->stats->maps);
	this_cpu_add(pd->stats->bytes_to_device, size);
	trace_pviommu_map(pd->rid, dma, size, 0, dir);
	return dma;
fail:
	pviommu_map_failed(pd, size, attrs, m.error);
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
	unsigned long page;
	u32 len;

	if (WARN_ON_ONCE(!pd))
		return;

	sp = pviommu_space(pd->host, host_copies);
	slot = pviommu_lookup(sp, pd, dma, PVIOMMU_SLOT_SINGLE, &page);
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
	pviommu_put(pd, slot, page, pviommu_copies_back(dir, attrs), host_copies);
	this_cpu_inc(pd->stats->unmaps);
	trace_pviommu_unmap(pd->rid, dma, len, 0, dir);
}

/* ---- scatterlists ---- */

/*
 * How many of the entries of @m fit into a block of at most @cap bytes; @m->len is how
 * long it then has to be. The first entry counts in any case.
 */
static unsigned int pviommu_measure(struct pviommu_map *m, size_t cap)
{
	struct pviommu_layout l;
	struct scatterlist *sg;
	unsigned int i;

	m->error = 0;
	m->len = 0;
	for_each_sg(m->sgl, sg, m->nents, i) {
		m->error = sg->length ? pviommu_check_page(sg_page(sg)) : -EINVAL;
		if (unlikely(m->error))
			return 0;

		pviommu_place(&l, &m->lim, sg_phys(sg), sg->length, !i);
		if (i && l.pos + sg->length > cap)
			break;
		l.pos += sg->length;
		m->len = l.pos;
		if (unlikely(m->len > PVIOMMU_MAX_BLOCK)) {
			m->error = -E2BIG;
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
pviommu_fill(const struct pviommu_map *m, struct pviommu_cursor *c,
	     struct scatterlist *sgl, bool host_copies)
{
	struct pviommu_host *host = m->pd->host;
	dma_addr_t base = pviommu_page_dma(pviommu_space(host, host_copies), m->page);
	void *virt = host_copies ? NULL : pviommu_page_virt(&host->window, m->page);
	struct pviommu_slot *slot = m->slot;
	struct pviommu_layout l = { .pos = slot->off };
	size_t total = 0, end = slot->off;
	unsigned int i, nsegs = 0;

	for (i = 0; i < slot->nents; i++, c->sg = sg_next(c->sg)) {
		phys_addr_t phys = sg_phys(c->sg);
		unsigned int len = c->sg->length;

		if (pviommu_place(&l, &m->lim, phys, len, !i)) {
			c->seg = c->seg ? sg_next(c->seg) : sgl;
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

/* The run that begins at a cursor, and its first page; NULL, and said, if none does */
static struct pviommu_slot *pviommu_run(struct pviommu_dev *pd, struct pviommu_space *sp,
					struct pviommu_cursor *c, const char *what,
					unsigned long *page)
{
	struct pviommu_slot *slot = NULL;

	if (c->sg && c->seg)
		slot = pviommu_lookup(sp, pd, sg_dma_address(c->seg),
				      PVIOMMU_SLOT_SG, page);
	if (unlikely(!slot))
		pviommu_bad_handle(pd->dev, what, c->seg ? sg_dma_address(c->seg) : 0);
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
static size_t pviommu_copy_run(struct pviommu_window *w, unsigned long page,
			       struct pviommu_cursor c, size_t start, size_t end,
			       bool to_device)
{
	struct pviommu_slot *slot = pviommu_slot_of(&w->space, page);
	dma_addr_t base = pviommu_page_dma(&w->space, page);
	void *virt = pviommu_page_virt(w, page);
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
	unsigned long page;

	if (WARN_ON_ONCE(!pd))
		return;

	sp = pviommu_space(pd->host, host_copies);
	trace_pviommu_unmap(pd->rid, sg_dma_address(sgl), 0, nents, dir);
	while (nents > 0) {
		struct pviommu_slot run;

		slot = pviommu_run(pd, sp, &c, "unmap", &page);
		if (!slot)
			return;
		run = *slot;

		if (copy_back) {
			size_t len = slot->len - slot->off;

			if (!host_copies)
				len = pviommu_copy_run(&pd->host->window, page, c,
						       0, slot->len, false);
			this_cpu_add(pd->stats->bytes_from_device, len);
		}
		pviommu_put(pd, slot, page, copy_back, host_copies);
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
	struct pviommu_dev *pd = to_pviommu_dev(dev);
	struct pviommu_map m = {
		.pd = pd,
		.lim = pviommu_get_limits(dev),
		.dir = dir,
		.error = -EINVAL,
	};
	int left = nents, nsegs = 0;
	size_t cap, total = 0;

	if (WARN_ON_ONCE(!pd))
		return -EIO;
	if (unlikely(nents <= 0 || m.lim.align_mask > PVIOMMU_MAX_ALIGN_MASK ||
		     attrs & PVIOMMU_ATTRS_REFUSED))
		goto fail;

	cap = pd->host->max_mapping;
	while (left) {
		m.sgl = c.sg;
		m.nents = min_t(unsigned int, left, max_nents);
		m.nents = pviommu_measure(&m, cap);
		if (unlikely(m.error))
			goto unwind;

		m.off = sg_phys(c.sg) & m.lim.align_mask;
		if (unlikely(!pviommu_get(&m, host_copies))) {
			/* Two pieces may be free where one of the size is not */
			if (m.error == -ENOMEM && m.nents > 1) {
				cap = m.len / 2;
				continue;
			}
			goto unwind;
		}

		m.slot->sgl = sgl;
		m.slot->nents = m.nents;
		total += pviommu_fill(&m, &c, sgl, host_copies);
		pviommu_publish(m.slot, PVIOMMU_SLOT_SG);
		nsegs += m.slot->nsegs;
		left -= m.nents;
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
	pviommu_map_failed(pd, m.len, attrs, m.error);
	/* dma_map_sgtable() knows no others */
	switch (m.error) {
	case -ENOMEM:
	case -EREMOTEIO:
		return m.error;
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
static void pviommu_sync_in_list(struct pviommu_dev *pd, struct pviommu_slot *slot,
				 size_t start, size_t end, bool to_device)
{
	struct pviommu_window *w = &pd->host->window;
	struct pviommu_cursor c = { .sg = slot->sgl, .seg = slot->sgl };
	struct pviommu_slot *run;
	unsigned long page;

	while ((run = pviommu_run(pd, &w->space, &c, "sync", &page))) {
		if (run == slot) {
			pviommu_copy_run(w, page, c, start, end, to_device);
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
	unsigned long page;

	if (!pviommu_sync_copies(dir, to_device))
		return;
	if (WARN_ON_ONCE(!pd))
		return;

	sp = pviommu_space(pd->host, host_copies);
	slot = pviommu_find(pd->host, sp, dma, &page);
	/* dma_alloc_pages() memory is synced too, and is the window in any mode */
	if (host_copies && !slot)
		slot = pviommu_find(pd->host, &pd->host->window.space, dma, &page);
	if (unlikely(!slot || slot->rid != pd->rid)) {
		pviommu_bad_handle(dev, "sync", dma);
		return;
	}
	if (slot->state == PVIOMMU_SLOT_COHERENT)
		return;

	off = dma - pviommu_page_dma(sp, page);
	start = max_t(size_t, off, slot->off);
	end = off + min_t(size_t, size, slot->len);
	end = min_t(size_t, end, slot->len);
	if (unlikely(start >= end))
		return;

	if (host_copies)
		pviommu_arena_sync(pd, page, start, end, to_device);
	else if (likely(slot->state == PVIOMMU_SLOT_SINGLE))
		pviommu_copy(pviommu_page_virt(&pd->host->window, page) + start,
			     slot->phys + start - slot->off, end - start, to_device);
	else
		pviommu_sync_in_list(pd, slot, start, end, to_device);
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
	unsigned long page;
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
		slot = pviommu_run(pd, pviommu_space(pd->host, host_copies), &c, "sync",
				   &page);
		if (!slot)
			return;

		if (host_copies) {
			pviommu_arena_sync(pd, page, slot->off, slot->len, to_device);
			len += slot->len - slot->off;
		} else {
			len += pviommu_copy_run(&pd->host->window, page, c, 0,
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
