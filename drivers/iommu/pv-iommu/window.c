// SPDX-License-Identifier: GPL-2.0
/*
 * pv-iommu: the window's allocator
 *
 * Two layers. The shared layer is a buddy system over DMA page numbers, so
 * that a block is aligned to its size as the device sees it and no block
 * crosses a segment boundary that is not smaller than itself. Its free blocks
 * are sets of bits that give their first and last member in constant time:
 * taking small blocks from one end and large ones from the other is what keeps
 * large ones to be had after any number of small ones.
 *
 * Above it each CPU keeps some free blocks of each size that streaming DMA
 * uses. In the steady state a map takes a block from there and an unmap puts
 * it back: no shared lock, no shared cache line. When the shared layer has
 * nothing left, the blocks that CPUs hold are called back before anybody is
 * told that the window is full.
 *
 * Nothing here sleeps or allocates after init; everything may be called in any
 * context but NMI. All state is in the guest's own memory: a device that
 * scribbles over the window cannot harm it.
 */
#include <linux/bitops.h>
#include <linux/mm.h>
#include <linux/pfn.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "pviommu.h"
#include "window.h"

static void pviommu_tree_set(struct pviommu_tree *t, unsigned long block)
{
	unsigned long bit = block - t->first;
	unsigned int l;

	for (l = 0; l < t->nr_levels; l++) {
		unsigned long *word = &t->level[l][bit / BITS_PER_LONG];
		unsigned long old = *word;

		*word = old | BIT(bit % BITS_PER_LONG);
		if (old)
			break;
		bit /= BITS_PER_LONG;
	}
}

static void pviommu_tree_clear(struct pviommu_tree *t, unsigned long block)
{
	unsigned long bit = block - t->first;
	unsigned int l;

	for (l = 0; l < t->nr_levels; l++) {
		unsigned long *word = &t->level[l][bit / BITS_PER_LONG];

		*word &= ~BIT(bit % BITS_PER_LONG);
		if (*word)
			break;
		bit /= BITS_PER_LONG;
	}
}

static bool pviommu_tree_test(struct pviommu_tree *t, unsigned long block)
{
	unsigned long bit = block - t->first;

	return t->level[0][bit / BITS_PER_LONG] & BIT(bit % BITS_PER_LONG);
}

/* The first or the last member, or -1 */
static long pviommu_tree_end(struct pviommu_tree *t, bool last)
{
	unsigned long bit = 0;
	int l;

	for (l = t->nr_levels - 1; l >= 0; l--) {
		unsigned long word = t->level[l][bit];

		if (!word)
			return -1;
		bit = bit * BITS_PER_LONG + (last ? __fls(word) : __ffs(word));
	}
	return t->first + bit;
}

static int pviommu_tree_init(struct pviommu_tree *t, struct pviommu_space *sp,
			     unsigned int order)
{
	unsigned long bits, words = 0, *mem;
	unsigned int l;

	t->first = sp->first >> order;
	bits = ((sp->end - 1) >> order) - t->first + 1;

	for (l = 0, t->nr_levels = 0; !l || bits > 1; l++) {
		if (l == PVIOMMU_TREE_LEVELS)
			return -E2BIG;
		bits = BITS_TO_LONGS(bits);
		words += bits;
		t->nr_levels++;
	}

	mem = kvcalloc(words, sizeof(long), GFP_KERNEL);
	if (!mem)
		return -ENOMEM;
	t->nr_words = words;

	bits = ((sp->end - 1) >> order) - t->first + 1;
	for (l = 0; l < t->nr_levels; l++) {
		t->level[l] = mem;
		bits = BITS_TO_LONGS(bits);
		mem += bits;
	}
	return 0;
}

/* Shared layer: take a block from between @start and @end; w->lock is held */
static long pviommu_shared_take_from(struct pviommu_window *w, unsigned int order,
				     unsigned long start, unsigned long end,
				     bool low)
{
	unsigned int o;
	long block;

	for (o = order; o <= PVIOMMU_MAX_ORDER; o++) {
		unsigned long page;

		block = pviommu_tree_end(&w->free[o], !low);
		if (block < 0)
			continue;
		page = (unsigned long)block << o;
		if (page < start || page + BIT(order) > end)
			continue;

		pviommu_tree_clear(&w->free[o], block);
		while (o > order) {
			unsigned long half = page + BIT(--o);

			if (low) {
				pviommu_tree_set(&w->free[o], half >> o);
			} else {
				pviommu_tree_set(&w->free[o], page >> o);
				page = half;
			}
		}

		w->used += BIT(order);
		w->high_water = max(w->high_water, w->used);
		return page;
	}
	return -1;
}

/*
 * Shared layer: take a block that ends below @end; w->lock is held. Unless it
 * has to be low, it is one that 24-bit devices do not reach, while there is
 * any: better to split a large block than to take the last small one of theirs.
 */
static long pviommu_shared_take(struct pviommu_window *w, unsigned int order,
				unsigned long end, bool low)
{
	long page = -1;

	lockdep_assert_held(&w->lock);

	if (!low)
		page = pviommu_shared_take_from(w, order, PHYS_PFN(SZ_16M), end, low);
	if (page < 0)
		page = pviommu_shared_take_from(w, order, 0, end, low);
	return page;
}

/* Shared layer: give a block back; w->lock is held */
static void pviommu_shared_put(struct pviommu_window *w, unsigned long page,
			       unsigned int order)
{
	struct pviommu_space *sp = &w->space;

	lockdep_assert_held(&w->lock);
	w->used -= BIT(order);

	for (; order < PVIOMMU_MAX_ORDER; order++) {
		unsigned long buddy = page ^ BIT(order);

		if (buddy < sp->first || buddy + BIT(order) > sp->end ||
		    !pviommu_tree_test(&w->free[order], buddy >> order))
			break;
		pviommu_tree_clear(&w->free[order], buddy >> order);
		page &= ~BIT(order);
	}
	pviommu_tree_set(&w->free[order], page >> order);
}

/* Shared layer: give back any number of pages; w->lock is held */
static void pviommu_shared_put_range(struct pviommu_window *w,
				     unsigned long page, unsigned long npages)
{
	while (npages) {
		unsigned int order = min_t(unsigned int, __fls(npages),
					   PVIOMMU_MAX_ORDER);

		if (page)
			order = min_t(unsigned int, order, __ffs(page));
		pviommu_shared_put(w, page, order);
		page += BIT(order);
		npages -= BIT(order);
	}
}

/* What the shared layer hands out may hold anything */
static struct pviommu_slot *pviommu_fresh(struct pviommu_window *w,
					  unsigned long page, unsigned int order)
{
	struct pviommu_slot *slot = &w->space.slots[page - w->space.first];

	WRITE_ONCE(slot->order, order);
	slot->npages = 0;
	slot->dirty_start = 0;
	slot->dirty_end = PAGE_SIZE << order;
	return slot;
}

/* Call back the free blocks that CPUs hold. @w->lock is not held. */
static void pviommu_reclaim(struct pviommu_window *w)
{
	unsigned long flags;
	unsigned int cpu, o;

	for_each_possible_cpu(cpu) {
		struct pviommu_cache *c = per_cpu_ptr(w->cache, cpu);

		local_irq_save(flags);
		pviommu_cache_lock(c);
		raw_spin_lock(&w->lock);
		for (o = 0; o < PVIOMMU_CACHE_ORDERS; o++)
			while (c->nr[o])
				pviommu_shared_put(w, w->space.first +
						   c->block[w->begin[o] + --c->nr[o]], o);
		raw_spin_unlock(&w->lock);
		pviommu_cache_unlock(c);
		local_irq_restore(flags);
	}
}

/* First page beyond what a device reaches */
static unsigned long pviommu_window_reach(struct pviommu_window *w, u64 dma_limit)
{
	if (dma_limit >= w->dma_last)
		return w->space.end;
	return (dma_limit + 1) >> PAGE_SHIFT;
}

/**
 * pviommu_window_alloc_exact - take pages from the shared layer
 * @w: the window
 * @npages: how many; contiguous, at least 1
 * @align_order: alignment as a power of two of pages; the pages are aligned to
 *	the power of two that holds @npages in any case
 * @dma_limit: highest DMA address that the device reaches
 *
 * For what lives long, is large, or is for a device that reaches only a part
 * of the window. Costs @npages and no more. Takes the shared lock.
 *
 * Context: any but NMI.
 * Return: the first page's slot, or NULL when there is no room: counted, and
 * not before the other CPUs' caches have been called back.
 */
struct pviommu_slot *pviommu_window_alloc_exact(struct pviommu_window *w,
						unsigned long npages,
						unsigned int align_order,
						u64 dma_limit)
{
	unsigned long end = pviommu_window_reach(w, dma_limit);
	unsigned int order = max_t(unsigned int, order_base_2(npages), align_order);
	/*
	 * Small blocks come from the top: low ones are kept for devices that
	 * reach no others, and the rest of the window stays in one piece.
	 */
	bool low = end != w->space.end || order >= PVIOMMU_CACHE_ORDERS;
	struct pviommu_slot *slot = NULL;
	bool reclaimed = false;
	unsigned long flags;
	long page;

	if (order > PVIOMMU_MAX_ORDER)
		goto full;
retry:
	raw_spin_lock_irqsave(&w->lock, flags);
	page = pviommu_shared_take(w, order, end, low);
	if (page >= 0) {
		slot = pviommu_fresh(w, page, order);
		slot->npages = npages;
		pviommu_shared_put_range(w, page + npages, BIT(order) - npages);
	}
	raw_spin_unlock_irqrestore(&w->lock, flags);

	if (slot)
		return slot;
	if (!reclaimed) {
		pviommu_reclaim(w);
		reclaimed = true;
		goto retry;
	}
full:
	atomic64_inc(&w->full);
	return NULL;
}

/**
 * pviommu_window_alloc_slow - take a block when this CPU's cache has none
 * @w: the window
 * @order: its size, below PVIOMMU_CACHE_ORDERS
 *
 * Fills half of the cache on the way.
 *
 * Context: any but NMI.
 * Return: the first page's slot, or NULL when the window is full.
 */
struct pviommu_slot *pviommu_window_alloc_slow(struct pviommu_window *w,
					       unsigned int order)
{
	struct pviommu_slot *slot = NULL;
	unsigned int want = w->depth[order] / 2;
	struct pviommu_cache *c;
	unsigned long flags;
	long page;

	if (!want)
		return pviommu_window_alloc_exact(w, BIT(order), order, U64_MAX);

	local_irq_save(flags);
	c = this_cpu_ptr(w->cache);
	pviommu_cache_lock(c);
	c->misses++;
	raw_spin_lock(&w->lock);
	while (want-- && c->nr[order] < w->depth[order]) {
		page = pviommu_shared_take(w, order, w->space.end, false);
		if (page < 0)
			break;
		if (slot)
			c->block[w->begin[order] + c->nr[order]++] =
				slot - w->space.slots;
		slot = pviommu_fresh(w, page, order);
	}
	raw_spin_unlock(&w->lock);
	pviommu_cache_unlock(c);
	local_irq_restore(flags);

	return slot ?: pviommu_window_alloc_exact(w, BIT(order), order, U64_MAX);
}

/**
 * pviommu_window_free_slow - give a block back that this CPU's cache won't take
 * @w: the window
 * @slot: the block; its state is FREE already
 *
 * Because it came from the shared layer, or because the cache is full: then
 * half of it goes, those that have not been used for longest.
 *
 * Context: any but NMI.
 */
void pviommu_window_free_slow(struct pviommu_window *w, struct pviommu_slot *slot)
{
	unsigned long page = w->space.first + (slot - w->space.slots);
	unsigned int order = slot->order, i, n;
	struct pviommu_cache *c;
	unsigned long flags;
	u32 *block;

	local_irq_save(flags);
	c = this_cpu_ptr(w->cache);
	pviommu_cache_lock(c);
	raw_spin_lock(&w->lock);
	if (slot->npages) {
		pviommu_shared_put_range(w, page, slot->npages);
	} else {
		block = &c->block[w->begin[order]];
		n = (c->nr[order] + 1) / 2;
		for (i = 0; i < n; i++)
			pviommu_shared_put(w, w->space.first + block[i], order);
		c->nr[order] -= n;
		memmove(block, block + n, c->nr[order] * sizeof(*block));
		pviommu_shared_put(w, page, order);
	}
	raw_spin_unlock(&w->lock);
	pviommu_cache_unlock(c);
	local_irq_restore(flags);
}

/**
 * pviommu_window_parked - pages that are free, but in CPUs' caches
 * @w: the window
 *
 * Return: how many; a snapshot.
 */
unsigned long pviommu_window_parked(struct pviommu_window *w)
{
	unsigned long pages = 0;
	unsigned int cpu, o;

	for_each_possible_cpu(cpu) {
		struct pviommu_cache *c = per_cpu_ptr(w->cache, cpu);

		for (o = 0; o < PVIOMMU_CACHE_ORDERS; o++)
			pages += (unsigned long)READ_ONCE(c->nr[o]) << o;
	}
	return pages;
}

/**
 * pviommu_window_metadata - what the window costs in the guest's own memory
 * @w: the window
 *
 * Return: bytes, without the struct pages that any memory has.
 */
size_t pviommu_window_metadata(struct pviommu_window *w)
{
	struct pviommu_space *sp = &w->space;
	size_t bytes = (sp->end - sp->first) * sizeof(*sp->slots);
	unsigned int o;

	for (o = 0; o <= PVIOMMU_MAX_ORDER; o++)
		bytes += w->free[o].nr_words * sizeof(long);
	return bytes + num_possible_cpus() * sizeof(*w->cache);
}

static int pviommu_check_mark(unsigned long *seen, struct pviommu_space *sp,
			      unsigned long page, unsigned long npages)
{
	if (page < sp->first || page + npages > sp->end)
		return -ERANGE;
	if (find_next_bit(seen, page - sp->first + npages, page - sp->first) <
	    page - sp->first + npages)
		return -EEXIST;
	bitmap_set(seen, page - sp->first, npages);
	return 0;
}

/**
 * pviommu_window_check - is every page accounted for exactly once?
 * @w: the window
 * @why: what is wrong, if anything is
 * @size: of @why, bytes
 *
 * Holds the shared lock for as long as it takes. Meant for a window at rest:
 * with traffic, blocks are on their way between CPUs and their owners, and a
 * page may be reported as lost that is not.
 *
 * Context: process; sleeps.
 * Return: 0, -ENOMEM, or -EUCLEAN with @why.
 */
int pviommu_window_check(struct pviommu_window *w, char *why, size_t size)
{
	struct pviommu_space *sp = &w->space;
	unsigned long npages = sp->end - sp->first, i, used = 0, *seen;
	int o, ret = 0;

	seen = bitmap_zalloc(npages, GFP_KERNEL);
	if (!seen)
		return -ENOMEM;

	pviommu_reclaim(w);
	raw_spin_lock_irq(&w->lock);
	for (o = 0; o <= PVIOMMU_MAX_ORDER && !ret; o++) {
		unsigned long b, last = (sp->end - 1) >> o;

		for (b = w->free[o].first; b <= last && !ret; b++) {
			if (!pviommu_tree_test(&w->free[o], b))
				continue;
			ret = pviommu_check_mark(seen, sp, b << o, BIT(o));
			if (ret)
				snprintf(why, size, "free block %#lx order %d: %d",
					 b << o, o, ret);
		}
	}
	for (i = 0; i < npages && !ret; i++) {
		struct pviommu_slot *slot = &sp->slots[i];
		unsigned long n = slot->npages ?: BIT(slot->order);

		if (slot->state == PVIOMMU_SLOT_FREE)
			continue;
		used += n;
		ret = pviommu_check_mark(seen, sp, sp->first + i, n);
		if (ret)
			snprintf(why, size, "mapped block %#lx, %lu pages: %d",
				 sp->first + i, n, ret);
	}
	if (!ret && used != w->used) {
		snprintf(why, size, "%lu pages are mapped, %lu handed out",
			 used, w->used);
		ret = -EUCLEAN;
	}
	if (!ret && !bitmap_full(seen, npages)) {
		snprintf(why, size, "page %#lx is lost",
			 sp->first + find_first_zero_bit(seen, npages));
		ret = -EUCLEAN;
	}
	raw_spin_unlock_irq(&w->lock);
	bitmap_free(seen);
	return ret ? -EUCLEAN : 0;
}

/**
 * pviommu_space_init - prepare a range of DMA addresses
 * @sp: the space
 * @dma: its first DMA address; page-aligned
 * @size: bytes; a multiple of the page size
 *
 * Context: process; sleeps.
 * Return: 0 or -ENOMEM.
 */
int pviommu_space_init(struct pviommu_space *sp, u64 dma, u64 size)
{
	BUILD_BUG_ON(sizeof(struct pviommu_slot) != 32);

	sp->dma = dma;
	sp->size = size;
	sp->first = dma >> PAGE_SHIFT;
	sp->end = sp->first + (size >> PAGE_SHIFT);
	sp->slots = kvcalloc(sp->end - sp->first, sizeof(*sp->slots), GFP_KERNEL);
	return sp->slots ? 0 : -ENOMEM;
}

void pviommu_space_exit(struct pviommu_space *sp)
{
	kvfree(sp->slots);
	sp->slots = NULL;
}

/**
 * pviommu_window_init - set the allocator up
 * @w: the window, with its space and sizes set
 *
 * Context: process; sleeps.
 * Return: 0, -ENOMEM, or -E2BIG for a window beyond what the allocator indexes.
 */
int pviommu_window_init(struct pviommu_window *w)
{
	unsigned long share;
	unsigned int o;
	int ret;

	raw_spin_lock_init(&w->lock);
	w->dma_last = ((u64)w->space.end << PAGE_SHIFT) - 1;
	atomic64_set(&w->full, 0);

	/*
	 * No size may hold more of the window in the CPUs' caches than a
	 * sixteenth of it: they are called back in need, but that costs.
	 */
	share = (w->space.end - w->space.first) / 16 / num_present_cpus();
	for (o = 0; o < PVIOMMU_CACHE_ORDERS; o++) {
		w->begin[o] = o ? w->begin[o - 1] + w->depth[o - 1] : 0;
		w->depth[o] = min_t(unsigned long, share >> o,
				    PVIOMMU_CACHE_DEPTH << (2 - min(o, 2U)));
	}

	w->cache = alloc_percpu(struct pviommu_cache);
	if (!w->cache)
		return -ENOMEM;
	for (o = 0; o <= PVIOMMU_MAX_ORDER; o++) {
		ret = pviommu_tree_init(&w->free[o], &w->space, o);
		if (ret)
			goto err;
	}

	raw_spin_lock_irq(&w->lock);
	w->used = w->space.end - w->space.first;
	pviommu_shared_put_range(w, w->space.first, w->used);
	w->high_water = 0;
	raw_spin_unlock_irq(&w->lock);
	return 0;
err:
	pviommu_window_exit(w);
	return ret;
}

void pviommu_window_exit(struct pviommu_window *w)
{
	unsigned int o;

	for (o = 0; o <= PVIOMMU_MAX_ORDER; o++) {
		kvfree(w->free[o].level[0]);
		w->free[o].level[0] = NULL;
	}
	free_percpu(w->cache);
	w->cache = NULL;
}
