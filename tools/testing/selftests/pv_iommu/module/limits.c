// SPDX-License-Identifier: GPL-2.0
/* What a device or its driver limits, and how large mappings may get */
#include <linux/dma-mapping.h>
#include <linux/gfp.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/pci.h>
#include <linux/slab.h>

#include "pvt.h"

#define LIMITS_LARGEST	SZ_4M	/* no mapping is to be larger... */
#define LIMITS_SHARE	8	/* ...or take more of the room than one in so many */

/* The low bits of the buffer's address are those of the DMA address */
static void limits_min_align(struct pvt *t)
{
	static const unsigned int masks[] = { 0x1ff, 0x7ff, 0xfff };
	u8 *buf = kmalloc(PVT_PIECE, GFP_KERNEL), *got = kmalloc(PVT_PIECE, GFP_KERNEL);
	int i, j;

	if (!pvt_expect(t, buf && got, "no memory"))
		goto out;
	pvt_fill(buf, PVT_PIECE, pvt_random(t));
	for (i = 0; i < ARRAY_SIZE(masks); i++) {
		dma_set_min_align_mask(t->dev, masks[i]);
		for (j = 0; j < 64 && !t->failures; j++) {
			u8 *p = buf + pvt_off(pvt_below(t, SZ_8K));
			size_t len = pvt_len(1 + pvt_below(t, SZ_4K));
			dma_addr_t dma;

			dma = dma_map_single(t->dev, p, len, DMA_TO_DEVICE);
			if (!pvt_expect(t, !dma_mapping_error(t->dev, dma),
					"cannot map"))
				break;
			pvt_expect(t, !((dma ^ virt_to_phys(p)) & masks[i]),
				   "%pad for %x, mask %x", &dma,
				   (u32)virt_to_phys(p) & 0xffff, masks[i]);
			if (!(j % 16) &&
			    pvt_dev_read(t, t->edu, dma, got, len))
				pvt_same(t, got, p, len, "device read");
			dma_unmap_single(t->dev, dma, len, DMA_TO_DEVICE);
		}
	}
out:
	kfree(buf);
	kfree(got);
}

/* The same of each entry of a list: what NVMe's PRP lists rely on */
static void limits_min_align_sg(struct pvt *t)
{
	struct scatterlist sgl[8], *seg = sgl;
	u8 *buf = kmalloc(SZ_64K, GFP_KERNEL), *got = kmalloc(SZ_64K, GFP_KERNEL);
	size_t total = 0, pos = 0, seg_pos = 0;
	int i, nents;

	if (!pvt_expect(t, buf && got, "no memory"))
		goto out;
	dma_set_min_align_mask(t->dev, 0xfff);
	pvt_fill(buf, SZ_64K, pvt_random(t));
	sg_init_table(sgl, ARRAY_SIZE(sgl));
	for (i = 0; i < ARRAY_SIZE(sgl); i++) {
		if (pvt_whole())
			sg_set_buf(&sgl[i], buf + i * SZ_8K, (1 + i % 2) * SZ_4K);
		else
			sg_set_buf(&sgl[i], buf + i * SZ_8K + 300 * i, 1000 + 500 * i);
		total += sgl[i].length;
	}
	nents = dma_map_sg(t->dev, sgl, ARRAY_SIZE(sgl), DMA_TO_DEVICE);
	if (!pvt_expect(t, nents > 0, "cannot map"))
		goto out;
	for (i = 0; i < ARRAY_SIZE(sgl) && !t->failures; i++) {
		dma_addr_t dma = sg_dma_address(seg) + seg_pos;

		pvt_expect(t, !((dma ^ sg_phys(&sgl[i])) & 0xfff),
			   "entry %d at %pad, offset %x", i, &dma,
			   sgl[i].offset);
		seg_pos += sgl[i].length;
		if (seg_pos == sg_dma_len(seg)) {
			seg++;
			seg_pos = 0;
		}
	}
	if (pvt_sg_legal(t, t->dev, sgl, nents, total) &&
	    pvt_dev_read_sg(t, t->edu, sgl, nents, got, total)) {
		for (i = 0; i < ARRAY_SIZE(sgl); i++) {
			pvt_same(t, got + pos, sg_virt(&sgl[i]), sgl[i].length,
				 "device read");
			pos += sgl[i].length;
		}
	}
	dma_unmap_sg(t->dev, sgl, ARRAY_SIZE(sgl), DMA_TO_DEVICE);
out:
	kfree(buf);
	kfree(got);
}

#define LIMITS_LIVE	32

/* Mappings that live together, so that they lie everywhere */
static void limits_boundary(struct pvt *t)
{
	static const unsigned long bounds[] = { 0xfff, 0x3fff, 0xffff };
	dma_addr_t dma[LIMITS_LIVE];
	size_t len[LIMITS_LIVE];
	u8 *buf = kmalloc(SZ_64K, GFP_KERNEL);
	int i, j;

	if (!pvt_expect(t, buf, "no memory"))
		return;
	for (i = 0; i < ARRAY_SIZE(bounds); i++) {
		unsigned long bound = bounds[i];

		dma_set_seg_boundary(t->dev, bound);
		for (j = 0; j < LIMITS_LIVE; j++) {
			len[j] = 1 + pvt_below(t, min_t(u32, bound + 1, SZ_32K));
			if (pvt_whole())
				len[j] = PAGE_ALIGN(len[j]);
			dma[j] = dma_map_single(t->dev, buf, len[j],
						DMA_TO_DEVICE);
			if (!pvt_expect(t, !dma_mapping_error(t->dev, dma[j]),
					"cannot map %zu bytes", len[j]))
				break;
			pvt_expect(t, (dma[j] & ~bound) ==
				   ((dma[j] + len[j] - 1) & ~bound),
				   "%pad + %zu crosses %lx", &dma[j], len[j],
				   bound);
		}
		while (j--)
			dma_unmap_single(t->dev, dma[j], len[j], DMA_TO_DEVICE);
	}
	kfree(buf);
}

/* Lists of pages under limits of all sizes; segments are merged or not */
static void limits_segments(struct pvt *t)
{
	static const struct {
		unsigned int max;
		unsigned long boundary;
	} limits[] = {
		{ SZ_4K, U32_MAX }, { SZ_8K, U32_MAX }, { SZ_64K, U32_MAX },
		{ 12 * SZ_1K, U32_MAX }, { SZ_64K, 0xfff }, { SZ_64K, 0x1fff },
		{ SZ_64K, 0xffff }, { SZ_16K, 0x7fff }, { SZ_1M, U32_MAX },
		{ SZ_4K, 0xfff },
	};
	struct scatterlist *sgl = kcalloc(64, sizeof(*sgl), GFP_KERNEL);
	u8 *buf = kmalloc(SZ_64K, GFP_KERNEL), *got = kmalloc(SZ_64K, GFP_KERNEL);
	int i, j, n, nents;

	if (!pvt_expect(t, sgl && buf && got, "no memory"))
		goto out;
	pvt_fill(buf, SZ_64K, pvt_random(t));
	for (i = 0; i < ARRAY_SIZE(limits); i++) {
		dma_set_max_seg_size(t->dev, limits[i].max);
		dma_set_seg_boundary(t->dev, limits[i].boundary);
		/* pages, then half pages at odd offsets */
		for (j = 0; j < (pvt_whole() ? 1 : 2); j++) {
			size_t len = j ? 1500 : SZ_4K;

			sg_init_table(sgl, 16);
			for (n = 0; n < 16; n++)
				sg_set_buf(&sgl[n], buf + n * SZ_4K + j * 1001,
					   len);
			nents = dma_map_sg(t->dev, sgl, 16, DMA_TO_DEVICE);
			if (!pvt_expect(t, nents > 0, "cannot map"))
				goto out;
			pvt_sg_legal(t, t->dev, sgl, nents, 16 * len);
			if (pvt_dev_read_sg(t, t->edu, sgl, nents, got,
					    16 * len)) {
				for (n = 0; n < 16; n++)
					pvt_same(t, got + n * len,
						 sg_virt(&sgl[n]), len, "entry");
			}
			dma_unmap_sg(t->dev, sgl, 16, DMA_TO_DEVICE);
		}
	}
out:
	kfree(sgl);
	kfree(buf);
	kfree(got);
}

/*
 * Half as many of the largest as have room, at the same time; each with the low
 * bits of its address kept, which is when a block is of no use but to itself.
 */
static void limits_largest_live(struct pvt *t, u8 *buf, size_t max)
{
	dma_addr_t dma[LIMITS_SHARE / 2];
	int i;

	dma_set_min_align_mask(t->dev, SZ_4K - 1);
	for (i = 0; i < ARRAY_SIZE(dma); i++) {
		dma[i] = dma_map_single(t->dev, buf + SZ_2K, max - SZ_2K,
					DMA_TO_DEVICE);
		if (!pvt_expect(t, !dma_mapping_error(t->dev, dma[i]),
				"cannot map %zu bytes %d times", max, i + 1))
			break;
		pvt_expect(t, offset_in_page(dma[i]) == SZ_2K, "%pad", &dma[i]);
	}
	while (i--)
		dma_unmap_single(t->dev, dma[i], max - SZ_2K, DMA_TO_DEVICE);
	dma_set_min_align_mask(t->dev, 0);
}

/* As large as the backend says, which is what it owes and no more */
static void limits_largest(struct pvt *t)
{
	size_t max = dma_max_mapping_size(t->dev), len, n;
	unsigned int order = get_order(LIMITS_LARGEST);
	struct page *pages;
	dma_addr_t dma;
	u8 *buf, *got;

	pvt_log("# dma_max_mapping_size %zu, dma_opt_mapping_size %zu", max,
		dma_opt_mapping_size(t->dev));
	pvt_expect(t, dma_opt_mapping_size(t->dev) <= max, "optimum beyond it");
	if (pvt_on_pviommu()) {
		size_t owed = min_t(u64, LIMITS_LARGEST,
				    rounddown_pow_of_two(pvt_host_room() /
							 LIMITS_SHARE));

		/* A domain may have just one chunk, and something else in it */
		if (!pvt_on_bounce() && pvt_host_chunk())
			owed = min_t(u64, owed, pvt_host_chunk() / 2);
		pvt_expect(t, max == owed, "%zu bytes, not %zu", max, owed);
	}
	pages = alloc_pages(GFP_KERNEL, order);
	got = kmalloc(SZ_8K, GFP_KERNEL);
	if (!pages || !got) {
		pvt_skip(t, "no %d contiguous bytes of memory", LIMITS_LARGEST);
		goto out;
	}
	buf = page_address(pages);
	for (len = SZ_64K; len <= LIMITS_LARGEST && len <= max; len *= 2) {
		pvt_fill(buf, len, pvt_random(t));
		dma = dma_map_single(t->dev, buf, len, DMA_BIDIRECTIONAL);
		if (!pvt_expect(t, !dma_mapping_error(t->dev, dma),
				"cannot map %zu bytes", len))
			break;
		/* both ends and the middle through the device */
		for (n = 0; n < len; n += (len - SZ_8K) / 2) {
			if (pvt_dev_read(t, t->edu, dma + n, got, SZ_8K))
				pvt_same(t, got, buf + n, SZ_8K, "device read");
		}
		pvt_fill(got, SZ_8K, pvt_random(t));
		pvt_dev_write(t, t->edu, dma + len - SZ_8K, got, SZ_8K);
		dma_unmap_single(t->dev, dma, len, DMA_BIDIRECTIONAL);
		pvt_same(t, buf + len - SZ_8K, got, SZ_8K, "memory's end");
	}
	if (pvt_on_pviommu() && !pvt_whole() && !t->failures)
		limits_largest_live(t, buf, max);
	if (!pvt_on_pviommu() && max < LIMITS_LARGEST) {
		dma = dma_map_single_attrs(t->dev, buf, LIMITS_LARGEST,
					   DMA_TO_DEVICE, DMA_ATTR_NO_WARN);
		if (!pvt_expect(t, dma_mapping_error(t->dev, dma),
				"more than %zu bytes were mapped", max))
			dma_unmap_single(t->dev, dma, LIMITS_LARGEST,
					 DMA_TO_DEVICE);
	}
out:
	if (pages)
		__free_pages(pages, order);
	kfree(got);
}

/* Device memory cannot be bounced */
static void limits_resource(struct pvt *t)
{
	phys_addr_t bar = pci_resource_start(to_pci_dev(t->dev), 0);
	dma_addr_t dma;

	if (!pvt_on_pviommu()) {
		pvt_skip(t, "other backends may map it");
		return;
	}
	dma = dma_map_resource(t->dev, bar, SZ_4K, DMA_BIDIRECTIONAL,
			       DMA_ATTR_NO_WARN);
	if (!pvt_expect(t, dma_mapping_error(t->dev, dma), "was mapped"))
		dma_unmap_resource(t->dev, dma, SZ_4K, DMA_BIDIRECTIONAL, 0);
}

/* What it says of itself */
static void limits_queries(struct pvt *t)
{
	dma_addr_t dma;
	u8 *buf;

	if (!pvt_on_pviommu()) {
		pvt_skip(t, "other backends answer otherwise");
		return;
	}
	buf = kmalloc(64, GFP_KERNEL);
	if (!pvt_expect(t, buf, "no memory"))
		return;
	dma = dma_map_single(t->dev, buf, 64, DMA_FROM_DEVICE);
	if (pvt_expect(t, !dma_mapping_error(t->dev, dma), "cannot map")) {
		pvt_expect(t, dma_need_sync(t->dev, dma),
			   "dma_need_sync says no");
		pvt_expect(t, pvt_host_reaches(dma), "%pad is nowhere", &dma);
		dma_unmap_single(t->dev, dma, 64, DMA_FROM_DEVICE);
	}
	pvt_expect(t, dma_can_mmap(t->dev), "dma_can_mmap says no");
	pvt_expect(t, !dma_get_merge_boundary(t->dev),
		   "merges at a boundary of %lx", dma_get_merge_boundary(t->dev));
	pvt_expect(t, dma_get_required_mask(t->dev) <= pvt_edu_mask(),
		   "needs a mask of %llx", dma_get_required_mask(t->dev));
	pvt_expect(t, !dma_pci_p2pdma_supported(t->dev),
		   "claims to do peer-to-peer DMA");
	kfree(buf);
}

/* An address that no struct page belongs to is refused, and not looked up */
static void limits_no_page(struct pvt *t)
{
#ifdef DMA_ATTR_MMIO
	phys_addr_t phys = 1ULL << 44;
	dma_addr_t dma;

	if (!pvt_expect(t, !pfn_valid(PHYS_PFN(phys)), "%pap has a page", &phys))
		return;
	dma = dma_map_phys(t->dev, phys, SZ_4K, DMA_TO_DEVICE, 0);
	if (!pvt_expect(t, dma_mapping_error(t->dev, dma), "%pap was mapped", &phys))
		dma_unmap_phys(t->dev, dma, SZ_4K, DMA_TO_DEVICE, 0);
#else
	pvt_skip(t, "this kernel maps pages, and not addresses");
#endif
}

static const struct pvt_case limits_cases[] = {
	{ "min_align", limits_min_align },
	{ "min_align_sg", limits_min_align_sg },
	{ "boundary", limits_boundary },
	{ "segments", limits_segments },
	{ "largest", limits_largest },
	{ "resource", limits_resource },
	{ "no_page", limits_no_page },
	{ "queries", limits_queries },
};

PVT_GROUP(limits);
