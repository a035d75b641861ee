// SPDX-License-Identifier: GPL-2.0
/* DMA_ATTR_*: what each of them asks for, and what a backend must refuse */
#include <linux/kernel.h>
#include <linux/slab.h>

#include "pvt.h"

#define ATTRS_LEN	1234

struct attrs_bufs {
	size_t len;
	u8 *buf;
	u8 *want;
	u8 *data;
};

static bool attrs_alloc(struct pvt *t, struct attrs_bufs *b)
{
	b->len = pvt_len(ATTRS_LEN);
	b->buf = kmalloc(b->len, GFP_KERNEL);
	b->want = kmalloc(b->len, GFP_KERNEL);
	b->data = kmalloc(b->len, GFP_KERNEL);
	if (!pvt_expect(t, b->buf && b->want && b->data, "no memory"))
		return false;
	pvt_fill(b->buf, b->len, pvt_random(t));
	memcpy(b->want, b->buf, b->len);
	pvt_fill(b->data, b->len, pvt_random(t));
	return true;
}

static void attrs_free(struct attrs_bufs *b)
{
	kfree(b->buf);
	kfree(b->want);
	kfree(b->data);
}

/* Even so the map copies in, or a short write leaks what was there before */
static void attrs_skip_map(struct pvt *t)
{
	struct attrs_bufs b;
	dma_addr_t dma;

	if (!attrs_alloc(t, &b))
		goto out;
	dma = dma_map_single_attrs(t->dev, b.buf, b.len, DMA_FROM_DEVICE,
				   DMA_ATTR_SKIP_CPU_SYNC);
	if (!pvt_expect(t, !dma_mapping_error(t->dev, dma), "cannot map"))
		goto out;
	if (pvt_dev_write(t, t->edu, dma, b.data, 100))
		memcpy(b.want, b.data, 100);
	dma_unmap_single(t->dev, dma, b.len, DMA_FROM_DEVICE);
	pvt_same(t, b.buf, b.want, b.len, "memory after unmap");
out:
	attrs_free(&b);
}

static void attrs_skip_unmap(struct pvt *t)
{
	struct attrs_bufs b;
	dma_addr_t dma;

	if (!attrs_alloc(t, &b))
		goto out;
	dma = dma_map_single(t->dev, b.buf, b.len, DMA_BIDIRECTIONAL);
	if (!pvt_expect(t, !dma_mapping_error(t->dev, dma), "cannot map"))
		goto out;
	pvt_dev_write(t, t->edu, dma, b.data, b.len);
	if (pvt_direct(t))
		memcpy(b.want, b.data, b.len);
	dma_unmap_single_attrs(t->dev, dma, b.len, DMA_BIDIRECTIONAL,
			       DMA_ATTR_SKIP_CPU_SYNC);
	pvt_same(t, b.buf, b.want, b.len, "memory after unmap");
out:
	attrs_free(&b);
}

static void attrs_skip_sg(struct pvt *t)
{
	struct attrs_bufs b;
	struct scatterlist sg;
	int nents;

	if (!attrs_alloc(t, &b))
		goto out;
	sg_init_one(&sg, b.buf, b.len);
	nents = dma_map_sg_attrs(t->dev, &sg, 1, DMA_FROM_DEVICE,
				 DMA_ATTR_SKIP_CPU_SYNC);
	if (!pvt_expect(t, nents == 1, "cannot map"))
		goto out;
	if (pvt_dev_write_sg(t, t->edu, &sg, nents, b.data, 10))
		memcpy(b.want, b.data, 10);
	dma_sync_sg_for_cpu(t->dev, &sg, 1, DMA_FROM_DEVICE);
	pvt_same(t, b.buf, b.want, b.len, "memory after sync");
	pvt_dev_write_sg(t, t->edu, &sg, nents, b.data, b.len);
	if (pvt_direct(t))
		memcpy(b.want, b.data, b.len);
	dma_unmap_sg_attrs(t->dev, &sg, 1, DMA_FROM_DEVICE,
			   DMA_ATTR_SKIP_CPU_SYNC);
	pvt_same(t, b.buf, b.want, b.len, "memory after unmap");
out:
	attrs_free(&b);
}

/* Hints that change nothing here */
static void attrs_hints(struct pvt *t)
{
	static const unsigned long hints[] = {
		DMA_ATTR_WEAK_ORDERING, DMA_ATTR_WRITE_COMBINE,
		DMA_ATTR_FORCE_CONTIGUOUS, DMA_ATTR_ALLOC_SINGLE_PAGES,
		DMA_ATTR_PRIVILEGED, DMA_ATTR_NO_WARN,
	};
	struct attrs_bufs b;
	dma_addr_t dma;
	void *cpu;
	int i;

	for (i = 0; i < ARRAY_SIZE(hints); i++) {
		if (!attrs_alloc(t, &b))
			goto next;
		dma = dma_map_single_attrs(t->dev, b.buf, b.len,
					   DMA_BIDIRECTIONAL, hints[i]);
		if (pvt_expect(t, !dma_mapping_error(t->dev, dma),
			       "cannot map with %lx", hints[i])) {
			if (pvt_dev_write(t, t->edu, dma, b.data, b.len))
				memcpy(b.want, b.data, b.len);
			dma_unmap_single_attrs(t->dev, dma, b.len,
					       DMA_BIDIRECTIONAL, hints[i]);
			pvt_same(t, b.buf, b.want, b.len, "memory");
		}
		cpu = dma_alloc_attrs(t->dev, ATTRS_LEN, &dma, GFP_KERNEL,
				      hints[i]);
		if (pvt_expect(t, cpu, "cannot allocate with %lx", hints[i]))
			dma_free_attrs(t->dev, ATTRS_LEN, cpu, dma, hints[i]);
next:
		attrs_free(&b);
	}
}

/* Memory that the caller must not touch: only the device uses it */
static void attrs_no_kernel_mapping(struct pvt *t)
{
	struct attrs_bufs b;
	dma_addr_t dma;
	void *cookie;

	cookie = dma_alloc_attrs(t->dev, SZ_4K, &dma, GFP_KERNEL,
				 DMA_ATTR_NO_KERNEL_MAPPING);
	if (!pvt_expect(t, cookie, "cannot allocate"))
		return;
	if (attrs_alloc(t, &b) &&
	    pvt_dev_write(t, t->edu, dma, b.data, ATTRS_LEN) &&
	    pvt_dev_read(t, t->edu, dma, b.buf, ATTRS_LEN))
		pvt_same(t, b.buf, b.data, ATTRS_LEN, "device's memory");
	attrs_free(&b);
	dma_free_attrs(t->dev, SZ_4K, cookie, dma, DMA_ATTR_NO_KERNEL_MAPPING);
}

/* A bounce buffer is not coherent with the caller's memory */
static void attrs_require_coherent(struct pvt *t)
{
#ifdef DMA_ATTR_REQUIRE_COHERENT
	struct attrs_bufs b;
	dma_addr_t dma;

	if (!attrs_alloc(t, &b))
		goto out;
	dma = dma_map_single_attrs(t->dev, b.buf, b.len, DMA_BIDIRECTIONAL,
				   DMA_ATTR_REQUIRE_COHERENT);
	pvt_expect(t, !dma_mapping_error(t->dev, dma) == pvt_direct(t),
		   "it was mapped, or was not, at %pad", &dma);
	if (!dma_mapping_error(t->dev, dma))
		dma_unmap_single_attrs(t->dev, dma, b.len,
				       DMA_BIDIRECTIONAL,
				       DMA_ATTR_REQUIRE_COHERENT);
out:
	attrs_free(&b);
#else
	pvt_skip(t, "this kernel has no DMA_ATTR_REQUIRE_COHERENT");
#endif
}

static const struct pvt_case attrs_cases[] = {
	{ "skip_map", attrs_skip_map },
	{ "skip_unmap", attrs_skip_unmap },
	{ "skip_sg", attrs_skip_sg },
	{ "hints", attrs_hints },
	{ "no_kernel_mapping", attrs_no_kernel_mapping },
	{ "require_coherent", attrs_require_coherent },
};

PVT_GROUP(attrs);
