// SPDX-License-Identifier: GPL-2.0
/*
 * Known numbers of calls, for counters.sh to compare pv-iommu's counters with.
 * Nothing is checked here but that the calls succeed.
 */
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "pvt.h"

#define COUNT_CALLS	64
#define COUNT_LEN	1000
#define COUNT_LOAD	1024

static void count_single(struct pvt *t, enum dma_data_direction dir, int calls,
			 bool sync)
{
	u8 *buf = kzalloc(COUNT_LEN, GFP_KERNEL);
	dma_addr_t dma;
	int i;

	for (i = 0; buf && i < calls; i++) {
		dma = dma_map_single(t->dev, buf, COUNT_LEN, dir);
		if (!pvt_expect(t, !dma_mapping_error(t->dev, dma), "cannot map"))
			break;
		if (sync)
			dma_sync_single_for_cpu(t->dev, dma, 100, dir);
		dma_unmap_single(t->dev, dma, COUNT_LEN, dir);
	}
	pvt_expect(t, buf, "no memory");
	kfree(buf);
}

static void count_to_device(struct pvt *t)
{
	count_single(t, DMA_TO_DEVICE, COUNT_CALLS, false);
}

static void count_from_device(struct pvt *t)
{
	count_single(t, DMA_FROM_DEVICE, COUNT_CALLS, false);
}

static void count_syncs(struct pvt *t)
{
	count_single(t, DMA_BIDIRECTIONAL, COUNT_CALLS, true);
}

static void count_load(struct pvt *t)
{
	count_single(t, DMA_TO_DEVICE, COUNT_LOAD, false);
}

/* One list, mapped once */
static void count_sg(struct pvt *t, int n, enum dma_data_direction dir)
{
	u8 *buf = kzalloc(SZ_4K, GFP_KERNEL);
	struct sg_table sgt = {};
	struct scatterlist *sg;
	int i;

	if (pvt_expect(t, buf && !sg_alloc_table(&sgt, n, GFP_KERNEL),
		       "no memory")) {
		for_each_sgtable_sg(&sgt, sg, i)
			sg_set_buf(sg, buf + 512 * (i % 8), COUNT_LEN / 2);
		if (pvt_expect(t, !dma_map_sgtable(t->dev, &sgt, dir, 0),
			       "cannot map"))
			dma_unmap_sgtable(t->dev, &sgt, dir, 0);
	}
	sg_free_table(&sgt);
	kfree(buf);
}

static void count_sg128(struct pvt *t)
{
	count_sg(t, 128, DMA_FROM_DEVICE);
}

static void count_sg1024(struct pvt *t)
{
	count_sg(t, 1024, DMA_FROM_DEVICE);
}

static void count_coherent(struct pvt *t)
{
	dma_addr_t dma;
	void *cpu;
	int i;

	for (i = 0; i < COUNT_CALLS; i++) {
		cpu = dma_alloc_coherent(t->dev, SZ_8K, &dma, GFP_KERNEL);
		if (pvt_expect(t, cpu, "no memory"))
			dma_free_coherent(t->dev, SZ_8K, cpu, dma);
	}
}

static const struct pvt_case count_cases[] = {
	{ "to_device", count_to_device },
	{ "from_device", count_from_device },
	{ "syncs", count_syncs },
	{ "load", count_load },
	{ "sg128", count_sg128 },
	{ "sg1024", count_sg1024 },
	{ "coherent", count_coherent },
};

PVT_GROUP(count);
