// SPDX-License-Identifier: GPL-2.0
/*
 * What a device makes of another's memory: with isolation nothing, and the host
 * counts what it refused; without, all of it.
 *
 * "The stranger" is told to read and to write what "the owner" has. The parameter
 * "shared" says which of the two outcomes is the right one.
 */
#include <linux/bitmap.h>
#include <linux/delay.h>
#include <linux/dmapool.h>
#include <linux/kernel.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "pvt.h"

#define ISO_LEN		512
#define ISO_ITEMS	24
#define ISO_INHERIT	6
#define ISO_CHUNKS	1024		/* more than any window here has */
/* The driver gives back what was idle for some seconds */
#define ISO_PATIENCE	60

struct iso_item {
	void *cpu;
	dma_addr_t dma;
	bool used;
};

static bool iso_start(struct pvt *t)
{
	if (!pvt_on_pviommu() || !pvt_host_present())
		pvt_skip(t, "needs pv-iommu");
	else if (!t->other)
		pvt_skip(t, "needs two devices");
	else
		return true;
	return false;
}

static bool iso_start_chunks(struct pvt *t)
{
	if (!iso_start(t))
		return false;
	if (!pvt_host_chunk())
		pvt_skip(t, "the host knows no chunks");
	return pvt_host_chunk();
}

/* The host's account of the access that was made last */
static void iso_counted(struct pvt *t, struct pvt_edu *edu, u64 before, dma_addr_t dma,
			bool reached, bool write)
{
	u64 now = pvt_host_faults(), addr = pvt_host_fault_addr();
	const char *what = write ? "write" : "read";

	if (reached) {
		pvt_expect(t, now == before, "a %s of %pad was refused", what, &dma);
		return;
	}
	if (!pvt_expect(t, now > before, "no refused %s of %pad was counted", what, &dma))
		return;
	pvt_expect(t, addr >= dma && addr < dma + ISO_LEN, "refused was %llx, not %pad",
		   addr, &dma);
	pvt_expect(t, pvt_host_fault_is(pvt_edu_dev(edu), write),
		   "the refused %s of %pad is another device's", what, &dma);
}

/*
 * Have @edu write to and read from ISO_LEN bytes at @dma that the CPU has at @cpu. They
 * are afterwards what they were before.
 */
static void iso_try(struct pvt *t, struct pvt_edu *edu, dma_addr_t dma, void *cpu,
		    bool reached)
{
	u8 *was = kmemdup(cpu, ISO_LEN, GFP_KERNEL), *buf = kmalloc(ISO_LEN, GFP_KERNEL);
	u64 before;
	int i;

	if (!pvt_expect(t, was && buf, "no memory"))
		goto out;

	pvt_fill(buf, ISO_LEN, pvt_random(t));
	before = pvt_host_faults();
	if (pvt_dev_write(t, edu, dma, buf, ISO_LEN))
		pvt_same(t, cpu, reached ? buf : was, ISO_LEN, "memory written to");
	iso_counted(t, edu, before, dma, reached, true);
	memcpy(cpu, was, ISO_LEN);

	before = pvt_host_faults();
	if (!pvt_dev_read(t, edu, dma, buf, ISO_LEN))
		goto out;
	if (reached)
		pvt_same(t, buf, was, ISO_LEN, "memory read");
	/* Not what is in the first bytes: a pool has its list there, and that has zeroes */
	for (i = 8; !reached && i + 8 <= ISO_LEN; i += 8)
		pvt_expect(t, memcmp(buf + i, was + i, 8), "%pad: bytes from %d on were seen",
			   &dma, i);
	iso_counted(t, edu, before, dma, reached, false);
out:
	kfree(was);
	kfree(buf);
}

/* The owner's streaming mappings, of a page and of many */
static void iso_streaming(struct pvt *t)
{
	static const size_t lens[] = { SZ_4K, SZ_64K };
	struct device *owner;
	dma_addr_t dma;
	u8 *buf, *window;
	u32 seed;
	int i;

	if (!iso_start(t))
		return;
	if (!pvt_on_window()) {
		pvt_skip(t, "the arena is one for all devices");
		return;
	}
	owner = pvt_edu_dev(t->other);
	for (i = 0; i < ARRAY_SIZE(lens); i++) {
		buf = kmalloc(lens[i], GFP_KERNEL);
		if (!pvt_expect(t, buf, "no memory"))
			return;
		seed = pvt_random(t);
		pvt_fill(buf, lens[i], seed);
		dma = dma_map_single(owner, buf, lens[i], DMA_BIDIRECTIONAL);
		if (!pvt_expect(t, !dma_mapping_error(owner, dma), "cannot map")) {
			kfree(buf);
			return;
		}
		window = pvt_host_memory(dma, lens[i]);
		if (pvt_expect(t, window, "%pad is not in the window", &dma)) {
			iso_try(t, t->edu, dma, window, pvt_shared());
			iso_try(t, t->edu, dma + lens[i] - ISO_LEN,
				window + lens[i] - ISO_LEN, pvt_shared());
			iso_try(t, t->other, dma, window, true);
		}
		dma_unmap_single(owner, dma, lens[i], DMA_BIDIRECTIONAL);
		window = kmalloc(lens[i], GFP_KERNEL);
		if (pvt_expect(t, window, "no memory")) {
			pvt_fill(window, lens[i], seed);
			pvt_same(t, buf, window, lens[i], "the owner's buffer");
		}
		kfree(window);
		kfree(buf);
	}
}

static void iso_coherent(struct pvt *t)
{
	struct device *owner;
	dma_addr_t dma;
	void *cpu;

	if (!iso_start(t))
		return;
	owner = pvt_edu_dev(t->other);
	cpu = dma_alloc_coherent(owner, SZ_16K, &dma, GFP_KERNEL);
	if (!pvt_expect(t, cpu, "no memory"))
		return;
	pvt_fill(cpu, SZ_16K, pvt_random(t));
	iso_try(t, t->edu, dma, cpu, pvt_shared());
	iso_try(t, t->edu, dma + SZ_16K - ISO_LEN, cpu + SZ_16K - ISO_LEN, pvt_shared());
	iso_try(t, t->other, dma, cpu, true);
	dma_free_coherent(owner, SZ_16K, cpu, dma);
}

/* Is it a block of the pool that nobody has: in a page of a known one, and not that? */
static bool iso_item_is_free(const struct iso_item *item, int n, const struct iso_item *new)
{
	bool beside = false;
	int i;

	for (i = 0; i < n; i++) {
		if (item[i].used && item[i].dma == new->dma)
			return false;
		beside |= !((item[i].dma ^ new->dma) & PAGE_MASK) &&
			  new->cpu - item[i].cpu == (long)(new->dma - item[i].dma);
	}
	return beside && IS_ALIGNED(new->dma, ISO_LEN);
}

/* A pool keeps a list in its free blocks: who writes there takes the device over */
static void iso_pool(struct pvt *t)
{
	struct iso_item *item, new = { .used = true };
	struct dma_pool *pool;
	int i, n;

	if (!iso_start(t))
		return;
	item = kcalloc(2 * ISO_ITEMS, sizeof(*item), GFP_KERNEL);
	pool = dma_pool_create("isolation", pvt_edu_dev(t->other), ISO_LEN, ISO_LEN, 0);
	if (!pvt_expect(t, item && pool, "no pool"))
		goto out;
	for (n = 0; n < ISO_ITEMS; n++) {
		item[n].cpu = dma_pool_alloc(pool, GFP_KERNEL, &item[n].dma);
		if (!pvt_expect(t, item[n].cpu, "no item %d", n))
			break;
		pvt_fill(item[n].cpu, ISO_LEN, pvt_random(t));
		item[n].used = true;
	}
	/* Of each four, one is in use */
	for (i = 0; i < n; i++) {
		if (i % 4 == 0)
			continue;
		dma_pool_free(pool, item[i].cpu, item[i].dma);
		item[i].used = false;
	}
	for (i = 0; i < n && i < 8; i++)
		iso_try(t, t->edu, item[i].dma, item[i].cpu, pvt_shared());
	/* The list is whole: what comes now was free, each of them once */
	for (i = 0; i < ISO_ITEMS / 2; i++) {
		new.cpu = dma_pool_alloc(pool, GFP_KERNEL, &new.dma);
		if (!pvt_expect(t, new.cpu && iso_item_is_free(item, n, &new),
				"%pad was not free in the pool", &new.dma))
			goto out_free;	/* nothing of it can be trusted */
		item[n++] = new;
	}
	for (i = 0; i < n; i++) {
		if (item[i].used)
			dma_pool_free(pool, item[i].cpu, item[i].dma);
	}
out:
	dma_pool_destroy(pool);
out_free:
	kfree(item);
}

/* Until no more is granted than that; false: it stays */
static bool iso_wait_granted(struct pvt *t, u64 bytes)
{
	int i;

	for (i = 0; i < ISO_PATIENCE && pvt_host_granted() > bytes; i++)
		msleep(1000);
	return pvt_expect(t, pvt_host_granted() <= bytes, "%llu bytes are granted still, not %llu",
			  pvt_host_granted(), bytes);
}

/* Until the driver has given back all that it will */
static u64 iso_settled(void)
{
	u64 last, now = pvt_host_granted();
	int i, same = 0;

	for (i = 0; i < ISO_PATIENCE && same < 8; i++) {
		last = now;
		msleep(1000);
		now = pvt_host_granted();
		same = now == last ? same + 1 : 0;
	}
	return now;
}

/* A chunk that was the owner's is nobody's, isolation or not */
static void iso_returned(struct pvt *t)
{
	size_t chunk = pvt_host_chunk();
	struct device *owner;
	dma_addr_t dma;
	void *cpu;
	u64 before;

	if (!iso_start_chunks(t))
		return;
	owner = pvt_edu_dev(t->other);
	before = iso_settled();
	cpu = dma_alloc_coherent(owner, chunk, &dma, GFP_KERNEL);
	if (!pvt_expect(t, cpu, "no chunk"))
		return;
	pvt_expect(t, pvt_host_granted() > before, "nothing more is granted");
	iso_try(t, t->other, dma, cpu, true);
	dma_free_coherent(owner, chunk, cpu, dma);
	if (!iso_wait_granted(t, before))
		return;
	/* The guest's own view of it: it may, and what it writes there stays */
	pvt_fill(cpu, ISO_LEN, pvt_random(t));
	iso_try(t, t->edu, dma, cpu, false);
	iso_try(t, t->other, dma, cpu, false);
	memset(cpu, 0, ISO_LEN);
}

/* Does @edu reach the memory at @dma? It leaves it as it is. */
static bool iso_reaches(struct pvt *t, struct pvt_edu *edu, dma_addr_t dma)
{
	u64 before = pvt_host_faults();
	u8 buf[16];

	return pvt_dev_read(t, edu, dma, buf, sizeof(buf)) && pvt_host_faults() == before;
}

/*
 * Each device tries each chunk. It reaches some, no two devices reach the same, and all
 * of them together no more than the host says is granted: so those that were never
 * granted are out of reach of all.
 */
static void iso_all(struct pvt *t)
{
	unsigned long *seen = bitmap_zalloc(ISO_CHUNKS, GFP_KERNEL), i, n, nr;
	size_t chunk = pvt_host_chunk();
	unsigned int e, reached = 0;
	struct pvt_edu *edu;

	if (!iso_start_chunks(t))
		goto out;
	if (!pvt_expect(t, seen, "no memory"))
		goto out;
	iso_settled();
	nr = min_t(u64, pvt_host_window_size() / chunk, ISO_CHUNKS);
	for (e = 0; (edu = pvt_edu_get(e)); e++) {
		for (i = 0, n = 0; i < nr; i++) {
			if (!iso_reaches(t, edu, pvt_host_window_dma() + i * chunk))
				continue;
			n++;
			if (!test_and_set_bit(i, seen))
				reached++;
			else
				pvt_expect(t, pvt_shared(), "chunk %lu is reached by two", i);
		}
		pvt_log("# device %u reaches %lu of %lu chunks", e, n, nr);
		pvt_expect(t, n, "device %u reaches nothing", e);
	}
	/* The machine may have other devices */
	pvt_log("# together %u", reached);
	pvt_expect(t, reached * chunk <= pvt_host_granted(),
		   "%u chunks of %zu are reached, %llu bytes granted", reached, chunk,
		   pvt_host_granted());
	pvt_expect(t, reached < nr, "all chunks are granted: that says nothing");
out:
	bitmap_free(seen);
}

/* A host that knows no chunks has given all of the window to all */
static void iso_whole(struct pvt *t)
{
	u64 size = pvt_host_window_size(), pos;
	struct pvt_edu *edu;
	unsigned int e;

	if (!iso_start(t))
		return;
	if (pvt_host_chunk()) {
		pvt_skip(t, "the host knows chunks");
		return;
	}
	pvt_expect(t, !pvt_host_granted(), "%llu bytes granted, without chunks",
		   pvt_host_granted());
	for (e = 0; (edu = pvt_edu_get(e)); e++) {
		for (pos = 0; pos < size; pos += SZ_1M)
			pvt_expect(t, iso_reaches(t, edu, pvt_host_window_dma() + pos),
				   "device %u does not reach %llu", e, pos);
		pvt_expect(t, !iso_reaches(t, edu, pvt_host_window_dma() - SZ_4K),
			   "device %u reaches what is before the window", e);
	}
}

/* A little more than half of a chunk: nobody has the rest of it, in its domain */
static size_t iso_half(void)
{
	return pvt_host_chunk() / 2 + PAGE_SIZE;
}

/* The rest of such a chunk, of which a device has been given the first part just now */
static void iso_rest_is_empty(struct pvt *t, struct pvt_edu *edu, dma_addr_t dma, void *cpu)
{
	size_t chunk = pvt_host_chunk(), pos;
	u64 faults = pvt_host_faults();
	u8 *buf = kmalloc(SZ_2K, GFP_KERNEL);

	if (!pvt_expect(t, buf, "no memory"))
		return;
	for (pos = iso_half(); pos < chunk; pos += chunk / 16) {
		if (pvt_dev_read(t, edu, dma + pos, buf, SZ_2K))
			pvt_zero(t, buf, SZ_2K, "of the former owner, by DMA");
	}
	pvt_expect(t, pvt_host_faults() == faults, "its owner does not reach %pad", &dma);
	pvt_zero(t, cpu, chunk, "of the former owner");
	kfree(buf);
}

/*
 * The first has a chunk, fills it, and gives it back. The second is granted the same one
 * for a little more than half of it, which the driver clears; what it has not given to
 * anybody yet, the device can read, and there was nothing.
 */
static void iso_handover(struct pvt *t)
{
	size_t chunk = pvt_host_chunk(), half = iso_half();
	dma_addr_t dma, again;
	void *cpu, *mine;
	u64 before;

	if (!iso_start_chunks(t))
		return;
	before = iso_settled();
	cpu = dma_alloc_coherent(t->dev, chunk, &dma, GFP_KERNEL);
	if (!pvt_expect(t, cpu, "no chunk"))
		return;
	memset(cpu, 0xa5, chunk);
	dma_free_coherent(t->dev, chunk, cpu, dma);
	if (!iso_wait_granted(t, before))
		return;

	mine = dma_alloc_coherent(pvt_edu_dev(t->other), half, &again, GFP_KERNEL);
	if (!pvt_expect(t, mine, "no second chunk"))
		return;
	pvt_expect(t, again == dma, "not the same chunk: %pad, %pad", &again, &dma);
	iso_rest_is_empty(t, t->other, again, mine);
	pvt_fill(mine, ISO_LEN, pvt_random(t));
	iso_try(t, t->edu, again, mine, pvt_shared());
	dma_free_coherent(pvt_edu_dev(t->other), half, mine, again);
}

static dma_addr_t iso_left;

/* It fills a chunk. The test unbinds it then, before the driver gives the chunk back. */
static void iso_leave(struct pvt *t)
{
	size_t chunk = pvt_host_chunk();
	void *cpu;

	if (!iso_start_chunks(t))
		return;
	cpu = dma_alloc_coherent(t->dev, chunk, &iso_left, GFP_KERNEL);
	if (!pvt_expect(t, cpu, "no chunk"))
		return;
	memset(cpu, 0xa5, chunk);
	dma_free_coherent(t->dev, chunk, cpu, iso_left);
	pvt_expect(t, *(u8 *)(cpu + chunk - 1) == 0xa5, "it has gone too early");
}

/* Another gets the chunk, which holds what was left in it, or would */
static void iso_inherit(struct pvt *t)
{
	struct { void *cpu; dma_addr_t dma; } had[ISO_INHERIT];
	bool found = false;
	int n;

	if (!iso_start_chunks(t))
		return;
	pvt_expect(t, iso_left, "nothing was left");
	for (n = 0; n < ISO_INHERIT && !found; n++) {
		had[n].cpu = dma_alloc_coherent(t->dev, iso_half(), &had[n].dma, GFP_KERNEL);
		if (!pvt_expect(t, had[n].cpu, "no chunk"))
			break;
		iso_rest_is_empty(t, t->edu, had[n].dma, had[n].cpu);
		found = had[n].dma == iso_left;
	}
	pvt_expect(t, found, "%pad is not among the first %d chunks", &iso_left, n);
	while (n--)
		dma_free_coherent(t->dev, iso_half(), had[n].cpu, had[n].dma);
	iso_left = 0;
}

static const struct pvt_case isolation_cases[] = {
	{ "streaming", iso_streaming },
	{ "coherent", iso_coherent },
	{ "pool", iso_pool },
	{ "returned", iso_returned },
	{ "all", iso_all },
	{ "handover", iso_handover },
	{ "whole", iso_whole },
};

PVT_GROUP(isolation);

/* In two parts, between which the first device loses its driver */
static const struct pvt_case inherit_cases[] = {
	{ "leave", iso_leave },
	{ "take", iso_inherit },
};

PVT_GROUP(inherit);
