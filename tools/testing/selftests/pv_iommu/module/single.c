// SPDX-License-Identifier: GPL-2.0
/* Streaming mappings of one buffer, in all directions and odd sizes */
#include <linux/kernel.h>
#include <linux/slab.h>

#include "pvt.h"

#define SINGLE_LEAD	PAGE_SIZE		/* guard bytes on both sides */
#define SINGLE_MAX	PVT_PIECE		/* offset and length */
#define SINGLE_AREA	(SINGLE_MAX + 2 * SINGLE_LEAD)

static const u16 single_sizes[] = {
	1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 127,
	128, 129, 255, 256, 257, 511, 512, 513, 1000, 1023, 1024, 1025, 1500,
	2047, 2048, 2049, 3000, 4095, 4096,
};

static const u16 single_offsets[] = { 0, 1, 3, 7, 64, 511, 1027, 4095 };

/* The caller's memory, what it must hold, and room for the device's view */
struct single_bufs {
	u8 *area;
	u8 *want;
	u8 *seen;
	u8 *data;
};

static bool single_alloc(struct pvt *t, struct single_bufs *b)
{
	b->area = kmalloc(SINGLE_AREA, GFP_KERNEL);
	b->want = kmalloc(SINGLE_AREA, GFP_KERNEL);
	b->seen = kmalloc(SINGLE_MAX, GFP_KERNEL);
	b->data = kmalloc(SINGLE_MAX, GFP_KERNEL);
	return pvt_expect(t, b->area && b->want && b->seen && b->data,
			  "no memory");
}

static void single_free(struct single_bufs *b)
{
	kfree(b->area);
	kfree(b->want);
	kfree(b->seen);
	kfree(b->data);
}

/*
 * Map @len bytes at @off, let the device read all of them and, if @dir allows,
 * write @written of them. The read shows that a map copies in whatever the
 * direction: else a short write by the device would leak stale bytes.
 */
static void single_one(struct pvt *t, struct single_bufs *b, size_t off,
		       size_t len, size_t written, enum dma_data_direction dir)
{
	u8 *buf = b->area + SINGLE_LEAD + off;
	dma_addr_t dma;

	pvt_fill(b->area, SINGLE_AREA, pvt_random(t));
	memcpy(b->want, b->area, SINGLE_AREA);
	pvt_fill(b->data, len, pvt_random(t));

	dma = dma_map_single(t->dev, buf, len, dir);
	if (!pvt_expect(t, !dma_mapping_error(t->dev, dma),
			"cannot map %zu bytes", len))
		return;
	pvt_expect(t, dma + len - 1 <= dma_get_mask(t->dev),
		   "dma %pad beyond the mask", &dma);
	if (pvt_dev_read(t, t->edu, dma, b->seen, len))
		pvt_same(t, b->seen, buf, len, "device read");
	if (written && pvt_dev_write(t, t->edu, dma, b->data, written) &&
	    dir != DMA_TO_DEVICE)
		memcpy(b->want + SINGLE_LEAD + off, b->data, written);
	dma_unmap_single(t->dev, dma, len, dir);
	pvt_same(t, b->area, b->want, SINGLE_AREA, "memory after unmap");
}

static void single_sweep(struct pvt *t, enum dma_data_direction dir)
{
	struct single_bufs b;
	int i;

	if (single_alloc(t, &b)) {
		for (i = 0; i < ARRAY_SIZE(single_sizes) && !t->failures; i++) {
			size_t off = pvt_off(single_offsets[i % ARRAY_SIZE(single_offsets)]);
			size_t len = pvt_len(single_sizes[i]);

			single_one(t, &b, off, len,
				   dir == DMA_TO_DEVICE ? 0 : len, dir);
		}
		for (i = 0; i < 16 && !t->failures; i++) {
			size_t off = pvt_off(pvt_below(t, PAGE_SIZE));
			size_t len = pvt_len(1 + pvt_below(t, PAGE_SIZE));

			single_one(t, &b, off, len,
				   dir == DMA_TO_DEVICE ? 0 : len, dir);
		}
	}
	single_free(&b);
}

static void single_to_device(struct pvt *t)
{
	single_sweep(t, DMA_TO_DEVICE);
}

static void single_from_device(struct pvt *t)
{
	single_sweep(t, DMA_FROM_DEVICE);
}

static void single_bidirectional(struct pvt *t)
{
	single_sweep(t, DMA_BIDIRECTIONAL);
}

/* The device writes less than was mapped: the rest keeps the caller's bytes */
static void single_short_write(struct pvt *t)
{
	struct single_bufs b;
	int i;

	if (single_alloc(t, &b)) {
		for (i = 0; i < ARRAY_SIZE(single_sizes) && !t->failures; i += 3) {
			size_t len = pvt_len(single_sizes[i]), off = pvt_off(i);

			single_one(t, &b, off, len, len / 2, DMA_FROM_DEVICE);
			single_one(t, &b, off, len, 0, DMA_FROM_DEVICE);
			single_one(t, &b, off, len, len / 3, DMA_BIDIRECTIONAL);
		}
	}
	single_free(&b);
}

/* What the device writes to a TO_DEVICE mapping does not come back */
static void single_to_device_stays(struct pvt *t)
{
	struct single_bufs b;
	size_t len;
	int i;

	if (single_alloc(t, &b)) {
		for (i = 0; i < ARRAY_SIZE(single_sizes) && !t->failures; i += 5) {
			len = pvt_len(single_sizes[i]);
			single_one(t, &b, pvt_off(3), len, len, DMA_TO_DEVICE);
		}
	}
	single_free(&b);
}

/*
 * Memory next to a mapping is none of the device's business: the page around
 * the DMA address must not show it.
 */
static void single_neighbours(struct pvt *t)
{
	struct single_bufs b;
	size_t off, len = 100;
	u8 *buf;

	if (pvt_whole()) {
		pvt_skip(t, "a page that is mapped whole has nothing beside it");
		return;
	}
	if (!single_alloc(t, &b))
		goto out;
	for (off = 500; off < 3500; off += 997) {
		dma_addr_t dma, page;

		buf = b.area + SINGLE_LEAD + off;
		pvt_fill(b.area, SINGLE_AREA, pvt_random(t));
		dma = dma_map_single(t->dev, buf, len, DMA_TO_DEVICE);
		if (!pvt_expect(t, !dma_mapping_error(t->dev, dma), "cannot map"))
			break;
		page = ALIGN_DOWN(dma, PAGE_SIZE);
		if (pvt_dev_read(t, t->edu, page, b.seen, PAGE_SIZE)) {
			pvt_same(t, b.seen + (dma - page), buf,
				 min_t(size_t, len, page + PAGE_SIZE - dma),
				 "mapped bytes");
			pvt_expect(t, !pvt_contains(b.seen, PAGE_SIZE,
						    buf - 16, 16),
				   "bytes before the buffer are visible");
			pvt_expect(t, !pvt_contains(b.seen, PAGE_SIZE,
						    buf + len, 16),
				   "bytes after the buffer are visible");
		}
		dma_unmap_single(t->dev, dma, len, DMA_TO_DEVICE);
	}
out:
	single_free(&b);
}

/*
 * With the host's arena, a granule belongs to one mapping, and what the one
 * before left there is gone.
 */
static void single_stale(struct pvt *t)
{
	struct single_bufs b;
	dma_addr_t dma, page;

	if (!pvt_on_bounce()) {
		pvt_skip(t, "needs the host's arena");
		return;
	}
	if (!single_alloc(t, &b))
		goto out;
	pvt_fill(b.area, SINGLE_AREA, pvt_random(t));
	dma = dma_map_single(t->dev, b.area, SINGLE_AREA, DMA_TO_DEVICE);
	if (pvt_expect(t, !dma_mapping_error(t->dev, dma), "cannot map"))
		dma_unmap_single(t->dev, dma, SINGLE_AREA, DMA_TO_DEVICE);
	pvt_fill(b.data, 8, pvt_random(t));
	dma = dma_map_single(t->dev, b.data, 8, DMA_TO_DEVICE);
	if (!pvt_expect(t, !dma_mapping_error(t->dev, dma), "cannot map"))
		goto out;
	page = ALIGN_DOWN(dma, PAGE_SIZE);
	if (pvt_dev_read(t, t->edu, page, b.seen, PAGE_SIZE)) {
		pvt_same(t, b.seen + (dma - page), b.data, 8, "mapped bytes");
		memset(b.seen + (dma - page), 0, 8);
		pvt_zero(t, b.seen, PAGE_SIZE, "rest of the granule");
	}
	dma_unmap_single(t->dev, dma, 8, DMA_TO_DEVICE);
out:
	single_free(&b);
}

/* An error and no crash, and mapping goes on */
static void single_zero_length(struct pvt *t)
{
	struct single_bufs b;
	dma_addr_t dma;

	if (!pvt_on_pviommu()) {
		pvt_skip(t, "swiotlb crashes");
		return;
	}
	if (single_alloc(t, &b)) {
		dma = dma_map_single(t->dev, b.area, 0, DMA_BIDIRECTIONAL);
		if (!pvt_expect(t, dma_mapping_error(t->dev, dma),
				"zero length was mapped at %pad", &dma))
			dma_unmap_single(t->dev, dma, 0, DMA_BIDIRECTIONAL);
		single_one(t, &b, pvt_off(5), pvt_len(77), 77, DMA_BIDIRECTIONAL);
	}
	single_free(&b);
}

static const struct pvt_case single_cases[] = {
	{ "to_device", single_to_device },
	{ "from_device", single_from_device },
	{ "bidirectional", single_bidirectional },
	{ "short_write", single_short_write },
	{ "to_device_stays", single_to_device_stays },
	{ "neighbours", single_neighbours },
	{ "stale", single_stale },
	{ "zero_length", single_zero_length },
};

PVT_GROUP(single);
