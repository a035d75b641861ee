/* SPDX-License-Identifier: GPL-2.0 */
/*
 * pv-iommu: pages of guest RAM that a domain has granted
 *
 * What is known of them is in a table of leaves, one for each 2 MiB of addresses. A
 * leaf is in one of two states. Its pages are granted by themselves, each as often as
 * it is mapped (ram.c). Or all of it is granted as one, and kept while nothing of it is
 * mapped, too (ram_cache.c). It becomes that when none of its pages is mapped, and
 * ends to be it when none is mapped: so whoever has a mapping finds its leaves in the
 * state in which it was made. While the host is asked to change it, it is busy.
 */
#ifndef _PVIOMMU_RAM_H
#define _PVIOMMU_RAM_H

#include <linux/atomic.h>
#include <linux/jiffies.h>
#include <linux/list.h>
#include <linux/scatterlist.h>
#include <linux/types.h>

#include "pviommu.h"

/* Pages of a leaf, as a power of two */
#define PVIOMMU_LEAF_SHIFT	9

/*
 * What is kept of a page: how many mappings it is in; and in the upper bits, what more
 * there is to it. 0: it is not granted, or its revoke waits in the queue. With users it
 * is granted, unless it is busy: then it is about to be. Busy with none, it is about to
 * be taken back.
 */
#define PVIOMMU_PAGE_USERS	0x3fff
#define PVIOMMU_PAGE_WRITE	0x4000	/* it is granted for writing, too */
#define PVIOMMU_PAGE_BUSY	0x8000	/* a request with it is on its way */

/**
 * struct pviommu_leaf - what is known of 2 MiB of guest RAM
 * @live: 0: not granted as one. Or 1, and one for each mapping of something in it;
 *	to and from 0 only with ram.lock
 * @exact: one for each mapping that has pages of it by themselves, and one for each
 *	such page in a queue that is on its way; ram.lock
 * @busy: it is on its way to the host as one, either way; ram.lock
 * @barred: the host does not grant it as one; ram.lock
 * @index: which one it is
 * @when: jiffies; when it was mapped last
 * @node: in ram.cached, if @live is not 0; ram.lock
 * @page: what is known of each page, PVIOMMU_PAGE_*; ram.lock
 */
struct pviommu_leaf {
	atomic_t live;
	u32 exact;
	bool busy;
	bool barred;
	u32 index;
	unsigned long when;
	struct list_head node;
	u16 *page;
};

/**
 * struct pviommu_batch - grants or revokes on their way to the host
 * @pd: the device; NULL: for none in particular
 * @d: the domain
 * @ch: the request
 * @flags: the interrupt state
 * @opcode: GRANT_RAM or REVOKE_RAM
 * @perm: PV_IOMMU_RANGE_* of all ranges
 * @nr: ranges in the request
 * @pages: pages in them
 * @beside: pages that were counted since the first of them, and granted before
 * @nr_revokes: runs of the queue that are on their way
 * @node: in ram.flying, if there are any; ram.lock
 * @number: which one of those it is
 * @rings: how often the host was asked
 * @refused: the host did not take back all that it should
 */
struct pviommu_batch {
	struct pviommu_dev *pd;
	struct pviommu_domain *d;
	struct pviommu_channel *ch;
	unsigned long flags;
	u16 opcode;
	u32 perm;
	unsigned int nr;
	unsigned int pages;
	unsigned int beside;
	unsigned int nr_revokes;
	struct list_head node;
	unsigned long number;
	unsigned int rings;
	bool refused;
};

/**
 * struct pviommu_walk - the leaves of a mapping, one after the other
 * @sg: the DMA segment that comes next
 * @nsegs: how many there are from there on
 * @at: the leaf that comes next
 * @last: the last one of the segment before @sg
 * @index: the leaf that it is at
 *
 * Neighbours in one leaf are one step, the same for who maps and who unmaps.
 */
struct pviommu_walk {
	struct scatterlist *sg;
	unsigned int nsegs;
	unsigned long at;
	unsigned long last;
	unsigned long index;
};

static __always_inline struct pviommu_walk pviommu_walk(struct scatterlist *sgl,
							unsigned int nsegs)
{
	return (struct pviommu_walk) {
		.sg = sgl, .nsegs = nsegs, .at = 1, .index = ULONG_MAX,
	};
}

/* False: there is no more. What is beyond all guest RAM, a driver's error, is left out */
static __always_inline bool pviommu_walk_next(struct pviommu_walk *w,
					      struct pviommu_domain *d)
{
	const unsigned int shift = PVIOMMU_LEAF_SHIFT + PAGE_SHIFT;
	u64 start;

	do {
		while (w->at > w->last) {
			if (!w->nsegs)
				return false;
			start = sg_dma_address(w->sg) - d->host->direct_dma;
			w->at = start >> shift;
			w->last = min_t(unsigned long, d->ram.nr_leaves - 1,
					(start + sg_dma_len(w->sg) - 1) >> shift);
			if (--w->nsegs)
				w->sg = sg_next(w->sg);
		}
	} while (w->at++ == w->index);
	w->index = w->at - 1;
	return true;
}

static inline struct pviommu_leaf *pviommu_leaf(struct pviommu_domain *d,
						unsigned long index)
{
	/* Pairs with the cmpxchg() of who has made it */
	return smp_load_acquire(&d->ram.leaves[index]);
}

/* The leaf that all of a buffer is in; NULL: there is more than one, or none yet */
static __always_inline struct pviommu_leaf *pviommu_leaf_around(struct pviommu_domain *d,
								u64 start, size_t size)
{
	const unsigned int shift = PVIOMMU_LEAF_SHIFT + PAGE_SHIFT;

	if (unlikely((start ^ (start + size - 1)) >> shift))
		return NULL;
	return pviommu_leaf(d, start >> shift);
}

/* Is the leaf granted as one? Stable with ram.lock, and for who has it mapped */
static inline bool pviommu_leaf_cached(const struct pviommu_leaf *leaf)
{
	return leaf && atomic_read(&leaf->live);
}

/*
 * One for the mapping, if the leaf is granted as one; it is kept for longer, if the device
 * keeps any
 */
static __always_inline bool pviommu_leaf_get(struct pviommu_leaf *leaf, bool keep)
{
	if (unlikely(!leaf || !atomic_inc_not_zero(&leaf->live)))
		return false;
	if (keep && time_after(jiffies, READ_ONCE(leaf->when)))
		WRITE_ONCE(leaf->when, jiffies);
	return true;
}

/*
 * One for the mapping less; false: none of it is mapped, or not as one. Without ram.lock:
 * who undoes a mapping twice must not have it taken for one that is not granted.
 */
static __always_inline bool pviommu_leaf_put(struct pviommu_leaf *leaf)
{
	int live = leaf ? atomic_read(&leaf->live) : 0;

	do {
		if (unlikely(live <= 1))
			return false;
	} while (unlikely(!atomic_try_cmpxchg(&leaf->live, &live, live - 1)));
	return true;
}

/*
 * Of the first so many leaves of a mapping, one user less. With ram.lock; or without,
 * by who has them mapped and knows that each of them is granted as one.
 */
static inline void pviommu_leaves_put(struct pviommu_domain *d, struct scatterlist *sgl,
				      unsigned int nsegs, unsigned int most)
{
	struct pviommu_walk w = pviommu_walk(sgl, nsegs);

	while (most-- && pviommu_walk_next(&w, d)) {
		struct pviommu_leaf *leaf = pviommu_leaf(d, w.index);

		if (likely(pviommu_leaf_cached(leaf)))
			WARN_ON_ONCE(!pviommu_leaf_put(leaf));
		else if (leaf && leaf->exact)
			leaf->exact--;
	}
}

/* ram.c */
bool pviommu_ram_prepare(struct pviommu_domain *d, unsigned long pfn, unsigned long last);
int pviommu_ram_take(struct pviommu_dev *pd, struct scatterlist *sgl, unsigned int nsegs,
		     bool write);
void pviommu_ram_put(struct pviommu_dev *pd, struct scatterlist *sgl, unsigned int nsegs);
void pviommu_batch_begin(struct pviommu_batch *b, u16 opcode)
	__acquires(pviommu_channel)
	__acquires(pviommu_ram);
void pviommu_batch_end(struct pviommu_batch *b)
	__releases(pviommu_ram)
	__releases(pviommu_channel);
int pviommu_batch_ring(struct pviommu_batch *b)
	__must_hold(pviommu_ram);
void pviommu_batch_leaf(struct pviommu_batch *b, const struct pviommu_leaf *leaf);
void pviommu_land(struct pviommu_domain *d);
void pviommu_queue_room(struct pviommu_batch *b);
bool pviommu_queue_add(struct pviommu_batch *b, unsigned long pfn, unsigned int count);

/* ram_cache.c */
bool pviommu_ram_cache_get(struct pviommu_domain *d, struct scatterlist *sgl,
			   unsigned int nsegs);
bool pviommu_ram_cache_put(struct pviommu_domain *d, struct scatterlist *sgl,
			   unsigned int nsegs);
bool pviommu_ram_cache_fill(struct pviommu_dev *pd, struct scatterlist *sgl,
			    unsigned int nsegs);
bool pviommu_ram_cache_press(struct pviommu_domain *d, bool must);
void pviommu_ram_cache_drop_all(struct pviommu_domain *d);
void pviommu_ram_cache_end(struct pviommu_domain *d);
void pviommu_ram_cache_forget(struct pviommu_batch *b);
void pviommu_ram_cache_init(struct pviommu_domain *d);
void pviommu_ram_cache_stop(struct pviommu_domain *d);

#endif /* _PVIOMMU_RAM_H */
