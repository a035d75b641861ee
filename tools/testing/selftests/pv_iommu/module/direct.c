// SPDX-License-Identifier: GPL-2.0
/*
 * Direct mappings: the caller's own pages. What the host says is granted is what is
 * mapped, page by page, and nothing is ever synced here.
 *
 * The first device is one whose driver never syncs, the second any other one.
 */
#include <linux/delay.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "pvt.h"

#define DIRECT_ROUNDS	3
#define DIRECT_PAGES	8
/* More pieces than a request has room for */
#define DIRECT_PIECES	150

/* To use up what the host grants, which is a multiple of such a block */
#define DIRECT_ORDER	8
#define DIRECT_BLOCKS	32

/* Longer than a revoke may wait for company */
#define DIRECT_LATER	50

/* From the start of a DMA of edu on, in ms: it takes 100 */
#define DIRECT_STEP	25
#define DIRECT_STEPS	9
#define DIRECT_BYTES	64

/* A host that grants guest RAM, and two devices? */
bool pvt_direct_start(struct pvt *t)
{
	if (!pvt_host_present() || !pvt_host_direct_limit()) {
		pvt_skip(t, "needs a host that grants guest RAM");
		return false;
	}
	return pvt_expect(t, t->other, "there is no second device");
}

/* In pages, to all devices */
u64 pvt_direct_granted(void)
{
	return pvt_host_direct_granted() >> PAGE_SHIFT;
}

/* Is what the device sees at @dma the memory at @mem, both ways, without any sync? */
bool pvt_direct_same(struct pvt *t, struct pvt_edu *edu, dma_addr_t dma, void *mem,
		     size_t len)
{
	u8 *buf = kmalloc(len, GFP_KERNEL), *want = kmalloc(len, GFP_KERNEL);
	bool ok = pvt_expect(t, buf && want, "no memory");

	if (ok) {
		pvt_fill(mem, len, pvt_random(t));
		ok = pvt_dev_read(t, edu, dma, buf, len) &&
		     pvt_same(t, buf, mem, len, "seen by the device");
	}
	if (ok) {
		pvt_fill(want, len, pvt_random(t));
		ok = pvt_dev_write(t, edu, dma, want, len) &&
		     pvt_same(t, mem, want, len, "seen by the CPU");
	}
	kfree(want);
	kfree(buf);
	return ok;
}

/* Does the device reach nothing at @dma, neither way? @mem is what might be there */
void pvt_direct_refused(struct pvt *t, struct pvt_edu *edu, dma_addr_t dma, void *mem)
{
	struct device *dev = pvt_edu_dev(edu);
	u64 faults = pvt_host_faults();
	u8 want[64];

	pvt_fill(mem, sizeof(want), 1);
	memcpy(want, mem, sizeof(want));
	pvt_edu_load(edu, dma, 0, sizeof(want));
	pvt_expect(t, pvt_host_faults() == faults + 1 && pvt_host_fault_is(dev, false),
		   "a read at %pad was not refused", &dma);
	pvt_edu_store(edu, dma, 0, sizeof(want));
	pvt_expect(t, pvt_host_faults() == faults + 2 && pvt_host_fault_is(dev, true),
		   "a write at %pad was not refused", &dma);
	pvt_same(t, mem, want, sizeof(want), "what was refused");
}

/* Another device has nothing of it, or the same, where they share a domain */
void pvt_direct_stranger(struct pvt *t, dma_addr_t dma, void *mem)
{
	if (pvt_shared())
		pvt_direct_same(t, t->other, dma, mem, 64);
	else
		pvt_direct_refused(t, t->other, dma, mem);
}

/* Mapped once, and used both ways */
static void direct_nosync(struct pvt *t)
{
	void *mem = (void *)__get_free_pages(GFP_KERNEL, 1);
	u64 granted = pvt_direct_granted();
	dma_addr_t dma;
	int i;

	if (!pvt_direct_start(t) || !mem)
		goto out;
	dma = dma_map_single(t->dev, mem, 2 * PAGE_SIZE, DMA_BIDIRECTIONAL);
	if (!pvt_expect(t, !dma_mapping_error(t->dev, dma), "not mapped"))
		goto out;
	pvt_expect(t, dma == pvt_host_direct_dma() + virt_to_phys(mem),
		   "mapped at %pad, not at its own place", &dma);
	pvt_expect(t, pvt_direct_granted() == granted + 2, "%llu pages are granted, not 2",
		   pvt_direct_granted() - granted);
	for (i = 0; i < DIRECT_ROUNDS; i++) {
		pvt_direct_same(t, t->edu, dma + PAGE_SIZE - 100, mem + PAGE_SIZE - 100, 200);
		/* syncs are allowed, and do nothing */
		dma_sync_single_for_cpu(t->dev, dma, 2 * PAGE_SIZE, DMA_BIDIRECTIONAL);
		dma_sync_single_for_device(t->dev, dma, 2 * PAGE_SIZE, DMA_BIDIRECTIONAL);
	}
	dma_unmap_single(t->dev, dma, 2 * PAGE_SIZE, DMA_BIDIRECTIONAL);
	/* not a moment later */
	pvt_expect(t, pvt_direct_granted() == granted, "unmapped pages are granted still");
	pvt_direct_refused(t, t->edu, dma, mem);
out:
	free_pages((unsigned long)mem, 1);
}

/* Two mappings of one page, and of its neighbours, undone in both orders */
static void direct_shared(struct pvt *t)
{
	void *mem = (void *)__get_free_pages(GFP_KERNEL, 2);
	u64 granted = pvt_direct_granted();
	dma_addr_t dma[2];
	int order;

	if (!pvt_direct_start(t) || !mem)
		goto out;
	for (order = 0; order < 2; order++) {
		/* pages 0 and 1, 1 and 2 */
		dma[0] = dma_map_single(t->dev, mem, 2 * PAGE_SIZE, DMA_BIDIRECTIONAL);
		dma[1] = dma_map_single(t->dev, mem + PAGE_SIZE, 2 * PAGE_SIZE,
					DMA_FROM_DEVICE);
		if (!pvt_expect(t, !dma_mapping_error(t->dev, dma[0]) &&
				!dma_mapping_error(t->dev, dma[1]), "not mapped"))
			goto out;
		pvt_expect(t, pvt_direct_granted() == granted + 3, "%llu pages, not 3",
			   pvt_direct_granted() - granted);
		pvt_direct_same(t, t->edu, dma[1], mem + PAGE_SIZE, 64);
		dma_unmap_single(t->dev, dma[order], 2 * PAGE_SIZE,
				 order ? DMA_FROM_DEVICE : DMA_BIDIRECTIONAL);
		pvt_expect(t, pvt_direct_granted() == granted + 2, "%llu pages, not 2",
			   pvt_direct_granted() - granted);
		pvt_direct_same(t, t->edu, dma[1], mem + PAGE_SIZE, 64);
		pvt_direct_refused(t, t->edu, order ? dma[1] + PAGE_SIZE : dma[0],
				   order ? mem + 2 * PAGE_SIZE : mem);
		dma_unmap_single(t->dev, dma[!order], 2 * PAGE_SIZE,
				 order ? DMA_BIDIRECTIONAL : DMA_FROM_DEVICE);
		pvt_expect(t, pvt_direct_granted() == granted, "pages are granted still");
		pvt_direct_refused(t, t->edu, dma[1], mem + PAGE_SIZE);
	}
out:
	free_pages((unsigned long)mem, 2);
}

/* The pages beside a mapping, and the rest of a page that is mapped in part */
static void direct_neighbours(struct pvt *t)
{
	u8 *mem = (void *)__get_free_pages(GFP_KERNEL | __GFP_ZERO, 2), *buf;
	u64 granted = pvt_direct_granted();
	dma_addr_t dma;

	buf = kmalloc(PAGE_SIZE, GFP_KERNEL);
	if (!pvt_direct_start(t) || !mem || !buf)
		goto out;
	dma = dma_map_single(t->dev, mem + PAGE_SIZE, PAGE_SIZE, DMA_BIDIRECTIONAL);
	if (!pvt_expect(t, !dma_mapping_error(t->dev, dma), "not mapped"))
		goto out;
	pvt_direct_refused(t, t->edu, dma - PAGE_SIZE, mem);
	pvt_direct_refused(t, t->edu, dma + PAGE_SIZE, mem + 2 * PAGE_SIZE);
	pvt_direct_stranger(t, dma, mem + PAGE_SIZE);
	dma_unmap_single(t->dev, dma, PAGE_SIZE, DMA_BIDIRECTIONAL);

	/* a part of a page bounces, and shows nothing of the rest */
	memset(mem, 0x5a, PAGE_SIZE);
	dma = dma_map_single(t->dev, mem + 512, 1024, DMA_BIDIRECTIONAL);
	if (!pvt_expect(t, !dma_mapping_error(t->dev, dma), "not mapped"))
		goto out;
	pvt_expect(t, pvt_direct_granted() == granted, "a page that is mapped in part is granted");
	if (pvt_dev_read(t, t->edu, dma & PAGE_MASK, buf, PAGE_SIZE)) {
		size_t off = offset_in_page(dma);

		pvt_zero(t, buf, off, "before it");
		pvt_zero(t, buf + off + 1024, PAGE_SIZE - off - 1024, "behind it");
		pvt_same(t, buf + off, mem + 512, 1024, "the data");
	}
	dma_unmap_single(t->dev, dma, 1024, DMA_BIDIRECTIONAL);
out:
	kfree(buf);
	free_pages((unsigned long)mem, 2);
}

/* For reading only: a write is refused, and so is a mapping that wants to */
static void direct_readonly(struct pvt *t)
{
	u8 *mem = (void *)__get_free_page(GFP_KERNEL), want[64];
	u64 granted = pvt_direct_granted(), faults;
	dma_addr_t dma, more;
	int i;

	if (!pvt_direct_start(t) || !mem)
		goto out;
	pvt_fill(mem, PAGE_SIZE, 3);
	memcpy(want, mem, sizeof(want));
	dma = dma_map_single(t->dev, mem, PAGE_SIZE, DMA_TO_DEVICE);
	if (!pvt_expect(t, !dma_mapping_error(t->dev, dma), "not mapped"))
		goto out;
	faults = pvt_host_faults();
	pvt_edu_load(t->edu, dma, 0, sizeof(want));
	pvt_expect(t, pvt_host_faults() == faults, "a read was refused");
	pvt_edu_store(t->edu, dma, 0, sizeof(want));
	pvt_expect(t, pvt_host_faults() == faults + 1, "a write was not refused");
	pvt_same(t, mem, want, sizeof(want), "what is only read");

	more = dma_map_page_attrs(t->dev, virt_to_page(mem), 0, PAGE_SIZE,
				  DMA_BIDIRECTIONAL, DMA_ATTR_NO_WARN);
	pvt_expect(t, dma_mapping_error(t->dev, more), "mapped for more than it is granted");
	dma_unmap_single(t->dev, dma, PAGE_SIZE, DMA_TO_DEVICE);

	/* its revoke may be on its way, and the page is mapped again, for both */
	for (i = 0; i < DIRECT_ROUNDS; i++) {
		dma = dma_map_single(t->dev, mem, PAGE_SIZE, DMA_TO_DEVICE);
		pvt_expect(t, !dma_mapping_error(t->dev, dma), "not mapped again");
		dma_unmap_single(t->dev, dma, PAGE_SIZE, DMA_TO_DEVICE);
		dma = dma_map_single(t->dev, mem, PAGE_SIZE, DMA_BIDIRECTIONAL);
		if (!pvt_expect(t, !dma_mapping_error(t->dev, dma), "not mapped for both"))
			goto out;
		pvt_direct_same(t, t->edu, dma, mem, 64);
		dma_unmap_single(t->dev, dma, PAGE_SIZE, DMA_BIDIRECTIONAL);
		pvt_direct_refused(t, t->edu, dma, mem);
	}
	dma = dma_map_single(t->dev, mem, PAGE_SIZE, DMA_TO_DEVICE);
	if (!pvt_expect(t, !dma_mapping_error(t->dev, dma), "not mapped in the end"))
		goto out;
	dma_unmap_single(t->dev, dma, PAGE_SIZE, DMA_TO_DEVICE);
	msleep(DIRECT_LATER);
	pvt_expect(t, pvt_direct_granted() == granted, "granted long after the unmap");
	pvt_direct_refused(t, t->edu, dma, mem);
out:
	free_page((unsigned long)mem);
}

/*
 * The device was told to read or write a page, and it is unmapped meanwhile. What the page
 * has when the unmap returns is what it keeps, and what comes there then is not seen.
 * Returns whether the DMA came too late.
 */
static bool direct_race(struct pvt *t, u8 *mem, unsigned int delay, bool write)
{
	dma_addr_t scratch = pvt_edu_scratch(t->edu), dma;
	u8 *seen = pvt_host_memory(scratch, DIRECT_BYTES);
	u64 granted = pvt_direct_granted(), faults;
	u8 want[DIRECT_BYTES];
	bool late;

	if (!pvt_expect(t, seen, "what the device has read cannot be seen"))
		return false;
	dma = dma_map_single(t->dev, mem, PAGE_SIZE, DMA_BIDIRECTIONAL);
	if (!pvt_expect(t, !dma_mapping_error(t->dev, dma), "not mapped"))
		return false;
	/* What is in the device's buffer is to differ from what it may read or write over */
	pvt_fill(seen, DIRECT_BYTES, pvt_random(t));
	pvt_edu_load(t->edu, scratch, 0, DIRECT_BYTES);
	pvt_fill(mem, DIRECT_BYTES, pvt_random(t));

	faults = pvt_host_faults();
	pvt_edu_begin(t->edu, dma, DIRECT_BYTES, write);
	msleep(delay);
	dma_unmap_single(t->dev, dma, PAGE_SIZE, DMA_BIDIRECTIONAL);
	if (!write)
		pvt_fill(mem, DIRECT_BYTES, pvt_random(t));
	memcpy(want, mem, DIRECT_BYTES);
	pvt_expect(t, pvt_direct_granted() == granted, "unmapped, and granted still");
	pvt_expect(t, !pvt_edu_end(t->edu), "the DMA does not end");

	late = pvt_host_faults() != faults;
	if (late)
		pvt_expect(t, pvt_host_fault_is(t->dev, write), "something else was refused");
	if (write) {
		pvt_same(t, mem, want, DIRECT_BYTES, "what was there at the unmap");
		pvt_expect(t, late == !!memcmp(seen, mem, DIRECT_BYTES),
			   "refused: %d, and yet it is the contrary that is there", late);
	} else {
		pvt_edu_store(t->edu, scratch, 0, DIRECT_BYTES);
		pvt_expect(t, memcmp(seen, mem, DIRECT_BYTES),
			   "the device has what came there after the unmap");
	}
	return late;
}

static void direct_revoked(struct pvt *t)
{
	u8 *mem = (void *)__get_free_page(GFP_KERNEL);
	unsigned int i, late;
	int write;

	if (!pvt_direct_start(t) || !mem)
		goto out;
	for (write = 0; write < 2; write++) {
		for (i = late = 0; i < DIRECT_STEPS; i++)
			late += direct_race(t, mem, i * DIRECT_STEP, write);
		pvt_log("# %u of %u %s came too late", late, DIRECT_STEPS,
			write ? "writes" : "reads");
		/* It is seen only if there were both */
		pvt_expect(t, late && late < DIRECT_STEPS, "%u came too late", late);
	}
out:
	free_page((unsigned long)mem);
}

/* A list of every other page, which cannot be merged, and then of neighbours */
static void direct_list(struct pvt *t, unsigned int nents, unsigned int stride)
{
	unsigned int order = get_order(nents * stride * PAGE_SIZE), i;
	u8 *mem = (void *)__get_free_pages(GFP_KERNEL, order);
	u64 granted = pvt_direct_granted();
	struct scatterlist *sg;
	struct sg_table table;
	size_t total = 0;
	int n;

	if (!pvt_expect(t, mem && !sg_alloc_table(&table, nents, GFP_KERNEL), "no memory"))
		goto out;
	for_each_sg(table.sgl, sg, nents, i)
		sg_set_buf(sg, mem + i * stride * PAGE_SIZE, PAGE_SIZE);

	n = dma_map_sg(t->dev, table.sgl, nents, DMA_FROM_DEVICE);
	if (!pvt_expect(t, n > 0, "not mapped: %d", n))
		goto out_table;
	pvt_expect(t, pvt_direct_granted() == granted + nents, "%llu pages, not %u",
		   pvt_direct_granted() - granted, nents);
	pvt_expect(t, stride > 1 ? n == nents : n == DIV_ROUND_UP(nents, SZ_64K >> PAGE_SHIFT),
		   "%u entries became %d segments", nents, n);
	for_each_sg(table.sgl, sg, n, i)
		total += sg_dma_len(sg);
	pvt_expect(t, total == nents * PAGE_SIZE, "segments of %zu bytes", total);
	for (i = 0; i < nents; i += nents - 1)
		pvt_direct_same(t, t->edu, pvt_host_direct_dma() +
			    virt_to_phys(mem + i * stride * PAGE_SIZE),
			    mem + i * stride * PAGE_SIZE, 64);

	dma_sync_sg_for_cpu(t->dev, table.sgl, nents, DMA_FROM_DEVICE);
	dma_unmap_sg(t->dev, table.sgl, nents, DMA_FROM_DEVICE);
	pvt_expect(t, pvt_direct_granted() == granted, "pages are granted still");
	for (i = 0; i < nents; i += nents - 1)
		pvt_direct_refused(t, t->edu, pvt_host_direct_dma() +
			       virt_to_phys(mem + i * stride * PAGE_SIZE),
			       mem + i * stride * PAGE_SIZE);
out_table:
	sg_free_table(&table);
out:
	free_pages((unsigned long)mem, order);
}

/* Entries of a list: pages of DIRECT_PAGES, from where on, how much */
struct direct_entry {
	unsigned int page, off, len;
};

static const struct direct_entry direct_mixed_entries[] = {
	{ 0, 512, PAGE_SIZE - 512 },
	{ 2, 0, PAGE_SIZE },
	{ 4, 0, 2 * PAGE_SIZE },
	{ 7, 0, 1000 },
};

/* The same, of which the two in the middle are neighbours */
static const struct direct_entry direct_merged_entries[] = {
	{ 0, 512, PAGE_SIZE - 512 },
	{ 2, 0, PAGE_SIZE },
	{ 3, 0, 2 * PAGE_SIZE },
	{ 7, 0, 1000 },
};

#define DIRECT_MIXED	ARRAY_SIZE(direct_mixed_entries)
#define DIRECT_WHOLE	3
/* Room for a list in two tables, the first with one entry and the link */
#define DIRECT_TABLE	(DIRECT_MIXED + 1)

static void direct_mixed_list(struct scatterlist *sgl, u8 *mem,
			      const struct direct_entry *entry, unsigned int nents, bool chain)
{
	struct scatterlist *sg;
	unsigned int i;

	sg_init_table(sgl, chain ? 2 : nents);
	if (chain) {
		sg_init_table(sgl + 2, nents - 1);
		sg_chain(sgl, 2, sgl + 2);
	}
	for_each_sg(sgl, sg, nents, i)
		sg_set_buf(sg, mem + entry[i].page * PAGE_SIZE + entry[i].off, entry[i].len);
}

/* A part of a page bounces: nothing else is seen, and what comes in is there when synced */
static void direct_part_check(struct pvt *t, struct scatterlist *sgl, int nents,
			      struct scatterlist *sg, u8 *buf, u8 *want)
{
	dma_addr_t dma = sg_dma_address(sg);
	size_t len = sg->length, off = offset_in_page(dma);

	pvt_expect(t, sg_dma_len(sg) == len, "%u bytes of %zu", sg_dma_len(sg), len);
	pvt_expect(t, off == sg->offset, "at %zu in its page, not %u", off, sg->offset);
	pvt_expect(t, dma < pvt_host_direct_dma(), "a part of a page is at %pad", &dma);
	if (pvt_dev_read(t, t->edu, dma, buf, len))
		pvt_same(t, buf, sg_virt(sg), len, "a part of a page");
	/* Where the host copies, there is nothing around it that a device could reach */
	if (pvt_on_window() && pvt_dev_read(t, t->edu, dma & PAGE_MASK, buf, PAGE_SIZE)) {
		pvt_zero(t, buf, off, "before it");
		pvt_zero(t, buf + off + len, PAGE_SIZE - off - len, "behind it");
	}
	pvt_fill(want, len, pvt_random(t));
	pvt_dev_write(t, t->edu, dma, want, len);
	dma_sync_sg_for_cpu(t->dev, sgl, nents, DMA_BIDIRECTIONAL);
	pvt_same(t, sg_virt(sg), want, len, "after a sync for the CPU");
	pvt_fill(sg_virt(sg), len, pvt_random(t));
	dma_sync_sg_for_device(t->dev, sgl, nents, DMA_BIDIRECTIONAL);
	if (pvt_dev_read(t, t->edu, dma, buf, len))
		pvt_same(t, buf, sg_virt(sg), len, "after a sync for the device");
	/* and the last of it at the unmap */
	pvt_fill(want, len, sg->length);
	pvt_dev_write(t, t->edu, dma, want, len);
}

/* Each of the list's segments is where its entry is: in place, or in the same part of a page */
static void direct_mixed_check(struct pvt *t, struct scatterlist *sgl, int nents, u8 *buf,
			       u8 *want)
{
	struct scatterlist *sg;
	dma_addr_t dma;
	int i;

	for_each_sg(sgl, sg, nents, i) {
		if (!PAGE_ALIGNED(sg_phys(sg) | sg->length)) {
			direct_part_check(t, sgl, nents, sg, buf, want);
			continue;
		}
		dma = sg_dma_address(sg);
		pvt_expect(t, sg_dma_len(sg) == sg->length, "%u bytes of %u", sg_dma_len(sg),
			   sg->length);
		pvt_expect(t, dma == pvt_host_direct_dma() + sg_phys(sg),
			   "whole pages are at %pad", &dma);
		/* without any sync */
		pvt_direct_same(t, t->edu, dma, sg_virt(sg), DIRECT_BYTES);
	}
}

/* What is left once it is unmapped: what the device wrote last to each part of a page */
static void direct_mixed_after(struct pvt *t, struct scatterlist *sgl, int nents, u8 *want)
{
	struct scatterlist *sg;
	int i;

	for_each_sg(sgl, sg, nents, i) {
		if (PAGE_ALIGNED(sg_phys(sg) | sg->length))
			continue;
		pvt_fill(want, sg->length, sg->length);
		pvt_same(t, sg_virt(sg), want, sg->length, "after the unmap");
	}
}

/* Whole pages are direct, and what is before and behind them bounces: @first to @last */
static void direct_mixed_some(struct pvt *t, u8 *mem, unsigned int first, unsigned int last,
			      bool chain, u8 *buf, u8 *want)
{
	unsigned int nents = last - first + 1;
	struct scatterlist sg[DIRECT_TABLE];
	u64 granted = pvt_direct_granted();
	int n;

	memset(mem, 0x5a, DIRECT_PAGES * PAGE_SIZE);
	direct_mixed_list(sg, mem, direct_mixed_entries + first, nents, chain);
	n = dma_map_sg(t->dev, sg, nents, DMA_BIDIRECTIONAL);
	if (!pvt_expect(t, n == nents, "%u entries became %d segments", nents, n)) {
		if (n > 0)
			dma_unmap_sg(t->dev, sg, nents, DMA_BIDIRECTIONAL);
		return;
	}
	pvt_expect(t, pvt_direct_granted() == granted + DIRECT_WHOLE, "%llu pages are granted",
		   pvt_direct_granted() - granted);
	direct_mixed_check(t, sg, nents, buf, want);
	dma_unmap_sg(t->dev, sg, nents, DMA_BIDIRECTIONAL);
	pvt_expect(t, pvt_direct_granted() == granted, "pages are granted still");
	direct_mixed_after(t, sg, nents, want);
}

/* Neighbours become one segment, and those behind it are moved to where the list ends */
static void direct_mixed_merged(struct pvt *t, u8 *mem, bool chain, u8 *buf, u8 *want)
{
	const struct direct_entry *last = &direct_merged_entries[DIRECT_MIXED - 1];
	struct scatterlist sgl[DIRECT_TABLE], *second, *third;
	u64 granted = pvt_direct_granted();
	int n;

	memset(mem, 0x5a, DIRECT_PAGES * PAGE_SIZE);
	direct_mixed_list(sgl, mem, direct_merged_entries, DIRECT_MIXED, chain);
	second = sg_next(sgl);
	third = sg_next(second);
	n = dma_map_sg(t->dev, sgl, DIRECT_MIXED, DMA_BIDIRECTIONAL);
	if (!pvt_expect(t, n == DIRECT_MIXED - 1, "%zu entries became %d segments",
			DIRECT_MIXED, n))
		goto out;
	pvt_expect(t, pvt_direct_granted() == granted + DIRECT_WHOLE, "%llu pages are granted",
		   pvt_direct_granted() - granted);
	pvt_expect(t, sg_dma_address(second) == pvt_host_direct_dma() + sg_phys(second) &&
		   sg_dma_len(second) == DIRECT_WHOLE * PAGE_SIZE,
		   "%u bytes in the middle", sg_dma_len(second));
	pvt_direct_same(t, t->edu, sg_dma_address(second) + 2 * PAGE_SIZE - DIRECT_BYTES,
			sg_virt(second) + 2 * PAGE_SIZE - DIRECT_BYTES, 2 * DIRECT_BYTES);
	/* The last entry's bytes are at the third segment */
	pvt_expect(t, sg_dma_len(third) == last->len, "%u bytes at the end", sg_dma_len(third));
	pvt_fill(want, last->len, last->len);
	pvt_dev_write(t, t->edu, sg_dma_address(third), want, last->len);
	dma_sync_sg_for_cpu(t->dev, sgl, DIRECT_MIXED, DMA_BIDIRECTIONAL);
	pvt_same(t, mem + last->page * PAGE_SIZE, want, last->len, "after a sync for the CPU");
	direct_part_check(t, sgl, DIRECT_MIXED, sgl, buf, want);
out:
	if (n > 0)
		dma_unmap_sg(t->dev, sgl, DIRECT_MIXED, DMA_BIDIRECTIONAL);
	pvt_expect(t, pvt_direct_granted() == granted, "pages are granted still");
	if (n == DIRECT_MIXED - 1)
		direct_mixed_after(t, sgl, DIRECT_MIXED, want);
}

static void direct_mixed(struct pvt *t)
{
	u8 *mem = (void *)__get_free_pages(GFP_KERNEL, get_order(DIRECT_PAGES * PAGE_SIZE));
	u8 *buf = kmalloc(PAGE_SIZE, GFP_KERNEL), *want = kmalloc(PAGE_SIZE, GFP_KERNEL);
	u64 granted = pvt_direct_granted();
	struct scatterlist sg[DIRECT_TABLE];
	int chain;

	if (!pvt_direct_start(t) || !pvt_expect(t, mem && buf && want, "no memory"))
		goto out;
	/* where the device keeps offsets in pages, as NVMe does */
	dma_set_min_align_mask(t->dev, PAGE_SIZE - 1);
	for (chain = 0; chain < 2; chain++) {
		direct_mixed_some(t, mem, 0, DIRECT_MIXED - 1, chain, buf, want);
		direct_mixed_some(t, mem, 0, DIRECT_MIXED - 2, chain, buf, want);
		direct_mixed_some(t, mem, 1, DIRECT_MIXED - 1, chain, buf, want);
		direct_mixed_merged(t, mem, chain, buf, want);
	}

	/* and where it does not, all of it bounces */
	dma_set_min_align_mask(t->dev, 0);
	direct_mixed_list(sg, mem, direct_mixed_entries, DIRECT_MIXED, false);
	if (pvt_expect(t, dma_map_sg(t->dev, sg, DIRECT_MIXED, DMA_TO_DEVICE) > 0,
		       "not bounced")) {
		pvt_expect(t, pvt_direct_granted() == granted, "pages are granted");
		dma_unmap_sg(t->dev, sg, DIRECT_MIXED, DMA_TO_DEVICE);
	}
out:
	kfree(want);
	kfree(buf);
	free_pages((unsigned long)mem, get_order(DIRECT_PAGES * PAGE_SIZE));
}

static void direct_lists(struct pvt *t)
{
	if (!pvt_direct_start(t))
		return;
	direct_list(t, DIRECT_PAGES, 2);
	direct_list(t, DIRECT_PIECES, 2);
	direct_list(t, DIRECT_PIECES, 1);
}

/* Map blocks until the host grants no more; returns how many were mapped */
static unsigned int direct_fill(struct pvt *t, void **mem, dma_addr_t *dma)
{
	unsigned int n;

	for (n = 0; n < DIRECT_BLOCKS; n++) {
		mem[n] = (void *)__get_free_pages(GFP_KERNEL, DIRECT_ORDER);
		if (!pvt_expect(t, mem[n], "no memory"))
			break;
		dma[n] = dma_map_page_attrs(t->dev, virt_to_page(mem[n]), 0,
					    PAGE_SIZE << DIRECT_ORDER, DMA_BIDIRECTIONAL,
					    DMA_ATTR_NO_WARN);
		if (dma_mapping_error(t->dev, dma[n]))
			break;
	}
	return n;
}

/* More than the host grants: who never syncs gets an error, others are bounced */
static void direct_full(struct pvt *t, void *mem, void *small)
{
	struct device *other = pvt_edu_dev(t->other);
	u64 granted = pvt_direct_granted();
	struct scatterlist sg[2];
	struct sg_table list = { .sgl = sg, .nents = 2, .orig_nents = 2 };
	dma_addr_t dma;
	int n;

	dma = dma_map_page_attrs(t->dev, virt_to_page(small), 0, PAGE_SIZE, DMA_TO_DEVICE,
				 DMA_ATTR_NO_WARN);
	pvt_expect(t, dma_mapping_error(t->dev, dma), "mapped beyond the limit");
	/* nor a part of it, beside what bounces: that has gone again */
	dma_set_min_align_mask(t->dev, PAGE_SIZE - 1);
	sg_init_table(sg, 2);
	sg_set_buf(&sg[0], mem + 100, 100);
	sg_set_buf(&sg[1], small, PAGE_SIZE);
	n = dma_map_sg_attrs(t->dev, sg, 2, DMA_BIDIRECTIONAL, DMA_ATTR_NO_WARN);
	pvt_expect(t, !n, "a list with a part of a page was mapped beyond the limit");
	dma_set_min_align_mask(t->dev, 0);
	/* what is granted already costs no more, the rest of a list does */
	sg_init_table(sg, 2);
	sg_set_buf(&sg[0], mem, PAGE_SIZE);
	sg_set_buf(&sg[1], small, PAGE_SIZE);
	n = dma_map_sgtable(t->dev, &list, DMA_BIDIRECTIONAL, 0);
	pvt_expect(t, n == -ENOMEM, "a list beyond the limit: %d", n);
	dma = dma_map_single(t->dev, mem + PAGE_SIZE, PAGE_SIZE, DMA_BIDIRECTIONAL);
	if (pvt_expect(t, !dma_mapping_error(t->dev, dma), "what is granted is not mapped"))
		dma_unmap_single(t->dev, dma, PAGE_SIZE, DMA_BIDIRECTIONAL);

	dma = dma_map_page_attrs(other, virt_to_page(small), 0, PAGE_SIZE,
				 DMA_BIDIRECTIONAL, DMA_ATTR_NO_WARN);
	if (pvt_expect(t, !dma_mapping_error(other, dma), "not bounced instead")) {
		pvt_expect(t, dma < pvt_host_direct_dma(), "not bounced but at %pad", &dma);
		dma_unmap_single(other, dma, PAGE_SIZE, DMA_BIDIRECTIONAL);
	}
	pvt_expect(t, pvt_direct_granted() == granted, "%llu pages are granted, not %llu",
		   pvt_direct_granted(), granted);
}

static void direct_budget(struct pvt *t)
{
	void **mem = kcalloc(DIRECT_BLOCKS, sizeof(*mem), GFP_KERNEL);
	dma_addr_t *dma = kcalloc(DIRECT_BLOCKS, sizeof(*dma), GFP_KERNEL);
	void *small = (void *)__get_free_page(GFP_KERNEL);
	u64 granted = pvt_direct_granted();
	unsigned int i, n;

	if (!pvt_direct_start(t) || !mem || !dma || !small)
		goto out;
	n = direct_fill(t, mem, dma);
	if (pvt_expect(t, n && n < DIRECT_BLOCKS, "%u blocks were mapped", n)) {
		pvt_expect(t, pvt_direct_granted() == pvt_host_direct_limit() >> PAGE_SHIFT,
			   "full with %llu pages", pvt_direct_granted());
		direct_full(t, mem[0], small);
		for (i = 0; i < n; i += n - 1)
			pvt_direct_same(t, t->edu, dma[i], mem[i], 64);
	}
	for (i = 0; i < n; i++)
		dma_unmap_single(t->dev, dma[i], PAGE_SIZE << DIRECT_ORDER,
				 DMA_BIDIRECTIONAL);
	pvt_expect(t, pvt_direct_granted() == granted, "pages are granted still");
out:
	for (i = 0; mem && i < DIRECT_BLOCKS; i++)
		free_pages((unsigned long)mem[i], DIRECT_ORDER);
	free_page((unsigned long)small);
	kfree(dma);
	kfree(mem);
}

/* Of another device, what is for both directions is direct, and nothing else */
static void direct_others(struct pvt *t)
{
	static const enum dma_data_direction dirs[] = {
		DMA_TO_DEVICE, DMA_FROM_DEVICE, DMA_BIDIRECTIONAL,
	};
	void *mem = (void *)__get_free_page(GFP_KERNEL);
	u64 granted = pvt_direct_granted();
	struct device *other;
	unsigned int i;
	dma_addr_t dma;

	if (!pvt_direct_start(t) || !mem)
		goto out;
	other = pvt_edu_dev(t->other);
	for (i = 0; i < ARRAY_SIZE(dirs); i++) {
		bool direct = dirs[i] == DMA_BIDIRECTIONAL;

		dma = dma_map_single(other, mem, PAGE_SIZE, dirs[i]);
		if (!pvt_expect(t, !dma_mapping_error(other, dma), "not mapped"))
			goto out;
		pvt_expect(t, pvt_direct_granted() == granted + direct, "%llu pages are granted",
			   pvt_direct_granted() - granted);
		if (direct)
			pvt_direct_same(t, t->other, dma, mem, 64);
		dma_unmap_single(other, dma, PAGE_SIZE, dirs[i]);
	}

#ifdef DMA_ATTR_REQUIRE_COHERENT
	/* what must not be copied, of any device; a part of a page cannot be had so */
	dma = dma_map_page_attrs(other, virt_to_page(mem), 0, PAGE_SIZE, DMA_FROM_DEVICE,
				 DMA_ATTR_REQUIRE_COHERENT);
	if (pvt_expect(t, !dma_mapping_error(other, dma), "not mapped to be coherent")) {
		pvt_expect(t, pvt_direct_granted() == granted + 1, "coherent, and not granted");
		pvt_direct_same(t, t->other, dma, mem, 64);
		dma_unmap_page_attrs(other, dma, PAGE_SIZE, DMA_FROM_DEVICE,
				     DMA_ATTR_REQUIRE_COHERENT);
	}
	dma = dma_map_page_attrs(other, virt_to_page(mem), 0, 512, DMA_FROM_DEVICE,
				 DMA_ATTR_REQUIRE_COHERENT | DMA_ATTR_NO_WARN);
	pvt_expect(t, dma_mapping_error(other, dma), "a part of a page is coherent");
#endif

	/* nor where its mask does not reach */
	if (pvt_expect(t, !dma_set_mask_and_coherent(other, PVT_EDU_MASK), "mask refused")) {
		dma = dma_map_single(other, mem, PAGE_SIZE, DMA_BIDIRECTIONAL);
		if (pvt_expect(t, !dma_mapping_error(other, dma), "not mapped")) {
			pvt_expect(t, dma <= PVT_EDU_MASK, "%pad is out of its reach", &dma);
			dma_unmap_single(other, dma, PAGE_SIZE, DMA_BIDIRECTIONAL);
		}
	}
	pvt_expect(t, pvt_direct_granted() == granted, "pages are granted still");
out:
	free_page((unsigned long)mem);
}

/*
 * What must be coherent, where the device's mask does not reach what would be granted: it
 * is refused, as it cannot be bounced. The log says so, which is direct-warned.sh's to see.
 */
static void direct_coherent_unreached(struct pvt *t)
{
#ifdef DMA_ATTR_REQUIRE_COHERENT
	void *mem = (void *)__get_free_page(GFP_KERNEL);
	const u64 mask = dma_get_mask(t->dev);
	u64 granted = pvt_direct_granted();
	struct scatterlist sg;
	struct sg_table list = { .sgl = &sg, .nents = 1, .orig_nents = 1 };
	dma_addr_t dma;
	int i, ret;

	if (!pvt_direct_start(t) || !mem)
		goto out;
	if (!pvt_expect(t, !dma_set_mask(t->dev, PVT_EDU_MASK), "mask refused"))
		goto out;
	for (i = 0; i < DIRECT_ROUNDS; i++) {
		dma = dma_map_page_attrs(t->dev, virt_to_page(mem), 0, PAGE_SIZE,
					 DMA_FROM_DEVICE, DMA_ATTR_REQUIRE_COHERENT);
		if (!pvt_expect(t, dma_mapping_error(t->dev, dma), "mapped at %pad", &dma))
			dma_unmap_page_attrs(t->dev, dma, PAGE_SIZE, DMA_FROM_DEVICE,
					     DMA_ATTR_REQUIRE_COHERENT);
		sg_init_one(&sg, mem, PAGE_SIZE);
		ret = dma_map_sgtable(t->dev, &list, DMA_BIDIRECTIONAL,
				      DMA_ATTR_REQUIRE_COHERENT);
		if (!pvt_expect(t, ret == -EINVAL, "a list: %d", ret) && !ret)
			dma_unmap_sgtable(t->dev, &list, DMA_BIDIRECTIONAL,
					  DMA_ATTR_REQUIRE_COHERENT);
	}
	pvt_expect(t, pvt_direct_granted() == granted, "pages are granted");

	/* With the mask that it had, it is not refused */
	if (!pvt_expect(t, !dma_set_mask(t->dev, mask), "its own mask refused"))
		goto out;
	dma = dma_map_page_attrs(t->dev, virt_to_page(mem), 0, PAGE_SIZE, DMA_FROM_DEVICE,
				 DMA_ATTR_REQUIRE_COHERENT);
	if (pvt_expect(t, !dma_mapping_error(t->dev, dma), "not mapped")) {
		pvt_direct_same(t, t->edu, dma, mem, 64);
		dma_unmap_page_attrs(t->dev, dma, PAGE_SIZE, DMA_FROM_DEVICE,
				     DMA_ATTR_REQUIRE_COHERENT);
	}
out:
	free_page((unsigned long)mem);
#else
	pvt_skip(t, "this kernel has no DMA_ATTR_REQUIRE_COHERENT");
#endif
}

/*
 * The driver never syncs, and its mask does not reach what would be granted: the log says
 * so, which is direct-warned.sh's to see. It is bounced as any other device.
 */
static void direct_unreached(struct pvt *t)
{
	void *mem = (void *)__get_free_page(GFP_KERNEL);
	u64 granted = pvt_direct_granted();
	struct scatterlist sg;
	dma_addr_t dma;
	int i;

	if (!pvt_direct_start(t) || !mem ||
	    !pvt_expect(t, !dma_set_mask_and_coherent(t->dev, PVT_EDU_MASK), "mask refused"))
		goto out;
	for (i = 0; i < DIRECT_ROUNDS; i++) {
		dma = dma_map_single(t->dev, mem, PAGE_SIZE, DMA_TO_DEVICE);
		if (!pvt_expect(t, !dma_mapping_error(t->dev, dma), "not bounced"))
			goto out;
		pvt_expect(t, dma <= PVT_EDU_MASK, "%pad is out of its reach", &dma);
		dma_unmap_single(t->dev, dma, PAGE_SIZE, DMA_TO_DEVICE);

		sg_init_one(&sg, mem, PAGE_SIZE);
		if (!pvt_expect(t, dma_map_sg(t->dev, &sg, 1, DMA_FROM_DEVICE) == 1,
				"a list is not bounced"))
			goto out;
		pvt_expect(t, sg_dma_address(&sg) <= PVT_EDU_MASK, "a list out of its reach");
		dma_unmap_sg(t->dev, &sg, 1, DMA_FROM_DEVICE);
	}
	pvt_expect(t, pvt_direct_granted() == granted, "pages are granted");
out:
	free_page((unsigned long)mem);
}

static const struct pvt_case direct_cases[] = {
	{ "nosync", direct_nosync },
	{ "shared", direct_shared },
	{ "neighbours", direct_neighbours },
	{ "readonly", direct_readonly },
	{ "revoked", direct_revoked },
	{ "lists", direct_lists },
	{ "mixed", direct_mixed },
	{ "budget", direct_budget },
	{ "others", direct_others },
	{ "unreached", direct_unreached },
	{ "coherent_unreached", direct_coherent_unreached },
};

PVT_GROUP(direct);
