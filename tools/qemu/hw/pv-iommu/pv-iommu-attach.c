/*
 * pv-iommu: how the guest attaches devices, and to what
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/log.h"
#include "pv-iommu.h"
#include "trace.h"

/* With isolation=off there is one group */
#define GROUP_ALL       0

PCIDevice *pv_iommu_find_pdev(PvIommuState *s, uint16_t rid)
{
    return pci_find_device(pci_get_bus(PCI_DEVICE(s)), PCI_BUS_NUM(rid),
                           rid & 0xff);
}

/* The device behind us that the guest means; NULL: none */
static PCIDevice *find_served(PvIommuState *s, uint16_t rid)
{
    PCIDevice *pdev = pv_iommu_find_pdev(s, rid);

    return pdev && pv_iommu_serves(s, pdev) ? pdev : NULL;
}

PvIommuDevice *pv_iommu_find_device(PvIommuState *s, uint16_t rid)
{
    PCIDevice *pdev = pv_iommu_find_pdev(s, rid);

    return pdev ? g_hash_table_lookup(s->devices, pdev) : NULL;
}

/* Can the device use these addresses, as far as is known? */
static bool translated(PvIommuState *s, PCIDevice *pdev, uint64_t base,
                       uint64_t size)
{
    g_autofree char *conflict = pv_iommu_host_conflict(s, pdev, base, size);

    return !conflict;
}

/*
 * Could an arena be shown to the device? To show one of ours to an assigned
 * device would pin it; and behind a conventional bridge such a device has the
 * space of a requester, as emulated ones have, in which VFIO finds no arena.
 */
bool pv_iommu_may_bounce(PvIommuState *s, PCIDevice *pdev)
{
    return !pv_iommu_is_assigned(pdev) ||
           ((s->boot_bypass || s->arena_memdev) &&
            !pv_iommu_space_of(s, pdev)->bus);
}

/* Which modes a device may be attached in, leaving others of its group aside */
static uint32_t modes_of(PvIommuState *s, PCIDevice *pdev)
{
    uint32_t modes = 0;

    if (s->guest_features & PV_IOMMU_F_WINDOW &&
        translated(s, pdev, s->dma_base, s->window_size)) {
        modes |= PV_IOMMU_ATTACH_WINDOW;
    }
    if (s->guest_features & PV_IOMMU_F_BOUNCE &&
        pv_iommu_may_bounce(s, pdev) &&
        translated(s, pdev, s->arena_base, s->arena_size)) {
        modes |= PV_IOMMU_ATTACH_BOUNCE;
    }
    return modes;
}

QEMU_BUILD_BUG_ON(PV_IOMMU_PROBE_WINDOW != PV_IOMMU_ATTACH_WINDOW ||
                  PV_IOMMU_PROBE_BOUNCE != PV_IOMMU_ATTACH_BOUNCE);

uint32_t pv_iommu_probe(PvIommuState *s, uint16_t rid, uint32_t *group,
                        uint32_t *offers)
{
    PCIDevice *pdev = find_served(s, rid);

    if (!pdev) {
        return PV_IOMMU_S_NODEV;
    }
    *group = s->isolation ? pv_iommu_space_of(s, pdev)->group : GROUP_ALL;
    *offers = modes_of(s, pdev);
    if (pv_iommu_is_assigned(pdev)) {
        *offers |= PV_IOMMU_PROBE_ASSIGNED;
    }
    trace_pv_iommu_probe(rid, *group, *offers);
    return PV_IOMMU_S_OK;
}

/* Would that put a group in two domains? */
static bool splits_group(PvIommuState *s, PvIommuSpace *sp, uint32_t domain)
{
    if (sp->domain) {
        return sp->domain->id != domain;
    }
    return !s->isolation && g_hash_table_size(s->domains) &&
           !pv_iommu_domain_find(s, domain);
}

/*
 * The first device of a space is attached, and it shows the domain's chunks.
 * Who follows looks by itself, if the space bypassed, or if an arena comes into
 * it: what is around that is another section of it then.
 */
static bool space_open(PvIommuSpace *sp, uint32_t mode, PvIommuDomain *d)
{
    const bool bypassed = sp->bypassing, arena = sp->assigned_arena.enabled;
    bool looked;

    sp->mode = mode;
    sp->users = 1;
    qatomic_set(&sp->domain, d);
    if (!pv_iommu_space_switch(sp) || sp->domain != d) {
        return false;
    }
    looked = bypassed || arena != sp->assigned_arena.enabled;
    return looked || sp->iommu->withhold || pv_iommu_reach_show(sp, d);
}

/* The last one was detached */
static void space_close(PvIommuSpace *sp)
{
    PvIommuDomain *d = sp->domain;

    qatomic_set(&sp->domain, NULL);
    sp->users = 0;
    if (!sp->iommu->withhold) {
        pv_iommu_reach_hide(sp, d);
    }
    pv_iommu_space_switch(sp);
}

static gboolean is_of_space(gpointer key, gpointer value, gpointer opaque)
{
    return value == opaque;
}

/* None of the space's devices is exempt any more */
static void end_exemption(PvIommuSpace *sp)
{
    g_hash_table_foreach_remove(sp->iommu->exempts, is_of_space, sp);
    sp->exempt = false;
}

static uint32_t attach(PvIommuState *s, PCIDevice *pdev, uint32_t mode,
                       uint32_t domain)
{
    PvIommuDevice *dev;
    PvIommuDomain *d;
    PvIommuSpace *sp;
    bool other_mode, open, gone;

    if (!pdev) {
        return PV_IOMMU_S_NODEV;
    }
    if (g_hash_table_lookup(s->devices, pdev)) {
        return PV_IOMMU_S_STATE;
    }
    sp = pv_iommu_space_of(s, pdev);
    /* assigned devices that are given an arena have it in both modes */
    other_mode = sp->users && sp->mode != mode &&
                 !(s->arena_memdev && !sp->bus);
    if (!(modes_of(s, pdev) & mode) || other_mode) {
        return PV_IOMMU_S_UNSUPP;
    }
    if (splits_group(s, sp, domain)) {
        return PV_IOMMU_S_DOMAIN;
    }

    d = pv_iommu_domain_get(s, domain);
    if (!d) {
        return PV_IOMMU_S_IO;
    }
    dev = g_new0(PvIommuDevice, 1);
    dev->pdev = pdev;
    dev->space = sp;
    dev->mode = mode;
    QLIST_INIT(&dev->mappings);
    g_hash_table_insert(s->devices, pdev, dev);

    /* It may be unplugged by that, and all that is done here undone */
    object_ref(OBJECT(sp));
    open = sp->users++ || space_open(sp, mode, d);
    gone = g_hash_table_lookup(s->devices, pdev) != dev;
    if (open && !gone) {
        end_exemption(sp);
        sp->served = true;
    } else if (!gone) {
        g_hash_table_remove(s->devices, pdev);
        space_close(sp);
        pv_iommu_domain_put(s, d);
        g_free(dev);
    }
    object_unref(OBJECT(sp));
    return gone ? PV_IOMMU_S_NODEV : open ? PV_IOMMU_S_OK : PV_IOMMU_S_IO;
}

uint32_t pv_iommu_attach(PvIommuState *s, uint16_t rid, uint32_t mode,
                         uint32_t domain)
{
    uint32_t status = attach(s, find_served(s, rid), mode, domain);

    trace_pv_iommu_attach(rid, mode, domain, status);
    return status;
}

/* As the source had it; pdev may be none that is served, or NULL */
uint32_t pv_iommu_attach_device(PvIommuState *s, PCIDevice *pdev,
                                uint32_t mode, uint32_t domain)
{
    return attach(s, pdev && pv_iommu_serves(s, pdev) ? pdev : NULL, mode,
                  domain);
}

/*
 * ATTACH_BYPASS: a device that the guest does not want to be served. What was
 * confined once stays so: its driver may be gone, and the device at work still.
 */
uint32_t pv_iommu_exempt(PvIommuState *s, uint16_t rid)
{
    PCIDevice *pdev = find_served(s, rid);
    PvIommuSpace *sp;
    bool unpinned;

    if (!pdev) {
        return PV_IOMMU_S_NODEV;
    }
    if (g_hash_table_lookup(s->devices, pdev)) {
        return PV_IOMMU_S_STATE;
    }
    sp = pv_iommu_space_of(s, pdev);
    if (!s->boot_bypass || sp->served) {
        return PV_IOMMU_S_UNSUPP;
    }
    g_hash_table_insert(s->exempts, pdev, sp);
    sp->exempt = true;
    object_ref(OBJECT(sp));
    pv_iommu_space_switch(sp);
    unpinned = sp->unpinned;
    object_unref(OBJECT(sp));
    return unpinned ? PV_IOMMU_S_IO : PV_IOMMU_S_OK;
}

static void exempt_if_space_is(PCIBus *bus, PCIDevice *pdev, void *opaque)
{
    PvIommuState *s = opaque;

    if (pv_iommu_serves(s, pdev)) {
        PvIommuSpace *sp = pv_iommu_space_of(s, pdev);

        if (sp->exempt) {
            g_hash_table_insert(s->exempts, pdev, sp);
        }
    }
}

static void exempt_on_bus(PCIBus *bus, void *opaque)
{
    pci_for_each_device_under_bus(bus, exempt_if_space_is, opaque);
}

/* The source has said which spaces are: all devices in them share that */
void pv_iommu_exempt_loaded(PvIommuState *s)
{
    g_hash_table_remove_all(s->exempts);
    pci_for_each_bus(pci_get_bus(PCI_DEVICE(s)), exempt_on_bus, s);
}

/*
 * The caller takes it out of the table. Its slots are cleared, or not if they
 * hold already what a migration stream has brought.
 */
static void release(PvIommuState *s, PvIommuDevice *dev, bool clear)
{
    const uint16_t rid = pci_get_bdf(dev->pdev);
    PvIommuDomain *d = dev->space->domain;
    PvIommuMapping *m, *next;
    uint32_t dropped = 0;

    QLIST_FOREACH_SAFE(m, &dev->mappings, next, next) {
        pv_iommu_mapping_free(s, m, clear);
        dropped++;
    }
    if (dropped) {
        s->nr_dropped += dropped;
        qemu_log_mask(LOG_GUEST_ERROR, "pv-iommu: %u live mappings of device "
                      "%02x:%02x.%x dropped\n", dropped, PCI_BUS_NUM(rid),
                      PCI_SLOT(rid), PCI_FUNC(rid));
    }

    if (dev->space->users > 1) {
        dev->space->users--;
    } else {
        space_close(dev->space);
    }
    pv_iommu_domain_put(s, d);
    trace_pv_iommu_detach(rid, dropped);
    g_free(dev);
}

/* Nothing if it is not attached */
static void detach_device(PvIommuState *s, PCIDevice *pdev)
{
    PvIommuDevice *dev = g_hash_table_lookup(s->devices, pdev);

    if (dev) {
        g_hash_table_remove(s->devices, pdev);
        release(s, dev, true);
    }
}

uint32_t pv_iommu_detach(PvIommuState *s, uint16_t rid)
{
    PCIDevice *pdev = find_served(s, rid);

    if (!pdev) {
        return PV_IOMMU_S_NODEV;
    }
    if (!g_hash_table_lookup(s->devices, pdev)) {
        return PV_IOMMU_S_STATE;
    }
    detach_device(s, pdev);
    return PV_IOMMU_S_OK;
}

/*
 * A device was unplugged; the next one in that slot is another. Its bus does
 * not have it any more, so that what its space was cannot be asked now.
 */
void pv_iommu_device_gone(PvIommuState *s, PCIDevice *pdev)
{
    PvIommuSpace *sp = g_hash_table_lookup(s->exempts, pdev);

    detach_device(s, pdev);
    g_hash_table_remove(s->exempts, pdev);
    if (sp && !g_hash_table_find(s->exempts, is_of_space, sp)) {
        sp->exempt = false;
        pv_iommu_space_switch(sp);
    }
}

static gboolean release_one(gpointer key, gpointer value, gpointer opaque)
{
    release(opaque, value, true);
    return TRUE;
}

static gboolean forget_one(gpointer key, gpointer value, gpointer opaque)
{
    release(opaque, value, false);
    return TRUE;
}

static void release_all(PvIommuState *s, GHRFunc one)
{
    memory_region_transaction_begin();
    g_hash_table_foreach_remove(s->devices, one, s);
    memory_region_transaction_commit();
}

void pv_iommu_detach_all(PvIommuState *s)
{
    release_all(s, release_one);
}

/* The same before a load: the source's memory is here already, and stays */
void pv_iommu_forget_all(PvIommuState *s)
{
    release_all(s, forget_one);
}
