/*
 * pv-iommu: the differences between the versions of QEMU that it builds with
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_PV_IOMMU_COMPAT_H
#define HW_PV_IOMMU_COMPAT_H

#include "hw/mem/memory-device.h"
#include "hw/pci/pci.h"
#include "hw/pci/pci_bridge.h"
#include "hw/pci/pci_bus.h"
#include "migration/blocker.h"
#include "qapi/error.h"

/*
 * include/hw/pci: Split pci_device.h off pci.h (8.0)
 * include: Rename sysemu/ -> system/ (10.0)
 */
#if QEMU_VERSION_MAJOR >= 10
#include "hw/pci/pci_device.h"
#include "system/hostmem.h"
#include "system/reset.h"
#include "system/system.h"
#else
#include "sysemu/hostmem.h"
#include "sysemu/reset.h"
#include "sysemu/sysemu.h"
#endif

/*
 * include: exec/memory.h and others went to system/, and
 * qom: a class_init's data became const (10.1)
 */
#if QEMU_VERSION_MAJOR < 10 || (QEMU_VERSION_MAJOR == 10 && !QEMU_VERSION_MINOR)
#include "exec/address-spaces.h"
#include "exec/ramblock.h"

typedef void PvIommuClassData;
#else
#include "system/address-spaces.h"
#include "system/ramblock.h"

typedef const void PvIommuClassData;
#endif

/* In pv-iommu-space.c; here, as pci_setup_iommu() is told of it here */
AddressSpace *pv_iommu_get_address_space(PCIBus *bus, void *opaque, int devfn);

/* hw/pci: modify pci_setup_iommu() to set PCIIOMMUOps (8.2) */
#if QEMU_VERSION_MAJOR >= 10

static const PCIIOMMUOps pv_iommu_ops = {
    .get_address_space = pv_iommu_get_address_space,
};

/* Is there an IOMMU on this very bus, not on one above it? */
static inline bool pv_iommu_bus_taken(PCIBus *bus)
{
    return bus->iommu_ops;
}

static inline bool pv_iommu_bus_is_mine(PCIBus *bus, void *opaque)
{
    return bus->iommu_ops == &pv_iommu_ops && bus->iommu_opaque == opaque;
}

static inline void pv_iommu_bus_setup(PCIBus *bus, void *opaque)
{
    pci_setup_iommu(bus, &pv_iommu_ops, opaque);
}

/* pci_setup_iommu() does not take none for an answer */
static inline void pv_iommu_bus_release(PCIBus *bus)
{
    bus->iommu_ops = NULL;
    bus->iommu_opaque = NULL;
}

#else

/* Is there an IOMMU on this very bus, not on one above it? */
static inline bool pv_iommu_bus_taken(PCIBus *bus)
{
    return bus->iommu_fn;
}

static inline bool pv_iommu_bus_is_mine(PCIBus *bus, void *opaque)
{
    return bus->iommu_fn == pv_iommu_get_address_space &&
           bus->iommu_opaque == opaque;
}

static inline void pv_iommu_bus_setup(PCIBus *bus, void *opaque)
{
    pci_setup_iommu(bus, pv_iommu_get_address_space, opaque);
}

static inline void pv_iommu_bus_release(PCIBus *bus)
{
    pci_setup_iommu(bus, NULL, NULL);
}

#endif

/* Has all of memory to stay resident? system/vl.c: mlock on fault (10.0) */
static inline bool pv_iommu_memory_is_locked(void)
{
#if QEMU_VERSION_MAJOR >= 10
    return should_mlock(mlock_state);
#else
    return enable_mlock;
#endif
}

/* memory-device: drop legacy_align (9.1) */
static inline void pv_iommu_pre_plug(MemoryDeviceState *md, MachineState *ms,
                                     Error **errp)
{
#if QEMU_VERSION_MAJOR >= 10
    memory_device_pre_plug(md, ms, errp);
#else
    memory_device_pre_plug(md, ms, NULL, errp);
#endif
}

/* migration: simplify blockers (8.2) */
static inline bool pv_iommu_add_blocker(Error **reason, Error **errp)
{
#if QEMU_VERSION_MAJOR >= 10
    return !migrate_add_blocker(reason, errp);
#else
    if (!migrate_add_blocker(*reason, errp)) {
        return true;
    }
    error_free(*reason);
    *reason = NULL;
    return false;
#endif
}

static inline void pv_iommu_del_blocker(Error **reason)
{
#if QEMU_VERSION_MAJOR >= 10
    migrate_del_blocker(reason);
#else
    if (*reason) {
        migrate_del_blocker(*reason);
        error_free(*reason);
        *reason = NULL;
    }
#endif
}

/* QAPI's optional strings had a has_ flag until 8.0 */
static inline void pv_iommu_fill_id(VirtioPMEMDeviceInfo *vi, const char *id)
{
#if QEMU_VERSION_MAJOR < 8
    vi->has_id = id;
#endif
    vi->id = g_strdup(id);
}

/*
 * qdev: make properties array "constant" (10.0): its length is its end, and it
 * has to be const; 7.2 has it written to
 */
#if QEMU_VERSION_MAJOR >= 10
typedef const Property PvIommuProperty;
#define PV_IOMMU_PROP_END
#else
typedef Property PvIommuProperty;
#define PV_IOMMU_PROP_END DEFINE_PROP_END_OF_LIST()
#endif

/*
 * virtio-mem: unplug memory only during system resets (9.1): before, that was
 * not in a phase. Its handler came before the reset of all devices, which is
 * registered last; this one comes before any, registered as QEMU starts.
 */
static inline void pv_iommu_register_first_reset(QEMUResetHandler *first)
{
#if QEMU_VERSION_MAJOR < 10
    qemu_register_reset(first, NULL);
#endif
}

/* reset: Add RESET_TYPE argument to hold and exit phase methods (9.1) */
#if QEMU_VERSION_MAJOR >= 10
#define PV_IOMMU_RESET_EXIT(name) void name(Object *obj, ResetType type)
#else
#define PV_IOMMU_RESET_EXIT(name) void name(Object *obj)
#endif

#endif /* HW_PV_IOMMU_COMPAT_H */
