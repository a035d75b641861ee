/* SPDX-License-Identifier: GPL-2.0 */
/* See swiotlb-ops.c */
#ifndef _USER_SWIOTLB_OPS_H
#define _USER_SWIOTLB_OPS_H

#include "shim/control.h"

extern const struct dma_map_ops swiotlb_ops;
void swiotlb_begin(struct device *dev);

#endif /* _USER_SWIOTLB_OPS_H */
