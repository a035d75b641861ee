// SPDX-License-Identifier: GPL-2.0
/*
 * Coherent memory that outlives its driver: one case takes it, the script binds
 * the device anew, and other cases use it. Run alone, in that order.
 */
#include <linux/kernel.h>
#include <linux/scatterlist.h>

#include "pvt.h"

#define KEPT_LEN	SZ_16K
#define KEPT_BYTE	0x5a

static struct page *kept;
static dma_addr_t kept_dma;
static struct device *kept_dev;

static void kept_take(struct pvt *t)
{
	if (!pvt_expect(t, !kept, "there is something already"))
		return;
	kept = dma_alloc_pages(t->dev, KEPT_LEN, &kept_dma, DMA_BIDIRECTIONAL,
			       GFP_KERNEL);
	if (!pvt_expect(t, kept, "no memory"))
		return;
	kept_dev = t->dev;
	memset(page_address(kept), KEPT_BYTE, KEPT_LEN);
}

/* The device has a driver again, which is not the one that took it */
static void kept_sync(struct pvt *t)
{
	u8 *bytes = page_address(kept);
	struct scatterlist sg;

	if (!pvt_expect(t, kept && kept_dev == t->dev, "nothing was kept"))
		return;
	dma_sync_single_for_cpu(t->dev, kept_dma, KEPT_LEN, DMA_BIDIRECTIONAL);
	dma_sync_single_for_device(t->dev, kept_dma + 5000, 300, DMA_BIDIRECTIONAL);

	sg_init_table(&sg, 1);
	sg_set_page(&sg, kept, KEPT_LEN, 0);
	sg_dma_address(&sg) = kept_dma;
	sg_dma_len(&sg) = KEPT_LEN;
	dma_sync_sg_for_cpu(t->dev, &sg, 1, DMA_BIDIRECTIONAL);
	dma_sync_sg_for_device(t->dev, &sg, 1, DMA_BIDIRECTIONAL);

	pvt_expect(t, !memchr_inv(bytes, KEPT_BYTE, KEPT_LEN),
		   "its bytes have changed");
}

static void kept_free(struct pvt *t)
{
	if (!pvt_expect(t, kept && kept_dev == t->dev, "nothing was kept"))
		return;
	dma_free_pages(t->dev, KEPT_LEN, kept, kept_dma, DMA_BIDIRECTIONAL);
	kept = NULL;
}

static const struct pvt_case kept_cases[] = {
	{ "take", kept_take },
	{ "sync", kept_sync },
	{ "free", kept_free },
};

PVT_GROUP(kept);
