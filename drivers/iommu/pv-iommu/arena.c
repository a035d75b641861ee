// SPDX-License-Identifier: GPL-2.0
/*
 * pv-iommu: bounce mode's blocks, which the host reserves and copies
 *
 * The counterpart of window.c for hosts without a hardware IOMMU. Everything
 * may be called in any context but NMI; a map of a whole scatterlist is one
 * exit.
 */
#include <linux/log2.h>
#include <linux/scatterlist.h>

#include "pviommu.h"
#include "bounce.h"
#include "trace.h"

static u32 pviommu_dir_flags(enum dma_data_direction dir)
{
	switch (dir) {
	case DMA_TO_DEVICE:
		return PV_IOMMU_DIR_TO_DEVICE;
	case DMA_FROM_DEVICE:
		return PV_IOMMU_DIR_FROM_DEVICE;
	default:
		return PV_IOMMU_DIR_TO_DEVICE | PV_IOMMU_DIR_FROM_DEVICE;
	}
}

/*
 * Ask the host for a block of @len bytes. @nents entries of @sgl, or the one at
 * @phys where that is NULL. The answer is checked: what the host says may cost
 * it its own data, but not the guest its memory.
 */
static struct pviommu_slot *
pviommu_arena_try(struct pviommu_dev *pd, const struct pviommu_limits *lim,
		  struct scatterlist *sgl, unsigned int nents, phys_addr_t phys,
		  size_t off, size_t len, enum dma_data_direction dir, int *error)
{
	struct pviommu_host *host = pd->host;
	struct pviommu_layout l = { .pos = off, .seg = off };
	u64 align = max_t(u64, roundup_pow_of_two(len) - 1,
			  max_t(u64, lim->align_mask, PV_IOMMU_GRANULE - 1));
	struct pviommu_slot *slot = NULL;
	struct pviommu_channel *ch;
	struct pv_iommu_req *req;
	struct scatterlist *sg;
	unsigned int i, n = 0;
	unsigned long flags;
	u64 dma;

	ch = pviommu_req_begin(host, PV_IOMMU_OP_MAP, pd->rid, &flags);
	req = ch->req;
	req->flags = cpu_to_le32(pviommu_dir_flags(dir));
	req->length = cpu_to_le64(len);
	req->dma_limit = cpu_to_le64(lim->dma_limit);
	req->align_mask = cpu_to_le64(align);
	req->boundary_mask = cpu_to_le64(lim->boundary_mask);
	if (sgl) {
		for_each_sg(sgl, sg, nents, i) {
			if (unlikely(!sg->length))
				continue;
			pviommu_place(&l, lim, sg_phys(sg), sg->length, !n);
			req->segs[n].addr = cpu_to_le64(sg_phys(sg));
			req->segs[n].len = cpu_to_le32(sg->length);
			req->segs[n].pos = cpu_to_le32(l.pos);
			l.pos += sg->length;
			n++;
		}
	} else {
		req->segs[n].addr = cpu_to_le64(phys);
		req->segs[n].len = cpu_to_le32(len - off);
		req->segs[n].pos = cpu_to_le32(off);
		n++;
	}
	req->nr_segs = cpu_to_le16(n);

	this_cpu_inc(pd->stats->hypercalls);
	this_cpu_inc(pd->stats->hypercalls_map);
	*error = pviommu_req_ring(host, ch);
	dma = le64_to_cpu(READ_ONCE(req->dma_addr));
	pviommu_req_end(host, ch, flags);
	if (*error)
		return NULL;

	if (!(dma & align) && dma + len - 1 <= lim->dma_limit &&
	    pviommu_slot_at(&host->arena, dma + len - 1))
		slot = pviommu_slot_at(&host->arena, dma);
	if (!slot || READ_ONCE(slot->state) != PVIOMMU_SLOT_FREE) {
		dev_err_ratelimited(&host->pdev->dev, "host mapped %zu bytes at %#llx, where they cannot be\n",
				    len, dma);
		*error = -EIO;
		return NULL;
	}
	WRITE_ONCE(slot->order, order_base_2(PFN_UP(len)));
	return slot;
}

/**
 * pviommu_arena_map - have the host reserve a block and copy data into it
 * @pd: the device
 * @lim: its limits
 * @sgl: the entries, or NULL for the one buffer at @phys
 * @nents: how many; of those that are not empty, at most PV_IOMMU_MAX_SEGS
 * @phys: the buffer, where @sgl is NULL
 * @off: where the data starts in the block
 * @len: bytes from the start of the block to the end of the data
 * @dir: how it will be copied later
 * @error: why it failed
 *
 * Return: the block's first slot, or NULL. -ENOMEM when the arena is full, and
 * not before all that CPUs have queued to be freed has been.
 */
struct pviommu_slot *
pviommu_arena_map(struct pviommu_dev *pd, const struct pviommu_limits *lim,
		  struct scatterlist *sgl, unsigned int nents, phys_addr_t phys,
		  size_t off, size_t len, enum dma_data_direction dir, int *error)
{
	struct pviommu_slot *slot;
	unsigned int tries;

	slot = pviommu_arena_try(pd, lim, sgl, nents, phys, off, len, dir, error);
	if (slot || *error != -ENOMEM)
		return slot;
	/* Requests are done one after another, so a second one is behind others' */
	for (tries = 0; tries < 3 && *error == -ENOMEM; tries++) {
		bool all = pviommu_try_flush_all(pd->host);

		slot = pviommu_arena_try(pd, lim, sgl, nents, phys, off, len, dir,
					 error);
		if (all)
			break;
	}
	return slot;
}

/* The host did not do what it was asked to: the data of that buffer is lost */
static noinline void pviommu_arena_lost(struct pviommu_dev *pd, const char *what,
					u64 dma, int error)
{
	this_cpu_inc(pd->stats->failures);
	trace_pviommu_fail(pd->rid, 0, error);
	dev_err_ratelimited(pd->dev, "pv_iommu: host failed to %s %#llx: error %d; the data is lost\n",
			    what, dma, error);
}

/**
 * pviommu_arena_unmap - give a block back
 * @pd: the device
 * @slot: from pviommu_arena_map()
 * @copy_back: whether the host has to copy the data to the caller first
 *
 * One exit if so; if not, the request is queued.
 */
void pviommu_arena_unmap(struct pviommu_dev *pd, struct pviommu_slot *slot,
			 bool copy_back)
{
	u64 dma = pviommu_slot_dma(&pd->host->arena, slot);
	int ret;

	/* Before the host is told: it may give the block to another CPU at once */
	WRITE_ONCE(slot->state, PVIOMMU_SLOT_FREE);

	if (!copy_back) {
		if (pviommu_queue_unmap(pd->host, pd->rid, dma)) {
			this_cpu_inc(pd->stats->hypercalls);
			this_cpu_inc(pd->stats->hypercalls_unmap);
		}
		return;
	}

	this_cpu_inc(pd->stats->hypercalls);
	this_cpu_inc(pd->stats->hypercalls_unmap);
	ret = pviommu_request(pd->host, PV_IOMMU_OP_UNMAP, pd->rid,
			      PV_IOMMU_DIR_FROM_DEVICE, dma, 0, 0);
	if (ret)
		pviommu_arena_lost(pd, "unmap", dma, ret);
}

/**
 * pviommu_arena_sync - have the host copy a part of a block
 * @pd: the device
 * @slot: from pviommu_arena_map()
 * @start: bytes from the start of the block
 * @end: the same
 * @to_device: which way
 */
void pviommu_arena_sync(struct pviommu_dev *pd, struct pviommu_slot *slot,
			u32 start, u32 end, bool to_device)
{
	u64 dma = pviommu_slot_dma(&pd->host->arena, slot);
	int ret;

	this_cpu_inc(pd->stats->hypercalls);
	ret = pviommu_request(pd->host, PV_IOMMU_OP_SYNC, pd->rid, to_device ?
			      PV_IOMMU_DIR_TO_DEVICE : PV_IOMMU_DIR_FROM_DEVICE,
			      dma, start, end - start);
	if (ret)
		pviommu_arena_lost(pd, "sync", dma, ret);
}
