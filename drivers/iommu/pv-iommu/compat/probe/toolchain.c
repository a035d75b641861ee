// SPDX-License-Identifier: GPL-2.0
/* No change: what every kernel compiles. When it does not, no other probe says anything */
#include <linux/device.h>
#include <linux/dma-map-ops.h>
int probe = sizeof(struct device) + sizeof(((struct dma_map_ops *)0)->map_sg);
