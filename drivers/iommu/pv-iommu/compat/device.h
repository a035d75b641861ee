/* SPDX-License-Identifier: GPL-2.0 */
/* pv-iommu: struct device, where kernels differ */
#ifndef _PVIOMMU_COMPAT_DEVICE_H
#define _PVIOMMU_COMPAT_DEVICE_H

#include <linux/device.h>

/*
 * dma: avoid redundant calls for sync operations (6.10): dma_set_mask() decides
 * from the operations of that moment whether dma_sync_*() do anything. Ours
 * came without that, and always want to be called.
 *
 * driver core: Replace dev->dma_skip_sync with dev_dma_skip_sync() (7.2)
 */
static inline void pviommu_no_skip_sync(struct device *dev)
{
#ifndef PVIOMMU_NO_DEV_CLEAR_DMA_SKIP_SYNC
	dev_clear_dma_skip_sync(dev);
#elif !defined(PVIOMMU_NO_DMA_SKIP_SYNC)
	dev->dma_skip_sync = false;
#endif
}

#endif /* _PVIOMMU_COMPAT_DEVICE_H */
