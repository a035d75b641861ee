// SPDX-License-Identifier: GPL-2.0
/*
 * Binds a device while the guest is about to hibernate: after all others were asked
 * whether it may, and before user space is frozen. Nobody in user space is sure to hit
 * that.
 */
#include <linux/device.h>
#include <linux/pci.h>
#include <linux/suspend.h>

#include "pvt.h"

static char *bind_at_hibernation = "";
module_param(bind_at_hibernation, charp, 0444);
MODULE_PARM_DESC(bind_at_hibernation, "PCI address of a device that is to be bound as the guest begins to hibernate");

static int pvt_pm_notify(struct notifier_block *nb, unsigned long action, void *unused)
{
	struct device *dev;

	if (action != PM_HIBERNATION_PREPARE)
		return NOTIFY_DONE;
	dev = bus_find_device_by_name(&pci_bus_type, NULL, bind_at_hibernation);
	if (!dev)
		return NOTIFY_DONE;
	pr_info("binding %s: %d\n", dev_name(dev), device_attach(dev));
	put_device(dev);
	return NOTIFY_DONE;
}

static struct notifier_block pvt_pm_notifier = {
	.notifier_call = pvt_pm_notify,
	.priority = -1,		/* after pv_iommu */
};

int pvt_pm_init(void)
{
	return register_pm_notifier(&pvt_pm_notifier);
}

void pvt_pm_exit(void)
{
	unregister_pm_notifier(&pvt_pm_notifier);
}
