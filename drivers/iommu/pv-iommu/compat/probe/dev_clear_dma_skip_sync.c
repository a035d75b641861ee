// SPDX-License-Identifier: GPL-2.0
/* driver core: Replace dev->dma_skip_sync with dev_dma_skip_sync() (7.2) */
#include <linux/device.h>
void probe(struct device *dev)
{
	dev_clear_dma_skip_sync(dev);
}
