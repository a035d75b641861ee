/*
 * pv-iommu: what the host's sysfs says of an assigned device
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/sysmacros.h>
#include "qemu/cutils.h"
#include "hw/vfio/pci.h"
#include "pv-iommu.h"

bool pv_iommu_is_assigned(PCIDevice *pdev)
{
    return object_dynamic_cast(OBJECT(pdev), TYPE_VFIO_PCI);
}

/* A host device's place in sysfs; NULL if the command line does not say */
static char *sysfs_path(PCIDevice *pdev)
{
    char *path = object_property_get_str(OBJECT(pdev), "sysfsdev", NULL);
    g_autofree char *host = NULL;
    int fd = ((VFIOPCIDevice *)pdev)->vbasedev.fd;
    struct stat st;

    if (path && *path) {
        return path;
    }
    g_free(path);

    /*
     * Whoever may not open the device is given it open, and that is all there
     * is to go by. Its file is a character device where it is iommufd's.
     */
    if (fd > 0 && !fstat(fd, &st) && S_ISCHR(st.st_mode)) {
        return g_strdup_printf("/sys/dev/char/%u:%u/device", major(st.st_rdev),
                               minor(st.st_rdev));
    }

    host = object_property_get_str(OBJECT(pdev), "host", NULL);
    return host && *host ? g_strdup_printf("/sys/bus/pci/devices/%s", host)
                         : NULL;
}

/* The VFIO group that the device is in; false: it is not known */
bool pv_iommu_host_group(PCIDevice *pdev, int *group)
{
    g_autofree char *path = sysfs_path(pdev);
    g_autofree char *link = NULL;
    g_autofree char *target = NULL;
    g_autofree char *name = NULL;

    if (!path) {
        return false;
    }
    link = g_strdup_printf("%s/iommu_group", path);
    target = g_file_read_link(link, NULL);
    if (!target) {
        return false;
    }
    name = g_path_get_basename(target);
    return !qemu_strtoi(name, NULL, 10, group) && *group >= 0;
}

/* A file of the device's in sysfs; NULL if there is none */
static char *sysfs_read(PCIDevice *pdev, const char *name)
{
    g_autofree char *path = sysfs_path(pdev);
    g_autofree char *file = path ? g_strdup_printf("%s/%s", path, name) : NULL;
    char *text = NULL;

    return file && g_file_get_contents(file, &text, NULL, NULL) ? text : NULL;
}

/* Lines of a first address, a last one, and what is there */
static char *reserved_conflict(PCIDevice *pdev, uint64_t first, uint64_t last)
{
    g_autofree char *text = sysfs_read(pdev, "iommu_group/reserved_regions");
    g_auto(GStrv) lines = text ? g_strsplit(text, "\n", -1) : NULL;

    for (int i = 0; lines && lines[i]; i++) {
        uint64_t from, to;
        const char *end;

        if (qemu_strtou64(lines[i], &end, 16, &from) ||
            qemu_strtou64(end, &end, 16, &to) ||
            /* what the firmware used while it booted: VFIO does not mind */
            strstr(end, "direct-relaxable")) {
            continue;
        }
        if (from <= last && first <= to) {
            return g_strdup_printf("reserves 0x%" PRIx64 " to 0x%" PRIx64
                                   " (%s)", from, to, g_strstrip((char *)end));
        }
    }
    return NULL;
}

/* Intel's say how many bits they translate; others translate all there are */
static char *width_conflict(PCIDevice *pdev, uint64_t last)
{
    g_autofree char *text = sysfs_read(pdev, "iommu/intel-iommu/cap");
    uint64_t cap;
    unsigned bits;

    if (!text || qemu_strtou64(g_strstrip(text), NULL, 16, &cap)) {
        return NULL;
    }
    /* MGAW, the maximum guest address width, less one */
    bits = extract64(cap, 16, 6) + 1;
    return bits < 64 && last >> bits ?
        g_strdup_printf("translates %u address bits", bits) : NULL;
}

/*
 * Why the IOMMU of the host's, if it has one for the device, cannot let it use
 * these DMA addresses; NULL if nothing is known. To be freed.
 */
char *pv_iommu_host_conflict(PvIommuState *s, PCIDevice *pdev, uint64_t base,
                             uint64_t size)
{
    const uint64_t last = base + size - 1;
    char *why;

    if (s->host_phys || !pv_iommu_is_assigned(pdev)) {
        return NULL;
    }
    why = reserved_conflict(pdev, base, last);
    return why ? why : width_conflict(pdev, last);
}
