// SPDX-License-Identifier: GPL-2.0
/* dma_alloc_pages, dma_alloc_noncontiguous, noncoherent memory, get_sgtable */
#include <linux/highmem.h>
#include <linux/kernel.h>
#include <linux/list.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "pvt.h"

#define PAGES_LEN	SZ_16K

/* Write by the CPU, read by the device, and back, with the syncs for it */
static void pages_both_ways(struct pvt *t, u8 *cpu, dma_addr_t dma, size_t len)
{
	u8 *data = vmalloc(len);

	if (!pvt_expect(t, data, "no memory"))
		return;
	pvt_zero(t, cpu, len, "fresh pages");
	pvt_fill(cpu, len, pvt_random(t));
	dma_sync_single_for_device(t->dev, dma, len, DMA_BIDIRECTIONAL);
	if (pvt_dev_read(t, t->edu, dma, data, len))
		pvt_same(t, data, cpu, len, "device read");
	pvt_fill(data, len, pvt_random(t));
	if (pvt_dev_write(t, t->edu, dma, data, len)) {
		dma_sync_single_for_cpu(t->dev, dma, len, DMA_BIDIRECTIONAL);
		pvt_same(t, cpu, data, len, "device write");
	}
	vfree(data);
}

static void pages_alloc_pages(struct pvt *t)
{
	struct page *page;
	dma_addr_t dma;

	page = dma_alloc_pages(t->dev, PAGES_LEN, &dma, DMA_BIDIRECTIONAL,
			       GFP_KERNEL);
	if (!pvt_expect(t, page, "no pages"))
		return;
	pvt_expect(t, virt_to_page(page_address(page)) == page,
		   "not a page of the direct map");
	pvt_expect(t, dma + PAGES_LEN - 1 <= dma_get_mask(t->dev),
		   "%pad beyond the mask", &dma);
	pages_both_ways(t, page_address(page), dma, PAGES_LEN);
	dma_free_pages(t->dev, PAGES_LEN, page, dma, DMA_BIDIRECTIONAL);
}

static void pages_noncoherent(struct pvt *t)
{
	dma_addr_t dma;
	void *cpu;

	cpu = dma_alloc_noncoherent(t->dev, PAGES_LEN, &dma, DMA_BIDIRECTIONAL,
				    GFP_KERNEL);
	if (!pvt_expect(t, cpu, "no memory"))
		return;
	pages_both_ways(t, cpu, dma, PAGES_LEN);
	dma_free_noncoherent(t->dev, PAGES_LEN, cpu, dma, DMA_BIDIRECTIONAL);
}

static void pages_noncontiguous(struct pvt *t)
{
	size_t len = SZ_64K;
	struct sg_table *sgt;
	u8 *data, *cpu;

	sgt = dma_alloc_noncontiguous(t->dev, len, DMA_BIDIRECTIONAL,
				      GFP_KERNEL, 0);
	if (!pvt_expect(t, sgt, "no memory"))
		return;
	data = vmalloc(len);
	cpu = dma_vmap_noncontiguous(t->dev, len, sgt);
	if (!pvt_expect(t, cpu && data, "no mapping for the CPU"))
		goto out;
	pvt_sg_legal(t, t->dev, sgt->sgl, sgt->nents, len);
	pvt_fill(cpu, len, pvt_random(t));
	flush_kernel_vmap_range(cpu, len);
	dma_sync_sgtable_for_device(t->dev, sgt, DMA_BIDIRECTIONAL);
	if (pvt_dev_read_sg(t, t->edu, sgt->sgl, sgt->nents, data, len))
		pvt_same(t, data, cpu, len, "device read");
	pvt_fill(data, len, pvt_random(t));
	if (pvt_dev_write_sg(t, t->edu, sgt->sgl, sgt->nents, data, len)) {
		dma_sync_sgtable_for_cpu(t->dev, sgt, DMA_BIDIRECTIONAL);
		invalidate_kernel_vmap_range(cpu, len);
		pvt_same(t, cpu, data, len, "device write");
	}
out:
	if (cpu)
		dma_vunmap_noncontiguous(t->dev, cpu);
	dma_free_noncontiguous(t->dev, len, sgt, DMA_BIDIRECTIONAL);
	vfree(data);
}

/*
 * Coherent memory as a list of pages, and that list mapped for another device,
 * as a dma-buf exporter does
 */
static void pages_get_sgtable(struct pvt *t)
{
	size_t len = SZ_32K, pos = 0;
	struct scatterlist *sg;
	struct sg_table sgt;
	dma_addr_t dma;
	u8 *cpu, *data;
	int i;

	data = vmalloc(len);
	cpu = dma_alloc_coherent(t->dev, len, &dma, GFP_KERNEL);
	if (!pvt_expect(t, cpu && data, "no memory"))
		goto out;
	pvt_fill(cpu, len, pvt_random(t));
	if (!pvt_expect(t, !dma_get_sgtable(t->dev, &sgt, cpu, dma, len),
			"no list"))
		goto out;
	for_each_sg(sgt.sgl, sg, sgt.orig_nents, i) {
		pvt_same(t, sg_virt(sg), cpu + pos, sg->length, "page's bytes");
		pos += sg->length;
	}
	pvt_expect(t, pos == PAGE_ALIGN(len), "%zu bytes listed", pos);
	if (t->other &&
	    pvt_expect(t, !dma_map_sgtable(pvt_edu_dev(t->other), &sgt,
					   DMA_TO_DEVICE, 0), "cannot map")) {
		if (pvt_dev_read_sg(t, t->other, sgt.sgl, sgt.nents, data, len))
			pvt_same(t, data, cpu, len, "other device's read");
		dma_unmap_sgtable(pvt_edu_dev(t->other), &sgt, DMA_TO_DEVICE,
				  0);
	}
	sg_free_table(&sgt);
out:
	if (cpu)
		dma_free_coherent(t->dev, len, cpu, dma);
	vfree(data);
}

/*
 * A driver may keep such pages on a list by page->lru, and map them like any
 * others. Where pgmap was is what the list says then; here that looks like a
 * device's memory, which is refused.
 */
static void pages_on_list(struct pvt *t)
{
	struct list_head was, *head;
	struct dev_pagemap *bait;
	dma_addr_t dma, again;
	struct page *page;

	if (IS_ENABLED(CONFIG_DMA_API_DEBUG)) {
		pvt_skip(t, "DMA_API_DEBUG warns of pages of ZONE_DEVICE");
		return;
	}
	bait = kzalloc(sizeof(*bait), GFP_KERNEL);
	head = (struct list_head *)bait;
	page = dma_alloc_pages(t->dev, PAGE_SIZE, &dma, DMA_BIDIRECTIONAL,
			       GFP_KERNEL);
	if (!pvt_expect(t, bait && page, "no memory"))
		goto out;
	BUILD_BUG_ON(offsetof(struct dev_pagemap, type) < sizeof(*head));
	bait->type = MEMORY_DEVICE_PCI_P2PDMA;
	INIT_LIST_HEAD(head);
	was = page->lru;
	list_add(&page->lru, head);

	again = dma_map_page(t->dev, page, 0, PAGE_SIZE, DMA_TO_DEVICE);
	if (pvt_expect(t, !dma_mapping_error(t->dev, again), "it cannot be mapped"))
		dma_unmap_page(t->dev, again, PAGE_SIZE, DMA_TO_DEVICE);
	list_del(&page->lru);
	page->lru = was;
out:
	if (page)
		dma_free_pages(t->dev, PAGE_SIZE, page, dma, DMA_BIDIRECTIONAL);
	kfree(bait);
}

static const struct pvt_case pages_cases[] = {
	{ "alloc_pages", pages_alloc_pages },
	{ "noncoherent", pages_noncoherent },
	{ "noncontiguous", pages_noncontiguous },
	{ "get_sgtable", pages_get_sgtable },
	{ "on_list", pages_on_list },
};

PVT_GROUP(pages);
