// SPDX-License-Identifier: GPL-2.0
/*
 * Memory that is mapped once, used both ways for as long as its owner lives, and never
 * synced: a display's buffers, as TTM has them, and a program's, as AF_XDP has them. The
 * script takes other memory away meanwhile.
 *
 * What each page is to hold is kept beside it, so that what was written long ago is looked
 * for as well, and a write that went astray is seen.
 */
#include <linux/gfp.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/scatterlist.h>
#include <linux/vmalloc.h>

#include "pvt.h"

#define ONCE_PAGES	256
#define ONCE_LEN	64
/* Of all that is mapped, pages that the device reads as a whole in the end */
#define ONCE_LAST	4

struct once {
	struct pvt_edu *edu;
	struct page *pages[ONCE_PAGES];
	dma_addr_t dma[ONCE_PAGES];
	u8 *want;
};

static struct once *once_take(struct pvt *t, struct pvt_edu *edu)
{
	struct once *o = vzalloc(sizeof(*o));
	unsigned int i;

	if (!o)
		return NULL;
	o->edu = edu;
	o->want = vmalloc(ONCE_PAGES * PAGE_SIZE);
	for (i = 0; o->want && i < ONCE_PAGES; i++) {
		o->pages[i] = alloc_page(GFP_KERNEL);
		if (!o->pages[i])
			break;
		pvt_fill(page_address(o->pages[i]), PAGE_SIZE, pvt_random(t));
		memcpy(o->want + i * PAGE_SIZE, page_address(o->pages[i]), PAGE_SIZE);
	}
	return o;
}

static void once_give(struct once *o)
{
	unsigned int i;

	if (!o)
		return;
	for (i = 0; i < ONCE_PAGES && o->pages[i]; i++)
		__free_page(o->pages[i]);
	vfree(o->want);
	vfree(o);
}

/* Does the device see what was left at page @i? */
static bool once_seen(struct pvt *t, struct once *o, unsigned int i, size_t off, size_t len)
{
	u8 *buf = kmalloc(len, GFP_KERNEL);
	bool ok;

	ok = pvt_expect(t, buf, "no memory") &&
	     pvt_dev_read(t, o->edu, o->dma[i] + off, buf, len) &&
	     pvt_same(t, buf, o->want + i * PAGE_SIZE + off, len, "what was there before");
	kfree(buf);
	return ok;
}

/* Both ways, here and there, and all of it in the end */
static void once_use(struct pvt *t, struct once *o)
{
	unsigned int round, i, off;
	u8 *at;

	for (round = 0; round < pvt_steps(); round++) {
		i = pvt_below(t, ONCE_PAGES);
		off = pvt_below(t, PAGE_SIZE - ONCE_LEN);
		at = page_address(o->pages[i]) + off;
		if (!once_seen(t, o, i, off, ONCE_LEN) ||
		    !pvt_direct_same(t, o->edu, o->dma[i] + off, at, ONCE_LEN))
			return;
		memcpy(o->want + i * PAGE_SIZE + off, at, ONCE_LEN);
	}
	for (i = 0; i < ONCE_PAGES; i++)
		pvt_same(t, page_address(o->pages[i]), o->want + i * PAGE_SIZE, PAGE_SIZE,
			 "all of a page");
	for (i = 0; i < ONCE_LAST; i++)
		once_seen(t, o, pvt_below(t, ONCE_PAGES), 0, PAGE_SIZE);
}

/* A list, mapped for a device whose driver is known not to sync */
static void once_display(struct pvt *t)
{
	u64 granted = pvt_direct_granted();
	struct scatterlist *sg;
	struct sg_table table;
	unsigned int i, n = 0;
	struct once *o;
	size_t off;

	if (!pvt_direct_start(t))
		return;
	o = once_take(t, t->edu);
	if (!pvt_expect(t, o && o->want && o->pages[ONCE_PAGES - 1], "no memory") ||
	    !pvt_expect(t, !sg_alloc_table_from_pages(&table, o->pages, ONCE_PAGES, 0,
						      ONCE_PAGES * PAGE_SIZE, GFP_KERNEL),
			"no memory"))
		goto out;
	if (!pvt_expect(t, !dma_map_sgtable(t->dev, &table, DMA_BIDIRECTIONAL, 0), "not mapped"))
		goto out_table;
	for_each_sgtable_dma_sg(&table, sg, i)
		for (off = 0; off < sg_dma_len(sg) && n < ONCE_PAGES; off += PAGE_SIZE)
			o->dma[n++] = sg_dma_address(sg) + off;
	pvt_expect(t, pvt_direct_granted() == granted + ONCE_PAGES, "%llu pages are granted",
		   pvt_direct_granted() - granted);
	if (pvt_expect(t, n == ONCE_PAGES, "%u pages are mapped", n))
		once_use(t, o);
	dma_unmap_sgtable(t->dev, &table, DMA_BIDIRECTIONAL, 0);
	pvt_expect(t, pvt_direct_granted() == granted, "pages are granted still");
out_table:
	sg_free_table(&table);
out:
	once_give(o);
}

/* Frames one by one, for a device of which nothing is known: they are for both directions */
static void once_frames(struct pvt *t)
{
	const unsigned long attrs = DMA_ATTR_SKIP_CPU_SYNC | DMA_ATTR_WEAK_ORDERING;
	u64 granted = pvt_direct_granted();
	struct device *dev;
	struct once *o;
	unsigned int n;

	if (!pvt_direct_start(t))
		return;
	dev = pvt_edu_dev(t->other);
	o = once_take(t, t->other);
	if (!pvt_expect(t, o && o->want && o->pages[ONCE_PAGES - 1], "no memory"))
		goto out;
	for (n = 0; n < ONCE_PAGES; n++) {
		o->dma[n] = dma_map_page_attrs(dev, o->pages[n], 0, PAGE_SIZE,
					       DMA_BIDIRECTIONAL, attrs);
		if (!pvt_expect(t, !dma_mapping_error(dev, o->dma[n]), "frame %u not mapped", n))
			break;
	}
	pvt_expect(t, pvt_direct_granted() == granted + n, "%llu pages are granted",
		   pvt_direct_granted() - granted);
	if (n == ONCE_PAGES)
		once_use(t, o);
	while (n--)
		dma_unmap_page_attrs(dev, o->dma[n], PAGE_SIZE, DMA_BIDIRECTIONAL, attrs);
	pvt_expect(t, pvt_direct_granted() == granted, "pages are granted still");
out:
	once_give(o);
}

static const struct pvt_case once_cases[] = {
	{ "display", once_display },
	{ "frames", once_frames },
};

PVT_GROUP(once);
