// SPDX-License-Identifier: GPL-2.0
/*
 * What dma-direct does with swiotlb=force, as far as bench.c needs it: each map and
 * each entry of a list bounces.
 */
#include <linux/swiotlb.h>

#include "swiotlb-ops.h"

static dma_addr_t direct_map(struct device *dev, phys_addr_t phys, size_t size,
			     enum dma_data_direction dir, unsigned long attrs)
{
	if (is_swiotlb_force_bounce(dev))
		return swiotlb_map(dev, phys, size, dir, attrs);
	return phys;
}

static void direct_unmap(struct device *dev, dma_addr_t dma, size_t size,
			 enum dma_data_direction dir, unsigned long attrs)
{
	bool bounced = is_swiotlb_buffer(dev, dma);

	if (!(attrs & DMA_ATTR_SKIP_CPU_SYNC) && bounced)
		swiotlb_sync_single_for_cpu(dev, dma, size, dir);
	if (bounced)
		swiotlb_tbl_unmap_single(dev, dma, size, dir,
					 attrs | DMA_ATTR_SKIP_CPU_SYNC);
}

static void direct_unmap_sg(struct device *dev, struct scatterlist *sgl, int nents,
			    enum dma_data_direction dir, unsigned long attrs)
{
	struct scatterlist *sg;
	int i;

	for_each_sg(sgl, sg, nents, i)
		direct_unmap(dev, sg_dma_address(sg), sg_dma_len(sg), dir, attrs);
}

static int direct_map_sg(struct device *dev, struct scatterlist *sgl, int nents,
			 enum dma_data_direction dir, unsigned long attrs)
{
	struct scatterlist *sg;
	int i;

	for_each_sg(sgl, sg, nents, i) {
		sg->dma_address = direct_map(dev, sg_phys(sg), sg->length, dir, attrs);
		if (sg->dma_address == DMA_MAPPING_ERROR) {
			direct_unmap_sg(dev, sgl, i, dir, attrs | DMA_ATTR_SKIP_CPU_SYNC);
			return -EIO;
		}
		sg_dma_len(sg) = sg->length;
	}
	return nents;
}

const struct dma_map_ops swiotlb_ops = {
	.map_phys = direct_map,
	.unmap_phys = direct_unmap,
	.map_sg = direct_map_sg,
	.unmap_sg = direct_unmap_sg,
};

/**
 * swiotlb_begin - make the pool, and a device that uses it
 * @dev: the device
 */
void swiotlb_begin(struct device *dev)
{
	swiotlb_init(true, SWIOTLB_FORCE);
	swiotlb_update_mem_attributes();
	if (!io_tlb_default_mem.nslabs)
		shim_panic("swiotlb has found no memory");
	dev->dma_io_tlb_mem = &io_tlb_default_mem;
	dev->dma_ops = &swiotlb_ops;
}
