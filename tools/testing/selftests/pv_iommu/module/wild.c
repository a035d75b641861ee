// SPDX-License-Identifier: GPL-2.0
/*
 * A device that goes where it was not sent: guest memory outside the window
 * stays as it is and unseen, and the host counts what it refused.
 */
#include <linux/gfp.h>
#include <linux/kernel.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "pvt.h"

#define WILD_ORDER	9
#define WILD_BLOCKS	2048
#define WILD_LEN	512

/*
 * Memory whose physical address the device can put on the bus and which is no
 * address of the window. The allocator gives what it likes, so take blocks
 * until one fits.
 */
static struct page *wild_page(void)
{
	struct page *page, *next, *found = NULL;
	LIST_HEAD(others);
	int i;

	for (i = 0; i < WILD_BLOCKS && !found; i++) {
		phys_addr_t first, last;

		page = alloc_pages(GFP_DMA32 | __GFP_NORETRY | __GFP_NOWARN,
				   WILD_ORDER);
		if (!page)
			break;
		first = page_to_phys(page);
		last = first + (PAGE_SIZE << WILD_ORDER) - 1;
		if (last <= PVT_EDU_MASK && !pvt_host_reaches(first) &&
		    !pvt_host_reaches(last))
			found = page;
		else
			list_add(&page->lru, &others);
	}
	list_for_each_entry_safe(page, next, &others, lru)
		__free_pages(page, WILD_ORDER);
	return found;
}

static struct page *wild_start(struct pvt *t)
{
	struct page *page;

	if (!pvt_on_pviommu() || !pvt_host_present()) {
		pvt_skip(t, "needs pv-iommu");
		return NULL;
	}
	page = wild_page();
	if (!page)
		pvt_skip(t, "no memory where the device reaches");
	return page;
}

static void wild_counted(struct pvt *t, u64 before, phys_addr_t addr)
{
	u64 last = pvt_host_fault_addr();

	pvt_expect(t, pvt_host_faults() > before, "no refusal was counted");
	pvt_expect(t, last >= addr && last < addr + WILD_LEN,
		   "refused was %llx, not %pap", last, &addr);
}

static void wild_write(struct pvt *t)
{
	struct page *page = wild_start(t);
	u8 *buf = kmalloc(WILD_LEN, GFP_KERNEL), *want;
	u64 before;

	if (!page)
		goto out;
	want = kmalloc(WILD_LEN, GFP_KERNEL);
	if (pvt_expect(t, buf && want, "no memory")) {
		phys_addr_t addr = page_to_phys(page);

		pvt_fill(page_address(page), WILD_LEN, pvt_random(t));
		memcpy(want, page_address(page), WILD_LEN);
		pvt_fill(buf, WILD_LEN, pvt_random(t));
		before = pvt_host_faults();
		pvt_dev_write(t, t->edu, addr, buf, WILD_LEN);
		pvt_same(t, page_address(page), want, WILD_LEN, "memory");
		wild_counted(t, before, addr);
	}
	kfree(want);
	__free_pages(page, WILD_ORDER);
out:
	kfree(buf);
}

static void wild_read(struct pvt *t)
{
	struct page *page = wild_start(t);
	u8 *got = kmalloc(WILD_LEN, GFP_KERNEL);
	u64 before;
	int i;

	if (!page)
		goto out;
	if (pvt_expect(t, got, "no memory")) {
		phys_addr_t addr = page_to_phys(page);

		pvt_fill(page_address(page), WILD_LEN, pvt_random(t));
		before = pvt_host_faults();
		pvt_dev_read(t, t->edu, addr, got, WILD_LEN);
		for (i = 0; i + 8 <= WILD_LEN; i += 8)
			pvt_expect(t, memcmp(got + i, page_address(page) + i, 8),
				   "the device saw bytes from %d on", i);
		wild_counted(t, before, addr);
	}
	__free_pages(page, WILD_ORDER);
out:
	kfree(got);
}

/* What is mapped is mapped as before */
static void wild_recovers(struct pvt *t)
{
	u8 *buf = kmalloc(WILD_LEN, GFP_KERNEL), *got = kmalloc(WILD_LEN, GFP_KERNEL);
	u64 before;
	dma_addr_t dma;

	if (!pvt_on_pviommu() || !pvt_host_present()) {
		pvt_skip(t, "needs pv-iommu");
		goto out;
	}
	if (!pvt_expect(t, buf && got, "no memory"))
		goto out;
	pvt_fill(buf, WILD_LEN, pvt_random(t));
	before = pvt_host_faults();
	dma = dma_map_single(t->dev, buf, WILD_LEN, DMA_TO_DEVICE);
	if (!pvt_expect(t, !dma_mapping_error(t->dev, dma), "cannot map"))
		goto out;
	/* the null pointer of a broken driver */
	pvt_dev_read(t, t->edu, 0, got, WILD_LEN);
	pvt_expect(t, pvt_host_reaches(0) || pvt_host_faults() > before,
		   "address 0 was not refused");
	if (pvt_dev_read(t, t->edu, dma, got, WILD_LEN))
		pvt_same(t, got, buf, WILD_LEN, "device read");
	dma_unmap_single(t->dev, dma, WILD_LEN, DMA_TO_DEVICE);
out:
	kfree(buf);
	kfree(got);
}

static const struct pvt_case wild_cases[] = {
	{ "write", wild_write },
	{ "read", wild_read },
	{ "recovers", wild_recovers },
};

PVT_GROUP(wild);
