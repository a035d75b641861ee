/* SPDX-License-Identifier: GPL-2.0 */
/*
 * pv-iommu: what the module's files share.
 *
 * A buffer's way through them: dma_ops.c is what the DMA API calls, bounce.c
 * judges and lays out the mapping, window.c hands out the memory (or
 * arena.c asks the host for it), and a struct pviommu_slot remembers it.
 */
#ifndef _PVIOMMU_H
#define _PVIOMMU_H

#include <linux/dma-direction.h>
#include <linux/memremap.h>
#include <linux/mutex.h>
#include <linux/notifier.h>
#include <linux/pci.h>
#include <linux/percpu.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/workqueue.h>

#include <uapi/linux/pv_iommu.h>

/* Largest mapping that the DMA API is told of; the window's size may cap it */
#define PVIOMMU_MAX_MAPPING	SZ_4M

/*
 * Largest block of the allocator (64 MiB), which bounds coherent memory. More
 * than PVIOMMU_MAX_MAPPING in any case: a mapping whose low address bits have
 * to be kept needs more than its length.
 */
#define PVIOMMU_MAX_ORDER	14

/*
 * Blocks up to this order (1 MiB) are cached per CPU, and so many of each at
 * most; of pairs of pages twice as many, and of single ones four times: a request
 * to memory that is not contiguous takes one for each piece, and they come back
 * all at once.
 */
#define PVIOMMU_CACHE_ORDERS	9
#define PVIOMMU_CACHE_DEPTH	64
#define PVIOMMU_CACHE_BLOCKS	((PVIOMMU_CACHE_ORDERS + 1 + 3) * PVIOMMU_CACHE_DEPTH)

enum pviommu_mode {
	PVIOMMU_MODE_AUTO,
	PVIOMMU_MODE_WINDOW,
	PVIOMMU_MODE_BOUNCE,
	PVIOMMU_MODE_OFF,
};

enum pviommu_slot_state {
	PVIOMMU_SLOT_FREE,
	PVIOMMU_SLOT_SINGLE,
	PVIOMMU_SLOT_SG,
	PVIOMMU_SLOT_COHERENT,
	PVIOMMU_SLOT_ORPHAN,		/* coherent, and its driver is gone */
};

/**
 * struct pviommu_slot - what is mapped at one page of DMA address space
 * @sgl: SG: the caller's scatterlist, whole
 * @phys: SINGLE: physical address of the caller's buffer
 * @len: bytes from the start of the block to the end of the data
 * @dirty_end: end of the bytes that an earlier mapping may have left
 * @npages: pages to free, for a block that no cache takes; or else 0
 * @dirty_start: start of the bytes that an earlier mapping may have left
 * @off: where the data starts in the block: bits that the device wants kept
 * @rid: PCI requester ID of the device
 * @nents: SG: entries that lie in this block
 * @nsegs: SG: DMA segments that they became
 * @state: enum pviommu_slot_state; only a block's first page is ever not FREE
 * @order: the block's size, as a power of two of pages
 *
 * A block is aligned to its size in DMA address space, so the first page can be
 * found from any page in it. An entry is written by who allocated the block,
 * and read by who holds the mapping: the DMA API makes that one user at a time.
 *
 * One for each page, in the guest's own memory, where no device reaches it:
 * its size is what the window costs, so keep it at 32 bytes.
 */
struct pviommu_slot {
	union {
		struct scatterlist *sgl;
		phys_addr_t phys;
	};
	u32 len;
	u32 dirty_end;
	u32 npages;
	u16 dirty_start;
	u16 off;
	u16 rid;
	u16 nents;
	u16 nsegs;
	u8 state;
	u8 order;
};

/**
 * struct pviommu_space - a range of DMA addresses and what is mapped there
 * @dma: its first DMA address
 * @size: bytes
 * @first: first page, as DMA address >> PAGE_SHIFT
 * @end: page after the last
 * @slots: one for each page
 */
struct pviommu_space {
	u64 dma;
	u64 size;
	unsigned long first;
	unsigned long end;
	struct pviommu_slot *slots;
};

#define PVIOMMU_TREE_LEVELS	4

/**
 * struct pviommu_tree - a set of bits that knows its first and last member
 * @level: the bits; above them, one bit for each word that is not zero, and
 *	so on, up to a single word
 * @nr_levels: how many levels there are
 * @nr_words: words in all of them
 * @first: what bit 0 stands for
 */
struct pviommu_tree {
	unsigned long *level[PVIOMMU_TREE_LEVELS];
	unsigned int nr_levels;
	unsigned int nr_words;
	unsigned long first;
};

/**
 * struct pviommu_cache - one CPU's free blocks
 * @lock: bit 0, see pviommu_cache_lock()
 * @hits: allocations served from here
 * @misses: allocations that had to go to the shared layer
 * @nr: how many blocks of each order are here
 * @block: their first pages, as DMA address >> PAGE_SHIFT less space.first; those
 *	of an order begin at the window's @begin
 */
struct pviommu_cache {
	unsigned long lock;
	u64 hits;
	u64 misses;
	u16 nr[PVIOMMU_CACHE_ORDERS];
	u32 block[PVIOMMU_CACHE_BLOCKS];
};

/**
 * struct pviommu_window - the window and its allocator
 * @space: its DMA addresses
 * @dma_last: the last of them
 * @phys: guest-physical address
 * @size: bytes
 * @virt: kernel virtual address, write-back
 * @pgmap: its struct pages
 * @claimed: it is in the resource tree
 * @cache: per-CPU layer
 * @depth: how many blocks of each order a CPU may hold
 * @begin: where they are in its cache
 * @lock: shared layer: @free, @used, @high_water
 * @free: free blocks of each order
 * @used: pages handed out by the shared layer
 * @high_water: the most there ever were
 * @full: allocations that failed
 */
struct pviommu_window {
	struct pviommu_space space;
	u64 dma_last;
	phys_addr_t phys;
	u64 size;
	void *virt;
	struct dev_pagemap pgmap;
	bool claimed;
	struct pviommu_cache __percpu *cache;
	u16 depth[PVIOMMU_CACHE_ORDERS];
	u16 begin[PVIOMMU_CACHE_ORDERS];

	raw_spinlock_t lock ____cacheline_aligned_in_smp;
	struct pviommu_tree free[PVIOMMU_MAX_ORDER + 1];
	unsigned long used;
	unsigned long high_water;
	atomic64_t full;
};

/**
 * struct pviommu_channel - one CPU's way to the host
 * @lock: serialises @req; IRQs off. Another CPU takes it only to flush
 * @req: request block, shared with the host
 * @nr_unmaps: unmaps queued in @req
 * @lost: unmaps that the host has refused, to be said when @lock is free
 * @requests: how often the doorbell was rung
 */
struct pviommu_channel {
	raw_spinlock_t lock;
	struct pv_iommu_req *req;
	unsigned int nr_unmaps;
	u32 lost;
	u64 requests;
};

/**
 * struct pviommu_stats - one CPU's counters of one device
 * @maps: mappings made; a scatterlist is one
 * @unmaps: mappings undone
 * @syncs: syncs that copied
 * @bytes_to_device: bytes copied towards the device
 * @bytes_from_device: bytes copied back
 * @failures: mappings and allocations refused
 * @hypercalls: requests made for streaming DMA: the next two, and syncs
 * @hypercalls_map: those that map
 * @hypercalls_unmap: those that unmap, and nothing else
 *
 * Only members of type u64, so that they can be summed up as an array.
 */
struct pviommu_stats {
	u64 maps;
	u64 unmaps;
	u64 syncs;
	u64 bytes_to_device;
	u64 bytes_from_device;
	u64 failures;
	u64 hypercalls;
	u64 hypercalls_map;
	u64 hypercalls_unmap;
};

/**
 * struct pviommu_host - the host device
 * @pdev: its PCI function; NULL once it was removed, and its memory is in use
 * @regs: BAR 0
 * @doorbell: where a request's frame number goes
 * @features: PV_IOMMU_F_* agreed on
 * @mode: how streaming DMA is served: PVIOMMU_MODE_WINDOW or _BOUNCE
 * @window: the window
 * @arena: DMA addresses of the host's arena
 * @channel: per-CPU requests
 * @flush: bounds the age of queued unmaps
 * @max_mapping: what dma_max_mapping_size() says, bytes
 * @lock: serialises attach and detach; @devices, @retired
 * @devices: attached devices
 * @retired: counters of devices that are gone, so that totals only grow
 * @notifier: tells of drivers that are about to be bound
 * @pm_notifier: tells of hibernation
 * @bus: devices by bus number, each an array by devfn
 */
struct pviommu_host {
	struct pci_dev *pdev;
	void __iomem *regs;
	void __iomem *doorbell;
	u64 features;
	enum pviommu_mode mode;
	struct pviommu_window window;
	struct pviommu_space arena;
	struct pviommu_channel __percpu *channel;
	struct delayed_work flush;
	size_t max_mapping;
	struct mutex lock;		/* attach and detach */
	struct list_head devices;
	struct pviommu_stats retired;
	struct notifier_block notifier;
	struct notifier_block pm_notifier;
	struct pviommu_dev **bus[256];
};

/**
 * struct pviommu_dev - an attached device
 * @host: the host device that serves it
 * @dev: the device
 * @rid: its PCI requester ID
 * @node: in pviommu_host.devices, later in pviommu_gone
 * @stats: per-CPU counters
 * @link: makes the host device resume first
 * @orphans: once gone: blocks of coherent memory that its driver has not freed
 */
struct pviommu_dev {
	struct pviommu_host *host;
	struct device *dev;
	u16 rid;
	struct list_head node;
	struct pviommu_stats __percpu *stats;
	struct device_link *link;
	unsigned int orphans;
};

/* main.c */
extern enum pviommu_mode pviommu_mode;
const char *pviommu_mode_name(enum pviommu_mode m);
bool pviommu_wants(struct pci_dev *pdev);

/* pci.c */
extern struct pviommu_host *pviommu_host;
int pviommu_pci_register(void);
void pviommu_pci_unregister(void);
int pviommu_host_enable(struct pviommu_host *host);
u64 pviommu_read64(struct pviommu_host *host, unsigned int reg);

/* hypercall.c */
int pviommu_channels_init(struct pviommu_host *host);
void pviommu_channels_exit(struct pviommu_host *host);
struct pviommu_channel *pviommu_req_begin(struct pviommu_host *host, u16 opcode,
					  u16 rid, unsigned long *flags)
	__acquires(pviommu_channel);
int pviommu_req_ring(struct pviommu_host *host, struct pviommu_channel *ch);
void pviommu_req_end(struct pviommu_host *host, struct pviommu_channel *ch,
		     unsigned long flags)
	__releases(pviommu_channel);
int pviommu_request(struct pviommu_host *host, u16 opcode, u16 rid,
		    u32 req_flags, u64 dma_addr, u64 offset, u64 length);
bool pviommu_queue_unmap(struct pviommu_host *host, u16 rid, u64 dma_addr);
bool pviommu_try_flush_all(struct pviommu_host *host);
void pviommu_flush(struct pviommu_host *host);
u64 pviommu_hypercalls(struct pviommu_host *host);

/* window.c */
int pviommu_space_init(struct pviommu_space *sp, u64 dma, u64 size);
void pviommu_space_exit(struct pviommu_space *sp);
int pviommu_window_init(struct pviommu_window *w);
void pviommu_window_exit(struct pviommu_window *w);
struct pviommu_slot *pviommu_window_alloc_exact(struct pviommu_window *w,
						unsigned long npages,
						unsigned int align_order,
						u64 dma_limit);
struct pviommu_slot *pviommu_window_alloc_slow(struct pviommu_window *w,
					       unsigned int order);
void pviommu_window_free_slow(struct pviommu_window *w, struct pviommu_slot *slot);
unsigned long pviommu_window_parked(struct pviommu_window *w);
size_t pviommu_window_metadata(struct pviommu_window *w);
int pviommu_window_check(struct pviommu_window *w, char *why, size_t size);

/* dma_ops.c */
extern const struct dma_map_ops pviommu_window_ops;
extern const struct dma_map_ops pviommu_bounce_ops;
extern const struct dma_map_ops pviommu_blocked_ops;
extern const struct dma_map_ops pviommu_gone_ops;

/* attach.c */
int pviommu_attach_init(struct pviommu_host *host);
void pviommu_attach_exit(struct pviommu_host *host);
void pviommu_exempt_all(struct pviommu_host *host);
bool pviommu_is_idle(struct pviommu_host *host);
int pviommu_reattach_all(struct pviommu_host *host);
void pviommu_orphan_freed(struct device *dev);
bool pviommu_has_orphans(void);

/* stats.c */
extern const struct attribute_group *pviommu_host_groups[];
extern const struct attribute_group pviommu_dev_group;
void pviommu_stats_sum(struct pviommu_dev *pd, struct pviommu_stats *sum);
void pviommu_debugfs_init(struct pviommu_host *host);
void pviommu_debugfs_exit(void);

static inline u16 pviommu_rid(struct pci_dev *pdev)
{
	return PCI_DEVID(pdev->bus->number, pdev->devfn);
}

/**
 * to_pviommu_dev - what is known of a device
 * @dev: a device that our dma_map_ops serve, so a PCI device
 *
 * Return: NULL when it is no longer attached: its driver uses the DMA API
 * where it may not.
 */
static inline struct pviommu_dev *to_pviommu_dev(struct device *dev)
{
	struct pci_dev *pdev = to_pci_dev(dev);
	struct pviommu_dev **bus = pviommu_host->bus[pdev->bus->number];

	return likely(bus) ? bus[pdev->devfn] : NULL;
}

/**
 * pviommu_slot_at - the slot of a DMA address's page
 * @sp: the space
 * @dma: DMA address, from a driver or the host: not trusted
 *
 * Return: the slot, or NULL when the address is outside the space.
 */
static inline struct pviommu_slot *pviommu_slot_at(struct pviommu_space *sp,
						   dma_addr_t dma)
{
	u64 offset = dma - sp->dma;

	return likely(offset < sp->size) ? &sp->slots[offset >> PAGE_SHIFT] : NULL;
}

/* Where a slot's page is in the space, bytes from its start */
static inline unsigned long pviommu_slot_offset(struct pviommu_space *sp,
						struct pviommu_slot *slot)
{
	return (unsigned long)(slot - sp->slots) << PAGE_SHIFT;
}

/* DMA address of the start of a slot's page */
static inline dma_addr_t pviommu_slot_dma(struct pviommu_space *sp,
					  struct pviommu_slot *slot)
{
	return sp->dma + pviommu_slot_offset(sp, slot);
}

/* Kernel address of the start of a slot's page; for the window's slots only */
static inline void *pviommu_slot_virt(struct pviommu_window *w,
				      struct pviommu_slot *slot)
{
	return w->virt + pviommu_slot_offset(&w->space, slot);
}

#endif /* _PVIOMMU_H */
