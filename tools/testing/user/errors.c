// SPDX-License-Identifier: GPL-2.0
/*
 * errors: what a random walk does not come by as nothing fails there: memory runs out, the
 * host refuses, or answers what cannot be. One CPU; what fails says so, leaves nothing, and
 * is in nobody's way afterwards.
 */
#include <unistd.h>

#include "guest.h"

#define RAM		SZ_64M
#define WINDOW		SZ_64M
#define ARENA		SZ_16M
#define BUFFER		SZ_4M
#define MAX_PAGES	(WINDOW / PAGE_SIZE)
#define MAX_ENTRIES	16

static struct guest guest;
static const char *now;
static long nth;
static struct page *buffer;
static struct page *p2p;
static dma_addr_t pages[MAX_PAGES];
static unsigned int nr_pages;

#define require(cond, fmt, ...) do {						\
	if (!(cond))								\
		shim_panic("%s, %ld: " fmt, now, nth, ##__VA_ARGS__);		\
} while (0)

/**
 * struct kind - a guest, and what its devices get
 * @name: what it is called
 * @arena: bytes of arena: bounce mode
 * @chunks: the window comes in chunks
 * @direct: bytes of RAM that may be granted
 * @cache: MiB of it that stay granted
 */
static const struct kind {
	const char *name;
	u64 arena;
	bool chunks;
	u64 direct;
	unsigned int cache;
} kinds[] = {
	{ "window", 0, false, 0, 0 },
	{ "chunks", 0, true, 0, 0 },
	{ "bounce", ARENA, true, 0, 0 },
	{ "direct", 0, true, SZ_16M, 0 },
	{ "kept", 0, true, SZ_16M, 4 },
};

static const struct dma_map_ops *ops(unsigned int i)
{
	return guest.devices[i]->dma_ops;
}

static void begin(const char *name, unsigned int devices, u64 arena)
{
	alarm(GUEST_SECONDS);
	now = name;
	nth = 0;
	guest_begin(&guest, 1, devices, WINDOW, arena, true, RAM);
	buffer = shim_alloc_pages(GFP_KERNEL, BUFFER / PAGE_SIZE);
	require(buffer, "no memory");
	nr_pages = 0;
}

static void end(void)
{
	host_refuse = NULL;
	host_tamper = NULL;
	guest_check();
	shim_free_pages(buffer, BUFFER / PAGE_SIZE);
	guest_end(&guest);
	printf("%s: ok\n", now);
	fflush(stdout);
}

static bool map(unsigned int dev)
{
	dma_addr_t dma = ops(dev)->map_phys(guest.devices[dev], page_to_phys(buffer),
					    PAGE_SIZE, DMA_TO_DEVICE, DMA_ATTR_NO_WARN);

	if (dma == DMA_MAPPING_ERROR)
		return false;
	pages[nr_pages++] = dma;
	return true;
}

static unsigned int fill(unsigned int dev)
{
	while (nr_pages < MAX_PAGES && map(dev))
		;
	return nr_pages;
}

static void unmap_all(unsigned int dev)
{
	while (nr_pages)
		ops(dev)->unmap_phys(guest.devices[dev], pages[--nr_pages], PAGE_SIZE,
				     DMA_TO_DEVICE, 0);
}

static void rest(void)
{
	unsigned int i;

	for (i = 0; i < 30; i++)
		shim_run_work(HZ);
}

static unsigned int chunk_pages(void)
{
	return guest.config.chunk / PAGE_SIZE;
}

/* ---- memory runs out ---- */

/* A bit of all that drivers do; whatever of it fails */
static void use(unsigned int i)
{
	struct device *dev = guest.devices[i];
	struct scatterlist sgl[2];
	dma_addr_t dma;
	unsigned int n;
	void *cpu;

	cpu = ops(i)->alloc(dev, 2 * PAGE_SIZE, &dma, GFP_KERNEL, 0);
	if (cpu)
		ops(i)->free(dev, 2 * PAGE_SIZE, cpu, dma, 0);
	dma = ops(i)->map_phys(dev, page_to_phys(buffer), PAGE_SIZE, DMA_BIDIRECTIONAL, 0);
	if (dma != DMA_MAPPING_ERROR)
		ops(i)->unmap_phys(dev, dma, PAGE_SIZE, DMA_BIDIRECTIONAL, 0);
	sg_init_table(sgl, 2);
	for (n = 0; n < 2; n++)
		sg_set_page(&sgl[n], buffer + 2 * n, PAGE_SIZE, 0);
	if (ops(i)->map_sg(dev, sgl, 2, DMA_BIDIRECTIONAL, 0) > 0)
		ops(i)->unmap_sg(dev, sgl, 2, DMA_BIDIRECTIONAL, 0);
}

static void bind_all(bool all)
{
	unsigned int i;

	for (i = 0; i < guest.nr_devices; i++) {
		shim_bind(to_pci_dev(guest.devices[i]));
		require(ops(i), "no operations, not even such as refuse all");
		require(!all || host_attached(guest.rids[i]), "not attached: %s",
			shim_log.last);
		if (host_attached(guest.rids[i]))
			use(i);
	}
}

static void unbind_all(void)
{
	unsigned int i;

	for (i = 0; i < guest.nr_devices; i++) {
		shim_unbind(to_pci_dev(guest.devices[i]));
		require(!host_attached(guest.rids[i]), "attached without a driver");
	}
}

/*
 * The @n-th allocation fails, whosever it is. With memory again, what could not be done can.
 * Returns whether there were so many.
 */
static bool nth_fails(const struct kind *k, long n)
{
	bool loaded, failed;

	alarm(GUEST_SECONDS);
	nth = n;
	guest_plug(&guest, 2, 2, SZ_4M, k->arena, k->chunks, RAM, k->direct);
	buffer = shim_alloc_pages(GFP_KERNEL, 4);
	require(buffer, "no memory");
	shim_fail = n;
	loaded = !shim_module_init();
	if (loaded && !shim_probe_result) {
		bind_all(false);
		shim_run_work(HZ);
		failed = !shim_fail;
		shim_fail = 0;
		unbind_all();
	} else {
		failed = !shim_fail;
		shim_fail = 0;
		if (loaded)
			shim_module_exit();
		require(!shim_module_init() && !shim_probe_result, "probe: %d: %s",
			shim_probe_result, shim_log.last);
	}
	bind_all(true);
	guest_check();
	unbind_all();
	require(!shim_module.refs, "%d references to the module", shim_module.refs);
	shim_module_exit();
	require(!shim_log.warns, "%s", shim_log.last);
	shim_free_pages(buffer, 4);
	guest_unplug();
	return failed;
}

static void one_fails(const struct kind *k)
{
	long n = 1;

	now = k->name;
	*shim_param_direct = k->direct ? "all" : "";
	*shim_param_direct_cache = k->cache;
	while (nth_fails(k, n))
		n++;
	/* Each device has some, and the window */
	require(n > 20, "no more allocations than that");
	*shim_param_direct = "";
	*shim_param_direct_cache = 0;
	printf("%s: one of %ld allocations fails: ok\n", k->name, n - 1);
	fflush(stdout);
}

/* There is no memory for what is known of a chunk; then there is */
static void no_bodies(void)
{
	struct device *dev;
	unsigned int all, n;
	unsigned long before, i;
	dma_addr_t dma;
	void *cpu;

	begin("no memory for a chunk", 1, 0);
	dev = guest.devices[0];
	all = fill(0);
	unmap_all(0);
	rest();

	/* Those that are kept for this do, once each, whichever of the two parts is lacking */
	shim_fail_rest = true;
	for (i = 0; ; i++) {
		before = host_chunks_granted();
		shim_fail = 1;
		while (host_chunks_granted() == before && map(0))
			;
		shim_fail = 0;
		if (host_chunks_granted() == before)
			break;
	}
	require(i == 4, "%lu chunks without memory", i);
	/* Of one chunk, a part is missing; of two in a row, one is */
	for (n = 0; n < 3; n++) {
		shim_fail = 2 + n;
		cpu = ops(0)->alloc(dev, (1 + !!n) * guest.config.chunk, &dma, GFP_ATOMIC,
				    DMA_ATTR_NO_WARN);
		shim_fail = 0;
		require(!cpu, "chunks without memory");
		require(host_chunks_granted() == before, "%lu chunks granted, before %lu",
			host_chunks_granted(), before);
	}
	shim_fail_rest = false;
	n = fill(0);
	require(n == all, "%u pages, before %u", n, all);
	unmap_all(0);
	end();
}

/* ---- the host refuses ---- */

static u32 refused_status;
static u16 refused_op;

static u32 refuse(const struct pv_iommu_req *req)
{
	if (req->opcode != refused_op || (refused_op == PV_IOMMU_OP_NOP && !req->nr_revokes))
		return PV_IOMMU_S_OK;
	return refused_status;
}

static void refusing(u16 op, u32 status)
{
	refused_op = op;
	refused_status = status;
	host_refuse = refuse;
}

/* A device that is refused reaches nothing, and no domain is left of it; next time it does */
static void no_attach(void)
{
	static const u16 op[] = { PV_IOMMU_OP_PROBE, PV_IOMMU_OP_ATTACH };
	unsigned int i;

	begin("an attach that is refused", 2, 0);
	for (i = 0; i < ARRAY_SIZE(op); i++) {
		shim_unbind(to_pci_dev(guest.devices[0]));
		refusing(op[i], PV_IOMMU_S_IO);
		shim_bind(to_pci_dev(guest.devices[0]));
		host_refuse = NULL;
		require(!host_attached(guest.rids[0]) && !map(0), "it is served");
		shim_unbind(to_pci_dev(guest.devices[0]));
		shim_bind(to_pci_dev(guest.devices[0]));
		require(host_attached(guest.rids[0]) && map(0), "it is not served");
		unmap_all(0);
	}
	end();
}

/* A chunk that is refused can be had later, unless it is another's */
static void no_grant(void)
{
	static const u32 status[] = {
		PV_IOMMU_S_IO, PV_IOMMU_S_LIMIT, PV_IOMMU_S_CHUNK,
	};
	unsigned int i, n, all, lost;
	unsigned long errors;

	begin("a grant that is refused", 1, 0);
	all = fill(0);
	unmap_all(0);
	for (i = 0; i < ARRAY_SIZE(status); i++) {
		rest();
		errors = shim_log.errors;
		refusing(PV_IOMMU_OP_GRANT, status[i]);
		n = fill(0);
		host_refuse = NULL;
		require(n < all, "%u pages, without a grant", n);
		require((status[i] == PV_IOMMU_S_LIMIT) == (shim_log.errors == errors),
			"status %u: %lu errors", status[i], shim_log.errors - errors);
		n = fill(0);
		lost = status[i] == PV_IOMMU_S_CHUNK;
		require(lost ? n < all && !(n % chunk_pages()) : n == all,
			"status %u: %u pages of %u", status[i], n, all);
		unmap_all(0);
	}
	end();
}

/* Chunks that the host does not take back are not used, and no others are lost */
static void no_revoke(void)
{
	unsigned int all, n, left;

	begin("a revoke that is refused", 1, 0);
	all = fill(0);
	unmap_all(0);
	refusing(PV_IOMMU_OP_NOP, PV_IOMMU_S_IO);
	rest();
	host_refuse = NULL;
	require(strstr(shim_log.last, "refused to take back"), "%s", shim_log.last);
	left = host_chunks_granted();
	n = fill(0);
	require(n && n < all && host_chunks_granted() >= left, "%u pages of %u", n, all);
	unmap_all(0);
	rest();
	require(fill(0) == n, "%u pages, before %u", nr_pages, n);
	unmap_all(0);
	end();
}

/* What the host was asked to copy back is lost, and is said to be; its place is not */
static void no_copy(void)
{
	struct device *dev;
	unsigned int i;
	dma_addr_t dma;

	begin("an unmap and a sync that are refused", 1, ARENA);
	dev = guest.devices[0];
	for (i = 0; i < 2; i++) {
		unsigned long errors = shim_log.errors;

		dma = ops(0)->map_phys(dev, page_to_phys(buffer), PAGE_SIZE,
				       DMA_BIDIRECTIONAL, 0);
		require(dma != DMA_MAPPING_ERROR, "not mapped");
		refusing(i ? PV_IOMMU_OP_UNMAP : PV_IOMMU_OP_SYNC, PV_IOMMU_S_IO);
		if (!i)
			ops(0)->sync_single_for_cpu(dev, dma, PAGE_SIZE, DMA_BIDIRECTIONAL);
		else
			ops(0)->unmap_phys(dev, dma, PAGE_SIZE, DMA_BIDIRECTIONAL, 0);
		host_refuse = NULL;
		require(shim_log.errors == errors + 1 &&
			strstr(shim_log.last, "the data is lost"), "it says %s", shim_log.last);
		if (!i)
			ops(0)->unmap_phys(dev, dma, PAGE_SIZE, DMA_BIDIRECTIONAL, 0);
	}
	/* The host has the last one still, at an address that no other gets */
	require(host_mappings() == 1, "%u mappings", host_mappings());
	require(map(0) && pages[0] != dma, "the place is another's");
	unmap_all(0);
	end();
}

/* ---- the host says what cannot be ---- */

static u64 answer;

static void answer_so(struct pv_iommu_req *req)
{
	if (req->opcode == PV_IOMMU_OP_MAP)
		req->dma_addr = answer;
}

static void never_at(u64 dma)
{
	unsigned long errors = shim_log.errors;

	answer = dma;
	host_tamper = answer_so;
	dma = ops(0)->map_phys(guest.devices[0], page_to_phys(buffer), 2 * PAGE_SIZE,
			       DMA_BIDIRECTIONAL, 0);
	host_tamper = NULL;
	require(dma == DMA_MAPPING_ERROR, "%#llx was taken", answer);
	require(shim_log.errors == errors + 1, "%#llx: %lu errors", answer,
		shim_log.errors - errors);
}

/* No address is used at which the block cannot be, or another's is */
static void wild_answers(void)
{
	u64 base, last;

	/* Two pages that are aligned may begin in it, and not end there */
	begin("a block that cannot be there", 1, ARENA - PAGE_SIZE);
	base = guest.config.arena_dma;
	last = base + ARENA - 2 * PAGE_SIZE;
	require(map(0), "not mapped");
	/* Outside the arena, or only partly in it */
	never_at(0);
	never_at(~0ULL);
	never_at(guest.config.window_dma);
	never_at(base - 2 * PAGE_SIZE);
	never_at(base + ARENA);
	never_at(last);
	/* Not aligned as two pages have to be, nor as any page */
	never_at(base + 5 * PAGE_SIZE);
	never_at(base + 64);
	/* Somebody's */
	never_at(pages[0]);
	/* Beyond what the device reaches, by the second page */
	to_pci_dev(guest.devices[0])->dma_mask = last - PAGE_SIZE - 1;
	never_at(last - 2 * PAGE_SIZE);
	require(map(0), "no room any more");
	unmap_all(0);
	end();
}

/* ---- lists ---- */

/* A length; ~0: memory of another device's */
static int map_list(struct scatterlist *sgl, const u32 *len, unsigned int n)
{
	unsigned int i;

	sg_init_table(sgl, n);
	for (i = 0; i < n; i++) {
		bool other = len[i] == ~0U;

		sg_set_page(&sgl[i], other ? p2p : buffer, other ? PAGE_SIZE : len[i], 0);
	}
	return ops(0)->map_sg(guest.devices[0], sgl, n, DMA_TO_DEVICE, DMA_ATTR_NO_WARN);
}

/* What of a list is mapped before the rest is refused is taken back */
static void lists(u64 arena)
{
	static const struct {
		u32 len[MAX_ENTRIES];
		unsigned int n;
		int ret;
	} list[] = {
		{ { 0 }, 1, -EINVAL },
		{ { 0, 0, 0 }, 3, -EINVAL },
		{ { SZ_4M, SZ_32M }, 2, -EINVAL },
		{ { SZ_32M, SZ_4M }, 2, -EINVAL },
		{ { SZ_4M, ~0U }, 2, -EREMOTEIO },
		{ { ~0U, SZ_4M }, 2, -EREMOTEIO },
		/* The first blocks of these are there already */
		{ { SZ_4M, SZ_4M, SZ_4M, SZ_32M }, 4, -EINVAL },
		{ { SZ_4M, SZ_4M, SZ_4M, ~0U }, 4, -EREMOTEIO },
		{ { [0 ... 15] = SZ_4M }, 16, -ENOMEM },
		{ { PAGE_SIZE, 0, PAGE_SIZE, 0 }, 4, 1 },
		{ { 0, 0, PAGE_SIZE }, 3, 1 },
	};
	/* Larger than one block: an entry that is empty is refused where the guest copies */
	static const u32 several[] = { SZ_4M, 0, SZ_4M, SZ_4M };
	struct scatterlist sgl[MAX_ENTRIES];
	unsigned int i, all;
	int ret;

	begin(arena ? "lists, bounce" : "lists, window", 1, arena);
	p2p = pfn_to_page(PHYS_PFN(SZ_1G));
	p2p->flags = SHIM_PG_RAM | SHIM_PG_DEVICE | SHIM_PG_P2P;
	all = fill(0);
	unmap_all(0);
	for (i = 0; i < ARRAY_SIZE(list); i++) {
		ret = map_list(sgl, list[i].len, list[i].n);
		require(ret == list[i].ret, "list %u: %d", i, ret);
		if (ret > 0)
			ops(0)->unmap_sg(guest.devices[0], sgl, list[i].n, DMA_TO_DEVICE, 0);
		shim_run_work(HZ);
		require(!host_mappings(), "list %u: %u mappings are left", i, host_mappings());
		guest_check();
		require(!guest_number("window", "used"), "list %u: %lld bytes are in use", i,
			guest_number("window", "used"));
	}
	ret = map_list(sgl, several, ARRAY_SIZE(several));
	require(arena ? ret > 0 : ret == -EINVAL, "an empty entry of many: %d", ret);
	if (ret > 0)
		ops(0)->unmap_sg(guest.devices[0], sgl, ARRAY_SIZE(several), DMA_TO_DEVICE, 0);
	require(fill(0) == all, "%u pages, before %u", nr_pages, all);
	unmap_all(0);
	p2p->flags = 0;
	end();
}

/* Nothing of a mapping is asked for: nothing is copied */
static void sync_of_nothing(void)
{
	dma_addr_t dma;

	begin("a sync of nothing", 1, 0);
	dma = ops(0)->map_phys(guest.devices[0], page_to_phys(buffer), PAGE_SIZE,
			       DMA_BIDIRECTIONAL, 0);
	require(dma != DMA_MAPPING_ERROR, "not mapped");
	*(u32 *)page_address(buffer) = 0x5ca1ab1e;
	ops(0)->sync_single_for_cpu(guest.devices[0], dma, 0, DMA_BIDIRECTIONAL);
	require(*(u32 *)page_address(buffer) == 0x5ca1ab1e, "it was copied");
	ops(0)->unmap_phys(guest.devices[0], dma, PAGE_SIZE, DMA_BIDIRECTIONAL, 0);
	end();
}

int main(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(kinds); i++)
		one_fails(&kinds[i]);
	no_bodies();
	no_attach();
	no_grant();
	no_revoke();
	no_copy();
	wild_answers();
	lists(0);
	lists(ARENA);
	sync_of_nothing();
	return 0;
}
