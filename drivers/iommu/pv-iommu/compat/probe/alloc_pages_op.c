// SPDX-License-Identifier: GPL-2.0
/* change alloc_pages name in dma_map_ops to avoid name conflicts (6.10) */
#include <linux/dma-map-ops.h>
int probe = sizeof(((struct dma_map_ops *)0)->alloc_pages_op);
