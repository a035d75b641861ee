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
 * Ask the host for a block. The answer is checked: what the host says may cost it its
 * own data, but not the guest its memory.
 */
static bool pviommu_arena_try(struct pviommu_map *m)
{
	struct pviommu_host *host = m->pd->host;
	struct pviommu_layout l = { .pos = m->off, .seg = m->off };
	u64 align = max_t(u64, roundup_pow_of_two(m->len) - 1,
			  max_t(u64, m->lim.align_mask, PV_IOMMU_GRANULE - 1));
	struct pviommu_slot *slot = NULL;
	struct pviommu_channel *ch;
	struct pv_iommu_req *req;
	struct scatterlist *sg;
	unsigned int i, n = 0;
	unsigned long flags;
	u64 dma;

	ch = pviommu_req_begin(host, PV_IOMMU_OP_MAP, m->pd->rid, &flags);
	req = ch->req;
	req->flags = cpu_to_le32(pviommu_dir_flags(m->dir));
	req->length = cpu_to_le64(m->len);
	req->dma_limit = cpu_to_le64(m->lim.dma_limit);
	req->align_mask = cpu_to_le64(align);
	req->boundary_mask = cpu_to_le64(m->lim.boundary_mask);
	if (m->sgl) {
		for_each_sg(m->sgl, sg, m->nents, i) {
			if (unlikely(!sg->length))
				continue;
			pviommu_place(&l, &m->lim, sg_phys(sg), sg->length, !n);
			req->segs[n].addr = cpu_to_le64(sg_phys(sg));
			req->segs[n].len = cpu_to_le32(sg->length);
			req->segs[n].pos = cpu_to_le32(l.pos);
			l.pos += sg->length;
			n++;
		}
	} else {
		req->segs[n].addr = cpu_to_le64(m->phys);
		req->segs[n].len = cpu_to_le32(m->len - m->off);
		req->segs[n].pos = cpu_to_le32(m->off);
		n++;
	}
	req->nr_segs = cpu_to_le16(n);

	this_cpu_inc(m->pd->stats->hypercalls);
	this_cpu_inc(m->pd->stats->hypercalls_map);
	m->error = pviommu_req_ring(host, ch);
	dma = le64_to_cpu(READ_ONCE(req->dma_addr));
	pviommu_req_end(host, ch, flags);
	if (m->error)
		return false;

	if (!(dma & align) && dma + m->len - 1 <= m->lim.dma_limit &&
	    dma >= pviommu_page_dma(&host->arena, host->low.npages) &&
	    pviommu_slot_at(&host->arena, dma + m->len - 1))
		slot = pviommu_slot_at(&host->arena, dma);
	if (!slot || READ_ONCE(slot->state) != PVIOMMU_SLOT_FREE) {
		dev_err_ratelimited(&host->pdev->dev, "host mapped %zu bytes at %#llx, where they cannot be\n",
				    m->len, dma);
		m->error = -EIO;
		return false;
	}
	WRITE_ONCE(slot->order, order_base_2(PFN_UP(m->len)));
	m->slot = slot;
	m->page = pviommu_page_at(&host->arena, dma);
	return true;
}

/**
 * pviommu_arena_map - have the host reserve a block and copy data into it
 * @m: what is mapped: at most PV_IOMMU_MAX_SEGS entries that are not empty
 *
 * Return: whether @m->slot and @m->page are there, or else @m->error. -ENOMEM when the
 * arena is full, and not before all that CPUs have queued to be freed has been.
 */
bool pviommu_arena_map(struct pviommu_map *m)
{
	unsigned int tries;

	if (pviommu_arena_try(m))
		return true;
	/* Requests are done one after another, so a second one is behind others' */
	for (tries = 0; tries < 3 && m->error == -ENOMEM; tries++) {
		bool all = pviommu_try_flush_all(m->pd->host);

		if (pviommu_arena_try(m))
			return true;
		if (all)
			break;
	}
	return false;
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
 * @page: from there
 * @copy_back: whether the host has to copy the data to the caller first
 *
 * One exit if so; if not, the request is queued.
 */
void pviommu_arena_unmap(struct pviommu_dev *pd, struct pviommu_slot *slot,
			 unsigned long page, bool copy_back)
{
	u64 dma = pviommu_page_dma(&pd->host->arena, page);
	struct pviommu_call call = {
		.opcode = PV_IOMMU_OP_UNMAP,
		.rid = pd->rid,
		.flags = PV_IOMMU_DIR_FROM_DEVICE,
		.dma_addr = dma,
	};
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
	ret = pviommu_request(pd->host, &call);
	if (ret)
		pviommu_arena_lost(pd, "unmap", dma, ret);
}

/**
 * pviommu_arena_sync - have the host copy a part of a block
 * @pd: the device
 * @page: from pviommu_arena_map()
 * @start: bytes from the start of the block
 * @end: the same
 * @to_device: which way
 */
void pviommu_arena_sync(struct pviommu_dev *pd, unsigned long page, u32 start,
			u32 end, bool to_device)
{
	u64 dma = pviommu_page_dma(&pd->host->arena, page);
	struct pviommu_call call = {
		.opcode = PV_IOMMU_OP_SYNC,
		.rid = pd->rid,
		.flags = to_device ? PV_IOMMU_DIR_TO_DEVICE : PV_IOMMU_DIR_FROM_DEVICE,
		.dma_addr = dma,
		.offset = start,
		.length = end - start,
	};
	int ret;

	this_cpu_inc(pd->stats->hypercalls);
	ret = pviommu_request(pd->host, &call);
	if (ret)
		pviommu_arena_lost(pd, "sync", dma, ret);
}
