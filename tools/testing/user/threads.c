// SPDX-License-Identifier: GPL-2.0
/*
 * threads [--fibers] [--rounds N] [--cpus N] [--seed S]
 *
 * Several CPUs at once, each a driver with buffers of its own: maps, what the
 * device finds, syncs, unmaps on the same CPU or on another. Each page of the
 * window and of the arena has one owner at a time. Beside them somebody reads
 * debugfs, time goes on, and a device's driver comes and goes. With threads it
 * is the thread sanitizer's to watch; with fibers a seed says who runs when, so
 * that what fails fails again.
 */
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include "cpus.h"
#include "guest.h"

#define WINDOW		SZ_2M
#define ARENA		SZ_2M
#define MAX_LEN		(32U << 10)
#define NR_SEGS		8
#define HELD		64
#define LEFT		32

/**
 * struct mapping - one that a driver has made
 * @dev: for which device
 * @sg: it is a list: @nents entries, @nsegs segments
 * @dma: its address, of the first segment for a list
 * @mem: where the device finds it
 * @buf: the driver's memory
 * @len: bytes
 * @tag: what is in it
 */
struct mapping {
	unsigned int dev;
	struct scatterlist sgl[NR_SEGS];
	unsigned int nents, nsegs;
	dma_addr_t dma;
	struct page *page;
	u8 *buf;
	u32 len;
	u64 tag;
};

static struct guest guest;
static struct cpus_how how;
static struct {
	bool bounce;
	/* Of each page: 0, or the one who has it */
	u32 *owner;
	/* For who comes by to take and unmap */
	struct mapping *passed[CPUS_MAX];
	unsigned int running;
	unsigned long maps, full;
} all;

static void die(const char *what, u64 a, u64 b)
{
	shim_panic("CPU %u, seed %llu: %s: %#llx, %#llx", shim_cpu.id, how.seed, what, a, b);
}

static u32 *owner_of(u64 dma)
{
	u64 offset = dma - guest.config.window_dma;

	if (offset < guest.config.window_size)
		return &all.owner[offset >> PAGE_SHIFT];
	offset = dma - guest.config.arena_dma;
	if (offset >= guest.config.arena_size)
		die("DMA address in neither window nor arena", dma, 0);
	return &all.owner[(guest.config.window_size + offset) >> PAGE_SHIFT];
}

static void own(struct mapping *m, dma_addr_t dma, u32 len, bool mine)
{
	u64 page;

	for (page = dma >> PAGE_SHIFT; page <= (dma + len - 1) >> PAGE_SHIFT; page++) {
		u32 *owner = owner_of(page << PAGE_SHIFT);
		u32 before = __atomic_exchange_n(owner, mine ? m->tag >> 32 : 0,
						 __ATOMIC_ACQ_REL);

		if (before != (mine ? 0 : m->tag >> 32))
			die("page of two mappings", page, before);
	}
}

static void own_all(struct mapping *m, bool mine)
{
	struct scatterlist *sg;
	unsigned int i;

	if (!m->nents) {
		own(m, m->dma, m->len, mine);
		return;
	}
	for_each_sg(m->sgl, sg, m->nsegs, i)
		own(m, sg_dma_address(sg), sg_dma_len(sg), mine);
}

static void put(u8 *p, u32 len, u64 tag)
{
	u32 i;

	for (i = 0; i + 8 <= len; i += 8, tag++)
		memcpy(p + i, &tag, 8);
}

static void expect(const u8 *p, u32 len, u64 tag, const char *what)
{
	u64 v;
	u32 i;

	for (i = 0; i + 8 <= len; i += 8, tag++) {
		memcpy(&v, p + i, 8);
		if (v != tag)
			die(what, v, tag);
	}
}

/* What the device does with each segment: reads, or writes */
static void device(struct mapping *m, u64 tag, bool write)
{
	struct scatterlist *sg;
	unsigned int i;
	u8 *mem;

	for_each_sg(m->sgl, sg, m->nents ? m->nsegs : 1, i) {
		dma_addr_t dma = m->nents ? sg_dma_address(sg) : m->dma;
		u32 len = m->nents ? sg_dma_len(sg) : m->len;

		mem = host_dma(guest.rids[m->dev], dma, len);
		if (!mem)
			die("the device does not reach", dma, len);
		if (write)
			put(mem, len, tag);
		else
			expect(mem, len, tag, "device sees");
		tag += len / 8;
	}
}

static struct mapping *map(unsigned int cpu, u64 *r)
{
	static u64 tags;
	struct mapping *m = calloc(1, sizeof(*m));
	enum dma_data_direction dir = DMA_BIDIRECTIONAL;
	struct device *dev;
	unsigned int i;

	m->dev = world_random(r) % (guest.nr_devices - 1);
	dev = guest.devices[m->dev];
	m->len = 8 * (1 + world_random(r) % (MAX_LEN / 8));
	m->page = shim_alloc_pages(GFP_ATOMIC, PFN_UP(MAX_LEN));
	if (!m->page)
		die("no memory", 0, 0);
	m->buf = page_address(m->page);
	m->tag = __atomic_add_fetch(&tags, 1, __ATOMIC_RELAXED) << 32;
	put(m->buf, m->len, m->tag);
	if (world_random(r) % 4) {
		m->dma = dev->dma_ops->map_phys(dev, page_to_phys(m->page), m->len, dir,
						DMA_ATTR_NO_WARN);
		if (m->dma == DMA_MAPPING_ERROR)
			goto full;
	} else {
		m->len = MAX_LEN;
		put(m->buf, m->len, m->tag);
		m->nents = NR_SEGS;
		sg_init_table(m->sgl, NR_SEGS);
		for (i = 0; i < NR_SEGS; i++)
			sg_set_page(&m->sgl[i], m->page + i, PAGE_SIZE, 0);
		m->nsegs = dev->dma_ops->map_sg(dev, m->sgl, NR_SEGS, dir, DMA_ATTR_NO_WARN);
		if ((int)m->nsegs < 0)
			goto full;
	}
	__atomic_fetch_add(&all.maps, 1, __ATOMIC_RELAXED);
	own_all(m, true);
	device(m, m->tag, false);
	return m;
full:
	__atomic_fetch_add(&all.full, 1, __ATOMIC_RELAXED);
	shim_free_pages(m->page, PFN_UP(MAX_LEN));
	free(m);
	return NULL;
}

static void sync_both(struct mapping *m)
{
	struct device *dev = guest.devices[m->dev];
	u64 tag = m->tag + 0x10000;

	device(m, tag, true);
	expect(m->buf, m->len, m->tag, "before a sync");
	if (m->nents)
		dev->dma_ops->sync_sg_for_cpu(dev, m->sgl, m->nents, DMA_BIDIRECTIONAL);
	else
		dev->dma_ops->sync_single_for_cpu(dev, m->dma, m->len, DMA_BIDIRECTIONAL);
	expect(m->buf, m->len, tag, "after a sync");
	put(m->buf, m->len, m->tag);
	if (m->nents)
		dev->dma_ops->sync_sg_for_device(dev, m->sgl, m->nents, DMA_BIDIRECTIONAL);
	else
		dev->dma_ops->sync_single_for_device(dev, m->dma, m->len, DMA_BIDIRECTIONAL);
	device(m, m->tag, false);
}

static void unmap(struct mapping *m)
{
	struct device *dev = guest.devices[m->dev];
	u64 tag = m->tag + 0x20000;

	device(m, m->tag, false);
	device(m, tag, true);
	/* From here on the pages may be another's */
	own_all(m, false);
	if (m->nents)
		dev->dma_ops->unmap_sg(dev, m->sgl, m->nents, DMA_BIDIRECTIONAL, 0);
	else
		dev->dma_ops->unmap_phys(dev, m->dma, m->len, DMA_BIDIRECTIONAL, 0);
	expect(m->buf, m->len, tag, "after the unmap");
	shim_free_pages(m->page, PFN_UP(MAX_LEN));
	free(m);
}

static void coherent(u64 *r)
{
	struct device *dev = guest.devices[world_random(r) % (guest.nr_devices - 1)];
	size_t len = 1 + world_random(r) % MAX_LEN;
	dma_addr_t dma;
	u8 *p = dev->dma_ops->alloc(dev, len, &dma, GFP_ATOMIC, DMA_ATTR_NO_WARN);
	size_t i;

	if (!p)
		return;
	for (i = 0; i < len; i++)
		if (p[i])
			die("coherent memory is not zero", i, p[i]);
	memset(p, 0xcc, len);
	cpus_pause();
	for (i = 0; i < len; i++)
		if (p[i] != 0xcc)
			die("coherent memory has changed", i, p[i]);
	dev->dma_ops->free(dev, len, p, dma, 0);
}

static void driver(unsigned int cpu, u64 r)
{
	struct mapping *held[HELD] = { }, *m;
	unsigned int round, i;

	for (round = 0; round < how.rounds; round++) {
		i = world_random(&r) % HELD;
		switch (world_random(&r) % 16) {
		case 0:
			coherent(&r);
			break;
		case 1 ... 3:
			/* Somebody else's to unmap */
			m = __atomic_exchange_n(&all.passed[world_random(&r) % how.cpus],
						held[i], __ATOMIC_ACQ_REL);
			held[i] = m;
			break;
		case 4 ... 6:
			if (held[i])
				sync_both(held[i]);
			break;
		default:
			if (held[i]) {
				unmap(held[i]);
				held[i] = NULL;
			} else {
				held[i] = map(cpu, &r);
			}
		}
		cpus_pause();
	}
	for (i = 0; i < HELD; i++)
		if (held[i])
			unmap(held[i]);
}

/*
 * The last device's driver goes, and a new one comes. Others are given what it has had,
 * while the module looks for what it has left: mappings, and no coherent memory, but
 * slots that say still that it had some.
 */
static void rebind(struct pci_dev *pdev, phys_addr_t phys)
{
	struct device *dev = &pdev->dev;
	dma_addr_t dma[LEFT];
	unsigned int i;
	void *p[LEFT];

	for (i = 0; i < LEFT; i++)
		p[i] = dev->dma_ops->alloc(dev, 64, &dma[i], GFP_KERNEL, DMA_ATTR_NO_WARN);
	for (i = 0; i < LEFT; i++) {
		if (p[i])
			dev->dma_ops->free(dev, 64, p[i], dma[i], 0);
		dev->dma_ops->map_phys(dev, phys, 64, DMA_TO_DEVICE, DMA_ATTR_NO_WARN);
	}
	shim_unbind(pdev);
	shim_bind(pdev);
}

/* Who looks on, and lets time go by, and binds and unbinds the last device */
static void bystander(u64 r, phys_addr_t phys)
{
	struct pci_dev *pdev = to_pci_dev(guest.devices[guest.nr_devices - 1]);
	struct device *dev = &pdev->dev;
	char text[8192];

	while (__atomic_load_n(&all.running, __ATOMIC_ACQUIRE) > 1) {
		dma_addr_t dma;

		shim_debugfs_read("window", text, sizeof(text));
		shim_debugfs_read("devices", text, sizeof(text));
		shim_run_work(1 + world_random(&r) % 4);
		dma = dev->dma_ops->map_phys(dev, phys, 64, DMA_TO_DEVICE,
					     DMA_ATTR_NO_WARN);
		if (dma != DMA_MAPPING_ERROR)
			dev->dma_ops->unmap_phys(dev, dma, 64, DMA_TO_DEVICE, 0);
		if (world_random(&r) % 8 == 0)
			rebind(pdev, phys);
		cpus_pause();
	}
}

static void cpu_main(unsigned int cpu, void *page)
{
	/* The last one, so that its channel is the last that a flush comes to */
	if (cpu < how.cpus - 1)
		driver(cpu, how.seed * 1000 + cpu);
	else
		bystander(how.seed * 1000, page_to_phys((struct page *)page));
	__atomic_fetch_sub(&all.running, 1, __ATOMIC_ACQ_REL);
}

static void run(bool bounce, bool chunks)
{
	struct page *page;
	unsigned int i;

	guest_begin(&guest, how.cpus, 4, WINDOW, bounce ? ARENA : 0, chunks, SZ_64M);
	/* What the bystander maps */
	page = shim_alloc_pages(GFP_ATOMIC, 1);
	all.owner = calloc((WINDOW + ARENA) >> PAGE_SHIFT, sizeof(*all.owner));
	all.running = how.cpus;
	all.maps = 0;
	all.full = 0;
	cpus_run(&how, cpu_main, page);
	for (i = 0; i < how.cpus; i++) {
		if (all.passed[i])
			unmap(all.passed[i]);
		all.passed[i] = NULL;
	}
	guest_check();
	if (shim_log.warns || shim_log.errors)
		shim_panic("%lu WARN()s, %lu errors: %s", shim_log.warns, shim_log.errors,
			   shim_log.last);
	if (host_counters.refused || host_counters.faults)
		shim_panic("%llu requests, %llu DMAs were refused", host_counters.refused,
			   host_counters.faults);
	shim_free_pages(page, 1);
	free(all.owner);
	guest_end(&guest);
	printf("%s, %u %s: %lu mappings, %lu more found no room\n",
	       chunks ? bounce ? "bounce" : "chunks" : "window", how.cpus, how.fibers ? "fibers" : "threads",
	       all.maps, all.full);
	fflush(stdout);
}

static void run_all(void)
{
	run(false, false);
	run(false, true);
	run(true, true);
}

int main(int argc, char **argv)
{
	return cpus_main(argc, argv, &how, run_all);
}
