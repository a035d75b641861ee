/* SPDX-License-Identifier: GPL-2.0 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM pv_iommu

#if !defined(_PVIOMMU_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _PVIOMMU_TRACE_H

#include <linux/tracepoint.h>

/* A PCI requester ID as the rest of the kernel prints it, without the domain */
#define PVIOMMU_RID_FMT		"%02x:%02x.%x"
#define PVIOMMU_RID_ARG(rid)	(rid) >> 8, ((rid) >> 3) & 0x1f, (rid) & 7

DECLARE_EVENT_CLASS(pviommu_mapping,
	TP_PROTO(u16 rid, dma_addr_t dma, size_t size, int nsegs,
		 int dir),
	TP_ARGS(rid, dma, size, nsegs, dir),
	TP_STRUCT__entry(
		__field(u16, rid)
		__field(u64, dma)
		__field(size_t, size)
		__field(int, nsegs)
		__field(int, dir)
	),
	TP_fast_assign(
		__entry->rid = rid;
		__entry->dma = dma;
		__entry->size = size;
		__entry->nsegs = nsegs;
		__entry->dir = dir;
	),
	TP_printk("rid=" PVIOMMU_RID_FMT " dma=%#llx size=%zu nsegs=%d dir=%d",
		  PVIOMMU_RID_ARG(__entry->rid), __entry->dma, __entry->size, __entry->nsegs, __entry->dir)
);

/*
 * @size: bytes of data, 0 where a list is unmapped; @nsegs: DMA segments, and where a
 * list is unmapped, its entries; 0 for a single mapping
 */
DEFINE_EVENT(pviommu_mapping, pviommu_map,
	TP_PROTO(u16 rid, dma_addr_t dma, size_t size, int nsegs, int dir),
	TP_ARGS(rid, dma, size, nsegs, dir));

DEFINE_EVENT(pviommu_mapping, pviommu_unmap,
	TP_PROTO(u16 rid, dma_addr_t dma, size_t size, int nsegs, int dir),
	TP_ARGS(rid, dma, size, nsegs, dir));

/* @dir: which way the sync copied */
DEFINE_EVENT(pviommu_mapping, pviommu_sync,
	TP_PROTO(u16 rid, dma_addr_t dma, size_t size, int nsegs, int dir),
	TP_ARGS(rid, dma, size, nsegs, dir));

/* A mapping or an allocation was refused; @error says why */
TRACE_EVENT(pviommu_fail,
	TP_PROTO(u16 rid, size_t size, int error),
	TP_ARGS(rid, size, error),
	TP_STRUCT__entry(
		__field(u16, rid)
		__field(size_t, size)
		__field(int, error)
	),
	TP_fast_assign(
		__entry->rid = rid;
		__entry->size = size;
		__entry->error = error;
	),
	TP_printk("rid=" PVIOMMU_RID_FMT " size=%zu error=%d",
		  PVIOMMU_RID_ARG(__entry->rid), __entry->size, __entry->error)
);

DECLARE_EVENT_CLASS(pviommu_chunks,
	TP_PROTO(u32 domain, unsigned long first, unsigned long count, int error),
	TP_ARGS(domain, first, count, error),
	TP_STRUCT__entry(
		__field(u32, domain)
		__field(unsigned long, first)
		__field(unsigned long, count)
		__field(int, error)
	),
	TP_fast_assign(
		__entry->domain = domain;
		__entry->first = first;
		__entry->count = count;
		__entry->error = error;
	),
	TP_printk("domain=%u first=%lu count=%lu error=%d", __entry->domain,
		  __entry->first, __entry->count, __entry->error)
);

/* Chunks from @first on were granted to @domain, or refused */
DEFINE_EVENT(pviommu_chunks, pviommu_grant,
	TP_PROTO(u32 domain, unsigned long first, unsigned long count, int error),
	TP_ARGS(domain, first, count, error));

/* @count chunks were given back, the lowest of them @first */
DEFINE_EVENT(pviommu_chunks, pviommu_revoke,
	TP_PROTO(u32 domain, unsigned long first, unsigned long count, int error),
	TP_ARGS(domain, first, count, error));

/* One VM exit; @unmaps rode along */
TRACE_EVENT(pviommu_request,
	TP_PROTO(u16 opcode, u16 rid, unsigned int unmaps, u32 status),
	TP_ARGS(opcode, rid, unmaps, status),
	TP_STRUCT__entry(
		__field(u16, opcode)
		__field(u16, rid)
		__field(unsigned int, unmaps)
		__field(u32, status)
	),
	TP_fast_assign(
		__entry->opcode = opcode;
		__entry->rid = rid;
		__entry->unmaps = unmaps;
		__entry->status = status;
	),
	TP_printk("opcode=%u rid=" PVIOMMU_RID_FMT " unmaps=%u status=%u",
		  __entry->opcode, PVIOMMU_RID_ARG(__entry->rid),
		  __entry->unmaps, __entry->status)
);

#endif /* _PVIOMMU_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
