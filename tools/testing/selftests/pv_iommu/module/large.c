// SPDX-License-Identifier: GPL-2.0
/* Coherent memory by the megabyte, as drivers of adapters and host memory buffers want */
#include <linux/kernel.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "pvt.h"

#define LARGE_PIECE	SZ_4M
#define LARGE_OTHERS	40
#define LARGE_PIECES	256		/* more than any window here has */

struct large {
	void *cpu;
	dma_addr_t dma;
	size_t size;
};

static void *large_alloc(struct device *dev, size_t size, dma_addr_t *dma)
{
	return dma_alloc_attrs(dev, size, dma, GFP_KERNEL | __GFP_NOWARN, DMA_ATTR_NO_WARN);
}

static bool large_start(struct pvt *t)
{
	if (pvt_on_pviommu() && pvt_host_present() && pvt_host_chunk())
		return true;
	pvt_skip(t, "needs pv-iommu with chunks");
	return false;
}

/*
 * CPU's and device's address are aligned alike, as user space is to see huge pages: to
 * 2 MiB, and beyond that where the host has put the window so
 */
static void large_place(struct pvt *t, void *cpu, dma_addr_t dma, size_t size)
{
	u64 apart = virt_to_phys(cpu) - dma;
	u64 align = max_t(u64, apart & -apart, SZ_2M);

	align = min3(align, (u64)roundup_pow_of_two(size), (u64)SZ_4M);
	pvt_expect(t, IS_ALIGNED(dma, align), "%zu bytes at dma %pad", size, &dma);
	pvt_expect(t, IS_ALIGNED((unsigned long)cpu, align), "%zu bytes at %p", size, cpu);
}

/* The device reads and writes its first and last bytes, and those in the middle */
static void large_device(struct pvt *t, void *cpu, dma_addr_t dma, size_t size)
{
	const size_t at[] = { 0, size / 2 - 100, size - 200 };
	u8 want[200], got[200];
	int i;

	for (i = 0; i < ARRAY_SIZE(at); i++) {
		pvt_fill(want, sizeof(want), pvt_random(t));
		memcpy(cpu + at[i], want, sizeof(want));
		if (pvt_dev_read(t, t->edu, dma + at[i], got, sizeof(got)))
			pvt_same(t, got, want, sizeof(want), "device read");
		pvt_fill(want, sizeof(want), pvt_random(t));
		if (pvt_dev_write(t, t->edu, dma + at[i], want, sizeof(want)))
			pvt_same(t, cpu + at[i], want, sizeof(want), "device write");
	}
}

/* In one piece: 40 MiB of a window of 64, 96 of 256; more than once */
static void large_one(struct pvt *t)
{
	u64 window;
	dma_addr_t dma;
	size_t size;
	void *cpu;
	int round;

	if (!large_start(t))
		return;
	window = pvt_host_window_size();
	size = window >= SZ_256M ? 96 * SZ_1M : window * 5 / 8;
	for (round = 0; round < 3; round++) {
		cpu = large_alloc(t->dev, size, &dma);
		if (!pvt_expect(t, cpu, "no %zu of %llu bytes, round %d", size, window, round))
			return;
		pvt_log("# %zu of %llu bytes in one piece", size, window);
		large_place(t, cpu, dma, size);
		pvt_zero(t, cpu, size, "coherent memory");
		large_device(t, cpu, dma, size);
		memset(cpu, 0x5a, size);
		dma_free_coherent(t->dev, size, cpu, dma);
	}
}

static void large_aligned(struct pvt *t)
{
	static const size_t sizes[] = {
		SZ_64K, 100000, SZ_512K, SZ_1M, SZ_1M + 1, SZ_2M, 3 * SZ_1M, SZ_4M,
	};
	struct large had[ARRAY_SIZE(sizes)];
	int i;

	if (!large_start(t))
		return;
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		had[i].cpu = large_alloc(t->dev, sizes[i], &had[i].dma);
		if (!pvt_expect(t, had[i].cpu, "no %zu bytes", sizes[i]))
			break;
		large_place(t, had[i].cpu, had[i].dma, sizes[i]);
	}
	if (i == ARRAY_SIZE(sizes)) {
		u64 apart = virt_to_phys(had[0].cpu) - had[0].dma;

		pvt_log("# alike to %llu bytes", apart & -apart);
	}
	while (i--)
		dma_free_coherent(t->dev, sizes[i], had[i].cpu, had[i].dma);
}

/*
 * What another device needs of both kinds, while the first has taken all that it can:
 * more than the chunk that it has already
 */
static void large_others(struct pvt *t)
{
	struct device *dev = pvt_edu_dev(t->other);
	struct large had[LARGE_OTHERS];
	u8 *buf = kmalloc(SZ_64K, GFP_KERNEL);
	dma_addr_t dma;
	int i;

	if (!pvt_expect(t, buf, "no memory"))
		return;
	for (i = 0; i < LARGE_OTHERS; i++) {
		had[i].cpu = large_alloc(dev, SZ_64K, &had[i].dma);
		if (!pvt_expect(t, had[i].cpu, "piece %d for the other", i))
			break;
	}
	dma = dma_map_single(dev, buf, SZ_64K, DMA_TO_DEVICE);
	if (pvt_expect(t, !dma_mapping_error(dev, dma), "the other cannot map")) {
		u8 got[64];

		pvt_fill(buf, sizeof(got), pvt_random(t));
		dma_sync_single_for_device(dev, dma, SZ_64K, DMA_TO_DEVICE);
		if (pvt_dev_read(t, t->other, dma, got, sizeof(got)))
			pvt_same(t, got, buf, sizeof(got), "the other's read");
		dma_unmap_single(dev, dma, SZ_64K, DMA_TO_DEVICE);
	}
	while (i--)
		dma_free_coherent(dev, SZ_64K, had[i].cpu, had[i].dma);
	kfree(buf);
}

/* All that there is to be had, as an NVMe disk's host memory buffer is taken */
static void large_greedy(struct pvt *t)
{
	size_t size = LARGE_PIECE, sum = 0, n;
	struct large *had;
	u64 window;

	if (!large_start(t))
		return;
	if (!t->other) {
		pvt_skip(t, "needs two devices");
		return;
	}
	had = kcalloc(LARGE_PIECES, sizeof(*had), GFP_KERNEL);
	if (!pvt_expect(t, had, "no memory"))
		return;
	for (n = 0; n < LARGE_PIECES && size >= SZ_64K; ) {
		had[n].cpu = large_alloc(t->dev, size, &had[n].dma);
		if (!had[n].cpu) {
			/* And what is left between them */
			size /= 2;
			continue;
		}
		had[n].size = size;
		sum += had[n++].size;
	}
	window = pvt_host_window_size();
	pvt_log("# greedy: %zu bytes of a window of %llu, in %zu pieces of up to %d", sum,
		window, n, LARGE_PIECE);
	pvt_expect(t, n && n < LARGE_PIECES, "%zu pieces", n);
	/* Who is alone with its wants gets half of it at least */
	pvt_expect(t, pvt_shared() || sum >= window / 2, "only %zu bytes", sum);
	if (pvt_shared())
		pvt_log("# not isolated: there is nothing to keep for others");
	else
		large_others(t);
	while (n--)
		dma_free_coherent(t->dev, had[n].size, had[n].cpu, had[n].dma);
	kfree(had);
}

static const struct pvt_case large_cases[] = {
	{ "one", large_one },
	{ "aligned", large_aligned },
	{ "greedy", large_greedy },
};

PVT_GROUP(large);
