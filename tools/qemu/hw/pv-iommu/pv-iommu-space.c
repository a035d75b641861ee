/*
 * pv-iommu: what devices reach, and how the guest attaches them
 *
 * No device is translated for: the address space of a requester is a set of
 * RAM aliases that are switched as a whole at attach and detach. vfio-pci can
 * follow that without an IOMMU notifier, and it pins what is in there: the
 * window, once, as all vfio-pci devices share one space. That is only possible
 * where the space is the same before and after the attach (boot-bypass=off).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "exec/address-spaces.h"
#include "exec/ramblock.h"
#include "qemu/log.h"
#include "pv-iommu.h"
#include "trace.h"

/* Who made a DMA that was refused; VFIO's space has no device of its own */
static uint16_t requester(PvIommuSpace *sp, MemTxAttrs attrs)
{
    return sp->bus ? PCI_BUILD_BDF(pci_bus_num(sp->bus), sp->devfn)
                   : attrs.requester_id;
}

static MemTxResult refused_read(void *opaque, hwaddr addr, uint64_t *data,
                                unsigned size, MemTxAttrs attrs)
{
    PvIommuSpace *sp = opaque;

    pv_iommu_fault(sp->iommu, requester(sp, attrs), addr, size, false);
    *data = UINT64_MAX;
    return MEMTX_DECODE_ERROR;
}

static MemTxResult refused_write(void *opaque, hwaddr addr, uint64_t data,
                                 unsigned size, MemTxAttrs attrs)
{
    PvIommuSpace *sp = opaque;

    pv_iommu_fault(sp->iommu, requester(sp, attrs), addr, size, true);
    return MEMTX_DECODE_ERROR;
}

/* Any width at any address: it is refused as the device asked for it */
static const MemoryRegionOps refused_ops = {
    .read_with_attrs = refused_read,
    .write_with_attrs = refused_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = {
        .min_access_size = 1,
        .max_access_size = 8,
        .unaligned = true,
    },
    .impl = {
        .min_access_size = 1,
        .max_access_size = 8,
        .unaligned = true,
    },
};

static guint space_hash(gconstpointer v)
{
    const PvIommuSpace *sp = v;

    return g_direct_hash(sp->bus) + sp->devfn;
}

static gboolean space_equal(gconstpointer v1, gconstpointer v2)
{
    const PvIommuSpace *a = v1, *b = v2;

    return a->bus == b->bus && a->devfn == b->devfn;
}

/* Make the space what its attached devices, or the lack of them, call for */
static void space_switch(PvIommuSpace *sp)
{
    PvIommuState *s = sp->iommu;
    bool shared = !sp->bus;
    bool bypass = !shared && !sp->users && s->boot_bypass &&
                  (!s->confined || sp->exempt);

    trace_pv_iommu_space_switch(memory_region_name(&sp->root),
                                sp->users ? sp->mode : 0, bypass);

    memory_region_transaction_begin();
    memory_region_set_enabled(&sp->bypass, bypass);
    memory_region_set_enabled(&sp->window,
                              !s->withhold && (shared || sp->users));
    if (s->arena_size) {
        memory_region_set_enabled(&sp->arena,
                                  !s->withhold && !shared && sp->users &&
                                  sp->mode == PV_IOMMU_ATTACH_BOUNCE);
    }
    memory_region_transaction_commit();
}

static void space_alias(PvIommuSpace *sp, MemoryRegion *alias, const char *name,
                        MemoryRegion *target, uint64_t from, uint64_t size,
                        uint64_t at, int priority)
{
    memory_region_init_alias(alias, OBJECT(sp->iommu), name, target, from,
                             size);
    memory_region_add_subregion_overlap(&sp->root, at, alias, priority);
}

static PvIommuSpace *space_new(PvIommuState *s, PCIBus *bus, int devfn)
{
    PvIommuSpace *sp = g_new0(PvIommuSpace, 1);
    MemoryRegion *system = get_system_memory();
    g_autofree char *name = bus ?
        g_strdup_printf("pv-iommu-%02x.%x", PCI_SLOT(devfn), PCI_FUNC(devfn)) :
        g_strdup("pv-iommu-vfio");

    sp->iommu = s;
    sp->bus = bus;
    sp->devfn = devfn;

    memory_region_init(&sp->root, OBJECT(s), name, UINT64_MAX);
    memory_region_init_io(&sp->refused, OBJECT(s), &refused_ops, sp,
                          "pv-iommu-refused", UINT64_MAX);
    /*
     * The handlers only count. The device that is refused may well be in the
     * middle of an access by another one that is refused.
     */
    sp->refused.disable_reentrancy_guard = true;
    memory_region_add_subregion_overlap(&sp->root, 0, &sp->refused, -1);

    space_alias(sp, &sp->bypass, "pv-iommu-bypass", system, 0, UINT64_MAX,
                0, 0);
    space_alias(sp, &sp->window, "pv-iommu-window",
                host_memory_backend_get_memory(s->memdev), 0, s->window_size,
                s->dma_base, 1);
    if (s->arena_size) {
        space_alias(sp, &sp->arena, "pv-iommu-arena", &s->arena, 0,
                    s->arena_size, s->arena_base, 1);
    }
    space_alias(sp, &sp->msi, "pv-iommu-msi", system, PV_IOMMU_MSI_BASE,
                PV_IOMMU_MSI_SIZE, PV_IOMMU_MSI_BASE, 2);
    space_switch(sp);

    address_space_init(&sp->as, &sp->root, name);
    if (!bus) {
        /* VFIO pins what is in there: the window, now and later */
        ram_block_set_undiscardable(
            host_memory_backend_get_memory(s->memdev)->ram_block);
    }
    trace_pv_iommu_space_new(name, !bus);
    return sp;
}

/* The PCI core asks: bus and devfn are the requester's as they arrive here */
AddressSpace *pv_iommu_get_address_space(PCIBus *bus, void *opaque, int devfn)
{
    PvIommuState *s = opaque;
    PvIommuSpace key = { .bus = bus, .devfn = devfn };
    PCIDevice *pdev = bus->devices[devfn];
    PvIommuSpace *sp;

    if (!s->boot_bypass && pdev &&
        object_dynamic_cast(OBJECT(pdev), "vfio-pci")) {
        if (!s->vfio_space) {
            s->vfio_space = space_new(s, NULL, 0);
        }
        return &s->vfio_space->as;
    }

    sp = g_hash_table_lookup(s->spaces, &key);
    if (!sp) {
        sp = space_new(s, bus, devfn);
        g_hash_table_add(s->spaces, sp);
    }
    return &sp->as;
}

static PvIommuSpace *space_of(PvIommuState *s, PCIDevice *pdev)
{
    AddressSpace *as = pci_device_iommu_address_space(pdev);

    /* the system's own, where the bus bypasses IOMMUs */
    if (memory_region_owner(as->root) != OBJECT(s)) {
        return NULL;
    }
    return container_of(as, PvIommuSpace, as);
}

bool pv_iommu_serves(PvIommuState *s, PCIDevice *pdev)
{
    return pdev != PCI_DEVICE(s) && space_of(s, pdev);
}

static PCIDevice *find_pdev(PvIommuState *s, uint16_t rid)
{
    return pci_find_device(pci_get_bus(PCI_DEVICE(s)), PCI_BUS_NUM(rid),
                           rid & 0xff);
}

PvIommuDevice *pv_iommu_find_device(PvIommuState *s, uint16_t rid)
{
    PCIDevice *pdev = find_pdev(s, rid);

    return pdev ? g_hash_table_lookup(s->devices, pdev) : NULL;
}

static uint32_t attach(PvIommuState *s, uint16_t rid, uint32_t mode)
{
    const uint64_t feature = mode == PV_IOMMU_ATTACH_WINDOW ?
                             PV_IOMMU_F_WINDOW : PV_IOMMU_F_BOUNCE;
    PCIDevice *pdev = find_pdev(s, rid);
    PvIommuDevice *dev;
    PvIommuSpace *sp;

    if (!pdev || !pv_iommu_serves(s, pdev)) {
        return PV_IOMMU_S_NODEV;
    }
    if (g_hash_table_lookup(s->devices, pdev)) {
        return PV_IOMMU_S_STATE;
    }
    if (!(s->guest_features & feature)) {
        return PV_IOMMU_S_UNSUPP;
    }

    sp = space_of(s, pdev);
    if (!sp->bus && mode == PV_IOMMU_ATTACH_BOUNCE) {
        /* to show it the arena would pin the arena */
        return PV_IOMMU_S_UNSUPP;
    }
    if (sp->users && sp->mode != mode) {
        return PV_IOMMU_S_UNSUPP;
    }

    dev = g_new0(PvIommuDevice, 1);
    dev->pdev = pdev;
    dev->space = sp;
    dev->mode = mode;
    QLIST_INIT(&dev->mappings);
    g_hash_table_insert(s->devices, pdev, dev);

    sp->exempt = false;
    sp->served = true;
    sp->mode = mode;
    if (sp->users++ == 0) {
        space_switch(sp);
    }
    return PV_IOMMU_S_OK;
}

uint32_t pv_iommu_attach(PvIommuState *s, uint16_t rid, uint32_t mode)
{
    uint32_t status = attach(s, rid, mode);

    trace_pv_iommu_attach(rid, mode, status);
    return status;
}

/* The caller takes it out of the table */
static void release(PvIommuState *s, PvIommuDevice *dev)
{
    const uint16_t rid = pci_get_bdf(dev->pdev);
    PvIommuMapping *m, *next;
    uint32_t dropped = 0;

    QLIST_FOREACH_SAFE(m, &dev->mappings, next, next) {
        pv_iommu_mapping_free(s, m);
        dropped++;
    }
    if (dropped) {
        s->nr_dropped += dropped;
        qemu_log_mask(LOG_GUEST_ERROR, "pv-iommu: %u live mappings of device "
                      "%02x:%02x.%x dropped\n", dropped, PCI_BUS_NUM(rid),
                      PCI_SLOT(rid), PCI_FUNC(rid));
    }

    if (--dev->space->users == 0) {
        space_switch(dev->space);
    }
    trace_pv_iommu_detach(rid, dropped);
    g_free(dev);
}

uint32_t pv_iommu_detach(PvIommuState *s, uint16_t rid)
{
    PCIDevice *pdev = find_pdev(s, rid);

    if (!pdev || !pv_iommu_serves(s, pdev)) {
        return PV_IOMMU_S_NODEV;
    }
    if (!g_hash_table_lookup(s->devices, pdev)) {
        return PV_IOMMU_S_STATE;
    }
    pv_iommu_detach_device(s, pdev);
    return PV_IOMMU_S_OK;
}

/* Also called for devices that are not attached, and for any other at unplug */
void pv_iommu_detach_device(PvIommuState *s, PCIDevice *pdev)
{
    PvIommuDevice *dev = g_hash_table_lookup(s->devices, pdev);
    PvIommuSpace *sp = pv_iommu_serves(s, pdev) ? space_of(s, pdev) : NULL;

    if (dev) {
        g_hash_table_remove(s->devices, pdev);
        release(s, dev);
    }
    /* the next one in that slot is another */
    if (sp && sp->exempt) {
        sp->exempt = false;
        space_switch(sp);
    }
}

static gboolean release_one(gpointer key, gpointer value, gpointer opaque)
{
    release(opaque, value);
    return TRUE;
}

void pv_iommu_detach_all(PvIommuState *s)
{
    memory_region_transaction_begin();
    g_hash_table_foreach_remove(s->devices, release_one, s);
    memory_region_transaction_commit();
}

/*
 * ATTACH_BYPASS: a device that the guest does not want to be served. What was
 * confined once stays so: its driver may be gone, and the device at work still.
 */
uint32_t pv_iommu_exempt(PvIommuState *s, uint16_t rid)
{
    PCIDevice *pdev = find_pdev(s, rid);
    PvIommuSpace *sp;

    if (!pdev || !pv_iommu_serves(s, pdev)) {
        return PV_IOMMU_S_NODEV;
    }
    if (g_hash_table_lookup(s->devices, pdev)) {
        return PV_IOMMU_S_STATE;
    }
    sp = space_of(s, pdev);
    if (!s->boot_bypass || !sp->bus || sp->served) {
        return PV_IOMMU_S_UNSUPP;
    }
    sp->exempt = true;
    space_switch(sp);
    return PV_IOMMU_S_OK;
}

static void switch_all(PvIommuState *s)
{
    PvIommuSpace *sp;
    GHashTableIter iter;

    memory_region_transaction_begin();
    g_hash_table_iter_init(&iter, s->spaces);
    while (g_hash_table_iter_next(&iter, (gpointer *)&sp, NULL)) {
        space_switch(sp);
    }
    if (s->vfio_space) {
        space_switch(s->vfio_space);
    }
    memory_region_transaction_commit();
}

/* The guest serves devices from now on: no more bypass for who is not exempt */
void pv_iommu_confine(PvIommuState *s)
{
    if (!s->confined) {
        s->confined = true;
        switch_all(s);
    }
}

/* The machine is reset, and all devices with it */
void pv_iommu_unconfine(PvIommuState *s)
{
    PvIommuSpace *sp;
    GHashTableIter iter;

    g_hash_table_iter_init(&iter, s->spaces);
    while (g_hash_table_iter_next(&iter, (gpointer *)&sp, NULL)) {
        sp->exempt = false;
        sp->served = false;
    }
    s->confined = false;
    switch_all(s);
}

/* x-withhold=on: what was granted is taken away, and given back with off */
void pv_iommu_withhold(PvIommuState *s, bool withhold)
{
    s->withhold = withhold;
    if (s->spaces) {
        switch_all(s);
    }
}

void pv_iommu_spaces_init(PvIommuState *s)
{
    s->spaces = g_hash_table_new(space_hash, space_equal);
    s->devices = g_hash_table_new(NULL, NULL);
}

static void space_free(PvIommuSpace *sp)
{
    PvIommuState *s = sp->iommu;

    memory_region_transaction_begin();
    memory_region_del_subregion(&sp->root, &sp->msi);
    if (s->arena_size) {
        memory_region_del_subregion(&sp->root, &sp->arena);
    }
    memory_region_del_subregion(&sp->root, &sp->window);
    memory_region_del_subregion(&sp->root, &sp->bypass);
    memory_region_del_subregion(&sp->root, &sp->refused);
    memory_region_transaction_commit();
    address_space_destroy(&sp->as);
    /*
     * The regions are children of the device and go with it; the space itself
     * is left to the process: the address space is torn down after a grace
     * period, and the device is never unplugged.
     */
}

static gboolean space_free_one(gpointer key, gpointer value, gpointer opaque)
{
    space_free(key);
    return TRUE;
}

void pv_iommu_spaces_cleanup(PvIommuState *s)
{
    pv_iommu_detach_all(s);
    g_hash_table_foreach_remove(s->spaces, space_free_one, NULL);
    g_clear_pointer(&s->spaces, g_hash_table_destroy);
    g_clear_pointer(&s->devices, g_hash_table_destroy);
    if (s->vfio_space) {
        space_free(s->vfio_space);
        s->vfio_space = NULL;
    }
}
