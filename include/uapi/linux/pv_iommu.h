/* SPDX-License-Identifier: ((GPL-2.0 WITH Linux-syscall-note) OR BSD-3-Clause) */
/*
 * pv-iommu: the interface between the guest driver and the host device.
 *
 * This is the only definition of it: the guest module and the QEMU device both
 * compile this file. Documentation/pv-iommu/spec.rst is the prose.
 *
 * The host reserves one contiguous window of guest memory. The guest has it
 * granted in chunks, each to one domain: devices that reach the same memory.
 * Devices reach the chunks of their domain and nothing else. Where streaming DMA
 * may not use the window, it goes over requests instead: the host keeps an arena
 * of its own that the devices reach and the guest does not, and copies at map,
 * sync and unmap.
 *
 * Where data must not be copied at all, the guest has pages of its RAM granted to
 * a domain, at a DMA address that follows from the guest-physical one.
 *
 * Everything is little-endian. No structure has padding that is not named.
 * Reserved fields are written as zero and checked to be zero by the reader, so
 * that they can be given a meaning later.
 */
#ifndef _UAPI_LINUX_PV_IOMMU_H
#define _UAPI_LINUX_PV_IOMMU_H

#include <linux/types.h>

/*
 * PCI identity. The device ID lies in the range that the virtio project leaves
 * to experiments; a device that ships needs an assigned one.
 */
#define PV_IOMMU_PCI_VENDOR_ID		0x1af4
#define PV_IOMMU_PCI_DEVICE_ID		0x10f0

/*
 * BAR 0 (memory) holds the registers, BAR 2 (I/O) the doorbell alone, BAR 4 (memory)
 * what the guest shares of the arena, if there is such a part
 */
#define PV_IOMMU_BAR_REGS		0
#define PV_IOMMU_BAR_DOORBELL		2
#define PV_IOMMU_BAR_COHERENT		4
#define PV_IOMMU_REGS_SIZE		0x1000
#define PV_IOMMU_DOORBELL_SIZE		4

/*
 * Registers: 32 bits wide and accessed so; a 64-bit value is a pair, low half
 * first. Reading an offset that is not listed gives zero.
 */
#define PV_IOMMU_REG_MAGIC		0x00	/* RO, 32: PV_IOMMU_MAGIC */
#define PV_IOMMU_REG_VERSION		0x04	/* RO, 32: PV_IOMMU_VERSION */
#define PV_IOMMU_REG_HOST_FEATURES	0x08	/* RO, 64: PV_IOMMU_F_* offered */
#define PV_IOMMU_REG_GUEST_FEATURES	0x10	/* RW, 64: PV_IOMMU_F_* wanted */
#define PV_IOMMU_REG_CONTROL		0x18	/* RW, 32: PV_IOMMU_CTL_* */
#define PV_IOMMU_REG_ERRORS		0x1c	/* RO, 32: requests that failed */
#define PV_IOMMU_REG_WINDOW_ADDR	0x20	/* RO, 64: guest-physical address */
#define PV_IOMMU_REG_WINDOW_SIZE	0x28	/* RO, 64: bytes */
#define PV_IOMMU_REG_WINDOW_DMA		0x30	/* RO, 64: its DMA address */
#define PV_IOMMU_REG_ARENA_DMA		0x38	/* RO, 64: the arena's DMA address */
#define PV_IOMMU_REG_ARENA_SIZE		0x40	/* RO, 64: bytes; 0: no arena */
#define PV_IOMMU_REG_FAULT_COUNT	0x48	/* RO, 64: DMA accesses refused */
#define PV_IOMMU_REG_FAULT_ADDR		0x50	/* RO, 64: the last one's address */
#define PV_IOMMU_REG_FAULT_INFO		0x58	/* RO, 32: PV_IOMMU_FAULT_* of it */
#define PV_IOMMU_REG_DOORBELL		0x60	/* WO, 32: see below */
/* With PV_IOMMU_F_CHUNKS, otherwise zero */
#define PV_IOMMU_REG_CHUNK_SIZE		0x68	/* RO, 64: bytes, a power of two */
#define PV_IOMMU_REG_WINDOW_LIMIT	0x70	/* RO, 64: bytes that may be granted */
#define PV_IOMMU_REG_WINDOW_GRANTED	0x78	/* RO, 64: bytes that are */
/* Of the arena, bytes at its start that no mapping gets: guest memory, in BAR 4 */
#define PV_IOMMU_REG_ARENA_COHERENT	0x80	/* RO, 64: bytes; 0: none */
/* With PV_IOMMU_F_DIRECT, otherwise zero */
#define PV_IOMMU_REG_DIRECT_DMA		0x88	/* RO, 64: DMA address of address 0 */
#define PV_IOMMU_REG_DIRECT_SIZE	0x90	/* RO, 64: bytes of addresses from there */
#define PV_IOMMU_REG_DIRECT_LIMIT	0x98	/* RO, 64: bytes that may be granted */
#define PV_IOMMU_REG_DIRECT_GRANTED	0xa0	/* RO, 64: bytes that are */

#define PV_IOMMU_MAGIC			0x4f495650	/* "PVIO" */

/* Bits 31:16 major, which must match; bits 15:0 minor, which only adds */
#define PV_IOMMU_VERSION		0x00010003
#define PV_IOMMU_VERSION_MAJOR(v)	((v) >> 16)

/*
 * Features. At least one of the first two must be accepted. A guest that does
 * not accept PV_IOMMU_F_CHUNKS has one domain, and all of the window in it.
 */
#define PV_IOMMU_F_WINDOW		(1ULL << 0)	/* streaming DMA may use the window */
#define PV_IOMMU_F_BOUNCE		(1ULL << 1)	/* MAP, UNMAP and SYNC requests */
#define PV_IOMMU_F_CHUNKS		(1ULL << 2)	/* PROBE, domains, GRANT and REVOKE */
/* GRANT_RAM and REVOKE_RAM; accepted only with PV_IOMMU_F_CHUNKS */
#define PV_IOMMU_F_DIRECT		(1ULL << 3)
/* For information, and need not be accepted: */
#define PV_IOMMU_F_HOST_PHYS		(1ULL << 4)	/* DMA addresses are the host's own */
/* PV_IOMMU_RANGE_LARGE; accepted only with PV_IOMMU_F_DIRECT */
#define PV_IOMMU_F_LARGE		(1ULL << 5)

/*
 * PV_IOMMU_CTL_RESET detaches every device, drops every mapping, leaves every
 * chunk to nobody and clears GUEST_FEATURES and PV_IOMMU_CTL_ENABLE; it reads as
 * zero.
 * PV_IOMMU_CTL_ENABLE reads back as set when the host accepts the features in
 * GUEST_FEATURES; until then every request is refused. The first one after the
 * machine's reset ends what devices reach without being attached
 * (boot-bypass=); nothing but the next reset of the machine brings that back,
 * see PV_IOMMU_ATTACH_BYPASS for who keeps it.
 */
#define PV_IOMMU_CTL_RESET		(1U << 0)
#define PV_IOMMU_CTL_ENABLE		(1U << 1)

#define PV_IOMMU_FAULT_RID(info)	((info) & 0xffff)
#define PV_IOMMU_FAULT_WRITE		(1U << 16)

/*
 * The doorbell takes the guest page frame number (bits 43:12 of the address)
 * of a struct pv_iommu_req. The request is done when the write returns: its
 * status, and what else the host answers, then stand in the block. A block
 * that is not RAM is ignored but for the ERRORS register, so the guest sets
 * status to PV_IOMMU_S_NONE beforehand. Any CPU may use any block; several may
 * ring at once.
 */
#define PV_IOMMU_REQ_SHIFT		12
#define PV_IOMMU_REQ_SIZE		4096

#define PV_IOMMU_MAX_SEGS		128
#define PV_IOMMU_MAX_UNMAPS		64
#define PV_IOMMU_MAX_REVOKES		48
#define PV_IOMMU_MAX_RANGES		128

/* Most pages of guest RAM that one request may grant, or revoke */
#define PV_IOMMU_MAX_PAGES		16384

/* The arena is handed out in units of this many bytes, aligned to it */
#define PV_IOMMU_GRANULE		4096

/* The longest mapping of the arena, in bytes: it is copied in one request */
#define PV_IOMMU_MAX_LENGTH		(16U << 20)

/* Opcodes; in brackets the members that each uses besides opcode and rid */
#define PV_IOMMU_OP_NOP			0	/* [] only carries unmaps */
#define PV_IOMMU_OP_ATTACH		1	/* [flags] */
#define PV_IOMMU_OP_DETACH		2	/* [] */
#define PV_IOMMU_OP_MAP			3	/* [all; answers dma_addr] */
#define PV_IOMMU_OP_UNMAP		4	/* [flags, dma_addr] */
#define PV_IOMMU_OP_SYNC		5	/* [flags, dma_addr, offset, length] */
/* With PV_IOMMU_F_CHUNKS; ATTACH then uses domain, too */
#define PV_IOMMU_OP_PROBE		6	/* [answers group, offers] */
#define PV_IOMMU_OP_GRANT		7	/* [flags, domain, first, count] */
#define PV_IOMMU_OP_REVOKE		8	/* [domain, first, count] */
/* With PV_IOMMU_F_DIRECT */
#define PV_IOMMU_OP_GRANT_RAM		9	/* [domain, ranges] */
#define PV_IOMMU_OP_REVOKE_RAM		10	/* [domain, ranges] */

/*
 * ATTACH: how the device's streaming DMA will be served: exactly one. BYPASS: it
 * will not be, and the device keeps, or gets, what it reached before the first
 * PV_IOMMU_CTL_ENABLE. It is not attached by that, and no other opcode follows.
 * The one request that is taken before PV_IOMMU_CTL_ENABLE, too.
 */
#define PV_IOMMU_ATTACH_WINDOW		(1U << 0)
#define PV_IOMMU_ATTACH_BOUNCE		(1U << 1)
#define PV_IOMMU_ATTACH_BYPASS		(1U << 2)

/*
 * GRANT: what the chunks hold is the guest's own, and is kept. Without it they
 * read as zero if any of them was granted before.
 */
#define PV_IOMMU_GRANT_KEEP		(1U << 0)

/* GRANT_RAM, in a range's flags: what devices may do to the pages; at least one */
#define PV_IOMMU_RANGE_READ		(1U << 0)
#define PV_IOMMU_RANGE_WRITE		(1U << 1)
/*
 * With PV_IOMMU_F_LARGE, beside these: first and count are multiples of
 * PV_IOMMU_LARGE_PAGES, and so many pages are granted, and taken back, as one.
 */
#define PV_IOMMU_RANGE_LARGE		(1U << 2)
#define PV_IOMMU_LARGE_PAGES		512

/* A riding revoke: @first and @count are pages of guest RAM, and no chunks */
#define PV_IOMMU_REVOKE_RAM		(1U << 0)

/* PROBE, answer in offers: what the device is, and which ATTACH_* it may have */
#define PV_IOMMU_PROBE_WINDOW		(1U << 0)
#define PV_IOMMU_PROBE_BOUNCE		(1U << 1)
#define PV_IOMMU_PROBE_ASSIGNED		(1U << 8)	/* a device of the host's */

/*
 * MAP: the directions in which the mapping may be copied later. (The map
 * itself always copies in, so that a short device write leaks nothing.)
 * UNMAP: PV_IOMMU_DIR_FROM_DEVICE asks for the copy back to the guest.
 * SYNC: exactly one, the direction of this copy.
 */
#define PV_IOMMU_DIR_TO_DEVICE		(1U << 0)
#define PV_IOMMU_DIR_FROM_DEVICE	(1U << 1)

/* Status */
#define PV_IOMMU_S_OK			0
#define PV_IOMMU_S_OPCODE		1	/* unknown opcode */
#define PV_IOMMU_S_INVAL		2	/* reserved bits, counts or sizes are wrong */
#define PV_IOMMU_S_NODEV		3	/* no such device behind this pv-iommu */
#define PV_IOMMU_S_STATE		4	/* not enabled, not attached, or attached already */
#define PV_IOMMU_S_RANGE		5	/* a guest address range is not RAM */
#define PV_IOMMU_S_HANDLE		6	/* no live mapping of that device there */
#define PV_IOMMU_S_NOSPC		7	/* the arena has no room now */
#define PV_IOMMU_S_UNSUPP		8	/* not offered for this device */
#define PV_IOMMU_S_IO			9	/* the host failed */
#define PV_IOMMU_S_DOMAIN		10	/* no such domain, or not that group's */
#define PV_IOMMU_S_CHUNK		11	/* no such chunk, or not in that state */
#define PV_IOMMU_S_LIMIT		12	/* more than may be granted */
#define PV_IOMMU_S_PAGE			13	/* a page of RAM is granted already, or is not */
#define PV_IOMMU_S_NONE			0xffffffffU	/* set by the guest: not answered */

/**
 * struct pv_iommu_seg - one piece of guest memory in a MAP request
 * @addr: guest-physical address
 * @len: bytes; not zero
 * @pos: where it lies in the mapping, bytes from the mapping's start; the
 *	pieces are in order and do not overlap
 */
struct pv_iommu_seg {
	__le64 addr;
	__le32 len;
	__le32 pos;
};

/**
 * struct pv_iommu_range - pages of guest RAM in a GRANT_RAM or REVOKE_RAM request
 * @first: frame number of the first page, of PV_IOMMU_GRANULE bytes
 * @count: how many; not zero
 * @flags: GRANT_RAM: PV_IOMMU_RANGE_*. REVOKE_RAM: zero
 */
struct pv_iommu_range {
	__le64 first;
	__le32 count;
	__le32 flags;
};

/**
 * struct pv_iommu_unmap - an unmap without copy that rides with a request
 * @dma_addr: the mapping's start
 * @rid: the device it belongs to
 * @reserved: zero
 */
struct pv_iommu_unmap {
	__le64 dma_addr;
	__le16 rid;
	__le16 reserved[3];
};

/**
 * struct pv_iommu_revoke - a revoke that rides with a request
 * @domain: the domain that has the chunks
 * @first: the first of them
 * @count: how many
 * @flags: PV_IOMMU_REVOKE_RAM, with PV_IOMMU_F_DIRECT; or zero
 */
struct pv_iommu_revoke {
	__le32 domain;
	__le32 first;
	__le32 count;
	__le32 flags;
};

/**
 * struct pv_iommu_req - a request block: one page of guest RAM
 * @opcode: PV_IOMMU_OP_*
 * @rid: PCI requester ID (bus << 8 | devfn) of the device
 * @flags: ATTACH: PV_IOMMU_ATTACH_*. MAP, UNMAP, SYNC: PV_IOMMU_DIR_*. GRANT:
 *	PV_IOMMU_GRANT_KEEP or zero
 * @status: PV_IOMMU_S_*, written by the host
 * @nr_segs: how many of @segs are used; GRANT_RAM, REVOKE_RAM: of @ranges; 0 for
 *	others
 * @nr_unmaps: how many of @unmaps are used; they are done first, and with any
 *	opcode
 * @dma_addr: start of the mapping; a multiple of PV_IOMMU_GRANULE. MAP: zero,
 *	and written by the host when status is PV_IOMMU_S_OK
 * @length: MAP: bytes to reserve, the end of the last piece at least. SYNC:
 *	bytes to copy
 * @offset: SYNC: where the copy begins, bytes from @dma_addr
 * @dma_limit: MAP: highest DMA address that the device reaches
 * @align_mask: MAP: bits that shall be zero in @dma_addr; all ones below a
 *	power of two, at least PV_IOMMU_GRANULE - 1
 * @boundary_mask: MAP: the mapping shall not cross a multiple of this plus
 *	one, if @length fits below that at all; all ones below a power of two
 * @unmap_errors: how many of @unmaps failed, written by the host
 * @domain: ATTACH, GRANT, REVOKE, GRANT_RAM, REVOKE_RAM: the domain, a number of
 *	the guest's choice
 * @first: GRANT, REVOKE: the first chunk
 * @count: GRANT, REVOKE: how many chunks
 * @group: PROBE: which devices cannot be told apart, written by the host
 * @offers: PROBE: PV_IOMMU_PROBE_*, written by the host
 * @nr_revokes: how many of @revokes are used; they are done after @unmaps and
 *	before the opcode, with any opcode
 * @reserved_revokes: zero
 * @revoke_errors: how many of @revokes failed, written by the host
 * @reserved: zero
 * @segs: MAP: the guest memory, in the mapping's order
 * @ranges: GRANT_RAM, REVOKE_RAM: pages of guest RAM, in any order
 * @unmaps: unmaps that ride along
 * @revokes: revokes that ride along
 * @reserved_end: room for later versions; not looked at in this one
 */
struct pv_iommu_req {
	__le16 opcode;
	__le16 rid;
	__le32 flags;
	__le32 status;
	__le16 nr_segs;
	__le16 nr_unmaps;
	__le64 dma_addr;
	__le64 length;
	__le64 offset;
	__le64 dma_limit;
	__le64 align_mask;
	__le64 boundary_mask;
	__le32 unmap_errors;
	__le32 domain;
	__le32 first;
	__le32 count;
	__le32 group;
	__le32 offers;
	__le16 nr_revokes;
	__le16 reserved_revokes;
	__le32 revoke_errors;
	__le32 reserved[8];
	union {
		struct pv_iommu_seg segs[PV_IOMMU_MAX_SEGS];
		struct pv_iommu_range ranges[PV_IOMMU_MAX_RANGES];
	};
	struct pv_iommu_unmap unmaps[PV_IOMMU_MAX_UNMAPS];
	struct pv_iommu_revoke revokes[PV_IOMMU_MAX_REVOKES];
	__u8 reserved_end[128];
};

#endif /* _UAPI_LINUX_PV_IOMMU_H */
