// SPDX-License-Identifier: GPL-2.0
/*
 * pv-iommu: direct mappings: the caller's own pages, and no copy
 *
 * A driver that maps memory once and never syncs it gets stale data from bounced
 * pages. Where the host offers it, whole pages are granted to the device's domain
 * instead, at a DMA address that follows from their own:
 *
 * - what must not be copied (DMA_ATTR_REQUIRE_COHERENT);
 * - what is mapped for both directions, as who never syncs does;
 * - all whole pages of the devices whose drivers never sync: displays, processing
 *   accelerators, and those that direct= names.
 *
 * Parts of pages bounce, as the rest of such a page would be shown as well; and so
 * does what the device's mask or limits do not allow, and the window's own memory.
 *
 * A page may be in several mappings at once, and is granted once: a domain counts
 * its pages. The first mapping decides whether the device may write to it, since
 * that cannot be changed while it is in use; one that wants more is not direct.
 *
 * The last unmap of a page that the device may write has it revoked before it
 * returns. One that it may only read is queued, and rides with the domain's next
 * request; or with one of its own, soon. One lock of the domain is held from the
 * count to the host's answer, so that grants and revokes of a page are in order.
 */
#include <linux/dma-map-ops.h>
#include <linux/dma-mapping.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>

#include "pviommu.h"
#include "bounce.h"
#include "direct.h"
#include "compat/dma-map-ops.h"
#include "compat/dma-mapping.h"
#include "compat/workqueue.h"
#include "trace.h"

/* Pages of a leaf of a domain's table, as a power of two */
#define PVIOMMU_LEAF_SHIFT	9

/* What is kept of a page: how many mappings it is in; and in the upper bits: */
#define PVIOMMU_PAGE_USERS	0x3fff
#define PVIOMMU_PAGE_WRITE	0x4000	/* it is granted for writing, too */
#define PVIOMMU_PAGE_QUEUED	0x8000	/* its revoke waits in the queue */

/* How long a revoke may stay queued: until then the device can read the page */
#define PVIOMMU_REVOKE_DELAY	msecs_to_jiffies(10)

struct pviommu_leaf {
	u16 page[1 << PVIOMMU_LEAF_SHIFT];
};

/**
 * struct pviommu_batch - grants or revokes on their way to the host
 * @pd: the device; NULL: for none in particular
 * @d: the domain
 * @ch: the request
 * @flags: the interrupt state
 * @opcode: GRANT_RAM or REVOKE_RAM
 * @nr: ranges in the request
 * @pages: pages in them
 * @rings: how often the host was asked
 * @refused: the host did not take back all that it should
 */
struct pviommu_batch {
	struct pviommu_dev *pd;
	struct pviommu_domain *d;
	struct pviommu_channel *ch;
	unsigned long flags;
	u16 opcode;
	unsigned int nr;
	unsigned int pages;
	unsigned int rings;
	bool refused;
};

/* ---- a domain's table of pages ---- */

static u16 *pviommu_page(struct pviommu_domain *d, unsigned long pfn)
{
	struct pviommu_leaf *leaf = xa_load(&d->ram.leaves, pfn >> PVIOMMU_LEAF_SHIFT);

	return leaf ? &leaf->page[pfn & (BIT(PVIOMMU_LEAF_SHIFT) - 1)] : NULL;
}

/* See that there are leaves for a range of pages, before any lock is taken */
static bool pviommu_prepare(struct pviommu_domain *d, unsigned long pfn,
			    unsigned long last)
{
	unsigned long i;

	for (i = pfn >> PVIOMMU_LEAF_SHIFT; i <= last >> PVIOMMU_LEAF_SHIFT; i++) {
		struct pviommu_leaf *leaf, *old;
		unsigned long flags;

		if (xa_load(&d->ram.leaves, i))
			continue;
		leaf = kzalloc(sizeof(*leaf), GFP_NOWAIT | __GFP_NOWARN);
		if (!leaf)
			return false;
		xa_lock_irqsave(&d->ram.leaves, flags);
		old = __xa_cmpxchg(&d->ram.leaves, i, NULL, leaf,
				   GFP_NOWAIT | __GFP_NOWARN);
		xa_unlock_irqrestore(&d->ram.leaves, flags);
		if (old)	/* somebody else's, or no memory */
			kfree(leaf);
		if (xa_is_err(old))
			return false;
	}
	return true;
}

/* ---- requests: the domain's ram.lock is held ---- */

static void pviommu_batch_begin(struct pviommu_batch *b, u16 opcode)
	__acquires(pviommu_channel)
	__acquires(pviommu_ram)
{
	b->opcode = opcode;
	b->ch = pviommu_req_begin(b->d->host, opcode, 0, &b->flags);
	raw_spin_lock(&b->d->ram.lock);
}

/* What there is to be said of it is said when the locks are free */
static void pviommu_batch_end(struct pviommu_batch *b)
	__releases(pviommu_ram)
	__releases(pviommu_channel)
{
	raw_spin_unlock(&b->d->ram.lock);
	pviommu_req_end(b->d->host, b->ch, b->flags);
	if (unlikely(b->refused))
		dev_err_ratelimited(&b->d->host->pdev->dev, "host refused to take back pages of domain %u; its devices may reach them still\n",
				    b->d->id);
	if (b->pd && b->rings) {
		this_cpu_add(b->pd->stats->hypercalls, b->rings);
		if (b->opcode == PV_IOMMU_OP_GRANT_RAM)
			this_cpu_add(b->pd->stats->hypercalls_map, b->rings);
		else
			this_cpu_add(b->pd->stats->hypercalls_unmap, b->rings);
	}
}

/* The queue goes along, and is done first: a page in it may be granted anew */
static void pviommu_queue_load(struct pviommu_domain *d, struct pv_iommu_req *req)
{
	unsigned int i;

	for (i = 0; i < d->ram.nr_queued; i++)
		req->revokes[i] = (struct pv_iommu_revoke) {
			.domain = cpu_to_le32(d->id),
			.first = cpu_to_le32(d->ram.queue[i].first),
			.count = cpu_to_le32(d->ram.queue[i].count),
			.flags = cpu_to_le32(PV_IOMMU_REVOKE_RAM),
		};
	req->nr_revokes = cpu_to_le16(d->ram.nr_queued);
}

static void pviommu_queue_done(struct pviommu_domain *d)
{
	unsigned int i;
	u32 pfn;

	for (i = 0; i < d->ram.nr_queued; i++) {
		struct pviommu_run *run = &d->ram.queue[i];

		for (pfn = run->first; pfn < run->first + run->count; pfn++) {
			u16 *page = pviommu_page(d, pfn);

			*page &= ~PVIOMMU_PAGE_QUEUED;
		}
	}
	d->ram.nr_queued = 0;
}

static int pviommu_batch_ring(struct pviommu_batch *b)
{
	struct pv_iommu_req *req = b->ch->req;
	int ret;

	if (!b->nr && !b->d->ram.nr_queued)
		return 0;
	if (!b->nr)
		req->opcode = cpu_to_le16(PV_IOMMU_OP_NOP);
	req->domain = cpu_to_le32(b->nr ? b->d->id : 0);
	req->nr_segs = cpu_to_le16(b->nr);
	pviommu_queue_load(b->d, req);
	ret = pviommu_req_ring(b->d->host, b->ch);
	pviommu_queue_done(b->d);
	b->rings++;
	/* A revoke that was refused does not undo the grant that it rode with */
	if (ret == -EIO && le32_to_cpu(READ_ONCE(req->status)) == PV_IOMMU_S_OK) {
		b->refused = true;
		ret = 0;
	}
	pviommu_req_clear(req, b->opcode, 0);
	b->nr = 0;
	b->pages = 0;
	return ret;
}

/* One more page; the request has room for it */
static void pviommu_batch_add(struct pviommu_batch *b, unsigned long pfn, u32 flags)
{
	struct pv_iommu_range *r = &b->ch->req->ranges[b->nr];

	if (b->nr && r[-1].flags == cpu_to_le32(flags) &&
	    le64_to_cpu(r[-1].first) + le32_to_cpu(r[-1].count) == pfn) {
		le32_add_cpu(&r[-1].count, 1);
	} else {
		*r = (struct pv_iommu_range) {
			.first = cpu_to_le64(pfn),
			.count = cpu_to_le32(1),
			.flags = cpu_to_le32(flags),
		};
		b->nr++;
	}
	b->pages++;
}

static bool pviommu_batch_full(struct pviommu_batch *b)
{
	return b->nr == PV_IOMMU_MAX_RANGES || b->pages == PV_IOMMU_MAX_PAGES;
}

/* A page that nothing uses any more, and that the device could only read */
static void pviommu_queue_add(struct pviommu_batch *b, unsigned long pfn)
{
	struct pviommu_domain *d = b->d;
	struct pviommu_run *run = &d->ram.queue[d->ram.nr_queued];

	if (d->ram.nr_queued && run[-1].first + run[-1].count == pfn &&
	    run[-1].count < PV_IOMMU_MAX_PAGES) {
		run[-1].count++;
		return;
	}
	if (d->ram.nr_queued == PV_IOMMU_MAX_REVOKES) {
		b->refused |= pviommu_batch_ring(b) != 0;
		run = d->ram.queue;
	}
	run->first = pfn;
	run->count = 1;
	d->ram.nr_queued++;
}

static void pviommu_queue_work(struct work_struct *work)
{
	struct pviommu_batch b = {
		.d = container_of(to_delayed_work(work), struct pviommu_domain, ram.flush),
	};

	pviommu_batch_begin(&b, PV_IOMMU_OP_NOP);
	b.refused |= pviommu_batch_ring(&b) != 0;
	pviommu_batch_end(&b);
}

/* ---- pages of a mapping, by its DMA segments ---- */

static u64 pviommu_direct_dma(struct pviommu_domain *d)
{
	return d->host->direct_dma;
}

/*
 * Give up the first @most pages of a mapping: those that nothing else uses are
 * revoked, or queued for it. With @granted false the host has not granted those.
 */
static void pviommu_untake(struct pviommu_batch *b, struct scatterlist *seg,
			   unsigned int nsegs, unsigned long skip, unsigned long most,
			   bool granted)
{
	struct pviommu_domain *d = b->d;

	for (; nsegs && seg && most; nsegs--, seg = sg_next(seg)) {
		unsigned long pfn = PHYS_PFN(sg_dma_address(seg) - pviommu_direct_dma(d));
		unsigned long end = pfn + PHYS_PFN(sg_dma_len(seg));

		for (; pfn < end && most; pfn++) {
			u16 *page;

			if (skip) {
				skip--;
				continue;
			}
			most--;
			page = pviommu_page(d, pfn);
			if (!page || !(*page & PVIOMMU_PAGE_USERS))
				continue;
			(*page)--;
			if (*page & PVIOMMU_PAGE_USERS)
				continue;
			if (!granted) {
				*page &= PVIOMMU_PAGE_QUEUED;
			} else if (*page & PVIOMMU_PAGE_WRITE) {
				*page = 0;
				pviommu_batch_add(b, pfn, 0);
				if (pviommu_batch_full(b))
					b->refused |= pviommu_batch_ring(b) != 0;
			} else {
				*page = PVIOMMU_PAGE_QUEUED;
				pviommu_queue_add(b, pfn);
			}
		}
	}
}

/* What is to be revoked at once goes; what is queued, soon */
static void pviommu_untake_end(struct pviommu_batch *b)
{
	if (b->nr)
		b->refused |= pviommu_batch_ring(b) != 0;
	if (b->d->ram.nr_queued)
		queue_delayed_work(system_percpu_wq, &b->d->ram.flush,
				   PVIOMMU_REVOKE_DELAY);
}

/* Count the pages of a mapping, and have those granted that are not: all, or none */
static int pviommu_take(struct pviommu_batch *b, struct scatterlist *sgl,
			unsigned int nsegs, bool write)
{
	u32 flags = PV_IOMMU_RANGE_READ | (write ? PV_IOMMU_RANGE_WRITE : 0);
	struct pviommu_domain *d = b->d;
	/* Pages that the host has granted, and those that were looked at */
	unsigned long done = 0, taken = 0;
	struct scatterlist *seg = sgl;
	unsigned int i;
	int ret = 0;

	for (i = 0; i < nsegs && !ret; i++, seg = sg_next(seg)) {
		unsigned long pfn = PHYS_PFN(sg_dma_address(seg) - pviommu_direct_dma(d));
		unsigned long end = pfn + PHYS_PFN(sg_dma_len(seg));

		for (; pfn < end && !ret; pfn++) {
			u16 *page = pviommu_page(d, pfn);

			if (*page & PVIOMMU_PAGE_USERS) {
				if ((write && !(*page & PVIOMMU_PAGE_WRITE)) ||
				    (*page & PVIOMMU_PAGE_USERS) == PVIOMMU_PAGE_USERS) {
					ret = -EBUSY;
					break;
				}
				(*page)++;
				taken++;
				continue;
			}
			*page = (*page & PVIOMMU_PAGE_QUEUED) | 1 |
				(write ? PVIOMMU_PAGE_WRITE : 0);
			taken++;
			pviommu_batch_add(b, pfn, flags);
			if (pviommu_batch_full(b)) {
				ret = pviommu_batch_ring(b);
				if (!ret)
					done = taken;
			}
		}
	}
	if (!ret && b->nr)
		ret = pviommu_batch_ring(b);
	if (!ret)
		return 0;

	/* What is in no request yet never will be */
	pviommu_req_clear(b->ch->req, PV_IOMMU_OP_REVOKE_RAM, 0);
	b->nr = 0;
	b->pages = 0;
	b->opcode = PV_IOMMU_OP_REVOKE_RAM;
	pviommu_untake(b, sgl, nsegs, done, taken - done, false);
	pviommu_untake(b, sgl, nsegs, 0, done, true);
	pviommu_untake_end(b);
	return ret;
}

static int pviommu_direct_take(struct pviommu_dev *pd, struct scatterlist *sgl,
			       unsigned int nsegs, bool write)
{
	struct pviommu_batch b = { .pd = pd, .d = pd->domain };
	int ret;

	pviommu_batch_begin(&b, PV_IOMMU_OP_GRANT_RAM);
	ret = pviommu_take(&b, sgl, nsegs, write);
	pviommu_batch_end(&b);
	return ret;
}

static void pviommu_direct_put(struct pviommu_dev *pd, struct scatterlist *sgl,
			       unsigned int nsegs)
{
	struct pviommu_batch b = { .pd = pd, .d = pd->domain };

	pviommu_batch_begin(&b, PV_IOMMU_OP_REVOKE_RAM);
	pviommu_untake(&b, sgl, nsegs, 0, ULONG_MAX, true);
	pviommu_untake_end(&b);
	pviommu_batch_end(&b);
}

/* ---- may it be direct? ---- */

/* Whole pages of RAM that the device reaches, and leaves for them */
static int pviommu_direct_check(struct pviommu_dev *pd, phys_addr_t phys, size_t len,
				const struct pviommu_limits *lim)
{
	struct pviommu_host *host = pd->host;
	struct pviommu_domain *d = pd->domain;
	u64 last = phys + len - 1;

	if (!len || len > U32_MAX || !PAGE_ALIGNED(phys | len) || last < phys ||
	    last >= host->direct_size || host->direct_dma + last > lim->dma_limit ||
	    pviommu_crosses(host->direct_dma + phys, len, lim->boundary_mask))
		return -EOPNOTSUPP;
	/* Of a device, or the window's, which is granted otherwise */
	if (!pviommu_has_page(phys) || is_zone_device_page(pfn_to_page(PHYS_PFN(phys))))
		return -EOPNOTSUPP;
	return pviommu_prepare(d, PHYS_PFN(phys), PHYS_PFN(last)) ? 0 : -ENOMEM;
}

/*
 * Write down the DMA segments of a list, merged as far as the device's limits allow.
 * Returns how many, or -EOPNOTSUPP if one of the entries may not be direct.
 */
static int pviommu_direct_layout(struct pviommu_dev *pd, struct scatterlist *sgl,
				 unsigned int nents)
{
	const struct pviommu_limits lim = pviommu_get_limits(pd->dev);
	struct scatterlist *sg, *seg = NULL;
	unsigned int i, nsegs = 0;

	for_each_sg(sgl, sg, nents, i) {
		dma_addr_t dma = pd->host->direct_dma + sg_phys(sg);
		int ret;

		if (!sg->length)
			continue;
		ret = pviommu_direct_check(pd, sg_phys(sg), sg->length, &lim);
		if (ret)
			return ret;
		if (seg && sg_dma_address(seg) + sg_dma_len(seg) == dma &&
		    (u64)sg_dma_len(seg) + sg->length <= lim.max_seg &&
		    !pviommu_crosses(sg_dma_address(seg),
				     sg_dma_len(seg) + sg->length,
				     lim.boundary_mask)) {
			sg_dma_len(seg) += sg->length;
			continue;
		}
		seg = seg ? sg_next(seg) : sgl;
		sg_dma_address(seg) = dma;
		sg_dma_len(seg) = sg->length;
		nsegs++;
	}
	if (!nsegs)
		return -EOPNOTSUPP;
	if (nsegs < nents)
		sg_dma_len(sg_next(seg)) = 0;
	return nsegs;
}

/*
 * No pages were granted. What somebody has to sync at times may be bounced; what
 * nobody does must not be.
 */
static noinline bool pviommu_direct_failed(struct pviommu_dev *pd, size_t size,
					   unsigned long attrs, bool must, int error)
{
	const char *what = must ? "refused" : "bounced instead";

	if (error == -EOPNOTSUPP)
		return false;
	if (must) {
		this_cpu_inc(pd->stats->failures);
		trace_pviommu_fail(pd->rid, size, error);
	}
	if (attrs & DMA_ATTR_NO_WARN)
		return must;
	if (error == -ENOSPC)
		dev_warn_ratelimited(pd->dev, "pv_iommu: direct mapping of %zu bytes %s: the host grants no more guest RAM; give the host device a larger direct-limit=\n",
				     size, what);
	else
		dev_warn_ratelimited(pd->dev, "pv_iommu: direct mapping of %zu bytes %s: error %d\n",
				     size, what, error);
	return must;
}

/* The mapping as a list of one segment */
static void pviommu_one(struct scatterlist *one, dma_addr_t dma, size_t size)
{
	sg_init_table(one, 1);
	sg_dma_address(one) = dma;
	sg_dma_len(one) = size;
}

/**
 * pviommu_direct_map_phys - map a buffer by granting its pages
 * @dev: the device
 * @phys: the buffer
 * @size: its length
 * @dir: the direction
 * @attrs: DMA_ATTR_*
 * @must: it must not be bounced for want of grants
 * @dma: where the DMA address goes
 *
 * Context: any but NMI. One exit, if any of the pages is not granted.
 * Return: whether that was all: @dma is the mapping, or DMA_MAPPING_ERROR; false: it
 * is to be bounced.
 */
bool pviommu_direct_map_phys(struct device *dev, phys_addr_t phys, size_t size,
			     enum dma_data_direction dir, unsigned long attrs, bool must,
			     dma_addr_t *dma)
{
	const struct pviommu_limits lim = pviommu_get_limits(dev);
	struct pviommu_dev *pd = to_pviommu_dev(dev);
	struct scatterlist one;
	int ret;

	if (!pd || attrs & DMA_ATTR_MMIO)
		return false;
	ret = pviommu_direct_check(pd, phys, size, &lim);
	if (!ret) {
		*dma = pd->host->direct_dma + phys;
		pviommu_one(&one, *dma, size);
		ret = pviommu_direct_take(pd, &one, 1, dir != DMA_TO_DEVICE);
	}
	if (unlikely(ret)) {
		*dma = DMA_MAPPING_ERROR;
		return pviommu_direct_failed(pd, size, attrs, must, ret);
	}
	this_cpu_inc(pd->stats->maps);
	this_cpu_inc(pd->stats->maps_direct);
	trace_pviommu_map(pd->rid, *dma, size, 0, dir);
	return true;
}

/**
 * pviommu_direct_unmap_phys - undo pviommu_direct_map_phys()
 * @dev: the device
 * @dma: the mapping
 * @size: its length
 * @dir: the direction
 *
 * Context: any but NMI. When it returns, the device does not write to pages that are
 * in no other mapping.
 */
void pviommu_direct_unmap_phys(struct device *dev, dma_addr_t dma, size_t size,
			       enum dma_data_direction dir)
{
	struct pviommu_dev *pd = to_pviommu_dev(dev);
	struct scatterlist one;

	if (WARN_ON_ONCE(!pd))
		return;
	pviommu_one(&one, dma, size);
	pviommu_direct_put(pd, &one, 1);
	this_cpu_inc(pd->stats->unmaps);
	trace_pviommu_unmap(pd->rid, dma, size, 0, dir);
}

/**
 * pviommu_direct_map_sg - map a list by granting its pages
 * @dev: the device
 * @sgl: the list
 * @nents: its entries
 * @dir: the direction
 * @attrs: DMA_ATTR_*
 * @must: it must not be bounced for want of grants
 *
 * Context: any but NMI. One exit for up to PV_IOMMU_MAX_RANGES pieces.
 * Return: the number of DMA segments, or an errno that dma_map_sgtable() knows; 0: it
 * is to be bounced.
 */
int pviommu_direct_map_sg(struct device *dev, struct scatterlist *sgl, int nents,
			  enum dma_data_direction dir, unsigned long attrs, bool must)
{
	struct pviommu_dev *pd = to_pviommu_dev(dev);
	size_t size = 0;
	int nsegs, ret;

	if (!pd || nents <= 0 || attrs & DMA_ATTR_MMIO)
		return 0;
	nsegs = pviommu_direct_layout(pd, sgl, nents);
	ret = nsegs < 0 ? nsegs : pviommu_direct_take(pd, sgl, nsegs, dir != DMA_TO_DEVICE);
	if (unlikely(ret)) {
		struct scatterlist *sg;
		int i;

		for_each_sg(sgl, sg, nents, i)
			size += sg->length;
		return pviommu_direct_failed(pd, size, attrs, must, ret) ? -ENOMEM : 0;
	}
	this_cpu_inc(pd->stats->maps);
	this_cpu_inc(pd->stats->maps_direct);
	trace_pviommu_map(pd->rid, sg_dma_address(sgl), 0, nsegs, dir);
	return nsegs;
}

/**
 * pviommu_direct_unmap_sg - undo pviommu_direct_map_sg()
 * @dev: the device
 * @sgl: the list, of which the DMA members say what is mapped
 * @nents: its entries
 * @dir: the direction
 *
 * Context: any but NMI. See pviommu_direct_unmap_phys().
 */
void pviommu_direct_unmap_sg(struct device *dev, struct scatterlist *sgl, int nents,
			     enum dma_data_direction dir)
{
	struct pviommu_dev *pd = to_pviommu_dev(dev);
	struct scatterlist *sg;
	int nsegs = 0, i;

	if (WARN_ON_ONCE(!pd))
		return;
	for_each_sg(sgl, sg, nents, i) {
		if (!sg_dma_len(sg))
			break;
		nsegs++;
	}
	trace_pviommu_unmap(pd->rid, sg_dma_address(sgl), 0, nsegs, dir);
	pviommu_direct_put(pd, sgl, nsegs);
	this_cpu_inc(pd->stats->unmaps);
}

/* ---- the life of a domain ---- */

/**
 * pviommu_direct_flush - have the host take back what is queued for it
 * @d: the domain
 *
 * Context: process; sleeps.
 */
void pviommu_direct_flush(struct pviommu_domain *d)
{
	cancel_delayed_work_sync(&d->ram.flush);
	pviommu_queue_work(&d->ram.flush.work);
}

/**
 * pviommu_direct_regrant - have the host grant a domain's pages anew
 * @d: the domain, which the host had forgotten, and has devices again
 *
 * Context: process, while devices are suspended.
 * Return: 0, or the first error.
 */
int pviommu_direct_regrant(struct pviommu_domain *d)
{
	struct pviommu_batch b = { .d = d };
	struct pviommu_leaf *leaf;
	unsigned long index, i;
	int ret = 0;

	pviommu_batch_begin(&b, PV_IOMMU_OP_GRANT_RAM);
	/* What waited to be taken back was */
	pviommu_queue_done(d);
	xa_for_each(&d->ram.leaves, index, leaf) {
		for (i = 0; i < BIT(PVIOMMU_LEAF_SHIFT); i++) {
			u16 page = leaf->page[i];

			if (!(page & PVIOMMU_PAGE_USERS))
				continue;
			pviommu_batch_add(&b, (index << PVIOMMU_LEAF_SHIFT) + i,
					  PV_IOMMU_RANGE_READ |
					  (page & PVIOMMU_PAGE_WRITE ?
					   PV_IOMMU_RANGE_WRITE : 0));
			if (pviommu_batch_full(&b))
				ret = ret ?: pviommu_batch_ring(&b);
		}
	}
	if (b.nr)
		ret = ret ?: pviommu_batch_ring(&b);
	pviommu_batch_end(&b);
	if (ret)
		pci_err(d->host->pdev, "host refused to grant pages to domain %u again: error %d\n",
			d->id, ret);
	return ret;
}

/**
 * pviommu_direct_init - prepare a domain for direct mappings
 * @d: the domain
 */
void pviommu_direct_init(struct pviommu_domain *d)
{
	raw_spin_lock_init(&d->ram.lock);
	xa_init_flags(&d->ram.leaves, XA_FLAGS_LOCK_IRQ);
	INIT_DELAYED_WORK(&d->ram.flush, pviommu_queue_work);
}

/**
 * pviommu_direct_exit - undo pviommu_direct_init()
 * @d: the domain, which the host has ended; pviommu_direct_flush() was called since
 *	the last of its devices unmapped anything
 *
 * Context: any but NMI.
 */
void pviommu_direct_exit(struct pviommu_domain *d)
{
	struct pviommu_leaf *leaf;
	unsigned long index;

	xa_for_each(&d->ram.leaves, index, leaf)
		kfree(leaf);
	xa_destroy(&d->ram.leaves);
}

/* ---- the callbacks: direct where it is wanted, or else as without it ---- */

static __always_inline bool pviommu_is_direct(dma_addr_t dma)
{
	return dma - pviommu_host->direct_dma < pviommu_host->direct_size;
}

/* Is a mapping to be direct? @all: all of the device's are */
static __always_inline bool pviommu_direct_wanted(enum dma_data_direction dir,
						  unsigned long attrs, bool all)
{
	return all || unlikely(dir == DMA_BIDIRECTIONAL ||
			       attrs & DMA_ATTR_REQUIRE_COHERENT);
}

/* If it cannot be for want of grants, is it to fail? */
static __always_inline bool pviommu_direct_must(unsigned long attrs, bool all)
{
	return all || attrs & DMA_ATTR_REQUIRE_COHERENT;
}

enum {
	pviommu_some_window_all = false,
	pviommu_some_bounce_all = false,
	pviommu_all_window_all = true,
	pviommu_all_bounce_all = true,
};

/* What is not direct goes on by a jump: nothing is saved for it */
#define PVIOMMU_DEFINE_DIRECT(name, mode)						\
static noinline dma_addr_t pviommu_##name##_try_phys(struct device *dev,		\
						     phys_addr_t phys, size_t size,	\
						     enum dma_data_direction dir,	\
						     unsigned long attrs)		\
{											\
	dma_addr_t dma;									\
											\
	if (pviommu_direct_map_phys(dev, phys, size, dir, attrs,			\
				    pviommu_direct_must(attrs, pviommu_##name##_all),	\
				    &dma))						\
		return dma;								\
	return pviommu_##mode##_map_phys(dev, phys, size, dir, attrs);			\
}											\
											\
dma_addr_t pviommu_##name##_map_phys(struct device *dev, phys_addr_t phys,		\
				     size_t size, enum dma_data_direction dir,		\
				     unsigned long attrs)				\
{											\
	if (pviommu_direct_wanted(dir, attrs, pviommu_##name##_all))			\
		return pviommu_##name##_try_phys(dev, phys, size, dir, attrs);		\
	return pviommu_##mode##_map_phys(dev, phys, size, dir, attrs);			\
}											\
											\
void pviommu_##name##_unmap_phys(struct device *dev, dma_addr_t dma,			\
				 size_t size, enum dma_data_direction dir,		\
				 unsigned long attrs)					\
{											\
	if (unlikely(pviommu_is_direct(dma)))						\
		pviommu_direct_unmap_phys(dev, dma, size, dir);				\
	else										\
		pviommu_##mode##_unmap_phys(dev, dma, size, dir, attrs);		\
}											\
											\
int pviommu_##name##_map_sg(struct device *dev, struct scatterlist *sgl,		\
			    int nents, enum dma_data_direction dir,			\
			    unsigned long attrs)					\
{											\
	int ret = 0;									\
											\
	if (pviommu_direct_wanted(dir, attrs, pviommu_##name##_all))			\
		ret = pviommu_direct_map_sg(dev, sgl, nents, dir, attrs,		\
					    pviommu_direct_must(attrs,			\
						pviommu_##name##_all));			\
	return ret ?: pviommu_##mode##_map_sg(dev, sgl, nents, dir, attrs);		\
}											\
											\
void pviommu_##name##_unmap_sg(struct device *dev, struct scatterlist *sgl,		\
			       int nents, enum dma_data_direction dir,			\
			       unsigned long attrs)					\
{											\
	if (unlikely(pviommu_is_direct(sg_dma_address(sgl))))				\
		pviommu_direct_unmap_sg(dev, sgl, nents, dir);				\
	else										\
		pviommu_##mode##_unmap_sg(dev, sgl, nents, dir, attrs);			\
}											\
											\
void pviommu_##name##_sync_single_for_cpu(struct device *dev, dma_addr_t dma,		\
					  size_t size, enum dma_data_direction dir)	\
{											\
	if (likely(!pviommu_is_direct(dma)))						\
		pviommu_##mode##_sync_single_for_cpu(dev, dma, size, dir);		\
}											\
											\
void pviommu_##name##_sync_single_for_device(struct device *dev, dma_addr_t dma,	\
					     size_t size, enum dma_data_direction dir)	\
{											\
	if (likely(!pviommu_is_direct(dma)))						\
		pviommu_##mode##_sync_single_for_device(dev, dma, size, dir);		\
}											\
											\
void pviommu_##name##_sync_sg_for_cpu(struct device *dev, struct scatterlist *sgl,	\
				      int nents, enum dma_data_direction dir)		\
{											\
	if (likely(!pviommu_is_direct(sg_dma_address(sgl))))				\
		pviommu_##mode##_sync_sg_for_cpu(dev, sgl, nents, dir);			\
}											\
											\
void pviommu_##name##_sync_sg_for_device(struct device *dev, struct scatterlist *sgl,	\
					 int nents, enum dma_data_direction dir)	\
{											\
	if (likely(!pviommu_is_direct(sg_dma_address(sgl))))				\
		pviommu_##mode##_sync_sg_for_device(dev, sgl, nents, dir);		\
}

PVIOMMU_DEFINE_DIRECT(some_window, window)
PVIOMMU_DEFINE_DIRECT(some_bounce, bounce)
PVIOMMU_DEFINE_DIRECT(all_window, window)
PVIOMMU_DEFINE_DIRECT(all_bounce, bounce)
