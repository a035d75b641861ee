// SPDX-License-Identifier: GPL-2.0
/*
 * pv-iommu: pages of guest RAM that are granted by 2 MiB, and kept
 *
 * With direct_cache=, or where a device is told so in sysfs, a map of pages that are not
 * granted has the 2 MiB around them granted, for reading and writing. They stay so after
 * the unmap: whoever maps any of it again takes no lock and makes no request. In exchange
 * the domain's devices reach what else is there.
 *
 * What is kept goes back when nothing of it was mapped for a while; those that were
 * mapped least recently sooner, when there is to be more than the guest or the host
 * allows. Where 2 MiB cannot be had, pages are granted by themselves (ram.c).
 */
#include <linux/jiffies.h>
#include <linux/memory.h>
#include <linux/moduleparam.h>
#include <linux/rculist.h>
#include <linux/sched.h>

#include "pviommu.h"
#include "ram.h"

/* How many leaves are looked at with the lock held */
#define PVIOMMU_RAM_CACHE_LOOK	64U

/* A domain makes room for itself so often in a second: then its pages are granted one by
 * one, so that more that is in use than there is room for does not cost 2 MiB each time
 */
#define PVIOMMU_RAM_CACHE_SWAPS	64

static unsigned int direct_cache_idle = 60;
module_param(direct_cache_idle, uint, 0644);
MODULE_PARM_DESC(direct_cache_idle, "Seconds without use after which memory of direct_cache= is given back (default: 60)");

static unsigned long pviommu_ram_cache_idle(void)
{
	return (unsigned long)min(READ_ONCE(direct_cache_idle), 86400U) * HZ;
}

/**
 * pviommu_ram_cache_get - map what is granted by 2 MiB
 * @d: the domain
 * @sgl: the mapping's DMA segments
 * @nsegs: how many
 *
 * Context: any but NMI. Takes no lock.
 * Return: whether all of it was, and is counted; or else nothing was done.
 */
bool pviommu_ram_cache_get(struct pviommu_domain *d, struct scatterlist *sgl,
			   unsigned int nsegs)
{
	struct pviommu_walk w = pviommu_walk(sgl, nsegs);
	unsigned int got = 0;

	while (pviommu_walk_next(&w, d)) {
		if (!pviommu_leaf_get(pviommu_leaf(d, w.index), true)) {
			pviommu_leaves_put(d, sgl, nsegs, got);
			return false;
		}
		got++;
	}
	return true;
}

/**
 * pviommu_ram_cache_put - undo pviommu_ram_cache_get()
 * @d: the domain
 * @sgl: the mapping's DMA segments
 * @nsegs: how many
 *
 * Context: any but NMI. Takes no lock.
 * Return: whether all of it was granted by 2 MiB; or else nothing was done.
 */
bool pviommu_ram_cache_put(struct pviommu_domain *d, struct scatterlist *sgl,
			   unsigned int nsegs)
{
	struct pviommu_walk w = pviommu_walk(sgl, nsegs);

	/* All first: what is put may be taken for others at once */
	while (pviommu_walk_next(&w, d)) {
		if (!pviommu_leaf_cached(pviommu_leaf(d, w.index)))
			return false;
	}
	pviommu_leaves_put(d, sgl, nsegs, UINT_MAX);
	return true;
}

/* ---- having 2 MiB granted ---- */

/* Is it of the memory that is about to be offlined? */
static bool pviommu_leaf_leaves(struct pviommu_host *host, const struct pviommu_leaf *leaf)
{
	unsigned long end;

	/*
	 * The leaf, perhaps a new one, is there before this looks what leaves. Pairs
	 * with pviommu_memory_event(): one of the two sees the other.
	 */
	smp_mb();
	/* Pairs with its release: where it ends is not older than where it begins */
	end = smp_load_acquire(&host->leaving_end);
	return leaf->index < end && leaf->index >= READ_ONCE(host->leaving);
}

/* One more that is kept, if there may be */
static bool pviommu_ram_cache_count(struct pviommu_host *host)
{
	int nr = atomic_read(&host->nr_cached);

	do {
		/* There may be more already: the limit can be lowered */
		if (nr >= READ_ONCE(host->max_cached))
			return false;
	} while (!atomic_try_cmpxchg(&host->nr_cached, &nr, nr + 1));
	return true;
}

/* The lock is held. -EAGAIN: another request has it */
static int pviommu_leaf_fill(struct pviommu_batch *b, struct pviommu_leaf *leaf)
{
	struct pviommu_ram *ram = &b->d->ram;
	struct pviommu_host *host = b->d->host;
	int ret;

	if (pviommu_leaf_cached(leaf))
		return 0;
	if (leaf->busy)
		return -EAGAIN;
	if (leaf->exact || leaf->barred || pviommu_leaf_leaves(host, leaf))
		return -EBUSY;
	if (!pviommu_ram_cache_count(host))
		return -ENOSPC;
	/* Until it is cached or is not, nobody takes it for anything */
	leaf->busy = true;
	pviommu_batch_leaf(b, leaf);
	ret = pviommu_batch_ring(b);
	leaf->busy = false;
	if (ret) {
		atomic_dec(&host->nr_cached);
		/* A hole, or what is not RAM, is so the next time, too; the rest passes */
		leaf->barred = ret == -EFAULT;
		return ret;
	}
	WRITE_ONCE(ram->nr_cached, ram->nr_cached + 1);
	list_add_tail(&leaf->node, &ram->cached);
	WRITE_ONCE(leaf->when, jiffies);
	/* Orders the grant before it, for who takes no lock */
	atomic_set_release(&leaf->live, 1);
	queue_delayed_work(system_freezable_wq, &ram->age, pviommu_ram_cache_idle() / 4 + 1);
	return 0;
}

/**
 * pviommu_ram_cache_fill - have what is around a mapping granted, and map it
 * @pd: the device
 * @sgl: the mapping's DMA segments, for which there are leaves
 * @nsegs: how many
 *
 * Context: any but NMI. An exit for each 2 MiB that are not granted.
 * Return: whether it is mapped. What was granted stays in any case.
 */
bool pviommu_ram_cache_fill(struct pviommu_dev *pd, struct scatterlist *sgl,
			    unsigned int nsegs)
{
	struct pviommu_walk w = pviommu_walk(sgl, nsegs);
	struct pviommu_domain *d = pd->domain;
	int ret = 0;

	while (ret != -ENOSPC && pviommu_walk_next(&w, d)) {
		struct pviommu_leaf *leaf = pviommu_leaf(d, w.index);

		if (pviommu_leaf_cached(leaf))
			continue;
		do {
			struct pviommu_batch b = { .pd = pd, .d = d };

			pviommu_batch_begin(&b, PV_IOMMU_OP_GRANT_RAM);
			ret = pviommu_leaf_fill(&b, leaf);
			pviommu_batch_end(&b);
			if (ret == -EAGAIN)
				cpu_relax();
		} while (ret == -EAGAIN ||
			 (ret == -ENOSPC && pviommu_ram_cache_press(d, false)));
	}
	return pviommu_ram_cache_get(d, sgl, nsegs);
}

/* ---- giving it back ---- */

/* The lock is held, but not always. False: something of it is mapped */
static bool pviommu_leaf_drop(struct pviommu_batch *b, struct pviommu_leaf *leaf)
{
	pviommu_queue_room(b);
	if (atomic_cmpxchg(&leaf->live, 1, 0) != 1)
		return false;
	list_del(&leaf->node);
	WRITE_ONCE(b->d->ram.nr_cached, b->d->ram.nr_cached - 1);
	atomic_dec(&b->d->host->nr_cached);
	pviommu_queue_add(b, (unsigned long)leaf->index << PVIOMMU_LEAF_SHIFT,
			  BIT(PVIOMMU_LEAF_SHIFT));
	return true;
}

/* Of some, the one that was mapped least recently, and is not mapped */
static struct pviommu_leaf *pviommu_ram_cache_oldest(struct pviommu_ram *ram)
{
	struct pviommu_leaf *leaf, *oldest = NULL;
	unsigned int i;

	for (i = 0; i < min_t(unsigned int, ram->nr_cached, PVIOMMU_RAM_CACHE_LOOK); i++) {
		leaf = list_first_entry(&ram->cached, struct pviommu_leaf, node);
		/* Others have their turn the next time */
		list_move_tail(&leaf->node, &ram->cached);
		if (atomic_read(&leaf->live) == 1 &&
		    (!oldest || time_before(READ_ONCE(leaf->when), READ_ONCE(oldest->when))))
			oldest = leaf;
	}
	return oldest;
}

/* What is taken from another domain goes at once; one's own, with the next request */
static bool pviommu_ram_cache_drop_one(struct pviommu_domain *d, bool others)
{
	struct pviommu_batch b = { .d = d };
	struct pviommu_leaf *leaf;
	bool dropped;

	pviommu_batch_begin(&b, PV_IOMMU_OP_NOP);
	leaf = pviommu_ram_cache_oldest(&d->ram);
	dropped = leaf && pviommu_leaf_drop(&b, leaf);
	if (dropped && others)
		b.refused |= pviommu_batch_ring(&b) != 0;
	pviommu_batch_end(&b);
	return dropped;
}

/* Of all that anybody keeps, one that is not mapped; how old it is does not matter */
static bool pviommu_ram_cache_drop_any(struct pviommu_domain *d)
{
	struct pviommu_domain *other;
	unsigned int left;

	list_for_each_entry_rcu(other, &d->host->window.domains, node) {
		left = READ_ONCE(other->ram.nr_cached);
		for (; left; left -= min(left, PVIOMMU_RAM_CACHE_LOOK)) {
			if (pviommu_ram_cache_drop_one(other, other != d))
				return true;
		}
	}
	return false;
}

/* May the domain make room for itself, or has it done so too often? Approximate */
static bool pviommu_ram_cache_may_swap(struct pviommu_ram *ram)
{
	if (time_after_eq(jiffies, READ_ONCE(ram->swapped) + HZ)) {
		WRITE_ONCE(ram->swapped, jiffies);
		WRITE_ONCE(ram->nr_swaps, 0);
	}
	if (READ_ONCE(ram->nr_swaps) >= PVIOMMU_RAM_CACHE_SWAPS)
		return false;
	WRITE_ONCE(ram->nr_swaps, READ_ONCE(ram->nr_swaps) + 1);
	return true;
}

/*
 * When was the one mapped that would go first? False: of those looked at, none can go.
 * It is among those who are looked at next.
 */
static bool pviommu_ram_cache_when(struct pviommu_domain *d, unsigned long *when)
{
	struct pviommu_leaf *leaf;
	unsigned long flags;

	raw_spin_lock_irqsave(&d->ram.lock, flags);
	leaf = pviommu_ram_cache_oldest(&d->ram);
	if (leaf) {
		list_move(&leaf->node, &d->ram.cached);
		*when = READ_ONCE(leaf->when);
	}
	raw_spin_unlock_irqrestore(&d->ram.lock, flags);
	return leaf;
}

/*
 * Whose is the one that was mapped least recently? @d's, if it is as old as another's:
 * that goes without an exit. NULL: of those looked at, none can go.
 */
static struct pviommu_domain *pviommu_ram_cache_victim(struct pviommu_host *host,
						       struct pviommu_domain *d)
{
	struct pviommu_domain *other, *victim = NULL;
	unsigned long when, oldest = 0;

	list_for_each_entry_rcu(other, &host->window.domains, node) {
		if (!pviommu_ram_cache_when(other, &when))
			continue;
		if (!victim || time_before(when, oldest) || (other == d && when == oldest)) {
			victim = other;
			oldest = when;
		}
	}
	return victim;
}

/* It goes, for @d; NULL: for nobody in particular */
static bool pviommu_ram_cache_drop_oldest(struct pviommu_host *host,
					  struct pviommu_domain *d)
{
	struct pviommu_domain *victim = pviommu_ram_cache_victim(host, d);

	return victim && pviommu_ram_cache_drop_one(victim, victim != d);
}

/**
 * pviommu_ram_cache_press - make room for a domain that may have no more granted
 * @d: the domain
 * @must: a mapping fails, if there is none
 *
 * Context: any but NMI; no lock is held. An exit, if it is another domain's.
 * Return: whether 2 MiB that nobody had mapped were given back.
 */
bool pviommu_ram_cache_press(struct pviommu_domain *d, bool must)
{
	bool dropped;

	if (!must && !pviommu_ram_cache_may_swap(&d->ram))
		return false;
	rcu_read_lock();
	dropped = pviommu_ram_cache_drop_oldest(d->host, d);
	/* It was mapped meanwhile, or is not among those that were looked at */
	if (must && !dropped)
		dropped = pviommu_ram_cache_drop_any(d);
	rcu_read_unlock();
	return dropped;
}

static bool pviommu_ram_cache_over(struct pviommu_host *host)
{
	return atomic_read(&host->nr_cached) > READ_ONCE(host->max_cached);
}

/* More is kept than may be: as much goes as is not mapped, what is oldest first */
static void pviommu_ram_cache_trim(struct pviommu_host *host)
{
	/* Until all were looked at, some each time, and none could go */
	int left = atomic_read(&host->nr_cached);

	while (left >= 0 && pviommu_ram_cache_over(host)) {
		rcu_read_lock();
		if (pviommu_ram_cache_drop_oldest(host, NULL))
			left = atomic_read(&host->nr_cached);
		else
			left -= PVIOMMU_RAM_CACHE_LOOK;
		rcu_read_unlock();
		cond_resched();
	}
}

/**
 * pviommu_ram_cache_set - have a device keep what is granted to it, or not
 * @pd: the device
 * @mib: 0: it does not. 1: it does, of what others may keep. More: it does, and so many
 *	MiB more may be kept, by all of them
 *
 * What is kept beyond that goes when it is not mapped: now, or soon after.
 *
 * Context: process; host.lock is held.
 * Return: 0; -EOPNOTSUPP: nothing can be kept; -ERANGE: that is too much.
 */
int pviommu_ram_cache_set(struct pviommu_dev *pd, unsigned int mib)
{
	unsigned int own = mib / PVIOMMU_RAM_CACHE_MIB;
	struct pviommu_host *host = pd->host;
	int others = host->max_cached - pd->max_cached;
	struct pviommu_domain *d;

	if (own > INT_MAX - others)
		return -ERANGE;
	if (mib && (!pviommu_ram_cache_offered(host) || !(own + others) ||
		    pd->domain->ram.refused))
		return -EOPNOTSUPP;
	WRITE_ONCE(host->max_cached, others + own);
	pd->max_cached = own;
	WRITE_ONCE(pd->cached, mib);
	pviommu_ram_cache_trim(host);
	/* What is mapped has to wait; but not for as long as what may be kept */
	list_for_each_entry(d, &host->window.domains, node) {
		if (pviommu_ram_cache_over(host))
			mod_delayed_work(system_freezable_wq, &d->ram.age, HZ);
	}
	return 0;
}

/**
 * pviommu_ram_cache_end - a domain's devices keep nothing from now on
 * @d: the domain
 *
 * What is kept stays until it is unmapped.
 *
 * Context: process, while none of its devices is at work. host.lock is held.
 */
void pviommu_ram_cache_end(struct pviommu_domain *d)
{
	struct pviommu_dev *pd;

	lockdep_assert_held(&d->host->lock);
	list_for_each_entry(pd, &d->host->devices, node) {
		if (pd->domain == d)
			WRITE_ONCE(pd->cached, false);
	}
}

/* Of the first so many, give those back that were not mapped for so long */
static void pviommu_ram_cache_sweep(struct pviommu_domain *d, unsigned int most,
				    unsigned long idle)
{
	struct pviommu_batch b = { .d = d };
	struct pviommu_leaf *leaf;

	pviommu_batch_begin(&b, PV_IOMMU_OP_NOP);
	for (; most && d->ram.nr_cached; most--) {
		leaf = list_first_entry(&d->ram.cached, struct pviommu_leaf, node);
		list_move_tail(&leaf->node, &d->ram.cached);
		if (time_after_eq(jiffies, READ_ONCE(leaf->when) + idle))
			pviommu_leaf_drop(&b, leaf);
	}
	b.refused |= pviommu_batch_ring(&b) != 0;
	pviommu_batch_end(&b);
}

static void pviommu_ram_cache_sweep_all(struct pviommu_domain *d, unsigned long idle)
{
	unsigned int left = READ_ONCE(d->ram.nr_cached), most;

	for (; left; left -= most) {
		most = min_t(unsigned int, left, PVIOMMU_RAM_CACHE_LOOK);
		pviommu_ram_cache_sweep(d, most, idle);
		cond_resched();
	}
}

static void pviommu_ram_cache_work(struct work_struct *work)
{
	struct pviommu_domain *d = container_of(to_delayed_work(work),
						struct pviommu_domain, ram.age);
	unsigned long idle = pviommu_ram_cache_idle(), next = idle / 4 + 1;

	pviommu_ram_cache_sweep_all(d, idle);
	/* What was mapped when the limit was lowered */
	pviommu_ram_cache_trim(d->host);
	if (pviommu_ram_cache_over(d->host))
		next = min_t(unsigned long, next, HZ);
	if (READ_ONCE(d->ram.nr_cached))
		queue_delayed_work(system_freezable_wq, &d->ram.age, next);
}

/**
 * pviommu_ram_cache_drop_all - give all back that is not mapped
 * @d: the domain
 *
 * Context: process; sleeps.
 */
void pviommu_ram_cache_drop_all(struct pviommu_domain *d)
{
	pviommu_ram_cache_sweep_all(d, 0);
}

/**
 * pviommu_ram_cache_forget - the host has taken all back
 * @b: a batch of the domain; in the queue is nothing
 *
 * What is not mapped is not granted any more; what is has to be granted anew.
 *
 * Context: ram.lock is held, and no device is at work.
 */
void pviommu_ram_cache_forget(struct pviommu_batch *b)
{
	struct pviommu_ram *ram = &b->d->ram;
	struct pviommu_leaf *leaf, *next;

	list_for_each_entry_safe(leaf, next, &ram->cached, node) {
		if (atomic_cmpxchg(&leaf->live, 1, 0) != 1)
			continue;
		list_del(&leaf->node);
		WRITE_ONCE(ram->nr_cached, ram->nr_cached - 1);
		atomic_dec(&b->d->host->nr_cached);
	}
}

/* ---- memory that comes and goes ---- */

/* Give a leaf back that is not mapped; false: it is mapped, or on its way */
static bool pviommu_leaf_leave(struct pviommu_domain *d, struct pviommu_leaf *leaf,
			       bool *busy)
{
	struct pviommu_batch b = { .d = d };
	bool left;

	pviommu_batch_begin(&b, PV_IOMMU_OP_NOP);
	*busy = leaf->busy;
	left = !*busy && (!pviommu_leaf_cached(leaf) || pviommu_leaf_drop(&b, leaf));
	/* What there is in its place may be another thing for the host, too */
	leaf->barred = false;
	b.refused |= pviommu_batch_ring(&b) != 0;
	pviommu_batch_end(&b);
	return left;
}

static bool pviommu_domain_leave(struct pviommu_domain *d, unsigned long first,
				 unsigned long end)
{
	bool known = false, left = true, busy;
	struct pviommu_leaf *leaf;
	unsigned long i;

	for (i = first; i < min(end, d->ram.nr_leaves); i++) {
		leaf = pviommu_leaf(d, i);
		if (!leaf)
			continue;
		known = true;
		while (!pviommu_leaf_leave(d, leaf, &busy) && busy)
			cpu_relax();
		left &= !pviommu_leaf_cached(leaf);
	}
	if (!known)
		return true;
	pviommu_land(d);
	return left;
}

/* All leaves of it that are cached; false: something is mapped */
static bool pviommu_range_leave(struct pviommu_host *host, unsigned long first,
				unsigned long end)
{
	struct pviommu_domain *d;
	bool left = true;

	rcu_read_lock();
	list_for_each_entry_rcu(d, &host->window.domains, node)
		left &= pviommu_domain_leave(d, first, end);
	rcu_read_unlock();
	return left;
}

/* Blocks of memory are multiples of 2 MiB, and one at a time goes or comes */
static int pviommu_memory_event(struct notifier_block *nb, unsigned long event, void *arg)
{
	struct pviommu_host *host = container_of(nb, struct pviommu_host, memory_notifier);
	const struct memory_notify *m = arg;
	unsigned long first = m->start_pfn >> PVIOMMU_LEAF_SHIFT;
	unsigned long end = (m->start_pfn + m->nr_pages) >> PVIOMMU_LEAF_SHIFT;

	switch (event) {
	case MEM_GOING_OFFLINE:
		WRITE_ONCE(host->leaving, first);
		/* Pairs with pviommu_leaf_leaves(): where it begins is there first */
		smp_store_release(&host->leaving_end, end);
		/*
		 * Whoever fills a leaf sees it, or has a leaf that is found by what
		 * follows, which takes no lock where there is none. Pairs with
		 * pviommu_leaf_leaves().
		 */
		smp_mb();
		if (!pviommu_range_leave(host, first, end))
			return notifier_from_errno(-EBUSY);
		break;
	case MEM_ONLINE:
		pviommu_range_leave(host, first, end);
		break;
	case MEM_OFFLINE:
	case MEM_CANCEL_OFFLINE:
		WRITE_ONCE(host->leaving_end, 0);
		break;
	}
	return NOTIFY_OK;
}

/**
 * pviommu_ram_cache_watch - have what is kept given back before its memory goes
 * @host: the host device
 *
 * Context: process; sleeps.
 * Return: 0 or a negative errno.
 */
int pviommu_ram_cache_watch(struct pviommu_host *host)
{
	host->memory_notifier.notifier_call = pviommu_memory_event;
	return host->direct_size ? register_memory_notifier(&host->memory_notifier) : 0;
}

/**
 * pviommu_ram_cache_unwatch - undo pviommu_ram_cache_watch()
 * @host: the host device
 *
 * Context: process; sleeps.
 */
void pviommu_ram_cache_unwatch(struct pviommu_host *host)
{
	if (host->direct_size)
		unregister_memory_notifier(&host->memory_notifier);
}

/**
 * pviommu_ram_cache_init - prepare a domain to keep what is granted
 * @d: the domain
 */
void pviommu_ram_cache_init(struct pviommu_domain *d)
{
	INIT_LIST_HEAD(&d->ram.cached);
	INIT_DELAYED_WORK(&d->ram.age, pviommu_ram_cache_work);
	d->ram.swapped = jiffies;
}

/**
 * pviommu_ram_cache_stop - a domain keeps nothing any more
 * @d: the domain, which the host has ended, and that has no device
 *
 * Context: process; sleeps.
 */
void pviommu_ram_cache_stop(struct pviommu_domain *d)
{
	cancel_delayed_work_sync(&d->ram.age);
	/* What a driver has not unmapped */
	atomic_sub(d->ram.nr_cached, &d->host->nr_cached);
	d->ram.nr_cached = 0;
}
