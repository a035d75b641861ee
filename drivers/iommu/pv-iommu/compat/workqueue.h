/* SPDX-License-Identifier: GPL-2.0 */
/* pv-iommu: work queues that older kernels call otherwise */
#ifndef _PVIOMMU_COMPAT_WORKQUEUE_H
#define _PVIOMMU_COMPAT_WORKQUEUE_H

#include <linux/workqueue.h>

/* workqueue: Add system_percpu_wq and system_dfl_wq (6.17) */
#ifdef PVIOMMU_NO_SYSTEM_PERCPU_WQ
#define system_percpu_wq	system_wq
#endif

#endif /* _PVIOMMU_COMPAT_WORKQUEUE_H */
