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
#include <linux/percpu.h>

#include "pviommu.h"

/*
 * A CPU's cache is locked by that CPU, and by another only while the window is
 * full. A bit lock, since a spinlock's calls are a tenth of all that a map and
 * an unmap cost, and nobody ever waits in a queue here. IRQs are off.
 */
static __always_inline void pviommu_cache_lock(struct pviommu_cache *c)
{
	bit_spin_lock(0, &c->lock);
}

static __always_inline void pviommu_cache_unlock(struct pviommu_cache *c)
{
	__bit_spin_unlock(0, &c->lock);
}

/**
 * pviommu_window_alloc - take a block for a device that reaches all of the window
 * @w: the window
 * @order: its size, below PVIOMMU_CACHE_ORDERS
 *
 * Context: any but NMI.
 * Return: the first page's slot, or NULL when the window is full.
 */
static __always_inline struct pviommu_slot *
pviommu_window_alloc(struct pviommu_window *w, unsigned int order)
{
	struct pviommu_slot *slot = NULL;
	struct pviommu_cache *c;
	unsigned long flags;
	unsigned int nr;

	local_irq_save(flags);
	c = this_cpu_ptr(w->cache);
	pviommu_cache_lock(c);
	nr = c->nr[order];
	if (likely(nr)) {
		nr--;
		slot = &w->space.slots[c->block[w->begin[order] + nr]];
		c->nr[order] = nr;
		c->hits++;
	}
	pviommu_cache_unlock(c);
	local_irq_restore(flags);

	return likely(slot) ? slot : pviommu_window_alloc_slow(w, order);
}

/**
 * pviommu_window_free - give a block back
 * @w: the window
 * @slot: from pviommu_window_alloc() or pviommu_window_alloc_exact()
 *
 * Context: any but NMI.
 */
static __always_inline void pviommu_window_free(struct pviommu_window *w,
						struct pviommu_slot *slot)
{
	unsigned int order = slot->order, nr;
	struct pviommu_cache *c;
	unsigned long flags;

	WRITE_ONCE(slot->state, PVIOMMU_SLOT_FREE);
	if (unlikely(slot->npages)) {
		pviommu_window_free_slow(w, slot);
		return;
	}

	local_irq_save(flags);
	c = this_cpu_ptr(w->cache);
	pviommu_cache_lock(c);
	nr = c->nr[order];
	if (likely(nr < w->depth[order])) {
		c->block[w->begin[order] + nr] = slot - w->space.slots;
		c->nr[order] = nr + 1;
		slot = NULL;
	}
	pviommu_cache_unlock(c);
	local_irq_restore(flags);

	if (unlikely(slot))
		pviommu_window_free_slow(w, slot);
}

#endif /* _PVIOMMU_WINDOW_H */
