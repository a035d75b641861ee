// SPDX-License-Identifier: GPL-2.0
/* No room left: the right errors, nothing lost, all of it back afterwards */
#include <linux/kernel.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "pvt.h"

#define FULL_LEN	SZ_64K
#define FULL_MAX	32768		/* mappings: more than any window here holds */
#define FULL_PAGES	64

/**
 * struct full - mappings of one buffer
 * @dma: where
 * @n: how many
 * @buf: the buffer, FULL_LEN bytes
 * @len: how many of them each maps
 */
struct full {
	dma_addr_t *dma;
	size_t n;
	u8 *buf;
	size_t len;
};

static bool full_alloc(struct pvt *t, struct full *f)
{
	f->n = 0;
	f->len = FULL_LEN;
	f->dma = vmalloc(array_size(FULL_MAX, sizeof(*f->dma)));
	f->buf = kzalloc(FULL_LEN, GFP_KERNEL);
	return pvt_expect(t, f->dma && f->buf, "no memory");
}

static void full_empty(struct pvt *t, struct full *f)
{
	while (f->n--)
		dma_unmap_single(t->dev, f->dma[f->n], f->len, DMA_TO_DEVICE);
	f->n = 0;
}

static void full_free(struct full *f)
{
	vfree(f->dma);
	kfree(f->buf);
}

/* Map until there is no more room. False: it has no end here. */
static bool full_fill(struct pvt *t, struct full *f, unsigned long attrs)
{
	while (f->n < FULL_MAX) {
		f->dma[f->n] = dma_map_single_attrs(t->dev, f->buf, f->len,
						    DMA_TO_DEVICE, attrs);
		if (dma_mapping_error(t->dev, f->dma[f->n]))
			return pvt_expect(t, f->n, "not one mapping");
		f->n++;
	}
	pvt_skip(t, "this backend is not filled by %d mappings", FULL_MAX);
	return false;
}

/* Filled twice, it holds as much; emptied, it takes the largest again */
static void full_single(struct pvt *t)
{
	size_t max = min_t(size_t, dma_max_mapping_size(t->dev), SZ_4M), first;
	dma_addr_t dma;
	struct full f;
	u8 *large;

	if (!full_alloc(t, &f) || !full_fill(t, &f, DMA_ATTR_NO_WARN))
		goto out;
	first = f.n;
	full_empty(t, &f);
	if (!full_fill(t, &f, DMA_ATTR_NO_WARN))
		goto out;
	pvt_log("# full with %zu, then %zu mappings of %d bytes", first, f.n,
		FULL_LEN);
	/* what per-CPU caches hold back may differ by a little */
	pvt_expect(t, f.n + first / 16 + 2 >= first, "first %zu, then %zu",
		   first, f.n);
	full_empty(t, &f);
	large = kmalloc(max, GFP_KERNEL | __GFP_NOWARN);
	if (!large)
		goto out;
	dma = dma_map_single(t->dev, large, max, DMA_TO_DEVICE);
	if (pvt_expect(t, !dma_mapping_error(t->dev, dma),
		       "%zu bytes do not fit when all is free", max))
		dma_unmap_single(t->dev, dma, max, DMA_TO_DEVICE);
	kfree(large);
out:
	full_empty(t, &f);
	full_free(&f);
}

/* A list that does not fit is -ENOMEM, and mapped later */
static void full_sg(struct pvt *t)
{
	struct sg_table sgt = {};
	struct scatterlist *sg;
	struct full f;
	int i, ret;
	size_t n;

	if (!full_alloc(t, &f))
		goto out;
	/* not one page is to be free: a list may be mapped in pieces */
	f.len = PAGE_SIZE;
	if (!full_fill(t, &f, DMA_ATTR_NO_WARN))
		goto out;
	if (!pvt_expect(t, !sg_alloc_table(&sgt, FULL_PAGES, GFP_KERNEL),
			"no memory"))
		goto out;
	for_each_sgtable_sg(&sgt, sg, i)
		sg_set_buf(sg, f.buf + (i % 16) * SZ_4K, SZ_4K);
	ret = dma_map_sgtable(t->dev, &sgt, DMA_TO_DEVICE, DMA_ATTR_NO_WARN);
	/* swiotlb of Linux 6.1 says -EIO */
	pvt_expect(t, ret == -ENOMEM || (ret == -EIO && !pvt_on_pviommu()),
		   "a list in no room: %d", ret);
	if (!ret)
		dma_unmap_sgtable(t->dev, &sgt, DMA_TO_DEVICE, 0);
	pvt_expect(t, !dma_map_sg_attrs(t->dev, sgt.sgl, FULL_PAGES,
					DMA_TO_DEVICE, DMA_ATTR_NO_WARN),
		   "a list was mapped in no room");

	/* room for a part of it: that part is given back */
	n = f.n;
	for (i = 0; i < 8; i++)
		dma_unmap_single(t->dev, f.dma[--f.n], f.len, DMA_TO_DEVICE);
	pvt_expect(t, !dma_map_sg_attrs(t->dev, sgt.sgl, FULL_PAGES,
					DMA_TO_DEVICE, DMA_ATTR_NO_WARN),
		   "a list was mapped in too little room");
	if (full_fill(t, &f, DMA_ATTR_NO_WARN))
		pvt_expect(t, f.n >= n, "a list that failed has cost %zu pages",
			   n - f.n);

	full_empty(t, &f);
	ret = dma_map_sgtable(t->dev, &sgt, DMA_TO_DEVICE, 0);
	if (pvt_expect(t, !ret, "a list in much room: %d", ret))
		dma_unmap_sgtable(t->dev, &sgt, DMA_TO_DEVICE, 0);
out:
	sg_free_table(&sgt);
	full_empty(t, &f);
	full_free(&f);
}

/* Beside entries of no length there is one that cannot be had in two pieces */
static void full_empties(struct pvt *t)
{
	struct scatterlist sgl[2];
	struct full f;
	int i;

	if (!pvt_on_pviommu()) {
		pvt_skip(t, "other backends do not take entries of no length");
		return;
	}
	if (!full_alloc(t, &f))
		goto out;
	f.len = PAGE_SIZE;
	if (!full_fill(t, &f, DMA_ATTR_NO_WARN))
		goto out;
	for (i = 0; i < 2; i++) {
		sg_init_table(sgl, 2);
		sg_set_buf(&sgl[i], f.buf, SZ_4K);
		sg_set_buf(&sgl[!i], f.buf, 0);
		pvt_expect(t, !dma_map_sg_attrs(t->dev, sgl, 2, DMA_TO_DEVICE,
						DMA_ATTR_NO_WARN),
			   "entry %d was mapped in no room", i);
	}
out:
	full_empty(t, &f);
	full_free(&f);
}

/* Room in pieces: what fits is served; whole again, the largest is */
static void full_fragments(struct pvt *t)
{
	size_t i, n, got = 0;
	struct full f;

	if (!full_alloc(t, &f) || !full_fill(t, &f, DMA_ATTR_NO_WARN))
		goto out;
	n = f.n;
	for (i = 0; i < n; i += 2)
		dma_unmap_single(t->dev, f.dma[i], FULL_LEN, DMA_TO_DEVICE);
	for (i = 0; i < n; i += 2) {
		f.dma[i] = dma_map_single_attrs(t->dev, f.buf, FULL_LEN,
						DMA_TO_DEVICE,
						DMA_ATTR_NO_WARN);
		if (dma_mapping_error(t->dev, f.dma[i]))
			f.dma[i] = 0;
		else
			got++;
	}
	pvt_expect(t, got + n / 16 + 2 >= (n + 1) / 2,
		   "%zu mappings fit where %zu were", got, (n + 1) / 2);
	while (f.n--) {
		if (f.dma[f.n])
			dma_unmap_single(t->dev, f.dma[f.n], FULL_LEN,
					 DMA_TO_DEVICE);
	}
	f.n = 0;
	if (full_fill(t, &f, DMA_ATTR_NO_WARN))
		pvt_expect(t, f.n + n / 16 + 2 >= n, "then %zu of %zu", f.n, n);
out:
	full_empty(t, &f);
	full_free(&f);
}

/* A list for which no block is free, but pages are, no two of them together */
static void full_pieces(struct pvt *t)
{
	struct sg_table sgt = {};
	struct scatterlist *sg;
	size_t i, kept = 0;
	struct full f;
	int ret, n;

	if (!full_alloc(t, &f))
		goto out;
	f.len = PAGE_SIZE;
	if (!full_fill(t, &f, DMA_ATTR_NO_WARN))
		goto out;
	for (i = 0; i < f.n; i++) {
		if (f.dma[i] & PAGE_SIZE)
			f.dma[kept++] = f.dma[i];
		else
			dma_unmap_single(t->dev, f.dma[i], f.len, DMA_TO_DEVICE);
	}
	f.n = kept;
	if (!pvt_expect(t, !sg_alloc_table(&sgt, 8, GFP_KERNEL), "no memory"))
		goto out;
	for_each_sgtable_sg(&sgt, sg, n)
		sg_set_buf(sg, f.buf + n * SZ_4K, SZ_4K);
	ret = dma_map_sgtable(t->dev, &sgt, DMA_TO_DEVICE, DMA_ATTR_NO_WARN);
	if (pvt_expect(t, !ret, "a list with each second page free: %d", ret)) {
		pvt_expect(t, sgt.nents == 8, "%u segments of 8 pages", sgt.nents);
		pvt_sg_legal(t, t->dev, sgt.sgl, sgt.nents, 8 * SZ_4K);
		dma_unmap_sgtable(t->dev, &sgt, DMA_TO_DEVICE, 0);
	}
out:
	sg_free_table(&sgt);
	full_empty(t, &f);
	full_free(&f);
}

/* The shell test looks for the message that each of these gives, or does not */
static void full_message(struct pvt *t, unsigned long attrs)
{
	struct full f;

	if (full_alloc(t, &f))
		full_fill(t, &f, attrs);
	full_empty(t, &f);
	full_free(&f);
}

static void full_warns(struct pvt *t)
{
	full_message(t, 0);
}

static void full_no_warn(struct pvt *t)
{
	full_message(t, DMA_ATTR_NO_WARN);
}

/* Coherent memory runs out as well */
static void full_coherent(struct pvt *t)
{
	void *cpu, *first = NULL;
	size_t n = 0;
	dma_addr_t dma;

	if (!pvt_on_pviommu()) {
		pvt_skip(t, "would take the machine's memory");
		return;
	}
	/* a list through the memory itself: where it was before, and as what */
	while (n < FULL_MAX) {
		struct { void *next; dma_addr_t dma; } *item;

		cpu = dma_alloc_attrs(t->dev, FULL_LEN, &dma,
				      GFP_KERNEL | __GFP_NOWARN,
				      DMA_ATTR_NO_WARN);
		if (!cpu)
			break;
		item = cpu;
		item->next = first;
		item->dma = dma;
		first = cpu;
		n++;
	}
	pvt_log("# full with %zu coherent blocks of %d bytes", n, FULL_LEN);
	pvt_expect(t, n && n < FULL_MAX, "%zu blocks", n);
	while (first) {
		struct { void *next; dma_addr_t dma; } *item = first;

		first = item->next;
		dma_free_coherent(t->dev, FULL_LEN, item, item->dma);
	}
	cpu = dma_alloc_coherent(t->dev, FULL_LEN, &dma, GFP_KERNEL);
	if (pvt_expect(t, cpu, "nothing when all is free")) {
		pvt_zero(t, cpu, FULL_LEN, "memory used before");
		dma_free_coherent(t->dev, FULL_LEN, cpu, dma);
	}
}

static const struct pvt_case full_cases[] = {
	{ "single", full_single },
	{ "sg", full_sg },
	{ "empties", full_empties },
	{ "fragments", full_fragments },
	{ "pieces", full_pieces },
	{ "coherent", full_coherent },
	{ "no_warn", full_no_warn },
	{ "warns", full_warns },
};

PVT_GROUP(full);
