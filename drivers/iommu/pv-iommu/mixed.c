// SPDX-License-Identifier: GPL-2.0
/*
 * pv-iommu: lists of which whole pages are direct, and parts of pages bounce
 *
 * A buffer that begins or ends within a page is a list whose first or last entry is a
 * part of one. That is bounced, as the rest of the page would be shown as well; the
 * entries between are whole pages, and need not be. Each entry that bounces is a mapping
 * by itself, as map_phys() makes them; those that follow one another and are direct are
 * as a list of their own.
 *
 * The device's limits have to allow it: between two entries there must be no other gap
 * than its driver has made sure of. Where the device keeps all offsets in a page
 * (min_align_mask), each piece begins and ends in its page where the entry does. Others,
 * whose entries would be moved to where a block begins, have one that bounces as a whole.
 *
 * Who unmaps or syncs such a list knows it by its first two segments, of which one at
 * least is direct: lists that bounce as a whole have none.
 */
#include <linux/dma-map-ops.h>
#include <linux/dma-mapping.h>
#include <linux/scatterlist.h>

#include "pviommu.h"
#include "bounce.h"
#include "direct.h"
#include "ram.h"
#include "compat/dma-mapping.h"
#include "trace.h"

static bool pviommu_mixed_host_copies(struct pviommu_dev *pd)
{
	/* It does not change while the device has what bounces */
	return READ_ONCE(pd->mode) == PVIOMMU_MODE_BOUNCE;
}

/* The two ends of a buffer. More would be a mapping each, and in bounce mode an exit. */
#define PVIOMMU_MIXED_PARTS	2

/* The device keeps offsets; no entry is empty; and most may be direct, at the start, too */
static bool pviommu_mixed_fits(struct pviommu_dev *pd, struct scatterlist *sgl, int nents)
{
	const struct pviommu_limits lim = pviommu_get_limits(pd->dev);
	struct scatterlist *sg;
	int i, parts = 0;

	if (~lim.align_mask & ~PAGE_MASK)
		return false;
	for_each_sg(sgl, sg, nents, i) {
		if (!sg->length)
			return false;
		if (pviommu_direct_fits(pd->host, sg_phys(sg), sg->length, &lim))
			continue;
		/* Both of the first two would hide that there is more */
		if (++parts > PVIOMMU_MIXED_PARTS || (i == 1 && parts > 1))
			return false;
	}
	return parts;
}

/* How many of the entries from @sg on may be direct */
static int pviommu_mixed_whole(struct pviommu_dev *pd, struct scatterlist *sg, int nents)
{
	const struct pviommu_limits lim = pviommu_get_limits(pd->dev);
	int n;

	for (n = 0; n < nents && pviommu_direct_fits(pd->host, sg_phys(sg), sg->length, &lim);
	     n++)
		sg = sg_next(sg);
	return n;
}

/*
 * An entry that bounces; 1, or the errno. 0: all may bounce, which knows better why it
 * does not work.
 */
static int pviommu_mixed_bounce(struct pviommu_dev *pd, struct scatterlist *sg,
				enum dma_data_direction dir, unsigned long attrs,
				enum pviommu_need need)
{
	sg_dma_address(sg) = pviommu_mixed_host_copies(pd) ?
		pviommu_bounce_map_phys(pd->dev, sg_phys(sg), sg->length, dir, attrs) :
		pviommu_window_map_phys(pd->dev, sg_phys(sg), sg->length, dir, attrs);
	sg_dma_len(sg) = sg->length;
	if (sg_dma_address(sg) != DMA_MAPPING_ERROR)
		return 1;
	return need == PVIOMMU_NEED_MUST ? -ENOMEM : 0;
}

static void pviommu_mixed_unbounce(struct pviommu_dev *pd, struct scatterlist *sg,
				   enum dma_data_direction dir, unsigned long attrs)
{
	if (pviommu_mixed_host_copies(pd))
		pviommu_bounce_unmap_phys(pd->dev, sg_dma_address(sg), sg_dma_len(sg), dir,
					  attrs);
	else
		pviommu_window_unmap_phys(pd->dev, sg_dma_address(sg), sg_dma_len(sg), dir,
					  attrs);
}

/* Segments in a row that are direct */
static void pviommu_mixed_put(struct pviommu_dev *pd, struct scatterlist *sgl, int nsegs,
			      enum dma_data_direction dir)
{
	if (!nsegs)
		return;
	trace_pviommu_unmap(pd->rid, sg_dma_address(sgl), 0, nsegs, dir);
	pviommu_ram_put(pd, sgl, nsegs);
	this_cpu_inc(pd->stats->unmaps);
}

/* So many segments, or as many as there are */
static void pviommu_mixed_unmap(struct pviommu_dev *pd, struct scatterlist *sg, int most,
				enum dma_data_direction dir, unsigned long attrs)
{
	struct scatterlist *row = NULL;
	int n = 0;

	for (; most && sg_dma_len(sg); most--, sg = sg_next(sg)) {
		if (likely(pviommu_is_direct(sg_dma_address(sg)))) {
			row = n++ ? row : sg;
			continue;
		}
		pviommu_mixed_put(pd, row, n, dir);
		pviommu_mixed_unbounce(pd, sg, dir, attrs);
		n = 0;
	}
	pviommu_mixed_put(pd, row, n, dir);
}

/**
 * pviommu_mixed_map_sg - map a list whose whole pages are direct, and bounce the rest
 * @dev: the device
 * @sgl: the list, which cannot be direct as a whole
 * @nents: its entries
 * @dir: the direction
 * @attrs: DMA_ATTR_*
 * @need: whether what may be direct may be bounced for want of grants
 *
 * Context: any but NMI. Exits as for pviommu_direct_map_sg(), for each row of entries
 * that are direct; and as for map_phys() for each other, of which there are
 * PVIOMMU_MIXED_PARTS at most. In the counters each of them is a mapping.
 * Return: the number of DMA segments, or an errno that dma_map_sgtable() knows; 0: it
 * is to be bounced as a whole.
 */
int pviommu_mixed_map_sg(struct device *dev, struct scatterlist *sgl, int nents,
			 enum dma_data_direction dir, unsigned long attrs,
			 enum pviommu_need need)
{
	struct scatterlist *sg = sgl, *out = sgl, *seg;
	struct pviommu_dev *pd = to_pviommu_dev(dev);
	int nsegs = 0, left, whole, ret, i;

	if (!pd || nents < 2 || attrs & (DMA_ATTR_MMIO | DMA_ATTR_REQUIRE_COHERENT) ||
	    (need == PVIOMMU_NEED_SPEED && !READ_ONCE(pd->cached)) ||
	    !pviommu_mixed_fits(pd, sgl, nents))
		return 0;
	for (left = nents; left; left -= whole) {
		whole = pviommu_mixed_whole(pd, sg, left);
		ret = whole ? pviommu_direct_map_sg(dev, sg, whole, dir, attrs, need) :
			      pviommu_mixed_bounce(pd, sg, dir, attrs, need);
		if (ret <= 0)
			goto unwind;
		whole = max(whole, 1);
		/* The segments of the list are its first ones */
		for (i = 0, seg = sg; i < ret; i++, seg = sg_next(seg), out = sg_next(out)) {
			sg_dma_address(out) = sg_dma_address(seg);
			sg_dma_len(out) = sg_dma_len(seg);
		}
		nsegs += ret;
		for (i = 0; i < whole; i++)
			sg = sg_next(sg);
	}
	if (nsegs < nents)
		sg_dma_len(out) = 0;
	return nsegs;

unwind:
	pviommu_mixed_unmap(pd, sgl, nsegs, dir, attrs | DMA_ATTR_SKIP_CPU_SYNC);
	return ret;
}

/**
 * pviommu_mixed_unmap_sg - undo pviommu_mixed_map_sg() or pviommu_direct_map_sg()
 * @dev: the device
 * @sgl: the list, of which the DMA members say what is mapped
 * @nents: its entries
 * @dir: the direction
 * @attrs: DMA_ATTR_*
 *
 * Context: any but NMI. See pviommu_direct_unmap_phys().
 */
void pviommu_mixed_unmap_sg(struct device *dev, struct scatterlist *sgl, int nents,
			    enum dma_data_direction dir, unsigned long attrs)
{
	struct pviommu_dev *pd = to_pviommu_dev(dev);

	if (!WARN_ON_ONCE(!pd))
		pviommu_mixed_unmap(pd, sgl, nents, dir, attrs);
}

static void pviommu_mixed_sync(struct pviommu_dev *pd, struct scatterlist *sg,
			       enum dma_data_direction dir, bool to_device)
{
	const bool host_copies = pviommu_mixed_host_copies(pd);
	dma_addr_t dma = sg_dma_address(sg);
	size_t len = sg_dma_len(sg);

	if (host_copies && to_device)
		pviommu_bounce_sync_single_for_device(pd->dev, dma, len, dir);
	else if (host_copies)
		pviommu_bounce_sync_single_for_cpu(pd->dev, dma, len, dir);
	else if (to_device)
		pviommu_window_sync_single_for_device(pd->dev, dma, len, dir);
	else
		pviommu_window_sync_single_for_cpu(pd->dev, dma, len, dir);
}

/**
 * pviommu_mixed_sync_sg - sync what of such a list bounces
 * @dev: the device
 * @sgl: the list
 * @nents: its entries
 * @dir: the direction
 * @to_device: which way
 *
 * Context: any but NMI.
 */
void pviommu_mixed_sync_sg(struct device *dev, struct scatterlist *sgl, int nents,
			   enum dma_data_direction dir, bool to_device)
{
	struct pviommu_dev *pd = to_pviommu_dev(dev);
	struct scatterlist *sg;
	int i;

	if (!pviommu_sync_copies(dir, to_device))
		return;
	if (WARN_ON_ONCE(!pd))
		return;
	for_each_sg(sgl, sg, nents, i) {
		if (!sg_dma_len(sg))
			break;
		if (!pviommu_is_direct(sg_dma_address(sg)))
			pviommu_mixed_sync(pd, sg, dir, to_device);
	}
}
