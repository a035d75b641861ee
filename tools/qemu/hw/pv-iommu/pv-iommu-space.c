/*
 * pv-iommu: the address spaces of the devices
 *
 * A space is in one of two states. It bypasses (boot-bypass=on, and none of its
 * devices attached): there is a RAM alias of all of the guest's memory. Or it
 * translates: there is a region that is asked and that tells of changes
 * (pv-iommu-reach.c), and what it shows are the chunks of the domain that its
 * devices are attached to. With boot-bypass=off it never bypasses, and no
 * change in it unmaps anything else, if only for a moment. So the arena that
 * assigned devices may be given with host-phys=on is there from the start.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "qemu/cutils.h"
#include "qemu/error-report.h"
#include "pv-iommu.h"
#include "trace.h"

/* All vfio-pci devices are in one, with isolation=off */
#define VFIO_ALL        (-1)

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

/*
 * Have the space show what it should. False: it could not be mapped for a
 * device, which has none of it, or some. VFIO then says so in map_failed, and
 * does not end QEMU, as the caller takes it back.
 */
static bool show_regions(PvIommuSpace *sp, bool bypass)
{
    PvIommuState *s = sp->iommu;

    sp->reach.map_error = 0;
    sp->as.map_failed = false;
    sp->as.map_may_fail = true;
    memory_region_transaction_begin();
    memory_region_set_enabled(&sp->bypass, bypass);
    memory_region_set_enabled(MEMORY_REGION(&sp->reach), !bypass);
    if (s->arena_size) {
        memory_region_set_enabled(&sp->assigned_arena,
                                  !sp->bus && !s->withhold &&
                                  (s->arena_memdev ||
                                   (s->boot_bypass && sp->users &&
                                    sp->mode == PV_IOMMU_ATTACH_BOUNCE)));
    }
    memory_region_transaction_commit();
    sp->as.map_may_fail = false;
    return !sp->reach.map_error && !sp->as.map_failed;
}

/*
 * Make the space bypass, or not, as its attached devices or the lack of them
 * call for. False: a device could not be shown what it should be. If that was
 * all of memory, its devices reach nothing, and to pin memory for them is not
 * tried again before the machine is reset: the guest decides when to ask.
 *
 * All who listen to memory are told, of any space. A virtio device may find
 * that its ring is bad then, and its interrupt may be a write to a slot's power
 * control: a device of this space, and the space with it, may be gone
 * afterwards.
 */
bool pv_iommu_space_switch(PvIommuSpace *sp)
{
    PvIommuState *s = sp->iommu;
    bool bypass = s->boot_bypass && !sp->users && !sp->unpinned &&
                  (!s->confined || sp->exempt);
    bool shown;

    object_ref(OBJECT(sp));
    shown = show_regions(sp, bypass);

    if (!shown && bypass) {
        error_report("pv-iommu: the guest's memory could not be pinned for the "
                     "vfio-pci devices of %s: they reach nothing until the "
                     "guest attaches them",
                     memory_region_name(&sp->root));
        error_printf("Raise the limit of locked memory of QEMU's user by the "
                     "guest's memory, for each group, or set "
                     "boot-bypass=off.\n");
        sp->unpinned = true;
        bypass = false;
        show_regions(sp, false);
    }

    if (sp->bypassing && !bypass) {
        /* what they asked for while it bypassed */
        pv_iommu_reach_forget(sp, 0, UINT64_MAX);
    }
    sp->bypassing = bypass;
    trace_pv_iommu_space_switch(memory_region_name(&sp->root),
                                sp->users ? sp->mode : 0, bypass);
    object_unref(OBJECT(sp));
    return shown;
}

static void space_alias(PvIommuSpace *sp, MemoryRegion *alias, const char *name,
                        MemoryRegion *target, uint64_t from, uint64_t size,
                        uint64_t at, int priority)
{
    memory_region_init_alias(alias, OBJECT(sp), name, target, from, size);
    memory_region_add_subregion_overlap(&sp->root, at, alias, priority);
}

static PvIommuSpace *space_new(PvIommuState *s, PCIBus *bus, int devfn)
{
    PvIommuSpace *sp = PV_IOMMU_SPACE(object_new(TYPE_PV_IOMMU_SPACE));
    MemoryRegion *system = get_system_memory();
    g_autofree char *name = bus ?
        g_strdup_printf("pv-iommu-%02x.%x", PCI_SLOT(devfn), PCI_FUNC(devfn)) :
        devfn == VFIO_ALL ? g_strdup("pv-iommu-vfio") :
                            g_strdup_printf("pv-iommu-vfio-%d", devfn);

    sp->iommu = s;
    sp->bus = bus;
    sp->devfn = devfn;
    sp->group = ++s->nr_spaces;
    object_property_add_child(OBJECT(s), "space[*]", OBJECT(sp));
    object_unref(OBJECT(sp));

    memory_region_init(&sp->root, OBJECT(sp), name, UINT64_MAX);
    pv_iommu_reach_init(sp, name);
    space_alias(sp, &sp->bypass, "pv-iommu-bypass", system, 0, UINT64_MAX,
                0, 1);
    if (s->arena_size) {
        /* VFIO maps guest memory, and what else it finds as RAM */
        space_alias(sp, &sp->assigned_arena, "pv-iommu-arena", &s->arena, 0,
                    s->arena_size, s->arena_base, 1);
    }
    pv_iommu_space_switch(sp);

    address_space_init(&sp->as, &sp->root, name);
    /*
     * all that is ever in there is chunks, while they are granted, and an arena
     * that is never discarded
     */
    sp->as.keeps_ram = !s->boot_bypass;
    sp->as.host_phys = s->host_phys;
    trace_pv_iommu_space_new(name, sp->group);
    return sp;
}

/* The PCI core asks: bus and devfn are the requester's as they arrive here */
AddressSpace *pv_iommu_get_address_space(PCIBus *bus, void *opaque, int devfn)
{
    PvIommuState *s = opaque;
    PvIommuSpace key = { .bus = bus, .devfn = devfn };
    PCIDevice *pdev = bus->devices[devfn];
    PvIommuSpace *sp;
    int group;

    if (pdev && pv_iommu_is_assigned(pdev)) {
        if (!s->isolation) {
            key = (PvIommuSpace) { .devfn = VFIO_ALL };
        } else if (pv_iommu_host_group(pdev, &group)) {
            key = (PvIommuSpace) { .devfn = group };
        }
    }

    sp = g_hash_table_lookup(s->spaces, &key);
    if (!sp) {
        sp = space_new(s, key.bus, key.devfn);
        g_hash_table_add(s->spaces, sp);
    }
    return &sp->as;
}

PvIommuSpace *pv_iommu_space_of(PvIommuState *s, PCIDevice *pdev)
{
    AddressSpace *as = pci_device_iommu_address_space(pdev);

    /* none: the system's own, where the bus bypasses IOMMUs */
    return (PvIommuSpace *)object_dynamic_cast(memory_region_owner(as->root),
                                               TYPE_PV_IOMMU_SPACE);
}

bool pv_iommu_serves(PvIommuState *s, PCIDevice *pdev)
{
    return pdev != PCI_DEVICE(s) && pv_iommu_space_of(s, pdev);
}

/* Each of the spaces, also if others go meanwhile, but none that has gone */
static void for_each_space(PvIommuState *s, void (*func)(PvIommuSpace *sp))
{
    GList *spaces = g_hash_table_get_keys(s->spaces);

    g_list_foreach(spaces, (GFunc)object_ref, NULL);
    for (GList *l = spaces; l; l = l->next) {
        if (g_hash_table_lookup(s->spaces, l->data) == l->data) {
            func(l->data);
        }
    }
    g_list_free_full(spaces, object_unref);
}

static void switch_one(PvIommuSpace *sp)
{
    pv_iommu_space_switch(sp);
}

/* The guest serves devices from now on: no more bypass for who is not exempt */
void pv_iommu_confine(PvIommuState *s)
{
    if (!s->confined) {
        pv_iommu_set_confined(s, true);
    }
}

void pv_iommu_set_confined(PvIommuState *s, bool confined)
{
    s->confined = confined;
    for_each_space(s, switch_one);
}

static void begin_anew(PvIommuState *s, bool confined)
{
    PvIommuSpace *sp;
    GHashTableIter iter;

    g_hash_table_remove_all(s->exempts);
    g_hash_table_iter_init(&iter, s->spaces);
    while (g_hash_table_iter_next(&iter, (gpointer *)&sp, NULL)) {
        sp->exempt = false;
        sp->served = confined;
        sp->unpinned = false;
    }
    pv_iommu_set_confined(s, confined);
}

/* The machine is reset, and all devices with it */
void pv_iommu_unconfine(PvIommuState *s)
{
    begin_anew(s, false);
}

/*
 * A state is being loaded, or could not be: what devices have been told before
 * is not known, so that nobody reaches anything, nor will by ATTACH_BYPASS
 * before the machine is reset.
 */
void pv_iommu_shut(PvIommuState *s)
{
    begin_anew(s, true);
}

static void withhold_one(PvIommuSpace *sp)
{
    if (!sp->domain) {
        return;
    }
    if (sp->iommu->withhold) {
        pv_iommu_reach_hide(sp, sp->domain);
    } else if (!pv_iommu_reach_show(sp, sp->domain)) {
        error_report("pv-iommu: what was withheld from %s cannot be given "
                     "back", memory_region_name(&sp->root));
    }
    pv_iommu_space_switch(sp);
}

/* x-withhold=on: what was granted is taken away, and given back with off */
void pv_iommu_withhold(PvIommuState *s, bool withhold)
{
    if (s->withhold == withhold) {
        return;
    }
    qatomic_set(&s->withhold, withhold);
    if (s->spaces) {    /* or else it is not realized yet */
        for_each_space(s, withhold_one);
    }
}

void pv_iommu_spaces_init(PvIommuState *s)
{
    s->spaces = g_hash_table_new(space_hash, space_equal);
    s->devices = g_hash_table_new(NULL, NULL);
    s->exempts = g_hash_table_new(NULL, NULL);
}

/* Nobody asks for it any more. It lives until nobody looks at it. */
static void space_end(PvIommuSpace *sp)
{
    PvIommuState *s = sp->iommu;

    memory_region_transaction_begin();
    if (s->arena_size) {
        memory_region_del_subregion(&sp->root, &sp->assigned_arena);
    }
    memory_region_del_subregion(&sp->root, &sp->bypass);
    pv_iommu_reach_cleanup(sp);
    memory_region_transaction_commit();
    address_space_destroy(&sp->as);
    object_unparent(OBJECT(sp));
}

static gboolean space_end_one(gpointer key, gpointer value, gpointer opaque)
{
    space_end(key);
    return TRUE;
}

static gboolean space_end_if_on(gpointer key, gpointer value, gpointer opaque)
{
    PvIommuSpace *sp = key;

    if (sp->bus != opaque) {
        return FALSE;
    }
    trace_pv_iommu_space_end(memory_region_name(&sp->root), sp->group);
    /*
     * VFIO listens until an assigned device is finalized, which is later: such
     * a space stays as it is, but is found no more.
     */
    if (QTAILQ_EMPTY(&sp->as.listeners)) {
        space_end(sp);
    }
    return TRUE;
}

/* A bridge was unplugged with its bus, and before that what was on it */
void pv_iommu_bus_gone(PvIommuState *s, PCIBus *bus)
{
    g_hash_table_foreach_remove(s->spaces, space_end_if_on, bus);
}

void pv_iommu_spaces_cleanup(PvIommuState *s)
{
    pv_iommu_detach_all(s);
    g_hash_table_foreach_remove(s->spaces, space_end_one, NULL);
    g_clear_pointer(&s->spaces, g_hash_table_destroy);
    g_clear_pointer(&s->devices, g_hash_table_destroy);
    g_clear_pointer(&s->exempts, g_hash_table_destroy);
}

static const TypeInfo space_info = {
    .name = TYPE_PV_IOMMU_SPACE,
    .parent = TYPE_OBJECT,
    .instance_size = sizeof(PvIommuSpace),
};

static void space_register_types(void)
{
    type_register_static(&space_info);
}
type_init(space_register_types)
