/*
 * pv-iommu: a window of guest memory for DMA: internal definitions
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_PV_IOMMU_H
#define HW_PV_IOMMU_H

#include "qemu/rcu.h"
#include "qemu/stats64.h"
#include "qemu/units.h"
#include "pv-iommu-compat.h"
#include "qom/object.h"
#include "standard-headers/linux/pv_iommu.h"

#define TYPE_PV_IOMMU_PCI "pv-iommu-pci"
OBJECT_DECLARE_SIMPLE_TYPE(PvIommuState, PV_IOMMU_PCI)

#define TYPE_PV_IOMMU_SPACE "pv-iommu-space"
OBJECT_DECLARE_SIMPLE_TYPE(PvIommuSpace, PV_IOMMU_SPACE)

/* Where devices write their message signalled interrupts to */
#define PV_IOMMU_MSI_BASE       0xfee00000ULL
#define PV_IOMMU_MSI_SIZE       (1 * MiB)

/* The window's size and the automatic places of window and arena */
#define PV_IOMMU_WINDOW_ALIGN   (2 * MiB)
#define PV_IOMMU_DMA_BASE       (2 * MiB)
#define PV_IOMMU_DMA_BASE_AUTO  UINT64_MAX

/* DMA addresses are below this: x86 has 52 bits, and VFIO skips bit 63 */
#define PV_IOMMU_DMA_END        (1ULL << 52)

/* A chunk's size, and the least that a window is divided into */
#define PV_IOMMU_CHUNK_MIN      (64 * KiB)
#define PV_IOMMU_CHUNK_MAX      (2 * MiB)
#define PV_IOMMU_CHUNKS_MIN     32

#define PV_IOMMU_ARENA_SIZE     (64 * MiB)
/* To look for room in it takes time, with the big lock held */
#define PV_IOMMU_ARENA_MAX      (4 * GiB)

/* The part of the arena that the guest shares; and BAR 4 at least */
#define PV_IOMMU_COHERENT_AUTO  UINT64_MAX
#define PV_IOMMU_COHERENT_SIZE  (16 * MiB)
#define PV_IOMMU_COHERENT_MAX   (256 * MiB)
#define PV_IOMMU_COHERENT_BAR   (2 * MiB)

#define PV_IOMMU_DIRS           (PV_IOMMU_DIR_TO_DEVICE | \
                                 PV_IOMMU_DIR_FROM_DEVICE)

/* One piece of guest memory in a mapping; struct pv_iommu_seg, judged */
typedef struct PvIommuSeg {
    uint64_t addr;
    uint32_t len;
    uint32_t pos;
} PvIommuSeg;

/* Pages of guest RAM; struct pv_iommu_range, read */
typedef struct PvIommuRange {
    uint64_t first;
    uint32_t count;
    uint32_t flags;             /* PV_IOMMU_RANGE_* */
} PvIommuRange;

typedef struct PvIommuRam PvIommuRam;

/* Who the chunks are granted to; the guest chose its number */
typedef struct PvIommuDomain {
    struct rcu_head rcu;
    uint32_t id;
    uint32_t nr_devices;        /* attached to it: it ends with the last */
    uint32_t nr_chunks;
    PvIommuRam *ram;            /* NULL: none was granted; RCU */
} PvIommuDomain;

/*
 * What the requester of a DMA access reaches. Requesters that the PCI topology
 * makes indistinguishable share one, and so do the vfio-pci devices of one VFIO
 * group, or with isolation=off all of them. It is an object, as it owns memory
 * regions, and they are in use for a while after its bus was unplugged.
 */
struct PvIommuSpace {
    Object parent_obj;

    /* the key; of vfio-pci devices bus is NULL, and devfn says which group */
    PCIBus *bus;
    int devfn;

    PvIommuState *iommu;
    uint32_t group;             /* what PROBE says with isolation=on */
    AddressSpace as;
    MemoryRegion root;
    MemoryRegion refused;       /* beneath all the rest */
    IOMMUMemoryRegion reach;    /* translates for attached devices */
    MemoryRegion bypass;
    MemoryRegion assigned_arena;
    MemoryRegion msi;

    /* where reach sends what is no guest memory: see pv-iommu-reach.c */
    AddressSpace nowhere_as;
    MemoryRegion nowhere;
    MemoryRegion nowhere_arena;
    MemoryRegion nowhere_refused;

    bool bypassing;

    /* since the machine was reset */
    bool exempt;                /* one of its devices is, by ATTACH_BYPASS */
    bool served;                /* a device was attached in another mode */
    bool unpinned;              /* its devices could not have all of memory */

    uint32_t users;             /* devices attached */
    uint32_t mode;              /* theirs: one PV_IOMMU_ATTACH_* */
    PvIommuDomain *domain;      /* theirs; read by translate() with no lock */
};

typedef struct PvIommuMapping PvIommuMapping;

/* A device that the guest has attached */
typedef struct PvIommuDevice {
    PCIDevice *pdev;
    PvIommuSpace *space;
    uint32_t mode;              /* one PV_IOMMU_ATTACH_* */
    QLIST_HEAD(, PvIommuMapping) mappings;
} PvIommuDevice;

/* A live mapping: a slot of the arena and the guest memory it stands for */
struct PvIommuMapping {
    PvIommuDevice *dev;
    QLIST_ENTRY(PvIommuMapping) next;
    uint64_t offset;            /* of the slot in the arena */
    uint64_t length;
    uint32_t dirs;              /* PV_IOMMU_DIR_* */
    uint32_t nr_segs;
    PvIommuSeg segs[];
};

/* All that as the migration stream carries it */
typedef struct PvIommuDeviceRecord {
    uint16_t rid;
    uint32_t mode;
} PvIommuDeviceRecord;

typedef struct PvIommuDomainRecord {
    uint32_t id;                /* of the device with the same index */
} PvIommuDomainRecord;

typedef struct PvIommuChunkRecord {
    uint8_t state;              /* PV_IOMMU_CHUNK_* of pv-iommu-vmstate.c */
    uint32_t domain;            /* if it is granted */
} PvIommuChunkRecord;

typedef struct PvIommuRamRecord {
    uint64_t first;
    uint32_t count;
    uint32_t flags;
    uint32_t domain;
} PvIommuRamRecord;

/* What a space has behind it since the machine was reset, if it has anything */
typedef struct PvIommuMarkRecord {
    uint16_t rid;
    bool exempt;
    bool served;
} PvIommuMarkRecord;

typedef struct PvIommuMappingRecord {
    uint64_t dma_addr;
    uint64_t length;
    uint32_t dirs;
    uint32_t nr_segs;
    uint16_t rid;
} PvIommuMappingRecord;

/*
 * Where a device is, or what has a mark: the slots and functions on the way
 * from the root bus to it. The guest cannot change that, as it can bus numbers.
 */
typedef struct PvIommuPlaceRecord {
    uint16_t depth;             /* its share of mig_path, a byte each */
    uint32_t nr_mappings;       /* a device's; they are in order of devices */
} PvIommuPlaceRecord;

struct PvIommuState {
    PCIDevice parent_obj;

    /* properties */
    HostMemoryBackend *memdev;
    uint64_t memaddr;           /* guest-physical address; 0: found by QEMU */
    uint64_t dma_base;          /* PV_IOMMU_DMA_BASE_AUTO until realized */
    bool host_phys;
    HostMemoryBackend *arena_memdev;    /* with host_phys; or else NULL */
    uint64_t arena_size;
    uint64_t arena_base;        /* 0: behind the window */
    uint64_t arena_coherent;    /* bytes of its start that the guest shares */
    OnOffAuto hw_iommu;
    bool boot_bypass;
    bool isolation;
    bool offer_chunks;
    uint64_t limit;             /* as it was set; see pv_iommu_limit() */
    uint64_t direct_limit;      /* 0: not offered */
    uint64_t direct_base;       /* 0: above window and arena */
    uint32_t error_rate;
    uint32_t error_ops;         /* one bit for each opcode */
    bool withhold;              /* read by translate() with no lock */
    uint64_t hostile;           /* a seed; 0: it is honest */

    /* registers */
    MemoryRegion regs;
    MemoryRegion doorbell;
    uint64_t host_features;
    uint64_t guest_features;
    uint64_t window_size;
    bool enabled;
    bool confined;              /* enabled at least once since machine reset */
    uint32_t errors;
    uint64_t fault_count;
    uint64_t fault_addr;
    uint64_t fault_next;        /* where the refused access would go on */
    uint32_t fault_info;

    uint32_t error_clock;       /* requests since error-rate last struck */
    uint64_t hostile_state;
    uint32_t hostile_flicker;   /* a register pair */
    bool hostile_mappings;      /* it has lied about some of them */
    uint32_t nr_lies;

    GHashTable *spaces;         /* of PvIommuSpace by bus and devfn */
    uint32_t nr_spaces;
    GHashTable *devices;        /* of PvIommuDevice by PCIDevice */
    GHashTable *exempts;        /* of PvIommuSpace by PCIDevice */
    DeviceListener listener;
    Notifier machine_done;
    bool listening;

    /* the window; index of both is the chunk */
    uint64_t chunk_size;
    uint32_t nr_chunks;
    uint32_t nr_granted;
    PvIommuDomain **chunk_owner;    /* read by translate() with no lock */
    unsigned long *chunk_left;      /* holds what a domain has left there */
    GHashTable *domains;            /* of PvIommuDomain by id */
    Stat64 kept;                    /* bytes not discarded, see there */

    /* guest RAM, in pages of PV_IOMMU_GRANULE; 0: it is not offered */
    uint64_t direct_pages;          /* that there may be */
    uint64_t nr_direct;             /* granted, all domains together */
    GHashTable *direct_pins;        /* of PvIommuPins by RAMBlock */
    MemoryListener direct_listener;
    GPtrArray *direct_gone;         /* of MemoryRegionSection, until commit */

    /* the arena; index of all three is the granule */
    MemoryRegion arena;
    MemoryRegion *arena_ram;        /* the same, or what it is an alias of */
    uint64_t arena_page;            /* pieces that it is translated in */
    MemoryRegion coherent_bar;
    MemoryRegion coherent;          /* in there, what the guest shares */
    unsigned long *arena_used;
    PvIommuMapping **arena_slots;   /* at a mapping's first granule */
    uint32_t nr_mappings;
    uint32_t nr_dropped;        /* by detach, reset or unplug */
    uint32_t nr_segs;           /* in all mappings */

    /* for host_phys: what pins window and arena, or -1 */
    int phys_ring[2];
    Error *phys_blocker;

    /* filled for the duration of a save or a load */
    bool mig_loading;
    bool mig_boot_bypass;
    bool mig_confined;
    bool mig_enabled;
    uint64_t mig_features;
    int32_t mig_nr_marks;
    PvIommuMarkRecord *mig_marks;
    int32_t mig_nr_places;      /* of the devices, then of the marks */
    PvIommuPlaceRecord *mig_places;
    uint32_t mig_path_len;
    uint8_t *mig_path;
    int32_t mig_nr_devices;
    int32_t mig_nr_mappings;
    int32_t mig_nr_segs;
    int32_t mig_nr_chunks;
    int32_t mig_nr_ram;
    PvIommuRamRecord *mig_ram;
    PvIommuDeviceRecord *mig_devices;
    PvIommuDomainRecord *mig_domains;
    PvIommuChunkRecord *mig_chunks;
    PvIommuMappingRecord *mig_mappings;
    PvIommuSeg *mig_segs;
};

/* pv-iommu-regs.c */
void pv_iommu_regs_init(PvIommuState *s);
bool pv_iommu_features_are_good(PvIommuState *s, uint64_t features);
void pv_iommu_clear(PvIommuState *s, bool system);
void pv_iommu_fault(PvIommuState *s, uint16_t rid, hwaddr addr, unsigned size,
                    bool write);

/* pv-iommu-phys.c */
bool pv_iommu_phys_window(PvIommuState *s, Error **errp);
bool pv_iommu_phys_arena(PvIommuState *s, Error **errp);
bool pv_iommu_phys_block_migration(PvIommuState *s, Error **errp);
void pv_iommu_phys_cleanup(PvIommuState *s);

/* pv-iommu-host.c */
bool pv_iommu_is_assigned(PCIDevice *pdev);
bool pv_iommu_host_group(PCIDevice *pdev, int *group);
char *pv_iommu_host_conflict(PvIommuState *s, PCIDevice *pdev, uint64_t base,
                             uint64_t size);

/* pv-iommu-space.c */
void pv_iommu_spaces_init(PvIommuState *s);
void pv_iommu_spaces_cleanup(PvIommuState *s);
PvIommuSpace *pv_iommu_space_of(PvIommuState *s, PCIDevice *pdev);
bool pv_iommu_serves(PvIommuState *s, PCIDevice *pdev);
void pv_iommu_bus_gone(PvIommuState *s, PCIBus *bus);
bool pv_iommu_space_switch(PvIommuSpace *sp);
void pv_iommu_withhold(PvIommuState *s, bool withhold);

/* pv-iommu-attach.c */
PCIDevice *pv_iommu_find_pdev(PvIommuState *s, uint16_t rid);
PvIommuDevice *pv_iommu_find_device(PvIommuState *s, uint16_t rid);
bool pv_iommu_may_bounce(PvIommuState *s, PCIDevice *pdev);
uint32_t pv_iommu_probe(PvIommuState *s, uint16_t rid, uint32_t *group,
                        uint32_t *offers);
uint32_t pv_iommu_attach(PvIommuState *s, uint16_t rid, uint32_t mode,
                         uint32_t domain);
uint32_t pv_iommu_attach_device(PvIommuState *s, PCIDevice *pdev,
                                uint32_t mode, uint32_t domain);
uint32_t pv_iommu_exempt(PvIommuState *s, uint16_t rid);
void pv_iommu_exempt_loaded(PvIommuState *s);
uint32_t pv_iommu_detach(PvIommuState *s, uint16_t rid);
void pv_iommu_device_gone(PvIommuState *s, PCIDevice *pdev);
void pv_iommu_detach_all(PvIommuState *s);
void pv_iommu_forget_all(PvIommuState *s);

/* pv-iommu-reach.c */
#define TYPE_PV_IOMMU_MEMORY_REGION "pv-iommu-memory-region"
void pv_iommu_reach_init(PvIommuSpace *sp, const char *name);
void pv_iommu_reach_cleanup(PvIommuSpace *sp);
bool pv_iommu_reach_map(PvIommuSpace *sp, uint32_t first, uint32_t count);
void pv_iommu_reach_unmap(PvIommuSpace *sp, uint32_t first, uint32_t count);
bool pv_iommu_reach_map_entry(PvIommuSpace *sp, IOMMUTLBEntry entry);
void pv_iommu_reach_unmap_entry(PvIommuSpace *sp, IOMMUTLBEntry entry);
bool pv_iommu_reach_show(PvIommuSpace *sp, PvIommuDomain *d);
void pv_iommu_reach_hide(PvIommuSpace *sp, PvIommuDomain *d);
void pv_iommu_reach_forget(PvIommuSpace *sp, hwaddr first, hwaddr last);

/* pv-iommu-domain.c */
void pv_iommu_chunks_init(PvIommuState *s);
void pv_iommu_chunks_cleanup(PvIommuState *s);
bool pv_iommu_keep(PvIommuState *s, uint64_t length);
uint64_t pv_iommu_limit(PvIommuState *s);
PvIommuDomain *pv_iommu_domain_find(PvIommuState *s, uint32_t id);
PvIommuSpace *pv_iommu_domain_next_space(PvIommuDomain *d,
                                         GHashTableIter *iter);

/* All spaces that show the domain */
#define PV_IOMMU_FOREACH_SPACE(sp, s, d, iter)                          \
    for (g_hash_table_iter_init(&(iter), (s)->spaces),                  \
         (sp) = pv_iommu_domain_next_space(d, &(iter)); (sp);           \
         (sp) = pv_iommu_domain_next_space(d, &(iter)))

PvIommuDomain *pv_iommu_domain_get(PvIommuState *s, uint32_t id);
void pv_iommu_domain_put(PvIommuState *s, PvIommuDomain *d);
uint32_t pv_iommu_grant(PvIommuState *s, uint32_t domain, uint32_t first,
                        uint32_t count, bool keep);
uint32_t pv_iommu_revoke(PvIommuState *s, uint32_t domain, uint32_t first,
                         uint32_t count);
void pv_iommu_confine(PvIommuState *s);
void pv_iommu_unconfine(PvIommuState *s);
void pv_iommu_set_confined(PvIommuState *s, bool confined);
void pv_iommu_shut(PvIommuState *s);

/* pv-iommu-direct.c */
bool pv_iommu_direct_check(PvIommuState *s, Error **errp);
void pv_iommu_direct_init(PvIommuState *s);
void pv_iommu_direct_cleanup(PvIommuState *s);
uint64_t pv_iommu_direct_limit(PvIommuState *s);
uint32_t pv_iommu_grant_ram(PvIommuState *s, uint32_t domain, uint32_t nr,
                            const PvIommuRange *ranges);
uint32_t pv_iommu_revoke_ram(PvIommuState *s, uint32_t domain, uint32_t nr,
                             const PvIommuRange *ranges);
void pv_iommu_direct_end(PvIommuState *s, PvIommuDomain *d);
void pv_iommu_direct_end_all(PvIommuState *s);
uint32_t pv_iommu_direct_runs(PvIommuState *s, PvIommuDomain *d,
                              PvIommuRange *runs);
uint32_t pv_iommu_direct_load(PvIommuState *s, uint32_t domain,
                              const PvIommuRange *r);
bool pv_iommu_direct_translate(PvIommuState *s, PvIommuDomain *d, hwaddr addr,
                               IOMMUAccessFlags access, IOMMUTLBEntry *entry);
void pv_iommu_direct_hide(PvIommuSpace *sp, PvIommuDomain *d);
bool pv_iommu_direct_show(PvIommuSpace *sp, PvIommuDomain *d);
void pv_iommu_direct_replay(PvIommuSpace *sp, PvIommuDomain *d,
                            IOMMUNotifier *n);

/* pv-iommu-hostile.c */
void pv_iommu_hostile_init(PvIommuState *s);
void pv_iommu_hostile_reset(PvIommuState *s);
uint32_t pv_iommu_hostile_reg(PvIommuState *s, hwaddr reg, uint32_t val);
bool pv_iommu_hostile_silent(PvIommuState *s);
bool pv_iommu_hostile_pretends(PvIommuState *s, uint32_t opcode);
bool pv_iommu_hostile_copies_not(PvIommuState *s);
void pv_iommu_hostile_block(PvIommuState *s, hwaddr block);

/* pv-iommu-req.c */
void pv_iommu_request(PvIommuState *s, uint32_t pfn);

/* pv-iommu-arena.c */
bool pv_iommu_is_ram(PvIommuState *s, hwaddr addr, uint64_t len);
bool pv_iommu_arena_init(PvIommuState *s, Error **errp);
void pv_iommu_arena_share(PvIommuState *s);
void pv_iommu_arena_cleanup(PvIommuState *s);
uint32_t pv_iommu_map_check(PvIommuState *s, uint64_t length, uint64_t nr_segs,
                            const PvIommuSeg *segs);
bool pv_iommu_arena_find_room(PvIommuState *s, uint64_t length,
                              uint64_t dma_limit, uint64_t align_mask,
                              uint64_t boundary_mask, uint64_t *offset);
PvIommuMapping *pv_iommu_mapping_new(PvIommuState *s, PvIommuDevice *dev,
                                     uint64_t offset, uint64_t length,
                                     uint32_t dirs, uint32_t nr_segs,
                                     const PvIommuSeg *segs);
void pv_iommu_mapping_fill(PvIommuState *s, PvIommuMapping *m);
PvIommuMapping *pv_iommu_mapping_find(PvIommuState *s, PvIommuDevice *dev,
                                      uint64_t dma_addr);
uint32_t pv_iommu_mapping_copy(PvIommuState *s, PvIommuMapping *m,
                               uint64_t offset, uint64_t length,
                               bool to_device);
void pv_iommu_mapping_free(PvIommuState *s, PvIommuMapping *m, bool clear);

/* pv-iommu-vmstate.c */
extern const VMStateDescription vmstate_pv_iommu;

#endif /* HW_PV_IOMMU_H */
