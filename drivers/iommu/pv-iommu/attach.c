// SPDX-License-Identifier: GPL-2.0
/*
 * pv-iommu: which devices are served
 *
 * A device is attached when a driver is about to be bound to it: after the
 * bus has set up its DMA, so that another IOMMU has had its chance, and before
 * the driver's probe, which is where the DMA API latches what it finds. A
 * device that has a driver already is never adopted: it has mappings that are
 * not ours.
 *
 * It is detached when the last of the driver's managed resources is gone, by
 * being the first of them: a driver whose probe fails frees its coherent
 * memory only after the bus has been told that no driver is bound.
 *
 * Even then a driver may have coherent memory: nvme frees some when the last
 * user closes the disk. dma-direct must not get to see that, as it would free
 * the page of RAM that has the number of the DMA address. So the memory stays
 * what it is, and the device keeps operations of ours, until all is freed.
 */
#include <linux/dma-map-ops.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>

#include "pviommu.h"
#include "window.h"
#include "compat/device.h"

/*
 * Devices that are no longer attached, with memory that may yet be freed. They
 * outlive the host device if that is removed by hand.
 */
static LIST_HEAD(pviommu_gone);

/* Protects pviommu_gone, and the dma_map_ops of all devices */
static DEFINE_SPINLOCK(pviommu_gone_lock);

static const struct dma_map_ops *pviommu_ops(struct pviommu_dev *pd,
					     enum pviommu_mode mode)
{
	bool bounce = mode == PVIOMMU_MODE_BOUNCE;

	if (!pd->host->direct_size)
		return bounce ? &pviommu_bounce_ops : &pviommu_window_ops;
	if (pd->direct)
		return bounce ? &pviommu_all_bounce_ops : &pviommu_all_window_ops;
	return bounce ? &pviommu_some_bounce_ops : &pviommu_some_window_ops;
}

/* Does the mask reach the first so many pages of the space? */
static bool pviommu_reaches(struct pviommu_space *sp, u64 mask, unsigned long npages)
{
	return sp->slots && mask >= pviommu_page_dma(sp, npages) - 1;
}

/*
 * The mode for a device with that mask; PVIOMMU_MODE_OFF: none. It has to reach the
 * first chunk of the window, or the first page of the arena that mappings get. Where
 * addresses are the host's own, or there is other coherent memory, the window may lie
 * where only some devices reach it.
 */
static enum pviommu_mode pviommu_mode_for(struct pviommu_host *host, u64 mask)
{
	struct pviommu_space *sp = &host->window.space;
	bool window = pviommu_reaches(sp, mask, BIT(sp->shift));
	bool arena = pviommu_reaches(&host->arena, mask, host->low.npages + 1);

	if (host->features & PV_IOMMU_F_HOST_PHYS || host->low.npages) {
		if (window && host->mode == PVIOMMU_MODE_WINDOW)
			return PVIOMMU_MODE_WINDOW;
		return arena ? PVIOMMU_MODE_BOUNCE : PVIOMMU_MODE_OFF;
	}
	if (!window || (host->mode == PVIOMMU_MODE_BOUNCE && !arena))
		return PVIOMMU_MODE_OFF;
	return host->mode;
}

/*
 * Could a host device serve this one? Any that makes DMA of its own, in the same
 * PCI domain, where requester IDs mean the same. Bridges pass on what others do:
 * their header says that they are, which the class only does by convention. The
 * rest is the host's to say.
 */
static bool pviommu_concerns(struct pviommu_host *host, struct pci_dev *pdev)
{
	return pdev != host->pdev && pdev->hdr_type == PCI_HEADER_TYPE_NORMAL &&
	       pci_domain_nr(pdev->bus) == pci_domain_nr(host->pdev->bus);
}

/* Has it a driver that came before us? */
static bool pviommu_came_first(struct pci_dev *pdev)
{
	return READ_ONCE(pdev->dev.driver) && !pdev->dev.dma_ops &&
	       !device_iommu_mapped(&pdev->dev);
}

/* Let a device that we do not serve keep all memory, if the host has it so */
static int pviommu_exempt(struct pviommu_host *host, struct pci_dev *pdev)
{
	struct pviommu_call call = {
		.opcode = PV_IOMMU_OP_ATTACH,
		.rid = pviommu_rid(pdev),
		.flags = PV_IOMMU_ATTACH_BYPASS,
	};

	return pviommu_request(host, &call);
}

/* What became of that. A host that does not know of it confines none such. */
static const char *pviommu_exempt_result(int ret)
{
	switch (ret) {
	case -EOPNOTSUPP:
		return "; the host lets it reach no memory (boot-bypass=off, or attached before)";
	case -EIO:
		return "; the host could not pin the guest's memory for it: it reaches none";
	default:
		return "";
	}
}

/**
 * pviommu_exempt_all - announce the devices that will not be served
 * @host: the host device, reset and not enabled
 *
 * For when the host is enabled, all devices lose what they reached so far. Some
 * are at work, as their drivers were there before this one. What the host says is
 * told by pviommu_attach_init(), which also finds those that came meanwhile.
 *
 * Context: process.
 */
void pviommu_exempt_all(struct pviommu_host *host)
{
	struct pci_dev *pdev = NULL;

	for_each_pci_dev(pdev) {
		if (pviommu_concerns(host, pdev) &&
		    (!pviommu_wants(pdev) || pviommu_came_first(pdev)))
			pviommu_exempt(host, pdev);
	}
}

static void pviommu_set_ops(struct device *dev, const struct dma_map_ops *ops)
{
	unsigned long flags;

	spin_lock_irqsave(&pviommu_gone_lock, flags);
	set_dma_ops(dev, ops);
	spin_unlock_irqrestore(&pviommu_gone_lock, flags);
}

/* What a device without a driver gets */
static const struct dma_map_ops *pviommu_ops_unbound(struct device *dev)
{
	struct pviommu_dev *pd;

	lockdep_assert_held(&pviommu_gone_lock);
	list_for_each_entry(pd, &pviommu_gone, node) {
		if (pd->dev == dev)
			return &pviommu_gone_ops;
	}
	return NULL;
}

/* One reason less to remember a device that is gone */
static bool pviommu_orphan_put(struct pviommu_dev *pd)
{
	lockdep_assert_held(&pviommu_gone_lock);
	if (--pd->orphans)
		return false;

	list_del(&pd->node);
	if (pd->dev->dma_ops == &pviommu_gone_ops)
		set_dma_ops(pd->dev, pviommu_ops_unbound(pd->dev));
	return true;
}

static void pviommu_forget(struct pviommu_dev *pd)
{
	put_device(pd->dev);
	kfree(pd);
	module_put(THIS_MODULE);
}

/**
 * pviommu_orphan_freed - a driver that is gone has freed some of its memory
 * @dev: its device, which may have another driver by now
 *
 * Context: any in which coherent memory may be freed.
 */
void pviommu_orphan_freed(struct device *dev)
{
	struct pviommu_dev *pd;
	unsigned long flags;
	bool last = false;

	spin_lock_irqsave(&pviommu_gone_lock, flags);
	list_for_each_entry(pd, &pviommu_gone, node) {
		if (pd->dev == dev) {
			last = pviommu_orphan_put(pd);
			break;
		}
	}
	spin_unlock_irqrestore(&pviommu_gone_lock, flags);
	if (last)
		pviommu_forget(pd);
}

/**
 * pviommu_has_orphans - has any driver that is gone memory that it may yet free?
 *
 * Context: any; a snapshot. Once no device is attached, it only ever becomes false.
 */
bool pviommu_has_orphans(void)
{
	unsigned long flags;
	bool has;

	spin_lock_irqsave(&pviommu_gone_lock, flags);
	has = !list_empty(&pviommu_gone);
	spin_unlock_irqrestore(&pviommu_gone_lock, flags);
	return has;
}

/*
 * Coherent memory that a driver left behind: it may free it yet, at the same time as we
 * are here. Returns whether it is an orphan now.
 */
static bool pviommu_orphan(struct pviommu_dev *pd, struct pviommu_slot *slot)
{
	unsigned long flags;
	bool orphan = false;

	spin_lock_irqsave(&pviommu_gone_lock, flags);
	if (cmpxchg(&slot->state, PVIOMMU_SLOT_COHERENT,
		    PVIOMMU_SLOT_ORPHAN) == PVIOMMU_SLOT_COHERENT) {
		orphan = READ_ONCE(slot->rid) == pd->rid;
		if (orphan)
			pd->orphans++;
		else	/* freed, and another's already */
			cmpxchg(&slot->state, PVIOMMU_SLOT_ORPHAN, PVIOMMU_SLOT_COHERENT);
	}
	spin_unlock_irqrestore(&pviommu_gone_lock, flags);
	return orphan;
}

static void pviommu_say_lost(struct pviommu_dev *pd, unsigned long lost)
{
	if (lost)
		dev_warn(pd->dev, "pv_iommu: the driver left %lu mappings behind; released\n",
			 lost);
}

/* What a driver left mapped in the arena is taken back */
static void pviommu_release_arena(struct pviommu_dev *pd)
{
	struct pviommu_space *arena = &pd->host->arena;
	unsigned long lost = 0, i;

	for (i = pd->host->low.npages; i < arena->size >> PAGE_SHIFT; i++) {
		struct pviommu_slot *slot = pviommu_slot_of(arena, i);

		/* Pairs with pviommu_publish() */
		if (smp_load_acquire(&slot->state) != PVIOMMU_SLOT_FREE &&
		    READ_ONCE(slot->rid) == pd->rid) {
			WRITE_ONCE(slot->state, PVIOMMU_SLOT_FREE);
			lost++;
		}
		if (!(i % 1024))
			cond_resched();
	}
	pviommu_say_lost(pd, lost);
}

/*
 * What a driver left behind in the window, and coherent memory elsewhere. Streaming
 * mappings are taken back.
 */
static void pviommu_release(struct pviommu_dev *pd)
{
	struct pviommu_space *window = &pd->host->window.space;
	unsigned long lost = 0, orphans = 0, page = 0, i;
	struct pviommu_slot *low;
	u32 found[64];
	unsigned int n;

	do {
		n = pviommu_domain_collect(pd->domain, pd->rid, found,
					   ARRAY_SIZE(found), &page);
		/* The driver may free coherent memory meanwhile, and the chunk be another's */
		rcu_read_lock();
		for (i = 0; i < n; i++) {
			struct pviommu_slot *slot = pviommu_slot_of(window, found[i]);

			if (!slot || READ_ONCE(slot->rid) != pd->rid)
				continue;
			if (READ_ONCE(slot->state) == PVIOMMU_SLOT_COHERENT) {
				orphans += pviommu_orphan(pd, slot);
			} else if (READ_ONCE(slot->state) != PVIOMMU_SLOT_FREE) {
				pviommu_window_free(pd->domain, slot, found[i]);
				lost++;
			}
		}
		rcu_read_unlock();
	} while (n == ARRAY_SIZE(found));

	page = 0;
	while ((low = pviommu_low_next(pd->host, pd->rid, &page)))
		orphans += pviommu_orphan(pd, low);

	pviommu_say_lost(pd, lost);
	if (orphans)
		dev_info(pd->dev, "pv_iommu: the driver has %lu pieces of coherent memory still; they are kept until it frees them\n",
			 orphans);
}

static int pviommu_tell_attach(struct pviommu_dev *pd, enum pviommu_mode mode)
{
	struct pviommu_call call = {
		.opcode = PV_IOMMU_OP_ATTACH,
		.rid = pd->rid,
		.flags = mode == PVIOMMU_MODE_BOUNCE ? PV_IOMMU_ATTACH_BOUNCE :
						       PV_IOMMU_ATTACH_WINDOW,
	};

	if (pd->host->features & PV_IOMMU_F_CHUNKS)
		call.domain = pd->domain->id;
	return pviommu_request(pd->host, &call);
}

static int pviommu_tell_detach(struct pviommu_dev *pd)
{
	struct pviommu_call call = { .opcode = PV_IOMMU_OP_DETACH, .rid = pd->rid };

	return pviommu_request(pd->host, &call);
}

/*
 * Is it one that the host may serve still, by what it said to a detach? One that is
 * unknown to it, or not attached, has nothing there any more.
 */
static bool pviommu_still_attached(int ret)
{
	return ret && ret != -ENODEV && ret != -EBUSY;
}

/* In which group is it? One for all, on a host that knows no groups. */
static int pviommu_probe_group(struct pviommu_dev *pd, u32 *group)
{
	struct pviommu_call call = { .opcode = PV_IOMMU_OP_PROBE, .rid = pd->rid };
	int ret = 0;

	*group = 0;
	if (pd->host->features & PV_IOMMU_F_CHUNKS) {
		ret = pviommu_request(pd->host, &call);
		*group = call.group;
	}
	return ret;
}

static void pviommu_free_dev(struct pviommu_dev *pd)
{
	free_percpu(pd->stats);
	kfree(pd);
}

static void pviommu_unlink(struct pviommu_dev *pd)
{
	if (pd->bridge)
		device_link_del(pd->bridge);
	device_link_del(pd->link);
}

/* Devres action: the driver is gone, and so is all that it allocated */
static void pviommu_detach(void *data)
{
	struct pviommu_dev *pd = data;
	struct pci_dev *pdev = to_pci_dev(pd->dev);
	struct pviommu_host *host = pd->host;
	unsigned long flags;
	bool last;
	int ret;

	sysfs_remove_group(&pd->dev->kobj, &pviommu_dev_group);

	/*
	 * Bus mastering is off by now or the device is quiet. Unmaps go first, and
	 * the arena's slots are free before the host gives their addresses to
	 * another device. The window's are when this one does not reach them.
	 */
	pviommu_flush(host);
	pviommu_ram_flush(pd->domain);
	pviommu_release_arena(pd);

	mutex_lock(&host->lock);
	pviommu_ram_cache_set(pd, 0);
	/* With its last device the host ends a domain, and takes no chunk of it back */
	if (pd->domain->nr_devices == 1)
		pviommu_domain_hold(pd->domain);
	ret = pviommu_tell_detach(pd);
	if (ret)
		dev_warn(pd->dev, "pv_iommu: host refused to detach: error %d\n", ret);

	/* One orphan for ourselves, until all are counted */
	get_device(pd->dev);
	pd->orphans = 1;
	spin_lock_irqsave(&pviommu_gone_lock, flags);
	set_dma_ops(pd->dev, &pviommu_gone_ops);
	list_move_tail(&pd->node, &pviommu_gone);
	spin_unlock_irqrestore(&pviommu_gone_lock, flags);

	pviommu_release(pd);
	pviommu_domain_put(pd->domain, pviommu_still_attached(ret));
	host->bus[pdev->bus->number][pdev->devfn] = NULL;
	pviommu_stats_sum(pd, &host->retired);
	mutex_unlock(&host->lock);

	pviommu_unlink(pd);
	free_percpu(pd->stats);

	spin_lock_irqsave(&pviommu_gone_lock, flags);
	last = pviommu_orphan_put(pd);
	spin_unlock_irqrestore(&pviommu_gone_lock, flags);
	if (last)
		pviommu_forget(pd);
}

static void pviommu_unblock(void *data)
{
	unsigned long flags;

	spin_lock_irqsave(&pviommu_gone_lock, flags);
	set_dma_ops(data, pviommu_ops_unbound(data));
	spin_unlock_irqrestore(&pviommu_gone_lock, flags);
	module_put(THIS_MODULE);
}

/*
 * The notifier cannot keep a driver from being bound. So a device that could
 * not be attached gets operations that refuse everything, until unbound.
 */
static void pviommu_block(struct pci_dev *pdev, const char *why, int error)
{
	pci_err(pdev, "pv_iommu: not attached: %s: error %d; its DMA is blocked\n",
		why, error);
	pci_clear_master(pdev);
	pviommu_set_ops(&pdev->dev, &pviommu_blocked_ops);
	pviommu_no_skip_sync(&pdev->dev);
	__module_get(THIS_MODULE);
	/* If this fails, the device stays blocked and the module loaded */
	if (devm_add_action(&pdev->dev, pviommu_unblock, &pdev->dev))
		pci_err(pdev, "pv_iommu: out of memory; blocked for good\n");
}

/*
 * Join the domain of the group, and have the host know it. Without the lock in between,
 * the last other device of the domain could leave it, and the host would end it.
 */
static int pviommu_join(struct pviommu_dev *pd, u32 group)
{
	struct pviommu_host *host = pd->host;
	int ret;

	lockdep_assert_held(&host->lock);
	pd->domain = pviommu_domain_get(host, group);
	if (!pd->domain)
		return -ENOMEM;

	/* Held still: another of its devices could not be attached again, see there */
	ret = pd->domain->held ? -EIO : pviommu_tell_attach(pd, pd->mode);
	if (ret == -EOPNOTSUPP && pd->mode != host->mode) {
		pd->mode = host->mode;
		ret = pviommu_tell_attach(pd, pd->mode);
	}
	if (ret)
		pviommu_domain_put(pd->domain, false);
	else if (pd->domain->ram.refused)
		pd->cached = false;
	return ret;
}

/* For a device that is not served after all */
static void pviommu_leave(struct pviommu_dev *pd)
{
	mutex_lock(&pd->host->lock);
	/* The others may be gone by now */
	if (pd->domain->nr_devices == 1)
		pviommu_domain_hold(pd->domain);
	pviommu_domain_put(pd->domain, pviommu_still_attached(pviommu_tell_detach(pd)));
	mutex_unlock(&pd->host->lock);
}

/*
 * The order of resumes. The host device comes before the devices, as it forgets them in
 * a suspend; the bridges before the host device: until they have their buses' numbers
 * again, the host finds nobody there.
 */
static int pviommu_link(struct pviommu_dev *pd)
{
	struct device *host = &pd->host->pdev->dev;
	struct pci_dev *bridge = pci_upstream_bridge(to_pci_dev(pd->dev));

	pd->link = device_link_add(pd->dev, host, DL_FLAG_STATELESS);
	if (!pd->link)
		return -ENOMEM;
	if (!bridge)
		return 0;
	pd->bridge = device_link_add(host, &bridge->dev, DL_FLAG_STATELESS);
	if (pd->bridge)
		return 0;
	device_link_del(pd->link);
	return -ENOMEM;
}

static void pviommu_attach(struct pviommu_host *host, struct pci_dev *pdev)
{
	struct device *dev = &pdev->dev;
	struct pviommu_dev ***bus = &host->bus[pdev->bus->number];
	const char *why = "out of memory";
	struct pviommu_dev *pd;
	int ret = -ENOMEM;
	u32 group;

	pd = kzalloc(sizeof(*pd), GFP_KERNEL);
	if (!pd)
		goto err;
	pd->host = host;
	pd->dev = dev;
	pd->rid = pviommu_rid(pdev);
	pd->direct = pviommu_wants_direct(pdev);
	pd->cached = pviommu_ram_cache_offered(host) && pviommu_ram_cache_budget();
	pd->stats = alloc_percpu(struct pviommu_stats);
	if (!pd->stats)
		goto err_free;

	why = "the host refused";
	ret = pviommu_probe_group(pd, &group);
	if (ret == -ENODEV)
		goto not_served;
	if (ret)
		goto err_free;

	/* By the mask that every device has at first; most drivers set theirs */
	pd->mode = pviommu_mode_for(host, dma_get_mask(dev));
	if (pd->mode == PVIOMMU_MODE_OFF)
		pd->mode = host->mode;

	mutex_lock(&host->lock);
	if (!*bus)
		*bus = kcalloc(256, sizeof(**bus), GFP_KERNEL);
	ret = *bus ? pviommu_join(pd, group) : -ENOMEM;
	mutex_unlock(&host->lock);
	if (ret == -ENODEV)
		goto not_served;
	if (ret) {
		why = pd->domain ? "the host refused" : "out of memory";
		goto err_free;
	}

	why = "out of memory";
	ret = sysfs_create_group(&dev->kobj, &pviommu_dev_group);
	if (ret)
		goto err_detach;

	ret = pviommu_link(pd);
	if (ret)
		goto err_group;

	mutex_lock(&host->lock);
	if (host->hibernating) {
		mutex_unlock(&host->lock);
		why = "the guest is about to hibernate";
		ret = -EBUSY;
		goto err_link;
	}
	list_add_tail(&pd->node, &host->devices);
	(*bus)[pdev->devfn] = pd;
	mutex_unlock(&host->lock);

	pviommu_set_ops(dev, pviommu_ops(pd, pd->mode));
	pviommu_no_skip_sync(dev);
	__module_get(THIS_MODULE);
	ret = devm_add_action_or_reset(dev, pviommu_detach, pd);
	if (ret)
		goto err;
	pci_info(pdev, "pv_iommu: attached (%s%s)\n", pviommu_mode_name(pd->mode),
		 pd->direct && host->direct_size ? ", direct" : "");
	if (pd->direct && !host->direct_size)
		pci_warn(pdev, "pv_iommu: its driver may map memory once and never sync it, and would see old data, as would the device; give the host device direct-limit=\n");
	return;

not_served:
	/* Its bus bypasses IOMMUs: what it says is where it goes */
	pci_warn(pdev, "pv_iommu: not attached: the host does not serve it; it reaches all memory\n");
	pviommu_free_dev(pd);
	return;

err_link:
	pviommu_unlink(pd);
err_group:
	sysfs_remove_group(&dev->kobj, &pviommu_dev_group);
err_detach:
	pviommu_leave(pd);
err_free:
	pviommu_free_dev(pd);
err:
	pviommu_block(pdev, why, ret);
}

/* Is anything mapped for streaming DMA? Its driver does not map meanwhile. */
static bool pviommu_has_mappings(struct pviommu_dev *pd)
{
	struct pviommu_stats sum = { };

	pviommu_stats_sum(pd, &sum);
	return sum.maps != sum.unmaps;
}

/*
 * Have the host detach the device and attach it in the other mode, or as it was. If it
 * is the only one of its domain, the domain ends in between, and the host keeps what
 * its chunks hold: they are granted anew, as are pages that are direct.
 */
static int pviommu_tell_mode(struct pviommu_dev *pd, enum pviommu_mode mode)
{
	struct pviommu_domain *d = pd->domain;
	bool only = d->nr_devices == 1;
	int ret, again = 0;

	if (only)
		pviommu_domain_hold(d);
	ret = pviommu_tell_detach(pd);
	if (ret)
		goto out;

	ret = pviommu_tell_attach(pd, mode);
	if (ret)
		again = pviommu_tell_attach(pd, pd->mode);
	if (!again && only)
		again = pviommu_domain_regrant(d) ?: pviommu_ram_regrant(d);
	if (again) {
		dev_err(pd->dev, "pv_iommu: host refused to attach again: error %d; its DMA is blocked\n",
			again);
		pci_clear_master(to_pci_dev(pd->dev));
		pviommu_set_ops(pd->dev, &pviommu_blocked_ops);
		/* The host takes no chunk back of a domain that it does not know */
		return ret ?: again;
	}
out:
	if (only)
		pviommu_domain_unhold(d);
	return ret;
}

/* Serve an attached device in the other mode */
static int pviommu_switch(struct pviommu_dev *pd, enum pviommu_mode mode)
{
	unsigned long page = 0;
	int ret;

	lockdep_assert_held(&pd->host->lock);
	if (pviommu_has_mappings(pd))
		return -EBUSY;
	/* Coherent memory of the arena's is out of reach in window mode */
	if (mode == PVIOMMU_MODE_WINDOW && pviommu_low_next(pd->host, pd->rid, &page))
		return -EBUSY;
	pviommu_flush(pd->host);
	pviommu_ram_flush(pd->domain);
	ret = pviommu_tell_mode(pd, mode);
	if (ret)
		return ret;

	pviommu_set_ops(pd->dev, pviommu_ops(pd, mode));
	WRITE_ONCE(pd->mode, mode);
	return 0;
}

/**
 * pviommu_serves_mask - can a device with that DMA mask be served?
 * @pd: the device
 * @mask: what its driver is about to set, for streaming DMA or coherent memory
 *
 * Where the window is out of reach, the arena may not be: the device goes over
 * to it. The DMA API does not say which of the two masks it is, so that a
 * device comes back to the window only when its streaming mask reaches that
 * already; most drivers set both, one after the other.
 *
 * Context: process.
 * Return: whether it can; false also if it has mappings that are in the way.
 */
bool pviommu_serves_mask(struct pviommu_dev *pd, u64 mask)
{
	enum pviommu_mode mode = pviommu_mode_for(pd->host, mask);
	int ret;

	if (mode == PVIOMMU_MODE_OFF)
		return false;
	if (mode == pd->mode ||
	    (mode == PVIOMMU_MODE_WINDOW &&
	     pviommu_mode_for(pd->host, dma_get_mask(pd->dev)) != mode))
		return true;

	mutex_lock(&pd->host->lock);
	ret = pviommu_switch(pd, mode);
	mutex_unlock(&pd->host->lock);
	if (!ret)
		dev_info(pd->dev, "pv_iommu: attached (%s), by its mask of %#llx\n",
			 pviommu_mode_name(mode), mask);
	else
		dev_warn(pd->dev, "pv_iommu: cannot be served by %s for its mask of %#llx: error %d\n",
			 pviommu_mode_name(mode), mask, ret);
	/* Where it still is what it was; but nothing is good enough for one that is blocked */
	return !ret || (mode == PVIOMMU_MODE_WINDOW &&
			pd->dev->dma_ops != &pviommu_blocked_ops);
}

/*
 * A device has a driver: is it one that is not served in any case? Then the host leaves it its
 * memory, where it is not another's, and the log says why.
 */
static bool pviommu_turned_away(struct pviommu_host *host, struct pci_dev *pdev)
{
	if (!pviommu_concerns(host, pdev)) {
		if (pdev->hdr_type == PCI_HEADER_TYPE_NORMAL && pdev != host->pdev)
			pci_warn(pdev, "pv_iommu: not attached: not in the host device's PCI domain, which is %04x\n",
				 pci_domain_nr(host->pdev->bus));
		return true;
	}
	if (!pviommu_wants(pdev)) {
		pci_info(pdev, "pv_iommu: not attached: excluded by devices=%s\n",
			 pviommu_exempt_result(pviommu_exempt(host, pdev)));
		return true;
	}
	if (pdev->dev.dma_ops == &pviommu_blocked_ops) {
		pci_warn(pdev, "pv_iommu: not attached: its DMA is blocked still, since memory ran out\n");
		return true;
	}
	if (device_iommu_mapped(&pdev->dev) ||
	    (pdev->dev.dma_ops && pdev->dev.dma_ops != &pviommu_gone_ops)) {
		pci_warn(pdev, "pv_iommu: not attached: another IOMMU serves it\n");
		return true;
	}
	return false;
}

static int pviommu_notify(struct notifier_block *nb, unsigned long action,
			  void *data)
{
	struct pviommu_host *host = container_of(nb, struct pviommu_host, notifier);
	struct pci_dev *pdev = to_pci_dev(data);

	if (action != BUS_NOTIFY_BIND_DRIVER)
		return NOTIFY_DONE;
	if (pviommu_turned_away(host, pdev))
		return NOTIFY_DONE;
	/* Fails when the module is about to go: then the device is not ours */
	if (!try_module_get(THIS_MODULE))
		return NOTIFY_DONE;
	pviommu_attach(host, pdev);
	module_put(THIS_MODULE);
	return NOTIFY_OK;
}

/**
 * pviommu_forbid_attach - attach no device until pviommu_permit_attach()
 * @host: the host device
 *
 * Context: process; sleeps.
 * Return: true; or false, if a device is attached, or a driver's memory is left.
 */
bool pviommu_forbid_attach(struct pviommu_host *host)
{
	bool idle;

	mutex_lock(&host->lock);
	idle = list_empty(&host->devices) && !pviommu_has_orphans();
	host->hibernating = idle;
	mutex_unlock(&host->lock);
	return idle;
}

/**
 * pviommu_permit_attach - undo pviommu_forbid_attach()
 * @host: the host device
 *
 * Context: process; sleeps.
 */
void pviommu_permit_attach(struct pviommu_host *host)
{
	mutex_lock(&host->lock);
	host->hibernating = false;
	mutex_unlock(&host->lock);
}

/**
 * pviommu_reattach_all - tell the host of all devices anew, after a resume
 * @host: the host device
 *
 * Context: process, while devices are suspended.
 * Return: 0, or the first error; a device whose attach fails keeps no path to
 * memory, as the host has reset what it may reach.
 */
int pviommu_reattach_all(struct pviommu_host *host)
{
	struct pviommu_domain *d;
	struct pviommu_dev *pd;
	int ret, again, first = 0;

	mutex_lock(&host->lock);
	/* Until one of its devices is attached the host does not know a domain */
	list_for_each_entry(d, &host->window.domains, node)
		pviommu_domain_hold(d);
	list_for_each_entry(pd, &host->devices, node) {
		ret = pviommu_tell_attach(pd, pd->mode);
		if (!ret) {
			pviommu_domain_unhold(pd->domain);
			continue;
		}
		dev_err(pd->dev, "pv_iommu: host refused to attach again: error %d\n",
			ret);
		first = first ?: ret;
	}
	ret = pviommu_domains_regrant(host);
	list_for_each_entry(d, &host->window.domains, node) {
		again = d->held ? 0 : pviommu_ram_regrant(d);
		ret = ret ?: again;
	}
	mutex_unlock(&host->lock);
	return first ?: ret;
}

/**
 * pviommu_cut_off_all - the host cannot be enabled again, after a resume
 * @host: the host device
 * @restored: PCI has given all devices back what they had; false: it has yet to
 *
 * It confines nobody then: with boot-bypass=on its devices, at addresses that were the
 * window's, would hit memory. So they do not get their bus mastering back; nor is that in
 * the power of their drivers, for which they are as if pulled out; but for who writes to
 * their configuration space past the driver, as user space may.
 *
 * Context: process, while the system resumes.
 */
void pviommu_cut_off_all(struct pviommu_host *host, bool restored)
{
	struct pviommu_dev *pd;

	mutex_lock(&host->lock);
	list_for_each_entry(pd, &host->devices, node) {
		struct pci_dev *pdev = to_pci_dev(pd->dev);

		/* Again, if a driver was quick */
		pci_clear_master(pdev);
		if (restored) {
			WRITE_ONCE(pdev->error_state, pci_channel_io_perm_failure);
			continue;
		}
		pci_err(pdev, "pv_iommu: cut off, as nothing would confine it\n");
		pdev->saved_config_space[PCI_COMMAND / 4] &= ~PCI_COMMAND_MASTER;
	}
	mutex_unlock(&host->lock);
}

/**
 * pviommu_attach_flush - have the host take back all pages that no device has mapped
 * @host: the host device
 *
 * Context: process; sleeps.
 */
void pviommu_attach_flush(struct pviommu_host *host)
{
	struct pviommu_domain *d;

	mutex_lock(&host->lock);
	list_for_each_entry(d, &host->window.domains, node)
		pviommu_ram_flush(d);
	mutex_unlock(&host->lock);
}

/**
 * pviommu_attach_init - serve devices from now on
 * @host: the host device, ready
 *
 * Context: process; sleeps.
 * Return: 0 or a negative errno.
 */
int pviommu_attach_init(struct pviommu_host *host)
{
	struct pci_dev *pdev = NULL;
	int ret;

	host->notifier.notifier_call = pviommu_notify;
	ret = bus_register_notifier(&pci_bus_type, &host->notifier);
	if (ret)
		return ret;

	for_each_pci_dev(pdev) {
		/* Those that come now are the notifier's, which has attached them, or will */
		if (READ_ONCE(pdev->dev.driver) && !to_pviommu_dev(&pdev->dev) &&
		    !pviommu_turned_away(host, pdev))
			pci_warn(pdev, "pv_iommu: not attached: driver %s was there first; unbind and bind it again, or load pv_iommu earlier%s\n",
				 dev_driver_string(&pdev->dev),
				 pviommu_exempt_result(pviommu_exempt(host, pdev)));
	}
	return 0;
}

/*
 * A device that is attached, with a reference to it; NULL if none is. Not held
 * by @host->lock any more, it may be detached at any time.
 */
static struct device *pviommu_get_attached(struct pviommu_host *host)
{
	struct pviommu_dev *pd;
	struct device *dev = NULL;

	mutex_lock(&host->lock);
	pd = list_first_entry_or_null(&host->devices, struct pviommu_dev, node);
	if (pd)
		dev = get_device(pd->dev);
	mutex_unlock(&host->lock);
	return dev;
}

/**
 * pviommu_attach_exit - serve no more devices
 * @host: the host device
 *
 * No device is attached when the module is unloaded, as each holds it. They are
 * when somebody removes the host device by hand, through sysfs: nobody can serve
 * them any more, so they lose their drivers.
 *
 * Context: process; sleeps.
 */
void pviommu_attach_exit(struct pviommu_host *host)
{
	struct pci_dev *pdev = NULL;
	struct device *dev;
	unsigned int i;

	bus_unregister_notifier(&pci_bus_type, &host->notifier);

	while ((dev = pviommu_get_attached(host))) {
		dev_warn(dev, "pv_iommu: the host device is removed, so its driver is unbound\n");
		device_release_driver(dev);
		put_device(dev);
	}

	/*
	 * A detach gives up the module's last reference before it returns to
	 * the driver core: wait until it has. Our own lock is held already.
	 */
	for_each_pci_dev(pdev) {
		if (pdev == host->pdev)
			continue;
		device_lock(&pdev->dev);
		device_unlock(&pdev->dev);
	}
	/*
	 * The same of who freed the last of the memory that a driver had kept,
	 * in any context, and may be preempted just before it returns.
	 */
	synchronize_rcu_tasks();
	for (i = 0; i < ARRAY_SIZE(host->bus); i++)
		kfree(host->bus[i]);
}
