// SPDX-License-Identifier: GPL-2.0
/*
 * How long does a map take, with IRQs off, when all of the window is taken, and others
 * keep as much as they can? Counted in what get_cycles() counts: instructions, where
 * QEMU runs with -icount shift=0, and nowhere else does the bound below mean anything.
 */
#include <linux/irqflags.h>
#include <linux/kernel.h>
#include <linux/slab.h>
#include <linux/timex.h>
#include <linux/vmalloc.h>

#include "pvt.h"

/* 200 microseconds of a CPU that does one instruction in a nanosecond */
#define PRESSURE_MOST	200000
#define PRESSURE_ROUNDS	4
#define PRESSURE_MAPS	32768
#define PRESSURE_BUF	SZ_1M
#define PRESSURE_ENTRIES	32

/**
 * struct pressure - one device's part
 * @dev: the device
 * @buf: what it maps
 * @dma: its mappings
 * @len: bytes of each
 * @n: how many there are
 */
struct pressure {
	struct device *dev;
	u8 *buf;
	dma_addr_t *dma;
	u32 *len;
	size_t n;
};

/* The longest calls so far */
struct pressure_worst {
	u64 map;
	u64 refused;
	u64 list;
	u64 unmap;
};

static bool pressure_map(struct pressure *p, size_t len, struct pressure_worst *worst)
{
	unsigned long flags;
	dma_addr_t dma;
	u64 took;

	if (p->n == PRESSURE_MAPS)
		return false;
	local_irq_save(flags);
	took = get_cycles();
	dma = dma_map_single_attrs(p->dev, p->buf, len, DMA_TO_DEVICE, DMA_ATTR_NO_WARN);
	took = get_cycles() - took;
	local_irq_restore(flags);
	if (dma_mapping_error(p->dev, dma)) {
		worst->refused = max(worst->refused, took);
		return false;
	}
	worst->map = max(worst->map, took);
	p->dma[p->n] = dma;
	p->len[p->n++] = len;
	return true;
}

/* A long list for which there is no room: it is tried as a whole, and in pieces */
static void pressure_list(struct pressure *p, struct pressure_worst *worst)
{
	const unsigned int len = PRESSURE_BUF / PRESSURE_ENTRIES;
	struct scatterlist sgl[PRESSURE_ENTRIES];
	unsigned long flags;
	unsigned int i;
	u64 took;
	int n;

	sg_init_table(sgl, PRESSURE_ENTRIES);
	for (i = 0; i < PRESSURE_ENTRIES; i++)
		sg_set_buf(&sgl[i], p->buf + i * len, len);
	local_irq_save(flags);
	took = get_cycles();
	n = dma_map_sg_attrs(p->dev, sgl, PRESSURE_ENTRIES, DMA_TO_DEVICE,
			     DMA_ATTR_NO_WARN);
	took = get_cycles() - took;
	local_irq_restore(flags);
	if (n)
		dma_unmap_sg(p->dev, sgl, PRESSURE_ENTRIES, DMA_TO_DEVICE);
	else
		worst->list = max(worst->list, took);
}

static void pressure_unmap_all(struct pressure *p, struct pressure_worst *worst)
{
	unsigned long flags;
	u64 took;

	while (p->n--) {
		local_irq_save(flags);
		took = get_cycles();
		dma_unmap_single(p->dev, p->dma[p->n], p->len[p->n], DMA_TO_DEVICE);
		took = get_cycles() - took;
		local_irq_restore(flags);
		worst->unmap = max(worst->unmap, took);
	}
	p->n = 0;
}

/* The CPU keeps as many free blocks for the device as it may, of each size */
static void pressure_keep(struct pressure *p)
{
	struct pressure_worst unused = { };
	unsigned int order, i;

	for (order = 0; order <= get_order(PRESSURE_BUF); order++) {
		/* Twice as many as a CPU keeps of any */
		for (i = 0; i < max(512 >> order, 8); i++) {
			if (!pressure_map(p, PAGE_SIZE << order, &unused))
				break;
		}
	}
	pressure_unmap_all(p, &unused);
}

static bool pressure_init(struct pressure *p, struct pvt_edu *edu)
{
	p->dev = pvt_edu_dev(edu);
	p->n = 0;
	p->buf = kzalloc(PRESSURE_BUF, GFP_KERNEL);
	p->dma = vmalloc(array_size(PRESSURE_MAPS, sizeof(*p->dma)));
	p->len = vmalloc(array_size(PRESSURE_MAPS, sizeof(*p->len)));
	return p->buf && p->dma && p->len;
}

static void pressure_exit(struct pressure *p)
{
	kfree(p->buf);
	vfree(p->dma);
	vfree(p->len);
}

static void pressure_irqs_off(struct pvt *t)
{
	struct pressure_worst worst = { };
	struct pressure mine = { }, others = { };
	size_t least = SIZE_MAX;
	int round;

	if (!pvt_on_window() || !t->other) {
		pvt_skip(t, "needs the window and two devices");
		return;
	}
	if (!pvt_expect(t, pressure_init(&mine, t->edu) && pressure_init(&others, t->other),
			"no memory"))
		goto out;
	for (round = 0; round < PRESSURE_ROUNDS; round++) {
		pressure_keep(&others);
		while (pressure_map(&mine, PAGE_SIZE, &worst))
			;
		least = min(least, mine.n);
		pressure_list(&mine, &worst);
		pressure_unmap_all(&mine, &worst);
		/* Larger ones, for which chunks have to be whole again */
		pressure_keep(&others);
		while (pressure_map(&mine, SZ_64K, &worst))
			;
		pressure_unmap_all(&mine, &worst);
	}
	pvt_log("# the longest: map %llu, refused %llu, refused list %llu, unmap %llu",
		worst.map, worst.refused, worst.list, worst.unmap);
	pvt_expect(t, worst.refused && worst.list,
		   "the window was never full: that says nothing");
	pvt_expect(t, least >= 1000, "only %zu mappings", least);
	pvt_expect(t, worst.map <= PRESSURE_MOST, "a map took %llu", worst.map);
	pvt_expect(t, worst.refused <= PRESSURE_MOST, "a refused map took %llu", worst.refused);
	pvt_expect(t, worst.list <= PRESSURE_MOST, "a refused list took %llu", worst.list);
	pvt_expect(t, worst.unmap <= PRESSURE_MOST, "an unmap took %llu", worst.unmap);
out:
	pressure_exit(&mine);
	pressure_exit(&others);
}

static const struct pvt_case pressure_cases[] = {
	{ "irqs_off", pressure_irqs_off },
};

PVT_GROUP(pressure);
