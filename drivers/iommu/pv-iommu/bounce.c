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
	/* e1000e unmaps the receive buffers that it could not map; others do not mind */
	if (dma == DMA_MAPPING_ERROR) {
		dev_warn_once(dev, "pv_iommu: %s of a mapping that has failed; ignored\n", what);
		return;
	}
	dev_WARN_ONCE(dev, 1, "pv_iommu: %s of DMA address %pad, which is not mapped\n",
		      what, &dma);
}

/* Memory of the host device's that dma_alloc_pages() may have handed out */
static bool pviommu_own_memory(struct pviommu_host *host, phys_addr_t phys)
{
	return phys - host->window.phys < host->window.size ||
	       phys - host->low.pgmap.range.start < (u64)host->low.npages << PAGE_SHIFT;
}

/*
 * Memory that is no RAM cannot be bounced. The host device's own can: a driver may
 * map what it was given. That has to be known from its address. If the driver has it
 * on a list by page->lru, that is where pgmap was.
 */
static __always_inline int pviommu_check_page(struct pviommu_host *host,
					      struct page *page)
{
	if (unlikely(is_zone_device_page(page)) &&
	    !pviommu_own_memory(host, page_to_phys(page)) && is_pci_p2pdma_page(page))
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

/*
 * A block that is larger than CPUs keep, or instead of one that lies higher than the
 * device reaches: @high, which goes back. No struct pviommu_map, which would then have
 * to be in memory.
 */
static noinline struct pviommu_slot *
pviommu_get_window_slow(struct pviommu_domain *d, size_t len, unsigned int order,
			u64 dma_limit, struct pviommu_slot *high)
{
	const struct pviommu_want want = {
		.npages = PFN_UP(len),
		.order = order,
		.dma_limit = dma_limit,
	};

	if (high)
		pviommu_window_free(d, high, high->page);
	return pviommu_window_alloc_exact(d, &want);
}

/* A block of the device's domain, for all of @m */
static __always_inline struct pviommu_slot *
pviommu_get_window(const struct pviommu_map *m)
{
	struct pviommu_space *sp = &m->pd->host->window.space;
	struct pviommu_domain *d = m->pd->domain;
	struct pviommu_slot *slot = NULL;
	/* Keeping bits above a page takes a block that is aligned to them */
	unsigned int order = fls64(max_t(u64, m->len - 1, m->lim.align_mask) >> PAGE_SHIFT);

	if (likely(order < PVIOMMU_CACHE_ORDERS)) {
		slot = pviommu_window_alloc(d, order);
		if (likely(!slot || pviommu_page_dma(sp, slot->page) + m->len - 1 <=
				    m->lim.dma_limit))
			return slot;
	}
	return pviommu_get_window_slow(d, m->len, order, m->lim.dma_limit, slot);
}

/* On success @m->slot and @m->page are set, else @m->error */
static __always_inline bool pviommu_get(struct pviommu_map *m, bool host_copies)
{
	struct pviommu_window *w = &m->pd->host->window;

	if (host_copies) {
		if (unlikely(!pviommu_arena_map(m)))
			return false;
	} else {
		m->slot = pviommu_get_window(m);
		if (unlikely(!m->slot)) {
			m->error = -ENOMEM;
			return false;
		}
		m->page = m->slot->page;
		pviommu_pad(pviommu_page_virt(w, m->page), m->slot, m->off, m->len);
	}

	m->slot->len = m->len;
	m->slot->off = m->off;
	WRITE_ONCE(m->slot->rid, m->pd->rid);
	return true;
}

/*
 * From here on the block is found: by lookups of this device, and by who looks
 * for what a device has left. They must see whose it is, not whose it was.
 */
static __always_inline void pviommu_publish(struct pviommu_slot *slot,
					    enum pviommu_slot_state state)
{
	/* Pairs with pviommu_find(), and with who looks for what is left */
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

/* Is a block what somebody has mapped, and not coherent memory? */
static __always_inline bool pviommu_is_streaming(struct pviommu_slot *slot)
{
	u8 state = READ_ONCE(slot->state);

	return state == PVIOMMU_SLOT_SINGLE || state == PVIOMMU_SLOT_SG;
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
	bool window = sp == &host->window.space;
	/* No further than to the chunk's start: what is before may be gone at any time */
	unsigned int order, most = window ? sp->shift : PVIOMMU_MAX_ORDER;
	struct pviommu_slot *slot;
	struct pviommu_chunk *c;

	if (dma - sp->dma >= sp->size)
		return NULL;

	for (order = 0; order <= most; order++) {
		unsigned long first = (base + page) & ~(BIT(order) - 1);

		if (first < base)
			break;
		*head = first - base;
		slot = pviommu_slot_of(sp, *head);
		/* Others' blocks, which may come and go, are looked at, too */
		if (slot && smp_load_acquire(&slot->state) != PVIOMMU_SLOT_FREE &&
		    READ_ONCE(slot->order) >= order &&
		    page - *head < (READ_ONCE(slot->npages) ?: BIT(READ_ONCE(slot->order))))
			return slot;
	}

	/* One of several chunks, which need not be aligned to its size */
	c = window ? READ_ONCE(host->window.chunks[page >> sp->shift]) : NULL;
	if (!c || c->head == c->index)
		return NULL;
	*head = (unsigned long)c->head << sp->shift;
	slot = pviommu_slot_of(sp, *head);
	/* Pairs with the release of who took the memory */
	return slot && smp_load_acquire(&slot->state) != PVIOMMU_SLOT_FREE ? slot : NULL;
}

/* A block whose data starts in a later page than its first, or none */
static noinline struct pviommu_slot *
pviommu_lookup_slow(struct pviommu_space *sp, struct pviommu_dev *pd,
		    dma_addr_t dma, enum pviommu_slot_state state)
{
	unsigned long page;
	struct pviommu_slot *slot = pviommu_find(pd->host, sp, dma, &page);

	if (!slot || READ_ONCE(slot->state) != state ||
	    READ_ONCE(slot->rid) != pd->rid ||
	    pviommu_page_dma(sp, page) + slot->off != dma)
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

/* The first page of a block whose data starts at an address */
static __always_inline unsigned long pviommu_head(struct pviommu_space *sp,
						  struct pviommu_slot *slot,
						  dma_addr_t dma)
{
	return pviommu_page_at(sp, dma - slot->off);
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
	m.error = pviommu_check_phys(pd->host, phys);
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

	if (!host_copies)
		pviommu_domain_served(pd->domain, size, size);
	this_cpu_inc(pd->stats->maps);
	this_cpu_add(pd->stats->bytes_to_device, size);
	trace_pviommu_map(pd->rid, dma, size, 0, dir);
	return dma;
fail:
	if (!host_copies && m.error == -ENOMEM)
		pviommu_domain_unserved(pd->domain, size, size);
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
	slot = pviommu_lookup(sp, pd, dma, PVIOMMU_SLOT_SINGLE);
	if (unlikely(!slot)) {
		pviommu_bad_handle(dev, "unmap", dma);
		return;
	}

	len = slot->len - slot->off;
	page = pviommu_head(sp, slot, dma);
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

/* sg_next(), inline: its call would be half of what an entry costs */
static __always_inline struct scatterlist *pviommu_sg_next(struct scatterlist *sg)
{
	if (unlikely(sg_is_last(sg)))
		return NULL;
	sg++;
	return unlikely(sg_is_chain(sg)) ? sg_chain_ptr(sg) : sg;
}

/*
 * How many of the entries of @m fit into a block of at most @cap bytes; @m->len is how
 * long it then has to be, and @m->nsegs how many segments there will be. The first
 * entry counts in any case, and empty ones do not.
 */
static __always_inline unsigned int pviommu_measure(struct pviommu_map *m, size_t cap,
						    bool host_copies)
{
	const unsigned int max_nents = host_copies ? PV_IOMMU_MAX_SEGS :
						     PVIOMMU_RUN_NENTS;
	unsigned int i, n = 0, segs = 0;
	const unsigned int nents = min_t(unsigned int, m->nents, U16_MAX);
	struct scatterlist *sg = m->sgl;
	struct pviommu_layout l;
	size_t end = 0;

	m->error = 0;
	for (i = 0; i < nents; i++, sg = pviommu_sg_next(sg)) {
		if (unlikely(!sg->length))
			continue;
		m->error = pviommu_check_page(m->pd->host, sg_page(sg));
		if (unlikely(m->error))
			return 0;

		segs += pviommu_place(&l, &m->lim, sg_phys(sg), sg->length, !n);
		l.pos += sg->length;
		if (n && (n == max_nents || l.pos > cap))
			break;
		n++;
		end = l.pos;
		if (unlikely(end > PVIOMMU_MAX_BLOCK)) {
			m->len = end;
			m->error = -E2BIG;
			return 0;
		}
	}
	if (unlikely(!n))
		m->error = -EINVAL;
	m->nsegs = segs;
	m->len = end;
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

/* @next comes after @c->sg, which in a list of one segment is where the note is */
static __always_inline void pviommu_note(struct pviommu_cursor *c,
					 struct scatterlist *next, dma_addr_t dma)
{
	if (c->note) {
		sg_dma_address(c->note) = dma;
		sg_dma_len(c->note) = 0;
		c->note = c->note == c->sg ? next : pviommu_sg_next(c->note);
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
pviommu_fill(const struct pviommu_map *m, struct pviommu_cursor *c,
	     struct scatterlist *sgl, bool host_copies)
{
	struct pviommu_host *host = m->pd->host;
	dma_addr_t base = pviommu_page_dma(pviommu_space(host, host_copies), m->page);
	void *virt = host_copies ? NULL : pviommu_page_virt(&host->window, m->page);
	struct pviommu_slot *slot = m->slot;
	struct pviommu_layout l = { .pos = slot->off };
	size_t total = 0, end = slot->off;
	struct scatterlist *next;
	unsigned int i, nsegs = 0;

	for (i = 0; i < m->nents; i++, c->sg = next) {
		phys_addr_t phys = sg_phys(c->sg);
		unsigned int len = c->sg->length;

		next = pviommu_sg_next(c->sg);
		if (unlikely(!len)) {
			pviommu_note(c, next, base + l.pos);
			continue;
		}
		if (pviommu_place(&l, &m->lim, phys, len, !nsegs)) {
			c->seg = c->seg ? sg_next(c->seg) : sgl;
			sg_dma_address(c->seg) = base + l.pos;
			sg_dma_len(c->seg) = 0;
			nsegs++;
			if (!host_copies && l.pos > end)
				memset(virt + end, 0, l.pos - end);
		} else if (!host_copies) {
			pviommu_note(c, next, base + l.pos);
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
		sg = pviommu_sg_next(sg);
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
		p->note = pviommu_sg_next(p->note);
		p->note_pos = pviommu_place_of(p->note, --p->nnotes, base);
	} else {
		pos = p->seg_pos;
		if (pos != SIZE_MAX) {
			p->seg = pviommu_sg_next(p->seg);
			p->seg_pos = pviommu_place_of(p->seg, --p->nsegs, base);
		}
	}
	return pos;
}

/* The run that begins at a cursor, and its first page; NULL, and said, if none does */
static struct pviommu_slot *pviommu_run(struct pviommu_dev *pd, struct pviommu_space *sp,
					struct pviommu_cursor *c, const char *what,
					unsigned long *page)
{
	struct pviommu_slot *slot = NULL;

	if (c->sg && c->seg)
		slot = pviommu_lookup(sp, pd, sg_dma_address(c->seg), PVIOMMU_SLOT_SG);
	if (unlikely(!slot))
		pviommu_bad_handle(pd->dev, what, c->seg ? sg_dma_address(c->seg) : 0);
	else
		*page = pviommu_head(sp, slot, sg_dma_address(c->seg));
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
 * All of a run that is one segment, as most are: there each entry's own DMA member
 * says where it lies, and the entry behind it where it ends.
 */
static __always_inline size_t
pviommu_copy_segment(struct pviommu_window *w, const struct pviommu_slot *slot,
		     struct scatterlist *sg, bool to_device)
{
	size_t left = slot->len - slot->off, copied = 0, room, len;
	void *virt = w->virt + (sg_dma_address(sg) - w->space.dma);
	unsigned int nents = slot->nents;
	struct scatterlist *next;

	do {
		next = --nents ? pviommu_sg_next(sg) : NULL;
		room = next ? sg_dma_address(next) - sg_dma_address(sg) : left;
		if (unlikely(room > left))
			break;
		len = min_t(size_t, sg->length, room);
		pviommu_copy(virt, sg_phys(sg), len, to_device);
		copied += len;
		left -= room;
		virt += room;
		sg = next;
	} while (sg);
	return copied;
}

/*
 * Copy the part of a run that lies in @start..@end (bytes from the start of the
 * block) between window and caller. The list's DMA members say where each entry
 * lies, so this holds whatever became of the device's limits and of the entries'
 * lengths since the map. Members that make no sense end it.
 *
 * Return: the bytes copied.
 */
static size_t pviommu_copy_run(struct pviommu_window *w, unsigned long page,
			       struct pviommu_cursor c, size_t start, size_t end,
			       bool to_device)
{
	struct pviommu_slot *slot = pviommu_slot_of(&w->space, page);
	dma_addr_t base = pviommu_page_dma(&w->space, page);
	struct pviommu_places places = {
		.seg = c.seg,
		.nsegs = slot->nsegs,
		.nnotes = slot->nents - slot->nsegs,
	};
	void *virt = pviommu_page_virt(w, page);
	size_t copied = 0, pos, next;
	unsigned int i;

	if (places.nsegs == 1 && !start && end == slot->len)
		return to_device ? pviommu_copy_segment(w, slot, c.sg, true) :
				   pviommu_copy_segment(w, slot, c.sg, false);

	/* The whole list is one run, if it has places noted down */
	if (places.nnotes)
		places.note = pviommu_skip(c.sg, slot->nsegs);
	places.seg_pos = pviommu_place_of(places.seg, places.nsegs, base);
	places.note_pos = pviommu_place_of(places.note, places.nnotes, base);

	pos = pviommu_next_place(&places, base);
	for (i = 0; i < slot->nents && c.sg;
	     i++, c.sg = pviommu_sg_next(c.sg), pos = next) {
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

/* A list has found no room: for all of it, or for the longest entry */
static noinline void pviommu_list_unserved(struct pviommu_domain *d, struct scatterlist *sgl,
					   unsigned int nents)
{
	struct scatterlist *sg;
	size_t max = 0;
	unsigned int i;

	for_each_sg(sgl, sg, nents, i)
		max = max_t(size_t, max, sg->length);
	pviommu_domain_unserved(d, pviommu_sg_size(sgl, nents), max);
}

static __always_inline int
pviommu_map_sg(struct device *dev, struct scatterlist *sgl, int nents,
	       enum dma_data_direction dir, unsigned long attrs, bool host_copies)
{
	struct pviommu_cursor c = { .sg = sgl, .seg = NULL };
	struct pviommu_dev *pd = to_pviommu_dev(dev);
	struct pviommu_map m = {
		.pd = pd,
		.lim = pviommu_get_limits(dev),
		.dir = dir,
		.error = -EINVAL,
	};
	int left = nents, nsegs = 0;
	size_t cap, total = 0, largest = 0;

	if (WARN_ON_ONCE(!pd))
		return -EIO;
	if (unlikely(nents <= 0 || m.lim.align_mask > PVIOMMU_MAX_ALIGN_MASK ||
		     attrs & PVIOMMU_ATTRS_REFUSED))
		goto fail;

	cap = pd->host->max_mapping;
	while (left) {
		m.sgl = c.sg;
		m.nents = left;
		m.nents = pviommu_measure(&m, cap, host_copies);
		if (unlikely(m.error))
			goto unwind;
		/* Places are noted for lists of one run, so that others need none */
		if (unlikely(m.nents < nents && m.lim.max_seg && !host_copies)) {
			m.error = pviommu_no_merging(sgl, nents, &m.lim);
			if (m.error)
				goto unwind;
			continue;
		}

		m.off = sg_phys(pviommu_first(c.sg)) & m.lim.align_mask;
		if (unlikely(!pviommu_get(&m, host_copies))) {
			/*
			 * Two pieces may be free where one of the size is not. What is
			 * longer than asked for is one entry, and no shorter to be had.
			 */
			if (m.error == -ENOMEM && m.nents > 1 && m.len <= cap) {
				cap = m.len / 2;
				continue;
			}
			goto unwind;
		}

		if (!host_copies && m.nsegs < m.nents)
			c.note = pviommu_skip(sgl, m.nsegs);
		m.slot->sgl = sgl;
		m.slot->nents = m.nents;
		largest = max(largest, m.len);
		total += pviommu_fill(&m, &c, sgl, host_copies);
		pviommu_publish(m.slot, PVIOMMU_SLOT_SG);
		nsegs += m.slot->nsegs;
		left -= m.nents;
	}

	if (nsegs < nents)
		sg_dma_len(sg_next(c.seg)) = 0;
	if (!host_copies)
		pviommu_domain_served(pd->domain, total, largest);
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
	if (!host_copies && m.error == -ENOMEM)
		pviommu_list_unserved(pd->domain, sgl, nents);
fail:
	pviommu_map_failed(pd, m.len ?: pviommu_sg_size(sgl, nents), attrs, m.error);
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

/**
 * struct pviommu_sync - a sync by address
 * @pd: the device
 * @sp: where its mappings are
 * @dir: of the mapping
 * @to_device: which way to copy
 */
struct pviommu_sync {
	struct pviommu_dev *pd;
	struct pviommu_space *sp;
	enum dma_data_direction dir;
	bool to_device;
};

/*
 * Copy what of a range lies in the block whose first page is @page. Returns where the
 * block's data ends.
 */
static __always_inline dma_addr_t
pviommu_sync_block(const struct pviommu_sync *sync, unsigned long page, dma_addr_t dma,
		   size_t size, bool host_copies)
{
	struct pviommu_slot *slot = pviommu_slot_of(sync->sp, page);
	struct pviommu_dev *pd = sync->pd;
	size_t start, end, off;

	off = dma - pviommu_page_dma(sync->sp, page);
	start = max_t(size_t, off, slot->off);
	end = off + min_t(size_t, size, slot->len);
	end = min_t(size_t, end, slot->len);
	if (unlikely(start >= end))
		return dma - off + slot->len;

	if (host_copies)
		pviommu_arena_sync(pd, page, start, end, sync->to_device);
	else if (likely(slot->state == PVIOMMU_SLOT_SINGLE))
		pviommu_copy(pviommu_page_virt(&pd->host->window, page) + start,
			     slot->phys + start - slot->off, end - start,
			     sync->to_device);
	else
		pviommu_sync_in_list(pd, slot, start, end, sync->to_device);
	pviommu_count_sync(pd, end - start, sync->to_device);
	trace_pviommu_sync(pd->rid, dma, end - start, 0, sync->dir);
	return dma - off + slot->len;
}

/*
 * Mappings that follow one another without a gap can be one to their driver:
 * AF_XDP treats pages so, which are for both directions. What goes on past the last
 * of them is nobody's.
 */
static noinline void pviommu_sync_neighbours(const struct pviommu_sync *sync,
					     dma_addr_t dma, size_t size,
					     bool host_copies)
{
	/* The chunk that comes next may go at any time, and with it what is known of it */
	rcu_read_lock();
	while (size) {
		unsigned long page;
		struct pviommu_slot *slot = pviommu_find(sync->pd->host, sync->sp, dma,
							 &page);
		dma_addr_t end;

		/* It has to begin here, which data behind an offset does not */
		if (!slot || READ_ONCE(slot->rid) != sync->pd->rid ||
		    !pviommu_is_streaming(slot) ||
		    slot->off || pviommu_page_dma(sync->sp, page) != dma)
			break;
		end = pviommu_sync_block(sync, page, dma, size, host_copies);
		size -= min_t(size_t, size, end - dma);
		dma = end;
	}
	rcu_read_unlock();
}

static __always_inline void
pviommu_sync_single(struct device *dev, dma_addr_t dma, size_t size,
		    enum dma_data_direction dir, bool to_device, bool host_copies)
{
	struct pviommu_dev *pd = to_pviommu_dev(dev);
	struct pviommu_sync sync = { .pd = pd, .dir = dir, .to_device = to_device };
	struct pviommu_slot *slot;
	unsigned long page;
	dma_addr_t end;

	if (!pviommu_sync_copies(dir, to_device))
		return;
	if (WARN_ON_ONCE(!pd))
		return;

	sync.sp = pviommu_space(pd->host, host_copies);
	slot = pviommu_find(pd->host, sync.sp, dma, &page);
	/* dma_alloc_pages() memory is synced too, and is the window in any mode */
	if (host_copies && !slot)
		slot = pviommu_find(pd->host, &pd->host->window.space, dma, &page);
	if (unlikely(!slot || READ_ONCE(slot->rid) != pd->rid)) {
		pviommu_bad_handle(dev, "sync", dma);
		return;
	}
	/* Coherent memory, also that of a driver before this one */
	if (!pviommu_is_streaming(slot))
		return;

	end = pviommu_sync_block(&sync, page, dma, size, host_copies);
	/* Others' data may be on its way in the other direction */
	if (unlikely(size > end - dma) && dir == DMA_BIDIRECTIONAL)
		pviommu_sync_neighbours(&sync, end, size - (end - dma), host_copies);
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

	/* dma_alloc_noncontiguous() memory: a list of one, where coherent memory is */
	slot = pviommu_slot_at(&pd->host->window.space, sg_dma_address(sgl));
	if (host_copies && !slot)
		slot = pviommu_slot_at(&pd->host->arena, sg_dma_address(sgl));
	if (slot && slot->rid == pd->rid &&
	    (slot->state == PVIOMMU_SLOT_COHERENT || slot->state == PVIOMMU_SLOT_ORPHAN))
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
