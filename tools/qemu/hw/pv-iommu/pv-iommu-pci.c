/*
 * pv-iommu: a window of guest memory for DMA
 *
 * The host reserves one window of guest memory, and the PCI devices behind
 * this one reach that and nothing else; where even that is not wanted, they
 * reach an arena of the host, and requests copy. The device's specification
 * is docs/specs/pv-iommu.rst; the numbers that both sides share are in
 * standard-headers/linux/pv_iommu.h.
 *
 * This file has the properties and the device's life.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/boards.h"
#include "hw/qdev-properties.h"
#include "migration/vmstate.h"
#include "qapi/error.h"
#include "qapi/visitor.h"
#include "qemu/error-report.h"
#include "qemu/module.h"
#include "qemu/range.h"
#include "pv-iommu.h"
#include "trace.h"

/*
 * Memory device
 */

static uint64_t md_get_addr(const MemoryDeviceState *md)
{
    return PV_IOMMU_PCI(md)->memaddr;
}

static void md_set_addr(MemoryDeviceState *md, uint64_t addr, Error **errp)
{
    PV_IOMMU_PCI(md)->memaddr = addr;
}

static MemoryRegion *md_get_memory_region(MemoryDeviceState *md, Error **errp)
{
    PvIommuState *s = PV_IOMMU_PCI(md);

    if (!s->memdev) {
        error_setg(errp, "memdev= is not set");
        return NULL;
    }
    return host_memory_backend_get_memory(s->memdev);
}

static uint64_t md_get_plugged_size(const MemoryDeviceState *md, Error **errp)
{
    return memory_device_get_region_size(md, errp);
}

static uint64_t md_get_min_alignment(const MemoryDeviceState *md)
{
    /* so that the guest can map it by huge pages */
    return PV_IOMMU_WINDOW_ALIGN;
}

/*
 * QAPI has no kind of its own for the window. Of those it has, this one says
 * what holds: memory with an address, and no slot, node or hot-unplug.
 */
static void md_fill_device_info(const MemoryDeviceState *md,
                                MemoryDeviceInfo *info)
{
    VirtioPMEMDeviceInfo *vi = g_new0(VirtioPMEMDeviceInfo, 1);
    PvIommuState *s = PV_IOMMU_PCI(md);

    pv_iommu_fill_id(vi, DEVICE(s)->id);
    vi->memaddr = s->memaddr;
    vi->size = s->window_size;
    vi->memdev = object_get_canonical_path(OBJECT(s->memdev));
    info->u.virtio_pmem.data = vi;
    info->type = MEMORY_DEVICE_INFO_KIND_VIRTIO_PMEM;
}

/*
 * Realize
 */

static bool hits_msi(uint64_t base, uint64_t size)
{
    return ranges_overlap(base, size, PV_IOMMU_MSI_BASE, PV_IOMMU_MSI_SIZE);
}

static void find_vfio(PCIBus *bus, PCIDevice *pdev, void *opaque)
{
    PCIDevice **found = opaque;

    if (pv_iommu_is_assigned(pdev)) {
        *found = pdev;
    }
}

static void find_vfio_on_bus(PCIBus *bus, void *opaque)
{
    pci_for_each_device_under_bus(bus, find_vfio, opaque);
}

static bool check_bus(PvIommuState *s, Error **errp)
{
    ERRP_GUARD();
    PCIBus *bus = pci_get_bus(PCI_DEVICE(s));
    PCIDevice *vfio = NULL;
    bool ambiguous;

    object_resolve_path_type("", TYPE_PV_IOMMU_PCI, &ambiguous);
    if (ambiguous) {
        error_setg(errp, "there can be one pv-iommu-pci only");
        error_append_hint(errp, "Remove this one; the first serves all PCI "
                          "devices.\n");
        return false;
    }
    if (!pci_bus_is_root(bus) || bus->parent_dev) {
        error_setg(errp, "bus=%s is not the machine's root bus",
                   BUS(bus)->name);
        error_append_hint(errp, "Leave bus= out, or say bus=pcie.0 (q35) or "
                          "bus=pci.0 (pc).\n");
        return false;
    }
    if (pci_bus_bypass_iommu(bus)) {
        error_setg(errp, "no device of bus '%s' would be served: it bypasses "
                   "IOMMUs", BUS(bus)->name);
        error_append_hint(errp, "Set default-bus-bypass-iommu=off in "
                          "-machine.\n");
        return false;
    }
    if (pv_iommu_bus_taken(bus)) {
        error_setg(errp, "bus '%s' has another IOMMU already", BUS(bus)->name);
        error_append_hint(errp, "Remove intel-iommu, amd-iommu or "
                          "virtio-iommu-pci from the command line.\n");
        return false;
    }

    pci_for_each_bus(bus, find_vfio_on_bus, &vfio);
    if (vfio) {
        error_setg(errp, "vfio-pci device '%s' comes before pv-iommu-pci and "
                   "has pinned the guest's memory",
                   DEVICE(vfio)->id ? DEVICE(vfio)->id : vfio->name);
        error_append_hint(errp, "Put -device pv-iommu-pci before every "
                          "-device vfio-pci.\n");
        return false;
    }
    return true;
}

static bool check_window(PvIommuState *s, Error **errp)
{
    ERRP_GUARD();
    MemoryRegion *mr;

    if (!s->memdev) {
        error_setg(errp, "memdev= is not set");
        error_append_hint(errp, "Give the window its memory: -object "
                          "memory-backend-ram,id=win0,size=64M -device "
                          "pv-iommu-pci,memdev=win0\n");
        return false;
    }
    if (host_memory_backend_is_mapped(s->memdev)) {
        error_setg(errp, "memdev=%s is in use already",
                   object_get_canonical_path_component(OBJECT(s->memdev)));
        error_append_hint(errp, "Give the window a memory backend of its "
                          "own.\n");
        return false;
    }

    mr = host_memory_backend_get_memory(s->memdev);
    s->window_size = memory_region_size(mr);
    if (memory_region_is_rom(mr)) {
        error_setg(errp, "memdev=%s is read-only",
                   object_get_canonical_path_component(OBJECT(s->memdev)));
        error_append_hint(errp, "Set readonly=off in the backend.\n");
        return false;
    }
    if (!QEMU_IS_ALIGNED(s->window_size, PV_IOMMU_WINDOW_ALIGN)) {
        error_setg(errp, "memdev=%s has 0x%" PRIx64 " bytes, not a multiple "
                   "of 2 MiB",
                   object_get_canonical_path_component(OBJECT(s->memdev)),
                   s->window_size);
        error_append_hint(errp, "Set the backend's size= to such a "
                          "multiple.\n");
        return false;
    }
    if (!pv_iommu_phys_window(s, errp)) {
        return false;
    }
    if (!QEMU_IS_ALIGNED(s->dma_base, PV_IOMMU_CHUNK_MIN) ||
        s->dma_base >= PV_IOMMU_DMA_END ||
        s->window_size > PV_IOMMU_DMA_END - s->dma_base) {
        error_setg(errp, "dma-base=0x%" PRIx64 " is not a multiple of 64 KiB "
                   "with room for the window behind it", s->dma_base);
        error_append_hint(errp, s->host_phys ?
                          "The window's memory has to begin at a multiple of "
                          "2 MiB in the host's.\n" :
                          "Set dma-base= to a multiple of 2 MiB that "
                          "devices reach, or leave it out.\n");
        return false;
    }
    if (hits_msi(s->dma_base, s->window_size)) {
        error_setg(errp, "dma-base=0x%" PRIx64 " puts a window of 0x%" PRIx64
                   " bytes across the MSI range 0xfee00000-0xfeefffff",
                   s->dma_base, s->window_size);
        error_append_hint(errp, "Set dma-base=0x100000000, or make the window "
                          "smaller.\n");
        return false;
    }
    return true;
}

/* What of the arena the guest shares; by default, with host-phys=on only */
static bool check_coherent(PvIommuState *s, Error **errp)
{
    ERRP_GUARD();

    if (s->arena_coherent == PV_IOMMU_COHERENT_AUTO) {
        s->arena_coherent = !s->arena_memdev ? 0 :
            QEMU_ALIGN_DOWN(MIN(s->arena_size / 8, PV_IOMMU_COHERENT_SIZE),
                            PV_IOMMU_GRANULE);
    }
    if (!QEMU_IS_ALIGNED(s->arena_coherent, PV_IOMMU_GRANULE) ||
        s->arena_coherent > MIN(s->arena_size / 2, PV_IOMMU_COHERENT_MAX)) {
        error_setg(errp, "arena-coherent=0x%" PRIx64 " is not a multiple of "
                   "4 KiB up to half of the arena, which has 0x%" PRIx64
                   " bytes, and to 256 MiB", s->arena_coherent, s->arena_size);
        error_append_hint(errp, "Leave arena-coherent= out, or make the arena "
                          "larger.\n");
        return false;
    }
    return true;
}

static bool check_arena(PvIommuState *s, Error **errp)
{
    ERRP_GUARD();

    if (!pv_iommu_phys_arena(s, errp)) {
        return false;
    }
    if (!s->arena_size) {
        s->arena_base = 0;
        return check_coherent(s, errp);
    }
    if (!QEMU_IS_ALIGNED(s->arena_size, PV_IOMMU_GRANULE) ||
        s->arena_size > PV_IOMMU_ARENA_MAX) {
        error_setg(errp, "arena-size=0x%" PRIx64 " is not a multiple of 4 KiB "
                   "up to 4 GiB", s->arena_size);
        error_append_hint(errp, "The default, 64M, is enough for most "
                          "guests.\n");
        return false;
    }

    if (!s->arena_base) {
        s->arena_base = QEMU_ALIGN_UP(s->dma_base + s->window_size,
                                      PV_IOMMU_WINDOW_ALIGN);
        if (hits_msi(s->arena_base, s->arena_size)) {
            s->arena_base = QEMU_ALIGN_UP(PV_IOMMU_MSI_BASE +
                                          PV_IOMMU_MSI_SIZE,
                                          PV_IOMMU_WINDOW_ALIGN);
        }
    }
    if (!QEMU_IS_ALIGNED(s->arena_base, PV_IOMMU_GRANULE) ||
        s->arena_base >= PV_IOMMU_DMA_END ||
        s->arena_size > PV_IOMMU_DMA_END - s->arena_base ||
        hits_msi(s->arena_base, s->arena_size) ||
        ranges_overlap(s->arena_base, s->arena_size, s->dma_base,
                       s->window_size)) {
        error_setg(errp, "arena-base=0x%" PRIx64 " is not a multiple of 4 KiB "
                   "clear of the window and of the MSI range "
                   "0xfee00000-0xfeefffff", s->arena_base);
        error_append_hint(errp, "Leave arena-base= out to have it placed "
                          "behind the window.\n");
        return false;
    }
    return check_coherent(s, errp);
}

static bool decide_features(PvIommuState *s, Error **errp)
{
    ERRP_GUARD();
    /*
     * An emulated device needs no IOMMU of the host, and an assigned one has
     * one, or VFIO wants host-phys=on for it.
     */
    bool window = s->hw_iommu != ON_OFF_AUTO_OFF;

    if (!window && !s->arena_size) {
        error_setg(errp, "with hw-iommu=off and arena-size=0 there is no way "
                   "for streaming DMA");
        error_append_hint(errp, "Set arena-size=, or hw-iommu=on.\n");
        return false;
    }
    s->host_features = (window ? PV_IOMMU_F_WINDOW : 0) |
                       (s->arena_size ? PV_IOMMU_F_BOUNCE : 0) |
                       (s->offer_chunks ? PV_IOMMU_F_CHUNKS : 0) |
                       (s->direct_limit ? PV_IOMMU_F_DIRECT |
                                          PV_IOMMU_F_LARGE : 0) |
                       (s->host_phys ? PV_IOMMU_F_HOST_PHYS : 0);
    return true;
}

/*
 * At the end of the room for memory devices: what is plugged later begins where
 * Linux wants memory to begin, and not right behind a window. And as far from a
 * large power of two as dma-base=: what is aligned for devices is so for CPUs.
 * 0: there is not that much room.
 */
static uint64_t preferred_place(PvIommuState *s, MachineState *ms)
{
    uint64_t start, size, addr;

    if (!ms->device_memory) {
        return 0;
    }
    start = ms->device_memory->base;
    size = memory_region_size(&ms->device_memory->mr);
    if (size < s->window_size) {
        return 0;
    }
    addr = start + size - s->window_size;
    addr -= (addr - s->dma_base) & (pow2floor(s->window_size) - 1);
    return addr < start ? 0 : addr;
}

static bool find_place(PvIommuState *s, Error **errp)
{
    ERRP_GUARD();
    MachineState *ms = MACHINE(qdev_get_machine());
    Error *taken = NULL;

    if (!s->memaddr) {
        s->memaddr = preferred_place(s, ms);
        pv_iommu_pre_plug(MEMORY_DEVICE(s), ms, &taken);
        if (!taken) {
            return true;
        }
        error_free(taken);
        s->memaddr = 0;
    }
    pv_iommu_pre_plug(MEMORY_DEVICE(s), ms, errp);
    if (!*errp) {
        return true;
    }
    error_prepend(errp, "no place for the window (memdev=%s, 0x%" PRIx64
                  " bytes): ",
                  object_get_canonical_path_component(OBJECT(s->memdev)),
                  s->window_size);
    error_append_hint(errp, "maxmem= leaves room for memory devices above "
                      "RAM: for this window alone, -m %" PRIu64 "M,maxmem=%"
                      PRIu64 "M. memaddr=, if given, lies in there.\n",
                      ms->ram_size / MiB,
                      (ms->ram_size + s->window_size) / MiB);
    return false;
}

/* virtio without iommu_platform=on uses guest memory past any IOMMU */
static void warn_if_bypass(PCIDevice *pdev)
{
    if (!object_dynamic_cast(OBJECT(pdev), "virtio-pci") ||
        object_property_get_bool(OBJECT(pdev), "iommu_platform", NULL)) {
        return;
    }
    warn_report("%s '%s' bypasses pv-iommu-pci and reaches all of the guest's "
                "memory: set iommu_platform=on,disable-legacy=on",
                object_get_typename(OBJECT(pdev)),
                DEVICE(pdev)->id ? DEVICE(pdev)->id : "");
}

/* Where the host's IOMMU does not let it use the window, attach is refused */
static void warn_if_unfit(PvIommuState *s, PCIDevice *pdev)
{
    g_autofree char *conflict = pv_iommu_host_conflict(s, pdev, s->dma_base,
                                                       s->window_size);

    if (conflict) {
        warn_report("vfio-pci '%s' cannot be served: the window is at DMA "
                    "addresses 0x%" PRIx64 " to 0x%" PRIx64 ", and the IOMMU "
                    "of the host %s: set another dma-base=",
                    DEVICE(pdev)->id ? DEVICE(pdev)->id : "", s->dma_base,
                    s->dma_base + s->window_size - 1, conflict);
    }
}

static void check_pdev(PCIBus *bus, PCIDevice *pdev, void *opaque)
{
    if (pv_iommu_serves(opaque, pdev)) {
        warn_if_bypass(pdev);
        warn_if_unfit(opaque, pdev);
    }
}

/* Is there no mode in which the device could be attached? */
static bool has_no_mode(PvIommuState *s, PCIDevice *pdev)
{
    return !(s->host_features & PV_IOMMU_F_WINDOW) &&
           !pv_iommu_may_bounce(s, pdev);
}

static void check_first_pdev(PCIBus *bus, PCIDevice *pdev, void *opaque)
{
    if (pv_iommu_serves(opaque, pdev) && has_no_mode(opaque, pdev)) {
        error_report("vfio-pci '%s' cannot be used: with hw-iommu=off and "
                     "%s, pv-iommu-pci has no mode for it",
                     DEVICE(pdev)->id ? DEVICE(pdev)->id : "",
                     pv_iommu_space_of(opaque, pdev)->bus ?
                     "behind a conventional bridge" : "boot-bypass=off");
        error_printf("Leave hw-iommu= out.\n");
        exit(EXIT_FAILURE);
    }
    check_pdev(bus, pdev, opaque);
}

static void check_pdevs(PCIBus *bus, void *opaque)
{
    pci_for_each_device_under_bus(bus, check_first_pdev, opaque);
}

static void machine_is_done(Notifier *notifier, void *data)
{
    PvIommuState *s = container_of(notifier, PvIommuState, machine_done);
    PCIBus *bus = pci_get_bus(PCI_DEVICE(s));

    if (!pv_iommu_bus_is_mine(bus, s)) {
        error_report("pv-iommu-pci: another IOMMU has taken bus '%s' from it",
                     BUS(bus)->name);
        error_printf("Remove intel-iommu, amd-iommu or virtio-iommu-pci from "
                     "the command line.\n");
        exit(EXIT_FAILURE);
    }
    pci_for_each_bus(bus, check_pdevs, s);
}

static void device_realized(DeviceListener *listener, DeviceState *dev)
{
    PvIommuState *s = container_of(listener, PvIommuState, listener);

    if (phase_check(PHASE_MACHINE_READY) &&
        object_dynamic_cast(OBJECT(dev), TYPE_PCI_DEVICE)) {
        check_pdev(NULL, PCI_DEVICE(dev), s);
    }
}

static void device_unrealized(DeviceListener *listener, DeviceState *dev)
{
    PvIommuState *s = container_of(listener, PvIommuState, listener);

    if (object_dynamic_cast(OBJECT(dev), TYPE_PCI_DEVICE)) {
        pv_iommu_device_gone(s, PCI_DEVICE(dev));
    }
    if (object_dynamic_cast(OBJECT(dev), TYPE_PCI_BRIDGE)) {
        pv_iommu_bus_gone(s, pci_bridge_get_sec_bus(PCI_BRIDGE(dev)));
    }
}

static void pv_iommu_realize(PCIDevice *pdev, Error **errp)
{
    MachineState *ms = MACHINE(qdev_get_machine());
    PvIommuState *s = PV_IOMMU_PCI(pdev);
    MemoryRegion *window;

    if (!check_bus(s, errp) || !check_window(s, errp) ||
        !check_arena(s, errp) || !pv_iommu_direct_check(s, errp) ||
        !decide_features(s, errp) ||
        !find_place(s, errp) || !pv_iommu_phys_block_migration(s, errp) ||
        !pv_iommu_arena_init(s, errp)) {
        pv_iommu_phys_cleanup(s);
        return;
    }

    /* nothing fails from here on */
    pv_iommu_regs_init(s);

    window = host_memory_backend_get_memory(s->memdev);
    host_memory_backend_set_mapped(s->memdev, true);
    vmstate_register_ram(window, DEVICE(s));
    /*
     * The machine's hotplug handler does so for memory devices that it knows.
     * This one is not hot-pluggable, and where its window lies decides what
     * else can be wrong with it, so that the handler would find out too late.
     */
    memory_device_plug(MEMORY_DEVICE(s), ms);

    pv_iommu_chunks_init(s);
    pv_iommu_direct_init(s);
    pv_iommu_spaces_init(s);
    pv_iommu_bus_setup(pci_get_bus(pdev), s);
    s->listener.realize = device_realized;
    s->listener.unrealize = device_unrealized;
    device_listener_register(&s->listener);
    s->machine_done.notify = machine_is_done;
    qemu_add_machine_init_done_notifier(&s->machine_done);

    trace_pv_iommu_realize(s->memaddr, s->window_size, s->dma_base,
                           s->arena_base, s->arena_size);
}

/* Not reached by hot-unplug, only when the PCI core fails after our realize */
static void pv_iommu_exit(PCIDevice *pdev)
{
    MachineState *ms = MACHINE(qdev_get_machine());
    PvIommuState *s = PV_IOMMU_PCI(pdev);

    qemu_remove_machine_init_done_notifier(&s->machine_done);
    device_listener_unregister(&s->listener);
    pv_iommu_bus_release(pci_get_bus(pdev));
    pv_iommu_spaces_cleanup(s);
    pv_iommu_direct_cleanup(s);
    pv_iommu_chunks_cleanup(s);
    memory_device_unplug(MEMORY_DEVICE(s), ms);
    vmstate_unregister_ram(host_memory_backend_get_memory(s->memdev),
                           DEVICE(s));
    host_memory_backend_set_mapped(s->memdev, false);
    pv_iommu_arena_cleanup(s);
    pv_iommu_phys_cleanup(s);
}

/*
 * The phase in which no device has stopped yet. virtio-mem then takes back what
 * the guest has of it, and cannot while a page of that is granted.
 */
static void pv_iommu_reset_enter(Object *obj, ResetType type)
{
    pv_iommu_direct_end_all(PV_IOMMU_PCI(obj));
}

/*
 * The phase after the one in which all devices stop: as long as one of them
 * does DMA, it reaches what its driver has set up and no more.
 */
static PV_IOMMU_RESET_EXIT(pv_iommu_reset_exit)
{
    PvIommuState *s = PV_IOMMU_PCI(obj);

    pv_iommu_clear(s, true);
    s->errors = 0;
    s->fault_count = 0;
    s->fault_addr = 0;
    s->fault_next = 0;
    s->fault_info = 0;
}

static PvIommuProperty pv_iommu_properties[] = {
    DEFINE_PROP_LINK("memdev", PvIommuState, memdev, TYPE_MEMORY_BACKEND,
                     HostMemoryBackend *),
    DEFINE_PROP_UINT64("memaddr", PvIommuState, memaddr, 0),
    DEFINE_PROP_UINT64("dma-base", PvIommuState, dma_base,
                       PV_IOMMU_DMA_BASE_AUTO),
    DEFINE_PROP_BOOL("host-phys", PvIommuState, host_phys, false),
    DEFINE_PROP_LINK("arena-memdev", PvIommuState, arena_memdev,
                     TYPE_MEMORY_BACKEND, HostMemoryBackend *),
    DEFINE_PROP_SIZE("arena-size", PvIommuState, arena_size,
                     PV_IOMMU_ARENA_SIZE),
    DEFINE_PROP_UINT64("arena-base", PvIommuState, arena_base, 0),
    DEFINE_PROP_SIZE("arena-coherent", PvIommuState, arena_coherent,
                     PV_IOMMU_COHERENT_AUTO),
    DEFINE_PROP_UINT64("direct-base", PvIommuState, direct_base, 0),
    DEFINE_PROP_ON_OFF_AUTO("hw-iommu", PvIommuState, hw_iommu,
                            ON_OFF_AUTO_AUTO),
    DEFINE_PROP_BOOL("boot-bypass", PvIommuState, boot_bypass, true),
    DEFINE_PROP_BOOL("isolation", PvIommuState, isolation, true),
    DEFINE_PROP_BOOL("x-chunks", PvIommuState, offer_chunks, true),
    PV_IOMMU_PROP_END
};

static bool get_withhold(Object *obj, Error **errp)
{
    return PV_IOMMU_PCI(obj)->withhold;
}

static void set_withhold(Object *obj, bool value, Error **errp)
{
    pv_iommu_withhold(PV_IOMMU_PCI(obj), value);
}

/* For tests, and unlike the others these can be set while the machine runs */
static void add_debug_properties(Object *obj)
{
    PvIommuState *s = PV_IOMMU_PCI(obj);

    object_property_add_uint32_ptr(obj, "x-error-rate", &s->error_rate,
                                   OBJ_PROP_FLAG_READWRITE);
    object_property_set_description(obj, "x-error-rate",
        "fail one in so many requests of the kinds in x-error-ops");
    s->error_ops = 1 << PV_IOMMU_OP_ATTACH | 1 << PV_IOMMU_OP_MAP;
    object_property_add_uint32_ptr(obj, "x-error-ops", &s->error_ops,
                                   OBJ_PROP_FLAG_READWRITE);
    object_property_set_description(obj, "x-error-ops",
        "which requests fail: a bit for each opcode (default: ATTACH, MAP)");
    object_property_add_bool(obj, "x-withhold", get_withhold, set_withhold);
    object_property_set_description(obj, "x-withhold",
        "take window and arena away from the devices");
    pv_iommu_hostile_init(s);
}

static void get_limit(Object *obj, Visitor *v, const char *name, void *opaque,
                      Error **errp)
{
    PvIommuState *s = PV_IOMMU_PCI(obj);
    uint64_t limit = s->nr_chunks ? pv_iommu_limit(s) : s->limit;

    visit_type_size(v, name, &limit, errp);
}

/* What is granted beyond it stays granted */
static void set_limit(Object *obj, Visitor *v, const char *name, void *opaque,
                      Error **errp)
{
    visit_type_size(v, name, &PV_IOMMU_PCI(obj)->limit, errp);
}

static void get_direct_limit(Object *obj, Visitor *v, const char *name,
                             void *opaque, Error **errp)
{
    visit_type_size(v, name, &PV_IOMMU_PCI(obj)->direct_limit, errp);
}

/* Whether it is offered at all is decided when the machine starts */
static void set_direct_limit(Object *obj, Visitor *v, const char *name,
                             void *opaque, Error **errp)
{
    ERRP_GUARD();
    PvIommuState *s = PV_IOMMU_PCI(obj);
    uint64_t limit;

    if (!visit_type_size(v, name, &limit, errp)) {
        return;
    }
    if (DEVICE(obj)->realized && !s->direct_pages && limit) {
        error_setg(errp, "direct-limit= was 0 when the machine was started");
        error_append_hint(errp, "Give it on the command line.\n");
        return;
    }
    s->direct_limit = limit;
}

static void get_discards_refused(Object *obj, Visitor *v, const char *name,
                                 void *opaque, Error **errp)
{
    uint64_t kept = stat64_get(&PV_IOMMU_PCI(obj)->kept);

    visit_type_size(v, name, &kept, errp);
}

static void pv_iommu_init(Object *obj)
{
    PvIommuState *s = PV_IOMMU_PCI(obj);

    s->phys_ring[0] = s->phys_ring[1] = -1;
    s->limit = UINT64_MAX;
    object_property_add(obj, "limit", "size", get_limit, set_limit, NULL,
                        NULL);
    object_property_set_description(obj, "limit",
        "bytes of the window that may be granted (default: all)");
    object_property_add(obj, "direct-limit", "size", get_direct_limit,
                        set_direct_limit, NULL, NULL);
    object_property_set_description(obj, "direct-limit",
        "bytes of guest RAM that may be granted (default: 0, not offered)");
    object_property_add(obj, "discards-refused", "size", get_discards_refused,
                        NULL, NULL, NULL);
    object_property_set_description(obj, "discards-refused",
        "bytes that balloon and the like were not given, as they were granted");
    add_debug_properties(obj);
    object_property_add_uint32_ptr(obj, "x-live-mappings", &s->nr_mappings,
                                   OBJ_PROP_FLAG_READ);
    object_property_add_uint32_ptr(obj, "x-dropped-mappings", &s->nr_dropped,
                                   OBJ_PROP_FLAG_READ);
}

static void pv_iommu_class_init(ObjectClass *klass, PvIommuClassData *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    PCIDeviceClass *k = PCI_DEVICE_CLASS(klass);
    MemoryDeviceClass *mdc = MEMORY_DEVICE_CLASS(klass);
    ResettableClass *rc = RESETTABLE_CLASS(klass);

    k->realize = pv_iommu_realize;
    k->exit = pv_iommu_exit;
    k->vendor_id = PV_IOMMU_PCI_VENDOR_ID;
    k->device_id = PV_IOMMU_PCI_DEVICE_ID;
    k->class_id = PCI_CLASS_SYSTEM_OTHER;

    mdc->get_addr = md_get_addr;
    mdc->set_addr = md_set_addr;
    mdc->get_memory_region = md_get_memory_region;
    mdc->get_plugged_size = md_get_plugged_size;
    mdc->get_min_alignment = md_get_min_alignment;
    mdc->fill_device_info = md_fill_device_info;

    dc->desc = "paravirtual IOMMU: a window of guest memory for DMA";
    dc->vmsd = &vmstate_pv_iommu;
    /* devices hold on to their address spaces, and the guest to the window */
    dc->hotpluggable = false;
    rc->phases.enter = pv_iommu_reset_enter;
    rc->phases.exit = pv_iommu_reset_exit;
    device_class_set_props(dc, pv_iommu_properties);
    set_bit(DEVICE_CATEGORY_MISC, dc->categories);

    object_class_property_set_description(klass, "memdev",
        "memory backend of the window, a multiple of 2 MiB");
    object_class_property_set_description(klass, "memaddr",
        "guest-physical address of the window (default: found above RAM)");
    object_class_property_set_description(klass, "dma-base",
        "DMA address of the window (default: 0x200000)");
    object_class_property_set_description(klass, "arena-size",
        "memory of the host to bounce through (default: 64M, 0: none)");
    object_class_property_set_description(klass, "arena-base",
        "DMA address of the arena (default: behind the window)");
    object_class_property_set_description(klass, "direct-base",
        "DMA address of guest RAM (default: above window and arena)");
    object_class_property_set_description(klass, "hw-iommu",
        "streaming DMA may use the window (auto: if the host has an IOMMU)");
    object_class_property_set_description(klass, "boot-bypass",
        "devices reach all memory until they are attached (default: on)");
    object_class_property_set_description(klass, "isolation",
        "devices may be in domains of their own (default: on)");
    object_class_property_set_description(klass, "x-chunks",
        "for tests; off: as a host that knows no chunks (default: on)");
}

static const TypeInfo pv_iommu_info = {
    .name = TYPE_PV_IOMMU_PCI,
    .parent = TYPE_PCI_DEVICE,
    .instance_size = sizeof(PvIommuState),
    .instance_init = pv_iommu_init,
    .class_init = pv_iommu_class_init,
    .interfaces = (InterfaceInfo[]) {
        { INTERFACE_CONVENTIONAL_PCI_DEVICE },
        { TYPE_MEMORY_DEVICE },
        { }
    },
};

static void reset_first(void *opaque)
{
    Object *obj = object_resolve_path_type("", TYPE_PV_IOMMU_PCI, NULL);

    if (obj && DEVICE(obj)->realized) {
        pv_iommu_reset_enter(obj, RESET_TYPE_COLD);
    }
}

static void pv_iommu_register_types(void)
{
    type_register_static(&pv_iommu_info);
    pv_iommu_register_first_reset(reset_first);
}
type_init(pv_iommu_register_types)
