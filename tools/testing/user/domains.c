// SPDX-License-Identifier: GPL-2.0
/*
 * domains: what chunks do between domains, in cases that a random walk seldom comes by.
 * One CPU, and time goes on only when a case says so.
 */
#include <unistd.h>

#include "guest.h"

#define WINDOW		SZ_64M
#define MAX_PAGES	(WINDOW / PAGE_SIZE)

static struct guest guest;
static const char *now;
static u16 refused_rid;
static u16 refused_op;

#define require(cond, fmt, ...) do {						\
	if (!(cond))								\
		shim_panic("%s: " fmt, now, ##__VA_ARGS__);			\
} while (0)

/* Pages that a device has mapped */
struct pages {
	struct device *dev;
	u16 rid;
	dma_addr_t dma[MAX_PAGES];
	unsigned int nr;
};

static struct pages pages[GUEST_MAX_DEVICES];
static struct page *buffer;

static void begin(const char *name, unsigned int devices, u64 limit)
{
	unsigned int i;

	alarm(GUEST_SECONDS);
	now = name;
	guest.limit = limit;
	guest_begin(&guest, 1, devices, WINDOW, 0, true, SZ_64M);
	buffer = shim_alloc_pages(GFP_KERNEL, 1);
	require(buffer, "no memory");
	for (i = 0; i < devices; i++) {
		pages[i].dev = guest.devices[i];
		pages[i].rid = guest.rids[i];
		pages[i].nr = 0;
	}
}

static void end(void)
{
	guest_check();
	shim_free_pages(buffer, 1);
	guest_end(&guest);
	printf("%s: ok\n", now);
	fflush(stdout);
}

static bool map(struct pages *p)
{
	dma_addr_t dma = p->dev->dma_ops->map_phys(p->dev, page_to_phys(buffer), PAGE_SIZE,
						   DMA_TO_DEVICE, DMA_ATTR_NO_WARN);

	if (dma == DMA_MAPPING_ERROR)
		return false;
	p->dma[p->nr++] = dma;
	return true;
}

static void unmap(struct pages *p, unsigned int i)
{
	p->dev->dma_ops->unmap_phys(p->dev, p->dma[i], PAGE_SIZE, DMA_TO_DEVICE, 0);
	p->dma[i] = p->dma[--p->nr];
}

static void unmap_all(struct pages *p)
{
	while (p->nr)
		unmap(p, p->nr - 1);
}

static unsigned long chunk_of(dma_addr_t dma)
{
	return (dma - guest.config.window_dma) / guest.config.chunk;
}

/* Maps until there is no more, and says how much that was */
static unsigned int fill(struct pages *p)
{
	while (p->nr < MAX_PAGES && map(p))
		;
	return p->nr;
}

/* Seconds go by: the worker gives back what is idle */
static void rest(void)
{
	unsigned int i;

	for (i = 0; i < 30; i++)
		shim_run_work(HZ);
}

/* A window that is full, and a list with entries of no length: an answer, and soon */
static void empties(void)
{
	struct scatterlist sgl[2];
	struct pages *p = &pages[0];
	unsigned int i;
	int ret;

	begin("empty entries", 1, 0);
	fill(p);
	for (i = 0; i < 2; i++) {
		sg_init_table(sgl, 2);
		sg_set_page(&sgl[i], buffer, PAGE_SIZE, 0);
		sg_set_page(&sgl[!i], buffer, 0, 0);
		ret = p->dev->dma_ops->map_sg(p->dev, sgl, 2, DMA_TO_DEVICE,
					      DMA_ATTR_NO_WARN);
		require(ret == -ENOMEM, "a list in no room: %d", ret);
	}
	unmap_all(p);
	end();
}

/*
 * There are free chunks enough for one in a row, but another domain's is in the middle
 * of them, and idle.
 */
static void in_the_way(void)
{
	struct pages *first = &pages[0], *way = &pages[1], *third = &pages[2];
	unsigned long nr, middle, row, i, most = 0, run = 0;
	dma_addr_t dma;
	void *cpu;

	begin("an idle chunk in the way", 3, 0);
	nr = WINDOW / guest.config.chunk;
	middle = nr / 2;
	/* From the top on, down to the middle */
	while (!first->nr || chunk_of(first->dma[first->nr - 1]) > middle)
		require(map(first), "no room above the middle");
	do {
		require(map(way), "no room in the middle");
	} while (chunk_of(way->dma[way->nr - 1]) >= middle);
	for (i = way->nr - 1; i-- > 0;)
		unmap(way, i);
	unmap_all(first);
	rest();
	unmap_all(way);

	for (i = 0; i < nr; i++) {
		run = host_chunk_group(i) ? 0 : run + 1;
		most = max(most, run);
	}
	row = most + 1;
	require(row + host_chunks_granted() <= nr, "%lu of %lu chunks are free in a row",
		most, nr);
	cpu = third->dev->dma_ops->alloc(third->dev, row * guest.config.chunk, &dma,
					 GFP_KERNEL, DMA_ATTR_NO_WARN);
	require(cpu, "no %lu chunks in a row, of %lu", row, nr);
	third->dev->dma_ops->free(third->dev, row * guest.config.chunk, cpu, dma, 0);
	end();
}

static u32 refuse(const struct pv_iommu_req *req)
{
	return req->opcode == refused_op && req->rid == refused_rid ?
		PV_IOMMU_S_IO : PV_IOMMU_S_OK;
}

/* One of two devices of a domain leaves, and the host does not say that it has */
static void left_behind(void)
{
	struct pages *p = &pages[0];
	unsigned int before, i;

	begin("a detach that is refused", 3, 0);
	before = fill(p);
	unmap_all(p);
	rest();
	refused_op = PV_IOMMU_OP_DETACH;
	refused_rid = guest.rids[2];
	host_refuse = refuse;
	shim_unbind(to_pci_dev(guest.devices[2]));
	host_refuse = NULL;
	for (i = 0; i < 20; i++) {
		unsigned int n = fill(p);

		require(n >= before, "round %u: %u pages, %u before", i, n, before);
		unmap_all(p);
		rest();
	}
	guest.nr_devices--;
	end();
}

/* Sleeps, and the host has forgotten all when it wakes up; returns what the driver says */
static int sleep_and_wake(void)
{
	const struct dev_pm_ops *pm = shim_driver->driver.pm;
	struct device *host = &guest.host->dev;

	require(!pm->suspend_noirq(host), "no suspend");
	host_machine_reset();
	return pm->resume_noirq(host);
}

/* A device that could not be attached again after a suspend: its chunks are not lost */
static void not_again(void)
{
	struct pages *p = &pages[0], *other = &pages[1];
	unsigned int before, after;

	begin("an attach that is refused on wake", 2, 0);
	shim_unbind(to_pci_dev(guest.devices[0]));
	before = fill(other);
	unmap_all(other);
	rest();
	shim_bind(to_pci_dev(guest.devices[0]));

	fill(p);
	refused_op = PV_IOMMU_OP_ATTACH;
	refused_rid = guest.rids[0];
	host_refuse = refuse;
	require(sleep_and_wake(), "resumed, and nothing was refused");
	host_refuse = NULL;
	unmap_all(p);
	rest();
	shim_unbind(to_pci_dev(guest.devices[0]));
	rest();
	after = fill(other);
	require(after >= before, "%u pages, %u before", after, before);
	unmap_all(other);
	guest.devices[0] = guest.devices[--guest.nr_devices];
	end();
}

/* Maps until there is no more, and all that is new has been granted */
static void fill_granted(struct pages *p)
{
	unsigned int i = p->nr;

	for (fill(p); i < p->nr; i++)
		require(host_reaches(p->rid, p->dma[i], PAGE_SIZE),
			"page %u is mapped, and not granted", i);
}

/* The host grants less than before a suspend: what it does grant is not lost, and used */
static void less_on_wake(void)
{
	struct pages *p = &pages[0];
	unsigned long had;
	unsigned int i;

	begin("a lower limit on wake", 1, 0);
	while (host_chunks_granted() < 8)
		require(map(p), "no room for 8 chunks");
	had = host_chunks_granted();
	/* CPUs keep some of each */
	for (i = 0; i < p->nr; i += 32)
		unmap(p, i);
	host_set_limit((had - 2) * guest.config.chunk);
	require(sleep_and_wake(), "resumed, and nothing was refused");
	require(host_chunks_granted() == had - 2, "%lu of %lu chunks are granted",
		host_chunks_granted(), had);
	/* Nothing of the rest is handed out anew, neither what was free nor what is freed now */
	fill_granted(p);
	/* when CPUs keep what is freed again, having looked for some */
	rest();
	unmap(p, p->nr - 1);
	map(p);
	for (i = 0; i < p->nr; i++) {
		if (!host_reaches(p->rid, p->dma[i], PAGE_SIZE))
			unmap(p, i--);
	}
	fill_granted(p);
	require(p->nr > (had - 3) * (guest.config.chunk / PAGE_SIZE), "%u pages", p->nr);
	host_set_limit(WINDOW);
	/* So that each is granted that the guest takes for granted */
	require(!sleep_and_wake(), "no resume");
	require(fill(p) >= had * (guest.config.chunk / PAGE_SIZE), "%u pages", p->nr);
	unmap_all(p);
	end();
}

/*
 * The device's chunk is idle, and beyond what it reaches now; another one is not to be
 * had but in exchange.
 */
static void out_of_reach(void)
{
	struct pages *p = &pages[0];
	u64 mask = DMA_BIT_MASK(25);

	begin("a chunk out of reach", 1, host_chunk_size(WINDOW, SZ_2M));
	require(map(p), "no room");
	require(p->dma[0] > mask, "%#llx is within reach", p->dma[0]);
	unmap_all(p);
	to_pci_dev(p->dev)->dma_mask = mask;
	require(map(p), "no room, and nothing is in use");
	require(p->dma[0] <= mask, "%#llx is out of reach", p->dma[0]);
	unmap_all(p);
	end();
}

/*
 * Frees, and maps anew, page after page, all of them within a second but those in the chunk
 * @stays, for some minutes; until @other has one, or no more is granted than @chunks.
 * Whether it came to that
 */
static bool pages_come_and_go(struct pages *p, unsigned long stays, struct pages *other,
			      unsigned long chunks)
{
	unsigned int i, n, at = 0;

	for (i = 0; i < 40000; i++) {
		for (n = 0; n < 64; n++, at++) {
			at = at < p->nr ? at : 0;
			if (chunk_of(p->dma[at]) == stays)
				continue;
			unmap(p, at);
			if (other ? map(other) : host_chunks_granted() <= chunks)
				return true;
			map(p);
		}
		shim_run_work(HZ / 100);
	}
	return false;
}

/*
 * The limit has become lower, and what there is has a domain whose pages are all in use:
 * one that has less than its share gets a chunk as soon as they have been freed once, but
 * not what is never freed; and that is not waited for all the time.
 */
static void less_than_a_share(void)
{
	struct pages *rich = &pages[0], *poor = &pages[1];
	u64 chunk = host_chunk_size(WINDOW, SZ_2M);
	unsigned int i, had, emptied = 0;
	unsigned long chunks, stays;

	begin("less than a share", 3, 8 * chunk);
	had = fill(rich);
	chunks = host_chunks_granted();
	stays = chunk_of(rich->dma[0]);
	require(had == chunks * (chunk / PAGE_SIZE), "%u pages of %lu chunks", had, chunks);
	host_set_limit(chunks * chunk);
	rest();

	/* Nothing is freed */
	for (i = 0; i < 3000; i++) {
		require(!map(poor), "a page of nobody's");
		emptied += guest_emptied(1) >= 0;
		shim_run_work(HZ / 10);
	}
	require(emptied && emptied < 600, "for %u of 3000 tenths of a second", emptied);
	unmap(rich, had - 1);
	require(map(rich) || (rest(), map(rich)), "its own page is lost");

	/* The chunk of which least is in use is one in which a page stays */
	for (i = had; i-- > 1;) {
		if (chunk_of(rich->dma[i]) == stays)
			unmap(rich, i);
	}
	require(chunk_of(rich->dma[0]) == stays, "no page stays");
	require(pages_come_and_go(rich, stays, poor, 0),
		"nothing for a domain that has nothing");
	require(host_chunks_granted() <= chunks, "%lu chunks, of %lu", host_chunks_granted(),
		chunks);
	unmap_all(rich);
	unmap_all(poor);
	end();
}

/* Lists of entries of one length, all of the same memory */
struct list {
	unsigned int nents;
	size_t len;
	struct page *page;
	struct scatterlist sgl[64];
};

static void list_init(struct list *l, unsigned int nents, size_t len)
{
	l->nents = nents;
	l->len = len;
	l->page = shim_alloc_pages(GFP_KERNEL, len / PAGE_SIZE);
	require(l->page, "no memory");
}

static void list_exit(struct list *l)
{
	shim_free_pages(l->page, l->len / PAGE_SIZE);
}

static bool map_list(struct device *dev, struct list *l)
{
	unsigned int i;

	sg_init_table(l->sgl, l->nents);
	for (i = 0; i < l->nents; i++)
		sg_set_page(&l->sgl[i], l->page, l->len, 0);
	return dev->dma_ops->map_sg(dev, l->sgl, l->nents, DMA_TO_DEVICE,
				    DMA_ATTR_NO_WARN) > 0;
}

static void unmap_list(struct device *dev, struct list *l)
{
	dev->dma_ops->unmap_sg(dev, l->sgl, l->nents, DMA_TO_DEVICE, 0);
}

/* What never fits into what is left of a share, between pages that are never freed */
#define LARGE		SZ_512K

/*
 * A domain that has its share, and in each part of it a page that is never freed, wants
 * what finds no room in what this leaves, as it always will be; another one uses all that
 * is nobody's share, without an end.
 */
static void no_room_in_a_share(const char *name, unsigned int nents, size_t len)
{
	struct pages *rich = &pages[0], *poor = &pages[1];
	u64 chunk = host_chunk_size(WINDOW, SZ_2M);
	unsigned int i, n, at = 0, served = 0, rounds = 0;
	struct list list[2], *wanted = &list[0], *next = NULL;
	unsigned long had;

	begin(name, 3, 8 * chunk);
	for (i = 0; i < ARRAY_SIZE(list); i++)
		list_init(&list[i], nents, len);
	while (poor->nr < chunk / PAGE_SIZE)
		require(map(poor), "no room for a share");
	for (i = poor->nr; i--;)
		if (poor->dma[i] % LARGE)
			unmap(poor, i);
	require(poor->nr == chunk / LARGE, "%u pages stay", poor->nr);
	rest();
	had = host_chunks_granted();
	require(had == 1, "%lu chunks for a few pages", had);
	fill(rich);
	had = host_chunks_granted();

	for (i = 0; i < 3000; i++) {
		bool got = map_list(poor->dev, wanted);

		/* The next is begun before this one has ended */
		if (next)
			unmap_list(poor->dev, next);
		next = NULL;
		if (got) {
			served++;
			next = wanted;
			wanted = &list[wanted == &list[0]];
		}
		for (n = 0; rich->nr && n < 64; n++, at++) {
			at = at < rich->nr ? at : 0;
			unmap(rich, at);
			rounds += map(rich);
		}
		shim_run_work(HZ / 100);
		/* It takes what it gets, and comes first */
		map(rich);
		require(host_chunks_granted() <= had, "%lu chunks, of %lu",
			host_chunks_granted(), had);
	}
	require(served, "none was served in half a minute");
	require(rounds, "nothing for the other");
	if (next)
		unmap_list(poor->dev, next);
	unmap_all(rich);
	unmap_all(poor);
	for (i = 0; i < ARRAY_SIZE(list); i++)
		list_exit(&list[i]);
	end();
}

/*
 * One that asks for more in one piece than there will ever be: it is due one chunk more than
 * its share, and the rest is not kept from the others for that.
 */
static void never_to_be_had(void)
{
	struct pages *rich = &pages[0], *poor = &pages[1];
	u64 chunk = host_chunk_size(WINDOW, SZ_2M);
	unsigned int i, most = 8;
	struct page *large;

	begin("a mapping never to be had", 2, most * chunk);
	large = shim_alloc_pages(GFP_KERNEL, most * chunk / PAGE_SIZE);
	require(large, "no memory");
	require(map(poor), "no room for a share");
	for (i = 0; i < 30; i++) {
		require(poor->dev->dma_ops->map_phys(poor->dev, page_to_phys(large), most * chunk,
						     DMA_TO_DEVICE, DMA_ATTR_NO_WARN) ==
			DMA_MAPPING_ERROR, "all that there is, with another's share");
		shim_run_work(HZ / 10);
	}
	/* Kept are the chunk that it may have, and the share of who is yet to come */
	fill(rich);
	require(host_chunks_granted() == most - 2, "%lu chunks of %u",
		host_chunks_granted(), most);
	unmap_all(rich);
	unmap_all(poor);
	shim_free_pages(large, most * chunk / PAGE_SIZE);
	end();
}

/*
 * What the six ports of an AHCI have, and the longest list that it is told of, with
 * nothing else in flight.
 */
static void a_list_in_a_share(void)
{
	u64 chunk = host_chunk_size(WINDOW, SZ_2M);
	struct device *dev;
	struct list list;
	dma_addr_t port[6];
	unsigned int i;
	void *cpu[6];
	size_t len;

	begin("a list in a share", 1, 0);
	host_set_limit(chunk);
	rest();
	dev = guest.devices[0];
	len = min_t(size_t, dev->dma_ops->max_mapping_size(dev), SZ_4M);
	list_init(&list, ARRAY_SIZE(list.sgl), len / ARRAY_SIZE(list.sgl));
	for (i = 0; i < ARRAY_SIZE(port); i++) {
		cpu[i] = dev->dma_ops->alloc(dev, 23 * PAGE_SIZE, &port[i], GFP_KERNEL, 0);
		require(cpu[i], "no memory for port %u", i);
	}
	require(map_list(dev, &list), "no room for %u times %zu bytes", list.nents, list.len);
	unmap_list(dev, &list);
	for (i = 0; i < ARRAY_SIZE(port); i++)
		dev->dma_ops->free(dev, 23 * PAGE_SIZE, cpu[i], port[i], 0);
	list_exit(&list);
	end();
}

/*
 * Coherent memory that a driver asks for page by page, and keeps, while what it has
 * mapped comes and goes: it neither keeps chunks, nor divides the one where it is.
 */
static void what_stays(void)
{
	u64 chunk = host_chunk_size(WINDOW, SZ_2M);
	struct list large[16];
	dma_addr_t kept[16];
	struct pages *p = &pages[0];
	void *cpu[16];
	unsigned int i, k, n, largest;
	unsigned long lowest;

	begin("what stays", 1, 8 * chunk);
	/* So that CPUs keep nothing */
	fill(p);
	lowest = WINDOW / chunk - host_chunks_granted();
	require(lowest < WINDOW / chunk - 2, "%lu chunks", host_chunks_granted());
	for (k = 0; k < ARRAY_SIZE(kept); k++) {
		/*
		 * A page somewhere in each chunk, and two beside each other at its end; in
		 * the first round only in the chunk that would be the last choice
		 */
		for (i = p->nr, n = 0; i--;) {
			u64 pos = p->dma[i] % chunk / PAGE_SIZE;
			u64 end = chunk / PAGE_SIZE - 2 * k;

			if (!k && chunk_of(p->dma[i]) != lowest)
				continue;
			if (pos == k % 3 * LARGE / PAGE_SIZE + k || pos + 1 == end ||
			    pos + 2 == end) {
				unmap(p, i);
				n++;
			}
		}
		cpu[k] = p->dev->dma_ops->alloc(p->dev, PAGE_SIZE, &kept[k], GFP_KERNEL, 0);
		require(cpu[k], "no page that stays");
		while (--n)
			require(map(p), "no room for what was there");
	}
	unmap_all(p);
	rest();
	require(host_chunks_granted() == 1, "%lu chunks for %zu pages that stay",
		host_chunks_granted(), ARRAY_SIZE(kept));
	largest = chunk / LARGE - 1;
	for (i = 0; i < largest; i++) {
		list_init(&large[i], 1, LARGE);
		require(map_list(p->dev, &large[i]), "no room");
		require(chunk_of(sg_dma_address(large[i].sgl)) == chunk_of(kept[0]),
			"room for %u large blocks of %u beside what stays", i, largest);
	}
	while (i--) {
		unmap_list(p->dev, &large[i]);
		list_exit(&large[i]);
	}
	for (k = 0; k < ARRAY_SIZE(kept); k++)
		p->dev->dma_ops->free(p->dev, PAGE_SIZE, cpu[k], kept[k], 0);
	end();
}

/* A pool of a driver's that grows a page at a time, each time when all else is in use */
static void pool_under_load(void)
{
	struct pages *p = &pages[0];
	dma_addr_t kept[16];
	void *cpu[16];
	unsigned int k;

	begin("a pool that grows under load", 1, 0);
	for (k = 0; k < ARRAY_SIZE(kept); k++) {
		unsigned long had = host_chunks_granted();

		while (host_chunks_granted() == had)
			require(map(p), "no room");
		cpu[k] = p->dev->dma_ops->alloc(p->dev, PAGE_SIZE, &kept[k], GFP_KERNEL, 0);
		require(cpu[k], "no page for the pool");
	}
	unmap_all(p);
	rest();
	require(host_chunks_granted() == 1, "%lu chunks for %zu pages", host_chunks_granted(),
		ARRAY_SIZE(kept));
	for (k = 0; k < ARRAY_SIZE(kept); k++)
		p->dev->dma_ops->free(p->dev, PAGE_SIZE, cpu[k], kept[k], 0);
	rest();
	require(!host_chunks_granted(), "%lu chunks for nothing", host_chunks_granted());
	end();
}

/* More is granted than may be: that goes as soon as what is in use has been freed once */
static void above_the_limit(void)
{
	struct pages *p = &pages[0];
	u64 chunk = host_chunk_size(WINDOW, SZ_2M);

	begin("above the limit", 3, 8 * chunk);
	fill(p);
	require(host_chunks_granted() > 3, "%lu chunks", host_chunks_granted());
	host_set_limit(3 * chunk);
	require(pages_come_and_go(p, -1UL, NULL, 3), "%lu chunks of 3", host_chunks_granted());
	require(p->nr > chunk / PAGE_SIZE, "%u pages are left", p->nr);
	unmap_all(p);
	end();
}

/* ---- guest RAM ---- */

static struct page *refused_page;

static u32 refuse_page(const struct pv_iommu_req *req)
{
	u16 i;

	if (req->opcode != PV_IOMMU_OP_GRANT_RAM)
		return PV_IOMMU_S_OK;
	for (i = 0; i < req->nr_segs; i++)
		if (req->ranges[i].first == page_to_pfn(refused_page))
			return PV_IOMMU_S_IO;
	return PV_IOMMU_S_OK;
}

static void begin_direct(const char *name, unsigned int devices, unsigned long ram,
			 u64 limit, unsigned int cache)
{
	alarm(GUEST_SECONDS);
	now = name;
	*shim_param_direct = "all";
	*shim_param_direct_cache = cache;
	guest_begin_direct(&guest, 1, devices, WINDOW, 0, true, ram, limit);
}

static void end_direct(void)
{
	guest_check();
	guest_end(&guest);
	*shim_param_direct = "";
	*shim_param_direct_cache = 0;
	printf("%s: ok\n", now);
	fflush(stdout);
}

static bool map_direct(struct device *dev, struct page *page, dma_addr_t *dma)
{
	*dma = dev->dma_ops->map_phys(dev, page_to_phys(page), PAGE_SIZE,
				      DMA_BIDIRECTIONAL, DMA_ATTR_NO_WARN);
	return *dma != DMA_MAPPING_ERROR;
}

static void unmap_direct(struct device *dev, dma_addr_t dma)
{
	dev->dma_ops->unmap_phys(dev, dma, PAGE_SIZE, DMA_BIDIRECTIONAL, 0);
}

/*
 * Of two domains and several pages one is not granted again: the others are. Who maps it,
 * as it is in use, is not told that it was.
 */
static void one_page_less(const char *name, unsigned int cache)
{
	dma_addr_t dma[4], again;
	struct page *page[4];
	unsigned int i;

	begin_direct(name, 2, SZ_64M, SZ_64M, cache);
	for (i = 0; i < 4; i++) {
		/* Each in 2 MiB of its own */
		page[i] = shim_alloc_pages(GFP_KERNEL, SZ_2M / PAGE_SIZE);
		require(page[i] && map_direct(guest.devices[i / 2], page[i], &dma[i]),
			"page %u is not mapped", i);
	}
	refused_page = page[0];
	host_refuse = refuse_page;
	require(sleep_and_wake(), "resumed, and nothing was refused");
	host_refuse = NULL;
	for (i = 1; i < 4; i++)
		require(host_ram_perm(guest.rids[i / 2], page_to_phys(page[i])),
			"page %u is not granted any more", i);
	require(!map_direct(guest.devices[0], page[0], &again),
		"a page is mapped that is not granted, at %#llx", again);
	require(map_direct(guest.devices[1], page[2], &again), "no room");
	unmap_direct(guest.devices[1], again);
	require(shim_sysfs_write(guest.devices[0], "direct_cache", "8") < 0,
		"it keeps what it has not got");
	require(!sleep_and_wake(), "no resume");
	require(map_direct(guest.devices[0], page[0], &again) && again == dma[0],
		"at %#llx", again);
	unmap_direct(guest.devices[0], again);
	for (i = 0; i < 4; i++) {
		unmap_direct(guest.devices[i / 2], dma[i]);
		shim_free_pages(page[i], SZ_2M / PAGE_SIZE);
	}
	end_direct();
}

/*
 * All that may be granted is, by 2 MiB; the first of it is mapped, the rest idle. What
 * must be direct gets something of that.
 */
static void idle_behind(void)
{
	enum { MAPPED = 150, ALL = 160 };
	struct page *page[ALL + 1];
	dma_addr_t dma[ALL + 1];
	unsigned int i;

	begin_direct("idle memory behind what is mapped", 1, SZ_512M, ALL * SZ_2M, 512);
	for (i = 0; i < ALL; i++) {
		page[i] = shim_alloc_pages(GFP_KERNEL, SZ_2M / PAGE_SIZE);
		require(page[i] && map_direct(guest.devices[0], page[i], &dma[i]),
			"page %u is not mapped", i);
	}
	require(host_ram_granted() == ALL * (SZ_2M / PAGE_SIZE), "%lu pages are granted",
		host_ram_granted());
	for (i = MAPPED; i < ALL; i++)
		unmap_direct(guest.devices[0], dma[i]);
	page[ALL] = shim_alloc_pages(GFP_KERNEL, SZ_2M / PAGE_SIZE);
	require(page[ALL] && map_direct(guest.devices[0], page[ALL], &dma[ALL]),
		"no room, with %u x 2 MiB idle", ALL - MAPPED);
	unmap_direct(guest.devices[0], dma[ALL]);
	for (i = 0; i < MAPPED; i++)
		unmap_direct(guest.devices[0], dma[i]);
	for (i = 0; i <= ALL; i++)
		shim_free_pages(page[i], SZ_2M / PAGE_SIZE);
	end_direct();
}

/* Requests made since IRQs were on, and the most so far; and all of them */
static unsigned int in_a_row, most_in_a_row, asked;

static void count_asked(const struct pv_iommu_req *req)
{
	asked++;
	in_a_row++;
	most_in_a_row = max(most_in_a_row, in_a_row);
}

static void irqs_on(void)
{
	if (!irqs_disabled())
		in_a_row = 0;
}

/* Pages that lie apart, each of them a range of its own */
static bool map_apart(struct device *dev, struct scatterlist *sgl, struct page *first,
		      unsigned int n)
{
	unsigned int i;
	bool ok;

	sg_init_table(sgl, n);
	for (i = 0; i < n; i++)
		sg_set_page(&sgl[i], first + 2 * i, PAGE_SIZE, 0);
	in_a_row = most_in_a_row = asked = 0;
	host_asked = count_asked;
	shim_point_hook = irqs_on;
	ok = dev->dma_ops->map_sg(dev, sgl, n, DMA_BIDIRECTIONAL,
				  DMA_ATTR_REQUIRE_COHERENT | DMA_ATTR_NO_WARN) > 0;
	shim_point_hook = NULL;
	host_asked = NULL;
	return ok;
}

/*
 * The host grants all of a long list but the last page: nothing of it stays, and IRQs are
 * on again between requests. What was mapped before, some of it in the list, does stay.
 */
static void one_page_short(void)
{
	enum { ALL = 2048, BEFORE = 300, FIRST = ALL - BEFORE - 100 };
	struct scatterlist *sgl = calloc(ALL, sizeof(*sgl));
	struct page *mem;
	struct device *dev;
	dma_addr_t dma[BEFORE];
	unsigned int i;

	begin_direct("a list one page too long", 1, SZ_64M, (ALL - 1) * PAGE_SIZE, 0);
	dev = guest.devices[0];
	mem = shim_alloc_pages(GFP_KERNEL, 2 * ALL);
	require(sgl && mem, "no memory");
	for (i = 0; i < BEFORE; i++)
		require(map_direct(dev, mem + 2 * (FIRST + i), &dma[i]), "page %u", i);
	require(!map_apart(dev, sgl, mem, ALL), "%u pages are granted of %u", ALL, ALL - 1);
	require(asked > ALL / PV_IOMMU_MAX_RANGES, "%u requests", asked);
	require(most_in_a_row <= 2, "%u requests with IRQs off", most_in_a_row);
	require(host_ram_granted() == BEFORE, "%lu pages are granted", host_ram_granted());
	require(map_apart(dev, sgl, mem, ALL - 1), "no room for %u", ALL - 1);
	require(most_in_a_row == 1, "%u requests with IRQs off", most_in_a_row);
	dev->dma_ops->unmap_sg(dev, sgl, ALL - 1, DMA_BIDIRECTIONAL, 0);
	for (i = 0; i < BEFORE; i++)
		unmap_direct(dev, dma[i]);
	require(host_ram_granted() == 0, "%lu pages are granted", host_ram_granted());
	shim_free_pages(mem, 2 * ALL);
	free(sgl);
	end_direct();
}

/* What others keep goes for a long list, as much as it takes, and the list is asked for once */
static void room_for_a_list(void)
{
	enum { LEAF = SZ_2M / PAGE_SIZE, KEPT = 16, ALL = KEPT / 2 * LEAF };
	struct scatterlist *sgl = calloc(ALL, sizeof(*sgl));
	struct page *kept, *mem;
	dma_addr_t dma;
	unsigned int i;

	begin_direct("a list, where others keep all", 2, SZ_256M, KEPT * SZ_2M, 2 * KEPT);
	require(shim_sysfs_write(guest.devices[0], "direct_cache", "0") == 1, "direct_cache");
	kept = shim_alloc_pages(GFP_KERNEL, KEPT * LEAF);
	mem = shim_alloc_pages(GFP_KERNEL, 2 * ALL);
	require(sgl && kept && mem, "no memory");
	for (i = 0; i < KEPT; i++) {
		require(map_direct(guest.devices[1], kept + i * LEAF, &dma), "leaf %u", i);
		unmap_direct(guest.devices[1], dma);
	}
	require(host_ram_granted() == KEPT * LEAF, "%lu pages are granted",
		host_ram_granted());
	require(map_apart(guest.devices[0], sgl, mem, ALL), "no room");
	/* For each 2 MiB that go: that, what was refused, and what is queued elsewhere */
	require(asked <= ALL / PV_IOMMU_MAX_RANGES + 3 * (KEPT / 2) + 2, "%u requests", asked);
	require(most_in_a_row <= 2, "%u requests with IRQs off", most_in_a_row);
	require(host_ram_granted() == KEPT * LEAF, "%lu pages are granted",
		host_ram_granted());
	guest.devices[0]->dma_ops->unmap_sg(guest.devices[0], sgl, ALL, DMA_BIDIRECTIONAL, 0);
	shim_free_pages(mem, 2 * ALL);
	shim_free_pages(kept, KEPT * LEAF);
	free(sgl);
	end_direct();
}

/* Memory of the window's, which another device was given, is bounced; that is said once */
static void not_ram(void)
{
	dma_addr_t ring, dma[2];
	unsigned int warnings, i;
	struct device *dev;
	void *cpu;

	begin_direct("another device's coherent memory", 2, SZ_64M, SZ_64M, 0);
	dev = guest.devices[0];
	cpu = dev->dma_ops->alloc(dev, PAGE_SIZE, &ring, GFP_KERNEL, 0);
	require(cpu, "no ring");
	warnings = shim_log.warnings;
	for (i = 0; i < 2; i++) {
		dma[i] = guest.devices[1]->dma_ops->map_phys(guest.devices[1],
							     virt_to_phys(cpu), PAGE_SIZE,
							     DMA_BIDIRECTIONAL, 0);
		require(dma[i] != DMA_MAPPING_ERROR, "not mapped");
	}
	require(host_ram_granted() == 0, "granted as if it were RAM");
	require(shim_log.warnings == warnings + 1, "%u warnings",
		shim_log.warnings - warnings);
	for (i = 0; i < 2; i++)
		unmap_direct(guest.devices[1], dma[i]);
	dev->dma_ops->free(dev, PAGE_SIZE, cpu, ring, 0);
	end_direct();
}

/*
 * What is said to be possible is, where a domain has one chunk, as long as there is little
 * else in it; from within a page, too, where the device wants that kept
 */
static void largest(const char *name, size_t offset)
{
	dma_addr_t dma, at;
	struct device *dev;
	struct page *large;
	unsigned int i;
	size_t max;
	void *ring;

	begin(name, GUEST_MAX_DEVICES,
	      (GUEST_MAX_DEVICES + 1) * host_chunk_size(WINDOW, SZ_2M));
	dev = guest.devices[0];
	dev->dma_parms->min_align_mask = offset ? PAGE_SIZE - 1 : 0;
	ring = dev->dma_ops->alloc(dev, PAGE_SIZE, &dma, GFP_KERNEL, 0);
	require(ring, "no ring");
	/* The last one is in the same domain */
	for (i = 1; i < GUEST_MAX_DEVICES - 1; i++)
		fill(&pages[i]);
	require(host_chunks_granted() == GUEST_MAX_DEVICES, "%lu chunks",
		host_chunks_granted());
	max = dev->dma_ops->max_mapping_size(dev);
	require(max > guest.config.chunk / 4, "%zu bytes", max);
	large = shim_alloc_pages(GFP_KERNEL, max / PAGE_SIZE + 1);
	require(large, "no memory");
	at = dev->dma_ops->map_phys(dev, page_to_phys(large) + offset, max, DMA_TO_DEVICE,
				    DMA_ATTR_NO_WARN);
	require(at != DMA_MAPPING_ERROR, "%zu bytes do not fit", max);
	dev->dma_ops->unmap_phys(dev, at, max, DMA_TO_DEVICE, 0);
	shim_free_pages(large, max / PAGE_SIZE + 1);
	dev->dma_ops->free(dev, PAGE_SIZE, ring, dma, 0);
	for (i = 1; i < GUEST_MAX_DEVICES - 1; i++)
		unmap_all(&pages[i]);
	end();
}

int main(void)
{
	empties();
	in_the_way();
	left_behind();
	not_again();
	largest("the largest mapping of one chunk", 0);
	largest("the same from within a page", 512);
	less_on_wake();
	out_of_reach();
	less_than_a_share();
	no_room_in_a_share("no block in a share", 1, LARGE);
	no_room_in_a_share("a list longer than a share", 64, SZ_64K);
	never_to_be_had();
	a_list_in_a_share();
	what_stays();
	pool_under_load();
	above_the_limit();
	one_page_less("a page that is refused on wake", 0);
	one_page_less("2 MiB that are refused on wake", 16);
	idle_behind();
	one_page_short();
	room_for_a_list();
	not_ram();
	return 0;
}
