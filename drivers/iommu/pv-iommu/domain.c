// SPDX-License-Identifier: GPL-2.0
/*
 * pv-iommu: domains, and who has which chunk of the window
 *
 * A domain is the devices that the host cannot tell apart, its group. What they
 * reach, and the host keeps in memory for them, is the chunks that are granted to
 * their domain: those that somebody uses, and no more.
 *
 * - A worker has a chunk granted as soon as little is left of those that there are.
 *   An allocation that finds nothing has one granted by itself, in whatever context
 *   it is; that is an exit, and counted.
 *   The worker is frozen with user space: what it did while the host device sleeps
 *   would be unknown to one that was reset.
 * - The worker gives chunks back of which nothing has been in use for some seconds,
 *   many with one request, and calls back what idle CPUs keep. When it finds nothing
 *   more to do, and no domain wants a chunk that it does not get, it rests, until the
 *   allocator has been used beyond its caches again.
 * - Half of what may be granted is divided among the domains, and one more that may
 *   come, as their shares: no other domain gets at it, whatever it wants. The other
 *   half goes to who comes first.
 * - A domain that gets no chunk has others give back what they do not use. If it has
 *   less than its share even so, or if more is granted than may be, who has more than
 *   its share takes nothing from one of its chunks any more, until that is empty.
 * - Pages that are never freed may divide a share so that a large block finds no room
 *   in it, ever. A domain that has found none for some time is due a chunk more than its
 *   share, of those that are nobody's: who has one empties it, as above. So they go round.
 *
 * Chunks come from the top of the window, unless the device does not reach it, so that
 * low addresses are left to those that reach no others.
 *
 * A host that knows no chunks has given all of the window to all devices: there all of
 * them are one domain, and a grant is a matter of bookkeeping alone.
 */
#include <linux/bitmap.h>
#include <linux/delay.h>
#include <linux/jiffies.h>
#include <linux/rculist.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "pviommu.h"
#include "window.h"
#include "trace.h"

/* How often the worker looks, and how long a chunk has to be unused */
#define PVIOMMU_BALANCE_DELAY	HZ
#define PVIOMMU_CHUNK_IDLE	(3 * HZ)

/* How often the worker looks whether the host has changed the limit: three exits */
#define PVIOMMU_LIMIT_DELAY	(10 * HZ)

/* How long CPUs keep no blocks after a domain found nothing */
#define PVIOMMU_PRESSURE	(HZ / 10)

/*
 * How long nothing is taken from a chunk that is to go, and by which power of two of
 * that, at most, a domain is left alone after one that was not empty by then
 */
#define PVIOMMU_EMPTY		HZ
#define PVIOMMU_EMPTY_MAX	6U

/*
 * For how long a domain finds no room until it is due more; and for how long after
 * the last mapping that found none
 */
#define PVIOMMU_LACK		HZ

static bool pviommu_grants(struct pviommu_host *host)
{
	return host->features & PV_IOMMU_F_CHUNKS;
}

/* Enough is left without one of its chunks; nothing, if nothing is used */
static bool pviommu_dispensable(struct pviommu_domain *d)
{
	struct pviommu_space *sp = &d->host->window.space;
	unsigned long hidden = d->emptied ? BIT(sp->shift) - d->emptied->used : 0;

	hidden += (unsigned long)d->nr_refused << sp->shift;
	lockdep_assert_held(&d->lock);
	return !d->used ||
	       pviommu_domain_room(d) >= hidden + BIT(sp->shift) + pviommu_low_pages(sp);
}

/* ---- bookkeeping of a chunk ---- */

static void pviommu_body_free(struct pviommu_chunk *c)
{
	if (c)
		kfree(c->slots);
	kfree(c);
}

static void pviommu_body_rcu(struct rcu_head *rcu)
{
	pviommu_body_free(container_of(rcu, struct pviommu_chunk, rcu));
}

static struct pviommu_chunk *pviommu_body_alloc(struct pviommu_window *w, gfp_t gfp)
{
	struct pviommu_chunk *c = kzalloc(sizeof(*c), gfp | __GFP_NOWARN);

	if (c)
		c->slots = kcalloc(BIT(w->space.shift), sizeof(*c->slots),
				   gfp | __GFP_NOWARN);
	if (c && !c->slots) {
		kfree(c);
		c = NULL;
	}
	return c;
}

/* For who may not sleep: from those that the worker keeps, if there is no memory */
static struct pviommu_chunk *pviommu_body_get(struct pviommu_window *w)
{
	struct pviommu_chunk *c = pviommu_body_alloc(w, GFP_NOWAIT);
	unsigned long flags;
	unsigned int i;

	if (c)
		return c;
	raw_spin_lock_irqsave(&w->lock, flags);
	for (i = 0; i < PVIOMMU_SPARE_CHUNKS && !c; i++)
		swap(c, w->spare[i]);
	raw_spin_unlock_irqrestore(&w->lock, flags);
	return c;
}

static void pviommu_body_refill(struct pviommu_window *w)
{
	unsigned int i;

	for (i = 0; i < PVIOMMU_SPARE_CHUNKS; i++) {
		struct pviommu_chunk *c;

		/* One that is missed, or taken meanwhile, is seen below */
		if (data_race(w->spare[i]))
			continue;
		c = pviommu_body_alloc(w, GFP_KERNEL);
		raw_spin_lock_irq(&w->lock);
		if (!w->spare[i])
			swap(c, w->spare[i]);
		raw_spin_unlock_irq(&w->lock);
		pviommu_body_free(c);
	}
}

/* ---- who may have how many; window.lock is held ---- */

/* An even part of half of what may be granted, also for a domain that is yet to come */
static unsigned long pviommu_even_part(struct pviommu_window *w)
{
	return w->limit / (2 * (w->nr_domains + 1));
}

/* Each domain's share: one chunk at least */
static unsigned long pviommu_share(struct pviommu_window *w)
{
	return max(pviommu_even_part(w), 1UL);
}

/* Has a domain found no room for some time, and does it want some still? */
static bool pviommu_lacks(struct pviommu_domain *d)
{
	unsigned long seen = READ_ONCE(d->lack_seen);

	return READ_ONCE(d->lack) && time_before(jiffies, seen + PVIOMMU_LACK) &&
	       time_after(seen, READ_ONCE(d->lack_since) + PVIOMMU_LACK);
}

/*
 * What a domain is to get in any case: its share; while it lacks room, as much as it lacks
 * beside that, or beside what stays, if that is more. Not whatever it wants.
 */
static unsigned long pviommu_due(struct pviommu_domain *d)
{
	struct pviommu_window *w = &d->host->window;
	u64 chunk = BIT_ULL(w->space.shift + PAGE_SHIFT);
	unsigned long share = pviommu_share(w), due = share, lack;

	if (!pviommu_lacks(d))
		return share;
	due = max(due, DIV_ROUND_UP(READ_ONCE(d->coherent), BIT(w->space.shift)));
	lack = DIV_ROUND_UP_ULL(READ_ONCE(d->lack), chunk);
	/* What is not to be had beside others' shares is not kept from them */
	if (due + lack + w->nr_domains * share > w->limit)
		lack = 1;
	return due + lack;
}

static bool pviommu_may_have(struct pviommu_domain *d, unsigned long n)
{
	struct pviommu_window *w = &d->host->window;
	unsigned long share = pviommu_share(w), kept = share, left;
	struct pviommu_domain *other;
	bool lacks;

	lockdep_assert_held(&w->lock);
	if (d->held || w->taken + n > w->limit)
		return false;
	/* The one domain that there is need not think of others */
	if (!d->group || d->nr_chunks + n <= share)
		return true;

	lacks = d->nr_chunks + n <= pviommu_due(d);
	list_for_each_entry(other, &w->domains, node) {
		unsigned long due = lacks ? share : pviommu_due(other);

		if (other != d && other->nr_chunks < due)
			kept += due - other->nr_chunks;
	}
	left = w->limit - w->taken;
	return left - n >= kept;
}

/* How many chunks a domain has that are on their way neither to it nor from it */
static unsigned long pviommu_chunks_held(struct pviommu_domain *d)
{
	lockdep_assert_held(&d->lock);
	return (d->free + d->used) >> d->host->window.space.shift;
}

static bool pviommu_over(struct pviommu_window *w)
{
	return READ_ONCE(w->taken) > READ_ONCE(w->limit);
}

/*
 * How many chunks a domain may give back. While more is granted than may be, no more than
 * that, and not what is its share, as it would not get that again; unless there is less
 * than one chunk for each.
 */
static unsigned long pviommu_may_go(struct pviommu_domain *d)
{
	struct pviommu_window *w = &d->host->window;
	unsigned long held = pviommu_chunks_held(d), share = 0;

	lockdep_assert_held(&w->lock);
	if (d->gone || !pviommu_over(w))
		return held;
	if (d->group)
		share = pviommu_even_part(w);
	return min(w->taken - w->limit, held - min(held, share));
}

/* Take free chunks for a domain, before the host is asked */
static unsigned long pviommu_chunks_take(struct pviommu_domain *d,
					 const struct pviommu_want *want, unsigned long n)
{
	struct pviommu_window *w = &d->host->window;
	unsigned long first = PVIOMMU_NO_PAGE, flags;

	raw_spin_lock_irqsave(&w->lock, flags);
	if (pviommu_may_have(d, n))
		first = pviommu_run_find(&w->space, w->free, n, want);
	if (first != PVIOMMU_NO_PAGE) {
		bitmap_clear(w->free, first, n);
		WRITE_ONCE(w->taken, w->taken + n);
		WRITE_ONCE(d->nr_chunks, d->nr_chunks + n);
		WRITE_ONCE(d->high_chunks, max(d->high_chunks, d->nr_chunks));
		atomic_add(n, &d->refs);
	}
	raw_spin_unlock_irqrestore(&w->lock, flags);
	return first;
}

/* Are there free chunks that will do, whosever they are to be? */
static bool pviommu_has_room(struct pviommu_window *w, const struct pviommu_want *want,
			     unsigned long n)
{
	unsigned long flags;
	bool room;

	raw_spin_lock_irqsave(&w->lock, flags);
	room = w->taken + n <= w->limit &&
	       pviommu_run_find(&w->space, w->free, n, want) != PVIOMMU_NO_PAGE;
	raw_spin_unlock_irqrestore(&w->lock, flags);
	return room;
}

static void pviommu_domain_free(struct pviommu_domain *d)
{
	bitmap_free(d->avail[0]);
	free_percpu(d->cache);
	kfree(d);
}

/* The host does not have them any more: anybody may. The domain may go with them */
static void pviommu_chunks_drop(struct pviommu_domain *d, unsigned long first,
				unsigned long n, bool usable)
{
	struct pviommu_window *w = &d->host->window;
	unsigned long flags;

	raw_spin_lock_irqsave(&w->lock, flags);
	if (usable) {
		bitmap_set(w->free, first, n);
		/* Those of a domain that is gone are not counted any more */
		if (!d->gone)
			WRITE_ONCE(w->taken, w->taken - n);
	}
	WRITE_ONCE(d->nr_chunks, d->nr_chunks - n);
	raw_spin_unlock_irqrestore(&w->lock, flags);
	if (atomic_sub_and_test(n, &d->refs))
		pviommu_domain_free(d);
}

static void pviommu_limit_read(struct pviommu_host *host)
{
	struct pviommu_window *w = &host->window;
	unsigned long limit = w->space.nr_chunks, flags;

	if (pviommu_grants(host))
		limit = min_t(u64, limit, pviommu_read64(host, PV_IOMMU_REG_WINDOW_LIMIT) >>
					  (PAGE_SHIFT + w->space.shift));
	raw_spin_lock_irqsave(&w->lock, flags);
	WRITE_ONCE(w->limit, limit);
	WRITE_ONCE(w->limit_due, jiffies + PVIOMMU_LIMIT_DELAY);
	raw_spin_unlock_irqrestore(&w->lock, flags);
}

/* ---- requests ---- */

static int pviommu_grant(struct pviommu_domain *d, unsigned long first,
			 unsigned long n, u32 flags)
{
	struct pviommu_call call = {
		.opcode = PV_IOMMU_OP_GRANT,
		.flags = flags,
		.domain = d->id,
		.first = first,
		.count = n,
	};
	int ret = pviommu_grants(d->host) ? pviommu_request(d->host, &call) : 0;

	trace_pviommu_grant(d->id, first, n, ret);
	return ret;
}

/*
 * Have the host take chunks back, all with one request. Which of them it refused it
 * does not say: then none of them is used any more.
 */
static int pviommu_revoke(struct pviommu_domain *d, const u32 *chunk, unsigned int nr)
{
	struct pviommu_host *host = d->host;
	struct pviommu_channel *ch;
	unsigned long flags;
	int ret = 0;

	if (d->gone || !pviommu_grants(host))
		return 0;

	ch = pviommu_req_begin(host, PV_IOMMU_OP_NOP, 0, &flags);
	pviommu_req_revoke(ch, d->id, chunk, nr);
	ret = pviommu_req_ring(host, ch);
	pviommu_req_end(host, ch, flags);

	trace_pviommu_revoke(d->id, chunk[0], nr, ret);
	if (ret)
		dev_err_ratelimited(&host->pdev->dev, "host refused to take back chunks of domain %u: error %d; they are not used any more\n",
				    d->id, ret);
	return ret;
}

/**
 * pviommu_domain_grow - have the host grant what an allocation asks for
 * @d: the domain
 * @want: what it asks for
 *
 * Context: any but NMI. One exit.
 * Return: whether the domain has a chunk more, or as many in a row as it takes.
 */
bool pviommu_domain_grow(struct pviommu_domain *d, const struct pviommu_want *want)
{
	struct pviommu_host *host = d->host;
	struct pviommu_window *w = &host->window;
	unsigned long n = DIV_ROUND_UP(want->npages, BIT(w->space.shift)), flags;
	struct pviommu_chunk *c, *next;
	unsigned long first, i;
	LIST_HEAD(bodies);
	int ret = -ENOMEM;

	first = pviommu_chunks_take(d, want, n);
	if (first == PVIOMMU_NO_PAGE)
		return false;

	for (i = 0; i < n; i++) {
		c = pviommu_body_get(w);
		if (!c)
			goto err;
		c->domain = d;
		c->index = first + i;
		list_add_tail(&c->node, &bodies);
	}

	ret = pviommu_grant(d, first, n, 0);
	if (ret)
		goto err;

	raw_spin_lock_irqsave(&d->lock, flags);
	d->locked++;
	list_for_each_entry_safe(c, next, &bodies, node)
		pviommu_chunk_add(d, c);
	d->grants += n;
	d->grants_late += !want->ahead;
	raw_spin_unlock_irqrestore(&d->lock, flags);
	queue_delayed_work(system_freezable_wq, &host->balance, PVIOMMU_BALANCE_DELAY);
	return true;
err:
	list_for_each_entry_safe(c, next, &bodies, node)
		pviommu_body_free(c);
	if (ret == -ENOSPC)
		pviommu_limit_read(host);
	else if (ret != -ENOMEM)
		dev_err_ratelimited(&host->pdev->dev, "host refused to grant chunk %lu to domain %u: error %d\n",
				    first, d->id, ret);
	/* One that the host says is another's is nobody's, to be safe */
	pviommu_chunks_drop(d, first, n, ret != -EEXIST);
	return false;
}

/* ---- chunks that are emptied, so that they can go ---- */

static bool pviommu_is_empty(struct pviommu_domain *d)
{
	return d->emptied && !d->emptied->used;
}

/*
 * It was not empty in time, as there may be memory that is never freed: it is used
 * again. Then another one is next, but not at once. domain.lock is held.
 */
static void pviommu_empty_end(struct pviommu_domain *d)
{
	if (!d->emptied || time_before(jiffies, d->emptied_until))
		return;
	d->emptied->stayed++;
	d->stayed++;
	d->emptied_until = jiffies + (PVIOMMU_EMPTY << min(d->stayed, PVIOMMU_EMPTY_MAX));
	pviommu_chunk_empty(d, NULL);
}

/*
 * Which is best: that stayed least often before, and of which least is in use. Chunks in
 * a row are one allocation, and stay.
 */
static struct pviommu_chunk *pviommu_empty_find(struct pviommu_domain *d, u64 dma_limit)
{
	struct pviommu_space *sp = &d->host->window.space;
	unsigned long i = pviommu_chunks_reached(sp, dma_limit);
	unsigned long left = pviommu_chunks_held(d);
	unsigned int stayed, least = 0;
	struct pviommu_chunk *c, *best = NULL;

	/* They are from the top of the window, mostly */
	while (i-- && left) {
		c = pviommu_chunk_of(d, i);
		if (!c)
			continue;
		left--;
		/* The host would not take back what it has not granted */
		if (c->run || c->head != c->index || c->refused)
			continue;
		/* What stays does so this time as well, mostly */
		stayed = c->stayed + !!c->coherent;
		if (!best || stayed < least || (stayed == least && c->used < best->used)) {
			best = c;
			least = stayed;
		}
	}
	return best;
}

/* If a domain has more than its share, one of its chunks, that a device reaches, is to go */
static void pviommu_domain_empty(struct pviommu_domain *d, u64 dma_limit)
{
	struct pviommu_window *w = &d->host->window;
	struct pviommu_chunk *c = NULL;
	unsigned long flags;
	bool more;

	raw_spin_lock_irqsave(&d->lock, flags);
	d->locked++;
	pviommu_empty_end(d);
	raw_spin_lock(&w->lock);
	more = pviommu_chunks_held(d) > (d->group ? pviommu_share(w) : w->limit);
	raw_spin_unlock(&w->lock);
	if (more && !d->emptied && !d->held && time_after_eq(jiffies, d->emptied_until)) {
		c = pviommu_empty_find(d, dma_limit);
		pviommu_chunk_empty(d, c);
		/* If there is none, not to be looked for all the time */
		d->emptied_until = jiffies + (c ? PVIOMMU_EMPTY : PVIOMMU_PRESSURE);
	}
	raw_spin_unlock_irqrestore(&d->lock, flags);
	if (!c)
		return;
	/* CPUs keep none of it from now on; and the worker sees to the end */
	pviommu_window_drain(d, PVIOMMU_DRAIN_ALL);
	pviommu_domain_busy(d->host);
}

/* Does a domain have less than it is due, and cannot it take one of the free chunks? */
static bool pviommu_domain_short(struct pviommu_domain *d, const struct pviommu_want *want)
{
	struct pviommu_window *w = &d->host->window;
	unsigned long flags;
	bool is_short;

	raw_spin_lock_irqsave(&w->lock, flags);
	is_short = d->group && !d->held && d->nr_chunks < pviommu_due(d) &&
		   !(pviommu_may_have(d, 1) &&
		     pviommu_run_find(&w->space, w->free, 1, want) != PVIOMMU_NO_PAGE);
	raw_spin_unlock_irqrestore(&w->lock, flags);
	return is_short;
}

/* ---- giving back ---- */

/* As many as one request has room for */
#define PVIOMMU_PICK	PV_IOMMU_MAX_REVOKES

static u32 pviommu_chunk_pick(struct pviommu_domain *d, struct pviommu_chunk *c,
			      struct list_head *bodies)
{
	pviommu_chunk_del(d, c);
	list_add_tail(&c->node, bodies);
	return c->index;
}

/*
 * Take chunks from a domain of which nothing is in use: at most @most, and with @idle
 * only those that are not needed and have not been for a while. Their bookkeeping goes
 * to @bodies, as memory is not freed under a raw spinlock.
 */
static unsigned int pviommu_chunks_pick(struct pviommu_domain *d, u32 *chunk,
					unsigned int most, bool idle,
					struct list_head *bodies)
{
	struct pviommu_window *w = &d->host->window;
	unsigned long flags, i;
	unsigned int nr = 0;

	raw_spin_lock_irqsave(&d->lock, flags);
	d->locked++;
	raw_spin_lock(&w->lock);
	most = min_t(unsigned long, most, pviommu_may_go(d));
	raw_spin_unlock(&w->lock);
	if (pviommu_is_empty(d) && nr < most && !d->held) {
		d->stayed = 0;
		chunk[nr++] = pviommu_chunk_pick(d, d->emptied, bodies);
	}
	for_each_set_bit(i, d->avail[w->space.shift], w->space.nr_chunks) {
		struct pviommu_chunk *c = w->chunks[i];

		if (nr == most || d->held)
			break;
		if (idle && (time_before(jiffies, c->since + PVIOMMU_CHUNK_IDLE) ||
			     !pviommu_dispensable(d)))
			continue;
		chunk[nr++] = pviommu_chunk_pick(d, c, bodies);
	}
	d->revokes += nr;
	raw_spin_unlock_irqrestore(&d->lock, flags);
	return nr;
}

/* Give chunks of a domain, of which nothing is in use, back; returns how many */
static unsigned int pviommu_chunks_return(struct pviommu_domain *d, unsigned int most,
					  bool idle)
{
	struct pviommu_chunk *c, *next;
	u32 chunk[PVIOMMU_PICK];
	unsigned int nr, i;
	LIST_HEAD(bodies);
	bool usable;

	nr = pviommu_chunks_pick(d, chunk, min_t(unsigned int, most, PVIOMMU_PICK), idle,
				 &bodies);
	/* pviommu_release() may be looking at a block of theirs */
	list_for_each_entry_safe(c, next, &bodies, node)
		call_rcu(&c->rcu, pviommu_body_rcu);
	if (!nr)
		return 0;
	/* A domain that is gone here, but not for the host, has them still */
	usable = !pviommu_revoke(d, chunk, nr) && !(d->gone && d->lost);
	for (i = 0; i < nr; i++)
		pviommu_chunks_drop(d, chunk[i], 1, usable);
	return nr;
}

/* ---- the worker ---- */

static bool pviommu_domain_balance(struct pviommu_domain *d)
{
	const struct pviommu_want one = {
		.npages = 1, .dma_limit = U64_MAX, .ahead = true,
	};
	struct pviommu_window *w = &d->host->window;
	bool more;

	if (READ_ONCE(d->asked) &&
	    pviommu_domain_room(d) + pviommu_window_spare(d) < pviommu_low_pages(&w->space))
		pviommu_domain_grow(d, &one);

	/*
	 * The host may have lowered the limit: then even what was used a moment ago goes,
	 * and what is in use, one chunk after the other. One that is empty by now first.
	 */
	pviommu_window_drain(d, pviommu_over(w) ? PVIOMMU_DRAIN_SPARE : PVIOMMU_DRAIN_IDLE);
	while (pviommu_chunks_return(d, PVIOMMU_PICK, !pviommu_over(w)))
		cond_resched();
	if (pviommu_over(w))
		pviommu_domain_empty(d, U64_MAX);

	raw_spin_lock_irq(&d->lock);
	d->locked++;
	pviommu_empty_end(d);
	/* Who gets none is heard again with the next look, not before */
	if (pviommu_domain_room(d) + pviommu_window_spare(d) >= pviommu_low_pages(&w->space))
		WRITE_ONCE(d->asked, false);
	more = pviommu_over(w) || d->emptied || (READ_ONCE(d->asked) && !d->held) ||
	       (d->nr_avail[w->space.shift] && pviommu_dispensable(d));
	raw_spin_unlock_irq(&d->lock);
	return more || pviommu_window_parked(d);
}

static void pviommu_balance_work(struct work_struct *work)
{
	struct pviommu_host *host = container_of(to_delayed_work(work),
						 struct pviommu_host, balance);
	struct pviommu_window *w = &host->window;
	struct pviommu_domain *d;
	bool more = false;

	mutex_lock(&host->lock);
	pviommu_body_refill(w);
	if (time_after_eq(jiffies, READ_ONCE(w->limit_due)))
		pviommu_limit_read(host);
	list_for_each_entry(d, &w->domains, node)
		more |= pviommu_domain_balance(d);
	mutex_unlock(&host->lock);
	if (more)
		queue_delayed_work(system_freezable_wq, &host->balance, PVIOMMU_BALANCE_DELAY);
}

/**
 * pviommu_domain_busy - a domain's free pages have changed
 * @host: the host device; the domain may be gone by now
 *
 * So the worker may find something to give back, later.
 *
 * Context: any but NMI.
 */
void pviommu_domain_busy(struct pviommu_host *host)
{
	if (!delayed_work_pending(&host->balance))
		queue_delayed_work(system_freezable_wq, &host->balance,
				   PVIOMMU_BALANCE_DELAY);
}

/**
 * pviommu_domain_low - little is left of the domain's chunks
 * @d: the domain
 *
 * Has the worker see to it, at once.
 *
 * Context: any but NMI.
 */
void pviommu_domain_low(struct pviommu_domain *d)
{
	if (READ_ONCE(d->asked))
		return;
	WRITE_ONCE(d->asked, true);
	mod_delayed_work(system_freezable_wq, &d->host->balance, 0);
}

/**
 * pviommu_domain_press - make room for a domain that finds none
 * @d: the domain
 * @want: what it wants
 *
 * The others give back chunks of which nothing is in use, as many as are wanted, and
 * for a while no CPU keeps blocks. If not any will do, they give back until one that does
 * is free, and the domain's own go as well: there may be a row with those beside them, or
 * one that the device reaches in place of one that it does not.
 *
 * If that is not enough, and the domain has less than it is due, those that have more
 * than their share are made to empty a chunk. That takes until what is mapped there is
 * unmapped: the domain finds nothing now, but later.
 *
 * Context: any but NMI. Some exits.
 */
void pviommu_domain_press(struct pviommu_domain *d, const struct pviommu_want *want)
{
	struct pviommu_window *w = &d->host->window;
	unsigned long n = DIV_ROUND_UP(want->npages, BIT(w->space.shift)), flags;
	bool again = time_before(jiffies, READ_ONCE(w->pressure));
	/* Not any chunk will do */
	bool placed = n > 1 || want->dma_limit < w->space.dma + w->space.size - 1;
	struct pviommu_domain *other;

	WRITE_ONCE(w->pressure, jiffies + PVIOMMU_PRESSURE);
	WRITE_ONCE(w->limit_due, jiffies);
	/* The worker may be frozen */
	raw_spin_lock_irqsave(&d->lock, flags);
	d->locked++;
	pviommu_empty_end(d);
	raw_spin_unlock_irqrestore(&d->lock, flags);
	if (placed) {
		/* First what CPUs keep, which may be all that is in the way */
		pviommu_window_drain(d, PVIOMMU_DRAIN_ALL);
		while (pviommu_chunks_return(d, PVIOMMU_PICK, false))
			;
	}

	rcu_read_lock();
	list_for_each_entry_rcu(other, &w->domains, node) {
		if (pviommu_has_room(w, want, n))
			break;
		if (other == d)
			continue;
		/* Once: from then on it keeps none */
		if (!again)
			pviommu_window_drain(other, PVIOMMU_DRAIN_ALL);
		pviommu_chunks_return(other, placed ? PVIOMMU_PICK : n, false);
	}
	if (n == 1 && pviommu_domain_short(d, want)) {
		list_for_each_entry_rcu(other, &w->domains, node) {
			if (other != d)
				pviommu_domain_empty(other, want->dma_limit);
		}
	}
	rcu_read_unlock();
}

/**
 * pviommu_domain_unserved - a mapping has found no room
 * @d: the domain
 * @len: how long it would have been, all of a list; bytes
 * @block: how much of that has to be in one block, bytes
 *
 * Context: any but NMI.
 */
void pviommu_domain_unserved(struct pviommu_domain *d, size_t len, size_t block)
{
	unsigned long now = jiffies;

	if (!READ_ONCE(d->lack) || time_after(now, READ_ONCE(d->lack_seen) + PVIOMMU_LACK)) {
		WRITE_ONCE(d->lack_since, now);
	} else if (len < READ_ONCE(d->lack)) {
		len = READ_ONCE(d->lack);
		block = READ_ONCE(d->lack_block);
	}
	WRITE_ONCE(d->lack, len);
	WRITE_ONCE(d->lack_block, block);
	WRITE_ONCE(d->lack_seen, now);
}

/* ---- the life of a domain; host.lock is held ---- */

static struct lock_class_key pviommu_cache_key;

/**
 * pviommu_domain_get - the domain of a group, for a device that is attached to it
 * @host: the host device
 * @group: the group
 *
 * Context: process; sleeps. host.lock is held.
 * Return: the domain, with the device counted; or NULL when out of memory.
 */
struct pviommu_domain *pviommu_domain_get(struct pviommu_host *host, u32 group)
{
	struct pviommu_window *w = &host->window;
	struct pviommu_domain *d;
	unsigned long nr = BITS_TO_LONGS(w->space.nr_chunks);
	unsigned int orders = w->space.shift + 1, o, cpu;

	lockdep_assert_held(&host->lock);
	list_for_each_entry(d, &w->domains, node) {
		if (d->group == group) {
			d->nr_devices++;
			return d;
		}
	}

	d = kzalloc(sizeof(*d), GFP_KERNEL);
	if (!d)
		return NULL;
	d->host = host;
	d->id = ++w->last_id;
	d->group = group;
	d->nr_devices = 1;
	atomic_set(&d->refs, 1);
	d->called_back = jiffies;
	d->emptied_until = jiffies;
	raw_spin_lock_init(&d->lock);
	d->avail[0] = bitmap_zalloc(nr * BITS_PER_LONG * orders, GFP_KERNEL);
	d->cache = alloc_percpu(struct pviommu_cache);
	if (!d->avail[0] || !d->cache || pviommu_ram_init(d)) {
		pviommu_domain_free(d);
		return NULL;
	}
	for (o = 1; o < orders; o++)
		d->avail[o] = d->avail[o - 1] + nr;
	for_each_possible_cpu(cpu)
		lockdep_init_map_wait(&per_cpu_ptr(d->cache, cpu)->dep_map,
				      "pviommu_cache", &pviommu_cache_key, 0,
				      LD_WAIT_SPIN);

	raw_spin_lock_irq(&w->lock);
	list_add_tail_rcu(&d->node, &w->domains);
	w->nr_domains++;
	raw_spin_unlock_irq(&w->lock);
	return d;
}

/* Are all chunks that are counted there, so that none is on its way to or from it? */
static bool pviommu_domain_settled(struct pviommu_domain *d)
{
	struct pviommu_window *w = &d->host->window;
	bool settled;

	raw_spin_lock_irq(&d->lock);
	raw_spin_lock(&w->lock);
	settled = d->free + d->used == (unsigned long)d->nr_chunks << w->space.shift;
	raw_spin_unlock(&w->lock);
	raw_spin_unlock_irq(&d->lock);
	return settled;
}

static void pviommu_domain_set_held(struct pviommu_domain *d, bool held)
{
	struct pviommu_window *w = &d->host->window;

	raw_spin_lock_irq(&d->lock);
	raw_spin_lock(&w->lock);
	d->held = held;
	if (held)
		pviommu_chunk_empty(d, NULL);
	raw_spin_unlock(&w->lock);
	raw_spin_unlock_irq(&d->lock);
}

/**
 * pviommu_domain_hold - let a domain have the chunks that it has
 * @d: the domain
 *
 * While its only device is attached anew, or from when that is detached, the host does
 * not know the domain: none is granted to it then, and none is given back, whoever wants
 * it. An allocation that finds nothing fails. Ends with pviommu_domain_unhold(), or,
 * also if the host refused to attach the device again, with pviommu_domain_put().
 *
 * Context: process; sleeps. host.lock is held.
 */
void pviommu_domain_hold(struct pviommu_domain *d)
{
	lockdep_assert_held(&d->host->lock);
	pviommu_domain_set_held(d, true);
	while (!pviommu_domain_settled(d))
		usleep_range(20, 100);
}

/**
 * pviommu_domain_unhold - end what pviommu_domain_hold() began
 * @d: the domain
 *
 * Context: process. host.lock is held.
 */
void pviommu_domain_unhold(struct pviommu_domain *d)
{
	pviommu_domain_set_held(d, false);
}

/**
 * pviommu_domain_shed - give back what can be of a domain that is gone
 * @d: the domain
 *
 * Its chunks of which nothing is in use; the others go when a driver frees what
 * it has there. Gives up the caller's reference.
 *
 * Context: any but NMI. The domain may be gone afterwards.
 */
void pviommu_domain_shed(struct pviommu_domain *d)
{
	while (pviommu_chunks_return(d, PVIOMMU_PICK, false))
		;
	if (atomic_dec_and_test(&d->refs))
		pviommu_domain_free(d);
}

/**
 * pviommu_domain_put - a device is detached, and the host knows
 * @d: its domain
 * @lost: the host did not say that it was
 *
 * With its last device a domain ends, and its chunks are free; those in which a driver
 * has memory still, once that is freed.
 *
 * Context: process; sleeps. host.lock is held.
 */
void pviommu_domain_put(struct pviommu_domain *d, bool lost)
{
	struct pviommu_window *w = &d->host->window;
	unsigned long i;

	lockdep_assert_held(&d->host->lock);
	if (lost)
		d->lost = true;
	if (--d->nr_devices)
		return;

	raw_spin_lock_irq(&w->lock);
	list_del_rcu(&d->node);
	w->nr_domains--;
	raw_spin_unlock_irq(&w->lock);
	/* Who makes others give back may have found it in the list */
	synchronize_rcu();
	pviommu_domain_unhold(d);

	pviommu_ram_exit(d);
	pviommu_window_drain(d, PVIOMMU_DRAIN_ALL);
	pviommu_window_unreserve(d);
	raw_spin_lock_irq(&d->lock);
	/* What the host has not granted again goes as the rest does */
	for (i = 0; d->nr_refused; i++) {
		if (pviommu_chunk_of(d, i))
			pviommu_chunk_refuse(d, w->chunks[i], false);
	}
	raw_spin_lock(&w->lock);
	d->gone = true;
	/* The host has them back; what is still in use there is not granted to anybody */
	if (!d->lost)
		WRITE_ONCE(w->taken, w->taken - d->nr_chunks);
	raw_spin_unlock(&w->lock);
	atomic_long_add(d->used, &w->kept);
	raw_spin_unlock_irq(&d->lock);
	pviommu_domain_shed(d);
}

/**
 * pviommu_domain_collect - find a device's blocks
 * @d: its domain
 * @rid: its requester ID
 * @pages: where the blocks' first pages go
 * @max: how many of them fit there
 * @pos: the page to begin at; then, the one to go on at
 *
 * Context: process. host.lock is held.
 * Return: how many there are; less than @max when there are no more.
 */
unsigned int pviommu_domain_collect(struct pviommu_domain *d, u16 rid, u32 *pages,
				    unsigned int max, unsigned long *pos)
{
	struct pviommu_space *sp = &d->host->window.space;
	unsigned long end = sp->nr_chunks << sp->shift;
	unsigned int nr = 0;

	while (*pos < end && nr < max) {
		unsigned long next = (*pos | sp->mask) + 1;
		struct pviommu_chunk *c;

		raw_spin_lock_irq(&d->lock);
		c = pviommu_chunk_of(d, *pos >> sp->shift);
		for (; c && *pos < next && nr < max; ++*pos) {
			struct pviommu_slot *slot = pviommu_slot_of(sp, *pos);
			/* Pairs with the release of who took the block */
			u8 state = smp_load_acquire(&slot->state);

			if (state != PVIOMMU_SLOT_FREE && state != PVIOMMU_SLOT_ORPHAN &&
			    READ_ONCE(slot->rid) == rid)
				pages[nr++] = *pos;
		}
		raw_spin_unlock_irq(&d->lock);
		if (!c)
			*pos = next;
		cond_resched();
	}
	return nr;
}

/**
 * pviommu_domains_share - what each domain gets in any case
 * @host: the host device
 *
 * Context: process.
 * Return: bytes; there is as much for one that is yet to come.
 */
unsigned long pviommu_domains_share(struct pviommu_host *host)
{
	struct pviommu_window *w = &host->window;
	unsigned long share;

	raw_spin_lock_irq(&w->lock);
	share = pviommu_share(w);
	raw_spin_unlock_irq(&w->lock);
	return share << (w->space.shift + PAGE_SHIFT);
}

/* From what is not granted again nothing is taken */
static int pviommu_regrant_some(struct pviommu_domain *d, unsigned long first,
				unsigned long n)
{
	int ret = pviommu_grant(d, first, n, PV_IOMMU_GRANT_KEEP);
	unsigned long i;

	raw_spin_lock_irq(&d->lock);
	for (i = first; i < first + n; i++)
		pviommu_chunk_refuse(d, d->host->window.chunks[i], ret);
	raw_spin_unlock_irq(&d->lock);
	return ret;
}

/* All or none of them is granted: those that can be one by one; the first error */
static int pviommu_regrant_each(struct pviommu_domain *d, unsigned long first,
				unsigned long n)
{
	unsigned long i;
	int ret = 0, err;

	for (i = first; i < first + n; i++) {
		err = pviommu_regrant_some(d, i, 1);
		ret = ret ?: err;
	}
	return ret;
}

/**
 * pviommu_domain_regrant - have the host grant a domain's chunks anew
 * @d: the domain, which the host had ended, and has devices again
 *
 * They hold what they held. If it fails, its devices do not reach all of them: what is
 * mapped there is lost, and nothing else is mapped there.
 *
 * Context: process; host.lock is held, and nobody has chunks granted or given back.
 * Return: 0, or the first error.
 */
int pviommu_domain_regrant(struct pviommu_domain *d)
{
	struct pviommu_host *host = d->host;
	unsigned long nr = host->window.space.nr_chunks, i, n;
	int ret, first = 0;

	lockdep_assert_held(&host->lock);
	for (i = 0; i < nr; i += n + 1) {
		for (n = 0; i + n < nr && pviommu_chunk_of(d, i + n); n++)
			;
		if (!n)
			continue;
		ret = pviommu_regrant_some(d, i, n);
		if (ret && n > 1)
			ret = pviommu_regrant_each(d, i, n);
		if (ret)
			pci_err(host->pdev, "host refused to grant chunks to domain %u again, from %lu to %lu: error %d\n",
				d->id, i, i + n - 1, ret);
		first = first ?: ret;
	}
	/* What CPUs keep may be of those */
	if (first)
		pviommu_window_drain(d, PVIOMMU_DRAIN_ALL);
	return first;
}

/**
 * pviommu_domains_regrant - have the host grant all chunks anew, after a resume
 * @host: the host device
 *
 * But those of domains that are held, as the host does not know them.
 *
 * Context: process, while devices are suspended. host.lock is held.
 * Return: 0, or the first error.
 */
int pviommu_domains_regrant(struct pviommu_host *host)
{
	struct pviommu_domain *d;
	int ret, first = 0;

	lockdep_assert_held(&host->lock);
	list_for_each_entry(d, &host->window.domains, node) {
		ret = d->held ? 0 : pviommu_domain_regrant(d);
		first = first ?: ret;
	}
	return first;
}

/**
 * pviommu_domains_metadata - what the window costs in the guest's own memory
 * @host: the host device
 *
 * Context: process. host.lock is held.
 * Return: bytes, without the struct pages that any memory has.
 */
size_t pviommu_domains_metadata(struct pviommu_host *host)
{
	struct pviommu_window *w = &host->window;
	size_t chunk = sizeof(struct pviommu_chunk) +
		       (sizeof(struct pviommu_slot) << w->space.shift);
	size_t bits = BITS_TO_LONGS(w->space.nr_chunks) * sizeof(long);
	size_t domain = sizeof(struct pviommu_domain) + bits * (w->space.shift + 1) +
			num_possible_cpus() * sizeof(struct pviommu_cache);

	return w->space.nr_chunks * (sizeof(*w->space.slots) + sizeof(*w->chunks) +
				     sizeof(*w->owner)) + bits +
	       (READ_ONCE(w->taken) + PVIOMMU_SPARE_CHUNKS) * chunk + w->nr_domains * domain;
}

/**
 * pviommu_domains_init - prepare for domains
 * @host: the host device, with the window's space set
 *
 * Context: process; sleeps.
 * Return: 0 or -ENOMEM.
 */
int pviommu_domains_init(struct pviommu_host *host)
{
	struct pviommu_window *w = &host->window;
	unsigned long nr = w->space.nr_chunks;

	raw_spin_lock_init(&w->lock);
	INIT_LIST_HEAD(&w->domains);
	INIT_DELAYED_WORK(&host->balance, pviommu_balance_work);
	w->pressure = jiffies;
	w->chunks = kvcalloc(nr, sizeof(*w->chunks), GFP_KERNEL);
	w->owner = kvcalloc(nr, sizeof(*w->owner), GFP_KERNEL);
	w->free = bitmap_alloc(nr, GFP_KERNEL);
	if (!w->chunks || !w->owner || !w->free)
		return -ENOMEM;
	bitmap_fill(w->free, nr);
	pviommu_limit_read(host);
	pviommu_body_refill(w);
	return 0;
}

/**
 * pviommu_domains_stop - the worker will not run any more
 * @host: the host device, without attached devices
 *
 * Context: process; sleeps.
 */
void pviommu_domains_stop(struct pviommu_host *host)
{
	if (host->window.chunks)
		cancel_delayed_work_sync(&host->balance);
}

/**
 * pviommu_domains_exit - undo pviommu_domains_init()
 * @host: the host device; no domain has a chunk
 *
 * Context: process; sleeps.
 */
void pviommu_domains_exit(struct pviommu_host *host)
{
	struct pviommu_window *w = &host->window;
	unsigned int i;

	/* pviommu_body_rcu() is the module's code */
	rcu_barrier();
	for (i = 0; i < PVIOMMU_SPARE_CHUNKS; i++)
		pviommu_body_free(w->spare[i]);
	bitmap_free(w->free);
	kvfree(w->owner);
	kvfree(w->chunks);
}
