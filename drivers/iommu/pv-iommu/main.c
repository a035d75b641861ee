// SPDX-License-Identifier: GPL-2.0
/*
 * pv-iommu: the paravirtual IOMMU's guest driver
 *
 * The host grants chunks of a window, and maps each for DMA once. This driver
 * takes coherent memory from them and bounces streaming DMA through them, so
 * that the data path needs no hypercall and the host pins what is granted and
 * not the guest. See Documentation/pv-iommu/.
 */
#define pr_fmt(fmt) "pv_iommu: " fmt

#include <linux/init.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/string.h>

#include "pviommu.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

static const char * const pviommu_mode_names[] = {
	[PVIOMMU_MODE_AUTO]	= "auto",
	[PVIOMMU_MODE_WINDOW]	= "window",
	[PVIOMMU_MODE_BOUNCE]	= "bounce",
	[PVIOMMU_MODE_OFF]	= "off",
};

static char *mode = "auto";
module_param(mode, charp, 0444);
MODULE_PARM_DESC(mode, "How to serve streaming DMA: auto (what the host offers, the default), window, bounce, or off (attach nothing)");

static char *devices = "all";
module_param(devices, charp, 0444);
MODULE_PARM_DESC(devices, "Devices to attach: all (the default), or a comma-separated list of [dddd:]bb:dd.f or vvvv:dddd; '!' in front of one excludes it");

static char *direct = "";
module_param(direct, charp, 0444);
MODULE_PARM_DESC(direct, "Devices whose drivers never sync: whole pages are granted to them, and not bounced, in all directions; a list as of devices=, beside displays and processing accelerators (default: none)");

static unsigned int direct_cache;
module_param(direct_cache, uint, 0444);
MODULE_PARM_DESC(direct_cache, "MiB around direct mappings that devices may reach and that stay granted, so that mapping them again costs no exit (default: 0, exactly what is mapped)");

/* PCI_BASE_CLASS_ACCELERATOR, which 6.1 has no name for */
#define PVIOMMU_CLASS_ACCELERATOR	0x12

/* What the parameter asks for; read-only after init */
enum pviommu_mode pviommu_mode;

/**
 * pviommu_mode_name - a mode as it is written on the command line
 * @m: the mode
 */
const char *pviommu_mode_name(enum pviommu_mode m)
{
	return pviommu_mode_names[m];
}

/* Does one word of devices= mean this device? -EINVAL if it means none ever */
static int pviommu_match(const char *word, struct pci_dev *pdev)
{
	unsigned int domain, bus, slot, fn, vendor, device;
	bool full;
	char end;

	if (!strcmp(word, "all"))
		return 1;
	full = sscanf(word, "%x:%x:%x.%x%c", &domain, &bus, &slot, &fn, &end) == 4;
	/* What does not match has set some of them all the same */
	if (!full)
		domain = 0;
	if (full || sscanf(word, "%x:%x.%x%c", &bus, &slot, &fn, &end) == 3) {
		if (bus > 0xff || slot > 0x1f || fn > 7)
			return -EINVAL;
		return pdev && pci_domain_nr(pdev->bus) == domain &&
		       pdev->bus->number == bus &&
		       pdev->devfn == PCI_DEVFN(slot, fn);
	}
	if (sscanf(word, "%4x:%4x%c", &vendor, &device, &end) == 2)
		return pdev && pdev->vendor == vendor && pdev->device == device;
	return -EINVAL;
}

/*
 * Walk devices=, or direct=. Words after others overrule them; a list that only excludes
 * begins with all.
 */
static int pviommu_filter(const char *p, struct pci_dev *pdev)
{
	int wanted = *p == '!';
	char word[24];

	while (*p) {
		size_t len = strcspn(p, ",");
		bool exclude = *p == '!';
		int match;

		if (len - exclude >= sizeof(word))
			return -EINVAL;
		strscpy(word, p + exclude, len - exclude + 1);
		match = pviommu_match(word, pdev);
		if (match < 0)
			return match;
		if (match)
			wanted = !exclude;
		p += len + (p[len] == ',');
	}
	return wanted;
}

/**
 * pviommu_wants - is a device among those that the user chose?
 * @pdev: the device
 *
 * Context: any.
 */
bool pviommu_wants(struct pci_dev *pdev)
{
	return pviommu_filter(devices, pdev) > 0;
}

/**
 * pviommu_wants_direct - does its driver map memory and never sync it?
 * @pdev: the device
 *
 * Those of displays and processing accelerators do not, which map pages once and leave
 * them so. More are named by the user.
 *
 * Context: any.
 */
bool pviommu_wants_direct(struct pci_dev *pdev)
{
	unsigned int base = pdev->class >> 16;

	if (pviommu_filter(direct, pdev) > 0)
		return true;
	return base == PCI_BASE_CLASS_DISPLAY || base == PVIOMMU_CLASS_ACCELERATOR;
}

/**
 * pviommu_ram_cache_budget - how much RAM may stay granted that is not mapped
 *
 * Context: any.
 * Return: pieces of 2 MiB.
 */
int pviommu_ram_cache_budget(void)
{
	return direct_cache / PVIOMMU_RAM_CACHE_MIB;
}

static int __init pviommu_init(void)
{
	int ret = match_string(pviommu_mode_names,
			       ARRAY_SIZE(pviommu_mode_names), mode);

	if (ret < 0) {
		pr_warn("mode=%s is not known; allowed are auto, window, bounce and off; using auto\n",
			mode);
		ret = PVIOMMU_MODE_AUTO;
	}
	pviommu_mode = ret;

	if (pviommu_filter(direct, NULL) < 0) {
		pr_warn("direct=%s is not understood; allowed is a list of [dddd:]bb:dd.f and vvvv:dddd, each with ! to exclude it, or all; using none\n",
			direct);
		direct = "";
	}
	if (!*devices || pviommu_filter(devices, NULL) < 0) {
		pr_warn("devices=%s is not understood; allowed are all, or a list of [dddd:]bb:dd.f and vvvv:dddd, each with ! to exclude it; using all\n",
			devices);
		devices = "all";
	}
	if (direct_cache == 1)
		pr_warn("direct_cache=1 keeps nothing: it is in MiB, and 2 of them are granted at once\n");

	if (pviommu_mode == PVIOMMU_MODE_OFF) {
		pr_info("off by mode=off; no device is attached\n");
		return 0;
	}
	return pviommu_pci_register();
}

static void __exit pviommu_exit(void)
{
	if (pviommu_mode != PVIOMMU_MODE_OFF)
		pviommu_pci_unregister();
}

/*
 * Built in, before the drivers of the devices that it serves, whatever the link
 * order; a module's init in any case.
 */
rootfs_initcall(pviommu_init);
module_exit(pviommu_exit);

MODULE_DESCRIPTION("Paravirtual IOMMU: DMA through a window that the host reserves");
MODULE_AUTHOR("The pv-iommu authors");
MODULE_LICENSE("GPL");
