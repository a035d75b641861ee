// SPDX-License-Identifier: GPL-2.0
/* dma-mapping: prepare dma_map_ops to conversion to physical address (6.19) */
#include <linux/dma-map-ops.h>
int probe = sizeof(((struct dma_map_ops *)0)->map_phys);
