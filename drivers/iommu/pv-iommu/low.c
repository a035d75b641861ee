// SPDX-License-Identifier: GPL-2.0
/*
 * pv-iommu: coherent memory for devices that do not reach the window
 *
 * The window is in one piece, and where addresses are the host's own it may lie
 * above what some devices reach. Those are served by the arena, which can lie low,
 * but is memory of the host's: the start of it is the guest's, too, in a BAR. It
 * holds coherent memory and nothing else. What is there is known by the arena's
 * slots, as no mapping is ever given these pages.
 *
 * Like the arena, it is shared by all devices that are served by it.
 */
#include <linux/bitmap.h>
#include <linux/ioport.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/pci.h>

#include "pviommu.h"

static int pviommu_low_map(struct pviommu_host *host)
{
	struct pviommu_low *low = &host->low;
	u64 start = pci_resource_start(host->pdev, PV_IOMMU_BAR_COHERENT);
	u64 len = pci_resource_len(host->pdev, PV_IOMMU_BAR_COHERENT);
	int ret;

	if (!start || len < (u64)low->npages << PAGE_SHIFT ||
	    pci_resource_flags(host->pdev, PV_IOMMU_BAR_COHERENT) & IORESOURCE_UNSET)
		return -ENXIO;
	if (!request_mem_region(start, len, "pv_iommu coherent"))
		return -EBUSY;

	low->pgmap.type = MEMORY_DEVICE_GENERIC;
	low->pgmap.range.start = start;
	low->pgmap.range.end = start + len - 1;
	low->pgmap.nr_range = 1;
	low->virt = memremap_pages(&low->pgmap, dev_to_node(&host->pdev->dev));
	if (!IS_ERR(low->virt))
		return 0;

	ret = PTR_ERR(low->virt);
	low->virt = NULL;
	release_mem_region(start, len);
	return ret;
}

/**
 * pviommu_low_init - take the start of the arena, if the host shares it
 * @host: the host device, with the arena's space set
 *
 * Without it, devices that do not reach the window have no coherent memory: not a
 * reason not to serve the others.
 *
 * Context: process; sleeps.
 */
void pviommu_low_init(struct pviommu_host *host)
{
	u64 size = pviommu_read64(host, PV_IOMMU_REG_ARENA_COHERENT);
	struct pviommu_low *low = &host->low;
	int ret = -EINVAL;

	raw_spin_lock_init(&low->lock);
	if (!size)
		return;
	if (IS_ALIGNED(size, PAGE_SIZE) && size <= host->arena.size / 2) {
		low->npages = size >> PAGE_SHIFT;
		low->taken = bitmap_zalloc(low->npages, GFP_KERNEL);
		ret = low->taken ? pviommu_low_map(host) : -ENOMEM;
	}
	if (!ret)
		return;
	pci_warn(host->pdev, "%#llx bytes of the arena, for coherent memory of devices that do not reach the window, cannot be used: error %d\n",
		 size, ret);
	bitmap_free(low->taken);
	low->taken = NULL;
	low->npages = 0;
}

/**
 * pviommu_low_exit - undo pviommu_low_init()
 * @host: the host device; nothing is allocated
 *
 * Context: process; sleeps.
 */
void pviommu_low_exit(struct pviommu_host *host)
{
	struct pviommu_low *low = &host->low;

	if (low->virt) {
		memunmap_pages(&low->pgmap);
		release_mem_region(low->pgmap.range.start,
				   low->pgmap.range.end - low->pgmap.range.start + 1);
	}
	bitmap_free(low->taken);
}

/**
 * pviommu_low_alloc - take some pages
 * @host: the host device
 * @want: how many, and where
 *
 * Context: any but NMI.
 * Return: the first page's slot, whose @page says where it is in the arena; or NULL.
 */
struct pviommu_slot *pviommu_low_alloc(struct pviommu_host *host,
				       const struct pviommu_want *want)
{
	struct pviommu_space *sp = &host->arena;
	struct pviommu_low *low = &host->low;
	unsigned long end = low->npages, page, flags;
	struct pviommu_slot *slot;

	if (!want->npages || want->npages > end || want->dma_limit < sp->dma)
		return NULL;
	if (want->dma_limit < pviommu_page_dma(sp, end) - 1)
		end = (want->dma_limit - sp->dma + 1) >> PAGE_SHIFT;

	raw_spin_lock_irqsave(&low->lock, flags);
	/* Aligned as the device sees it; past the end: there is none */
	page = bitmap_find_next_zero_area_off(low->taken, end, 0, want->npages,
					      BIT(want->order) - 1,
					      sp->dma >> PAGE_SHIFT);
	if (page < end)
		bitmap_set(low->taken, page, want->npages);
	raw_spin_unlock_irqrestore(&low->lock, flags);
	if (page >= end)
		return NULL;

	slot = pviommu_slot_of(sp, page);
	slot->page = page;
	WRITE_ONCE(slot->npages, want->npages);
	WRITE_ONCE(slot->order, want->order);
	return slot;
}

/**
 * pviommu_low_free - give pages back
 * @host: the host device
 * @page: the first of them
 * @npages: how many
 *
 * Context: any but NMI.
 */
void pviommu_low_free(struct pviommu_host *host, unsigned long page, unsigned long npages)
{
	struct pviommu_low *low = &host->low;
	unsigned long flags;

	raw_spin_lock_irqsave(&low->lock, flags);
	bitmap_clear(low->taken, page, npages);
	raw_spin_unlock_irqrestore(&low->lock, flags);
}

/**
 * pviommu_low_next - find a device's memory here
 * @host: the host device
 * @rid: its requester ID
 * @page: the page to begin at; then, the one after what was found
 *
 * Context: any. A snapshot: its driver may free what it has at any time.
 * Return: the slot of a piece that its driver has not freed; NULL: no more.
 */
struct pviommu_slot *pviommu_low_next(struct pviommu_host *host, u16 rid,
				      unsigned long *page)
{
	while (*page < host->low.npages) {
		struct pviommu_slot *slot = pviommu_slot_of(&host->arena, (*page)++);

		/* Pairs with the release of who took it */
		if (smp_load_acquire(&slot->state) == PVIOMMU_SLOT_COHERENT &&
		    READ_ONCE(slot->rid) == rid)
			return slot;
	}
	return NULL;
}

/**
 * pviommu_low_used - how many pages are allocated
 * @host: the host device
 *
 * Context: any but NMI.
 */
unsigned long pviommu_low_used(struct pviommu_host *host)
{
	struct pviommu_low *low = &host->low;
	unsigned long used, flags;

	if (!low->npages)
		return 0;
	raw_spin_lock_irqsave(&low->lock, flags);
	used = bitmap_weight(low->taken, low->npages);
	raw_spin_unlock_irqrestore(&low->lock, flags);
	return used;
}
