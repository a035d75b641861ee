// SPDX-License-Identifier: GPL-2.0
/*
 * pv-iommu: the allocator of a domain
 *
 * Three layers. At the bottom domain.c has chunks of the window granted and takes
 * them back. The shared layer divides a chunk by a buddy system: a chunk is aligned
 * to its size as the device sees it, so a block is too, and no block crosses a
 * segment boundary that is not smaller than itself. A block comes from one of the
 * chunks whose largest free block is the smallest that will do, and of these from the
 * highest: small blocks fill the chunks that are of little other use, at one end of the
 * window, so that others become free as a whole, in rows, and can go back. What stays,
 * as coherent memory does, is taken from the end of a chunk where there is such memory
 * already. Single pages of it, by which drivers' pools grow while all is in use, are from
 * a block that is kept for them: else each would be in another chunk, for ever. What is
 * larger than a chunk is some chunks in a row.
 *
 * Above it each CPU keeps some free blocks of each size that streaming DMA uses. In
 * the steady state a map takes a block from there and an unmap puts it back: no
 * shared lock, no shared cache line. How many it keeps follows need: a CPU that
 * runs out, or has too many, may keep twice as many from then on, up to a limit; one
 * that is idle gives all back.
 *
 * When a domain has nothing, what its CPUs keep is called back, now and then, or else it
 * asks for a chunk; when there is none to be had, what all CPUs keep is called back, and
 * others' chunks that are not in use. From then on, for a while, no CPU keeps
 * anything: a block that is freed can be found by whoever looks next. So nobody is
 * told that the window is full while there is room; but who has more than its share, and
 * empties a chunk for one that has less, does not get what is free in there.
 *
 * Nothing here sleeps; everything may be called in any context but NMI, unless
 * stated. All state is in the guest's own memory.
 */
#include <linux/bitmap.h>
#include <linux/bitops.h>
#include <linux/jiffies.h>
#include <linux/mm.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "pviommu.h"
#include "window.h"

/* Where the blocks of each order are that a CPU keeps: there may be as many as up to the next */
const u16 pviommu_cache_begin[PVIOMMU_CACHE_ORDERS + 1] = {
	0, 256, 384, 448, 512, 576, 580, PVIOMMU_CACHE_BLOCKS
};

static unsigned int pviommu_cache_limit(unsigned int order)
{
	return pviommu_cache_begin[order + 1] - pviommu_cache_begin[order];
}

/*
 * How often a domain calls back what its CPUs keep rather than have a chunk granted: now
 * and then, but soon if they keep more than this each, in pages
 */
#define PVIOMMU_CALL_BACK	(10 * HZ)
#define PVIOMMU_CALL_BACK_SOON	(HZ / 10)
#define PVIOMMU_CACHE_SHARE	(SZ_1M >> PAGE_SHIFT)

/* What is kept for single pages that stay: as a power of two, which part of a chunk */
#define PVIOMMU_RESERVE_SHIFT	3

/* A CPU that had to ask may keep twice as many, and an eighth of the limit at least */
static void pviommu_cache_grow(struct pviommu_cache *c, unsigned int order)
{
	unsigned int limit = pviommu_cache_limit(order);

	WRITE_ONCE(c->depth[order],
		   min(max3(c->depth[order] * 2U, limit / 8, 2U), limit));
}

/* One more block that the CPU keeps; both are looked at without the lock, too */
static void pviommu_cache_add(struct pviommu_cache *c, unsigned int order,
			      struct pviommu_slot *slot)
{
	c->block[pviommu_cache_begin[order] + c->nr[order]] = slot;
	WRITE_ONCE(c->nr[order], c->nr[order] + 1);
}

/* Is nothing to be kept, so that it is found, or what is emptied is empty soon? */
static bool pviommu_pressed(struct pviommu_domain *d)
{
	return READ_ONCE(d->emptied) || READ_ONCE(d->nr_refused) ||
	       time_before(jiffies, READ_ONCE(d->host->window.pressure));
}

/* ---- blocks of a chunk; domain.lock is held ---- */

/* Its free blocks have changed: be found by the largest of them */
static void pviommu_chunk_file(struct pviommu_domain *d, struct pviommu_chunk *c)
{
	int o = d->host->window.space.shift;

	while (o >= 0 && !c->nr_free[o])
		o--;
	if (c == d->emptied || c->refused)
		o = -1;
	if (o == d->host->window.space.shift)
		c->stayed = 0;
	if (o == c->largest)
		return;
	if (c->largest >= 0) {
		__clear_bit(c->index, d->avail[c->largest]);
		d->nr_avail[c->largest]--;
	}
	if (o >= 0) {
		__set_bit(c->index, d->avail[o]);
		d->nr_avail[o]++;
	}
	c->largest = o;
	c->since = jiffies;
}

/* Bit of the block that begins at a page of the chunk */
static unsigned int pviommu_chunk_bit(unsigned int shift, unsigned int page,
				      unsigned int order)
{
	return BIT(shift - order) + (page >> order);
}

static void pviommu_chunk_set(struct pviommu_chunk *c, unsigned int bit,
			      unsigned int order)
{
	__set_bit(bit, c->free);
	c->nr_free[order]++;
}

static void pviommu_chunk_clear(struct pviommu_chunk *c, unsigned int bit,
				unsigned int order)
{
	__clear_bit(bit, c->free);
	c->nr_free[order]--;
}

/* The smallest free block that will do, and of these the first */
static unsigned int pviommu_chunk_first(struct pviommu_chunk *c, unsigned int shift,
					unsigned int *order)
{
	while (!c->nr_free[*order])
		(*order)++;
	return find_next_bit(c->free, 2 << (shift - *order), BIT(shift - *order));
}

/* Of all the free blocks that will do, the last */
static unsigned int pviommu_chunk_last(struct pviommu_chunk *c, unsigned int shift,
				       unsigned int *order)
{
	unsigned int o, bit, at, last = 0, max = 0;

	for (o = *order; o <= shift; o++) {
		if (!c->nr_free[o])
			continue;
		bit = find_last_bit(c->free, 2 << (shift - o));
		at = (bit + 1 - BIT(shift - o)) << o;
		if (at > max) {
			max = at;
			last = bit;
			*order = o;
		}
	}
	return last;
}

/*
 * Take a block of a chunk that has one of that order or a larger one. What comes and goes
 * is at the beginning, what stays at the end: so it divides little of the chunk.
 */
static unsigned int pviommu_chunk_take(struct pviommu_chunk *c, unsigned int shift,
				       const struct pviommu_want *want)
{
	unsigned int o = want->order;
	unsigned int bit = want->coherent ? pviommu_chunk_last(c, shift, &o) :
					    pviommu_chunk_first(c, shift, &o);

	pviommu_chunk_clear(c, bit, o);
	while (o > want->order) {
		o--;
		bit = bit * 2 + want->coherent;
		pviommu_chunk_set(c, bit ^ 1, o);
	}
	c->used += BIT(o);
	return (bit - BIT(shift - o)) << o;
}

static void pviommu_chunk_put(struct pviommu_chunk *c, unsigned int shift,
			      unsigned int page, unsigned int order)
{
	unsigned int bit = pviommu_chunk_bit(shift, page, order);

	c->used -= BIT(order);
	while (order < shift && test_bit(bit ^ 1, c->free)) {
		pviommu_chunk_clear(c, bit ^ 1, order);
		bit /= 2;
		order++;
	}
	pviommu_chunk_set(c, bit, order);
}

/**
 * pviommu_chunk_init - all of a chunk is free
 * @c: the chunk
 * @shift: its pages, as a power of two
 */
void pviommu_chunk_init(struct pviommu_chunk *c, unsigned int shift)
{
	bitmap_zero(c->free, 2 << PVIOMMU_CHUNK_ORDER_MAX);
	memset(c->nr_free, 0, sizeof(c->nr_free));
	pviommu_chunk_set(c, 1, shift);
	c->used = 0;
	c->coherent = 0;
	c->run = 0;
	c->head = c->index;
}

/* ---- the shared layer; domain.lock is held ---- */

/* Snapshots of both are taken without the lock */
static void pviommu_shared_count(struct pviommu_domain *d, long npages)
{
	WRITE_ONCE(d->free, d->free + npages);
	WRITE_ONCE(d->used, d->used - npages);
}

static void pviommu_shared_used(struct pviommu_domain *d, unsigned long npages)
{
	pviommu_shared_count(d, -npages);
	d->high_water = max(d->high_water, d->used);
}

/**
 * pviommu_chunks_reached - how many of the chunks, from the first, a device reaches
 * @sp: the window's space
 * @dma_limit: the highest DMA address that it reaches
 *
 * Masks end where chunks do. A bus may end in the middle of one, of which its devices are
 * given nothing: what is free there would have to be looked through.
 *
 * Return: how many, as a whole.
 */
unsigned long pviommu_chunks_reached(struct pviommu_space *sp, u64 dma_limit)
{
	if (dma_limit >= sp->dma + sp->size - 1)
		return sp->nr_chunks;
	return dma_limit < sp->dma ? 0 : (dma_limit - sp->dma + 1) >> (PAGE_SHIFT + sp->shift);
}

/* What stays keeps a chunk from going: it is put where there is some already; or NULL */
static struct pviommu_chunk *pviommu_coherent_find(struct pviommu_domain *d, unsigned int order,
						   unsigned long end)
{
	struct pviommu_window *w = &d->host->window;
	struct pviommu_chunk *c, *best = NULL;
	unsigned long i;

	for (; order < w->space.shift; order++) {
		if (!d->nr_avail[order])
			continue;
		for_each_set_bit(i, d->avail[order], end) {
			c = w->chunks[i];
			if (c->coherent && (!best || c->coherent > best->coherent))
				best = c;
		}
	}
	return best;
}

/* Where other blocks come from, as said above; or NULL */
static struct pviommu_chunk *pviommu_shared_find(struct pviommu_domain *d, unsigned int order,
						 unsigned long end)
{
	struct pviommu_window *w = &d->host->window;
	unsigned long i;

	for (; order <= w->space.shift; order++) {
		i = d->nr_avail[order] ? find_last_bit(d->avail[order], end) : end;
		if (i < end)
			return w->chunks[i];
	}
	return NULL;
}

static unsigned long pviommu_shared_take_from(struct pviommu_domain *d,
					      struct pviommu_chunk *c,
					      const struct pviommu_want *want)
{
	struct pviommu_space *sp = &d->host->window.space;
	unsigned int page = pviommu_chunk_take(c, sp->shift, want);

	pviommu_chunk_file(d, c);
	pviommu_shared_used(d, BIT(want->order));
	return ((unsigned long)c->index << sp->shift) + page;
}

static unsigned long pviommu_shared_take(struct pviommu_domain *d,
					 const struct pviommu_want *want)
{
	unsigned long end = pviommu_chunks_reached(&d->host->window.space, want->dma_limit);
	struct pviommu_chunk *c = NULL;

	lockdep_assert_held(&d->lock);
	if (want->coherent)
		c = pviommu_coherent_find(d, want->order, end);
	if (!c)
		c = pviommu_shared_find(d, want->order, end);
	return c ? pviommu_shared_take_from(d, c, want) : PVIOMMU_NO_PAGE;
}

static void pviommu_shared_put(struct pviommu_domain *d, unsigned long page,
			       unsigned int order)
{
	struct pviommu_window *w = &d->host->window;
	unsigned int shift = w->space.shift;
	struct pviommu_chunk *c = w->chunks[page >> shift];

	lockdep_assert_held(&d->lock);
	pviommu_shared_count(d, BIT(order));
	pviommu_chunk_put(c, shift, page & w->space.mask, order);
	pviommu_chunk_file(d, c);
}

/* Any number of pages of one chunk */
static void pviommu_shared_put_range(struct pviommu_domain *d, unsigned long page,
				     unsigned long npages)
{
	while (npages) {
		unsigned int order = __fls(npages);

		if (page)
			order = min_t(unsigned int, order, __ffs(page));
		pviommu_shared_put(d, page, order);
		page += BIT(order);
		npages -= BIT(order);
	}
}

/* What is kept for single pages that stay: no more */
static void pviommu_reserve_drop(struct pviommu_domain *d)
{
	pviommu_shared_put_range(d, d->reserve, d->nr_reserve);
	WRITE_ONCE(d->nr_reserve, 0);
}

/* The same if it is of that chunk, which is to go */
static void pviommu_reserve_leave(struct pviommu_domain *d, struct pviommu_chunk *c)
{
	if (d->nr_reserve && d->reserve >> d->host->window.space.shift == c->index)
		pviommu_reserve_drop(d);
}

/*
 * A page that stays: of what is kept for such, or of a new block for them, an eighth of a
 * chunk or what there is; or no more than the page, when room is short. In a chunk that
 * has a page free, and such memory, rather than in one that has a block free.
 */
static unsigned long pviommu_reserve_take(struct pviommu_domain *d,
					  const struct pviommu_want *want)
{
	struct pviommu_space *sp = &d->host->window.space;
	unsigned long end = pviommu_chunks_reached(sp, want->dma_limit);
	struct pviommu_want block = *want;
	struct pviommu_chunk *c;

	lockdep_assert_held(&d->lock);
	if (d->nr_reserve && d->reserve >> sp->shift >= end)
		pviommu_reserve_drop(d);
	if (!d->nr_reserve) {
		if (!pviommu_pressed(d))
			block.order = sp->shift - PVIOMMU_RESERVE_SHIFT;
		c = pviommu_coherent_find(d, block.order, end);
		if (!c)
			c = pviommu_coherent_find(d, want->order, end);
		if (!c)
			c = pviommu_shared_find(d, block.order, end);
		if (!c)
			c = pviommu_shared_find(d, want->order, end);
		if (!c)
			return PVIOMMU_NO_PAGE;
		block.order = min_t(unsigned int, block.order, c->largest);
		d->reserve = pviommu_shared_take_from(d, c, &block);
		WRITE_ONCE(d->nr_reserve, BIT(block.order));
	}
	WRITE_ONCE(d->nr_reserve, d->nr_reserve - 1);
	return d->reserve + d->nr_reserve;
}

/* Some chunks in a row, all free: the block's first page */
static unsigned long pviommu_shared_take_run(struct pviommu_domain *d,
					     const struct pviommu_want *want)
{
	struct pviommu_window *w = &d->host->window;
	struct pviommu_space *sp = &w->space;
	unsigned long n = DIV_ROUND_UP(want->npages, BIT(sp->shift)), i;
	unsigned long first = pviommu_run_find(sp, d->avail[sp->shift], n, want);

	lockdep_assert_held(&d->lock);
	if (first == PVIOMMU_NO_PAGE)
		return PVIOMMU_NO_PAGE;

	for (i = first; i < first + n; i++) {
		struct pviommu_chunk *c = w->chunks[i];

		pviommu_chunk_clear(c, 1, sp->shift);
		c->used = BIT(sp->shift);
		c->head = first;
		pviommu_chunk_file(d, c);
	}
	w->chunks[first]->run = n;
	pviommu_shared_used(d, n << sp->shift);
	return first << sp->shift;
}

static void pviommu_shared_put_run(struct pviommu_domain *d, struct pviommu_chunk *c)
{
	struct pviommu_window *w = &d->host->window;
	unsigned long i, n = c->run, first = c->index;

	pviommu_shared_count(d, n << w->space.shift);
	for (i = first; i < first + n; i++) {
		c = w->chunks[i];
		pviommu_chunk_init(c, w->space.shift);
		pviommu_chunk_file(d, c);
	}
}

/* What stays is more by some pages, or less; they are from that page on */
static void pviommu_shared_coherent(struct pviommu_domain *d, unsigned long page, long npages)
{
	struct pviommu_window *w = &d->host->window;
	struct pviommu_chunk *c = w->chunks[page >> w->space.shift];

	c->coherent += npages;
	WRITE_ONCE(d->coherent, d->coherent + npages);
	if (!c->coherent)
		pviommu_reserve_leave(d, c);
}

/**
 * pviommu_run_find - find chunks in a row
 * @sp: the window's space
 * @set: the chunks that may be taken, bit by bit
 * @n: how many
 * @want: their alignment, and what the device reaches
 *
 * Return: the first chunk of the highest such row, so that low addresses are left
 * to devices that reach no others; or PVIOMMU_NO_PAGE.
 */
unsigned long pviommu_run_find(struct pviommu_space *sp, const unsigned long *set,
			       unsigned long n, const struct pviommu_want *want)
{
	unsigned long align = want->order > sp->shift ? BIT(want->order - sp->shift) : 1;
	unsigned long base = sp->dma >> (PAGE_SHIFT + sp->shift);
	unsigned long end = pviommu_chunks_reached(sp, want->dma_limit), first, gap;

	while (end >= n) {
		first = find_last_bit(set, end);
		if (first >= end)
			break;
		end = first + 1;
		if (end < n)
			break;
		/* Where the row would begin, in DMA address space a multiple of align */
		first = end - n;
		if ((base + first) & (align - 1)) {
			unsigned long down = (base + first) & (align - 1);

			if (down > first)
				break;
			first -= down;
		}
		gap = find_next_zero_bit(set, first + n, first);
		if (gap >= first + n)
			return first;
		/* No row has the gap in it */
		end = gap;
	}
	return PVIOMMU_NO_PAGE;
}

/**
 * pviommu_chunk_of - a chunk, if a domain has it
 * @d: the domain
 * @index: the chunk
 *
 * Context: any but NMI; domain.lock is held, or nobody allocates.
 * Return: the chunk, or NULL.
 */
struct pviommu_chunk *pviommu_chunk_of(struct pviommu_domain *d, unsigned long index)
{
	struct pviommu_window *w = &d->host->window;

	return READ_ONCE(w->owner[index]) == d->id ? w->chunks[index] : NULL;
}

/* What the shared layer hands out may hold anything */
static struct pviommu_slot *pviommu_fresh(struct pviommu_domain *d, unsigned long page,
					  unsigned int order, unsigned long npages)
{
	struct pviommu_slot *slot = pviommu_slot_of(&d->host->window.space, page);

	slot->page = page;
	WRITE_ONCE(slot->order, order);
	WRITE_ONCE(slot->npages, npages);
	slot->dirty_start = 0;
	slot->dirty_end = PAGE_SIZE << order;
	return slot;
}

/**
 * pviommu_chunk_add - a domain has chunks more
 * @d: the domain
 * @c: the first of them
 *
 * Context: any but NMI; domain.lock is held.
 */
void pviommu_chunk_add(struct pviommu_domain *d, struct pviommu_chunk *c)
{
	struct pviommu_window *w = &d->host->window;

	lockdep_assert_held(&d->lock);
	pviommu_chunk_init(c, w->space.shift);
	c->largest = -1;
	pviommu_chunk_file(d, c);
	WRITE_ONCE(d->free, d->free + BIT(w->space.shift));
	WRITE_ONCE(w->chunks[c->index], c);
	WRITE_ONCE(w->owner[c->index], d->id);
	WRITE_ONCE(w->space.slots[c->index], c->slots);
}

/**
 * pviommu_chunk_del - a domain has a chunk less
 * @d: the domain
 * @c: a chunk of its, of which nothing is in use
 *
 * Context: any but NMI; domain.lock is held.
 */
void pviommu_chunk_del(struct pviommu_domain *d, struct pviommu_chunk *c)
{
	struct pviommu_window *w = &d->host->window;

	lockdep_assert_held(&d->lock);
	pviommu_chunk_refuse(d, c, false);
	pviommu_chunk_clear(c, 1, w->space.shift);
	pviommu_chunk_file(d, c);
	if (d->emptied == c)
		WRITE_ONCE(d->emptied, NULL);
	WRITE_ONCE(d->free, d->free - BIT(w->space.shift));
	WRITE_ONCE(w->owner[c->index], 0);
	WRITE_ONCE(w->chunks[c->index], NULL);
	WRITE_ONCE(w->space.slots[c->index], NULL);
}

/**
 * pviommu_chunk_empty - take nothing from a chunk any more, so that it can go
 * @d: the domain
 * @c: a chunk of its; or NULL: none
 *
 * What was taken from the one before can be again.
 *
 * Context: any but NMI; domain.lock is held.
 */
void pviommu_chunk_empty(struct pviommu_domain *d, struct pviommu_chunk *c)
{
	struct pviommu_chunk *before = d->emptied;

	lockdep_assert_held(&d->lock);
	if (c)
		pviommu_reserve_leave(d, c);
	WRITE_ONCE(d->emptied, c);
	if (before)
		pviommu_chunk_file(d, before);
	if (c)
		pviommu_chunk_file(d, c);
}

/**
 * pviommu_chunk_refuse - the host has not granted a chunk again, or has now
 * @d: the domain
 * @c: a chunk of its
 * @refused: nothing is taken from it; what CPUs keep of it has to be called back
 *
 * Context: process; domain.lock is held.
 */
void pviommu_chunk_refuse(struct pviommu_domain *d, struct pviommu_chunk *c, bool refused)
{
	lockdep_assert_held(&d->lock);
	if (c->refused == refused)
		return;
	if (refused)
		pviommu_reserve_leave(d, c);
	c->refused = refused;
	WRITE_ONCE(d->nr_refused, d->nr_refused + (refused ? 1 : -1));
	pviommu_chunk_file(d, c);
}

/* ---- allocation ---- */

static struct pviommu_slot *pviommu_exact_try(struct pviommu_domain *d,
					      const struct pviommu_want *want)
{
	struct pviommu_space *sp = &d->host->window.space;
	struct pviommu_slot *slot = NULL;
	bool run = want->order > sp->shift || want->npages > BIT(sp->shift);
	unsigned long flags, page, low;

	raw_spin_lock_irqsave(&d->lock, flags);
	d->locked++;
	if (run)
		page = pviommu_shared_take_run(d, want);
	else if (want->coherent && !want->order)
		page = pviommu_reserve_take(d, want);
	else
		page = pviommu_shared_take(d, want);
	if (page != PVIOMMU_NO_PAGE) {
		slot = pviommu_fresh(d, page, run ? order_base_2(want->npages) :
					      want->order, want->npages);
		if (!run)
			pviommu_shared_put_range(d, page + want->npages,
						 BIT(want->order) - want->npages);
		if (want->coherent)
			pviommu_shared_coherent(d, page, want->npages);
	}
	low = pviommu_domain_room(d);
	raw_spin_unlock_irqrestore(&d->lock, flags);

	if (low < pviommu_low_pages(sp))
		pviommu_domain_low(d);
	return slot;
}

/**
 * pviommu_window_spare - pages that CPUs keep, and that may do in place of a chunk
 * @d: the domain
 *
 * Not each time: who needs now and then what it keeps would get it from the shared
 * layer again and again, and the one chunk more that ends this would never come. But
 * a burst lets CPUs keep many blocks, some MiB each, of which the host would have to
 * lock whole chunks more.
 *
 * Return: how many; a snapshot.
 */
unsigned long pviommu_window_spare(struct pviommu_domain *d)
{
	unsigned long parked = pviommu_window_parked(d);
	unsigned long wait = PVIOMMU_CALL_BACK;

	if (parked > num_online_cpus() * PVIOMMU_CACHE_SHARE)
		wait = PVIOMMU_CALL_BACK_SOON;
	return time_before(jiffies, READ_ONCE(d->called_back) + wait) ? 0 : parked;
}

static bool pviommu_call_back(struct pviommu_domain *d, const struct pviommu_want *want)
{
	if (pviommu_window_spare(d) < want->npages)
		return false;
	WRITE_ONCE(d->called_back, jiffies);
	return pviommu_window_drain(d, PVIOMMU_DRAIN_SPARE);
}

/**
 * pviommu_window_alloc_exact - take pages from the shared layer
 * @d: the domain
 * @want: how many, and where
 *
 * For what lives long, is large, or is for a device that reaches only a part of the
 * window. Costs the pages and no more, or whole chunks if it is more than one. Takes
 * the shared lock.
 *
 * Context: any but NMI.
 * Return: the first page's slot, or NULL when there is no room: counted, and not before
 * a chunk was asked for, and all that CPUs keep has been called back.
 */
struct pviommu_slot *pviommu_window_alloc_exact(struct pviommu_domain *d,
						const struct pviommu_want *want)
{
	struct pviommu_slot *slot = pviommu_exact_try(d, want);

	if (!slot && pviommu_call_back(d, want))
		slot = pviommu_exact_try(d, want);
	/* Another CPU may take what was granted for this one, but not for ever */
	if (!slot && pviommu_domain_grow(d, want))
		slot = pviommu_exact_try(d, want);
	if (!slot) {
		/* First, so that no CPU takes what others have given back */
		pviommu_domain_press(d, want);
		pviommu_window_drain(d, PVIOMMU_DRAIN_ALL);
		slot = pviommu_exact_try(d, want);
	}
	if (!slot) {
		pviommu_domain_grow(d, want);
		slot = pviommu_exact_try(d, want);
	}
	/* A row of chunks is none the longer for it */
	if (!slot && want->npages <= BIT(d->host->window.space.shift)) {
		pviommu_window_unreserve(d);
		slot = pviommu_exact_try(d, want);
	}
	if (!slot)
		atomic64_inc(&d->failed);
	return slot;
}

/**
 * pviommu_window_alloc_slow - take a block when this CPU's cache has none
 * @d: the domain
 * @order: its size, below PVIOMMU_CACHE_ORDERS
 *
 * Lets the CPU keep more, and takes some for it on the way.
 *
 * Context: any but NMI.
 * Return: the first page's slot, or NULL when the window is full.
 */
struct pviommu_slot *pviommu_window_alloc_slow(struct pviommu_domain *d,
					       unsigned int order)
{
	const struct pviommu_want want = {
		.npages = BIT(order), .order = order, .dma_limit = U64_MAX,
	};
	struct pviommu_window *w = &d->host->window;
	struct pviommu_slot *slot = NULL;
	unsigned long page, flags, left;
	unsigned int nr = 1;
	struct pviommu_cache *c;

	if (order > w->space.shift)
		return pviommu_window_alloc_exact(d, &want);

	local_irq_save(flags);
	c = this_cpu_ptr(d->cache);
	pviommu_cache_lock(c);
	c->misses++;
	if (!pviommu_pressed(d)) {
		pviommu_cache_grow(c, order);
		nr = min_t(unsigned int, c->depth[order] / 2,
			   pviommu_low_pages(&w->space) >> order);
	}
	raw_spin_lock(&d->lock);
	d->locked++;
	page = pviommu_shared_take(d, &want);
	if (page != PVIOMMU_NO_PAGE)
		slot = pviommu_fresh(d, page, order, 0);
	/* Only what is in nobody's way: not the last of the domain's */
	while (slot && nr-- > 1 && c->nr[order] < c->depth[order] &&
	       pviommu_domain_room(d) >= pviommu_low_pages(&w->space) + BIT(order)) {
		page = pviommu_shared_take(d, &want);
		if (page == PVIOMMU_NO_PAGE)
			break;
		pviommu_cache_add(c, order, pviommu_fresh(d, page, order, 0));
	}
	left = pviommu_domain_room(d);
	raw_spin_unlock(&d->lock);
	pviommu_cache_unlock(c);
	local_irq_restore(flags);

	if (left < pviommu_low_pages(&w->space))
		pviommu_domain_low(d);
	pviommu_domain_busy(d->host);

	if (!slot) {
		slot = pviommu_window_alloc_exact(d, &want);
		/* A block like others: a cache may take it */
		if (slot)
			WRITE_ONCE(slot->npages, 0);
	}
	return slot;
}

static void pviommu_exact_free(struct pviommu_domain *d, unsigned long page,
			       unsigned long npages, bool coherent)
{
	struct pviommu_host *host = d->host;
	struct pviommu_window *w = &host->window;
	struct pviommu_chunk *c = w->chunks[page >> w->space.shift];
	unsigned long flags, before;
	bool gone;

	raw_spin_lock_irqsave(&d->lock, flags);
	d->locked++;
	before = d->used;
	if (coherent)
		pviommu_shared_coherent(d, page, -npages);
	if (c->run)
		pviommu_shared_put_run(d, c);
	else
		pviommu_shared_put_range(d, page, npages);
	gone = d->gone;
	if (unlikely(gone)) {
		atomic_inc(&d->refs);
		atomic_long_sub(before - d->used, &w->kept);
	}
	raw_spin_unlock_irqrestore(&d->lock, flags);

	/* A domain whose last device leaves now is freed as soon as the lock is open */
	if (unlikely(gone))
		pviommu_domain_shed(d);
	else
		pviommu_domain_busy(host);
}

/**
 * pviommu_window_free_exact - give pages back that no cache takes
 * @d: the domain
 * @page: the first page; its slot is FREE already
 * @npages: how many
 *
 * Context: any but NMI. The domain may be gone afterwards, if it had no device any
 * more.
 */
void pviommu_window_free_exact(struct pviommu_domain *d, unsigned long page,
			       unsigned long npages)
{
	pviommu_exact_free(d, page, npages, false);
}

/**
 * pviommu_window_free_coherent - give pages back that were taken as such that stay
 * @d: the domain
 * @page: the first page; its slot is FREE already
 * @npages: how many
 *
 * Context: as for pviommu_window_free_exact().
 */
void pviommu_window_free_coherent(struct pviommu_domain *d, unsigned long page,
				  unsigned long npages)
{
	pviommu_exact_free(d, page, npages, true);
}

/* The first @n blocks that a CPU keeps go back; both locks are held */
static void pviommu_cache_flush(struct pviommu_domain *d, struct pviommu_cache *c,
				unsigned int order, unsigned int n)
{
	struct pviommu_slot **block = &c->block[pviommu_cache_begin[order]];
	unsigned int i;

	for (i = 0; i < n; i++)
		pviommu_shared_put(d, block[i]->page, order);
	WRITE_ONCE(c->nr[order], c->nr[order] - n);
	memmove(block, block + n, c->nr[order] * sizeof(*block));
}

/**
 * pviommu_window_free_slow - give a block back when this CPU's cache is full
 * @d: the domain
 * @slot: the block's first page's slot; FREE already, and @page is set
 *
 * Lets the CPU keep more, up to the limit. Then half of what it keeps goes, the
 * blocks that have not been used for longest, for one round of the shared lock.
 *
 * Context: any but NMI.
 */
void pviommu_window_free_slow(struct pviommu_domain *d, struct pviommu_slot *slot)
{
	unsigned int order = slot->order, limit = pviommu_cache_limit(order);
	struct pviommu_cache *c;
	unsigned long flags;

	local_irq_save(flags);
	c = this_cpu_ptr(d->cache);
	pviommu_cache_lock(c);
	if (pviommu_pressed(d) || c->depth[order] == limit) {
		raw_spin_lock(&d->lock);
		d->locked++;
		if (c->depth[order] == limit)
			pviommu_cache_flush(d, c, order, (c->nr[order] + 1) / 2);
		pviommu_shared_put(d, slot->page, order);
		raw_spin_unlock(&d->lock);
	} else {
		pviommu_cache_grow(c, order);
		pviommu_cache_add(c, order, slot);
	}
	pviommu_cache_unlock(c);
	local_irq_restore(flags);
	pviommu_domain_busy(d->host);
}

/**
 * pviommu_window_drain - call back the free blocks that CPUs keep
 * @d: the domain
 * @which: whose, and how much they may keep afterwards
 *
 * IRQs are off for one CPU's blocks at a time.
 *
 * Context: any but NMI.
 * Return: whether there were any.
 */
bool pviommu_window_drain(struct pviommu_domain *d, enum pviommu_drain which)
{
	unsigned long flags;
	unsigned int cpu, o;
	bool any = false;

	for_each_possible_cpu(cpu) {
		struct pviommu_cache *c = per_cpu_ptr(d->cache, cpu);
		unsigned int nr = 0;
		u64 seen;

		for (o = 0; o < PVIOMMU_CACHE_ORDERS; o++)
			nr += READ_ONCE(c->nr[o]) +
			      (which == PVIOMMU_DRAIN_ALL ? READ_ONCE(c->depth[o]) : 0);
		if (!nr)
			continue;

		local_irq_save(flags);
		pviommu_cache_lock(c);
		seen = c->hits + c->misses;
		if (which == PVIOMMU_DRAIN_IDLE && seen != c->seen) {
			c->seen = seen;
		} else {
			raw_spin_lock(&d->lock);
			d->locked++;
			for (o = 0; o < PVIOMMU_CACHE_ORDERS; o++) {
				any |= c->nr[o];
				pviommu_cache_flush(d, c, o, c->nr[o]);
				if (which == PVIOMMU_DRAIN_ALL)
					WRITE_ONCE(c->depth[o], 0);
				else if (which == PVIOMMU_DRAIN_IDLE)
					WRITE_ONCE(c->depth[o], c->depth[o] / 2);
			}
			raw_spin_unlock(&d->lock);
		}
		pviommu_cache_unlock(c);
		local_irq_restore(flags);
	}
	return any;
}

/**
 * pviommu_window_unreserve - what is kept for single pages that stay can be had by others
 * @d: the domain
 *
 * Context: any but NMI.
 */
void pviommu_window_unreserve(struct pviommu_domain *d)
{
	unsigned long flags;

	if (!READ_ONCE(d->nr_reserve))
		return;
	raw_spin_lock_irqsave(&d->lock, flags);
	d->locked++;
	pviommu_reserve_drop(d);
	raw_spin_unlock_irqrestore(&d->lock, flags);
}

/**
 * pviommu_window_parked - pages that are free, but in CPUs' caches
 * @d: the domain
 *
 * Return: how many; a snapshot.
 */
unsigned long pviommu_window_parked(struct pviommu_domain *d)
{
	unsigned long pages = 0;
	unsigned int cpu, o;

	for_each_possible_cpu(cpu) {
		struct pviommu_cache *c = per_cpu_ptr(d->cache, cpu);

		for (o = 0; o < PVIOMMU_CACHE_ORDERS; o++)
			pages += (unsigned long)READ_ONCE(c->nr[o]) << o;
	}
	return pages;
}

/* ---- is every page accounted for exactly once? ---- */

/* A chunk that is divided: free blocks and mapped ones, side by side */
static const char *pviommu_check_chunk(struct pviommu_chunk *c, unsigned int shift,
				       unsigned long *seen)
{
	unsigned int o, i, n, used = 0, bit;

	bitmap_zero(seen, BIT(shift));
	for (o = 0; o <= shift; o++) {
		for (n = 0, bit = BIT(shift - o); bit < 2 << (shift - o); bit++) {
			if (!test_bit(bit, c->free))
				continue;
			i = (bit - BIT(shift - o)) << o;
			if (find_next_bit(seen, i + BIT(o), i) < i + BIT(o))
				return "free twice";
			bitmap_set(seen, i, BIT(o));
			n++;
		}
		if (n != c->nr_free[o])
			return "miscounted";
	}
	for (i = 0; i < BIT(shift); i++) {
		struct pviommu_slot *slot = &c->slots[i];

		/* With traffic, they may change while they are looked at */
		if (READ_ONCE(slot->state) == PVIOMMU_SLOT_FREE)
			continue;
		n = READ_ONCE(slot->npages) ?: BIT(READ_ONCE(slot->order));
		if (i + n > BIT(shift) || find_next_bit(seen, i + n, i) < i + n)
			return "mapped and free";
		bitmap_set(seen, i, n);
		used += n;
	}
	if (used != c->used)
		return "mapped pages do not add up";
	return bitmap_full(seen, BIT(shift)) ? NULL : "a page is lost";
}

/**
 * pviommu_window_check - is every page of a domain accounted for exactly once?
 * @d: the domain
 * @why: what is wrong, if anything is
 * @size: of @why, bytes
 *
 * Holds the shared lock for one chunk at a time. Meant for a domain at rest: with
 * traffic, blocks are on their way between CPUs and their owners, and a page may be
 * reported as lost that is not.
 *
 * Context: process; sleeps. host.lock is held.
 * Return: 0, -ENOMEM, or -EUCLEAN with @why.
 */
int pviommu_window_check(struct pviommu_domain *d, char *why, size_t size)
{
	struct pviommu_window *w = &d->host->window;
	unsigned long i, used = 0, left = 0, coherent = 0, *seen;
	const char *wrong = NULL;

	seen = bitmap_zalloc(BIT(w->space.shift), GFP_KERNEL);
	if (!seen)
		return -ENOMEM;

	pviommu_window_drain(d, PVIOMMU_DRAIN_ALL);
	pviommu_window_unreserve(d);
	for (i = 0; i < w->space.nr_chunks && !wrong; i++) {
		struct pviommu_chunk *c;

		raw_spin_lock_irq(&d->lock);
		c = pviommu_chunk_of(d, i);
		if (c) {
			used += c->used;
			coherent += c->coherent;
			left += BIT(w->space.shift) - c->used;
			if (!w->chunks[c->head]->run)
				wrong = pviommu_check_chunk(c, w->space.shift, seen);
			if (test_bit(i, d->avail[w->space.shift]) !=
			    (!c->used && c != d->emptied && !c->refused))
				wrong = "not known to be free";
		}
		raw_spin_unlock_irq(&d->lock);
		cond_resched();
	}
	bitmap_free(seen);
	if (wrong)
		snprintf(why, size, "domain %u, chunk %lu: %s", d->id, i - 1, wrong);
	else if (used != d->used || left != d->free || coherent != d->coherent)
		snprintf(why, size, "domain %u: its sums are wrong", d->id);
	else
		return 0;
	return -EUCLEAN;
}

/* ---- set up ---- */

/**
 * pviommu_space_init - prepare a range of DMA addresses
 * @sp: the space
 * @dma: its first DMA address; page-aligned
 * @size: bytes; a multiple of the page size
 * @shift: pages of a chunk, as a power of two
 *
 * Context: process; sleeps.
 * Return: 0 or -ENOMEM.
 */
int pviommu_space_init(struct pviommu_space *sp, u64 dma, u64 size, unsigned int shift)
{
	BUILD_BUG_ON(sizeof(struct pviommu_slot) != 32);

	sp->dma = dma;
	sp->size = size;
	sp->shift = shift;
	sp->mask = BIT(shift) - 1;
	sp->nr_chunks = DIV_ROUND_UP_ULL(size >> PAGE_SHIFT, BIT(shift));
	sp->slots = kvcalloc(sp->nr_chunks, sizeof(*sp->slots), GFP_KERNEL);
	return sp->slots ? 0 : -ENOMEM;
}

/**
 * pviommu_space_populate - slots for all of a space
 * @sp: the space
 *
 * Context: process; sleeps.
 * Return: 0 or -ENOMEM.
 */
int pviommu_space_populate(struct pviommu_space *sp)
{
	unsigned long i;

	for (i = 0; i < sp->nr_chunks; i++) {
		sp->slots[i] = kvcalloc(BIT(sp->shift), sizeof(**sp->slots), GFP_KERNEL);
		if (!sp->slots[i])
			return -ENOMEM;
	}
	return 0;
}

void pviommu_space_exit(struct pviommu_space *sp)
{
	unsigned long i;

	for (i = 0; sp->slots && i < sp->nr_chunks; i++)
		kvfree(sp->slots[i]);
	kvfree(sp->slots);
	sp->slots = NULL;
}
