/* SPDX-License-Identifier: GPL-2.0 */
/* pv-iommu: attributes of the DMA API that older kernels do not know */
#ifndef _PVIOMMU_COMPAT_DMA_MAPPING_H
#define _PVIOMMU_COMPAT_DMA_MAPPING_H

#include <linux/dma-mapping.h>

/* dma-mapping: introduce new DMA attribute to indicate MMIO memory (6.18) */
#ifndef DMA_ATTR_MMIO
#define DMA_ATTR_MMIO			0
#endif

/* dma-mapping: Introduce DMA require coherency attribute (7.1) */
#ifndef DMA_ATTR_REQUIRE_COHERENT
#define DMA_ATTR_REQUIRE_COHERENT	0
#endif

#endif /* _PVIOMMU_COMPAT_DMA_MAPPING_H */
