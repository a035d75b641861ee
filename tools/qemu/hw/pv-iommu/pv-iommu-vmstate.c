/*
 * pv-iommu: migration
 *
 * The window's memory and the arena's travel as RAM. What the stream adds is
 * the registers, who is attached, and the live mappings. Its numbers are as
 * little to be trusted as a guest's: everything is judged as a request is.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "migration/vmstate.h"
#include "qemu/bitmap.h"
#include "qemu/error-report.h"
#include "pv-iommu.h"
#include "trace.h"

/* States of a chunk in the stream */
#define CHUNK_CLEAN     0
#define CHUNK_LEFT      1
#define CHUNK_GRANTED   2

/* Buses have 8-bit numbers, and none is behind itself */
#define PATH_MAX_DEPTH  256

static int drop_records(void *opaque)
{
    PvIommuState *s = opaque;

    g_clear_pointer(&s->mig_devices, g_free);
    g_clear_pointer(&s->mig_domains, g_free);
    g_clear_pointer(&s->mig_chunks, g_free);
    g_clear_pointer(&s->mig_mappings, g_free);
    g_clear_pointer(&s->mig_segs, g_free);
    g_clear_pointer(&s->mig_marks, g_free);
    g_clear_pointer(&s->mig_ram, g_free);
    g_clear_pointer(&s->mig_places, g_free);
    g_clear_pointer(&s->mig_path, g_free);
    s->mig_nr_places = 0;
    s->mig_path_len = 0;
    s->mig_nr_ram = 0;
    s->mig_nr_marks = 0;
    s->mig_nr_devices = 0;
    s->mig_nr_mappings = 0;
    s->mig_nr_segs = 0;
    s->mig_nr_chunks = 0;
    return 0;
}

static void save_chunks(PvIommuState *s)
{
    PvIommuChunkRecord *cr;

    s->mig_nr_chunks = s->nr_chunks;
    cr = s->mig_chunks = g_new0(PvIommuChunkRecord, s->nr_chunks);
    for (uint32_t i = 0; i < s->nr_chunks; i++, cr++) {
        PvIommuDomain *d = s->chunk_owner[i];

        cr->state = d ? CHUNK_GRANTED :
                    test_bit(i, s->chunk_left) ? CHUNK_LEFT : CHUNK_CLEAN;
        cr->domain = d ? d->id : 0;
    }
}

static void save_ram(PvIommuState *s)
{
    g_autofree PvIommuRange *runs = NULL;
    GHashTableIter iter;
    PvIommuRamRecord *rr;
    PvIommuDomain *d;

    g_hash_table_iter_init(&iter, s->domains);
    while (g_hash_table_iter_next(&iter, NULL, (gpointer *)&d)) {
        s->mig_nr_ram += pv_iommu_direct_runs(s, d, NULL);
    }
    rr = s->mig_ram = g_new0(PvIommuRamRecord, s->mig_nr_ram);
    runs = g_new(PvIommuRange, s->mig_nr_ram);

    g_hash_table_iter_init(&iter, s->domains);
    while (g_hash_table_iter_next(&iter, NULL, (gpointer *)&d)) {
        uint32_t nr = pv_iommu_direct_runs(s, d, runs);

        for (uint32_t i = 0; i < nr; i++, rr++) {
            rr->domain = d->id;
            rr->first = runs[i].first;
            rr->count = runs[i].count;
            rr->flags = runs[i].flags;
        }
    }
}

/*
 * Places
 */

/* The way to a function of a bus, from the root on; how many steps it has */
static uint16_t path_of(PCIBus *bus, int devfn, uint8_t path[PATH_MAX_DEPTH])
{
    uint16_t depth = 1;

    for (PCIBus *b = bus; b->parent_dev; b = pci_get_bus(b->parent_dev)) {
        depth++;
    }
    g_assert(depth <= PATH_MAX_DEPTH);
    for (uint16_t i = depth; i--;) {
        path[i] = devfn;
        if (bus->parent_dev) {
            devfn = bus->parent_dev->devfn;
            bus = pci_get_bus(bus->parent_dev);
        }
    }
    return depth;
}

static void save_place(PvIommuState *s, PCIBus *bus, int devfn,
                       uint32_t nr_mappings)
{
    PvIommuPlaceRecord *place = &s->mig_places[s->mig_nr_places++];

    place->depth = path_of(bus, devfn, s->mig_path + s->mig_path_len);
    place->nr_mappings = nr_mappings;
    s->mig_path_len += place->depth;
}

/* Who is there now; NULL: nobody */
static PCIDevice *pdev_at(PvIommuState *s, const uint8_t *path, uint16_t depth)
{
    PCIBus *bus = pci_get_bus(PCI_DEVICE(s)), *child;

    for (; depth > 1; path++, depth--) {
        QLIST_FOREACH(child, &bus->child, sibling) {
            if (child->parent_dev && child->parent_dev->devfn == *path) {
                break;
            }
        }
        if (!child) {
            return NULL;
        }
        bus = child;
    }
    return bus->devices[*path];
}

/* The numbers of one record fit those of the others */
static bool places_are_good(PvIommuState *s)
{
    uint64_t length = 0, mappings = 0;

    if (s->mig_nr_places != (int64_t)s->mig_nr_devices + s->mig_nr_marks) {
        return false;
    }
    for (int32_t i = 0; i < s->mig_nr_places; i++) {
        const PvIommuPlaceRecord *place = &s->mig_places[i];

        if (!place->depth || place->depth > PATH_MAX_DEPTH) {
            return false;
        }
        length += place->depth;
        mappings += i < s->mig_nr_devices ? place->nr_mappings : 0;
    }
    return length == s->mig_path_len && mappings == s->mig_nr_mappings;
}

/*
 * Marks
 */

static uint16_t rid_of(PvIommuSpace *sp)
{
    return PCI_BUILD_BDF(pci_bus_num(sp->bus), sp->devfn);
}

static void save_marks(PvIommuState *s)
{
    GHashTableIter iter;
    PvIommuSpace *sp;

    s->mig_marks = g_new0(PvIommuMarkRecord, g_hash_table_size(s->spaces));
    g_hash_table_iter_init(&iter, s->spaces);
    while (g_hash_table_iter_next(&iter, (gpointer *)&sp, NULL)) {
        /* VFIO's have no requester ID of their own, and do not migrate */
        if (sp->bus && (sp->exempt || sp->served)) {
            PvIommuMarkRecord *mark = &s->mig_marks[s->mig_nr_marks++];

            mark->rid = rid_of(sp);
            mark->exempt = sp->exempt;
            mark->served = sp->served;
            save_place(s, sp->bus, sp->devfn, 0);
        }
    }
}

static bool mark_is_of(PvIommuState *s, int32_t mark, const uint8_t *path,
                       PvIommuSpace *sp)
{
    uint8_t own[PATH_MAX_DEPTH];
    uint16_t depth;

    if (!s->mig_places) {
        return s->mig_marks[mark].rid == rid_of(sp);
    }
    depth = path_of(sp->bus, sp->devfn, own);
    return depth == s->mig_places[s->mig_nr_devices + mark].depth &&
           !memcmp(own, path, depth);
}

static void load_space_marks(PvIommuState *s, PvIommuSpace *sp)
{
    const uint8_t *path = s->mig_path;

    for (int32_t i = 0; s->mig_places && i < s->mig_nr_devices; i++) {
        path += s->mig_places[i].depth;
    }
    sp->exempt = false;
    sp->served = false;
    for (int32_t i = 0; i < s->mig_nr_marks; i++) {
        if (sp->bus && mark_is_of(s, i, path, sp)) {
            sp->exempt = s->mig_marks[i].exempt && !s->mig_marks[i].served;
            sp->served = s->mig_marks[i].served;
        }
        path += s->mig_places ? s->mig_places[s->mig_nr_devices + i].depth : 0;
    }
}

/* A space that is not there, or none for what was marked: it stays confined */
static void load_marks(PvIommuState *s)
{
    GHashTableIter iter;
    PvIommuSpace *sp;

    g_hash_table_iter_init(&iter, s->spaces);
    while (g_hash_table_iter_next(&iter, (gpointer *)&sp, NULL)) {
        load_space_marks(s, sp);
    }
    pv_iommu_exempt_loaded(s);
    /* of a source that knows nothing of it, what can be told */
    pv_iommu_set_confined(s, s->enabled || s->mig_confined);
}

static int pv_iommu_pre_save(void *opaque)
{
    PvIommuState *s = opaque;
    PvIommuMappingRecord *mr;
    PvIommuDeviceRecord *dr;
    PvIommuDomainRecord *id;
    PvIommuDevice *dev;
    GHashTableIter iter;
    PvIommuSeg *seg;

    drop_records(s);
    s->mig_loading = false;
    s->mig_boot_bypass = s->boot_bypass;
    s->mig_confined = s->confined;
    s->mig_features = s->guest_features;
    s->mig_enabled = s->enabled;
    s->mig_nr_devices = g_hash_table_size(s->devices);
    s->mig_places = g_new0(PvIommuPlaceRecord, s->mig_nr_devices +
                           g_hash_table_size(s->spaces));
    s->mig_path = g_malloc((s->mig_nr_devices + g_hash_table_size(s->spaces)) *
                           PATH_MAX_DEPTH);
    s->mig_nr_mappings = s->nr_mappings;
    s->mig_nr_segs = s->nr_segs;
    dr = s->mig_devices = g_new0(PvIommuDeviceRecord, s->mig_nr_devices);
    id = s->mig_domains = g_new0(PvIommuDomainRecord, s->mig_nr_devices);
    mr = s->mig_mappings = g_new0(PvIommuMappingRecord, s->mig_nr_mappings);
    seg = s->mig_segs = g_new0(PvIommuSeg, s->mig_nr_segs);

    g_hash_table_iter_init(&iter, s->devices);
    while (g_hash_table_iter_next(&iter, NULL, (gpointer *)&dev)) {
        PvIommuMappingRecord *first = mr;
        PvIommuMapping *m;

        dr->rid = pci_get_bdf(dev->pdev);
        dr->mode = dev->mode;
        id->id = dev->space->domain->id;
        QLIST_FOREACH(m, &dev->mappings, next) {
            mr->rid = dr->rid;
            mr->dma_addr = s->arena_base + m->offset;
            mr->length = m->length;
            mr->dirs = m->dirs;
            mr->nr_segs = m->nr_segs;
            memcpy(seg, m->segs, m->nr_segs * sizeof(*seg));
            seg += m->nr_segs;
            mr++;
        }
        save_place(s, pci_get_bus(dev->pdev), dev->pdev->devfn, mr - first);
        dr++;
        id++;
    }
    save_marks(s);
    save_chunks(s);
    save_ram(s);

    trace_pv_iommu_pre_save(s->mig_nr_devices, s->mig_nr_mappings);
    return 0;
}

/* Before the arrays are allocated: a granule holds one mapping at the most */
static bool counts_are_good(void *opaque, int version_id)
{
    PvIommuState *s = opaque;
    uint64_t max = s->arena_size / PV_IOMMU_GRANULE;

    return s->mig_nr_devices >= 0 && s->mig_nr_devices <= UINT16_MAX + 1 &&
           s->mig_nr_mappings >= 0 && s->mig_nr_mappings <= max &&
           s->mig_nr_segs >= 0 &&
           s->mig_nr_segs <= s->mig_nr_mappings * (int64_t)PV_IOMMU_MAX_SEGS;
}

/*
 * Memory that was unplugged since is no fault of a mapping's: each copy judges
 * it again.
 */
static bool load_mapping(PvIommuState *s, PvIommuDevice *dev,
                         const PvIommuMappingRecord *mr,
                         const PvIommuSeg *segs)
{
    uint64_t offset = mr->dma_addr - s->arena_base;
    uint32_t status;
    uint64_t first, nr;

    if (!dev || dev->mode != PV_IOMMU_ATTACH_BOUNCE ||
        !mr->dirs || mr->dirs & ~PV_IOMMU_DIRS ||
        mr->dma_addr < s->arena_base || offset >= s->arena_size ||
        !QEMU_IS_ALIGNED(offset, PV_IOMMU_GRANULE) ||
        !mr->length || mr->length > s->arena_size - offset) {
        return false;
    }
    status = pv_iommu_map_check(s, mr->length, mr->nr_segs, segs);
    if (status && status != PV_IOMMU_S_RANGE) {
        return false;
    }

    first = offset / PV_IOMMU_GRANULE;
    nr = DIV_ROUND_UP(mr->length, PV_IOMMU_GRANULE);
    if (find_next_bit(s->arena_used, first + nr, first) < first + nr) {
        return false;
    }
    /* the slot's contents came with the arena's */
    pv_iommu_mapping_new(s, dev, offset, mr->length, mr->dirs, mr->nr_segs,
                         segs);
    return true;
}

static bool load_features(PvIommuState *s)
{
    if (s->guest_features & ~s->host_features) {
        error_report("pv-iommu: the guest has accepted features 0x%" PRIx64
                     ", this host offers 0x%" PRIx64 ": give hw-iommu=, "
                     "arena-size= and direct-limit= the same values on both "
                     "hosts",
                     s->guest_features, s->host_features);
        return false;
    }
    /* what was not enabled yet is judged when it is */
    if (s->enabled ? !pv_iommu_features_are_good(s, s->guest_features)
                   : s->mig_nr_devices || s->mig_nr_mappings) {
        error_report("pv-iommu: the stream has features 0x%" PRIx64 "%s, which "
                     "no source has", s->guest_features, s->enabled ?
                     " enabled that lack one that goes with another" :
                     " not enabled, and devices attached");
        return false;
    }
    if (!(s->guest_features & PV_IOMMU_F_CHUNKS) != !s->mig_chunks) {
        error_report("pv-iommu: the stream does not say of chunks what a guest "
                     "with features 0x%" PRIx64 " has", s->guest_features);
        return false;
    }
    if (s->mig_nr_ram && !(s->guest_features & PV_IOMMU_F_DIRECT)) {
        error_report("pv-iommu: the stream has pages of guest RAM for a guest "
                     "with features 0x%" PRIx64, s->guest_features);
        return false;
    }
    return true;
}

static bool load_device(PvIommuState *s, PCIDevice *pdev,
                        const PvIommuDeviceRecord *dr, uint32_t domain)
{
    uint32_t status = PV_IOMMU_S_INVAL;

    if (dr->mode == PV_IOMMU_ATTACH_WINDOW ||
        dr->mode == PV_IOMMU_ATTACH_BOUNCE) {
        status = pv_iommu_attach_device(s, pdev, dr->mode, domain);
    }
    if (status == PV_IOMMU_S_OK) {
        return true;
    }
    error_report("pv-iommu: device %02x:%02x.%x cannot be attached here as it "
                 "was on the source (mode 0x%x, domain %u)%s",
                 PCI_BUS_NUM(dr->rid), PCI_SLOT(dr->rid), PCI_FUNC(dr->rid),
                 dr->mode, domain, status == PV_IOMMU_S_DOMAIN ?
                 ": set isolation= as it is there" : "");
    return false;
}

/* Who has attached devices is who can have chunks */
static bool load_chunk(PvIommuState *s, uint32_t chunk,
                       const PvIommuChunkRecord *cr)
{
    switch (cr->state) {
    case CHUNK_CLEAN:
        clear_bit(chunk, s->chunk_left);
        return true;
    case CHUNK_LEFT:
        set_bit(chunk, s->chunk_left);
        return true;
    case CHUNK_GRANTED:
        return pv_iommu_grant(s, cr->domain, chunk, 1, true) == PV_IOMMU_S_OK;
    default:
        return false;
    }
}

static bool load_chunks(PvIommuState *s)
{
    const uint64_t limit = pv_iommu_limit(s);
    uint64_t granted = 0;
    int32_t i;

    if (!s->mig_chunks) {
        /* what was left where is not known */
        bitmap_set(s->chunk_left, 0, s->nr_chunks);
        return true;
    }

    for (i = 0; i < s->mig_nr_chunks; i++) {
        if (s->mig_chunks[i].state == CHUNK_GRANTED) {
            granted += s->chunk_size;
        }
    }
    if (granted > limit) {
        error_report("pv-iommu: the guest has 0x%" PRIx64 " bytes of the "
                     "window, limit=0x%" PRIx64 " allows less: raise limit=",
                     granted, limit);
        return false;
    }
    for (i = 0; i < s->mig_nr_chunks; i++) {
        if (!load_chunk(s, i, &s->mig_chunks[i])) {
            error_report("pv-iommu: the stream has a bad chunk %d: state %u, "
                         "domain %u", i, s->mig_chunks[i].state,
                         s->mig_chunks[i].domain);
            return false;
        }
    }
    return true;
}

static bool load_ram(PvIommuState *s)
{
    for (int32_t i = 0; i < s->mig_nr_ram; i++) {
        const PvIommuRamRecord *rr = &s->mig_ram[i];
        const PvIommuRange run = {
            .first = rr->first, .count = rr->count, .flags = rr->flags,
        };
        uint32_t status = pv_iommu_direct_load(s, rr->domain, &run);

        if (status != PV_IOMMU_S_OK) {
            error_report("pv-iommu: 0x%x pages of guest RAM from 0x%" PRIx64
                         " on cannot be granted here as they were to domain "
                         "%u on the source%s", rr->count, rr->first,
                         rr->domain, status == PV_IOMMU_S_LIMIT ?
                         ": raise direct-limit=" : "");
            return false;
        }
    }
    return true;
}

/* The devices of the stream, or NULL if one cannot be as it was */
static PCIDevice **load_devices(PvIommuState *s)
{
    g_autofree PCIDevice **pdevs = g_new0(PCIDevice *, s->mig_nr_devices + 1);
    const uint8_t *path = s->mig_path;

    for (int32_t i = 0; i < s->mig_nr_devices; i++) {
        if (s->mig_places) {
            pdevs[i] = pdev_at(s, path, s->mig_places[i].depth);
            path += s->mig_places[i].depth;
        } else {
            pdevs[i] = pv_iommu_find_pdev(s, s->mig_devices[i].rid);
        }
        if (!load_device(s, pdevs[i], &s->mig_devices[i],
                         s->mig_domains ? s->mig_domains[i].id : 0)) {
            return NULL;
        }
    }
    return g_steal_pointer(&pdevs);
}

static bool load_mappings(PvIommuState *s, PCIDevice **pdevs)
{
    const PvIommuSeg *segs = s->mig_segs;
    uint32_t left = s->mig_nr_segs;
    int32_t device = 0;
    uint32_t done = 0;

    for (int32_t i = 0; i < s->mig_nr_mappings; i++) {
        const PvIommuMappingRecord *mr = &s->mig_mappings[i];
        PvIommuDevice *dev;

        if (s->mig_places) {
            while (done == s->mig_places[device].nr_mappings) {
                device++;
                done = 0;
            }
            done++;
            dev = g_hash_table_lookup(s->devices, pdevs[device]);
        } else {
            dev = pv_iommu_find_device(s, mr->rid);
        }
        if (mr->nr_segs > left || !load_mapping(s, dev, mr, segs)) {
            error_report("pv-iommu: the stream has a bad mapping at 0x%"
                         PRIx64, mr->dma_addr);
            return false;
        }
        segs += mr->nr_segs;
        left -= mr->nr_segs;
    }
    return !left;
}

static int load_records(PvIommuState *s)
{
    g_autofree PCIDevice **pdevs = NULL;

    if (!load_features(s)) {
        return -EINVAL;
    }
    pdevs = load_devices(s);
    if (!pdevs || !load_chunks(s) || !load_ram(s) ||
        !load_mappings(s, pdevs)) {
        return -EINVAL;
    }
    return 0;
}

static int pv_iommu_pre_load(void *opaque)
{
    PvIommuState *s = opaque;

    drop_records(s);
    s->mig_loading = true;
    s->mig_boot_bypass = s->boot_bypass;
    s->mig_confined = false;
    pv_iommu_forget_all(s);
    /* and so it stays if the stream is no good, wherever that is seen */
    pv_iommu_shut(s);
    s->guest_features = 0;
    s->enabled = false;
    return 0;
}

static int pv_iommu_post_load(void *opaque, int version_id)
{
    PvIommuState *s = opaque;
    int ret = -EINVAL;

    if (s->mig_boot_bypass != s->boot_bypass) {
        error_report("pv-iommu: boot-bypass= differs: set it");
    } else if (s->mig_places && !places_are_good(s)) {
        error_report("pv-iommu: the stream does not say where each device is");
    } else {
        s->guest_features = s->mig_features;
        s->enabled = s->mig_enabled;
        load_marks(s);
        ret = load_records(s);
    }

    trace_pv_iommu_post_load(s->mig_nr_devices, s->mig_nr_mappings);
    if (ret) {
        pv_iommu_detach_all(s);
        pv_iommu_shut(s);
        s->guest_features = 0;
        s->enabled = false;
    }
    drop_records(s);
    return ret;
}

static const VMStateDescription vmstate_device = {
    .name = "pv-iommu-pci/device",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (VMStateField[]) {
        VMSTATE_UINT16(rid, PvIommuDeviceRecord),
        VMSTATE_UINT32(mode, PvIommuDeviceRecord),
        VMSTATE_END_OF_LIST()
    },
};

static const VMStateDescription vmstate_domain = {
    .name = "pv-iommu-pci/domain",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (VMStateField[]) {
        VMSTATE_UINT32(id, PvIommuDomainRecord),
        VMSTATE_END_OF_LIST()
    },
};

static const VMStateDescription vmstate_chunk = {
    .name = "pv-iommu-pci/chunk",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (VMStateField[]) {
        VMSTATE_UINT8(state, PvIommuChunkRecord),
        VMSTATE_UINT32(domain, PvIommuChunkRecord),
        VMSTATE_END_OF_LIST()
    },
};

/* The number of chunks follows from their size, and that of the window */
static bool chunk_count_is_good(void *opaque, int version_id)
{
    PvIommuState *s = opaque;

    return s->mig_nr_chunks == s->nr_chunks;
}

static bool chunks_needed(void *opaque)
{
    PvIommuState *s = opaque;

    return s->guest_features & PV_IOMMU_F_CHUNKS;
}

/* Not sent for a guest that does not know of them, whom 1.0 can take */
static const VMStateDescription vmstate_chunks = {
    .name = "pv-iommu-pci/chunks",
    .version_id = 1,
    .minimum_version_id = 1,
    .needed = chunks_needed,
    .fields = (VMStateField[]) {
        VMSTATE_INT32(mig_nr_chunks, PvIommuState),
        VMSTATE_VALIDATE("the window has as many chunks", chunk_count_is_good),
        VMSTATE_STRUCT_VARRAY_ALLOC(mig_domains, PvIommuState, mig_nr_devices,
                                    1, vmstate_domain, PvIommuDomainRecord),
        VMSTATE_STRUCT_VARRAY_ALLOC(mig_chunks, PvIommuState, mig_nr_chunks, 1,
                                    vmstate_chunk, PvIommuChunkRecord),
        VMSTATE_END_OF_LIST()
    },
};

static const VMStateDescription vmstate_ram_run = {
    .name = "pv-iommu-pci/ram-run",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (VMStateField[]) {
        VMSTATE_UINT64(first, PvIommuRamRecord),
        VMSTATE_UINT32(count, PvIommuRamRecord),
        VMSTATE_UINT32(flags, PvIommuRamRecord),
        VMSTATE_UINT32(domain, PvIommuRamRecord),
        VMSTATE_END_OF_LIST()
    },
};

/*
 * Before the array is allocated: a run is a page at least, and all of them are
 * within the limit. Not so on the source, where it may have been lowered
 * meanwhile: QEMU asks there as well, and does not survive a no.
 */
static bool ram_count_is_good(void *opaque, int version_id)
{
    PvIommuState *s = opaque;

    return !s->mig_loading ||
           (s->mig_nr_ram >= 0 &&
            s->mig_nr_ram <= pv_iommu_direct_limit(s) / PV_IOMMU_GRANULE);
}

static bool ram_needed(void *opaque)
{
    PvIommuState *s = opaque;

    return s->guest_features & PV_IOMMU_F_DIRECT;
}

static const VMStateDescription vmstate_ram = {
    .name = "pv-iommu-pci/direct",
    .version_id = 1,
    .minimum_version_id = 1,
    .needed = ram_needed,
    .fields = (VMStateField[]) {
        VMSTATE_UINT64_EQUAL(direct_base, PvIommuState,
                             "pv-iommu: direct-base= differs, or there is no "
                             "direct-limit= here: set it"),
        VMSTATE_INT32(mig_nr_ram, PvIommuState),
        VMSTATE_VALIDATE("as much as direct-limit= allows", ram_count_is_good),
        VMSTATE_STRUCT_VARRAY_ALLOC(mig_ram, PvIommuState, mig_nr_ram, 1,
                                    vmstate_ram_run, PvIommuRamRecord),
        VMSTATE_END_OF_LIST()
    },
};

static const VMStateDescription vmstate_mapping = {
    .name = "pv-iommu-pci/mapping",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (VMStateField[]) {
        VMSTATE_UINT64(dma_addr, PvIommuMappingRecord),
        VMSTATE_UINT64(length, PvIommuMappingRecord),
        VMSTATE_UINT32(dirs, PvIommuMappingRecord),
        VMSTATE_UINT32(nr_segs, PvIommuMappingRecord),
        VMSTATE_UINT16(rid, PvIommuMappingRecord),
        VMSTATE_END_OF_LIST()
    },
};

static const VMStateDescription vmstate_seg = {
    .name = "pv-iommu-pci/seg",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (VMStateField[]) {
        VMSTATE_UINT64(addr, PvIommuSeg),
        VMSTATE_UINT32(len, PvIommuSeg),
        VMSTATE_UINT32(pos, PvIommuSeg),
        VMSTATE_END_OF_LIST()
    },
};

static const VMStateDescription vmstate_mark = {
    .name = "pv-iommu-pci/mark",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (VMStateField[]) {
        VMSTATE_UINT16(rid, PvIommuMarkRecord),
        VMSTATE_BOOL(exempt, PvIommuMarkRecord),
        VMSTATE_BOOL(served, PvIommuMarkRecord),
        VMSTATE_END_OF_LIST()
    },
};

static bool marks_are_good(void *opaque, int version_id)
{
    PvIommuState *s = opaque;

    return s->mig_nr_marks >= 0 && s->mig_nr_marks <= UINT16_MAX + 1;
}

static bool is_confined(void *opaque)
{
    PvIommuState *s = opaque;

    return s->mig_confined || s->mig_nr_marks;
}

static const VMStateDescription vmstate_confined = {
    .name = "pv-iommu-pci/confined",
    .version_id = 1,
    .minimum_version_id = 1,
    .needed = is_confined,
    .fields = (VMStateField[]) {
        VMSTATE_BOOL(mig_confined, PvIommuState),
        VMSTATE_INT32(mig_nr_marks, PvIommuState),
        VMSTATE_VALIDATE("number of marks", marks_are_good),
        VMSTATE_STRUCT_VARRAY_ALLOC(mig_marks, PvIommuState, mig_nr_marks, 1,
                                    vmstate_mark, PvIommuMarkRecord),
        VMSTATE_END_OF_LIST()
    },
};

static const VMStateDescription vmstate_place = {
    .name = "pv-iommu-pci/place",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (VMStateField[]) {
        VMSTATE_UINT16(depth, PvIommuPlaceRecord),
        VMSTATE_UINT32(nr_mappings, PvIommuPlaceRecord),
        VMSTATE_END_OF_LIST()
    },
};

/* Before they are allocated */
static bool place_count_is_good(void *opaque, int version_id)
{
    PvIommuState *s = opaque;

    return s->mig_nr_places >= 0 &&
           s->mig_nr_places == (int64_t)s->mig_nr_devices + s->mig_nr_marks &&
           s->mig_path_len <= (uint64_t)s->mig_nr_places * PATH_MAX_DEPTH;
}

/* On the root bus, what the guest can change is not in a requester ID */
static bool places_needed(void *opaque)
{
    PvIommuState *s = opaque;

    return s->mig_path_len > s->mig_nr_places;
}

static const VMStateDescription vmstate_places = {
    .name = "pv-iommu-pci/places",
    .version_id = 1,
    .minimum_version_id = 1,
    .needed = places_needed,
    .fields = (VMStateField[]) {
        VMSTATE_INT32(mig_nr_places, PvIommuState),
        VMSTATE_UINT32(mig_path_len, PvIommuState),
        VMSTATE_VALIDATE("a place for each device and mark",
                         place_count_is_good),
        VMSTATE_STRUCT_VARRAY_ALLOC(mig_places, PvIommuState, mig_nr_places, 1,
                                    vmstate_place, PvIommuPlaceRecord),
        VMSTATE_VBUFFER_ALLOC_UINT32(mig_path, PvIommuState, 1, NULL,
                                     mig_path_len),
        VMSTATE_END_OF_LIST()
    },
};

/*
 * off, it always matters, as the destination would open what is closed. on, it
 * does as long as a device has it.
 */
static bool boot_bypass_needed(void *opaque)
{
    PvIommuState *s = opaque;

    return !s->boot_bypass || !s->confined || g_hash_table_size(s->exempts);
}

static const VMStateDescription vmstate_boot_bypass = {
    .name = "pv-iommu-pci/boot-bypass",
    .version_id = 1,
    .minimum_version_id = 1,
    .needed = boot_bypass_needed,
    .fields = (VMStateField[]) {
        VMSTATE_BOOL(mig_boot_bypass, PvIommuState),
        VMSTATE_END_OF_LIST()
    },
};

static bool has_coherent(void *opaque)
{
    PvIommuState *s = opaque;

    return s->arena_coherent;
}

/* A destination without it has no BAR 4 either, and vice versa */
static const VMStateDescription vmstate_coherent = {
    .name = "pv-iommu-pci/coherent",
    .version_id = 1,
    .minimum_version_id = 1,
    .needed = has_coherent,
    .fields = (VMStateField[]) {
        VMSTATE_UINT64_EQUAL(arena_coherent, PvIommuState,
                             "pv-iommu: arena-coherent= differs: set it"),
        VMSTATE_END_OF_LIST()
    },
};

const VMStateDescription vmstate_pv_iommu = {
    .name = TYPE_PV_IOMMU_PCI,
    .version_id = 1,
    .minimum_version_id = 1,
    /* devices load after it: virtio looks at its rings through our spaces */
    .priority = MIG_PRI_IOMMU,
    .pre_save = pv_iommu_pre_save,
    .post_save = drop_records,
    .pre_load = pv_iommu_pre_load,
    .post_load = pv_iommu_post_load,
    .fields = (VMStateField[]) {
        VMSTATE_PCI_DEVICE(parent_obj, PvIommuState),
        VMSTATE_UINT64_EQUAL(memaddr, PvIommuState,
                             "pv-iommu: memaddr= differs: set it"),
        VMSTATE_UINT64_EQUAL(window_size, PvIommuState,
                             "pv-iommu: the size of memdev= differs"),
        VMSTATE_UINT64_EQUAL(dma_base, PvIommuState,
                             "pv-iommu: dma-base= differs"),
        VMSTATE_UINT64_EQUAL(arena_base, PvIommuState,
                             "pv-iommu: arena-base= differs: set it"),
        VMSTATE_UINT64_EQUAL(arena_size, PvIommuState,
                             "pv-iommu: arena-size= differs"),
        VMSTATE_UINT64(mig_features, PvIommuState),
        VMSTATE_BOOL(mig_enabled, PvIommuState),
        VMSTATE_UINT32(errors, PvIommuState),
        VMSTATE_UINT64(fault_count, PvIommuState),
        VMSTATE_UINT64(fault_addr, PvIommuState),
        VMSTATE_UINT64(fault_next, PvIommuState),
        VMSTATE_UINT32(fault_info, PvIommuState),
        VMSTATE_INT32(mig_nr_devices, PvIommuState),
        VMSTATE_INT32(mig_nr_mappings, PvIommuState),
        VMSTATE_INT32(mig_nr_segs, PvIommuState),
        VMSTATE_VALIDATE("number of mappings fits the arena", counts_are_good),
        VMSTATE_STRUCT_VARRAY_ALLOC(mig_devices, PvIommuState, mig_nr_devices,
                                    1, vmstate_device, PvIommuDeviceRecord),
        VMSTATE_STRUCT_VARRAY_ALLOC(mig_mappings, PvIommuState,
                                    mig_nr_mappings, 1, vmstate_mapping,
                                    PvIommuMappingRecord),
        VMSTATE_STRUCT_VARRAY_ALLOC(mig_segs, PvIommuState, mig_nr_segs, 1,
                                    vmstate_seg, PvIommuSeg),
        VMSTATE_END_OF_LIST()
    },
    .subsections = (const VMStateDescription * []) {
        &vmstate_chunks,
        &vmstate_confined,
        &vmstate_coherent,
        &vmstate_ram,
        &vmstate_places,
        &vmstate_boot_bypass,
        NULL
    },
};
