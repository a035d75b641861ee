// SPDX-License-Identifier: GPL-2.0
/*
 * Direct mappings with direct_cache=: the 2 MiB around a page are granted with it, and
 * stay so after the unmap, as long as there is room and they are used. There is to be room
 * for CACHED_ROOM of them.
 */
#include <linux/delay.h>
#include <linux/gfp.h>
#include <linux/kernel.h>
#include <linux/mm.h>

#include "pvt.h"

#define CACHED_ORDER	9
#define CACHED_PAGES	512
#define CACHED_ROOM	4
#define CACHED_BLOCKS	(CACHED_ROOM + 2)
#define CACHED_ROUNDS	1000

/* From this size on all mappings are direct */
#define CACHED_MIN	SZ_64K

/* Longer than a jiffy, so that it can be told what was used last */
#define CACHED_LATER	30

/* Seconds after which what is not used is gone, at the latest */
#define CACHED_IDLE	60

/* Blocks of 2 MiB, and mappings of pages in them */
struct cached {
	struct pvt *t;
	u8 *mem[CACHED_BLOCKS];
};

static bool cached_gone(u64 left)
{
	unsigned int i;

	for (i = 0; i < CACHED_IDLE && pvt_direct_granted() > left; i++)
		msleep(1000);
	return pvt_direct_granted() == left;
}

/* Of the cases before, what is kept goes when it was not used for a while */
static bool cached_begin(struct cached *c, struct pvt *t)
{
	unsigned int i;

	memset(c, 0, sizeof(*c));
	c->t = t;
	if (!pvt_direct_start(t))
		return false;
	for (i = 0; i < CACHED_BLOCKS; i++) {
		c->mem[i] = (void *)__get_free_pages(GFP_KERNEL, CACHED_ORDER);
		if (!pvt_expect(t, c->mem[i], "no memory"))
			return false;
	}
	return pvt_expect(t, cached_gone(0), "%llu pages are granted still",
			  pvt_direct_granted());
}

static void cached_end(struct cached *c)
{
	unsigned int i;

	for (i = 0; i < CACHED_BLOCKS; i++)
		free_pages((unsigned long)c->mem[i], CACHED_ORDER);
}

/* A page of a block, somewhere in it */
static void *cached_page(struct cached *c, unsigned int block)
{
	return c->mem[block] + (37 + block) * PAGE_SIZE;
}

static dma_addr_t cached_dma(void *mem)
{
	return pvt_host_direct_dma() + virt_to_phys(mem);
}

static dma_addr_t cached_map_dir(struct cached *c, unsigned int block,
				 enum dma_data_direction dir)
{
	void *mem = cached_page(c, block);
	dma_addr_t dma = dma_map_single(c->t->dev, mem, PAGE_SIZE, dir);

	pvt_expect(c->t, !dma_mapping_error(c->t->dev, dma) && dma == cached_dma(mem),
		   "block %u is mapped at %pad", block, &dma);
	return dma;
}

static void cached_map(struct cached *c, unsigned int block)
{
	cached_map_dir(c, block, DMA_BIDIRECTIONAL);
}

static void cached_unmap(struct cached *c, unsigned int block)
{
	dma_unmap_single(c->t->dev, cached_dma(cached_page(c, block)), PAGE_SIZE,
			 DMA_BIDIRECTIONAL);
}

/* Mapped and unmapped: used now */
static void cached_use(struct cached *c, unsigned int block)
{
	cached_map(c, block);
	cached_unmap(c, block);
	msleep(CACHED_LATER);
}

/* Does the device reach the block's first page, and its last? */
static void cached_there(struct cached *c, unsigned int block, bool there)
{
	u8 *mem[] = { c->mem[block], c->mem[block] + (CACHED_PAGES - 1) * PAGE_SIZE };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(mem); i++) {
		if (there)
			pvt_direct_same(c->t, c->t->edu, cached_dma(mem[i]), mem[i], 64);
		else
			pvt_direct_refused(c->t, c->t->edu, cached_dma(mem[i]), mem[i]);
	}
}

/* What is around a page is reached with it, by its domain alone, and afterwards */
static void cached_around(struct pvt *t)
{
	struct cached c;
	void *mem;

	if (!cached_begin(&c, t))
		goto out;
	mem = cached_page(&c, 0);
	cached_map(&c, 0);
	pvt_expect(t, pvt_direct_granted() == CACHED_PAGES, "%llu pages are granted",
		   pvt_direct_granted());
	pvt_direct_same(t, t->edu, cached_dma(mem), mem, PAGE_SIZE);
	cached_there(&c, 0, true);
	cached_there(&c, 1, false);
	pvt_direct_stranger(t, cached_dma(mem), mem);
	cached_unmap(&c, 0);
	pvt_expect(t, pvt_direct_granted() == CACHED_PAGES, "%llu pages are granted then",
		   pvt_direct_granted());
	cached_there(&c, 0, true);

	/* for reading first, and for both meanwhile */
	cached_map_dir(&c, 1, DMA_TO_DEVICE);
	cached_map(&c, 1);
	cached_unmap(&c, 1);
	dma_unmap_single(t->dev, cached_dma(cached_page(&c, 1)), PAGE_SIZE, DMA_TO_DEVICE);
out:
	cached_end(&c);
}

/* So often that somebody may count the requests */
static void cached_again(struct pvt *t)
{
	struct cached c;
	unsigned int i;

	if (cached_begin(&c, t)) {
		for (i = 0; i < CACHED_ROUNDS; i++) {
			cached_map(&c, i % CACHED_ROOM);
			cached_unmap(&c, i % CACHED_ROOM);
		}
		pvt_expect(t, pvt_direct_granted() == CACHED_ROOM * CACHED_PAGES,
			   "%llu pages are granted", pvt_direct_granted());
	}
	cached_end(&c);
}

/* When there is no more room, what was used least recently goes */
static void cached_oldest(struct pvt *t)
{
	struct cached c;
	unsigned int i;

	if (!cached_begin(&c, t))
		goto out;
	for (i = 0; i < CACHED_ROOM; i++)
		cached_use(&c, i);
	cached_use(&c, 0);
	cached_use(&c, CACHED_ROOM);
	pvt_expect(t, pvt_direct_granted() == CACHED_ROOM * CACHED_PAGES,
		   "%llu pages are granted", pvt_direct_granted());
	for (i = 0; i <= CACHED_ROOM; i++)
		cached_there(&c, i, i != 1);
	/* what is mapped does not, however old it is */
	cached_map(&c, 2);
	for (i = 0; i < CACHED_BLOCKS; i++) {
		if (i != 2)
			cached_use(&c, i);
	}
	cached_there(&c, 2, true);
	cached_there(&c, 0, false);
	cached_unmap(&c, 2);
out:
	cached_end(&c);
}

/* Where all is in use, just the pages that are mapped are granted; lists of both kinds */
static void cached_full(struct pvt *t)
{
	struct scatterlist sg[4];
	struct cached c;
	unsigned int i;
	int n;

	if (!cached_begin(&c, t))
		goto out;
	for (i = 0; i < CACHED_ROOM; i++)
		cached_map(&c, i);
	cached_map(&c, CACHED_ROOM);
	pvt_expect(t, pvt_direct_granted() == CACHED_ROOM * CACHED_PAGES + 1,
		   "%llu pages are granted", pvt_direct_granted());
	cached_there(&c, CACHED_ROOM, false);

	sg_init_table(sg, ARRAY_SIZE(sg));
	sg_set_buf(&sg[0], c.mem[0], PAGE_SIZE);
	sg_set_buf(&sg[1], c.mem[CACHED_ROOM], 2 * PAGE_SIZE);
	sg_set_buf(&sg[2], c.mem[1], PAGE_SIZE);
	sg_set_buf(&sg[3], cached_page(&c, CACHED_ROOM), PAGE_SIZE);
	n = dma_map_sg(t->dev, sg, ARRAY_SIZE(sg), DMA_FROM_DEVICE);
	pvt_expect(t, n == ARRAY_SIZE(sg), "%d segments", n);
	pvt_expect(t, pvt_direct_granted() == CACHED_ROOM * CACHED_PAGES + 3,
		   "%llu pages are granted with the list", pvt_direct_granted());
	/* each by itself: the list's are mapped still */
	cached_unmap(&c, 0);
	cached_unmap(&c, CACHED_ROOM);
	pvt_direct_same(t, t->edu, cached_dma(cached_page(&c, CACHED_ROOM)),
			cached_page(&c, CACHED_ROOM), 64);
	/* there would be room now but for the list */
	cached_map(&c, CACHED_ROOM + 1);
	cached_there(&c, CACHED_ROOM + 1, false);
	cached_unmap(&c, CACHED_ROOM + 1);
	dma_unmap_sg(t->dev, sg, ARRAY_SIZE(sg), DMA_FROM_DEVICE);
	pvt_expect(t, pvt_direct_granted() == CACHED_ROOM * CACHED_PAGES,
		   "%llu pages are granted at the end", pvt_direct_granted());
	cached_there(&c, CACHED_ROOM, false);
	cached_use(&c, CACHED_ROOM);
	cached_there(&c, CACHED_ROOM, true);
	cached_there(&c, 0, false);
	for (i = 1; i < CACHED_ROOM; i++)
		cached_unmap(&c, i);
out:
	cached_end(&c);
}

/* What is not used goes, and what is mapped stays */
static void cached_idle(struct pvt *t)
{
	struct cached c;

	if (!cached_begin(&c, t))
		goto out;
	cached_use(&c, 0);
	cached_map(&c, 1);
	pvt_expect(t, cached_gone(CACHED_PAGES), "%llu pages are granted", pvt_direct_granted());
	msleep(1000 * CACHED_IDLE);
	cached_there(&c, 0, false);
	cached_there(&c, 1, true);
	cached_unmap(&c, 1);
	pvt_expect(t, cached_gone(0), "%llu pages are granted at the end", pvt_direct_granted());
	cached_there(&c, 1, false);
out:
	cached_end(&c);
}

/*
 * The host grants 4 MiB and no more: see who runs it. What is kept makes room, also for
 * another device, and for what cannot be kept.
 */
static void cached_limit(struct pvt *t)
{
	struct device *other = pvt_edu_dev(t->other);
	struct cached c;
	dma_addr_t dma;

	if (!cached_begin(&c, t))
		goto out;
	pvt_expect(t, pvt_host_direct_limit() == 2 * PAGE_SIZE << CACHED_ORDER,
		   "the limit is %llu", pvt_host_direct_limit());
	cached_use(&c, 0);
	cached_use(&c, 1);
	cached_use(&c, 2);
	cached_there(&c, 0, false);
	cached_there(&c, 1, true);

	dma = dma_map_single(other, cached_page(&c, 3), PAGE_SIZE, DMA_BIDIRECTIONAL);
	pvt_expect(t, !dma_mapping_error(other, dma) && dma == cached_dma(cached_page(&c, 3)),
		   "the other's is at %pad", &dma);
	cached_there(&c, 1, false);
	cached_there(&c, 2, true);
	/* half of it is the other's; so this has to give up what it keeps */
	cached_map(&c, 4);
	cached_there(&c, 4, true);
	cached_there(&c, 2, false);
	dma_unmap_single(other, dma, PAGE_SIZE, DMA_BIDIRECTIONAL);
	cached_map(&c, 5);
	cached_there(&c, 5, true);
	/* and now nobody keeps anything that is not mapped */
	dma = dma_map_page_attrs(t->dev, virt_to_page(cached_page(&c, 0)), 0, PAGE_SIZE,
				 DMA_BIDIRECTIONAL, DMA_ATTR_NO_WARN);
	pvt_expect(t, dma_mapping_error(t->dev, dma), "mapped beyond the limit");
	cached_unmap(&c, 5);
	cached_map(&c, 0);
	cached_there(&c, 0, true);
	cached_unmap(&c, 0);
	cached_unmap(&c, 4);
out:
	cached_end(&c);
}

/* Is a buffer of the other device's at its own place, in that direction? */
static bool cached_is_direct(struct pvt *t, void *mem, size_t len,
			     enum dma_data_direction dir)
{
	struct device *other = pvt_edu_dev(t->other);
	dma_addr_t dma = dma_map_single(other, mem, len, dir);
	bool direct = dma == cached_dma(mem);

	if (!pvt_expect(t, !dma_mapping_error(other, dma), "not mapped"))
		return false;
	if (direct)
		pvt_direct_same(t, t->other, dma + len - 64, mem + len - 64, 64);
	dma_unmap_single(other, dma, len, dir);
	return direct;
}

/* Of a device that is not direct, what is large is, where there is room */
static void cached_large(struct pvt *t)
{
	struct device *other = pvt_edu_dev(t->other);
	struct scatterlist sg[2];
	struct cached c;
	unsigned int i;
	int n;

	if (!cached_begin(&c, t))
		goto out;
	pvt_expect(t, !cached_is_direct(t, c.mem[0], CACHED_MIN - PAGE_SIZE, DMA_TO_DEVICE),
		   "what is small is direct");
	pvt_expect(t, !pvt_direct_granted(), "%llu pages are granted", pvt_direct_granted());
	pvt_expect(t, cached_is_direct(t, c.mem[0], CACHED_MIN, DMA_TO_DEVICE),
		   "what is large is not direct");
	pvt_expect(t, cached_is_direct(t, c.mem[0], CACHED_MIN, DMA_FROM_DEVICE),
		   "what is large is not direct from the device");
	/* not whole pages */
	pvt_expect(t, !cached_is_direct(t, c.mem[0] + 512, CACHED_MIN, DMA_FROM_DEVICE),
		   "parts of pages are direct");
	pvt_expect(t, pvt_direct_granted() == CACHED_PAGES, "%llu pages are granted",
		   pvt_direct_granted());

	/* together they are */
	sg_init_table(sg, ARRAY_SIZE(sg));
	sg_set_buf(&sg[0], c.mem[1], CACHED_MIN - PAGE_SIZE);
	sg_set_buf(&sg[1], c.mem[0], PAGE_SIZE);
	n = dma_map_sg(other, sg, ARRAY_SIZE(sg), DMA_TO_DEVICE);
	if (pvt_expect(t, n == ARRAY_SIZE(sg), "%d segments", n)) {
		pvt_expect(t, sg_dma_address(&sg[1]) == cached_dma(c.mem[0]),
			   "a list that is large is not direct");
		dma_unmap_sg(other, sg, ARRAY_SIZE(sg), DMA_TO_DEVICE);
	}

	/* and without room they bounce, and cost nothing */
	for (i = 0; i < CACHED_ROOM; i++)
		cached_map(&c, i);
	pvt_expect(t, !cached_is_direct(t, c.mem[CACHED_ROOM], CACHED_MIN, DMA_TO_DEVICE),
		   "there is more room than there is");
	pvt_expect(t, pvt_direct_granted() == CACHED_ROOM * CACHED_PAGES,
		   "%llu pages are granted", pvt_direct_granted());
	for (i = 0; i < CACHED_ROOM; i++)
		cached_unmap(&c, i);
out:
	cached_end(&c);
}

/* The first device keeps, and another does not: see who runs it */
static void cached_alone(struct pvt *t)
{
	struct device *other = pvt_edu_dev(t->other);
	struct cached c;
	dma_addr_t dma;

	if (!cached_begin(&c, t))
		goto out;
	cached_use(&c, 0);
	cached_there(&c, 0, true);
	dma = dma_map_single(other, cached_page(&c, 1), PAGE_SIZE, DMA_BIDIRECTIONAL);
	pvt_expect(t, !dma_mapping_error(other, dma) && dma == cached_dma(cached_page(&c, 1)),
		   "the other's is at %pad", &dma);
	pvt_expect(t, pvt_direct_granted() == CACHED_PAGES + 1, "%llu pages are granted",
		   pvt_direct_granted());
	pvt_direct_same(t, t->other, dma, cached_page(&c, 1), 64);
	pvt_direct_refused(t, t->other, cached_dma(c.mem[1]), c.mem[1]);
	dma_unmap_single(other, dma, PAGE_SIZE, DMA_BIDIRECTIONAL);
	pvt_expect(t, pvt_direct_granted() == CACHED_PAGES, "%llu pages are granted then",
		   pvt_direct_granted());
	cached_there(&c, 0, true);
out:
	cached_end(&c);
}

static const struct pvt_case cached_cases[] = {
	{ "around", cached_around },
	{ "again", cached_again },
	{ "oldest", cached_oldest },
	{ "full", cached_full },
	{ "idle", cached_idle },
	{ "large", cached_large },
	{ "limit", cached_limit },
	{ "alone", cached_alone },
};

PVT_GROUP(cached);
