// SPDX-License-Identifier: GPL-2.0
/* What is built on coherent memory: dma pools and managed allocations */
#include <linux/dmapool.h>
#include <linux/kernel.h>
#include <linux/slab.h>

#include "pvt.h"

#define POOL_ITEMS	40

static void pool_one(struct pvt *t, size_t size, size_t align, size_t boundary)
{
	void *cpu[POOL_ITEMS];
	dma_addr_t dma[POOL_ITEMS];
	struct dma_pool *pool;
	u8 data[64];
	int i;

	pool = dma_pool_create("pviommu_test", t->dev, size, align, boundary);
	if (!pvt_expect(t, pool, "no pool of %zu", size))
		return;
	for (i = 0; i < POOL_ITEMS; i++) {
		cpu[i] = dma_pool_zalloc(pool, GFP_KERNEL, &dma[i]);
		if (!pvt_expect(t, cpu[i], "item %d of %zu", i, size))
			break;
		pvt_zero(t, cpu[i], size, "pool item");
		pvt_expect(t, IS_ALIGNED(dma[i], align), "%pad, align %zu",
			   &dma[i], align);
		if (boundary)
			pvt_expect(t, dma[i] / boundary ==
				   (dma[i] + size - 1) / boundary,
				   "%pad crosses %zu", &dma[i], boundary);
		pvt_fill(cpu[i], size, i);
	}
	if (i && pvt_dev_read(t, t->edu, dma[i - 1], data, sizeof(data)))
		pvt_same(t, data, cpu[i - 1], sizeof(data), "device read");
	while (i--)
		dma_pool_free(pool, cpu[i], dma[i]);
	dma_pool_destroy(pool);
}

static void pool_sizes(struct pvt *t)
{
	pool_one(t, 64, 64, 0);
	pool_one(t, 96, 32, 4096);
	pool_one(t, 256, 256, 0);
	pool_one(t, 1000, 8, 2048);
	pool_one(t, 4096, 4096, 0);
}

/* dmam_*: freed with the device's other managed resources */
static void pool_managed(struct pvt *t)
{
	struct dma_pool *pool;
	dma_addr_t dma, item_dma;
	void *group, *cpu, *item;
	u8 data[100];

	group = devres_open_group(t->dev, NULL, GFP_KERNEL);
	if (!pvt_expect(t, group, "no group"))
		return;
	cpu = dmam_alloc_coherent(t->dev, SZ_8K, &dma, GFP_KERNEL);
	pool = dmam_pool_create("pviommu_test", t->dev, 128, 8, 0);
	if (pvt_expect(t, cpu && pool, "no memory")) {
		pvt_zero(t, cpu, SZ_8K, "managed memory");
		pvt_fill(cpu, sizeof(data), 7);
		if (pvt_dev_read(t, t->edu, dma, data, sizeof(data)))
			pvt_same(t, data, cpu, sizeof(data), "device read");
		item = dma_pool_zalloc(pool, GFP_KERNEL, &item_dma);
		if (pvt_expect(t, item, "no item"))
			dma_pool_free(pool, item, item_dma);
	}
	devres_release_group(t->dev, group);
}

static const struct pvt_case pool_cases[] = {
	{ "sizes", pool_sizes },
	{ "managed", pool_managed },
};

PVT_GROUP(pool);
