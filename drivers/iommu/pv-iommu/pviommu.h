/* SPDX-License-Identifier: GPL-2.0 */
/*
 * pv-iommu: what the module's files share.
 *
 * A buffer's way through them: dma_ops.c is what the DMA API calls, bounce.c
 * judges and lays out the mapping, window.c hands out memory of the device's
 * domain (or arena.c asks the host for it), and a struct pviommu_slot remembers
 * it. domain.c has chunks of the window granted before a domain runs dry, and
 * gives them back.
 */
#ifndef _PVIOMMU_H
#define _PVIOMMU_H

#include <linux/dma-direction.h>
#include <linux/lockdep_types.h>
#include <linux/memremap.h>
#include <linux/mutex.h>
#include <linux/notifier.h>
#include <linux/pci.h>
#include <linux/percpu.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/workqueue.h>

#include <uapi/linux/pv_iommu.h>

/* Largest mapping that the DMA API is told of; window and arena may be too small for it */
#define PVIOMMU_MAX_MAPPING	SZ_4M

/* Largest block of the host's arena, as a power of two of pages */
#define PVIOMMU_MAX_ORDER	14

/* Largest and smallest chunk that can be, as a power of two of pages */
#define PVIOMMU_CHUNK_ORDER_MAX	9
#define PVIOMMU_CHUNK_ORDER_MIN	4

/*
 * Blocks of orders below this one (up to 256 KiB) are cached per CPU, and so many of
 * each at most: of those up to 64 KiB 64, of larger ones 512 KiB, as beside their copy
 * the shared lock is nothing, and what is kept is locked memory. Of pairs of pages twice
 * as many, and of single ones four times: a request to memory that is not contiguous
 * takes one for each piece, and they come back all at once.
 */
#define PVIOMMU_CACHE_ORDERS	7
#define PVIOMMU_CACHE_BLOCKS	(256 + 128 + 3 * 64 + 4 + 2)

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
 * @page: FREE, and in a CPU's cache or just taken: the page
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
		unsigned long page;
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
 * @shift: pages of a chunk, as a power of two
 * @mask: the same, less one
 * @nr_chunks: how many chunks there are
 * @slots: one for each page of a chunk; NULL where there is nothing
 *
 * A page is named by its number from the start of the space.
 */
struct pviommu_space {
	u64 dma;
	u64 size;
	unsigned int shift;
	unsigned long mask;
	unsigned long nr_chunks;
	struct pviommu_slot **slots;
};

/**
 * struct pviommu_chunk - a chunk that is granted
 * @node: while it is not the domain's yet, or not any more
 * @rcu: when it is freed, for pviommu_release()
 * @domain: who has it
 * @slots: one for each of its pages
 * @index: which one it is
 * @run: how many chunks are one block that begins here; 0: it is divided
 * @head: which chunk begins the block that it is a part of
 * @used: pages handed out, to mappings and to CPUs' caches, or kept for what stays
 * @coherent: those of them that stay
 * @largest: order of the largest free block; negative when there is none to be had
 * @refused: the host has not granted it again
 * @stayed: how often it was to be emptied and was not in time, since all of it was free
 * @since: jiffies; when the last page in use came back
 * @nr_free: free blocks of each order
 * @free: which; block b of an order that a chunk has n of is bit n + b
 *
 * domain.lock protects all but @domain and @index, which do not change.
 */
struct pviommu_chunk {
	struct list_head node;
	struct rcu_head rcu;
	struct pviommu_domain *domain;
	struct pviommu_slot *slots;
	u32 index;
	u32 run;
	u32 head;
	u32 used;
	u32 coherent;
	int largest;
	bool refused;
	unsigned int stayed;
	unsigned long since;
	u16 nr_free[PVIOMMU_CHUNK_ORDER_MAX + 1];
	DECLARE_BITMAP(free, 2 << PVIOMMU_CHUNK_ORDER_MAX);
};

/**
 * struct pviommu_cache - one CPU's free blocks of one domain
 * @lock: bit 0, see pviommu_cache_lock()
 * @hits: allocations served from here
 * @misses: allocations that had to go to the shared layer
 * @seen: @hits, @misses when the worker looked last
 * @nr: how many blocks of each order are here
 * @depth: how many there may be; follows need
 * @block: their first slots; those of an order begin at pviommu_cache_begin
 * @dep_map: @lock, as lockdep sees it
 */
struct pviommu_cache {
	unsigned long lock;
	u64 hits;
	u64 misses;
	u64 seen;
	u16 nr[PVIOMMU_CACHE_ORDERS];
	u16 depth[PVIOMMU_CACHE_ORDERS];
	struct pviommu_slot *block[PVIOMMU_CACHE_BLOCKS];
#ifdef CONFIG_DEBUG_LOCK_ALLOC
	struct lockdep_map dep_map;
#endif
};

/**
 * struct pviommu_run - pages of guest RAM, or chunks, one behind the other
 * @first: frame number of the first, or the chunk's
 * @count: how many
 */
struct pviommu_run {
	u32 first;
	u32 count;
};

struct pviommu_leaf;

/**
 * struct pviommu_ram - what is granted to a domain of the guest's RAM
 * @leaves: what is known of each 2 MiB; NULL: nothing yet. Only ever set
 * @nr_leaves: how many there can be
 * @lock: all that follows. Inside a channel's lock, and never held while the host is
 *	asked
 * @queue: revokes that wait for a request to ride with
 * @nr_queued: how many
 * @flying: the requests that have taken some along, and are on their way, as they began
 * @begun: how many of those there ever were
 * @ended: all before this one have come back; read without the lock, too
 * @flush: bounds their age
 * @cached: leaves that are granted as one
 * @nr_cached: how many
 * @age: gives those back that are not used
 * @swapped: jiffies; when @nr_swaps was 0
 * @nr_swaps: how often the domain made room for itself since; both approximate
 * @refused: the host has not granted all of it again, so that nothing more is mapped:
 *	what is known of a page may not be so. Changes while no device is at work
 */
struct pviommu_ram {
	struct pviommu_leaf **leaves;
	unsigned long nr_leaves;
	raw_spinlock_t lock;
	struct pviommu_run queue[PV_IOMMU_MAX_REVOKES];
	unsigned int nr_queued;
	struct list_head flying;
	unsigned long begun;
	unsigned long ended;
	struct delayed_work flush;
	struct list_head cached;
	unsigned int nr_cached;
	struct delayed_work age;
	unsigned long swapped;
	unsigned int nr_swaps;
	bool refused;
};

/**
 * struct pviommu_domain - devices that reach the same chunks, and their allocator
 * @host: the host device
 * @node: in pviommu_window.domains; host.lock and window.lock to change it, RCU
 * @id: its number on the wire; not 0
 * @group: which devices it is for; 0: all
 * @nr_devices: attached ones; host.lock
 * @refs: one for the devices, and one for each chunk
 * @cache: per-CPU layer
 * @lack: bytes of a mapping that found no room, and none as large has found any since;
 *	or 0.
 * @lack_block: bytes of it that have to be in one block.
 *	Anybody looks at @lack and what belongs to it, and changes them
 * @lack_since: jiffies; when the first of those that found none was wanted
 * @lack_seen: jiffies; when the last one was
 * @nr_chunks: granted to it, or about to be; window.lock
 * @high_chunks: the most that it ever had; window.lock
 * @asked: the worker was asked to have a chunk granted, and there is not enough still
 * @lost: the host may not have taken its chunks back; host.lock
 * @called_back: jiffies; when it last took from CPUs what they keep, before a grant
 * @held: it keeps the chunks that it has; domain.lock and window.lock to change it
 * @failed: allocations that failed
 * @lock: shared layer: all that follows
 * @avail: bit by bit, its chunks by the order of their largest free block; those of
 *	the highest order are the ones of which nothing is in use
 * @nr_avail: how many bits are set
 * @emptied: the chunk from which nothing is taken any more, so that it can go; or NULL.
 *	Whether there is one is looked at without @lock, too
 * @nr_refused: chunks that the host has not granted again, from which nothing is taken
 *	either. Looked at without @lock, too
 * @coherent: pages that stay; looked at without @lock, too
 * @reserve: the first of some pages that are kept for such
 * @nr_reserve: how many; they count as in use. Looked at without @lock, too
 * @emptied_until: jiffies; for how long, or, if there is none, until when there is none
 * @stayed: how many in a row were not empty in time
 * @free: free pages of the shared layer
 * @used: pages handed out by it
 * @high_water: the most there ever were
 * @gone: no device is attached any more, and none will be
 * @locked: how often @lock was taken for allocations and frees
 * @grants: chunks that were granted
 * @grants_late: requests for chunks from an allocation that could not wait
 * @revokes: chunks that were given back
 * @ram: what it has beside chunks
 */
struct pviommu_domain {
	struct pviommu_host *host;
	struct list_head node;
	u32 id;
	u32 group;
	unsigned int nr_devices;
	atomic_t refs;
	struct pviommu_cache __percpu *cache;
	size_t lack;
	size_t lack_block;
	unsigned long lack_since;
	unsigned long lack_seen;
	unsigned int nr_chunks;
	unsigned int high_chunks;
	bool asked;
	bool lost;
	bool held;
	unsigned long called_back;
	atomic64_t failed;

	raw_spinlock_t lock ____cacheline_aligned_in_smp;
	unsigned long *avail[PVIOMMU_CHUNK_ORDER_MAX + 1];
	unsigned int nr_avail[PVIOMMU_CHUNK_ORDER_MAX + 1];
	struct pviommu_chunk *emptied;
	unsigned int nr_refused;
	unsigned long coherent;
	unsigned long reserve;
	unsigned long nr_reserve;
	unsigned long emptied_until;
	unsigned int stayed;
	unsigned long free;
	unsigned long used;
	unsigned long high_water;
	bool gone;
	u64 locked;
	u64 grants;
	u64 grants_late;
	u64 revokes;

	struct pviommu_ram ram ____cacheline_aligned_in_smp;
};

/**
 * struct pviommu_want - what an allocation asks for
 * @npages: how many pages; contiguous, at least 1
 * @order: alignment as a power of two of pages; at least that of @npages, but for
 *	coherent memory that is larger than a chunk
 * @dma_limit: highest DMA address that the device reaches
 * @ahead: nobody waits for it
 * @coherent: may never be freed: beside others of that kind, in nobody's way
 */
struct pviommu_want {
	unsigned long npages;
	unsigned int order;
	u64 dma_limit;
	bool ahead;
	bool coherent;
};

/**
 * enum pviommu_drain - from which CPUs a domain's blocks are called back
 * @PVIOMMU_DRAIN_IDLE: from those that took none since the last such call
 * @PVIOMMU_DRAIN_SPARE: from all
 * @PVIOMMU_DRAIN_ALL: from all, and they have to learn anew what they need
 */
enum pviommu_drain {
	PVIOMMU_DRAIN_IDLE,
	PVIOMMU_DRAIN_SPARE,
	PVIOMMU_DRAIN_ALL,
};

/* How many chunks' worth of bookkeeping is kept for those who cannot allocate */
#define PVIOMMU_SPARE_CHUNKS	4

/**
 * struct pviommu_window - the window
 * @space: its DMA addresses
 * @phys: guest-physical address
 * @size: bytes
 * @virt: kernel virtual address, write-back
 * @pgmap: its struct pages
 * @claimed: it is in the resource tree
 * @chunks: those that are granted; NULL for others
 * @owner: the domains that have them, by id. Who holds the domain's lock may rely on
 *	a chunk of its
 * @lock: what follows. Taken inside domain.lock, or alone
 * @free: bit by bit, chunks that nobody has
 * @taken: how many are granted, or about to be
 * @limit: how many may be, as the host last said
 * @limit_due: jiffies; when the worker asks the host again
 * @domains: all domains with attached devices
 * @nr_domains: how many
 * @spare: bookkeeping for chunks to come
 * @last_id: of the domain that was made last; host.lock
 * @pressure: jiffies until which nobody begins to keep blocks
 * @kept: pages that drivers have not freed whose domains are gone
 */
struct pviommu_window {
	struct pviommu_space space;
	phys_addr_t phys;
	u64 size;
	void *virt;
	struct dev_pagemap pgmap;
	bool claimed;
	struct pviommu_chunk **chunks;
	u32 *owner;

	raw_spinlock_t lock ____cacheline_aligned_in_smp;
	unsigned long *free;
	unsigned long taken;
	unsigned long limit;
	unsigned long limit_due;
	struct list_head domains;
	unsigned int nr_domains;
	struct pviommu_chunk *spare[PVIOMMU_SPARE_CHUNKS];
	u32 last_id;
	unsigned long pressure;
	atomic_long_t kept;
};

/**
 * struct pviommu_low - the start of the arena, which is guest memory
 * @npages: so many pages of the arena; 0: there is none
 * @virt: kernel virtual address
 * @pgmap: its struct pages
 * @lock: protects @taken
 * @taken: bit by bit, pages that are allocated
 */
struct pviommu_low {
	unsigned long npages;
	void *virt;
	struct dev_pagemap pgmap;
	raw_spinlock_t lock;
	unsigned long *taken;
};

/**
 * struct pviommu_channel - one CPU's way to the host
 * @lock: serialises @req; IRQs off. Another CPU takes it only to
 *	move what is queued to its own, and is not in the host meanwhile
 * @req: request block, shared with the host
 * @nr_unmaps: unmaps queued in @req
 * @lost: unmaps that the host has refused, to be said when @lock is free
 * @kept: all that was wrong with the last request is that a revoke was refused
 * @requests: how often the doorbell was rung
 * @ranges: of guest RAM, in a request or for one: what the guest itself goes by
 * @revokes: those that ride with it
 */
struct pviommu_channel {
	raw_spinlock_t lock;
	struct pv_iommu_req *req;
	unsigned int nr_unmaps;
	u32 lost;
	bool kept;
	u64 requests;
	struct pviommu_run ranges[PV_IOMMU_MAX_RANGES];
	struct pviommu_run revokes[PV_IOMMU_MAX_REVOKES];
};

/**
 * struct pviommu_call - a request that takes no list, and its answers
 * @opcode: PV_IOMMU_OP_*
 * @rid: PCI requester ID
 * @flags: the request's flags
 * @dma_addr: UNMAP, SYNC: start of the mapping
 * @offset: SYNC: bytes from there
 * @length: SYNC: bytes
 * @domain: ATTACH, GRANT: the domain
 * @first: GRANT: the first chunk
 * @count: GRANT: how many
 * @group: PROBE, answer: which devices cannot be told apart
 */
struct pviommu_call {
	u16 opcode;
	u16 rid;
	u32 flags;
	u64 dma_addr;
	u64 offset;
	u64 length;
	u32 domain;
	u32 first;
	u32 count;
	u32 group;
};

/**
 * struct pviommu_stats - one CPU's counters of one device
 * @maps: mappings made; a scatterlist is one
 * @maps_direct: those of them that are direct
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
	u64 maps_direct;
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
 * @mode: how streaming DMA is served: PVIOMMU_MODE_WINDOW or _BOUNCE; with
 *	PV_IOMMU_F_HOST_PHYS or @low, window where a device's mask reaches it
 * @window: the window
 * @arena: DMA addresses of the host's arena
 * @low: what of it is for coherent memory
 * @direct_dma: with PV_IOMMU_F_DIRECT, the DMA address of address 0
 * @direct_size: bytes of addresses from there; 0: it is not offered
 * @max_cached: how many 2 MiB of RAM may be kept granted, all domains together:
 *	direct_cache=, and what there is for the sake of single devices; 0: they are not.
 *	@lock to change it
 * @nr_cached: how many are, all domains together
 * @leaving: the first 2 MiB of memory that is about to be offlined
 * @leaving_end: behind the last; 0: none is
 * @memory_notifier: tells of memory that comes and goes
 * @channel: per-CPU requests
 * @flush: bounds the age of queued unmaps
 * @balance: has chunks granted ahead of need, and gives them back
 * @max_mapping: what dma_max_mapping_size() says, bytes
 * @lock: serialises attach and detach; @devices, @hibernating, @retired
 * @devices: attached devices
 * @hibernating: no device is to be attached
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
	struct pviommu_low low;
	u64 direct_dma;
	u64 direct_size;
	int max_cached;
	atomic_t nr_cached;
	unsigned long leaving;
	unsigned long leaving_end;
	struct notifier_block memory_notifier;
	struct pviommu_channel __percpu *channel;
	struct delayed_work flush;
	struct delayed_work balance;
	size_t max_mapping;
	struct mutex lock;		/* attach and detach */
	struct list_head devices;
	bool hibernating;
	struct pviommu_stats retired;
	struct notifier_block notifier;
	struct notifier_block pm_notifier;
	struct pviommu_dev **bus[256];
};

/**
 * struct pviommu_dev - an attached device
 * @host: the host device that serves it
 * @domain: what it reaches
 * @dev: the device
 * @rid: its PCI requester ID
 * @mode: how its streaming DMA is served, where it is not direct
 * @direct: whole pages are to be direct, whatever the direction
 * @cached: what is around direct mappings is granted, too, and kept
 * @max_cached: so many of pviommu_host.max_cached are for its sake; host.lock
 * @told: it was said why a mapping that should be direct is not
 * @told_refused: it was said why one that must be direct is refused
 * @node: in pviommu_host.devices, later in pviommu_gone
 * @stats: per-CPU counters
 * @link: makes the host device resume first
 * @bridge: makes the bridge above resume before that; NULL if there is none
 * @orphans: once gone: blocks of coherent memory that its driver has not freed
 */
struct pviommu_dev {
	struct pviommu_host *host;
	struct pviommu_domain *domain;
	struct device *dev;
	u16 rid;
	enum pviommu_mode mode;
	bool direct;
	bool cached;
	int max_cached;
	bool told;
	bool told_refused;
	struct list_head node;
	struct pviommu_stats __percpu *stats;
	struct device_link *link;
	struct device_link *bridge;
	unsigned int orphans;
};

/* main.c */
extern enum pviommu_mode pviommu_mode;
const char *pviommu_mode_name(enum pviommu_mode m);
bool pviommu_wants(struct pci_dev *pdev);
bool pviommu_wants_direct(struct pci_dev *pdev);
int pviommu_ram_cache_budget(void);

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
void pviommu_req_clear(struct pv_iommu_req *req, u16 opcode, u16 rid);
int pviommu_req_ring(struct pviommu_host *host, struct pviommu_channel *ch);
void pviommu_req_end(struct pviommu_host *host, struct pviommu_channel *ch,
		     unsigned long flags)
	__releases(pviommu_channel);
void pviommu_req_revoke(struct pviommu_channel *ch, u32 domain, const u32 *chunk,
			unsigned int nr);
int pviommu_request(struct pviommu_host *host, struct pviommu_call *call);
bool pviommu_queue_unmap(struct pviommu_host *host, u16 rid, u64 dma_addr);
bool pviommu_try_flush_all(struct pviommu_host *host);
void pviommu_flush(struct pviommu_host *host);
u64 pviommu_hypercalls(struct pviommu_host *host);

/* window.c */
int pviommu_space_init(struct pviommu_space *sp, u64 dma, u64 size,
		       unsigned int shift);
int pviommu_space_populate(struct pviommu_space *sp);
void pviommu_space_exit(struct pviommu_space *sp);
void pviommu_chunk_init(struct pviommu_chunk *c, unsigned int shift);
void pviommu_chunk_add(struct pviommu_domain *d, struct pviommu_chunk *c);
void pviommu_chunk_del(struct pviommu_domain *d, struct pviommu_chunk *c);
void pviommu_chunk_empty(struct pviommu_domain *d, struct pviommu_chunk *c);
void pviommu_chunk_refuse(struct pviommu_domain *d, struct pviommu_chunk *c, bool refused);
unsigned long pviommu_chunks_reached(struct pviommu_space *sp, u64 dma_limit);
struct pviommu_chunk *pviommu_chunk_of(struct pviommu_domain *d, unsigned long index);
unsigned long pviommu_run_find(struct pviommu_space *sp, const unsigned long *set,
			       unsigned long n, const struct pviommu_want *want);
struct pviommu_slot *pviommu_window_alloc_exact(struct pviommu_domain *d,
						const struct pviommu_want *want);
struct pviommu_slot *pviommu_window_alloc_slow(struct pviommu_domain *d,
					       unsigned int order);
void pviommu_window_free_exact(struct pviommu_domain *d, unsigned long page,
			       unsigned long npages);
void pviommu_window_free_coherent(struct pviommu_domain *d, unsigned long page,
				  unsigned long npages);
void pviommu_window_free_slow(struct pviommu_domain *d, struct pviommu_slot *slot);
bool pviommu_window_drain(struct pviommu_domain *d, enum pviommu_drain which);
void pviommu_window_unreserve(struct pviommu_domain *d);
unsigned long pviommu_window_spare(struct pviommu_domain *d);
unsigned long pviommu_window_parked(struct pviommu_domain *d);
int pviommu_window_check(struct pviommu_domain *d, char *why, size_t size);

/* domain.c */
int pviommu_domains_init(struct pviommu_host *host);
void pviommu_domains_stop(struct pviommu_host *host);
void pviommu_domains_exit(struct pviommu_host *host);
struct pviommu_domain *pviommu_domain_get(struct pviommu_host *host, u32 group);
void pviommu_domain_put(struct pviommu_domain *d, bool lost);
void pviommu_domain_shed(struct pviommu_domain *d);
bool pviommu_domain_grow(struct pviommu_domain *d, const struct pviommu_want *want);
void pviommu_domain_press(struct pviommu_domain *d, const struct pviommu_want *want);
void pviommu_domain_low(struct pviommu_domain *d);
void pviommu_domain_unserved(struct pviommu_domain *d, size_t len, size_t block);
void pviommu_domain_busy(struct pviommu_host *host);
unsigned int pviommu_domain_collect(struct pviommu_domain *d, u16 rid, u32 *pages,
				    unsigned int max, unsigned long *pos);
unsigned long pviommu_domains_share(struct pviommu_host *host);
void pviommu_domain_hold(struct pviommu_domain *d);
void pviommu_domain_unhold(struct pviommu_domain *d);
int pviommu_domain_regrant(struct pviommu_domain *d);
int pviommu_domains_regrant(struct pviommu_host *host);
size_t pviommu_domains_metadata(struct pviommu_host *host);

/* Free pages of the shared layer; of what is kept for single pages that stay, too */
static inline unsigned long pviommu_domain_room(struct pviommu_domain *d)
{
	return READ_ONCE(d->free) + READ_ONCE(d->nr_reserve);
}

/**
 * pviommu_domain_served - a mapping has found room
 * @d: the domain
 * @len: how long it is, all of a list; bytes
 * @block: its largest block, bytes
 */
static inline void pviommu_domain_served(struct pviommu_domain *d, size_t len, size_t block)
{
	size_t lack = READ_ONCE(d->lack);

	if (unlikely(lack) && len >= lack && block >= READ_ONCE(d->lack_block))
		WRITE_ONCE(d->lack, 0);
}

/* low.c */
void pviommu_low_init(struct pviommu_host *host);
void pviommu_low_exit(struct pviommu_host *host);
struct pviommu_slot *pviommu_low_alloc(struct pviommu_host *host,
				       const struct pviommu_want *want);
void pviommu_low_free(struct pviommu_host *host, unsigned long page, unsigned long npages);
struct pviommu_slot *pviommu_low_next(struct pviommu_host *host, u16 rid,
				      unsigned long *page);
unsigned long pviommu_low_used(struct pviommu_host *host);

/* MiB of RAM that are granted and kept as one */
#define PVIOMMU_RAM_CACHE_MIB	(PV_IOMMU_LARGE_PAGES * PAGE_SIZE / SZ_1M)

/* ram_cache.c */
int pviommu_ram_cache_set(struct pviommu_dev *pd, unsigned int mib);
int pviommu_ram_cache_watch(struct pviommu_host *host);
void pviommu_ram_cache_unwatch(struct pviommu_host *host);

/* direct.c */
void pviommu_direct_setup(struct pviommu_host *host);

/* ram.c */
int pviommu_ram_init(struct pviommu_domain *d);
void pviommu_ram_exit(struct pviommu_domain *d);
void pviommu_ram_flush(struct pviommu_domain *d);
int pviommu_ram_regrant(struct pviommu_domain *d);

/* dma_ops.c */
extern const struct dma_map_ops pviommu_window_ops;
extern const struct dma_map_ops pviommu_bounce_ops;
extern const struct dma_map_ops pviommu_some_window_ops;
extern const struct dma_map_ops pviommu_some_bounce_ops;
extern const struct dma_map_ops pviommu_all_window_ops;
extern const struct dma_map_ops pviommu_all_bounce_ops;
extern const struct dma_map_ops pviommu_blocked_ops;
extern const struct dma_map_ops pviommu_gone_ops;

/* attach.c */
int pviommu_attach_init(struct pviommu_host *host);
void pviommu_attach_exit(struct pviommu_host *host);
void pviommu_exempt_all(struct pviommu_host *host);
bool pviommu_forbid_attach(struct pviommu_host *host);
void pviommu_permit_attach(struct pviommu_host *host);
void pviommu_attach_flush(struct pviommu_host *host);
int pviommu_reattach_all(struct pviommu_host *host);
void pviommu_cut_off_all(struct pviommu_host *host, bool restored);
bool pviommu_serves_mask(struct pviommu_dev *pd, u64 mask);
void pviommu_orphan_freed(struct device *dev);
bool pviommu_has_orphans(void);

/* stats.c */
extern const struct attribute_group *pviommu_host_groups[];
extern const struct attribute_group pviommu_dev_group;
void pviommu_stats_sum(struct pviommu_dev *pd, struct pviommu_stats *sum);
void pviommu_debugfs_init(struct pviommu_host *host);
void pviommu_debugfs_exit(void);

/*
 * A figure that others count on meanwhile, plainly, under a lock of theirs: it may be
 * old, and torn on 32 bits, and nothing depends on it
 */
#define pviommu_counted(counter)	data_race(counter)

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
 * pviommu_slot_of - the slot of a page
 * @sp: the space
 * @page: one of its pages
 *
 * Return: the slot, or NULL when there is nothing.
 */
static inline struct pviommu_slot *pviommu_slot_of(struct pviommu_space *sp,
						   unsigned long page)
{
	struct pviommu_slot *slots = READ_ONCE(sp->slots[page >> sp->shift]);

	return likely(slots) ? &slots[page & sp->mask] : NULL;
}

/**
 * pviommu_slot_at - the slot of a DMA address's page
 * @sp: the space
 * @dma: DMA address, from a driver or the host: not trusted
 *
 * Return: the slot, or NULL when the address is outside the space, or in a chunk
 * that nobody has.
 */
static inline struct pviommu_slot *pviommu_slot_at(struct pviommu_space *sp,
						   dma_addr_t dma)
{
	u64 offset = dma - sp->dma;

	return likely(offset < sp->size) ? pviommu_slot_of(sp, offset >> PAGE_SHIFT) : NULL;
}

/* The page of a DMA address that is known to be in the space */
static inline unsigned long pviommu_page_at(struct pviommu_space *sp, dma_addr_t dma)
{
	return (dma - sp->dma) >> PAGE_SHIFT;
}

/* DMA address of a page */
static inline dma_addr_t pviommu_page_dma(struct pviommu_space *sp, unsigned long page)
{
	return sp->dma + ((u64)page << PAGE_SHIFT);
}

/* A domain with fewer free pages has a chunk granted; caches leave it so many */
static inline unsigned long pviommu_low_pages(struct pviommu_space *sp)
{
	return BIT(sp->shift) / 8;
}

/* Can RAM be granted by 2 MiB, and kept, if somebody wants that? */
static inline bool pviommu_ram_cache_offered(struct pviommu_host *host)
{
	return host->direct_size && host->features & PV_IOMMU_F_LARGE;
}

/* Kernel address of a page of the window */
static inline void *pviommu_page_virt(struct pviommu_window *w, unsigned long page)
{
	return w->virt + (page << PAGE_SHIFT);
}

#endif /* _PVIOMMU_H */
