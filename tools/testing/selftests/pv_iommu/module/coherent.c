// SPDX-License-Identifier: GPL-2.0
/* Coherent memory: zeroed, aligned, reachable, and what the device sees */
#include <linux/kernel.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "pvt.h"

#define COHERENT_MAX	SZ_1M
#define COHERENT_MANY	64

/* Both addresses are aligned to the smallest order that holds @size */
static void coherent_check_place(struct pvt *t, const void *cpu, dma_addr_t dma,
				 size_t size)
{
	size_t align = PAGE_SIZE << get_order(size);

	pvt_expect(t, IS_ALIGNED(dma, align), "%zu bytes at dma %pad", size, &dma);
	pvt_expect(t, IS_ALIGNED((unsigned long)cpu, PAGE_SIZE),
		   "%zu bytes at %p", size, cpu);
	pvt_expect(t, dma + size - 1 <= t->dev->coherent_dma_mask,
		   "dma %pad beyond the mask", &dma);
}

static void coherent_zeroed(struct pvt *t)
{
	dma_addr_t dma;
	size_t size;
	void *cpu;
	int round;

	/* twice: the second time the memory has been dirtied */
	for (round = 0; round < 2; round++) {
		for (size = 1; size <= COHERENT_MAX; size = size * 3 + 1) {
			cpu = dma_alloc_coherent(t->dev, size, &dma, GFP_KERNEL);
			if (!pvt_expect(t, cpu, "no %zu bytes", size))
				return;
			pvt_zero(t, cpu, PAGE_ALIGN(size), "coherent memory");
			pvt_fill(cpu, size, size);
			dma_free_coherent(t->dev, size, cpu, dma);
		}
	}
}

static void coherent_aligned(struct pvt *t)
{
	static const size_t sizes[] = {
		1, 4095, 4096, 4097, SZ_8K, 12000, SZ_16K, SZ_64K, 65537,
		100000, SZ_256K, SZ_512K, SZ_1M,
	};
	void *cpu[ARRAY_SIZE(sizes)];
	dma_addr_t dma[ARRAY_SIZE(sizes)];
	int i, j;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		/* a small window cannot align a large block */
		if (pvt_on_pviommu() && sizes[i] > pvt_host_room() / 8)
			break;
		cpu[i] = dma_alloc_coherent(t->dev, sizes[i], &dma[i],
					    GFP_KERNEL);
		if (!pvt_expect(t, cpu[i], "no %zu bytes", sizes[i]))
			break;
		coherent_check_place(t, cpu[i], dma[i], sizes[i]);
		for (j = 0; j < i; j++)
			pvt_expect(t, dma[i] + sizes[i] <= dma[j] ||
				   dma[j] + sizes[j] <= dma[i],
				   "%zu and %zu bytes overlap", sizes[i],
				   sizes[j]);
	}
	while (i--)
		dma_free_coherent(t->dev, sizes[i], cpu[i], dma[i]);
}

static void coherent_device(struct pvt *t)
{
	size_t size;

	for (size = 1; size <= SZ_64K; size = size * 5 + 3) {
		u8 *want = vmalloc(size), *got = vmalloc(size);
		dma_addr_t dma;
		void *cpu;

		cpu = dma_alloc_coherent(t->dev, size, &dma, GFP_KERNEL);
		if (pvt_expect(t, want && got && cpu, "no %zu bytes", size)) {
			pvt_fill(want, size, pvt_random(t));
			memcpy(cpu, want, size);
			if (pvt_dev_read(t, t->edu, dma, got, size))
				pvt_same(t, got, want, size, "device read");
			pvt_fill(want, size, pvt_random(t));
			if (pvt_dev_write(t, t->edu, dma, want, size))
				pvt_same(t, cpu, want, size, "device write");
		}
		if (cpu)
			dma_free_coherent(t->dev, size, cpu, dma);
		vfree(want);
		vfree(got);
	}
}

/* Many at a time, freed in another order; each keeps its bytes */
static void coherent_many(struct pvt *t)
{
	void *cpu[COHERENT_MANY] = {};
	dma_addr_t dma[COHERENT_MANY];
	u8 *want;
	int i;

	want = kmalloc(SZ_8K, GFP_KERNEL);
	if (!pvt_expect(t, want, "no memory"))
		return;
	for (i = 0; i < COHERENT_MANY; i++) {
		cpu[i] = dma_alloc_coherent(t->dev, 64 + 100 * i, &dma[i],
					    GFP_KERNEL);
		if (!pvt_expect(t, cpu[i], "allocation %d failed", i))
			break;
		pvt_fill(cpu[i], 64 + 100 * i, i);
	}
	for (i = 0; i < COHERENT_MANY; i++) {
		int n = i * 37 % COHERENT_MANY;

		if (!cpu[n])
			continue;
		pvt_fill(want, 64 + 100 * n, n);
		pvt_same(t, cpu[n], want, 64 + 100 * n, "one of many");
		dma_free_coherent(t->dev, 64 + 100 * n, cpu[n], dma[n]);
	}
	kfree(want);
}

static void coherent_atomic(struct pvt *t)
{
	unsigned long flags;
	dma_addr_t dma;
	void *cpu;

	local_irq_save(flags);
	cpu = dma_alloc_coherent(t->dev, SZ_8K, &dma, GFP_ATOMIC);
	local_irq_restore(flags);
	if (!pvt_expect(t, cpu, "no memory with interrupts off"))
		return;
	coherent_check_place(t, cpu, dma, SZ_8K);
	pvt_zero(t, cpu, SZ_8K, "memory from atomic context");
	dma_free_coherent(t->dev, SZ_8K, cpu, dma);
}

static void coherent_mask(struct pvt *t)
{
	u64 mask = DMA_BIT_MASK(24);
	dma_addr_t dma;
	void *cpu;

	/* the host's arena may begin beyond 16 MiB */
	if (pvt_on_pviommu() && !pvt_host_serves(mask))
		mask = DMA_BIT_MASK(28);
	if (!pvt_expect(t, !dma_set_coherent_mask(t->dev, mask),
			"coherent mask %llx is refused", mask))
		return;
	cpu = dma_alloc_coherent(t->dev, SZ_16K, &dma, GFP_KERNEL);
	if (!pvt_expect(t, cpu, "nothing below %llx", mask))
		return;
	coherent_check_place(t, cpu, dma, SZ_16K);
	dma_free_coherent(t->dev, SZ_16K, cpu, dma);
}

/* Too much is refused, and what is left still works */
static void coherent_refused(struct pvt *t)
{
	/* Rounded up to pages, the last is nothing */
	static const size_t sizes[] = { SZ_1G, SIZE_MAX & PAGE_MASK, SIZE_MAX };
	dma_addr_t dma;
	void *cpu;
	int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		cpu = dma_alloc_attrs(t->dev, sizes[i], &dma,
				      GFP_KERNEL | __GFP_NOWARN, DMA_ATTR_NO_WARN);
		if (!pvt_expect(t, !cpu, "%zu bytes of coherent memory", sizes[i]))
			dma_free_coherent(t->dev, sizes[i], cpu, dma);
	}
	cpu = dma_alloc_coherent(t->dev, PAGE_SIZE, &dma, GFP_KERNEL);
	if (pvt_expect(t, cpu, "nothing left after a refusal"))
		dma_free_coherent(t->dev, PAGE_SIZE, cpu, dma);
}

static const struct pvt_case coherent_cases[] = {
	{ "zeroed", coherent_zeroed },
	{ "aligned", coherent_aligned },
	{ "device", coherent_device },
	{ "many", coherent_many },
	{ "atomic", coherent_atomic },
	{ "mask", coherent_mask },
	{ "refused", coherent_refused },
};

PVT_GROUP(coherent);
