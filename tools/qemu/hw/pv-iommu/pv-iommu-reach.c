/*
 * pv-iommu: what the DMA addresses of a space mean
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

/*
 * Each space has an IOMMU memory region: emulated devices and vhost ask it what
 * an address stands for, and VFIO is told what comes and what goes, a chunk at
 * a time, so that nothing that stays is touched. RAM aliases would merge in the
 * flat view, and VFIO would unmap and map again what is in use. And they answer
 * vhost with the DMA address in place of a guest-physical one.
 *
 * What a device does not reach, and the arena, are translated too, to an
 * address space where there is no guest memory: at addresses that no guest
 * memory has, as vhost looks at nothing else of the answer.
 *
 * translate() runs in any thread, without the big lock. It looks at who a chunk
 * belongs to and compares pointers. Those that it follows, to what a domain has
 * of the guest's RAM, are freed a grace period after they were taken away.
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "pv-iommu.h"
#include "trace.h"

/*
 * reach has the addresses below REACH_SIZE, and nowhere what of them is no
 * guest memory. Above them is none anyway, nor window or arena: they are below
 * PV_IOMMU_DMA_END.
 */
#define REACH_SIZE          (1ULL << 62)
#define NOWHERE_ARENA       (1ULL << 61)
#define NOWHERE_REFUSED     REACH_SIZE

/* Who made a DMA that was refused; VFIO's spaces have no device of their own */
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

/* Of any width at any address, handled as the device asked for it */
#define ANY_ACCESS {            \
        .min_access_size = 1,   \
        .max_access_size = 8,   \
        .unaligned = true,      \
    }

static const MemoryRegionOps refused_ops = {
    .read_with_attrs = refused_read,
    .write_with_attrs = refused_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = ANY_ACCESS,
    .impl = ANY_ACCESS,
};

/*
 * What a device writes for an interrupt goes where it would go without us. All
 * else there is refused: interrupt controllers have registers at that address.
 */
static MemTxResult msi_write(void *opaque, hwaddr addr, uint64_t data,
                             unsigned size, MemTxAttrs attrs)
{
    MemTxResult result;

    if (size != sizeof(uint32_t) || !QEMU_IS_ALIGNED(addr, sizeof(uint32_t))) {
        return refused_write(opaque, PV_IOMMU_MSI_BASE + addr, data, size,
                             attrs);
    }
    address_space_stl_le(&address_space_memory, PV_IOMMU_MSI_BASE + addr, data,
                         attrs, &result);
    return result;
}

static MemTxResult msi_read(void *opaque, hwaddr addr, uint64_t *data,
                            unsigned size, MemTxAttrs attrs)
{
    return refused_read(opaque, PV_IOMMU_MSI_BASE + addr, data, size, attrs);
}

static const MemoryRegionOps msi_ops = {
    .read_with_attrs = msi_read,
    .write_with_attrs = msi_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = ANY_ACCESS,
    .impl = ANY_ACCESS,
};

static void refused_init(PvIommuSpace *sp, MemoryRegion *mr, MemoryRegion *root,
                         hwaddr at, uint64_t size)
{
    memory_region_init_io(mr, OBJECT(sp), &refused_ops, sp,
                          "pv-iommu-refused", size);
    memory_region_add_subregion_overlap(root, at, mr, -1);
}

/* What the devices of the space are shown now: NULL if nothing */
static PvIommuDomain *shown_domain(PvIommuSpace *sp)
{
    return qatomic_read(&sp->iommu->withhold) ? NULL
                                              : qatomic_read(&sp->domain);
}

static IOMMUTLBEntry window_entry(PvIommuState *s, uint32_t chunk,
                                  IOMMUAccessFlags perm)
{
    const uint64_t offset = chunk * s->chunk_size;

    return (IOMMUTLBEntry) {
        .target_as = &address_space_memory,
        .iova = s->dma_base + offset,
        .translated_addr = s->memaddr + offset,
        .addr_mask = s->chunk_size - 1,
        .perm = perm,
    };
}

static IOMMUTLBEntry nowhere_entry(PvIommuSpace *sp, hwaddr addr,
                                   hwaddr translated, uint64_t size)
{
    return (IOMMUTLBEntry) {
        .target_as = &sp->nowhere_as,
        .iova = addr & ~(size - 1),
        .translated_addr = translated & ~(size - 1),
        .addr_mask = size - 1,
        .perm = IOMMU_RW,
    };
}

static IOMMUTLBEntry reach_translate(IOMMUMemoryRegion *mr, hwaddr addr,
                                     IOMMUAccessFlags flag, int iommu_idx)
{
    PvIommuSpace *sp = container_of(mr, PvIommuSpace, reach);
    PvIommuState *s = sp->iommu;
    PvIommuDomain *d = shown_domain(sp);
    IOMMUTLBEntry entry;

    if (d && addr >= s->dma_base && addr - s->dma_base < s->window_size) {
        uint32_t chunk = (addr - s->dma_base) / s->chunk_size;

        if (qatomic_read(&s->chunk_owner[chunk]) == d) {
            return window_entry(s, chunk, IOMMU_RW);
        }
    }
    if (d && qatomic_read(&sp->mode) == PV_IOMMU_ATTACH_BOUNCE &&
        addr >= s->arena_base && addr - s->arena_base < s->arena_size) {
        return nowhere_entry(sp, addr, NOWHERE_ARENA + (addr - s->arena_base),
                             s->arena_page);
    }
    if (d && pv_iommu_direct_translate(s, d, addr, flag, &entry)) {
        return entry;
    }
    return nowhere_entry(sp, addr, NOWHERE_REFUSED + addr, PV_IOMMU_GRANULE);
}

/* The default looks at every page of the region */
static void reach_replay(IOMMUMemoryRegion *mr, IOMMUNotifier *n)
{
    PvIommuSpace *sp = container_of(mr, PvIommuSpace, reach);
    PvIommuState *s = sp->iommu;
    PvIommuDomain *d = shown_domain(sp);

    for (uint32_t i = 0; d && i < s->nr_chunks; i++) {
        IOMMUTLBEvent event = {
            .type = IOMMU_NOTIFIER_MAP,
            .entry = window_entry(s, i, IOMMU_RW),
        };

        if (s->chunk_owner[i] == d) {
            memory_region_notify_iommu_one(n, &event);
        }
    }
    if (d) {
        pv_iommu_direct_replay(sp, d, n);
    }
}

/*
 * Tell those that only remember what they have asked for, as vhost does, to
 * forget what went, from the first address to the last. Once for all of it: a
 * backend has to answer each time, and the guest may have a page granted, and
 * another, and all of them go at once.
 */
void pv_iommu_reach_forget(PvIommuSpace *sp, hwaddr first, hwaddr last)
{
    IOMMUNotifier *n;

    IOMMU_NOTIFIER_FOREACH(n, &sp->reach) {
        const hwaddr from = MAX(first, n->start);
        const hwaddr to = MIN(last, n->end);
        IOMMUTLBEvent event = {
            .type = n->notifier_flags,
            .entry = {
                .target_as = &address_space_memory,
                .iova = from,
                .addr_mask = to - from,
                .perm = IOMMU_NONE,
            },
        };

        if (!(n->notifier_flags & IOMMU_NOTIFIER_MAP) && from <= to) {
            memory_region_notify_iommu_one(n, &event);
        }
    }
}

/* Tell those that follow each mapping, as VFIO does, that something went */
void pv_iommu_reach_unmap_entry(PvIommuSpace *sp, IOMMUTLBEntry entry)
{
    IOMMUTLBEvent event = { .type = IOMMU_NOTIFIER_UNMAP, .entry = entry };
    IOMMUNotifier *n;

    event.entry.perm = IOMMU_NONE;
    IOMMU_NOTIFIER_FOREACH(n, &sp->reach) {
        if (n->notifier_flags & IOMMU_NOTIFIER_MAP) {
            memory_region_notify_iommu_one(n, &event);
        }
    }
}

static void unmap_one(PvIommuSpace *sp, uint32_t chunk)
{
    pv_iommu_reach_unmap_entry(sp, window_entry(sp->iommu, chunk, IOMMU_NONE));
}

static void forget_chunks(PvIommuSpace *sp, uint32_t first, uint32_t count)
{
    const PvIommuState *s = sp->iommu;
    const hwaddr start = s->dma_base + first * s->chunk_size;

    if (count) {
        pv_iommu_reach_forget(sp, start, start + count * s->chunk_size - 1);
    }
}

/* Tell both that the chunks went */
void pv_iommu_reach_unmap(PvIommuSpace *sp, uint32_t first, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        unmap_one(sp, first + i);
    }
    forget_chunks(sp, first, count);
}

/*
 * Tell who follows that something came; false: somebody could not map it. Who
 * remembers is told when all of what was to come has gone again.
 */
bool pv_iommu_reach_map_entry(PvIommuSpace *sp, IOMMUTLBEntry entry)
{
    IOMMUTLBEvent event = { .type = IOMMU_NOTIFIER_MAP, .entry = entry };

    sp->reach.map_error = 0;
    memory_region_notify_iommu(&sp->reach, 0, event);
    if (!sp->reach.map_error) {
        return true;
    }
    /* another one may have mapped it */
    pv_iommu_reach_unmap_entry(sp, entry);
    return false;
}

static bool map_one(PvIommuSpace *sp, uint32_t chunk)
{
    return pv_iommu_reach_map_entry(sp, window_entry(sp->iommu, chunk,
                                                     IOMMU_RW));
}

/* Tell who follows that the chunks came: all of them, or false and none */
bool pv_iommu_reach_map(PvIommuSpace *sp, uint32_t first, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (!map_one(sp, first + i)) {
            pv_iommu_reach_unmap(sp, first, i);
            return false;
        }
    }
    return true;
}

/* Tell both that all of the domain's chunks went, and its guest RAM */
void pv_iommu_reach_hide(PvIommuSpace *sp, PvIommuDomain *d)
{
    PvIommuState *s = sp->iommu;

    pv_iommu_direct_hide(sp, d);
    for (uint32_t i = 0; i < s->nr_chunks; i++) {
        if (s->chunk_owner[i] == d) {
            unmap_one(sp, i);
        }
    }
    forget_chunks(sp, 0, s->nr_chunks);
}

/* Tell who follows that they all came, or false and none of them */
bool pv_iommu_reach_show(PvIommuSpace *sp, PvIommuDomain *d)
{
    PvIommuState *s = sp->iommu;

    for (uint32_t i = 0; i < s->nr_chunks; i++) {
        if (s->chunk_owner[i] == d && !map_one(sp, i)) {
            while (i--) {
                if (s->chunk_owner[i] == d) {
                    unmap_one(sp, i);
                }
            }
            forget_chunks(sp, 0, s->nr_chunks);
            return false;
        }
    }
    if (!pv_iommu_direct_show(sp, d)) {
        pv_iommu_reach_hide(sp, d);
        return false;
    }
    return true;
}

/* The regions, in the space's root and beside it */
void pv_iommu_reach_init(PvIommuSpace *sp, const char *name)
{
    PvIommuState *s = sp->iommu;
    Object *owner = OBJECT(sp);

    refused_init(sp, &sp->refused, &sp->root, 0, UINT64_MAX);
    memory_region_init_iommu(&sp->reach, sizeof(sp->reach),
                             TYPE_PV_IOMMU_MEMORY_REGION, owner,
                             "pv-iommu-reach", REACH_SIZE);
    sp->reach.maps_all = true;
    memory_region_add_subregion(&sp->root, 0, MEMORY_REGION(&sp->reach));
    memory_region_init_io(&sp->msi, owner, &msi_ops, sp, "pv-iommu-msi",
                          PV_IOMMU_MSI_SIZE);
    memory_region_add_subregion_overlap(&sp->root, PV_IOMMU_MSI_BASE, &sp->msi,
                                        2);

    memory_region_init(&sp->nowhere, owner, "pv-iommu-nowhere", UINT64_MAX);
    refused_init(sp, &sp->nowhere_refused, &sp->nowhere, NOWHERE_REFUSED,
                 REACH_SIZE);
    if (s->arena_size) {
        memory_region_init_alias(&sp->nowhere_arena, owner,
                                 "pv-iommu-nowhere-arena", &s->arena, 0,
                                 s->arena_size);
        memory_region_add_subregion(&sp->nowhere, NOWHERE_ARENA,
                                    &sp->nowhere_arena);
    }
    address_space_init(&sp->nowhere_as, &sp->nowhere, name);
}

void pv_iommu_reach_cleanup(PvIommuSpace *sp)
{
    if (sp->iommu->arena_size) {
        memory_region_del_subregion(&sp->nowhere, &sp->nowhere_arena);
    }
    memory_region_del_subregion(&sp->nowhere, &sp->nowhere_refused);
    memory_region_del_subregion(&sp->root, &sp->msi);
    memory_region_del_subregion(&sp->root, MEMORY_REGION(&sp->reach));
    memory_region_del_subregion(&sp->root, &sp->refused);
    address_space_destroy(&sp->nowhere_as);
}

static void reach_class_init(ObjectClass *klass, PvIommuClassData *data)
{
    IOMMUMemoryRegionClass *imrc = IOMMU_MEMORY_REGION_CLASS(klass);

    imrc->translate = reach_translate;
    imrc->replay = reach_replay;
}

static const TypeInfo reach_info = {
    .name = TYPE_PV_IOMMU_MEMORY_REGION,
    .parent = TYPE_IOMMU_MEMORY_REGION,
    .class_init = reach_class_init,
};

static void reach_register_types(void)
{
    type_register_static(&reach_info);
}
type_init(reach_register_types)
