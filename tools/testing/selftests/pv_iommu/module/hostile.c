// SPDX-License-Identifier: GPL-2.0
/*
 * Devices that have gone wild, all at once: each writes and reads at random over what it
 * reaches, and everywhere else. What others have is not touched, and no more is the
 * kernel, which goes on to allocate and map in their domains meanwhile.
 *
 * Others are the guest's own disks and cards: the test has them verify what they do
 * (hostile-device.sh); and the last of the devices here, which stays tame. Of what that
 * has, each byte is looked at in the end: coherent memory, a buffer that is mapped, and
 * pages of RAM that are granted to it alone, where the host does that.
 *
 * The case takes as many rounds as the parameter "steps" says. In a round each device
 * does one access, which takes 100 ms for all of them together.
 */
#include <linux/gfp.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/pv_iommu.h>
#include <linux/slab.h>

#include "pvt.h"

#define HOSTILE_PAGES	64
#define HOSTILE_TAME	SZ_256K
#define HOSTILE_LEN	4095	/* what the device can do with one access */
#define HOSTILE_GUARD	64
#define HOSTILE_LOOK	256	/* places in which something is looked for */
#define HOSTILE_MSI	0xfee00000ULL

/**
 * struct hostile_at - an access
 * @dma: where
 * @len: how long
 * @refused: it is, for certain
 */
struct hostile_at {
	u64 dma;
	size_t len;
	bool refused;
};

/**
 * struct hostile_tame - the tame device, and what it has
 * @edu: it
 * @cpu: HOSTILE_TAME bytes of coherent memory
 * @cpu_dma: its address
 * @buf: as much that is mapped
 * @buf_dma: its address
 * @want: a pattern, what is in both of them
 * @page: pages, each mapped for both directions
 * @page_dma: their addresses
 */
static struct hostile_tame {
	struct pvt_edu *edu;
	void *cpu;
	dma_addr_t cpu_dma;
	void *buf;
	dma_addr_t buf_dma;
	void *want;
	struct page *page[HOSTILE_PAGES];
	dma_addr_t page_dma[HOSTILE_PAGES];
} hostile_tame;

static u64 hostile_within(struct pvt *t, u64 start, u64 size)
{
	return start + ((u64)pvt_random(t) << 32 | pvt_random(t)) % size;
}

/* Somewhere in the window where there is something: somebody's, or it was */
static u64 hostile_hot(struct pvt *t)
{
	u64 start = pvt_host_window_dma(), size = pvt_host_window_size(), dma = start;
	unsigned int i;

	for (i = 0; i < HOSTILE_LOOK; i++) {
		const u64 *there;

		dma = ALIGN_DOWN(hostile_within(t, start, size), sizeof(*there));
		there = pvt_host_memory(dma, sizeof(*there));
		if (there && READ_ONCE(*there))
			break;
	}
	return dma;
}

/* The guest's memory, where it was without us and where it would be granted */
static u64 hostile_ram(struct pvt *t)
{
	u64 addr = page_to_phys(hostile_tame.page[pvt_below(t, HOSTILE_PAGES)]);

	if (pvt_below(t, 4) == 0)
		addr = hostile_within(t, 0, (u64)totalram_pages() << PAGE_SHIFT);
	if (pvt_below(t, 2) && pvt_host_direct_limit())
		addr += pvt_host_direct_dma();
	return addr;
}

/* Where no device's address is; the window where the guest has it, for one */
static u64 hostile_elsewhere(struct pvt *t)
{
	u64 dma;

	if (pvt_below(t, 2))
		return virt_to_phys(pvt_host_memory(pvt_host_window_dma(), 1)) +
		       hostile_within(t, 0, pvt_host_window_size());
	do {
		dma = hostile_within(t, 0, U64_MAX) >> pvt_below(t, 40);
	} while (dma + HOSTILE_LEN < dma ||
		 (dma + HOSTILE_LEN > HOSTILE_MSI && dma < HOSTILE_MSI + SZ_1M));
	return dma;
}

static void hostile_aim(struct pvt *t, struct pvt_edu *edu, bool arena,
			struct hostile_at *at)
{
	u64 chunk = pvt_host_chunk();

	at->len = 1 + pvt_below(t, HOSTILE_LEN);
	at->refused = false;
	switch (pvt_below(t, 16)) {
	case 0 ... 1:
		/* Its own chunk, in which its driver's memory lies */
		at->dma = hostile_within(t, ALIGN_DOWN(pvt_edu_scratch(edu), chunk), chunk);
		return;
	case 2 ... 8:
		at->dma = hostile_hot(t);
		return;
	case 9:
		at->dma = hostile_within(t, pvt_host_window_dma(), pvt_host_window_size());
		return;
	case 10:
		/* What is four bytes there is an interrupt, and may be any */
		at->dma = HOSTILE_MSI + ALIGN_DOWN(pvt_below(t, SZ_1M - SZ_4K), 8);
		at->len = ALIGN(at->len, 8) - 8 ?: 8;
		at->refused = true;
		return;
	case 11 ... 12:
		at->dma = hostile_ram(t);
		break;
	case 13:
		at->dma = hostile_elsewhere(t);
		break;
	default:
		/* All devices in bounce mode share the arena; the others do not reach it */
		if (!arena && pvt_on_bounce()) {
			at->dma = hostile_ram(t);
			break;
		}
		at->dma = hostile_within(t, pvt_host_arena_dma(), pvt_host_arena_size());
		at->refused = pvt_on_window();
		return;
	}
	at->refused = !pvt_host_reaches(at->dma) && !pvt_host_reaches(at->dma + at->len - 1);
	/* It shall not run into others' data there by chance */
	if (!at->refused && !arena && pvt_on_bounce())
		at->dma = hostile_hot(t);
}

/* The driver goes on with its work, whatever its device does to its memory */
static void hostile_driver(struct pvt *t, struct pvt_edu *edu)
{
	size_t len = 1 + pvt_below(t, SZ_8K), size = len + 2 * HOSTILE_GUARD, tail;
	struct device *dev = pvt_edu_dev(edu);
	dma_addr_t dma;
	u8 *buf, *was;
	void *cpu;

	cpu = dma_alloc_coherent(dev, len, &dma, GFP_KERNEL);
	if (cpu)
		dma_free_coherent(dev, len, cpu, dma);

	buf = kmalloc(size, GFP_KERNEL);
	was = kmalloc(size, GFP_KERNEL);
	if (!pvt_expect(t, buf && was, "no memory"))
		goto out;
	pvt_fill(buf, size, pvt_random(t));
	memcpy(was, buf, size);
	dma = dma_map_single(dev, buf + HOSTILE_GUARD, len, DMA_FROM_DEVICE);
	if (dma_mapping_error(dev, dma))
		goto out;
	dma_sync_single_for_cpu(dev, dma, len, DMA_FROM_DEVICE);
	dma_unmap_single(dev, dma, len, DMA_FROM_DEVICE);
	tail = HOSTILE_GUARD + len;
	pvt_same(t, buf, was, HOSTILE_GUARD, "memory before a mapping");
	pvt_same(t, buf + tail, was + tail, HOSTILE_GUARD, "memory behind a mapping");
out:
	kfree(buf);
	kfree(was);
}

/* Afterwards each device does what its driver wants, as before */
static void hostile_tamed(struct pvt *t, struct pvt_edu *edu)
{
	u8 *buf = kzalloc(SZ_2K, GFP_KERNEL), *want = kmalloc(SZ_2K, GFP_KERNEL);
	struct device *dev = pvt_edu_dev(edu);
	dma_addr_t dma;

	if (!pvt_expect(t, buf && want, "no memory"))
		goto out;
	pvt_fill(want, SZ_2K, pvt_random(t));
	dma = dma_map_single(dev, buf, SZ_2K, DMA_FROM_DEVICE);
	if (!pvt_expect(t, !dma_mapping_error(dev, dma), "cannot map"))
		goto out;
	pvt_dev_write(t, edu, dma, want, SZ_2K);
	dma_unmap_single(dev, dma, SZ_2K, DMA_FROM_DEVICE);
	pvt_same(t, buf, want, SZ_2K, "what a device wrote");
out:
	kfree(buf);
	kfree(want);
}

/* The last one there is; NULL if it is the only one */
static struct pvt_edu *hostile_last(void)
{
	struct pvt_edu *edu, *last = NULL;
	unsigned int i;

	for (i = 1; (edu = pvt_edu_get(i)); i++)
		last = edu;
	return last;
}

static bool hostile_map_pages(struct hostile_tame *h)
{
	struct device *dev = pvt_edu_dev(h->edu);
	unsigned int i;

	for (i = 0; i < HOSTILE_PAGES; i++) {
		h->page[i] = alloc_page(GFP_KERNEL);
		if (!h->page[i])
			return false;
		memcpy(page_address(h->page[i]), h->want + i * PAGE_SIZE, PAGE_SIZE);
		h->page_dma[i] = dma_map_page(dev, h->page[i], 0, PAGE_SIZE,
					      DMA_BIDIRECTIONAL);
		if (dma_mapping_error(dev, h->page_dma[i])) {
			__free_page(h->page[i]);
			h->page[i] = NULL;
			return false;
		}
	}
	return true;
}

static bool hostile_give(struct pvt *t)
{
	struct hostile_tame *h = &hostile_tame;
	struct device *dev = pvt_edu_dev(h->edu);

	h->cpu = dma_alloc_coherent(dev, HOSTILE_TAME, &h->cpu_dma, GFP_KERNEL);
	h->buf = kmalloc(HOSTILE_TAME, GFP_KERNEL);
	h->want = kmalloc(HOSTILE_TAME, GFP_KERNEL);
	if (!h->cpu || !h->buf || !h->want)
		return false;
	pvt_fill(h->want, HOSTILE_TAME, pvt_random(t));
	memcpy(h->cpu, h->want, HOSTILE_TAME);
	memcpy(h->buf, h->want, HOSTILE_TAME);
	h->buf_dma = dma_map_single(dev, h->buf, HOSTILE_TAME, DMA_FROM_DEVICE);
	if (dma_mapping_error(dev, h->buf_dma)) {
		kfree(h->buf);
		h->buf = NULL;
		return false;
	}
	return hostile_map_pages(h);
}

/* And look whether it is what it was; where @streaming is to be */
static void hostile_take(struct pvt *t, bool streaming)
{
	struct hostile_tame *h = &hostile_tame;
	struct device *dev = pvt_edu_dev(h->edu);
	unsigned int i;

	for (i = 0; i < HOSTILE_PAGES && h->page[i]; i++) {
		dma_unmap_page(dev, h->page_dma[i], PAGE_SIZE, DMA_BIDIRECTIONAL);
		if (streaming)
			pvt_same(t, page_address(h->page[i]), h->want + i * PAGE_SIZE,
				 PAGE_SIZE, "the tame device's pages");
		__free_page(h->page[i]);
		h->page[i] = NULL;
	}
	if (h->buf)
		dma_unmap_single(dev, h->buf_dma, HOSTILE_TAME, DMA_FROM_DEVICE);
	if (h->buf && streaming)
		pvt_same(t, h->buf, h->want, HOSTILE_TAME, "the tame device's buffer");
	if (h->cpu && h->want)
		pvt_same(t, h->cpu, h->want, HOSTILE_TAME, "the tame device's memory");
	if (h->cpu)
		dma_free_coherent(dev, HOSTILE_TAME, h->cpu, h->cpu_dma);
	kfree(h->buf);
	kfree(h->want);
}

static bool hostile_start(struct pvt *t)
{
	memset(&hostile_tame, 0, sizeof(hostile_tame));
	hostile_tame.edu = hostile_last();
	if (!pvt_on_pviommu() || !pvt_host_present() || !pvt_host_chunk()) {
		pvt_skip(t, "needs pv-iommu and chunks");
		return false;
	}
	if (!hostile_tame.edu) {
		pvt_skip(t, "needs two devices");
		return false;
	}
	if (!pvt_expect(t, hostile_give(t), "no memory")) {
		hostile_take(t, false);
		return false;
	}
	return true;
}

static void hostile_run(struct pvt *t, bool arena)
{
	unsigned long accesses = 0, refused = 0;
	u64 faults = pvt_host_faults();
	struct pvt_edu *edu;
	unsigned int e;
	u32 round;

	if (!hostile_start(t))
		return;
	for (round = 0; round < pvt_steps() && !t->failures; round++) {
		for (e = 0; (edu = pvt_edu_get(e)) != hostile_tame.edu; e++) {
			struct hostile_at at;

			hostile_aim(t, edu, arena, &at);
			accesses++;
			refused += at.refused;
			pvt_edu_begin(edu, at.dma, at.len, pvt_below(t, 4));
		}
		hostile_driver(t, pvt_edu_get(pvt_below(t, e + 1)));
		for (e = 0; (edu = pvt_edu_get(e)) != hostile_tame.edu; e++)
			pvt_expect(t, !pvt_edu_end(edu), "device %u has stopped", e);
	}
	faults = pvt_host_faults() - faults;
	pvt_log("# %lu accesses by %u devices, %llu refused, at least %lu of them rightly",
		accesses, e, faults, refused);
	pvt_expect(t, refused && faults >= refused, "%lu should have been refused", refused);
	pvt_expect(t, faults < accesses, "nothing was reached: that says nothing");
	hostile_take(t, !arena);
	for (e = 0; (edu = pvt_edu_get(e)); e++)
		hostile_tamed(t, edu);
}

/* All but what others have a right to in the same place */
static void hostile_scribble(struct pvt *t)
{
	hostile_run(t, false);
}

static void hostile_arena(struct pvt *t)
{
	hostile_run(t, true);
}

static const struct pvt_case hostile_cases[] = {
	{ "scribble", hostile_scribble },
	{ "arena", hostile_arena },
};

PVT_GROUP(hostile);
