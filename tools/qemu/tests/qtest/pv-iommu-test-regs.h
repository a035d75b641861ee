/*
 * Tests of the pv-iommu device: edu, which they use as a DMA engine
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef PV_IOMMU_TEST_EDU_H
#define PV_IOMMU_TEST_EDU_H

#include "libqos/pci.h"

#define EDU_SRC         0x80
#define EDU_DST         0x88
#define EDU_CNT         0x90
#define EDU_CMD         0x98
#define EDU_BUFFER      0x40000
#define EDU_MAX         2048

typedef struct Edu {
    QPCIDevice *dev;
    QPCIBar bar;
} Edu;

#endif /* PV_IOMMU_TEST_EDU_H */
