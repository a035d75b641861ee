// SPDX-License-Identifier: GPL-2.0
/*
 * direct-test [--fibers] [--rounds N] [--cpus N] [--seed S]
 *
 * Several CPUs map and unmap few pages for devices all of whose pages are direct, as
 * lists and by themselves, for reading and for writing, some pages twice in one list. The
 * host, which is strict, must never refuse anything but for want of budget. When a map
 * returns, its pages are granted as it wants, and stay so; when an unmap returns, and
 * nobody has mapped a page since it began, the device does not write to it. In the end
 * nothing is granted.
 *
 * With threads it is the thread sanitizer's to watch; with fibers a seed says who runs
 * when: also while another CPU is in the host.
 */

#include "cpus.h"
#include "guest.h"

#define DEVICES		2
/* Pages on both sides of a leaf's end, in so many pairs of leaves */
#define LEAVES		6
#define LEAF_PAGES	512
#define SIDE		4
#define POOL		(LEAVES * SIDE)
#define NR_SEGS		12
#define HELD		6
/* A part of a page: each CPU has its own, as it is copied */
#define PART_SIZE	40
#define PART_OFFSET	(shim_cpu.id * PART_SIZE)

/**
 * struct mapping - one that a driver has made
 * @dev: for which device
 * @sgl: its pages, as a list of @nents
 * @single: it is one page, at @dma
 * @page: which pages of the pool
 * @part: it is a part of a page, which bounces; others beside it may be direct
 * @dir: the direction
 */
struct mapping {
	unsigned int dev;
	struct scatterlist sgl[NR_SEGS];
	unsigned int nents;
	bool single;
	dma_addr_t dma;
	unsigned int page[NR_SEGS];
	bool part[NR_SEGS];
	enum dma_data_direction dir;
};

static struct guest guest;
static struct cpus_how how;
static struct {
	unsigned int running;
	bool kept;
	struct page *pool[POOL];
	/* Of each device and page: mappings from before the map to after the unmap */
	unsigned int active[DEVICES][POOL];
	/* and how often one began */
	unsigned int begun[DEVICES][POOL];
	unsigned long maps, full, refused;
	struct page *mem;
	/* One has left; grants before, and meanwhile */
	bool left;
	u64 grants;
} all;

static void die(const char *what, u64 a, u64 b)
{
	shim_panic("CPU %u, seed %llu: %s: %#llx, %#llx", shim_cpu.id, how.seed, what, a, b);
}

static bool writes(const struct mapping *m)
{
	return m->dir != DMA_TO_DEVICE;
}

/* What has been mapped is granted, as long as it is mapped */
static void there(const struct mapping *m)
{
	u32 want = PV_IOMMU_RANGE_READ | (writes(m) ? PV_IOMMU_RANGE_WRITE : 0), perm;
	unsigned int i;

	for (i = 0; i < m->nents; i++) {
		if (m->part[i])
			continue;
		perm = host_ram_perm(guest.rids[m->dev], page_to_phys(all.pool[m->page[i]]));
		if ((perm & want) != want)
			die("a mapped page is granted", perm, want);
	}
}

static void count(struct mapping *m, int delta)
{
	unsigned int i;

	for (i = 0; i < m->nents; i++) {
		if (delta > 0)
			__atomic_fetch_add(&all.begun[m->dev][m->page[i]], 1,
					   __ATOMIC_ACQ_REL);
		__atomic_fetch_add(&all.active[m->dev][m->page[i]], delta, __ATOMIC_ACQ_REL);
	}
}

/* Nobody has mapped a page, and nobody began to while we look: nothing writes there */
static void gone(const struct mapping *m)
{
	unsigned int i;

	for (i = 0; i < m->nents && !all.kept; i++) {
		unsigned int *active = &all.active[m->dev][m->page[i]];
		unsigned int *begun = &all.begun[m->dev][m->page[i]];
		unsigned int before = __atomic_load_n(begun, __ATOMIC_ACQUIRE);
		u32 perm;

		if (__atomic_load_n(active, __ATOMIC_ACQUIRE))
			continue;
		perm = host_ram_perm(guest.rids[m->dev], page_to_phys(all.pool[m->page[i]]));
		if (__atomic_load_n(begun, __ATOMIC_ACQUIRE) == before &&
		    perm & PV_IOMMU_RANGE_WRITE)
			die("an unmapped page can be written", perm, m->page[i]);
	}
}

static bool map_it(struct mapping *m, struct device *dev)
{
	unsigned int i;

	if (m->single) {
		m->dma = dev->dma_ops->map_phys(dev, page_to_phys(all.pool[m->page[0]]),
						PAGE_SIZE, m->dir, DMA_ATTR_NO_WARN);
		return m->dma != DMA_MAPPING_ERROR;
	}
	sg_init_table(m->sgl, m->nents);
	for (i = 0; i < m->nents; i++)
		sg_set_page(&m->sgl[i], all.pool[m->page[i]],
			    m->part[i] ? PART_SIZE : PAGE_SIZE, m->part[i] ? PART_OFFSET : 0);
	return dev->dma_ops->map_sg(dev, m->sgl, m->nents, m->dir, DMA_ATTR_NO_WARN) > 0;
}

static struct mapping *map(u64 *r)
{
	struct mapping *m = calloc(1, sizeof(*m));
	unsigned int nparts = world_random(r) % 3 == 0 ? 2 : 0;
	unsigned int i, leaf = world_random(r) % LEAVES;

	m->dev = world_random(r) % DEVICES;
	m->single = world_random(r) % 2;
	m->nents = m->single ? 1 : 1 + world_random(r) % NR_SEGS;
	/* Near each other mostly, or else over all leaves */
	for (i = 0; i < m->nents; i++)
		m->page[i] = world_random(r) % 4 ?
			leaf * SIDE + world_random(r) % SIDE : world_random(r) % POOL;
	/*
	 * Of more than two, or of these for a start, all bounces, and pages that others
	 * have are copied
	 */
	for (i = 0; i < m->nents && !m->single && nparts; i++) {
		m->part[i] = world_random(r) % 3 == 0 && !(i == 1 && m->part[0]);
		nparts -= m->part[i];
	}
	m->dir = world_random(r) % 2 ? DMA_TO_DEVICE :
		 world_random(r) % 2 ? DMA_FROM_DEVICE : DMA_BIDIRECTIONAL;
	count(m, 1);
	if (map_it(m, guest.devices[m->dev])) {
		__atomic_fetch_add(&all.maps, 1, __ATOMIC_RELAXED);
		there(m);
		return m;
	}
	__atomic_fetch_add(&all.full, 1, __ATOMIC_RELAXED);
	count(m, -1);
	gone(m);
	free(m);
	return NULL;
}

static void unmap(struct mapping *m)
{
	struct device *dev = guest.devices[m->dev];

	there(m);
	if (m->single)
		dev->dma_ops->unmap_phys(dev, m->dma, PAGE_SIZE, m->dir, 0);
	else
		dev->dma_ops->unmap_sg(dev, m->sgl, m->nents, m->dir, 0);
	count(m, -1);
	gone(m);
	free(m);
}

static void driver(u64 r)
{
	struct mapping *held[HELD] = { };
	unsigned int round, i;

	for (round = 0; round < how.rounds; round++) {
		i = world_random(&r) % HELD;
		if (held[i]) {
			unmap(held[i]);
			held[i] = NULL;
		} else {
			held[i] = map(&r);
		}
		cpus_pause();
	}
	for (i = 0; i < HELD; i++)
		if (held[i])
			unmap(held[i]);
}

static void cpu_main(unsigned int cpu, void *unused)
{
	u64 r = how.seed * 1000;

	/* The last one has time go by: queues are sent, what is kept ages */
	if (cpu < how.cpus - 1)
		driver(r + cpu);
	while (cpu == how.cpus - 1 && __atomic_load_n(&all.running, __ATOMIC_ACQUIRE) > 1) {
		shim_run_work(1 + world_random(&r) % 40);
		cpus_pause();
	}
	__atomic_fetch_sub(&all.running, 1, __ATOMIC_ACQ_REL);
}

static void pool_begin(void)
{
	unsigned int i;

	all.mem = shim_alloc_pages(GFP_KERNEL, LEAVES * LEAF_PAGES);
	if (!all.mem)
		die("no memory", 0, 0);
	for (i = 0; i < POOL; i++)
		all.pool[i] = all.mem + (i / SIDE) * LEAF_PAGES + LEAF_PAGES -
			      (page_to_pfn(all.mem) & (LEAF_PAGES - 1)) + i % SIDE - SIDE / 2;
}

static void pool_end(void)
{
	shim_free_pages(all.mem, LEAVES * LEAF_PAGES);
}

/* Nobody has complained */
static void quiet(void)
{
	if (shim_log.warns || shim_log.errors)
		shim_panic("%lu WARN()s, %lu errors: %s", shim_log.warns, shim_log.errors,
			   shim_log.last);
	if (host_counters.refused)
		shim_panic("%llu requests were refused", host_counters.refused);
}

/* @limit: pages that the host grants; @cache: MiB that are kept */
static void run(unsigned long limit, unsigned int cache)
{
	unsigned int i;

	*shim_param_direct = "all";
	*shim_param_direct_cache = cache;
	*shim_param_direct_cache_idle = 1;
	all.kept = cache;
	guest_begin_direct(&guest, how.cpus, DEVICES, SZ_2M, 0, true, SZ_64M,
			   limit << PAGE_SHIFT);
	pool_begin();
	for (i = 0; i < DEVICES; i++)
		to_pci_dev(guest.devices[i])->dma_parms.min_align_mask = PAGE_SIZE - 1;
	all.running = how.cpus;
	all.maps = 0;
	all.full = 0;
	cpus_run(&how, cpu_main, NULL);
	quiet();
	for (i = 0; i < 100 && host_ram_granted(); i++)
		shim_run_work(1000);
	if (host_ram_granted())
		die("granted in the end", host_ram_granted(), 0);
	pool_end();
	guest_end(&guest);
	*shim_param_direct = "";
	*shim_param_direct_cache = 0;
	printf("%lu pages, %u MiB kept, %u %s: %lu mappings, %lu more were not to be had\n",
	       limit, cache, how.cpus, how.fibers ? "fibers" : "threads", all.maps, all.full);
	fflush(stdout);
	/* A run in which nothing is mapped, or all of it is, shows little */
	if (!all.maps || !all.full)
		die("maps, and those that failed", all.maps, all.full);
}

/* ---- a device that goes while the others of its domain are at work ---- */

#define LEAVINGS	20
/* Requests of each other CPU meanwhile; and when they end, whoever is left */
#define MANY		100
#define PATIENCE	3000

/* Maps and unmaps pages of its own, one after the other: each map takes revokes along */
static void busy_driver(unsigned int cpu)
{
	struct device *dev = guest.devices[0];
	unsigned int round;
	struct page *page;
	dma_addr_t dma;

	for (round = 0; round < PATIENCE; round++) {
		if (__atomic_load_n(&all.left, __ATOMIC_ACQUIRE))
			break;
		page = all.pool[(cpu * SIDE + round % SIDE) % POOL];
		dma = dev->dma_ops->map_phys(dev, page_to_phys(page), PAGE_SIZE,
					     DMA_TO_DEVICE, 0);
		if (dma == DMA_MAPPING_ERROR)
			die("a page is mapped", cpu, round);
		dev->dma_ops->unmap_phys(dev, dma, PAGE_SIZE, DMA_TO_DEVICE, 0);
	}
	__atomic_fetch_sub(&all.running, 1, __ATOMIC_ACQ_REL);
}

static u64 grants(void)
{
	return __atomic_load_n(&host_counters.requests[PV_IOMMU_OP_GRANT_RAM],
			       __ATOMIC_RELAXED);
}

static void leaving_main(unsigned int cpu, void *unused)
{
	struct pci_dev *pdev = to_pci_dev(guest.devices[2]);
	u64 before;

	if (cpu < how.cpus - 1) {
		busy_driver(cpu);
		return;
	}
	/* They are at it */
	while (__atomic_load_n(&all.running, __ATOMIC_ACQUIRE) > 1 &&
	       grants() < all.grants + 4 * how.cpus)
		cpus_pause();
	before = grants();
	shim_unbind(pdev);
	all.grants = grants() - before;
	__atomic_store_n(&all.left, true, __ATOMIC_RELEASE);
	/* Who waits for what has just come is not the last one, which would wait in vain */
	while (__atomic_load_n(&all.running, __ATOMIC_ACQUIRE) > 1)
		cpus_pause();
}

/*
 * Each request has another's revoke with it, and there is always one in the host. Who
 * goes waits for those that there are, and not until there is none.
 */
static void run_leaving(void)
{
	u64 most = 0;
	unsigned int i;

	*shim_param_direct = "all";
	/* The last of three is of the first one's group */
	guest_begin_direct(&guest, how.cpus, 3, SZ_2M, 0, true, SZ_64M, SZ_16M);
	pool_begin();
	host_slow = 50;
	for (i = 0; i < LEAVINGS; i++) {
		all.running = how.cpus;
		all.left = false;
		all.grants = grants();
		cpus_run(&how, leaving_main, NULL);
		most = max(most, all.grants);
		/* How long threads take to have their turn is not the module's to say */
		if (how.fibers && all.grants > MANY * (how.cpus - 1))
			die("a device leaves others of its domain that are at work",
			    all.grants, how.cpus);
		shim_bind(to_pci_dev(guest.devices[2]));
	}
	host_slow = 0;
	quiet();
	pool_end();
	guest_end(&guest);
	*shim_param_direct = "";
	printf("%u times a device has left its domain to %u %s: at most %llu grants meanwhile\n",
	       LEAVINGS, how.cpus - 1, how.fibers ? "fibers" : "threads", most);
	fflush(stdout);
}

/* ---- a device that goes while a revoke is on its way with another's request ---- */

/* Where the one that goes is interrupted, and where it goes on */
static unsigned int point, back;
static unsigned long tries;

/* Whoever had it on its way, what was unmapped before is granted no more by now */
static void asked_for_detach(const struct pv_iommu_req *req)
{
	u64 page = page_to_phys(all.pool[0]);

	if (req->opcode == PV_IOMMU_OP_DETACH && host_ram_perm(guest.rids[0], page))
		die("a page is granted that was unmapped before a device left", point, back);
}

static void use_page(unsigned int page)
{
	struct device *dev = guest.devices[0];
	dma_addr_t dma;

	dma = dev->dma_ops->map_phys(dev, page_to_phys(all.pool[page]), PAGE_SIZE,
				     DMA_TO_DEVICE, 0);
	if (dma == DMA_MAPPING_ERROR)
		die("a page is mapped", page, point);
	dev->dma_ops->unmap_phys(dev, dma, PAGE_SIZE, DMA_TO_DEVICE, 0);
}

static void between_main(unsigned int cpu, void *unused)
{
	if (cpu)
		use_page(1);
	else
		shim_unbind(to_pci_dev(guest.devices[2]));
}

static bool try_between(bool *came_back)
{
	bool reached;

	/* Its revoke waits for company: the other's map, or who goes */
	use_page(0);
	host_asked = asked_for_detach;
	reached = cpus_run_between(between_main, NULL, point, back, came_back);
	host_asked = NULL;
	shim_bind(to_pci_dev(guest.devices[2]));
	tries++;
	return reached;
}

/* At every point of who goes, another maps, and is anywhere in it when that goes on */
static void run_between(void)
{
	bool came_back;

	*shim_param_direct = "all";
	guest_begin_direct(&guest, how.cpus, 3, SZ_2M, 0, true, SZ_64M, SZ_16M);
	pool_begin();
	tries = 0;
	for (point = 1, back = 0; try_between(&came_back); point++, back = 0) {
		do {
			back++;
			try_between(&came_back);
		} while (came_back);
	}
	quiet();
	pool_end();
	guest_end(&guest);
	*shim_param_direct = "";
	printf("a device has left while another maps, at each of %u points: %lu ways\n",
	       point - 1, tries);
	fflush(stdout);
}

/* ---- 2 MiB that the host does not grant as one ---- */

/* Pages that are granted while one is mapped */
static unsigned long granted_by_map(void)
{
	struct device *dev = guest.devices[0];
	unsigned long granted;
	dma_addr_t dma;

	dma = dev->dma_ops->map_phys(dev, page_to_phys(all.pool[0]), PAGE_SIZE,
				     DMA_TO_DEVICE, 0);
	if (dma == DMA_MAPPING_ERROR)
		die("a page is mapped", 0, 0);
	granted = host_ram_granted();
	dev->dma_ops->unmap_phys(dev, dma, PAGE_SIZE, DMA_TO_DEVICE, 0);
	return granted;
}

static u32 refusal;

static u32 refuse(const struct pv_iommu_req *req)
{
	u32 status = refusal;

	if (req->opcode != PV_IOMMU_OP_GRANT_RAM ||
	    !(req->ranges[0].flags & PV_IOMMU_RANGE_LARGE))
		return PV_IOMMU_S_OK;
	refusal = PV_IOMMU_S_OK;
	return status;
}

/* Refused for once, and by themselves the pages can be had; then? */
static void run_refused(u32 status, unsigned long then)
{
	unsigned long granted;

	*shim_param_direct = "all";
	*shim_param_direct_cache = 4;
	guest_begin_direct(&guest, how.cpus, 1, SZ_2M, 0, true, SZ_64M, SZ_16M);
	pool_begin();
	refusal = status;
	host_refuse = refuse;
	granted = granted_by_map();
	host_refuse = NULL;
	if (refusal || granted != 1)
		die("2 MiB are refused, and a page is granted", refusal, granted);
	if (host_counters.refused != 1)
		die("requests that were refused", host_counters.refused, 1);
	host_counters.refused = 0;
	granted = granted_by_map();
	if (granted != then)
		die("pages of the next map after 2 MiB were refused", granted, then);
	quiet();
	pool_end();
	guest_end(&guest);
	*shim_param_direct = "";
	*shim_param_direct_cache = 0;
	printf("2 MiB refused with status %u: the next map has %lu pages\n", status, granted);
	fflush(stdout);
}

/* ---- several domains that keep more than there is room for ---- */

static struct page *page_of_leaf(unsigned int leaf)
{
	return all.pool[leaf * SIDE];
}

static dma_addr_t map_in_leaf(unsigned int dev, unsigned int leaf)
{
	struct device *d = guest.devices[dev];
	dma_addr_t dma = d->dma_ops->map_phys(d, page_to_phys(page_of_leaf(leaf)), PAGE_SIZE,
					      DMA_TO_DEVICE, 0);

	if (dma == DMA_MAPPING_ERROR)
		die("a page is mapped", dev, leaf);
	/* The next one is later */
	shim_run_work(1);
	return dma;
}

static void unmap_in_leaf(unsigned int dev, dma_addr_t dma)
{
	struct device *d = guest.devices[dev];

	d->dma_ops->unmap_phys(d, dma, PAGE_SIZE, DMA_TO_DEVICE, 0);
}

static void use_leaf(unsigned int dev, unsigned int leaf)
{
	unmap_in_leaf(dev, map_in_leaf(dev, leaf));
}

/* Is that what the device has granted of leaves that are not mapped, bit by bit? */
static void keeps(unsigned int dev, unsigned long want)
{
	unsigned long got = 0;
	unsigned int i;

	/* What is queued is revoked */
	shim_run_work(msecs_to_jiffies(20));
	for (i = 0; i < LEAVES; i++)
		if (host_ram_perm(guest.rids[dev], page_to_phys(page_of_leaf(i))))
			got |= BIT(i);
	if (got != want)
		die("leaves that are kept, bit by bit", got, want);
}

/* @pages: the host grants so many; @cache: MiB that are kept. There is room for two */
static void run_oldest(unsigned long pages, unsigned int cache)
{
	dma_addr_t dma;

	*shim_param_direct = "all";
	*shim_param_direct_cache = cache;
	guest_begin_direct(&guest, how.cpus, DEVICES, SZ_2M, 0, true, SZ_64M,
			   pages << PAGE_SHIFT);
	pool_begin();
	use_leaf(0, 0);
	use_leaf(1, 1);
	use_leaf(1, 2);
	/* The other's was used least recently */
	keeps(0, 0);
	keeps(1, BIT(1) | BIT(2));
	use_leaf(1, 1);
	dma = map_in_leaf(0, 3);
	keeps(0, BIT(3));
	keeps(1, BIT(1));
	/* What is mapped stays, however old it is */
	use_leaf(1, 2);
	keeps(0, BIT(3));
	keeps(1, BIT(2));
	unmap_in_leaf(0, dma);
	use_leaf(1, 4);
	keeps(0, 0);
	keeps(1, BIT(2) | BIT(4));
	quiet();
	pool_end();
	guest_end(&guest);
	*shim_param_direct = "";
	*shim_param_direct_cache = 0;
	printf("%lu pages, %u MiB kept: of two domains the oldest goes\n", pages, cache);
	fflush(stdout);
}

/* ---- what one domain has not given back yet is in another's way ---- */

/* The other has had all that the host grants, and its revoke waits */
static void leave_waiting(void)
{
	struct device *other = guest.devices[1];
	dma_addr_t dma;

	dma = other->dma_ops->map_phys(other, page_to_phys(all.pool[0]), PAGE_SIZE,
				       DMA_TO_DEVICE, 0);
	if (dma == DMA_MAPPING_ERROR)
		die("the other's page is mapped", point, 0);
	other->dma_ops->unmap_phys(other, dma, PAGE_SIZE, DMA_TO_DEVICE, 0);
	if (!host_ram_perm(guest.rids[1], page_to_phys(all.pool[0])))
		die("its revoke waits", point, 0);
}

static void waiting_main(unsigned int cpu, void *unused)
{
	if (cpu)
		use_page(0);
	else
		shim_run_work(msecs_to_jiffies(20));
}

/* Who must not be copied has that page, wherever the worker is that gives it back */
static void run_waiting(void)
{
	bool came_back;

	*shim_param_direct = "all";
	guest_begin_direct(&guest, how.cpus, DEVICES, SZ_2M, 0, true, SZ_64M, PAGE_SIZE);
	pool_begin();
	point = back = 0;
	leave_waiting();
	use_page(0);
	/* Points are those of fibers */
	do {
		point++;
		leave_waiting();
	} while (how.fibers && cpus_run_between(waiting_main, NULL, point, back, &came_back));
	quiet();
	pool_end();
	guest_end(&guest);
	*shim_param_direct = "";
	printf("the only page is another's, and on its way back, at each of %u points\n",
	       point - 1);
	fflush(stdout);
}

/* ---- a device that keeps, without the parameter ---- */

/* How much it may keep: what is written, and what is answered and there then */
static void set_cache(unsigned int dev, const char *mib, int error, const char *then)
{
	char buf[PAGE_SIZE] = "";
	int ret = shim_sysfs_write(guest.devices[dev], "direct_cache", mib);

	if (ret != (error ?: (int)strlen(mib)))
		die("what is answered to direct_cache", dev, ret);
	shim_sysfs_read(guest.devices[dev], "direct_cache", buf);
	if (strcmp(buf, then))
		shim_panic("direct_cache of device %u is %s after %s", dev, buf, mib);
}

static void run_own_cache(void)
{
	dma_addr_t dma, more;

	*shim_param_direct = "all";
	*shim_param_direct_cache_idle = 60;
	guest_begin_direct(&guest, how.cpus, DEVICES, SZ_2M, 0, true, SZ_64M, SZ_16M);
	pool_begin();
	set_cache(0, "1", -EOPNOTSUPP, "0\n");
	set_cache(0, "some", -EINVAL, "0\n");
	set_cache(0, "5", 0, "4\n");
	use_leaf(0, 0);
	use_leaf(0, 1);
	use_leaf(0, 2);
	use_leaf(1, 3);
	keeps(0, BIT(1) | BIT(2));
	keeps(1, 0);
	/* Others may be told to keep of the same, and what is above it goes at once */
	set_cache(1, "1", 0, "1\n");
	use_leaf(1, 3);
	keeps(0, BIT(2));
	keeps(1, BIT(3));
	set_cache(1, "2", 0, "2\n");
	use_leaf(1, 4);
	keeps(0, BIT(2));
	keeps(1, BIT(3) | BIT(4));
	set_cache(1, "0", 0, "0\n");
	keeps(0, 0);
	keeps(1, BIT(3) | BIT(4));
	set_cache(0, "4294967295", 0, "4294967294\n");
	set_cache(1, "2", -ERANGE, "0\n");
	set_cache(0, "0", 0, "0\n");
	keeps(1, 0);
	/* What is mapped goes when it is not, and nobody has to wait until it is old */
	set_cache(0, "4", 0, "4\n");
	dma = map_in_leaf(0, 0);
	more = map_in_leaf(0, 1);
	set_cache(0, "2", 0, "2\n");
	use_leaf(0, 2);
	keeps(0, BIT(0) | BIT(1));
	unmap_in_leaf(0, more);
	set_cache(0, "0", 0, "0\n");
	keeps(0, BIT(0));
	unmap_in_leaf(0, dma);
	keeps(0, BIT(0));
	shim_run_work(2 * HZ);
	keeps(0, 0);
	/* With a device goes what there was for its sake; one that comes keeps nothing of it */
	set_cache(0, "4", 0, "4\n");
	shim_unbind(to_pci_dev(guest.devices[1]));
	shim_bind(to_pci_dev(guest.devices[1]));
	set_cache(1, "some", -EINVAL, "0\n");
	set_cache(1, "1", 0, "1\n");
	use_leaf(1, 3);
	shim_unbind(to_pci_dev(guest.devices[0]));
	keeps(1, 0);
	use_leaf(1, 3);
	keeps(1, 0);
	shim_bind(to_pci_dev(guest.devices[0]));
	set_cache(0, "1", -EOPNOTSUPP, "0\n");
	quiet();
	pool_end();
	guest_end(&guest);
	*shim_param_direct = "";
	printf("devices keep what they are told to in sysfs\n");
	fflush(stdout);
}

/* ---- a device that does not reach what is granted ---- */

/* Maps a page, or a list, for a device that never syncs, and unmaps it; lines of the log */
static unsigned long lines_of_map(bool single, unsigned long size, unsigned long attrs)
{
	struct device *dev = guest.devices[0];
	unsigned long before = shim_log.warnings;
	struct scatterlist sg;
	dma_addr_t dma;

	if (single) {
		dma = dev->dma_ops->map_phys(dev, page_to_phys(all.pool[0]), size,
					     DMA_TO_DEVICE, attrs);
		if (dma == DMA_MAPPING_ERROR)
			die("a page is mapped", size, attrs);
		dev->dma_ops->unmap_phys(dev, dma, size, DMA_TO_DEVICE, 0);
	} else {
		sg_init_table(&sg, 1);
		sg_set_page(&sg, all.pool[0], size, 0);
		if (dev->dma_ops->map_sg(dev, &sg, 1, DMA_TO_DEVICE, attrs) != 1)
			die("a list is mapped", size, attrs);
		dev->dma_ops->unmap_sg(dev, &sg, 1, DMA_TO_DEVICE, 0);
	}
	return shim_log.warnings - before;
}

/*
 * Is what must be coherent refused, as it is specified, and nothing granted for it? Lines
 * of the log.
 */
static unsigned long lines_of_coherent(bool single, unsigned long size, unsigned long attrs,
				       bool refused)
{
	struct device *dev = guest.devices[0];
	unsigned long before = shim_log.warnings;
	struct scatterlist sg;
	dma_addr_t dma;
	int n;

	attrs |= DMA_ATTR_REQUIRE_COHERENT;
	if (single) {
		dma = dev->dma_ops->map_phys(dev, page_to_phys(all.pool[0]), size,
					     DMA_FROM_DEVICE, attrs);
		n = dma == DMA_MAPPING_ERROR ? -EINVAL : 1;
	} else {
		sg_init_table(&sg, 1);
		sg_set_page(&sg, all.pool[0], size, 0);
		n = dev->dma_ops->map_sg(dev, &sg, 1, DMA_FROM_DEVICE, attrs);
	}
	if (n != (refused ? -EINVAL : 1) || host_ram_granted() != !refused)
		die("what must be coherent, and what is granted", n, host_ram_granted());
	if (!refused && single)
		dev->dma_ops->unmap_phys(dev, dma, size, DMA_FROM_DEVICE, attrs);
	else if (!refused)
		dev->dma_ops->unmap_sg(dev, &sg, 1, DMA_FROM_DEVICE, attrs);
	return shim_log.warnings - before;
}

/* The same, of a device that reaches what is granted, or is told once that it does not */
static void coherent_beyond(bool single, bool refused)
{
	unsigned long told;

	/* What is queued is revoked */
	shim_run_work(1000);
	/* A part of a page cannot be had so by anybody */
	lines_of_coherent(single, 100, 0, true);
	told = lines_of_coherent(single, PAGE_SIZE, DMA_ATTR_NO_WARN, refused);
	if (told)
		die("lines for who wants none", told, 0);
	told = lines_of_coherent(single, PAGE_SIZE, 0, refused);
	if (told != refused)
		die("lines for what must be coherent", told, refused);
	told = lines_of_coherent(single, PAGE_SIZE, 0, refused) +
	       lines_of_coherent(!single, PAGE_SIZE, 0, refused);
	if (told)
		die("lines for the same once more", told, 0);
}

/* Whose mask does not reach them is told so: once, and only of whole pages */
static void run_beyond(u64 mask, bool single, unsigned long lines)
{
	unsigned long told;

	*shim_param_direct = "all";
	guest_begin_direct(&guest, how.cpus, 1, SZ_2M, 0, true, SZ_64M, SZ_16M);
	pool_begin();
	to_pci_dev(guest.devices[0])->dma_mask = mask;
	told = lines_of_map(single, 100, 0);
	told += lines_of_map(single, PAGE_SIZE, DMA_ATTR_NO_WARN);
	if (told)
		die("lines for a part of a page, and for who wants none", told, 0);
	told = lines_of_map(single, PAGE_SIZE, 0);
	if (told != lines)
		die("lines for what the mask does not reach", told, lines);
	told = lines_of_map(single, PAGE_SIZE, 0) + lines_of_map(!single, PAGE_SIZE, 0);
	if (told)
		die("lines for the same once more", told, 0);
	coherent_beyond(single, lines);
	quiet();
	pool_end();
	guest_end(&guest);
	*shim_param_direct = "";
	printf("mask %#llx, %s: %lu lines that it does not reach what is granted\n", mask,
	       single ? "page" : "list", lines);
	fflush(stdout);
}

static void run_all(void)
{
	/* RAM is granted from 64 GiB on */
	run_beyond(DMA_BIT_MASK(64), true, 0);
	run_beyond(DMA_BIT_MASK(64), false, 0);
	run_beyond(DMA_BIT_MASK(32), true, 1);
	run_beyond(DMA_BIT_MASK(32), false, 1);
	/* What the host could not do it may be able to do; what is not RAM stays so */
	run_refused(PV_IOMMU_S_IO, LEAF_PAGES);
	run_refused(PV_IOMMU_S_RANGE, 1);
	/* Room for two: the guest's, and the host's */
	run_oldest(16384, 4);
	run_oldest(2 * LEAF_PAGES, 64);
	run_waiting();
	run_own_cache();
	/* Points are those of fibers */
	if (how.fibers)
		run_between();
	run_leaving();
	/* With room for all; with too little; and the same with leaves that are kept */
	run(2 * POOL, 0);
	run(POOL, 0);
	run(16384, 4);
	run(1024 + 10, 8);
}

int main(int argc, char **argv)
{
	return cpus_main(argc, argv, &how, run_all);
}
