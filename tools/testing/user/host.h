/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A model of the host device, from the specification alone: what the QEMU
 * device does with registers, requests and the DMA of devices.
 */
#ifndef _USER_HOST_H
#define _USER_HOST_H

#include "shim/control.h"
#include <uapi/linux/pv_iommu.h>

/**
 * struct host_config - what the host offers
 * @features: PV_IOMMU_F_*
 * @window_phys: where the window is in guest-physical memory
 * @window_size: bytes
 * @window_dma: its DMA address
 * @arena_dma: the arena's
 * @arena_size: bytes
 * @chunk: bytes of a chunk, with PV_IOMMU_F_CHUNKS
 * @limit: bytes of window that may be granted; host_set_limit() changes it
 * @direct_dma: the DMA address of RAM that is granted, with PV_IOMMU_F_DIRECT
 * @direct_limit: bytes of it that may be
 * @no_poison: chunks that are not granted may be written
 */
struct host_config {
	u64 features;
	u64 window_phys;
	u64 window_size;
	u64 window_dma;
	u64 arena_dma;
	u64 arena_size;
	u64 chunk;
	u64 limit;
	u64 direct_dma;
	u64 direct_limit;
	bool no_poison;
};

/**
 * struct host_counters - what the host has seen
 * @requests: requests, by opcode; the last: unknown ones
 * @unmaps: unmaps that rode with them
 * @revokes: revokes that did
 * @refused: requests and unmaps that failed, but for want of room
 * @faults: accesses of devices that were refused
 */
struct host_counters {
	u64 requests[16];
	u64 unmaps;
	u64 revokes;
	u64 refused;
	u64 faults;
};

extern struct host_counters host_counters;

/*
 * Called with each request that was answered, before the guest sees it: to lie.
 * @doorbell: the request did not even have to be a block.
 */
extern void (*host_tamper)(struct pv_iommu_req *req);
/* Called before it is answered: a status with which the host refuses it, or 0 */
extern u32 (*host_refuse)(const struct pv_iommu_req *req);
extern u32 (*host_tamper_reg)(unsigned int reg, u32 value);
/* Called with each request, before anything is done of it, and with no lock */
extern void (*host_asked)(const struct pv_iommu_req *req);
/* For how many turns of other CPUs, about, a request takes longer than it has to */
extern unsigned int host_slow;

struct pci_dev *host_create(const struct host_config *config);
void host_destroy(void);
void host_machine_reset(void);

/*
 * Where a device's access goes: to @len bytes at @dma. NULL where the host
 * refuses, and counts that.
 */
void *host_dma(u16 rid, u64 dma, size_t len);
/* The same, when it is only asked whether */
bool host_reaches(u16 rid, u64 dma, size_t len);
/* The chunk that a spec-abiding host makes of such a window */
u64 host_chunk_size(u64 window_size, u64 window_dma);
/* Devices that the host cannot tell apart, before they are attached: not 0 */
void host_set_group(u16 rid, u32 group);
void host_set_limit(u64 limit);
/* Who has a chunk: a group; 0: nobody */
u32 host_chunk_group(unsigned long chunk);
unsigned long host_chunks_granted(void);
/* Called with each chunk that is revoked while its domain lives */
extern void (*host_revoked)(unsigned long chunk);
/* How a device's domain has a page of RAM: PV_IOMMU_RANGE_*; and all that is granted */
u32 host_ram_perm(u16 rid, u64 phys);
unsigned long host_ram_granted(void);
/* Mappings in the arena that the host holds */
unsigned int host_mappings(void);
bool host_attached(u16 rid);

#endif /* _USER_HOST_H */
