// SPDX-License-Identifier: GPL-2.0
/* Devices that reach less than all of the memory */
#include <linux/kernel.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "pvt.h"

#define MASKS_LIVE	16

/* Everything that @t's device is given lies within its mask */
static void masks_serve(struct pvt *t, unsigned int bits)
{
	u64 mask = DMA_BIT_MASK(bits);
	dma_addr_t dma[MASKS_LIVE], coherent;
	u8 *buf, *got;
	void *cpu;
	int i;

	if (pvt_on_pviommu() && !pvt_host_serves(mask)) {
		pvt_expect(t, dma_set_mask(t->dev, mask),
			   "%u bits are accepted and reach nothing", bits);
		return;
	}
	if (!pvt_expect(t, !dma_set_mask_and_coherent(t->dev, mask),
			"%u bits are refused", bits))
		return;
	buf = kmalloc(SZ_16K, GFP_KERNEL);
	got = kmalloc(SZ_16K, GFP_KERNEL);
	if (!pvt_expect(t, buf && got, "no memory"))
		goto out;
	pvt_fill(buf, SZ_16K, bits);
	for (i = 0; i < MASKS_LIVE; i++) {
		dma[i] = dma_map_single(t->dev, buf, SZ_16K, DMA_TO_DEVICE);
		if (!pvt_expect(t, !dma_mapping_error(t->dev, dma[i]),
				"%u bits: cannot map", bits))
			break;
		pvt_expect(t, dma[i] + SZ_16K - 1 <= mask, "%u bits: %pad",
			   bits, &dma[i]);
	}
	/* the device itself reaches no more than this */
	if (i && dma[0] + SZ_16K - 1 <= PVT_EDU_MASK &&
	    pvt_dev_read(t, t->edu, dma[0], got, SZ_16K))
		pvt_same(t, got, buf, SZ_16K, "device read");
	while (i--)
		dma_unmap_single(t->dev, dma[i], SZ_16K, DMA_TO_DEVICE);
	cpu = dma_alloc_coherent(t->dev, SZ_16K, &coherent, GFP_KERNEL);
	if (pvt_expect(t, cpu, "%u bits: no coherent memory", bits)) {
		pvt_expect(t, coherent + SZ_16K - 1 <= mask, "%u bits: %pad",
			   bits, &coherent);
		if (coherent + SZ_16K - 1 <= PVT_EDU_MASK && buf &&
		    pvt_dev_write(t, t->edu, coherent, buf, SZ_16K))
			pvt_same(t, cpu, buf, SZ_16K, "device write");
		dma_free_coherent(t->dev, SZ_16K, cpu, coherent);
	}
out:
	kfree(buf);
	kfree(got);
}

static void masks_all(struct pvt *t)
{
	static const unsigned int bits[] = { 24, 28, 32, 40, 64 };
	int i;

	for (i = 0; i < ARRAY_SIZE(bits); i++) {
		/* where swiotlb's buffer lies is up to chance */
		if (pvt_on_pviommu() || bits[i] >= 28)
			masks_serve(t, bits[i]);
	}
}

/* A mask below the window's start serves nothing, and leaves the old one */
static void masks_refused(struct pvt *t)
{
	u64 before = dma_get_mask(t->dev);

	if (!pvt_on_pviommu()) {
		pvt_skip(t, "other backends start lower");
		return;
	}
	pvt_expect(t, dma_set_mask(t->dev, DMA_BIT_MASK(16)),
		   "16 bits are accepted");
	pvt_expect(t, dma_get_mask(t->dev) == before, "mask is now %llx",
		   dma_get_mask(t->dev));
	pvt_expect(t, dma_set_coherent_mask(t->dev, DMA_BIT_MASK(16)),
		   "16 coherent bits are accepted");
}

static void masks_addressing_limited(struct pvt *t)
{
	u64 required;

	if (!pvt_on_pviommu()) {
		pvt_skip(t, "depends on the machine's memory");
		return;
	}
	dma_set_mask(t->dev, DMA_BIT_MASK(64));
	required = dma_get_required_mask(t->dev);
	pvt_expect(t, !dma_addressing_limited(t->dev), "64 bits are too few");
	/* one bit less than is required, where that can be served at all */
	if (pvt_host_serves(required >> 1) &&
	    pvt_expect(t, !dma_set_mask(t->dev, required >> 1),
		       "mask %llx is refused", required >> 1))
		pvt_expect(t, dma_addressing_limited(t->dev),
			   "mask %llx is enough where %llx is required",
			   dma_get_mask(t->dev), required);
}

/* bus_dma_limit is as good as a mask */
static void masks_bus_limit(struct pvt *t)
{
	u64 limit = t->dev->bus_dma_limit, bus;
	dma_addr_t dma;
	u8 *buf;

	if (!pvt_on_pviommu()) {
		pvt_skip(t, "swiotlb's buffer may lie above it, and it warns");
		return;
	}
	buf = kmalloc(SZ_4K, GFP_KERNEL);
	if (!pvt_expect(t, buf, "no memory"))
		return;
	dma_set_mask(t->dev, DMA_BIT_MASK(64));
	bus = pvt_host_serves(DMA_BIT_MASK(24)) ? DMA_BIT_MASK(24) :
						  DMA_BIT_MASK(28);
	t->dev->bus_dma_limit = bus;
	dma = dma_map_single(t->dev, buf, SZ_4K, DMA_TO_DEVICE);
	if (pvt_expect(t, !dma_mapping_error(t->dev, dma), "cannot map")) {
		pvt_expect(t, dma + SZ_4K - 1 <= bus,
			   "%pad beyond the bus limit", &dma);
		dma_unmap_single(t->dev, dma, SZ_4K, DMA_TO_DEVICE);
	}
	t->dev->bus_dma_limit = limit;
	kfree(buf);
}

/*
 * A limited device finds room while one that is not holds the larger part of
 * it: addresses that all can reach are the last to be given away.
 */
static void masks_served_while_busy(struct pvt *t, unsigned int bits)
{
	struct device *wide = pvt_edu_dev(t->other);
	size_t len = SZ_16K, max, n = 0;
	dma_addr_t *dma;
	u8 *buf;

	max = pvt_host_room() / 8 * 5 / len;
	dma = vmalloc(array_size(max, sizeof(*dma)));
	buf = kzalloc(len, GFP_KERNEL);
	if (!pvt_expect(t, dma && buf, "no memory") ||
	    !pvt_expect(t, !dma_set_mask(wide, DMA_BIT_MASK(64)), "no 64 bits"))
		goto out;
	while (n < max) {
		dma[n] = dma_map_single_attrs(wide, buf, len, DMA_TO_DEVICE,
					      DMA_ATTR_NO_WARN);
		if (dma_mapping_error(wide, dma[n]))
			break;
		n++;
	}
	pvt_expect(t, n > max / 2, "only %zu mappings of %zu", n, max);
	masks_serve(t, bits);
	while (n--)
		dma_unmap_single(wide, dma[n], len, DMA_TO_DEVICE);
out:
	vfree(dma);
	kfree(buf);
}

static void masks_while_busy(struct pvt *t)
{
	if (!pvt_on_pviommu() || !t->other) {
		pvt_skip(t, "needs pv-iommu and two devices");
		return;
	}
	masks_served_while_busy(t, 28);
	/* 24 bits reach 15 MiB of the usual window: ask only if that is little */
	if (pvt_host_room() >= SZ_64M)
		masks_served_while_busy(t, 24);
}

static const struct pvt_case masks_cases[] = {
	{ "all", masks_all },
	{ "refused", masks_refused },
	{ "addressing_limited", masks_addressing_limited },
	{ "bus_limit", masks_bus_limit },
	{ "while_busy", masks_while_busy },
};

PVT_GROUP(masks);
