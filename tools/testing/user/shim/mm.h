/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel's headers in user space: memory.
 *
 * Guest-physical memory is one range of this process's addresses, so that
 * physical and kernel addresses differ by a constant; guest RAM lies at its
 * start, and the window where the host says. Small allocations are malloc()'s,
 * where a sanitizer sees their ends.
 */
#ifndef _SHIM_MM_H
#define _SHIM_MM_H

#include "sync.h"

#define PAGE_SHIFT		12
#define PAGE_SIZE		(1UL << PAGE_SHIFT)
#define PAGE_MASK		(~(PAGE_SIZE - 1))
#define PAGE_ALIGN(x)		ALIGN(x, PAGE_SIZE)
#define PAGE_ALIGNED(x)		IS_ALIGNED((unsigned long)(x), PAGE_SIZE)
#define PFN_UP(x)		(((x) + PAGE_SIZE - 1) >> PAGE_SHIFT)
#define PFN_DOWN(x)		((x) >> PAGE_SHIFT)
#define PFN_PHYS(x)		((phys_addr_t)(x) << PAGE_SHIFT)
#define PHYS_PFN(x)		((unsigned long)((x) >> PAGE_SHIFT))
#define offset_in_page(p)	((unsigned long)(p) & ~PAGE_MASK)
#define get_order(size)		((int)order_base_2(PFN_UP((u64)(size))))
#define pfn_t			unsigned long

/* Where the kernel has its physical memory, and how much of it there may be */
#define SHIM_MEMORY_SIZE	(8UL << 30)
extern unsigned char *shim_memory;
extern unsigned long shim_ram_size;
#define totalram_pages()	PHYS_PFN(shim_ram_size)

#define phys_to_virt(p)		((void *)(shim_memory + (p)))
#define virt_to_phys(v)		((phys_addr_t)((unsigned char *)(v) - shim_memory))
#define __pa(v)			virt_to_phys(v)
#define __va(p)			phys_to_virt(p)

/**
 * struct page - what is known of a page frame
 * @flags: SHIM_PG_*
 * @pgmap: of device memory
 * @order: of the first page of an allocation: its size
 */
struct page {
	unsigned int flags;
	unsigned int order;
	struct dev_pagemap *pgmap;
};

#define SHIM_PG_RAM		1	/* exists at all */
#define SHIM_PG_DEVICE		2	/* ZONE_DEVICE */
#define SHIM_PG_P2P		4	/* memory of a device, peer to peer */
#define SHIM_PG_USED		8	/* allocated */

extern struct page *shim_pages;
#define pfn_to_page(pfn)	(&shim_pages[pfn])
#define page_to_pfn(p)		((unsigned long)((p) - shim_pages))
#define page_to_phys(p)		PFN_PHYS(page_to_pfn(p))
#define phys_to_page(p)		pfn_to_page(PHYS_PFN(p))
#define virt_to_page(v)		phys_to_page(virt_to_phys(v))
#define page_address(p)		phys_to_virt(page_to_phys(p))
#define page_to_virt(p)		page_address(p)
#define is_zone_device_page(p)	(((p)->flags & SHIM_PG_DEVICE) != 0)
#define is_pci_p2pdma_page(p)	(((p)->flags & SHIM_PG_P2P) != 0)
#define pfn_valid(pfn)							\
	((pfn) < SHIM_MEMORY_SIZE >> PAGE_SHIFT && shim_pages[pfn].flags)
#define PageHighMem(p)		false
#define page_ref_count(p)	1

#define GFP_KERNEL		0x01u
#define GFP_ATOMIC		0x02u
#define GFP_NOWAIT		0x04u
#define __GFP_NOWARN		0x08u
#define __GFP_ZERO		0x10u
#define __GFP_NORETRY		0x20u
#define __GFP_DMA		0x40u
#define __GFP_DMA32		0x80u
#define __GFP_HIGHMEM		0x100u
#define __GFP_COMP		0x200u
#define __GFP_RETRY_MAYFAIL	0x400u
#define __GFP_ACCOUNT		0x800u
#define GFP_DMA			__GFP_DMA
#define GFP_DMA32		__GFP_DMA32
#define gfpflags_allow_blocking(g)	(((g) & GFP_KERNEL) != 0)

void *shim_kmalloc(size_t size, gfp_t gfp, const char *file, int line);
void kfree(const void *p);
#define kmalloc(s, g)		shim_kmalloc(s, g, __FILE__, __LINE__)
#define kzalloc(s, g)		kmalloc(s, (g) | __GFP_ZERO)
#define kcalloc(n, s, g)	kzalloc(size_mul(n, s), g)
#define kmalloc_array(n, s, g)	kmalloc(size_mul(n, s), g)
#define kvcalloc(n, s, g)	kcalloc(n, s, g)
#define kvzalloc(s, g)		kzalloc(s, g)
#define kvmalloc(s, g)		kmalloc(s, g)
#define kvmalloc_array(n, s, g)	kmalloc_array(n, s, g)
#define vzalloc(s)		kzalloc(s, GFP_KERNEL)
#define vmalloc(s)		kmalloc(s, GFP_KERNEL)
#define vfree(p)		kfree(p)
#define kvfree(p)		kfree(p)
#define kfree_rcu(p, m)		kfree(p)
#define kfree_sensitive(p)	kfree(p)
#define bitmap_zalloc(n, g)	((unsigned long *)kcalloc(BITS_TO_LONGS(n), sizeof(long), g))
#define bitmap_alloc(n, g)	bitmap_zalloc(n, g)
#define bitmap_free(p)		kfree(p)
char *kasprintf(gfp_t gfp, const char *fmt, ...) __printf(2, 3);
char *kstrdup(const char *s, gfp_t gfp);
void *kmemdup(const void *p, size_t size, gfp_t gfp);

/* Pages are guest RAM: they have physical addresses that the host sees */
struct page *shim_alloc_pages(gfp_t gfp, unsigned long npages);
void shim_free_pages(struct page *page, unsigned long npages);
#define alloc_pages(g, o)	shim_alloc_pages(g, 1UL << (o))
#define alloc_page(g)		shim_alloc_pages(g, 1)
#define __free_pages(p, o)	shim_free_pages(p, 1UL << (o))
#define __free_page(p)		shim_free_pages(p, 1)
unsigned long __get_free_pages(gfp_t gfp, unsigned int order);
void free_pages(unsigned long addr, unsigned int order);
#define get_zeroed_page(g)	__get_free_pages((g) | __GFP_ZERO, 0)
#define __get_free_page(g)	__get_free_pages(g, 0)
#define free_page(a)		free_pages(a, 0)

#define memcpy_from_page(to, page, off, n)				\
	memcpy(to, (char *)page_address(page) + (off), n)
#define memcpy_to_page(page, off, from, n)				\
	memcpy((char *)page_address(page) + (off), from, n)
#define kmap_local_page(p)	page_address(p)
#define kunmap_local(p)		((void)(p))
#define kmap_atomic(p)		page_address(p)
#define kunmap_atomic(p)	((void)(p))
#define clear_page(p)		memset(p, 0, PAGE_SIZE)
#define memzero_explicit(p, n)	memset(p, 0, n)
#define prefetch(p)		__builtin_prefetch(p)
#define prefetchw(p)		__builtin_prefetch(p, 1)

/* ---- memory that is a device's ---- */

struct range {
	u64 start;
	u64 end;
};

enum memory_type { MEMORY_DEVICE_PRIVATE = 1, MEMORY_DEVICE_FS_DAX, MEMORY_DEVICE_GENERIC };

struct dev_pagemap {
	enum memory_type type;
	int nr_range;
	struct range range;
	unsigned int flags;
	const void *ops;
	void *owner;
};

void *memremap_pages(struct dev_pagemap *pgmap, int nid);
void memunmap_pages(struct dev_pagemap *pgmap);
#define IORESOURCE_MEM		0x200
#define IORESOURCE_SYSTEM_RAM	0x01000200
#define IORESOURCE_UNSET	0x20000000
#define IORESOURCE_BUSY		0x80000000
enum { IORES_DESC_NONE };
enum { REGION_INTERSECTS, REGION_DISJOINT, REGION_MIXED };
int region_intersects(u64 start, size_t size, unsigned long flags, unsigned long desc);
struct resource {
	u64 start, end;
	const char *name;
	unsigned long flags;
};

struct resource *request_mem_region(u64 start, u64 n, const char *name);
void release_mem_region(u64 start, u64 n);
#define max_pfn			(shim_ram_size >> PAGE_SHIFT)

/* ---- mappings to user space are none here ---- */

typedef struct { unsigned long v; } pgprot_t;
struct vm_area_struct {
	unsigned long vm_start;
	unsigned long vm_end;
	unsigned long vm_pgoff;
	pgprot_t vm_page_prot;
};

#define vma_pages(v)		(((v)->vm_end - (v)->vm_start) >> PAGE_SHIFT)
static inline int remap_pfn_range(struct vm_area_struct *vma, unsigned long addr,
				  unsigned long pfn, unsigned long size, pgprot_t prot)
{
	return pfn_valid(pfn) && pfn_valid(pfn + (size >> PAGE_SHIFT) - 1) ? 0 : -EINVAL;
}

#define remap_vmalloc_range(v, a, p)	(-EINVAL)

struct shrink_control {
	unsigned long nr_to_scan;
	unsigned long nr_scanned;
};

#endif /* _SHIM_MM_H */
