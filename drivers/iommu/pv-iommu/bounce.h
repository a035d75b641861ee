/* SPDX-License-Identifier: GPL-2.0 */
/*
 * pv-iommu: streaming DMA: how a list is laid out in its block, and the
 * callbacks, once for window mode and once for bounce mode. They are what
 * struct dma_map_ops documents: any context but NMI, they do not sleep. In the
 * steady state they take no shared lock and allocate nothing; a map that finds no
 * room may have a chunk granted.
 */
#ifndef _PVIOMMU_BOUNCE_H
#define _PVIOMMU_BOUNCE_H

#include <linux/align.h>
#include <linux/dma-direction.h>
#include <linux/mm.h>
#include <linux/scatterlist.h>
#include <linux/types.h>

struct device;
struct pviommu_dev;
struct pviommu_slot;

/**
 * struct pviommu_limits - what a device asks of its DMA addresses
 * @dma_limit: highest address that it reaches
 * @align_mask: low bits of the buffer's address that have to be kept
 * @boundary_mask: a segment does not cross a multiple of this plus one
 * @max_seg: most bytes in a segment
 */
struct pviommu_limits {
	u64 dma_limit;
	u64 align_mask;
	u64 boundary_mask;
	u32 max_seg;
};

static __always_inline struct pviommu_limits pviommu_get_limits(struct device *dev)
{
	return (struct pviommu_limits) {
		.dma_limit = min_not_zero(dma_get_mask(dev), dev->bus_dma_limit),
		.align_mask = dma_get_min_align_mask(dev),
		.boundary_mask = dma_get_seg_boundary(dev),
		.max_seg = dma_get_max_seg_size(dev),
	};
}

/**
 * struct pviommu_layout - where a list stands in its block
 * @pos: end of the data so far, bytes from the start of the block
 * @seg: start of the current DMA segment
 */
struct pviommu_layout {
	size_t pos;
	size_t seg;
};

static __always_inline bool pviommu_crosses(size_t start, size_t len, u64 mask)
{
	return (start ^ (start + len - 1)) & ~mask;
}

/* Which syncs copy at all, see Documentation/core-api/dma-api.rst */
static __always_inline bool pviommu_sync_copies(enum dma_data_direction dir,
						bool to_device)
{
	return dir == DMA_BIDIRECTIONAL ||
	       dir == (to_device ? DMA_TO_DEVICE : DMA_FROM_DEVICE);
}

/**
 * pviommu_place - find the place for an entry
 * @l: the layout so far; @l->pos becomes where the entry begins
 * @lim: the device's limits
 * @phys: the entry's address, of which the low bits may have to be kept
 * @len: its length
 * @first: it is the first one in the block
 *
 * Blocks are aligned to their size, so positions in them cross a boundary just
 * where DMA addresses do.
 *
 * Return: whether a new DMA segment begins here.
 */
static __always_inline bool pviommu_place(struct pviommu_layout *l,
					  const struct pviommu_limits *lim,
					  phys_addr_t phys, size_t len, bool first)
{
	if (first) {
		l->pos = phys & lim->align_mask;
		l->seg = l->pos;
		return true;
	}

	if (!((l->pos ^ phys) & lim->align_mask) &&
	    l->pos + len - l->seg <= lim->max_seg &&
	    !pviommu_crosses(l->seg, l->pos + len - l->seg, lim->boundary_mask))
		return false;

	/* Segments keep their offset in the page, as without bouncing */
	l->pos += (phys - l->pos) & (lim->align_mask | ~PAGE_MASK);
	if (pviommu_crosses(l->pos, len, lim->boundary_mask)) {
		l->pos = ALIGN(l->pos, lim->boundary_mask + 1);
		l->pos += phys & (lim->align_mask | ~PAGE_MASK);
	}
	l->seg = l->pos;
	return true;
}

/**
 * struct pviommu_map - a mapping that is being made
 * @pd: the device
 * @lim: its limits
 * @sgl: the entries, or NULL for the one buffer at @phys
 * @nents: how many
 * @nsegs: how many DMA segments they become
 * @phys: the buffer, where @sgl is NULL
 * @off: where the data starts in the block
 * @len: bytes from the start of the block to the end of the data
 * @dir: how it will be copied later
 * @slot: the block's first slot, once it is there
 * @page: the block's first page
 * @error: why there is none
 */
struct pviommu_map {
	struct pviommu_dev *pd;
	struct pviommu_limits lim;
	struct scatterlist *sgl;
	unsigned int nents;
	unsigned int nsegs;
	phys_addr_t phys;
	size_t off;
	size_t len;
	enum dma_data_direction dir;
	struct pviommu_slot *slot;
	unsigned long page;
	int error;
};

/* arena.c */
bool pviommu_arena_map(struct pviommu_map *m);
void pviommu_arena_unmap(struct pviommu_dev *pd, struct pviommu_slot *slot,
			 unsigned long page, bool copy_back);
void pviommu_arena_sync(struct pviommu_dev *pd, unsigned long page, u32 start,
			u32 end, bool to_device);

/* bounce.c */

#define PVIOMMU_DECLARE_STREAMING(mode)						\
dma_addr_t pviommu_##mode##_map_phys(struct device *dev, phys_addr_t phys,	\
				     size_t size, enum dma_data_direction dir,	\
				     unsigned long attrs);			\
void pviommu_##mode##_unmap_phys(struct device *dev, dma_addr_t dma,		\
				 size_t size, enum dma_data_direction dir,	\
				 unsigned long attrs);				\
int pviommu_##mode##_map_sg(struct device *dev, struct scatterlist *sgl,	\
			    int nents, enum dma_data_direction dir,		\
			    unsigned long attrs);				\
void pviommu_##mode##_unmap_sg(struct device *dev, struct scatterlist *sgl,	\
			       int nents, enum dma_data_direction dir,		\
			       unsigned long attrs);				\
void pviommu_##mode##_sync_single_for_cpu(struct device *dev, dma_addr_t dma,	\
					  size_t size,				\
					  enum dma_data_direction dir);		\
void pviommu_##mode##_sync_single_for_device(struct device *dev,		\
					     dma_addr_t dma, size_t size,	\
					     enum dma_data_direction dir);	\
void pviommu_##mode##_sync_sg_for_cpu(struct device *dev,			\
				      struct scatterlist *sgl, int nents,	\
				      enum dma_data_direction dir);		\
void pviommu_##mode##_sync_sg_for_device(struct device *dev,			\
					 struct scatterlist *sgl, int nents,	\
					 enum dma_data_direction dir)

PVIOMMU_DECLARE_STREAMING(window);
PVIOMMU_DECLARE_STREAMING(bounce);

/* All bytes of a list */
static inline size_t pviommu_sg_size(struct scatterlist *sgl, int nents)
{
	struct scatterlist *sg;
	size_t size = 0;
	int i;

	for_each_sg(sgl, sg, nents, i)
		size += sg->length;
	return size;
}

#endif /* _PVIOMMU_BOUNCE_H */
