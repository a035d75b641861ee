// SPDX-License-Identifier: GPL-2.0
/* dma: avoid redundant calls for sync operations (6.10) */
#include <linux/device.h>
void probe(struct device *dev)
{
	dev->dma_skip_sync = false;
}
