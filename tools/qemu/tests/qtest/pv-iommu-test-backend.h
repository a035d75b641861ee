/*
 * QTest testcase for the pv-iommu device: the backend of a vhost-user device
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef PV_IOMMU_TEST_BACKEND_H
#define PV_IOMMU_TEST_BACKEND_H

#include "standard-headers/linux/vhost_types.h"

#define BACKEND_MAX_REGIONS     8
#define BACKEND_MAX_IOTLB       64

/* As they are on the wire */
typedef struct VuRegion {
    uint64_t guest_phys_addr;
    uint64_t memory_size;
    uint64_t userspace_addr;
    uint64_t mmap_offset;
} VuRegion;

typedef struct VuVringAddr {
    uint32_t index;
    uint32_t flags;
    uint64_t desc;
    uint64_t used;
    uint64_t avail;
    uint64_t log;
} VuVringAddr;

typedef struct Backend {
    int listener;
    int fd;
    GThread *thread;

    GMutex lock;                /* of all below */
    int ask;                    /* where questions go */
    uint32_t nr_regions;
    VuRegion region[BACKEND_MAX_REGIONS];
    uint8_t *memory[BACKEND_MAX_REGIONS];   /* as it is mapped here */
    uint32_t nr_messages;
    uint32_t nr_updates;
    struct vhost_iotlb_msg update;          /* the last */
    uint32_t nr_forgets;
    struct vhost_iotlb_msg forget[BACKEND_MAX_IOTLB];
    uint32_t nr_iotlb;
    struct vhost_iotlb_msg iotlb[BACKEND_MAX_IOTLB];    /* what it remembers */

    /* the queue */
    int kick;
    uint32_t vring_size;
    VuVringAddr vring;          /* DMA addresses */
    uint16_t next;              /* in the ring of what is available */
} Backend;

Backend *backend_start(const char *path);
void backend_stop(Backend *b);

/*
 * Ask what a DMA address means. False: nothing; else where it is in the guest's
 * physical memory, and for how many bytes that holds.
 */
bool backend_ask(Backend *b, uint64_t dma, bool write, uint64_t *addr,
                 uint64_t *size);

/* Was it told to forget this address since the last backend_remember_all()? */
bool backend_forgot(Backend *b, uint64_t dma);
void backend_remember_all(Backend *b);

/*
 * Do the next request of the queue, when it is kicked: what its driver has for
 * the device, each byte changed by BACKEND_KEY, is the answer. False: one of
 * the addresses on the way, which is left in *wild, means nothing, so that the
 * queue stands still.
 */
#define BACKEND_KEY             0x5a
bool backend_serve(Backend *b, uint64_t *wild);

#endif /* PV_IOMMU_TEST_BACKEND_H */
