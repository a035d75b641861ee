/*
 * pv-iommu: the arena, and the mappings that live in it
 *
 * Where the devices may not use the window for streaming DMA, they use the
 * arena: memory of the host that the guest does not see. A mapping is a slot
 * of it and the list of the pieces of guest memory that the slot stands for.
 * Its start may be the guest's, in a BAR: coherent memory for devices that do
 * not reach the window.
 *
 * What a mapping says of guest memory was judged when it was made, but guest
 * memory can be unplugged since: it is judged again before each copy. Topology
 * changes only under the big lock, which every caller holds, so that a copy
 * finds what the check has found.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/bitmap.h"
#include "pv-iommu.h"
#include "trace.h"

static uint64_t granules(uint64_t length)
{
    return DIV_ROUND_UP(length, PV_IOMMU_GRANULE);
}

static uint8_t *slot_ptr(PvIommuState *s, uint64_t offset)
{
    return (uint8_t *)memory_region_get_ram_ptr(&s->arena) + offset;
}

static uint16_t mapping_rid(const PvIommuMapping *m)
{
    return pci_get_bdf(m->dev->pdev);
}

/*
 * Memory that a device shows in a BAR is RAM for QEMU, whether it is its own or
 * a memory backend's. Ours is the guest's, which may map coherent memory of one
 * device for another.
 */
static bool is_of_device(PvIommuState *s, MemoryRegion *mr)
{
    const MemoryRegion *pci = pci_address_space(PCI_DEVICE(s));

    for (; mr; mr = mr->container) {
        Object *owner = memory_region_owner(mr);

        if (object_dynamic_cast(owner, TYPE_DEVICE)) {
            return !object_dynamic_cast(owner, TYPE_PV_IOMMU_PCI);
        }
        if (mr == pci) {
            return true;
        }
    }
    return false;
}

/* Is all of it memory that the guest may read and write, and no device's? */
bool pv_iommu_is_ram(PvIommuState *s, hwaddr addr, uint64_t len)
{
    if (!len || addr + len - 1 < addr) {
        return false;
    }

    while (len) {
        MemoryRegionSection sec = memory_region_find(get_system_memory(),
                                                     addr, len);
        uint64_t size;
        bool ram;

        if (!sec.mr) {
            return false;
        }
        ram = sec.offset_within_address_space == addr &&
              memory_region_is_ram(sec.mr) &&
              !memory_region_is_ram_device(sec.mr) &&
              !is_of_device(s, sec.mr) &&
              !sec.readonly && !memory_region_is_rom(sec.mr);
        size = MIN(int128_get64(sec.size), len);
        memory_region_unref(sec.mr);
        if (!ram) {
            return false;
        }

        addr += size;
        len -= size;
    }
    return true;
}

bool pv_iommu_arena_init(PvIommuState *s, Error **errp)
{
    Error *err = NULL;

    if (!s->arena_size) {
        return true;
    }

    if (s->arena_memdev) {
        s->arena_ram = host_memory_backend_get_memory(s->arena_memdev);
        host_memory_backend_set_mapped(s->arena_memdev, true);
        memory_region_init_alias(&s->arena, OBJECT(s), "pv-iommu.arena",
                                 s->arena_ram, 0, s->arena_size);
    } else {
        s->arena_ram = &s->arena;
        memory_region_init_ram(&s->arena, OBJECT(s), "pv-iommu.arena",
                               s->arena_size, &err);
    }
    if (err) {
        error_propagate_prepend(errp, err, "arena-size=0x%" PRIx64 ": ",
                                s->arena_size);
        return false;
    }
    s->arena_page = MIN(PV_IOMMU_CHUNK_MAX, s->arena_size & -s->arena_size);
    if (s->arena_base) {
        s->arena_page = MIN(s->arena_page, s->arena_base & -s->arena_base);
    }
    s->arena_used = bitmap_new(granules(s->arena_size));
    /* for good, so that no mapping is ever found or put there */
    bitmap_set(s->arena_used, 0, granules(s->arena_coherent));
    s->arena_slots = g_new0(PvIommuMapping *, granules(s->arena_size));
    return true;
}

/*
 * The guest's view of the arena's start. It is below 4 GiB, where every guest
 * can map it, and no smaller than what Linux has struct pages for.
 */
void pv_iommu_arena_share(PvIommuState *s)
{
    memory_region_init(&s->coherent_bar, OBJECT(s), "pv-iommu-coherent",
                       MAX(pow2ceil(s->arena_coherent), PV_IOMMU_COHERENT_BAR));
    memory_region_init_alias(&s->coherent, OBJECT(s), "pv-iommu-arena-coherent",
                             s->arena_ram, 0, s->arena_coherent);
    memory_region_add_subregion(&s->coherent_bar, 0, &s->coherent);
}

void pv_iommu_arena_cleanup(PvIommuState *s)
{
    /* the memory itself goes with its owner */
    if (s->arena_memdev) {
        host_memory_backend_set_mapped(s->arena_memdev, false);
    }
    g_clear_pointer(&s->arena_used, g_free);
    g_clear_pointer(&s->arena_slots, g_free);
}

/*
 * Judge a mapping: every piece in the guest's RAM, in order, without overlap
 * and inside the length. No sum can wrap: pos and len have 32 bits.
 */
uint32_t pv_iommu_map_check(PvIommuState *s, uint64_t length, uint64_t nr_segs,
                            const PvIommuSeg *segs)
{
    uint64_t end = 0;
    uint64_t i;

    if (!length || length > s->arena_size - s->arena_coherent ||
        length > PV_IOMMU_MAX_LENGTH ||
        !nr_segs || nr_segs > PV_IOMMU_MAX_SEGS) {
        return PV_IOMMU_S_INVAL;
    }

    for (i = 0; i < nr_segs; i++) {
        if (!segs[i].len || segs[i].pos < end) {
            return PV_IOMMU_S_INVAL;
        }
        end = (uint64_t)segs[i].pos + segs[i].len;
        if (end > length) {
            return PV_IOMMU_S_INVAL;
        }
    }

    for (i = 0; i < nr_segs; i++) {
        if (!pv_iommu_is_ram(s, segs[i].addr, segs[i].len)) {
            return PV_IOMMU_S_RANGE;
        }
    }
    return PV_IOMMU_S_OK;
}

/*
 * Find the highest free place that the device reaches: low addresses are for
 * the devices that reach no other. Each round goes down by a granule or more.
 */
bool pv_iommu_arena_find_room(PvIommuState *s, uint64_t length,
                              uint64_t dma_limit, uint64_t align_mask,
                              uint64_t boundary_mask, uint64_t *offset)
{
    const uint64_t base = s->arena_base;
    const uint64_t nr = granules(length);
    uint64_t end = base + s->arena_size;    /* the first address too high */

    if (dma_limit < end - 1) {
        end = dma_limit + 1;
    }

    while (end > base && end - base >= length) {
        uint64_t addr = (end - length) & ~align_mask;
        uint64_t last = addr + length - 1;
        uint64_t first, used;

        if (addr < base) {
            break;
        }

        if (length - 1 <= boundary_mask &&
            (addr & ~boundary_mask) != (last & ~boundary_mask)) {
            end = last & ~boundary_mask;
            continue;
        }

        first = (addr - base) / PV_IOMMU_GRANULE;
        used = find_next_bit(s->arena_used, first + nr, first);
        if (used >= first + nr) {
            *offset = addr - base;
            return true;
        }
        end = base + used * PV_IOMMU_GRANULE;
    }

    trace_pv_iommu_arena_full(length, dma_limit, align_mask);
    return false;
}

/* Take a place that is free; the segments were judged by the caller */
PvIommuMapping *pv_iommu_mapping_new(PvIommuState *s, PvIommuDevice *dev,
                                     uint64_t offset, uint64_t length,
                                     uint32_t dirs, uint32_t nr_segs,
                                     const PvIommuSeg *segs)
{
    const uint64_t first = offset / PV_IOMMU_GRANULE;
    PvIommuMapping *m = g_malloc(sizeof(*m) + nr_segs * sizeof(*segs));

    m->dev = dev;
    m->offset = offset;
    m->length = length;
    m->dirs = dirs;
    m->nr_segs = nr_segs;
    memcpy(m->segs, segs, nr_segs * sizeof(*segs));

    bitmap_set(s->arena_used, first, granules(length));
    s->arena_slots[first] = m;
    QLIST_INSERT_HEAD(&dev->mappings, m, next);
    s->nr_mappings++;
    s->nr_segs += nr_segs;

    trace_pv_iommu_map(mapping_rid(m), s->arena_base + offset, length, nr_segs,
                       dirs);
    return m;
}

/*
 * Copy the guest's memory in, and clear what it leaves free: the device may
 * read all of the slot, and what a short write leaves goes back to the guest.
 */
void pv_iommu_mapping_fill(PvIommuState *s, PvIommuMapping *m)
{
    const uint64_t size = granules(m->length) * PV_IOMMU_GRANULE;
    uint8_t *slot = slot_ptr(s, m->offset);
    uint64_t end = 0;
    uint32_t i;

    for (i = 0; i < m->nr_segs; i++) {
        const PvIommuSeg *seg = &m->segs[i];

        memset(slot + end, 0, seg->pos - end);
        if (address_space_read(&address_space_memory, seg->addr,
                               MEMTXATTRS_UNSPECIFIED, slot + seg->pos,
                               seg->len) != MEMTX_OK) {
            memset(slot + seg->pos, 0, seg->len);
        }
        end = (uint64_t)seg->pos + seg->len;
    }
    memset(slot + end, 0, size - end);
    memory_region_set_dirty(s->arena_ram, m->offset, size);
}

PvIommuMapping *pv_iommu_mapping_find(PvIommuState *s, PvIommuDevice *dev,
                                      uint64_t dma_addr)
{
    uint64_t offset = dma_addr - s->arena_base;
    PvIommuMapping *m;

    if (dma_addr < s->arena_base || offset >= s->arena_size ||
        !QEMU_IS_ALIGNED(offset, PV_IOMMU_GRANULE)) {
        return NULL;
    }

    m = s->arena_slots[offset / PV_IOMMU_GRANULE];
    return m && m->dev == dev ? m : NULL;
}

/* The part of a piece that lies in a range of the mapping; false: none */
static bool seg_part(const PvIommuSeg *seg, uint64_t offset, uint64_t length,
                     uint64_t *pos, uint64_t *len)
{
    uint64_t start = MAX(seg->pos, offset);
    uint64_t end = MIN((uint64_t)seg->pos + seg->len, offset + length);

    *pos = start;
    *len = end - start;
    return start < end;
}

/*
 * Copy a range of the mapping, which the caller has found to be inside it,
 * between guest and slot. What is not RAM any more is left out.
 */
uint32_t pv_iommu_mapping_copy(PvIommuState *s, PvIommuMapping *m,
                               uint64_t offset, uint64_t length,
                               bool to_device)
{
    uint8_t *slot = slot_ptr(s, m->offset);
    uint32_t status = PV_IOMMU_S_OK;
    uint32_t i;

    trace_pv_iommu_copy(mapping_rid(m), s->arena_base + m->offset, offset,
                        length, to_device);
    if (!to_device && pv_iommu_hostile_copies_not(s)) {
        return PV_IOMMU_S_OK;
    }

    for (i = 0; i < m->nr_segs; i++) {
        const PvIommuSeg *seg = &m->segs[i];
        uint64_t pos, len, addr;

        if (!seg_part(seg, offset, length, &pos, &len)) {
            continue;
        }
        addr = seg->addr + (pos - seg->pos);
        if (!pv_iommu_is_ram(s, addr, len)) {
            status = PV_IOMMU_S_RANGE;
            continue;
        }
        if (address_space_rw(&address_space_memory, addr,
                             MEMTXATTRS_UNSPECIFIED, slot + pos, len,
                             !to_device) != MEMTX_OK) {
            status = PV_IOMMU_S_IO;
        }
    }
    if (to_device) {
        memory_region_set_dirty(s->arena_ram, m->offset + offset, length);
    }
    return status;
}

/* Give the slot back, cleared: the next device to see it may be another */
void pv_iommu_mapping_free(PvIommuState *s, PvIommuMapping *m, bool clear)
{
    const uint64_t nr = granules(m->length);
    const uint64_t first = m->offset / PV_IOMMU_GRANULE;

    trace_pv_iommu_unmap(mapping_rid(m), s->arena_base + m->offset, m->length);

    if (clear) {
        memset(slot_ptr(s, m->offset), 0, nr * PV_IOMMU_GRANULE);
        memory_region_set_dirty(s->arena_ram, m->offset,
                                nr * PV_IOMMU_GRANULE);
    }
    bitmap_clear(s->arena_used, first, nr);
    s->arena_slots[first] = NULL;
    QLIST_REMOVE(m, next);
    s->nr_mappings--;
    s->nr_segs -= m->nr_segs;
    g_free(m);
}
