// SPDX-License-Identifier: GPL-2.0
/*
 * pv-iommu: pages of guest RAM that a domain has granted, one by one
 *
 * A page may be in several mappings at once, and is granted once: a domain counts
 * its pages. The first mapping decides whether the device may write to it, since
 * that cannot be changed while it is in use; one that wants more is not direct.
 *
 * The last unmap of a page that the device may write has it revoked before it
 * returns. One that it may only read is queued, and rides with the domain's next
 * request; or with one of its own, soon, or when there is no room for others.
 *
 * The host is asked with the domain's lock free: it may be long about it. What is in
 * a request that is on its way is marked as busy instead, and belongs to who asks.
 * Others let it alone: who wants to map it waits, with no lock, and with nothing in a
 * request of its own, so that nobody waits for who waits. All other pages can be
 * mapped and unmapped meanwhile.
 */
#include <linux/delay.h>
#include <linux/mm.h>
#include <linux/rculist.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>

#include "pviommu.h"
#include "ram.h"
#include "compat/workqueue.h"

/* How long a revoke may stay queued: until then the device can read the page */
#define PVIOMMU_REVOKE_DELAY	msecs_to_jiffies(10)

/* ---- a domain's table of pages ---- */

static struct pviommu_leaf *pviommu_leaf_of(struct pviommu_domain *d, unsigned long pfn)
{
	unsigned long index = pfn >> PVIOMMU_LEAF_SHIFT;

	return likely(index < d->ram.nr_leaves) ? pviommu_leaf(d, index) : NULL;
}

static u16 *pviommu_page(struct pviommu_leaf *leaf, unsigned long pfn)
{
	return &leaf->page[pfn & (BIT(PVIOMMU_LEAF_SHIFT) - 1)];
}

static void pviommu_leaf_free(struct pviommu_leaf *leaf)
{
	if (leaf)
		kfree(leaf->page);
	kfree(leaf);
}

static struct pviommu_leaf *pviommu_leaf_new(unsigned long index)
{
	const gfp_t gfp = GFP_NOWAIT | __GFP_NOWARN;
	struct pviommu_leaf *leaf = kzalloc(sizeof(*leaf), gfp);

	if (!leaf)
		return NULL;
	leaf->index = index;
	leaf->page = kcalloc(BIT(PVIOMMU_LEAF_SHIFT), sizeof(*leaf->page), gfp);
	if (!leaf->page) {
		kfree(leaf);
		return NULL;
	}
	return leaf;
}

/**
 * pviommu_ram_prepare - see that there are leaves for a range of pages
 * @d: the domain
 * @pfn: the first page
 * @last: the last one; both are where guest RAM may be
 *
 * Context: any but NMI; no lock is held.
 * Return: whether there are.
 */
bool pviommu_ram_prepare(struct pviommu_domain *d, unsigned long pfn, unsigned long last)
{
	unsigned long i;

	for (i = pfn >> PVIOMMU_LEAF_SHIFT; i <= last >> PVIOMMU_LEAF_SHIFT; i++) {
		struct pviommu_leaf *leaf;

		if (pviommu_leaf(d, i))
			continue;
		leaf = pviommu_leaf_new(i);
		if (!leaf)
			return false;
		/* Somebody else may have been faster */
		if (cmpxchg(&d->ram.leaves[i], NULL, leaf))
			pviommu_leaf_free(leaf);
	}
	return true;
}

/* ---- requests: the domain's ram.lock is held ---- */

/**
 * pviommu_batch_begin - start asking the host for grants, or giving pages back
 * @b: what it is for: its device, if any, and its domain
 * @opcode: PV_IOMMU_OP_GRANT_RAM, _REVOKE_RAM or _NOP
 *
 * Context: any but NMI. IRQs are off until pviommu_batch_end(), and ram.lock is held
 * but while the host is asked.
 */
void pviommu_batch_begin(struct pviommu_batch *b, u16 opcode)
	__acquires(pviommu_channel)
	__acquires(pviommu_ram)
{
	b->opcode = opcode;
	b->rings = 0;
	b->refused = false;
	b->ch = pviommu_req_begin(b->d->host, opcode, 0, &b->flags);
	raw_spin_lock(&b->d->ram.lock);
}

/**
 * pviommu_batch_end - end what pviommu_batch_begin() began
 * @b: the batch; what is queued for the host goes soon
 *
 * What there is to be said of it is said when the locks are free.
 */
void pviommu_batch_end(struct pviommu_batch *b)
	__releases(pviommu_ram)
	__releases(pviommu_channel)
{
	if (b->d->ram.nr_queued)
		queue_delayed_work(system_percpu_wq, &b->d->ram.flush,
				   PVIOMMU_REVOKE_DELAY);
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

/*
 * Another request, after one that was made: IRQs are off for one at a time, and the
 * lock is free between them.
 */
static void pviommu_batch_again(struct pviommu_batch *b, u16 opcode)
{
	pviommu_batch_end(b);
	pviommu_batch_begin(b, opcode);
}

/* What is in the request is granted, and another can be filled; or the error */
static int pviommu_batch_next(struct pviommu_batch *b)
{
	int ret = pviommu_batch_ring(b);

	if (!ret)
		pviommu_batch_again(b, b->opcode);
	return ret;
}

/* Another CPU's request is to be waited for, which has what this one wants */
static void pviommu_batch_wait(struct pviommu_batch *b)
{
	u16 opcode = b->opcode;

	pviommu_batch_end(b);
	cpu_relax();
	pviommu_batch_begin(b, opcode);
}

/* What is in the queue is on its way to the host, or has come back from there */
static void pviommu_run_busy(struct pviommu_domain *d, const struct pviommu_run *run,
			     bool busy)
{
	const u32 whole = BIT(PVIOMMU_LEAF_SHIFT);
	u32 pfn = run->first, end = run->first + run->count, i, n;

	for (; pfn < end; pfn += n) {
		struct pviommu_leaf *leaf = pviommu_leaf_of(d, pfn);
		u16 *page = pviommu_page(leaf, pfn);

		n = min(end - pfn, whole - (pfn & (whole - 1)));
		if (n == whole) {
			leaf->busy = busy;
			continue;
		}
		/* It is not granted as one meanwhile */
		leaf->exact += busy ? n : -n;
		for (i = 0; i < n; i++, page++) {
			if (busy)
				*page |= PVIOMMU_PAGE_BUSY;
			else if (!(*page & PVIOMMU_PAGE_USERS))
				*page = 0;
		}
	}
}

/* The queue goes along, and is done first: a page in it may be granted anew */
static void pviommu_queue_take(struct pviommu_batch *b)
{
	struct pviommu_ram *ram = &b->d->ram;
	struct pv_iommu_req *req = b->ch->req;
	unsigned int i;

	for (i = 0; i < ram->nr_queued; i++) {
		b->ch->revokes[i] = ram->queue[i];
		pviommu_run_busy(b->d, &ram->queue[i], true);
		req->revokes[i] = (struct pv_iommu_revoke) {
			.domain = cpu_to_le32(b->d->id),
			.first = cpu_to_le32(ram->queue[i].first),
			.count = cpu_to_le32(ram->queue[i].count),
			.flags = cpu_to_le32(PV_IOMMU_REVOKE_RAM),
		};
	}
	req->nr_revokes = cpu_to_le16(i);
	b->nr_revokes = i;
	ram->nr_queued = 0;
	if (!i)
		return;
	b->number = ram->begun++;
	list_add_tail(&b->node, &ram->flying);
}

static void pviommu_queue_done(struct pviommu_batch *b)
{
	struct pviommu_ram *ram = &b->d->ram;
	struct pviommu_batch *first;
	unsigned int i;

	for (i = 0; i < b->nr_revokes; i++)
		pviommu_run_busy(b->d, &b->ch->revokes[i], false);
	if (!i)
		return;
	list_del(&b->node);
	first = list_first_entry_or_null(&ram->flying, struct pviommu_batch, node);
	/* Orders what the host did before it, for who waits without the lock */
	smp_store_release(&ram->ended, first ? first->number : ram->begun);
}

/*
 * What is to be waited for, for all to be back that is on its way. A domain that is in use
 * has nearly always a part of its queue on its way. So nobody waits for a moment at which
 * nothing is, but for the requests that had begun by now; those that begin later do not
 * matter, however many there are, nor does who else waits.
 */
static unsigned long pviommu_flying(struct pviommu_domain *d)
{
	unsigned long flags, begun;

	raw_spin_lock_irqsave(&d->ram.lock, flags);
	begun = d->ram.begun;
	raw_spin_unlock_irqrestore(&d->ram.lock, flags);
	return begun;
}

/* Have those been done? Takes no lock; who waits lets others run in between */
static bool pviommu_has_landed(struct pviommu_domain *d, unsigned long flying)
{
	/* Pairs with who ended it; numbers may wrap */
	return (long)(smp_load_acquire(&d->ram.ended) - flying) >= 0;
}

/**
 * pviommu_land - wait until revokes that are on their way have been done
 * @d: the domain
 *
 * Those that others have taken along. The host has them: it is one request of each CPU,
 * as what begins after this is not waited for.
 *
 * Context: any but NMI; ram.lock is not held, nor is a request of this CPU on its way.
 */
void pviommu_land(struct pviommu_domain *d)
{
	unsigned long flying = pviommu_flying(d);

	while (!pviommu_has_landed(d, flying))
		cpu_relax();
}

static void pviommu_ranges_load(struct pviommu_batch *b)
{
	struct pv_iommu_req *req = b->ch->req;
	unsigned int i;

	for (i = 0; i < b->nr; i++)
		req->ranges[i] = (struct pv_iommu_range) {
			.first = cpu_to_le64(b->ch->ranges[i].first),
			.count = cpu_to_le32(b->ch->ranges[i].count),
			.flags = cpu_to_le32(b->perm),
		};
	req->opcode = cpu_to_le16(b->nr ? b->opcode : PV_IOMMU_OP_NOP);
	req->domain = cpu_to_le32(b->nr ? b->d->id : 0);
	req->nr_segs = cpu_to_le16(b->nr);
}

/* The pages are granted, or nothing any more */
static void pviommu_ranges_done(struct pviommu_batch *b)
{
	unsigned int i;
	u32 pfn, end;

	if (b->perm & PV_IOMMU_RANGE_LARGE)
		return;
	for (i = 0; i < b->nr; i++) {
		pfn = b->ch->ranges[i].first;
		end = pfn + b->ch->ranges[i].count;
		for (; pfn < end; pfn++)
			*pviommu_page(pviommu_leaf_of(b->d, pfn), pfn) &= ~PVIOMMU_PAGE_BUSY;
	}
}

/**
 * pviommu_batch_ring - ask the host, with what is queued for it
 * @b: the batch; nothing is to be added to it any more
 *
 * ram.lock is not held meanwhile. What of the pages that were to be granted has been
 * refused stays busy: it is for who asked to give it up.
 *
 * Return: 0, or the errno that stands for the host's answer. All that is queued was
 * done if the host has looked at the request at all.
 */
int pviommu_batch_ring(struct pviommu_batch *b)
	__must_hold(pviommu_ram)
{
	struct pviommu_domain *d = b->d;
	int ret;

	if (!b->nr && !d->ram.nr_queued)
		return 0;
	pviommu_queue_take(b);
	pviommu_ranges_load(b);
	raw_spin_unlock(&d->ram.lock);
	ret = pviommu_req_ring(d->host, b->ch);
	raw_spin_lock(&d->ram.lock);
	b->rings++;
	/* A revoke that was refused does not undo the grant that it rode with */
	if (b->ch->kept) {
		b->refused = true;
		ret = 0;
	}
	pviommu_queue_done(b);
	if (!ret || b->opcode != PV_IOMMU_OP_GRANT_RAM)
		pviommu_ranges_done(b);
	b->nr = 0;
	b->pages = 0;
	b->beside = 0;
	return ret;
}

/* Some more pages; the request has room for them */
static void pviommu_batch_add(struct pviommu_batch *b, unsigned long pfn,
			      unsigned int count)
{
	struct pviommu_run *run = &b->ch->ranges[b->nr];

	if (b->nr && run[-1].first + run[-1].count == pfn) {
		run[-1].count += count;
	} else {
		run->first = pfn;
		run->count = count;
		b->nr++;
	}
	b->pages += count;
}

/* Is the page in it already? */
static bool pviommu_batch_has(struct pviommu_batch *b, unsigned long pfn)
{
	unsigned int i;

	for (i = 0; i < b->nr; i++) {
		if (pfn - b->ch->ranges[i].first < b->ch->ranges[i].count)
			return true;
	}
	return false;
}

/**
 * pviommu_batch_leaf - have a leaf granted as one, with the next ring
 * @b: the batch, for grants, in which there is nothing yet
 * @leaf: the leaf, of which nothing is granted
 */
void pviommu_batch_leaf(struct pviommu_batch *b, const struct pviommu_leaf *leaf)
{
	b->perm = PV_IOMMU_RANGE_READ | PV_IOMMU_RANGE_WRITE | PV_IOMMU_RANGE_LARGE;
	pviommu_batch_add(b, (unsigned long)leaf->index << PVIOMMU_LEAF_SHIFT,
			  BIT(PVIOMMU_LEAF_SHIFT));
}

static bool pviommu_batch_full(struct pviommu_batch *b)
{
	return b->nr == PV_IOMMU_MAX_RANGES || b->pages == PV_IOMMU_MAX_PAGES;
}

/**
 * pviommu_queue_room - see that something can be added to the queue
 * @b: a batch of the domain, in which there is nothing to be granted
 *
 * ram.lock may be free in between.
 */
void pviommu_queue_room(struct pviommu_batch *b)
{
	while (b->d->ram.nr_queued == PV_IOMMU_MAX_REVOKES) {
		b->refused |= pviommu_batch_ring(b) != 0;
		pviommu_batch_again(b, b->opcode);
	}
}

/**
 * pviommu_queue_add - pages go back with the domain's next request, or soon
 * @b: a batch of the domain
 * @pfn: the first of them, which nothing uses any more
 * @count: how many
 *
 * Return: whether there was room.
 */
bool pviommu_queue_add(struct pviommu_batch *b, unsigned long pfn, unsigned int count)
{
	struct pviommu_domain *d = b->d;
	struct pviommu_run *run = &d->ram.queue[d->ram.nr_queued];

	if (d->ram.nr_queued && run[-1].first + run[-1].count == pfn &&
	    run[-1].count + count <= PV_IOMMU_MAX_PAGES) {
		run[-1].count += count;
		return true;
	}
	if (d->ram.nr_queued == PV_IOMMU_MAX_REVOKES)
		return false;
	run->first = pfn;
	run->count = count;
	d->ram.nr_queued++;
	return true;
}

static void pviommu_queue_send(struct pviommu_domain *d)
{
	struct pviommu_batch b = { .d = d };

	pviommu_batch_begin(&b, PV_IOMMU_OP_NOP);
	b.refused |= pviommu_batch_ring(&b) != 0;
	pviommu_batch_end(&b);
}

static void pviommu_queue_work(struct work_struct *work)
{
	pviommu_queue_send(container_of(to_delayed_work(work), struct pviommu_domain,
					ram.flush));
}

/* What is queued counts until the host has it back, whoever's it is: see to that */
static void pviommu_queues_land(struct pviommu_host *host)
{
	struct pviommu_domain *d;

	rcu_read_lock();
	list_for_each_entry_rcu(d, &host->window.domains, node) {
		pviommu_queue_send(d);
		pviommu_land(d);
	}
	rcu_read_unlock();
}

/* ---- a mapping's leaves, each granted as one or page by page ---- */

/*
 * One user more of each of them, which stay as they are as long as it does. False, and
 * nothing was done: one of them is just about to change.
 */
static bool pviommu_leaves_get(struct pviommu_batch *b, struct scatterlist *sgl,
			       unsigned int nsegs)
{
	struct pviommu_domain *d = b->d;
	struct pviommu_walk w = pviommu_walk(sgl, nsegs);
	unsigned int got = 0;

	while (pviommu_walk_next(&w, d)) {
		struct pviommu_leaf *leaf = pviommu_leaf(d, w.index);

		if (leaf->busy) {
			pviommu_leaves_put(d, sgl, nsegs, got);
			return false;
		}
		if (!pviommu_leaf_get(leaf, READ_ONCE(b->pd->cached)))
			leaf->exact++;
		got++;
	}
	return true;
}

/* ---- pages of a mapping, by its DMA segments ---- */

/**
 * struct pviommu_pages - the pages of a mapping that are granted by themselves, in turn
 * @seg: the DMA segment that comes next
 * @nsegs: how many there are from there on
 * @pfn: the page that it is at
 * @leaf_end: behind the last one of those that are in the same leaf
 * @end: behind the last one of the segment before @seg
 * @leaf: the one that @pfn is in
 */
struct pviommu_pages {
	struct scatterlist *seg;
	unsigned int nsegs;
	unsigned long pfn;
	unsigned long leaf_end;
	unsigned long end;
	struct pviommu_leaf *leaf;
};

/**
 * struct pviommu_taking - a mapping, of which page by page is counted and granted
 * @at: the page that comes next
 * @from: the first one of which it is not known that it is granted
 * @counted: how many were
 * @sure: of those, how many before @from
 * @write: the device may write to them
 */
struct pviommu_taking {
	struct pviommu_pages at;
	struct pviommu_pages from;
	unsigned long counted;
	unsigned long sure;
	bool write;
};

static struct pviommu_pages pviommu_pages(struct scatterlist *sgl, unsigned int nsegs)
{
	return (struct pviommu_pages) { .seg = sgl, .nsegs = nsegs };
}

static __always_inline bool pviommu_pages_go_on(struct pviommu_pages *p,
						struct pviommu_domain *d)
{
	for (;; p->pfn = p->leaf_end) {
		while (p->pfn == p->end) {
			if (!p->nsegs)
				return false;
			p->pfn = PHYS_PFN(sg_dma_address(p->seg) - d->host->direct_dma);
			p->end = p->pfn + PHYS_PFN(sg_dma_len(p->seg));
			if (--p->nsegs)
				p->seg = sg_next(p->seg);
		}
		p->leaf_end = min(p->end, (p->pfn | (BIT(PVIOMMU_LEAF_SHIFT) - 1)) + 1);
		p->leaf = pviommu_leaf_of(d, p->pfn);
		if (p->leaf && !pviommu_leaf_cached(p->leaf))
			return true;
	}
}

/* Is there one more, at or behind where it is? The mapping's leaves stay as they are */
static __always_inline bool pviommu_pages_at(struct pviommu_pages *p,
					     struct pviommu_domain *d)
{
	return likely(p->pfn < p->leaf_end) || pviommu_pages_go_on(p, d);
}

/*
 * Of a page that is granted by itself, one user less; there is room in the request. What
 * the queue has no room for is asked for at once.
 */
static void pviommu_page_put(struct pviommu_batch *b, u16 *page, unsigned long pfn)
{
	if (!(*page & PVIOMMU_PAGE_USERS))
		return;
	(*page)--;
	if (*page & PVIOMMU_PAGE_USERS)
		return;
	if (*page & PVIOMMU_PAGE_BUSY) {
		/* It was never granted */
		*page = 0;
	} else if (*page & PVIOMMU_PAGE_WRITE || !pviommu_queue_add(b, pfn, 1)) {
		*page = PVIOMMU_PAGE_BUSY;
		pviommu_batch_add(b, pfn, 1);
	} else {
		*page = 0;
	}
}

/*
 * Give up the first so many pages of a mapping that are granted by themselves. Those
 * that nothing else uses are revoked, or queued for it.
 */
static void pviommu_untake(struct pviommu_batch *b, struct scatterlist *sgl,
			   unsigned int nsegs, unsigned long most)
{
	struct pviommu_pages p = pviommu_pages(sgl, nsegs);

	b->perm = 0;
	for (; most && pviommu_pages_at(&p, b->d); most--, p.pfn++) {
		if (unlikely(pviommu_batch_full(b))) {
			b->refused |= pviommu_batch_ring(b) != 0;
			pviommu_batch_again(b, b->opcode);
		}
		pviommu_page_put(b, pviommu_page(p.leaf, p.pfn), p.pfn);
	}
	if (b->nr)
		b->refused |= pviommu_batch_ring(b) != 0;
}

/*
 * Count a page that is granted by itself, and have it granted if it is not yet.
 * -EAGAIN: another request has it, or what there is has to be asked for first.
 */
static __always_inline int pviommu_page_get(struct pviommu_batch *b,
					    struct pviommu_leaf *leaf,
					    unsigned long pfn, bool write)
{
	u16 *page = pviommu_page(leaf, pfn);

	/* A list may have a page twice */
	if (unlikely(*page & PVIOMMU_PAGE_BUSY || leaf->busy) && !pviommu_batch_has(b, pfn))
		return -EAGAIN;
	if (*page & PVIOMMU_PAGE_USERS) {
		if ((write && !(*page & PVIOMMU_PAGE_WRITE)) ||
		    (*page & PVIOMMU_PAGE_USERS) == PVIOMMU_PAGE_USERS)
			return -EBUSY;
		/* What the request may not get is given up with these: in one */
		if (b->nr && b->beside++ == PV_IOMMU_MAX_RANGES)
			return -EAGAIN;
		(*page)++;
		return 0;
	}
	*page = PVIOMMU_PAGE_BUSY | 1 | (write ? PVIOMMU_PAGE_WRITE : 0);
	pviommu_batch_add(b, pfn, 1);
	return 0;
}

/* Something has to be done first; an error: of what was in the request */
static noinline int pviommu_take_pause(struct pviommu_batch *b)
{
	if (b->nr)
		return pviommu_batch_next(b);
	pviommu_batch_wait(b);
	return 0;
}

/*
 * After an error: what was refused is busy until it is given up, and who interrupts this
 * CPU might wait for that for ever. So it is before IRQs are on again, with what was
 * counted since the last request. The pages before those stay.
 */
static void pviommu_take_less(struct pviommu_batch *b, struct pviommu_taking *t)
{
	struct pviommu_pages p = t->from;

	/* What is to be granted anew has its revoke in the queue: they go together */
	if (b->nr && !pviommu_batch_ring(b)) {
		t->sure = t->counted;
		return;
	}
	b->perm = 0;
	b->opcode = PV_IOMMU_OP_REVOKE_RAM;
	for (; t->counted > t->sure && pviommu_pages_at(&p, b->d); t->counted--, p.pfn++)
		pviommu_page_put(b, pviommu_page(p.leaf, p.pfn), p.pfn);
	if (b->nr)
		b->refused |= pviommu_batch_ring(b) != 0;
	b->opcode = PV_IOMMU_OP_GRANT_RAM;
	t->at = t->from;
}

/* Go on counting pages, and have those granted that are not; an error: so far it came */
static int pviommu_take_on(struct pviommu_batch *b, struct pviommu_taking *t)
{
	struct pviommu_pages p = t->at;
	int ret = 0;

	b->perm = PV_IOMMU_RANGE_READ | (t->write ? PV_IOMMU_RANGE_WRITE : 0);
	for (; pviommu_pages_at(&p, b->d); p.pfn++) {
		do {
			if (!b->nr) {
				/* All that was counted is granted */
				t->from = p;
				t->sure = t->counted;
			}
			ret = unlikely(pviommu_batch_full(b)) ? -EAGAIN :
				pviommu_page_get(b, p.leaf, p.pfn, t->write);
		} while (unlikely(ret == -EAGAIN) && !(ret = pviommu_take_pause(b)));
		if (unlikely(ret))
			break;
		t->counted++;
	}
	t->at = p;
	if (!ret && b->nr)
		ret = pviommu_batch_ring(b);
	if (unlikely(ret))
		pviommu_take_less(b, t);
	return ret;
}

/* Have room made for what the host does not grant any more; false: there is none */
static bool pviommu_take_room(struct pviommu_batch *b, bool *landed)
	__must_hold(pviommu_channel)
	__must_hold(pviommu_ram)
{
	bool more = true;

	pviommu_batch_end(b);
	/* Once, as others may always have more; some may be back by themselves by now */
	if (!*landed)
		pviommu_queues_land(b->d->host);
	else
		more = pviommu_ram_cache_press(b->d, true);
	*landed = true;
	pviommu_batch_begin(b, PV_IOMMU_OP_GRANT_RAM);
	return more;
}

/**
 * pviommu_ram_take - have the pages of a mapping granted, if they are not
 * @pd: the device
 * @sgl: the mapping's DMA segments, for which there are leaves
 * @nsegs: how many
 * @write: the device may write to them
 *
 * Context: any but NMI. An exit for up to PV_IOMMU_MAX_RANGES pieces. Where the host grants
 * no more, two and what is queued for each 2 MiB that others keep, until there is room.
 * Return: 0, or why none of it was counted: -ENOSPC: the host grants no more; -EBUSY:
 * a page may only be read, and is in use; -EIO: the host has not granted all again that
 * it had before it was reset.
 */
int pviommu_ram_take(struct pviommu_dev *pd, struct scatterlist *sgl, unsigned int nsegs,
		     bool write)
{
	struct pviommu_batch b = { .pd = pd, .d = pd->domain };
	struct pviommu_taking t = { .at = pviommu_pages(sgl, nsegs), .write = write };
	bool landed = false;
	int ret;

	if (unlikely(b.d->ram.refused))
		return -EIO;
	pviommu_batch_begin(&b, PV_IOMMU_OP_GRANT_RAM);
	while (unlikely(!pviommu_leaves_get(&b, sgl, nsegs)))
		pviommu_batch_wait(&b);
	do {
		ret = pviommu_take_on(&b, &t);
	} while (unlikely(ret == -ENOSPC) && pviommu_take_room(&b, &landed));
	if (unlikely(ret)) {
		pviommu_batch_again(&b, PV_IOMMU_OP_REVOKE_RAM);
		pviommu_untake(&b, sgl, nsegs, t.sure);
		pviommu_leaves_put(b.d, sgl, nsegs, UINT_MAX);
	}
	pviommu_batch_end(&b);
	return ret;
}

/**
 * pviommu_ram_put - a mapping does not use its pages any more
 * @pd: the device
 * @sgl: the mapping's DMA segments
 * @nsegs: how many
 *
 * Context: any but NMI. An exit, if the device could write to any that are granted by
 * themselves and in no other mapping.
 */
void pviommu_ram_put(struct pviommu_dev *pd, struct scatterlist *sgl, unsigned int nsegs)
{
	struct pviommu_batch b = { .pd = pd, .d = pd->domain };

	if (pviommu_ram_cache_put(pd->domain, sgl, nsegs))
		return;
	pviommu_batch_begin(&b, PV_IOMMU_OP_REVOKE_RAM);
	pviommu_untake(&b, sgl, nsegs, ULONG_MAX);
	/* And not before: its leaves are what they were until it has gone */
	pviommu_leaves_put(pd->domain, sgl, nsegs, UINT_MAX);
	pviommu_batch_end(&b);
}

/* ---- the life of a domain ---- */

/**
 * pviommu_ram_flush - have the host take back all that nothing uses
 * @d: the domain
 *
 * Context: process; sleeps.
 */
void pviommu_ram_flush(struct pviommu_domain *d)
{
	unsigned long flying;

	if (!d->ram.leaves)
		return;
	pviommu_ram_cache_drop_all(d);
	cancel_delayed_work_sync(&d->ram.flush);
	pviommu_queue_send(d);
	/* And what others have taken along */
	flying = pviommu_flying(d);
	while (!pviommu_has_landed(d, flying))
		usleep_range(20, 100);
}

/* Of a leaf, the pages that are granted by themselves; the first error */
static int pviommu_regrant_pages(struct pviommu_batch *b, struct pviommu_leaf *leaf)
{
	unsigned long first = (unsigned long)leaf->index << PVIOMMU_LEAF_SHIFT, i;
	int ret = 0;

	for (i = 0; leaf->exact && i < BIT(PVIOMMU_LEAF_SHIFT); i++) {
		u16 page = leaf->page[i];
		u32 perm = PV_IOMMU_RANGE_READ |
			   (page & PVIOMMU_PAGE_WRITE ? PV_IOMMU_RANGE_WRITE : 0);

		if (!(page & PVIOMMU_PAGE_USERS))
			continue;
		if (b->nr && (perm != b->perm || pviommu_batch_full(b))) {
			ret = pviommu_batch_ring(b) ?: ret;
			pviommu_batch_again(b, b->opcode);
		}
		b->perm = perm;
		pviommu_batch_add(b, first + i, 1);
	}
	return pviommu_batch_ring(b) ?: ret;
}

static int pviommu_regrant_leaf(struct pviommu_domain *d, struct pviommu_leaf *leaf)
{
	struct pviommu_batch b = { .d = d };
	int ret = 0;

	if (!leaf)
		return 0;
	pviommu_batch_begin(&b, PV_IOMMU_OP_GRANT_RAM);
	if (pviommu_leaf_cached(leaf)) {
		pviommu_batch_leaf(&b, leaf);
		ret = pviommu_batch_ring(&b);
	} else {
		ret = pviommu_regrant_pages(&b, leaf);
	}
	pviommu_batch_end(&b);
	return ret;
}

/**
 * pviommu_ram_regrant - have the host grant a domain's pages anew
 * @d: the domain, which the host had forgotten, and has devices again
 *
 * What the host refuses its devices do not reach; the rest is granted all the same. But
 * as who maps a page that is in use does not ask the host, there are no new direct
 * mappings then.
 *
 * Context: process, while none of its devices is at work. host.lock is held.
 * Return: 0, or the first error.
 */
int pviommu_ram_regrant(struct pviommu_domain *d)
{
	struct pviommu_batch b = { .d = d };
	int ret = 0, err;
	unsigned long i;

	if (!d->ram.leaves)
		return 0;
	pviommu_batch_begin(&b, PV_IOMMU_OP_NOP);
	/* What waited to be taken back was, and so was what nothing uses */
	d->ram.nr_queued = 0;
	pviommu_ram_cache_forget(&b);
	pviommu_batch_end(&b);
	for (i = 0; i < d->ram.nr_leaves; i++) {
		err = pviommu_regrant_leaf(d, pviommu_leaf(d, i));
		ret = ret ?: err;
	}
	d->ram.refused = ret;
	if (!ret)
		return 0;
	pviommu_ram_cache_end(d);
	pci_err(d->host->pdev, "host refused to grant pages to domain %u again: error %d; no more mappings of its devices are direct\n",
		d->id, ret);
	return ret;
}

/**
 * pviommu_ram_init - prepare a domain for direct mappings
 * @d: the domain
 *
 * Context: process; sleeps.
 * Return: 0 or -ENOMEM.
 */
int pviommu_ram_init(struct pviommu_domain *d)
{
	raw_spin_lock_init(&d->ram.lock);
	INIT_LIST_HEAD(&d->ram.flying);
	INIT_DELAYED_WORK(&d->ram.flush, pviommu_queue_work);
	pviommu_ram_cache_init(d);
	if (!d->host->direct_size)
		return 0;
	d->ram.nr_leaves = DIV_ROUND_UP(d->host->direct_size,
					PAGE_SIZE << PVIOMMU_LEAF_SHIFT);
	d->ram.leaves = kvcalloc(d->ram.nr_leaves, sizeof(*d->ram.leaves), GFP_KERNEL);
	return d->ram.leaves ? 0 : -ENOMEM;
}

/**
 * pviommu_ram_exit - undo pviommu_ram_init()
 * @d: the domain, which has no device any more, and the host has ended; pviommu_ram_flush()
 *	was called since the last of them unmapped anything
 *
 * Context: process; sleeps.
 */
void pviommu_ram_exit(struct pviommu_domain *d)
{
	unsigned long i;

	if (!d->ram.leaves)
		return;
	pviommu_ram_cache_stop(d);
	cancel_delayed_work_sync(&d->ram.flush);
	for (i = 0; i < d->ram.nr_leaves; i++)
		pviommu_leaf_free(d->ram.leaves[i]);
	kvfree(d->ram.leaves);
}
