// SPDX-License-Identifier: GPL-2.0
/*
 * direct-lists [seed]
 *
 * Lists of which entries are whole pages, several of them, what is before and behind
 * them, parts in the middle, and what begins within a page, one beside the other or
 * apart, over the end of 2 MiB; where the device keeps offsets, and where it does not;
 * page by page and kept; some must be coherent. Each byte is looked at on both sides:
 * what is whole pages is not copied where mixed.c says so, all else is, each sync and
 * the unmap do what they have to, and in the end nothing is granted or in use.
 */
#include <unistd.h>

#include "guest.h"
#include "world.h"

#define LEAF_PAGES	512
/* What is mapped is at the end of 2 MiB, and behind it */
#define REGION		64
#define ENTRIES		8
#define ENTRY_PAGES	3
#define MAX_BYTES	(ENTRIES * ENTRY_PAGES * PAGE_SIZE)
#define LISTS		150
/* As documented: more parts than these, and all of a list bounces */
#define PARTS		2

static struct guest guest;
static u64 rnd;
static const char *now;
static unsigned int nr_list;

#define require(cond, fmt, ...) do {						\
	if (!(cond))								\
		shim_panic("%s, list %u: " fmt, now, nr_list, ##__VA_ARGS__);	\
} while (0)

/**
 * struct list - one list, and what is to become of it
 * @sgl: the list, of @nents
 * @whole: of each entry: it is whole pages
 * @parts: how many are not
 * @direct: whole pages are direct
 * @dir: the direction
 * @attrs: DMA_ATTR_*
 * @len: bytes
 */
struct list {
	struct scatterlist sgl[ENTRIES];
	unsigned int nents;
	bool whole[ENTRIES];
	unsigned int parts;
	bool direct;
	enum dma_data_direction dir;
	unsigned long attrs;
	size_t len;
};

static struct page *mem;
static struct page *first;
static u8 *region;
static u8 want[REGION * PAGE_SIZE];
/* Of each byte of the list: where the CPU has it, and the device; is it to be direct? */
static u8 *cpu_at[MAX_BYTES];
static u8 *dev_at[MAX_BYTES];
static bool whole_at[MAX_BYTES];
static unsigned long kinds[3];

static unsigned int below(unsigned int n)
{
	return world_random(&rnd) % n;
}

/* An entry from @page on: how many pages it touches */
static unsigned int make_entry(struct list *l, unsigned int page)
{
	unsigned int off = 1 + below(PAGE_SIZE - 2), n = 1 + below(ENTRY_PAGES - 1);
	struct scatterlist *sg = &l->sgl[l->nents];
	bool whole = false;
	size_t len;

	switch (below(8)) {
	case 0:		/* what is behind others */
		len = off;
		off = 0;
		n = 1;
		break;
	case 1:		/* what is before others */
		len = PAGE_SIZE - off;
		n = 1;
		break;
	case 2:		/* in the middle of a page */
		len = 1 + below(PAGE_SIZE - off);
		n = 1;
		break;
	case 3:		/* more than a page, from within one */
		len = n * PAGE_SIZE - below(2) * off;
		n++;
		break;
	default:
		whole = true;
		off = 0;
		len = n * PAGE_SIZE;
	}
	sg_set_page(sg, first + page, len, off);
	l->whole[l->nents++] = whole;
	l->parts += !whole;
	return n;
}

static void make_list(struct list *l, bool keeps_offsets)
{
	unsigned int nents = 1 + below(ENTRIES), page = below(REGION / 2), i;

	memset(l, 0, sizeof(*l));
	sg_init_table(l->sgl, nents);
	while (l->nents < nents)
		page += make_entry(l, page) + below(2);
	l->dir = below(3);
	l->attrs = below(6) ? 0 : DMA_ATTR_REQUIRE_COHERENT | DMA_ATTR_NO_WARN;
	l->direct = !l->parts ||
		    (keeps_offsets && l->parts <= PARTS && nents > 1 &&
		     (l->whole[0] || l->whole[1]));

	for (i = 0; i < nents; i++) {
		u8 *p = page_address(sg_page(&l->sgl[i])) + l->sgl[i].offset;
		size_t n = l->sgl[i].length;

		while (n--) {
			whole_at[l->len] = l->whole[i];
			cpu_at[l->len++] = p++;
		}
	}
}

/* Where the device finds each byte: the segments, one behind the other */
static void look_up(struct list *l, int nsegs)
{
	struct scatterlist *sg;
	size_t at = 0;
	int i;

	for_each_sg(l->sgl, sg, nsegs, i) {
		size_t len = sg_dma_len(sg);
		u8 *p = host_dma(guest.rids[0], sg_dma_address(sg), len);

		require(p, "segment %d of %zu bytes is out of reach", i, len);
		require(at + len <= l->len, "segment %d goes on beyond the list", i);
		while (len--)
			dev_at[at++] = p++;
	}
	require(at == l->len, "%zu bytes of %zu are mapped", at, l->len);
	for (at = 0; at < l->len; at++) {
		bool is_direct = dev_at[at] == cpu_at[at];

		require(is_direct == (l->direct && whole_at[at]),
			"byte %zu: direct is %d, and is to be %d", at, is_direct,
			l->direct && whole_at[at]);
		require(!is_direct || l->dir == DMA_TO_DEVICE ||
			(host_ram_perm(guest.rids[0], virt_to_phys(cpu_at[at])) &
			 PV_IOMMU_RANGE_WRITE),
			"byte %zu: the device may not write it", at);
	}
}

static void put(u8 **to, struct list *l)
{
	size_t i;

	for (i = 0; i < l->len; i++) {
		*to[i] = world_random(&rnd);
		want[cpu_at[i] - region] = *to[i];
	}
}

/* Both sides have what was written last, but for what is not copied yet */
static void same(u8 **side, struct list *l, bool all, const char *what)
{
	size_t i;

	for (i = 0; i < l->len; i++)
		if (all || dev_at[i] == cpu_at[i])
			require(*side[i] == want[cpu_at[i] - region], "byte %zu %s", i, what);
}

/* Data goes both ways, as far as the direction allows */
static void use(struct list *l)
{
	struct device *dev = guest.devices[0];

	same(dev_at, l, true, "after the map");
	if (l->dir != DMA_TO_DEVICE) {
		put(dev_at, l);
		same(cpu_at, l, false, "without a sync for the CPU");
		dev->dma_ops->sync_sg_for_cpu(dev, l->sgl, l->nents, l->dir);
		same(cpu_at, l, true, "after a sync for the CPU");
	}
	put(cpu_at, l);
	same(dev_at, l, false, "without a sync for the device");
	dev->dma_ops->sync_sg_for_device(dev, l->sgl, l->nents, l->dir);
	/* Nothing is copied that only the device writes */
	same(dev_at, l, l->dir != DMA_FROM_DEVICE, "after a sync for the device");
	if (l->dir != DMA_TO_DEVICE)
		put(dev_at, l);
}

/* How many pages the device may write to */
static unsigned int writable(void)
{
	unsigned int i, n = 0;

	for (i = 0; i < REGION; i++)
		n += !!(host_ram_perm(guest.rids[0], page_to_phys(first + i)) &
			PV_IOMMU_RANGE_WRITE);
	return n;
}

static void try_list(bool keeps_offsets, bool kept)
{
	struct device *dev = guest.devices[0];
	struct list l;
	size_t i;
	int n;

	make_list(&l, keeps_offsets);
	for (i = 0; i < sizeof(want); i++)
		region[i] = want[i] = world_random(&rnd);
	n = dev->dma_ops->map_sg(dev, l.sgl, l.nents, l.dir, l.attrs);
	if (l.attrs & DMA_ATTR_REQUIRE_COHERENT && l.parts) {
		require(n == -EINVAL, "parts of pages that are to be coherent: %d", n);
		kinds[2]++;
	} else {
		require(n > 0 && n <= (int)l.nents, "%u entries are %d segments", l.nents, n);
		look_up(&l, n);
		use(&l);
		dev->dma_ops->unmap_sg(dev, l.sgl, l.nents, l.dir, l.attrs);
		kinds[l.direct && l.parts]++;
	}
	require(!memcmp(region, want, sizeof(want)), "after the unmap, or beside the list");
	require(kept || !writable(), "%u pages can be written to after it", writable());
}

static void in_use_no_more(unsigned long used)
{
	unsigned int i;

	for (i = 0; i < 100 && host_ram_granted(); i++)
		shim_run_work(1000);
	require(!host_ram_granted(), "%lu pages are granted", host_ram_granted());
	require(guest_number("window", "used") == (long long)used,
		"%lld bytes of the window are in use", guest_number("window", "used"));
	guest_check();
}

static void run(const char *name, u64 arena, unsigned int cache)
{
	unsigned long used, i;

	now = name;
	memset(kinds, 0, sizeof(kinds));
	*shim_param_direct = "all";
	*shim_param_direct_cache = cache;
	*shim_param_direct_cache_idle = 1;
	guest_begin_direct(&guest, 1, 1, SZ_4M, arena, true, SZ_64M, SZ_16M);
	mem = shim_alloc_pages(GFP_KERNEL, 3 * LEAF_PAGES);
	require(mem, "no memory");
	first = mem + 2 * LEAF_PAGES - (page_to_pfn(mem) & (LEAF_PAGES - 1)) - REGION / 2;
	region = page_address(first);
	used = guest_number("window", "used");
	for (i = nr_list = 0; i < 2 * LISTS; i++, nr_list++) {
		bool keeps_offsets = i < LISTS;

		to_pci_dev(guest.devices[0])->dma_parms.min_align_mask =
			keeps_offsets ? PAGE_SIZE - 1 : 0;
		try_list(keeps_offsets, cache);
	}
	in_use_no_more(used);
	require(!shim_log.warns && !shim_log.errors && !host_counters.refused &&
		!host_counters.faults, "%lu WARN()s, %lu errors, %llu requests refused: %s",
		shim_log.warns, shim_log.errors, host_counters.refused, shim_log.last);
	shim_free_pages(mem, 3 * LEAF_PAGES);
	guest_end(&guest);
	/* A run without any of them shows little */
	require(kinds[0] && kinds[1] && kinds[2], "%lu, %lu and %lu lists of the kinds",
		kinds[0], kinds[1], kinds[2]);
	printf("%s: %lu lists of one kind, %lu of which some is direct, %lu refused\n", name,
	       kinds[0], kinds[1], kinds[2]);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	/* What has no end fails, too */
	alarm(300);
	rnd = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
	run("page by page", 0, 0);
	run("kept", 0, 4);
	run("page by page, the host copies", SZ_4M, 0);
	run("kept, the host copies", SZ_4M, 4);
	return 0;
}
