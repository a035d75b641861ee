/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What swiotlb includes beyond what the module does. Its pool is guest RAM; devices
 * see physical addresses, and all bounce, as with swiotlb=force.
 */
#ifndef _SHIM_SWIOTLB_H
#define _SHIM_SWIOTLB_H

#include <ctype.h>

#include "kernel.h"

#define CONFIG_SWIOTLB		1
#define early_param(name, fn)						\
	static int (*const __shim_param_##fn)(char *str) __maybe_unused = fn
#define simple_strtoul(s, e, b)	strtoul(s, e, b)
#define late_initcall(fn)						\
	static int (*const __shim_init_##fn)(void) __maybe_unused = fn
#define kmsan_unpoison_memory(p, n)	do { } while (0)
#define set_memory_decrypted(a, n)	do { } while (0)
#define set_memory_encrypted(a, n)	do { } while (0)
#define trace_swiotlb_bounced(...)	do { } while (0)
#define dev_is_dma_coherent(d)	true
#define arch_sync_dma_for_device(p, n, d)	do { } while (0)
#define phys_to_dma(d, p)	((dma_addr_t)(p))
#define phys_to_dma_unencrypted(d, p)	((dma_addr_t)(p))
#define dma_to_phys(d, a)	((phys_addr_t)(a))
#define SWIOTLB_IO_TLB_DEBUG	0
#define DEFINE_DEBUGFS_ATTRIBUTE(n, g, s, f)				\
	static const struct file_operations n __maybe_unused
#define debugfs_create_file_unsafe(n, m, d, p, f)	do { } while (0)
#define __GFP_DIRECT_RECLAIM	0
#define MAX_ORDER		11
#define pr_warn_ratelimited	pr_warn

static inline void *memblock_alloc(size_t size, size_t align)
{
	struct page *page = shim_alloc_pages(GFP_ATOMIC | __GFP_ZERO,
					     roundup_pow_of_two(PFN_UP(size)));

	return page ? page_address(page) : NULL;
}

#define memblock_alloc_low(s, a)	memblock_alloc(s, a)
#define memblock_free(p, n)						\
	shim_free_pages(virt_to_page(p), roundup_pow_of_two(PFN_UP(n)))
#define memblock_free_late(p, n)	memblock_free(phys_to_virt(p), n)
#define __phys_to_pfn(p)	PHYS_PFN(p)

static inline bool dma_capable(struct device *dev, dma_addr_t addr, size_t size,
			       bool is_ram)
{
	return dev->dma_mask &&
	       addr + size - 1 <= min_not_zero(*dev->dma_mask, dev->bus_dma_limit);
}

#endif /* _SHIM_SWIOTLB_H */
