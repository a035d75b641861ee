// SPDX-License-Identifier: GPL-2.0
/*
 * pv-iommu: requests to the host
 *
 * Every CPU has a request block of its own, so that submission takes no shared
 * lock. A request is one VM exit: when the doorbell write returns, the answer
 * stands in the block.
 *
 * An unmap that copies nothing back needs no answer. It is queued in its CPU's
 * block and rides with that CPU's next request; a full block or a timer sends
 * what is queued.
 */
#include <linux/delay.h>
#include <linux/gfp.h>
#include <linux/io.h>

#include "pviommu.h"
#include "compat/workqueue.h"
#include "trace.h"

/* How long an unmap may stay queued: until then the host holds its memory */
#define PVIOMMU_FLUSH_DELAY	msecs_to_jiffies(10)

static int pviommu_errno(u32 status)
{
	switch (status) {
	case PV_IOMMU_S_OK:
		return 0;
	case PV_IOMMU_S_NOSPC:
		return -ENOMEM;
	case PV_IOMMU_S_NODEV:
		return -ENODEV;
	case PV_IOMMU_S_STATE:
		return -EBUSY;
	case PV_IOMMU_S_RANGE:
		return -EFAULT;
	case PV_IOMMU_S_HANDLE:
		return -ENOENT;
	case PV_IOMMU_S_UNSUPP:
	case PV_IOMMU_S_OPCODE:
		return -EOPNOTSUPP;
	case PV_IOMMU_S_INVAL:
		return -EINVAL;
	case PV_IOMMU_S_DOMAIN:
		return -EXDEV;
	case PV_IOMMU_S_CHUNK:
	case PV_IOMMU_S_PAGE:
		return -EEXIST;
	case PV_IOMMU_S_LIMIT:
		return -ENOSPC;
	default:
		return -EIO;
	}
}

/**
 * pviommu_req_clear - make a block ready for a request
 * @req: the block
 * @opcode: PV_IOMMU_OP_*
 * @rid: PCI requester ID of the device it is for
 *
 * Context: the channel that it belongs to is locked.
 */
void pviommu_req_clear(struct pv_iommu_req *req, u16 opcode, u16 rid)
{
	memset(req, 0, offsetof(struct pv_iommu_req, segs));
	req->opcode = cpu_to_le16(opcode);
	req->rid = cpu_to_le16(rid);
}

/**
 * pviommu_req_begin - start a request on this CPU
 * @host: the host device
 * @opcode: PV_IOMMU_OP_*
 * @rid: PCI requester ID of the device it is for
 * @flags: where the interrupt state goes
 *
 * Context: any but NMI. Returns with IRQs off and the channel locked, until
 * pviommu_req_end().
 * Return: the channel, its request cleared but for @opcode and @rid.
 */
struct pviommu_channel *pviommu_req_begin(struct pviommu_host *host, u16 opcode,
					  u16 rid, unsigned long *flags)
	__acquires(pviommu_channel)
{
	struct pviommu_channel *ch;
	unsigned long irq;

	local_irq_save(irq);
	ch = this_cpu_ptr(host->channel);
	raw_spin_lock(&ch->lock);
	*flags = irq;
	pviommu_req_clear(ch->req, opcode, rid);
	return ch;
}

/**
 * pviommu_req_ring - hand a request to the host, with the unmaps queued so far
 * @host: the host device
 * @ch: from pviommu_req_begin()
 *
 * Context: between pviommu_req_begin() and pviommu_req_end().
 * Return: 0, or the errno that stands for the host's status; -ENOMEM when the
 * arena is full, -EIO when there was no answer at all, or a revoke was refused.
 */
int pviommu_req_ring(struct pviommu_host *host, struct pviommu_channel *ch)
{
	struct pv_iommu_req *req = ch->req;
	u32 status;
	int ret;

	req->nr_unmaps = cpu_to_le16(ch->nr_unmaps);
	req->unmap_errors = 0;
	WRITE_ONCE(req->status, cpu_to_le32(PV_IOMMU_S_NONE));

	/* Orders the block's contents before it; the host answers inside it */
	iowrite32(virt_to_phys(req) >> PV_IOMMU_REQ_SHIFT, host->doorbell);

	status = le32_to_cpu(READ_ONCE(req->status));
	ch->lost += le32_to_cpu(READ_ONCE(req->unmap_errors));
	ret = pviommu_errno(status);
	ch->kept = !ret && READ_ONCE(req->revoke_errors);
	ch->requests++;
	trace_pviommu_request(le16_to_cpu(req->opcode), le16_to_cpu(req->rid),
			      ch->nr_unmaps, status);
	ch->nr_unmaps = 0;
	return ch->kept ? -EIO : ret;
}

/**
 * pviommu_req_revoke - chunks are revoked with the request
 * @ch: from pviommu_req_begin()
 * @domain: the domain that has them
 * @chunk: the chunks, in ascending order
 * @nr: how many; at most PV_IOMMU_MAX_REVOKES
 *
 * Nothing is read from the block again: the host may write there at any time.
 *
 * Context: between pviommu_req_begin() and pviommu_req_ring().
 */
void pviommu_req_revoke(struct pviommu_channel *ch, u32 domain, const u32 *chunk,
			unsigned int nr)
{
	struct pv_iommu_req *req = ch->req;
	unsigned int i, n = 0;

	for (i = 0; i < nr; i++) {
		struct pviommu_run *run = &ch->revokes[n];

		/* The one before may go on here */
		if (n && run[-1].first + run[-1].count == chunk[i]) {
			run[-1].count++;
			continue;
		}
		run->first = chunk[i];
		run->count = 1;
		n++;
	}
	for (i = 0; i < n; i++)
		req->revokes[i] = (struct pv_iommu_revoke) {
			.domain = cpu_to_le32(domain),
			.first = cpu_to_le32(ch->revokes[i].first),
			.count = cpu_to_le32(ch->revokes[i].count),
		};
	req->nr_revokes = cpu_to_le16(n);
}

/**
 * pviommu_req_end - give the channel free
 * @host: the host device
 * @ch: from pviommu_req_begin()
 * @flags: from there
 *
 * What there is to be said is said then, and not before: the console may be a
 * network card's, which maps what it sends by this very channel.
 */
void pviommu_req_end(struct pviommu_host *host, struct pviommu_channel *ch,
		     unsigned long flags)
	__releases(pviommu_channel)
{
	u32 lost = ch->lost;

	ch->lost = 0;
	raw_spin_unlock_irqrestore(&ch->lock, flags);
	if (unlikely(lost))
		dev_warn_ratelimited(&host->pdev->dev, "host refused %u of the unmaps\n",
				     lost);
}

/**
 * pviommu_request - a request that takes no scatterlist
 * @host: the host device
 * @call: what it says; its answers, which are not to be trusted
 *
 * Context: any but NMI.
 * Return: see pviommu_req_ring().
 */
int pviommu_request(struct pviommu_host *host, struct pviommu_call *call)
{
	struct pviommu_channel *ch;
	struct pv_iommu_req *req;
	unsigned long flags;
	int ret;

	ch = pviommu_req_begin(host, call->opcode, call->rid, &flags);
	req = ch->req;
	req->flags = cpu_to_le32(call->flags);
	req->dma_addr = cpu_to_le64(call->dma_addr);
	req->offset = cpu_to_le64(call->offset);
	req->length = cpu_to_le64(call->length);
	req->domain = cpu_to_le32(call->domain);
	req->first = cpu_to_le32(call->first);
	req->count = cpu_to_le32(call->count);
	ret = pviommu_req_ring(host, ch);
	call->group = le32_to_cpu(READ_ONCE(req->group));
	pviommu_req_end(host, ch, flags);
	return ret;
}

/**
 * pviommu_queue_unmap - unmap without an answer, some time soon
 * @host: the host device
 * @rid: PCI requester ID
 * @dma_addr: start of the mapping
 *
 * Context: any but NMI.
 * Return: whether this one made the queue full and was sent at once.
 */
bool pviommu_queue_unmap(struct pviommu_host *host, u16 rid, u64 dma_addr)
{
	struct pviommu_channel *ch;
	struct pv_iommu_unmap *u;
	unsigned long flags;
	bool sent = false;

	local_irq_save(flags);
	ch = this_cpu_ptr(host->channel);
	raw_spin_lock(&ch->lock);

	u = &ch->req->unmaps[ch->nr_unmaps++];
	memset(u, 0, sizeof(*u));
	u->dma_addr = cpu_to_le64(dma_addr);
	u->rid = cpu_to_le16(rid);

	if (ch->nr_unmaps == PV_IOMMU_MAX_UNMAPS) {
		pviommu_req_clear(ch->req, PV_IOMMU_OP_NOP, 0);
		pviommu_req_ring(host, ch);
		sent = true;
	} else if (ch->nr_unmaps == 1) {
		queue_delayed_work(system_percpu_wq, &host->flush, PVIOMMU_FLUSH_DELAY);
	}
	pviommu_req_end(host, ch, flags);
	return sent;
}

/* Send what is queued in this CPU's channel, which is locked */
static void pviommu_send_queue(struct pviommu_host *host, struct pviommu_channel *own)
{
	if (own->nr_unmaps) {
		pviommu_req_clear(own->req, PV_IOMMU_OP_NOP, 0);
		pviommu_req_ring(host, own);
	}
}

/*
 * Move another CPU's queue to this one's, which is locked and empty. False if it is in
 * use just now: its CPU may be in the host.
 */
static bool pviommu_take_queue(struct pviommu_channel *own, struct pviommu_channel *ch)
{
	unsigned int i;

	if (!raw_spin_trylock(&ch->lock))
		return false;
	for (i = 0; i < ch->nr_unmaps; i++)
		own->req->unmaps[i] = ch->req->unmaps[i];
	own->nr_unmaps = i;
	ch->nr_unmaps = 0;
	raw_spin_unlock(&ch->lock);
	return true;
}

/*
 * Send a CPU's queued unmaps; false if its channel is in use just now. They are sent by
 * this CPU's channel: the other's would be locked as long as this one is in the host,
 * and its own CPU, which wants it with IRQs off, would spin.
 */
static bool pviommu_try_flush(struct pviommu_host *host, struct pviommu_channel *ch)
{
	struct pviommu_channel *own;
	unsigned long flags;
	bool taken = true;

	local_irq_save(flags);
	own = this_cpu_ptr(host->channel);
	raw_spin_lock(&own->lock);
	pviommu_send_queue(host, own);
	if (ch != own) {
		taken = pviommu_take_queue(own, ch);
		pviommu_send_queue(host, own);
	}
	pviommu_req_end(host, own, flags);
	return taken;
}

/**
 * pviommu_try_flush_all - send the queued unmaps that can be sent at once
 * @host: the host device
 *
 * A channel that is in use is left alone. Its CPU may be in the host, which may
 * take long, and takes its queue along; to wait for it here would be to spin with
 * IRQs off.
 *
 * Context: any but NMI.
 * Return: whether none was left alone.
 */
bool pviommu_try_flush_all(struct pviommu_host *host)
{
	unsigned int cpu, pass;
	bool all;

	/* Once more, for what another CPU had taken along, and has not sent yet */
	for (pass = 0; pass < 2; pass++) {
		all = true;
		for_each_possible_cpu(cpu)
			all &= pviommu_try_flush(host, per_cpu_ptr(host->channel, cpu));
	}
	return all;
}

/**
 * pviommu_flush - send all CPUs' queued unmaps
 * @host: the host device
 *
 * Context: process; sleeps.
 */
void pviommu_flush(struct pviommu_host *host)
{
	unsigned int cpu, pass;

	/* Twice, as above */
	for (pass = 0; pass < 2; pass++) {
		for_each_possible_cpu(cpu) {
			while (!pviommu_try_flush(host, per_cpu_ptr(host->channel, cpu)))
				usleep_range(20, 100);
		}
	}
}

static void pviommu_flush_work(struct work_struct *work)
{
	struct pviommu_host *host = container_of(to_delayed_work(work),
						 struct pviommu_host, flush);

	if (!pviommu_try_flush_all(host))
		queue_delayed_work(system_percpu_wq, &host->flush, PVIOMMU_FLUSH_DELAY);
}

/**
 * pviommu_hypercalls - how often the doorbell was rung
 * @host: the host device
 *
 * Return: a snapshot of the sum over all CPUs.
 */
u64 pviommu_hypercalls(struct pviommu_host *host)
{
	unsigned int cpu;
	u64 sum = 0;

	for_each_possible_cpu(cpu)
		sum += pviommu_counted(per_cpu_ptr(host->channel, cpu)->requests);
	return sum;
}

/**
 * pviommu_channels_init - give every CPU its request block
 * @host: the host device
 *
 * Context: process; sleeps.
 * Return: 0 or -ENOMEM.
 */
int pviommu_channels_init(struct pviommu_host *host)
{
	unsigned int cpu;

	BUILD_BUG_ON(sizeof(struct pv_iommu_req) != PV_IOMMU_REQ_SIZE);
	BUILD_BUG_ON(PV_IOMMU_REQ_SIZE > PAGE_SIZE);

	INIT_DELAYED_WORK(&host->flush, pviommu_flush_work);
	host->channel = alloc_percpu(struct pviommu_channel);
	if (!host->channel)
		return -ENOMEM;

	for_each_possible_cpu(cpu) {
		struct pviommu_channel *ch = per_cpu_ptr(host->channel, cpu);

		raw_spin_lock_init(&ch->lock);
		ch->req = (void *)get_zeroed_page(GFP_KERNEL);
		if (!ch->req)
			goto err;
		/* The doorbell takes 32 bits of frame number */
		if (virt_to_phys(ch->req) >> PV_IOMMU_REQ_SHIFT > U32_MAX)
			goto err;
	}
	return 0;
err:
	pviommu_channels_exit(host);
	return -ENOMEM;
}

void pviommu_channels_exit(struct pviommu_host *host)
{
	unsigned int cpu;

	cancel_delayed_work_sync(&host->flush);
	for_each_possible_cpu(cpu)
		free_page((unsigned long)per_cpu_ptr(host->channel, cpu)->req);
	free_percpu(host->channel);
	host->channel = NULL;
}
