/* SPDX-License-Identifier: GPL-2.0 */
/*
 * pv-iommu: direct mappings
 *
 * Two sets of callbacks for each mode: for devices all of whose whole pages are
 * direct, and for those of which only some mappings are. They go on to the mode's
 * own for what bounces. A device of a host that does not offer it has those alone.
 */
#ifndef _PVIOMMU_DIRECT_H
#define _PVIOMMU_DIRECT_H

#include <linux/dma-mapping.h>
#include <linux/mm.h>

#include "pviommu.h"
#include "bounce.h"

/**
 * enum pviommu_need - why a mapping is to be direct, so what if it cannot be
 * @PVIOMMU_NEED_SPEED: it is large: bounced, unless it can be kept
 * @PVIOMMU_NEED_RATHER: somebody may not sync: bounced, and said so
 * @PVIOMMU_NEED_MUST: nobody does: refused
 */
enum pviommu_need {
	PVIOMMU_NEED_SPEED,
	PVIOMMU_NEED_RATHER,
	PVIOMMU_NEED_MUST,
};

static __always_inline bool pviommu_is_direct(dma_addr_t dma)
{
	return dma - pviommu_host->direct_dma < pviommu_host->direct_size;
}

/* Whole pages that the device reaches */
static __always_inline bool pviommu_direct_fits(struct pviommu_host *host, phys_addr_t phys,
						size_t len, const struct pviommu_limits *lim)
{
	u64 last = phys + len - 1;

	return len && len <= U32_MAX && PAGE_ALIGNED(phys | len) && last >= phys &&
	       last < host->direct_size && host->direct_dma + last <= lim->dma_limit &&
	       !pviommu_crosses(host->direct_dma + phys, len, lim->boundary_mask);
}

/* direct.c */
bool pviommu_direct_map_phys(struct device *dev, phys_addr_t phys, size_t size,
			     enum dma_data_direction dir, unsigned long attrs,
			     enum pviommu_need need, dma_addr_t *dma);
void pviommu_direct_unmap_phys(struct device *dev, dma_addr_t dma, size_t size,
			       enum dma_data_direction dir);
int pviommu_direct_map_sg(struct device *dev, struct scatterlist *sgl, int nents,
			  enum dma_data_direction dir, unsigned long attrs,
			  enum pviommu_need need);

/* mixed.c */
int pviommu_mixed_map_sg(struct device *dev, struct scatterlist *sgl, int nents,
			 enum dma_data_direction dir, unsigned long attrs,
			 enum pviommu_need need);
void pviommu_mixed_unmap_sg(struct device *dev, struct scatterlist *sgl, int nents,
			    enum dma_data_direction dir, unsigned long attrs);
void pviommu_mixed_sync_sg(struct device *dev, struct scatterlist *sgl, int nents,
			   enum dma_data_direction dir, bool to_device);

PVIOMMU_DECLARE_STREAMING(some_window);
PVIOMMU_DECLARE_STREAMING(some_bounce);
PVIOMMU_DECLARE_STREAMING(all_window);
PVIOMMU_DECLARE_STREAMING(all_bounce);

#endif /* _PVIOMMU_DIRECT_H */
