/* SPDX-License-Identifier: GPL-2.0 */
/*
 * pv-iommu: the shape of struct dma_map_ops, which changed between kernels
 *
 * The body of the driver has the shape of the newest kernel: map_phys. What
 * older ones want is made from it here. Makefile.probe finds
 * out.
 */
#ifndef _PVIOMMU_COMPAT_DMA_MAP_OPS_H
#define _PVIOMMU_COMPAT_DMA_MAP_OPS_H

#include <linux/dma-map-ops.h>
#include <linux/mm.h>
#include <linux/pfn.h>

/*
 * Where a device cannot have DMA operations of its own, set_dma_ops() does nothing
 * (6.12). What selects the symbol is named; so does this driver in the tree.
 */
#if !defined(CONFIG_ARCH_HAS_DMA_OPS) && !defined(CONFIG_DMA_OPS)
#error "pv_iommu needs a kernel with ARCH_HAS_DMA_OPS: set CONFIG_XEN or CONFIG_GART_IOMMU"
#endif

/* dma-mapping: prepare dma_map_ops to conversion to physical address (6.19) */
#ifndef PVIOMMU_NO_MAP_PHYS

#define PVIOMMU_DEFINE_MAP(mode)

static inline bool pviommu_has_page(phys_addr_t phys)
{
	return pfn_valid(PHYS_PFN(phys));
}

#define PVIOMMU_OP_MAP(mode)						\
	.map_phys	= pviommu_##mode##_map_phys,			\
	.unmap_phys	= pviommu_##mode##_unmap_phys

#else

/* The DMA API was given a page, so there is one */
static inline bool pviommu_has_page(phys_addr_t phys)
{
	return true;
}

/*
 * map_resource stays NULL where there is one: dma_map_resource() then fails,
 * with a warning on kernels that think that the driver is to blame. So refuse
 * by a function of our own.
 */
#define PVIOMMU_DEFINE_MAP(mode)						\
static dma_addr_t pviommu_##mode##_map_page(struct device *dev,			\
					    struct page *page,			\
					    unsigned long offset, size_t size,	\
					    enum dma_data_direction dir,	\
					    unsigned long attrs)		\
{										\
	return pviommu_##mode##_map_phys(dev, page_to_phys(page) + offset,	\
					 size, dir, attrs);			\
}										\
										\
static dma_addr_t pviommu_##mode##_map_resource(struct device *dev,		\
						phys_addr_t phys, size_t size,	\
						enum dma_data_direction dir,	\
						unsigned long attrs)		\
{										\
	return DMA_MAPPING_ERROR;						\
}

#define PVIOMMU_OP_MAP(mode)						\
	.map_page	= pviommu_##mode##_map_page,			\
	.unmap_page	= pviommu_##mode##_unmap_phys,			\
	.map_resource	= pviommu_##mode##_map_resource

#endif

/* change alloc_pages name in dma_map_ops to avoid name conflicts (6.10) */
#ifndef PVIOMMU_NO_ALLOC_PAGES_OP
#define PVIOMMU_OP_ALLOC_PAGES	.alloc_pages_op
#else
#define PVIOMMU_OP_ALLOC_PAGES	.alloc_pages
#endif

#endif /* _PVIOMMU_COMPAT_DMA_MAP_OPS_H */
