// SPDX-License-Identifier: GPL-2.0
/*
 * fuzz-layout: limits of a device and a list, any; pviommu_place() has to lay it out
 * so that every limit is kept and every byte has one place.
 *
 * With libFuzzer; or, with files as arguments, just those.
 */
#include <linux/scatterlist.h>

#include "pviommu.h"
#include "bounce.h"
#include "shim/control.h"

#define MAX_ENTRIES	64

struct input {
	const u8 *data;
	size_t left;
};

static u64 take(struct input *in, unsigned int bytes)
{
	u64 v = 0;

	bytes = min_t(size_t, bytes, in->left);
	memcpy(&v, in->data, bytes);
	in->data += bytes;
	in->left -= bytes;
	return v;
}

#define require(cond)							\
	do {								\
		if (!(cond))						\
			shim_panic("entry %u of %u: %s (align %#llx boundary %#llx max %#x)", \
				   i, n, #cond, lim.align_mask, lim.boundary_mask, lim.max_seg); \
	} while (0)

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);
int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct input in = { data, size };
	struct pviommu_limits lim = { .dma_limit = U64_MAX };
	struct pviommu_layout l;
	unsigned int i, n = 0;
	size_t seg = 0, end = 0;
	u64 low;

	lim.align_mask = BIT(take(&in, 1) % 17) - 1;
	/* Never below a page, and not below what has to be kept */
	lim.boundary_mask = GENMASK_ULL(max(11 + take(&in, 1) % 53,
					    (u64)fls64(lim.align_mask)) , 0);
	lim.max_seg = max_t(u32, take(&in, 4), PAGE_SIZE);
	low = lim.align_mask | ~PAGE_MASK;
	for (i = 0; i < MAX_ENTRIES && in.left; i++, n++) {
		phys_addr_t phys = take(&in, 5);
		size_t len = 1 + take(&in, 3) % SZ_1M;
		bool first = !i, begins;

		/* What no layout could serve, the block layer does not ask for */
		len = min_t(u64, len, lim.max_seg);
		len = min_t(u64, len, lim.boundary_mask - min(phys & low, lim.boundary_mask) + 1);
		begins = pviommu_place(&l, &lim, phys, len, first);
		require(begins || !first);
		require(l.pos >= end);
		require(!((l.pos ^ phys) & lim.align_mask));
		/* As without bouncing; only the first one begins as low as it can */
		require(!begins || first || !((l.pos ^ phys) & ~PAGE_MASK));
		/* No more segments than it takes */
		require(!begins || first || (end ^ phys) & lim.align_mask ||
			end + len - seg > lim.max_seg ||
			(seg & ~lim.boundary_mask) != ((end + len - 1) & ~lim.boundary_mask));
		/* Bytes between two entries of a segment would be the device's to see */
		if (begins)
			seg = l.pos;
		else
			require(l.pos == end);
		require(l.seg == seg);
		require(l.pos + len - seg <= lim.max_seg);
		require(!((seg ^ (l.pos + len - 1)) & ~lim.boundary_mask));
		/* No more than a boundary's worth of address space is left out */
		require(l.pos - end <= min_t(u64, lim.boundary_mask, SZ_1M + low) + low + 1 || first);
		l.pos += len;
		end = l.pos;
	}
	return 0;
}
