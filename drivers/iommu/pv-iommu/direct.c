// SPDX-License-Identifier: GPL-2.0
/*
 * pv-iommu: direct mappings: the caller's own pages, and no copy
 *
 * A driver that maps memory once and never syncs it gets stale data from bounced
 * pages. Where the host offers it, whole pages are granted to the device's domain
 * instead, at a DMA address that follows from their own:
 *
 * - what must not be copied (DMA_ATTR_REQUIRE_COHERENT);
 * - what is mapped for both directions, as who never syncs does;
 * - all whole pages of the devices whose drivers never sync: displays, processing
 *   accelerators, and those that direct= names;
 * - what is so large that the copy costs more (direct_min=), if it can be kept.
 *
 * Parts of pages bounce, as the rest of such a page would be shown as well; and so
 * does what the device's mask or limits do not allow, and the window's own memory. A
 * list may be of both kinds (mixed.c).
 *
 * What is granted, and when it is taken back, is ram.c's and ram_cache.c's.
 */
#include <linux/dma-map-ops.h>
#include <linux/dma-mapping.h>
#include <linux/moduleparam.h>
#include <linux/scatterlist.h>

#include "pviommu.h"
#include "bounce.h"
#include "direct.h"
#include "ram.h"
#include "compat/dma-map-ops.h"
#include "compat/dma-mapping.h"
#include "trace.h"

static unsigned int direct_min;
module_param(direct_min, uint, 0444);
MODULE_PARM_DESC(direct_min, "KiB from which on mappings of any device and direction are direct, where direct_cache= has room for them (default: 0, none for their size)");

/* ---- may it be direct? ---- */

/* It must not be copied, and is: to be said, and once? */
static bool pviommu_direct_tell(struct pviommu_dev *pd, unsigned long attrs,
				enum pviommu_need need)
{
	/* Who requires it is refused */
	if (need != PVIOMMU_NEED_MUST || READ_ONCE(pd->told) ||
	    attrs & (DMA_ATTR_NO_WARN | DMA_ATTR_REQUIRE_COHERENT))
		return false;
	WRITE_ONCE(pd->told, true);
	return true;
}

static void pviommu_direct_no_ram(struct pviommu_dev *pd, unsigned long attrs,
				  enum pviommu_need need)
{
	if (pviommu_direct_tell(pd, attrs, need))
		dev_warn(pd->dev, "pv_iommu: a direct mapping of what is no RAM, as another device's coherent memory, is bounced instead, and may have old data\n");
}

/* Only the device's mask is in the way: said once each of what is bounced and refused */
static void pviommu_direct_masked(struct pviommu_dev *pd, phys_addr_t phys, size_t len,
				  u64 mask, const char *what)
{
	/* It cannot be much below 4 GiB, as interrupt messages are there */
	bool lower = pd->host->direct_dma > SZ_4G && SZ_4G + phys + len - 1 <= mask;

	dev_warn(pd->dev, "pv_iommu: direct mappings are %s: its mask, %#llx, does not reach guest RAM at %#llx; %shave its driver set a larger mask, or give the guest another device\n",
		 what, mask, pd->host->direct_dma,
		 lower ? "give the host device a lower direct-base=, or " : "");
}

/*
 * It does not fit: say so, if it is whole pages, and only the device's mask is in the
 * way, or it is memory beyond all RAM. Returns whether that is all, for what must not be
 * copied: it is refused. What else does not fit is the mode's to refuse.
 */
static noinline bool pviommu_direct_missed(struct pviommu_dev *pd, phys_addr_t phys,
					   size_t len, unsigned long attrs,
					   enum pviommu_need need)
{
	struct pviommu_limits lim = pviommu_get_limits(pd->dev);
	u64 mask = lim.dma_limit;

	if (PAGE_ALIGNED(phys | len) && phys >= pd->host->direct_size) {
		pviommu_direct_no_ram(pd, attrs, need);
		return false;
	}
	lim.dma_limit = U64_MAX;
	if (!pviommu_direct_fits(pd->host, phys, len, &lim))
		return false;
	if (!(attrs & DMA_ATTR_REQUIRE_COHERENT)) {
		if (pviommu_direct_tell(pd, attrs, need))
			pviommu_direct_masked(pd, phys, len, mask,
					      "bounced instead, and may have old data");
		return false;
	}
	this_cpu_inc(pd->stats->failures);
	trace_pviommu_fail(pd->rid, len, -EINVAL);
	if (!(attrs & DMA_ATTR_NO_WARN) && !READ_ONCE(pd->told_refused)) {
		WRITE_ONCE(pd->told_refused, true);
		pviommu_direct_masked(pd, phys, len, mask,
				      "refused, where what it maps must be coherent");
	}
	return true;
}

/* The same of what is left of a list; parts of pages may come first */
static noinline bool pviommu_direct_missed_sg(struct pviommu_dev *pd, struct scatterlist *sgl,
					      unsigned int nents, unsigned long attrs,
					      enum pviommu_need need)
{
	const struct pviommu_limits lim = pviommu_get_limits(pd->dev);
	struct scatterlist *sg;
	unsigned int i;

	if (need != PVIOMMU_NEED_MUST)
		return false;
	for_each_sg(sgl, sg, nents, i) {
		if (!pviommu_direct_fits(pd->host, sg_phys(sg), sg->length, &lim) &&
		    pviommu_direct_missed(pd, sg_phys(sg), sg->length, attrs, need))
			return true;
	}
	return false;
}

/* Not of a device, nor the window's, which is granted otherwise; and leaves for them */
static int pviommu_direct_check(struct pviommu_domain *d, phys_addr_t phys, size_t len)
{
	if (!pviommu_has_page(phys) || is_zone_device_page(pfn_to_page(PHYS_PFN(phys))))
		return -EOPNOTSUPP;
	return pviommu_ram_prepare(d, PHYS_PFN(phys), PHYS_PFN(phys + len - 1)) ? 0 : -ENOMEM;
}

static int pviommu_direct_check_sg(struct pviommu_domain *d, struct scatterlist *sgl,
				   unsigned int nents)
{
	struct scatterlist *sg;
	unsigned int i;
	int ret = 0;

	for_each_sg(sgl, sg, nents, i) {
		if (sg->length)
			ret = pviommu_direct_check(d, sg_phys(sg), sg->length);
		if (ret)
			break;
	}
	return ret;
}

/*
 * Write down the DMA segments of a list, merged as far as the device's limits allow.
 * Returns how many, or -EOPNOTSUPP if one of the entries may not be direct, -EINVAL if
 * it cannot be bounced either.
 */
static int pviommu_direct_layout(struct pviommu_dev *pd, struct scatterlist *sgl,
				 unsigned int nents, unsigned long attrs,
				 enum pviommu_need need)
{
	const struct pviommu_limits lim = pviommu_get_limits(pd->dev);
	struct scatterlist *sg, *seg = NULL;
	unsigned int i, nsegs = 0;

	for_each_sg(sgl, sg, nents, i) {
		dma_addr_t dma = pd->host->direct_dma + sg_phys(sg);

		if (!sg->length)
			continue;
		if (!pviommu_direct_fits(pd->host, sg_phys(sg), sg->length, &lim)) {
			return pviommu_direct_missed_sg(pd, sg, nents - i, attrs, need) ?
				-EINVAL : -EOPNOTSUPP;
		}
		if (seg && sg_dma_address(seg) + sg_dma_len(seg) == dma &&
		    (u64)sg_dma_len(seg) + sg->length <= lim.max_seg &&
		    !pviommu_crosses(sg_dma_address(seg),
				     sg_dma_len(seg) + sg->length,
				     lim.boundary_mask)) {
			sg_dma_len(seg) += sg->length;
			continue;
		}
		seg = seg ? sg_next(seg) : sgl;
		sg_dma_address(seg) = dma;
		sg_dma_len(seg) = sg->length;
		nsegs++;
	}
	if (!nsegs)
		return -EOPNOTSUPP;
	if (nsegs < nents)
		sg_dma_len(sg_next(seg)) = 0;
	return nsegs;
}

/*
 * No pages were granted. What somebody has to sync at times may be bounced; what
 * nobody does must not be.
 */
static noinline bool pviommu_direct_failed(struct pviommu_dev *pd, size_t size,
					   unsigned long attrs, enum pviommu_need need,
					   int error)
{
	bool must = need == PVIOMMU_NEED_MUST;
	const char *what = must ? "refused" : "bounced instead";

	if (need == PVIOMMU_NEED_SPEED)
		return false;
	if (error == -EOPNOTSUPP) {
		pviommu_direct_no_ram(pd, attrs, need);
		return false;
	}
	if (must) {
		this_cpu_inc(pd->stats->failures);
		trace_pviommu_fail(pd->rid, size, error);
	}
	if (attrs & DMA_ATTR_NO_WARN)
		return must;
	if (error == -ENOSPC)
		dev_warn_ratelimited(pd->dev, "pv_iommu: direct mapping of %zu bytes %s: the host grants no more guest RAM; give the host device a larger direct-limit=\n",
				     size, what);
	else
		dev_warn_ratelimited(pd->dev, "pv_iommu: direct mapping of %zu bytes %s: error %d\n",
				     size, what, error);
	return must;
}

/* The mapping as a list of one segment */
static void pviommu_one(struct scatterlist *one, dma_addr_t dma, size_t size)
{
	sg_init_table(one, 1);
	sg_dma_address(one) = dma;
	sg_dma_len(one) = size;
}

/*
 * Is a buffer in one such piece of 2 MiB, as most are, and may that be kept? Some
 * kernels' NVMe maps page by page, so there is no list here, and nothing to walk.
 */
static __always_inline bool pviommu_direct_kept(struct pviommu_dev *pd, phys_addr_t phys,
						size_t size)
{
	return READ_ONCE(pd->cached) &&
	       pviommu_leaf_get(pviommu_leaf_around(pd->domain, phys, size), true);
}

/* Is all of a list granted by 2 MiB, and kept? Then that is all */
static __always_inline bool pviommu_direct_cached(struct pviommu_dev *pd,
						  struct scatterlist *sgl, unsigned int nsegs)
{
	return READ_ONCE(pd->cached) && pviommu_ram_cache_get(pd->domain, sgl, nsegs);
}

/* Is there no use in looking further? For what can be bounced as well, exits are no gain */
static bool pviommu_direct_vain(struct pviommu_dev *pd, enum pviommu_need need)
{
	return need == PVIOMMU_NEED_SPEED && !READ_ONCE(pd->cached);
}

/* Or else have it granted; the pages have been checked */
static noinline int pviommu_direct_take(struct pviommu_dev *pd, struct scatterlist *sgl,
					unsigned int nsegs, bool write,
					enum pviommu_need need)
{
	if (READ_ONCE(pd->cached) && pviommu_ram_cache_fill(pd, sgl, nsegs))
		return 0;
	/* For what can be bounced as well, exits are no gain */
	if (need == PVIOMMU_NEED_SPEED)
		return -EOPNOTSUPP;
	return pviommu_ram_take(pd, sgl, nsegs, write);
}

/* The same of a buffer that is in more than one leaf, or is not granted yet */
static noinline int pviommu_direct_take_phys(struct pviommu_dev *pd, phys_addr_t phys,
					     size_t size, bool write,
					     enum pviommu_need need)
{
	struct scatterlist one;

	pviommu_one(&one, pd->host->direct_dma + phys, size);
	if (pviommu_direct_cached(pd, &one, 1))
		return 0;
	if (pviommu_direct_vain(pd, need))
		return -EOPNOTSUPP;
	return pviommu_direct_check(pd->domain, phys, size) ?:
	       pviommu_direct_take(pd, &one, 1, write, need);
}

static noinline void pviommu_direct_put_phys(struct pviommu_dev *pd, dma_addr_t dma,
					     size_t size)
{
	struct scatterlist one;

	pviommu_one(&one, dma, size);
	pviommu_ram_put(pd, &one, 1);
}

/**
 * pviommu_direct_map_phys - map a buffer by granting its pages
 * @dev: the device
 * @phys: the buffer
 * @size: its length
 * @dir: the direction
 * @attrs: DMA_ATTR_*
 * @need: whether it may be bounced for want of grants
 * @dma: where the DMA address goes
 *
 * Context: any but NMI. Pages that are not granted cost an exit for each
 * PV_IOMMU_MAX_RANGES pieces or PV_IOMMU_MAX_PAGES pages; with direct_cache= for each
 * 2 MiB; and more where the host grants no more, and room is made.
 * Return: whether that was all: @dma is the mapping, or DMA_MAPPING_ERROR; false: it
 * is to be bounced.
 */
bool pviommu_direct_map_phys(struct device *dev, phys_addr_t phys, size_t size,
			     enum dma_data_direction dir, unsigned long attrs,
			     enum pviommu_need need, dma_addr_t *dma)
{
	const struct pviommu_limits lim = pviommu_get_limits(dev);
	struct pviommu_dev *pd = to_pviommu_dev(dev);
	int ret;

	if (!pd || attrs & DMA_ATTR_MMIO)
		return false;
	if (!pviommu_direct_fits(pd->host, phys, size, &lim)) {
		*dma = DMA_MAPPING_ERROR;
		return pviommu_direct_missed(pd, phys, size, attrs, need);
	}
	*dma = pd->host->direct_dma + phys;
	if (!pviommu_direct_kept(pd, phys, size)) {
		ret = pviommu_direct_take_phys(pd, phys, size, dir != DMA_TO_DEVICE, need);
		if (unlikely(ret)) {
			*dma = DMA_MAPPING_ERROR;
			return pviommu_direct_failed(pd, size, attrs, need, ret);
		}
	}
	this_cpu_inc(pd->stats->maps);
	this_cpu_inc(pd->stats->maps_direct);
	trace_pviommu_map(pd->rid, *dma, size, 0, dir);
	return true;
}

/**
 * pviommu_direct_unmap_phys - undo pviommu_direct_map_phys()
 * @dev: the device
 * @dma: the mapping
 * @size: its length
 * @dir: the direction
 *
 * Context: any but NMI. When it returns, the device does not write to pages that are
 * in no other mapping, unless they are in 2 MiB that stay granted (direct_cache=).
 */
void pviommu_direct_unmap_phys(struct device *dev, dma_addr_t dma, size_t size,
			       enum dma_data_direction dir)
{
	struct pviommu_dev *pd = to_pviommu_dev(dev);
	struct pviommu_leaf *leaf;

	if (WARN_ON_ONCE(!pd))
		return;
	leaf = pviommu_leaf_around(pd->domain, dma - pd->host->direct_dma, size);
	if (unlikely(!pviommu_leaf_put(leaf)))
		pviommu_direct_put_phys(pd, dma, size);
	this_cpu_inc(pd->stats->unmaps);
	trace_pviommu_unmap(pd->rid, dma, size, 0, dir);
}

/**
 * pviommu_direct_map_sg - map a list by granting its pages
 * @dev: the device
 * @sgl: the list
 * @nents: its entries
 * @dir: the direction
 * @attrs: DMA_ATTR_*
 * @need: whether it may be bounced for want of grants
 *
 * Context: any but NMI. Exits as for pviommu_direct_map_phys().
 * Return: the number of DMA segments, or an errno that dma_map_sgtable() knows; 0: it
 * is to be bounced.
 */
int pviommu_direct_map_sg(struct device *dev, struct scatterlist *sgl, int nents,
			  enum dma_data_direction dir, unsigned long attrs,
			  enum pviommu_need need)
{
	struct pviommu_dev *pd = to_pviommu_dev(dev);
	int nsegs, ret;

	if (!pd || nents <= 0 || attrs & DMA_ATTR_MMIO || pviommu_direct_vain(pd, need))
		return 0;
	nsegs = pviommu_direct_layout(pd, sgl, nents, attrs, need);
	if (nsegs < 0)
		return nsegs == -EINVAL ? nsegs : 0;
	if (!pviommu_direct_cached(pd, sgl, nsegs)) {
		ret = pviommu_direct_check_sg(pd->domain, sgl, nents) ?:
		      pviommu_direct_take(pd, sgl, nsegs, dir != DMA_TO_DEVICE, need);
		if (unlikely(ret))
			return pviommu_direct_failed(pd, pviommu_sg_size(sgl, nents), attrs,
						     need, ret) ? -ENOMEM : 0;
	}
	this_cpu_inc(pd->stats->maps);
	this_cpu_inc(pd->stats->maps_direct);
	trace_pviommu_map(pd->rid, sg_dma_address(sgl), 0, nsegs, dir);
	return nsegs;
}

/* ---- the callbacks: direct where it is wanted, or else as without it ---- */

/* Is a mapping to be direct whatever its size? @all: all of the device's are */
static __always_inline bool pviommu_direct_wanted(enum dma_data_direction dir,
						  unsigned long attrs, bool all)
{
	return all || unlikely(dir == DMA_BIDIRECTIONAL ||
			       attrs & DMA_ATTR_REQUIRE_COHERENT);
}

/* Bytes from which on copies cost more; SIZE_MAX: never */
static size_t pviommu_direct_size __read_mostly = SIZE_MAX;

static __always_inline bool pviommu_direct_large(struct scatterlist *sgl, int nents)
{
	return unlikely(pviommu_direct_size != SIZE_MAX) && nents > 0 &&
	       pviommu_sg_size(sgl, nents) >= pviommu_direct_size;
}

/* If it cannot be for want of grants, what then? */
static __always_inline enum pviommu_need pviommu_direct_need(enum dma_data_direction dir,
							     unsigned long attrs, bool all)
{
	if (all || attrs & DMA_ATTR_REQUIRE_COHERENT)
		return PVIOMMU_NEED_MUST;
	return dir == DMA_BIDIRECTIONAL ? PVIOMMU_NEED_RATHER : PVIOMMU_NEED_SPEED;
}

/**
 * pviommu_direct_setup - take over what the parameters say
 * @host: the host device, which offers direct mappings
 */
void pviommu_direct_setup(struct pviommu_host *host)
{
	/* Not what a host before this one has left */
	pviommu_direct_size = SIZE_MAX;
	if (!direct_min)
		return;
	if (pviommu_ram_cache_offered(host))
		pviommu_direct_size = (size_t)direct_min * SZ_1K;
	if (!host->max_cached)
		pci_warn(host->pdev, "direct_min= is not used: there is no direct_cache=%s\n",
			 pviommu_ram_cache_offered(host) ?
			 ", until a device has its own in sysfs" : "");
}

/* All of it, or else what of it may be, or else nothing: 0 */
static noinline int pviommu_try_sg(struct device *dev, struct scatterlist *sgl, int nents,
				   enum dma_data_direction dir, unsigned long attrs,
				   enum pviommu_need need)
{
	return pviommu_direct_map_sg(dev, sgl, nents, dir, attrs, need) ?:
	       pviommu_mixed_map_sg(dev, sgl, nents, dir, attrs, need);
}

/*
 * Is a list direct, or some of it? Then one of its first two segments is. What a list
 * has there that has but one is of another mapping.
 */
static __always_inline bool pviommu_has_direct(struct scatterlist *sgl, int nents)
{
	struct scatterlist *next = sgl + 1;

	if (pviommu_is_direct(sg_dma_address(sgl)))
		return true;
	if (nents < 2)
		return false;
	if (unlikely(sg_is_chain(next)))
		next = sg_chain_ptr(next);
	return unlikely(sg_dma_len(next) && pviommu_is_direct(sg_dma_address(next)));
}

enum {
	pviommu_some_window_all = false,
	pviommu_some_bounce_all = false,
	pviommu_all_window_all = true,
	pviommu_all_bounce_all = true,
};

/* What is not direct goes on by a jump: nothing is saved for it */
#define PVIOMMU_DEFINE_DIRECT(name, mode)						\
static noinline dma_addr_t pviommu_##name##_try_phys(struct device *dev,		\
						     phys_addr_t phys, size_t size,	\
						     enum dma_data_direction dir,	\
						     unsigned long attrs)		\
{											\
	dma_addr_t dma;									\
											\
	if (pviommu_direct_map_phys(dev, phys, size, dir, attrs,			\
				    pviommu_direct_need(dir, attrs,			\
							pviommu_##name##_all),		\
				    &dma))						\
		return dma;								\
	return pviommu_##mode##_map_phys(dev, phys, size, dir, attrs);			\
}											\
											\
dma_addr_t pviommu_##name##_map_phys(struct device *dev, phys_addr_t phys,		\
				     size_t size, enum dma_data_direction dir,		\
				     unsigned long attrs)				\
{											\
	if (pviommu_direct_wanted(dir, attrs, pviommu_##name##_all) ||			\
	    unlikely(size >= pviommu_direct_size))					\
		return pviommu_##name##_try_phys(dev, phys, size, dir, attrs);		\
	return pviommu_##mode##_map_phys(dev, phys, size, dir, attrs);			\
}											\
											\
void pviommu_##name##_unmap_phys(struct device *dev, dma_addr_t dma,			\
				 size_t size, enum dma_data_direction dir,		\
				 unsigned long attrs)					\
{											\
	if (unlikely(pviommu_is_direct(dma)))						\
		pviommu_direct_unmap_phys(dev, dma, size, dir);				\
	else										\
		pviommu_##mode##_unmap_phys(dev, dma, size, dir, attrs);		\
}											\
											\
int pviommu_##name##_map_sg(struct device *dev, struct scatterlist *sgl,		\
			    int nents, enum dma_data_direction dir,			\
			    unsigned long attrs)					\
{											\
	int ret = 0;									\
											\
	if (pviommu_direct_wanted(dir, attrs, pviommu_##name##_all) ||			\
	    pviommu_direct_large(sgl, nents))						\
		ret = pviommu_try_sg(dev, sgl, nents, dir, attrs,			\
				     pviommu_direct_need(dir, attrs,			\
							 pviommu_##name##_all));	\
	return ret ?: pviommu_##mode##_map_sg(dev, sgl, nents, dir, attrs);		\
}											\
											\
void pviommu_##name##_unmap_sg(struct device *dev, struct scatterlist *sgl,		\
			       int nents, enum dma_data_direction dir,			\
			       unsigned long attrs)					\
{											\
	if (unlikely(pviommu_has_direct(sgl, nents)))					\
		pviommu_mixed_unmap_sg(dev, sgl, nents, dir, attrs);			\
	else										\
		pviommu_##mode##_unmap_sg(dev, sgl, nents, dir, attrs);			\
}											\
											\
void pviommu_##name##_sync_single_for_cpu(struct device *dev, dma_addr_t dma,		\
					  size_t size, enum dma_data_direction dir)	\
{											\
	if (likely(!pviommu_is_direct(dma)))						\
		pviommu_##mode##_sync_single_for_cpu(dev, dma, size, dir);		\
}											\
											\
void pviommu_##name##_sync_single_for_device(struct device *dev, dma_addr_t dma,	\
					     size_t size, enum dma_data_direction dir)	\
{											\
	if (likely(!pviommu_is_direct(dma)))						\
		pviommu_##mode##_sync_single_for_device(dev, dma, size, dir);		\
}											\
											\
void pviommu_##name##_sync_sg_for_cpu(struct device *dev, struct scatterlist *sgl,	\
				      int nents, enum dma_data_direction dir)		\
{											\
	if (likely(!pviommu_has_direct(sgl, nents)))					\
		pviommu_##mode##_sync_sg_for_cpu(dev, sgl, nents, dir);			\
	else										\
		pviommu_mixed_sync_sg(dev, sgl, nents, dir, false);			\
}											\
											\
void pviommu_##name##_sync_sg_for_device(struct device *dev, struct scatterlist *sgl,	\
					 int nents, enum dma_data_direction dir)	\
{											\
	if (likely(!pviommu_has_direct(sgl, nents)))					\
		pviommu_##mode##_sync_sg_for_device(dev, sgl, nents, dir);		\
	else										\
		pviommu_mixed_sync_sg(dev, sgl, nents, dir, true);			\
}

PVIOMMU_DEFINE_DIRECT(some_window, window)
PVIOMMU_DEFINE_DIRECT(some_bounce, bounce)
PVIOMMU_DEFINE_DIRECT(all_window, window)
PVIOMMU_DEFINE_DIRECT(all_bounce, bounce)
