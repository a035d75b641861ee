/* SPDX-License-Identifier: GPL-2.0 */
/*
 * pv-iommu: the allocator's fast path
 *
 * In the steady state map and unmap do no more than this, on lines that no
 * other CPU touches. Inline, as the calls would cost as much as the work.
 */
#ifndef _PVIOMMU_WINDOW_H
#define _PVIOMMU_WINDOW_H

#include <linux/bit_spinlock.h>
#include <linux/irqflags.h>
#include <linux/kcsan-checks.h>
#include <linux/lockdep.h>
#include <linux/percpu.h>

#include "pviommu.h"

/* No page, no chunk */
#define PVIOMMU_NO_PAGE		(~0UL)

/* Where the blocks of an order begin in pviommu_cache.block */
extern const u16 pviommu_cache_begin[PVIOMMU_CACHE_ORDERS + 1];

/*
 * A CPU's cache is locked by that CPU, and by another only while blocks are
 * called back. A bit lock, since a spinlock's calls are a tenth of all that a map
 * and an unmap cost, and nobody ever waits in a queue here. IRQs are off.
 * Lockdep does not know bit locks: it is told.
 */
static __always_inline void pviommu_cache_lock(struct pviommu_cache *c)
{
	lock_map_acquire(&c->dep_map);
	bit_spin_lock(0, &c->lock);
}

static __always_inline void pviommu_cache_unlock(struct pviommu_cache *c)
{
	lock_map_release(&c->dep_map);
	/*
	 * A plain write, with which the attempts of others race that see the bit set: they
	 * write what is there. There is no other bit in the word.
	 */
	kcsan_disable_current();
	__bit_spin_unlock(0, &c->lock);
	kcsan_enable_current();
}

/**
 * pviommu_window_alloc - take a block from this CPU's cache, if it has one
 * @d: the domain
 * @order: its size, below PVIOMMU_CACHE_ORDERS
 *
 * Context: any but NMI.
 * Return: the first page's slot, whose @page says where it is; or NULL when the domain
 * has nothing and gets nothing. Anywhere in the window: the caller has to see whether
 * the device reaches it.
 */
static __always_inline struct pviommu_slot *
pviommu_window_alloc(struct pviommu_domain *d, unsigned int order)
{
	struct pviommu_slot *slot = NULL;
	struct pviommu_cache *c;
	unsigned long flags;
	unsigned int nr;

	local_irq_save(flags);
	c = this_cpu_ptr(d->cache);
	pviommu_cache_lock(c);
	nr = c->nr[order];
	if (likely(nr)) {
		nr--;
		slot = c->block[pviommu_cache_begin[order] + nr];
		WRITE_ONCE(c->nr[order], nr);
		c->hits++;
	}
	pviommu_cache_unlock(c);
	local_irq_restore(flags);

	return likely(slot) ? slot : pviommu_window_alloc_slow(d, order);
}

/**
 * pviommu_window_free - give a block back
 * @d: the domain that it is from
 * @slot: its first page's slot
 * @page: its first page
 *
 * Context: any but NMI.
 */
static __always_inline void pviommu_window_free(struct pviommu_domain *d,
						struct pviommu_slot *slot,
						unsigned long page)
{
	unsigned int order = slot->order, nr;
	struct pviommu_cache *c;
	unsigned long flags;

	WRITE_ONCE(slot->state, PVIOMMU_SLOT_FREE);
	if (unlikely(slot->npages)) {
		pviommu_window_free_exact(d, page, slot->npages);
		return;
	}

	slot->page = page;
	local_irq_save(flags);
	c = this_cpu_ptr(d->cache);
	pviommu_cache_lock(c);
	nr = c->nr[order];
	if (likely(nr < c->depth[order])) {
		c->block[pviommu_cache_begin[order] + nr] = slot;
		WRITE_ONCE(c->nr[order], nr + 1);
		slot = NULL;
	}
	pviommu_cache_unlock(c);
	local_irq_restore(flags);

	if (unlikely(slot))
		pviommu_window_free_slow(d, slot);
}

#endif /* _PVIOMMU_WINDOW_H */
