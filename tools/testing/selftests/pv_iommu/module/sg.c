// SPDX-License-Identifier: GPL-2.0
/* Scatterlists: scattered pages, odd offsets and lengths, 1 to 1,024 entries */
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "pvt.h"

#define SG_MAX	1024
/* Of whole pages, which are more to move: still chained, and more than one request */
#define SG_MAX_WHOLE	257

/**
 * struct sg_bufs - a list and what its memory is to hold
 * @sgt: the list; entry i lies in page i of @area
 * @n: entries
 * @total: bytes of all entries
 * @area: vmalloc memory, so that neighbours are no neighbours in RAM
 * @want: what @area must hold
 * @flat: the entries' bytes in a row
 * @data: bytes for the device to write, or what it read
 */
struct sg_bufs {
	struct sg_table sgt;
	unsigned int n;
	size_t total;
	u8 *area;
	u8 *want;
	u8 *flat;
	u8 *data;
};

/*
 * Check what a device relies on: as many bytes as asked for, within the mask,
 * no segment longer than the device takes or across its boundary.
 */
bool pvt_sg_legal(struct pvt *t, struct device *dev, struct scatterlist *sgl,
		  int nents, size_t total)
{
	unsigned long boundary = dma_get_seg_boundary(dev);
	unsigned int before = t->failures;
	struct scatterlist *sg;
	size_t sum = 0;
	int i;

	for_each_sg(sgl, sg, nents, i) {
		dma_addr_t first = sg_dma_address(sg);
		dma_addr_t last = first + sg_dma_len(sg) - 1;

		sum += sg_dma_len(sg);
		pvt_expect(t, sg_dma_len(sg), "segment %d is empty", i);
		pvt_expect(t, last <= dma_get_mask(dev),
			   "segment %d at %pad beyond the mask", i, &first);
		pvt_expect(t, sg_dma_len(sg) <= dma_get_max_seg_size(dev),
			   "segment %d has %u bytes", i, sg_dma_len(sg));
		pvt_expect(t, (first & ~boundary) == (last & ~boundary),
			   "segment %d at %pad + %u crosses %lx", i, &first,
			   sg_dma_len(sg), boundary);
	}
	pvt_expect(t, sum == total, "%zu bytes mapped of %zu", sum, total);
	return before == t->failures;
}

static void sg_free(struct sg_bufs *b)
{
	sg_free_table(&b->sgt);
	vfree(b->area);
	vfree(b->want);
	vfree(b->flat);
	vfree(b->data);
}

/* @max_len: bytes of an entry at most; PAGE_SIZE means whole pages */
static bool sg_alloc(struct pvt *t, struct sg_bufs *b, unsigned int n,
		     unsigned int max_len)
{
	struct scatterlist *sg;
	int i;

	memset(b, 0, sizeof(*b));
	b->n = n;
	b->area = vmalloc(n * PAGE_SIZE);
	b->want = vmalloc(n * PAGE_SIZE);
	b->flat = vmalloc(n * PAGE_SIZE);
	b->data = vmalloc(n * PAGE_SIZE);
	if (!pvt_expect(t, b->area && b->want && b->flat && b->data &&
			!sg_alloc_table(&b->sgt, n, GFP_KERNEL), "no memory")) {
		sg_free(b);
		return false;
	}
	for_each_sg(b->sgt.sgl, sg, n, i) {
		unsigned int len = PAGE_SIZE, off = 0;

		if (max_len < PAGE_SIZE && !pvt_whole()) {
			len = 1 + pvt_below(t, max_len);
			off = pvt_below(t, PAGE_SIZE - len + 1);
		}
		sg_set_page(sg, vmalloc_to_page(b->area + i * PAGE_SIZE), len,
			    off);
		b->total += len;
	}
	return true;
}

/* Copy between the entries' places in @area and a row of bytes */
static void sg_flatten(struct sg_bufs *b, u8 *area, u8 *flat, bool gather)
{
	struct scatterlist *sg;
	int i;

	for_each_sg(b->sgt.sgl, sg, b->n, i) {
		u8 *at = area + i * PAGE_SIZE + sg->offset;

		if (gather)
			memcpy(flat, at, sg->length);
		else
			memcpy(at, flat, sg->length);
		flat += sg->length;
	}
}

static void sg_one(struct pvt *t, unsigned int n, unsigned int max_len,
		   enum dma_data_direction dir, size_t skip_write)
{
	struct sg_bufs b;
	size_t written;
	int nents;

	if (!sg_alloc(t, &b, n, max_len))
		return;
	pvt_fill(b.area, n * PAGE_SIZE, pvt_random(t));
	memcpy(b.want, b.area, n * PAGE_SIZE);
	sg_flatten(&b, b.area, b.flat, true);

	nents = dma_map_sg(t->dev, b.sgt.sgl, n, dir);
	if (!pvt_expect(t, nents > 0 && nents <= n, "%d of %u entries mapped",
			nents, n))
		goto out;
	if (pvt_sg_legal(t, t->dev, b.sgt.sgl, nents, b.total) &&
	    pvt_dev_read_sg(t, t->edu, b.sgt.sgl, nents, b.data, b.total))
		pvt_same(t, b.data, b.flat, b.total, "device read");
	if (dir != DMA_TO_DEVICE && !t->failures) {
		written = b.total - min(skip_write, b.total);
		pvt_fill(b.data, b.total, pvt_random(t));
		if (pvt_dev_write_sg(t, t->edu, b.sgt.sgl, nents, b.data,
				     written)) {
			memcpy(b.flat, b.data, written);
			sg_flatten(&b, b.want, b.flat, false);
		}
	}
	dma_unmap_sg(t->dev, b.sgt.sgl, n, dir);
	pvt_same(t, b.area, b.want, n * PAGE_SIZE, "memory after unmap");
	if (t->failures)
		pvt_log("# list of %u, at most %u bytes each, direction %d", n,
			max_len, dir);
out:
	sg_free(&b);
}

static void sg_small(struct pvt *t)
{
	static const u16 counts[] = { 1, 2, 3, 4, 7, 16 };
	int i;

	for (i = 0; i < ARRAY_SIZE(counts) && !t->failures; i++) {
		sg_one(t, counts[i], 4095, DMA_TO_DEVICE, 0);
		sg_one(t, counts[i], 4095, DMA_FROM_DEVICE, 0);
		sg_one(t, counts[i], 4095, DMA_BIDIRECTIONAL, 0);
	}
}

/* Around the 128 segments that a request to the host carries, and chained */
static void sg_large(struct pvt *t)
{
	static const u16 counts[] = { 127, 128, 129, 255, 257, SG_MAX };
	unsigned int max = pvt_whole() ? SG_MAX_WHOLE : SG_MAX;
	int i;

	for (i = 0; i < ARRAY_SIZE(counts) && counts[i] <= max && !t->failures; i++)
		sg_one(t, counts[i], 64, DMA_BIDIRECTIONAL, 0);
	if (!t->failures)
		sg_one(t, max, 64, DMA_TO_DEVICE, 0);
	if (!t->failures)
		sg_one(t, max, 64, DMA_FROM_DEVICE, 0);
}

static void sg_random(struct pvt *t)
{
	int i;

	for (i = 0; i < 12 && !t->failures; i++)
		sg_one(t, 1 + pvt_below(t, 64), 1 + pvt_below(t, 1000),
		       i & 1 ? DMA_FROM_DEVICE : DMA_BIDIRECTIONAL, 0);
}

static void sg_pages(struct pvt *t)
{
	sg_one(t, 16, PAGE_SIZE, DMA_BIDIRECTIONAL, 0);
}

static void sg_short_write(struct pvt *t)
{
	sg_one(t, 1, 1000, DMA_FROM_DEVICE, 1000);
	sg_one(t, 9, 1000, DMA_FROM_DEVICE, 1500);
	sg_one(t, 33, 500, DMA_FROM_DEVICE, SZ_64K);
}

/* A list of pages is one segment where the device takes it */
static void sg_merged(struct pvt *t)
{
	struct sg_bufs b;
	int nents;

	if (!pvt_on_pviommu()) {
		pvt_skip(t, "not promised by this backend");
		return;
	}
	if (pvt_host_direct(t->dev)) {
		pvt_skip(t, "pages that are direct stay where they are");
		return;
	}
	dma_set_max_seg_size(t->dev, SZ_1M);
	if (!sg_alloc(t, &b, 32, PAGE_SIZE))
		return;
	nents = dma_map_sg(t->dev, b.sgt.sgl, 32, DMA_TO_DEVICE);
	if (pvt_expect(t, nents > 0, "cannot map")) {
		pvt_expect(t, nents == 1, "%d segments for 32 pages", nents);
		pvt_sg_legal(t, t->dev, b.sgt.sgl, nents, b.total);
		dma_unmap_sg(t->dev, b.sgt.sgl, 32, DMA_TO_DEVICE);
	}
	sg_free(&b);
}

/* One entry of many pages, and the same page in many entries */
static void sg_shapes(struct pvt *t)
{
	size_t off = pvt_whole() ? 0 : 5, len = SZ_16K - (pvt_whole() ? 0 : 9);
	u8 *buf = kmalloc(SZ_16K, GFP_KERNEL), *got = kmalloc(SZ_64K, GFP_KERNEL);
	struct scatterlist sgl[8];
	size_t total = 0;
	int i, nents;

	if (!pvt_expect(t, buf && got, "no memory"))
		goto out;
	pvt_fill(buf, SZ_16K, pvt_random(t));
	sg_init_one(sgl, buf + off, len);
	nents = dma_map_sg(t->dev, sgl, 1, DMA_TO_DEVICE);
	if (pvt_expect(t, nents == 1, "cannot map") &&
	    pvt_sg_legal(t, t->dev, sgl, nents, len) &&
	    pvt_dev_read_sg(t, t->edu, sgl, nents, got, len))
		pvt_same(t, got, buf + off, len, "one entry");
	if (nents)
		dma_unmap_sg(t->dev, sgl, 1, DMA_TO_DEVICE);

	off = pvt_whole() ? PAGE_SIZE : 100;
	len = pvt_whole() ? PAGE_SIZE : 300;
	sg_init_table(sgl, ARRAY_SIZE(sgl));
	for (i = 0; i < ARRAY_SIZE(sgl); i++) {
		sg_set_buf(&sgl[i], buf + off, len);
		total += len;
	}
	nents = dma_map_sg(t->dev, sgl, ARRAY_SIZE(sgl), DMA_TO_DEVICE);
	if (!pvt_expect(t, nents > 0, "cannot map"))
		goto out;
	if (pvt_sg_legal(t, t->dev, sgl, nents, total) &&
	    pvt_dev_read_sg(t, t->edu, sgl, nents, got, total)) {
		for (i = 0; i < ARRAY_SIZE(sgl); i++)
			pvt_same(t, got + i * len, buf + off, len, "repeated entry");
	}
	dma_unmap_sg(t->dev, sgl, ARRAY_SIZE(sgl), DMA_TO_DEVICE);
out:
	kfree(buf);
	kfree(got);
}

/* Merged or not, each entry of a list has one page to itself, and zeros in it */
static bool sg_clear(struct pvt *t, struct sg_bufs *b, unsigned int n)
{
	dma_set_max_seg_size(t->dev, SZ_1M);
	if (!sg_alloc(t, b, n, PAGE_SIZE))
		return false;
	memset(b->area, 0, n * PAGE_SIZE);
	pvt_fill(b->data, b->total, pvt_random(t));
	return true;
}

/*
 * A driver may shorten an entry that is mapped, as those do that cut off what
 * the device did not transfer: the ones behind it stay where they are.
 */
static void sg_shortened(struct pvt *t)
{
	struct scatterlist *sg;
	struct sg_bufs b;
	int nents, i, how;

	for (how = 0; how < 3 && !t->failures; how++) {
		if (!sg_clear(t, &b, 6))
			return;
		nents = dma_map_sg(t->dev, b.sgt.sgl, 6, DMA_BIDIRECTIONAL);
		if (!pvt_expect(t, nents > 0, "cannot map")) {
			sg_free(&b);
			return;
		}
		pvt_dev_write_sg(t, t->edu, b.sgt.sgl, nents, b.data, b.total);
		b.sgt.sgl[0].length = 700;
		b.sgt.sgl[2].length = 1;
		b.sgt.sgl[3].length = 0;
		if (how == 1)
			dma_sync_sg_for_cpu(t->dev, b.sgt.sgl, 6,
					    DMA_BIDIRECTIONAL);
		if (how == 2 && nents == 1)
			dma_sync_single_for_cpu(t->dev, sg_dma_address(b.sgt.sgl),
						b.total, DMA_BIDIRECTIONAL);
		dma_unmap_sg_attrs(t->dev, b.sgt.sgl, 6, DMA_BIDIRECTIONAL,
				   how == 1 ? DMA_ATTR_SKIP_CPU_SYNC : 0);
		for_each_sg(b.sgt.sgl, sg, 6, i)
			pvt_same(t, b.area + i * PAGE_SIZE, b.data + i * PAGE_SIZE,
				 pvt_on_pviommu() ? sg->length : 0,
				 i > 3 ? "entry behind shorter ones" : "entry");
		/* the host copies all that was mapped; direct, nobody does */
		if (pvt_on_window() && !pvt_host_direct(t->dev))
			pvt_zero(t, b.area + 700, PAGE_SIZE - 700, "what was cut off");
		sg_free(&b);
	}
}

/* An empty entry takes no place, wherever it is */
static void sg_empty(struct pvt *t)
{
	struct scatterlist *sg;
	struct sg_bufs b;
	size_t pos = 0;
	int nents, i;

	if (!pvt_on_pviommu()) {
		pvt_skip(t, "not promised by this backend");
		return;
	}
	if (!sg_clear(t, &b, 7))
		return;
	for_each_sg(b.sgt.sgl, sg, 7, i) {
		if (i == 0 || i == 3 || i == 6) {
			sg->length = 0;
			b.total -= PAGE_SIZE;
		}
	}
	nents = dma_map_sg(t->dev, b.sgt.sgl, 7, DMA_BIDIRECTIONAL);
	if (!pvt_expect(t, nents > 0, "cannot map")) {
		sg_free(&b);
		return;
	}
	pvt_sg_legal(t, t->dev, b.sgt.sgl, nents, b.total);
	pvt_dev_write_sg(t, t->edu, b.sgt.sgl, nents, b.data, b.total);
	dma_unmap_sg(t->dev, b.sgt.sgl, 7, DMA_BIDIRECTIONAL);
	for_each_sg(b.sgt.sgl, sg, 7, i) {
		if (sg->length)
			pvt_same(t, b.area + i * PAGE_SIZE, b.data + pos,
				 sg->length, "entry among empty ones");
		else
			pvt_zero(t, b.area + i * PAGE_SIZE, PAGE_SIZE, "empty entry");
		pos += sg->length;
	}
	for_each_sg(b.sgt.sgl, sg, 7, i)
		sg->length = 0;
	nents = dma_map_sg_attrs(t->dev, b.sgt.sgl, 7, DMA_TO_DEVICE,
				 DMA_ATTR_NO_WARN);
	pvt_expect(t, !nents, "a list of nothing is mapped");
	sg_free(&b);
}

static const struct pvt_case sg_cases[] = {
	{ "small", sg_small },
	{ "large", sg_large },
	{ "random", sg_random },
	{ "pages", sg_pages },
	{ "short_write", sg_short_write },
	{ "merged", sg_merged },
	{ "shapes", sg_shapes },
	{ "shortened", sg_shortened },
	{ "empty", sg_empty },
};

PVT_GROUP(sg);
