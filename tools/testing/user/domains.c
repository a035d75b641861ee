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
	dma_addr_t dma[MAX_PAGES];
	unsigned int nr;
};

static struct pages pages[GUEST_MAX_DEVICES];
static struct page *buffer;

static void begin(const char *name, unsigned int devices, u64 limit)
{
	unsigned int i;

	now = name;
	guest.limit = limit;
	guest_begin(&guest, 1, devices, WINDOW, 0, true, SZ_64M);
	buffer = shim_alloc_pages(GFP_KERNEL, 1);
	require(buffer, "no memory");
	for (i = 0; i < devices; i++) {
		pages[i].dev = guest.devices[i];
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

/* A device that could not be attached again after a suspend: its chunks are not lost */
static void not_again(void)
{
	struct pages *p = &pages[0], *other = &pages[1];
	const struct dev_pm_ops *pm;
	unsigned int before, after;
	struct device *host;

	begin("an attach that is refused on wake", 2, 0);
	host = &guest.host->dev;
	pm = shim_driver->driver.pm;
	shim_unbind(to_pci_dev(guest.devices[0]));
	before = fill(other);
	unmap_all(other);
	rest();
	shim_bind(to_pci_dev(guest.devices[0]));

	fill(p);
	require(!pm->suspend_noirq(host), "no suspend");
	host_machine_reset();
	refused_op = PV_IOMMU_OP_ATTACH;
	refused_rid = guest.rids[0];
	host_refuse = refuse;
	require(pm->resume_noirq(host), "resumed, and nothing was refused");
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

/* What is said to be possible is, as long as there is little else */
static void largest(void)
{
	dma_addr_t dma, at;
	struct device *dev;
	struct page *large;
	size_t max;
	void *ring;

	begin("the largest mapping of a small limit", 1,
	      2 * host_chunk_size(WINDOW, SZ_2M));
	dev = guest.devices[0];
	ring = dev->dma_ops->alloc(dev, PAGE_SIZE, &dma, GFP_KERNEL, 0);
	require(ring, "no ring");
	max = dev->dma_ops->max_mapping_size(dev);
	large = shim_alloc_pages(GFP_KERNEL, max / PAGE_SIZE);
	require(large, "no memory");
	at = dev->dma_ops->map_phys(dev, page_to_phys(large), max, DMA_TO_DEVICE,
				    DMA_ATTR_NO_WARN);
	require(at != DMA_MAPPING_ERROR, "%zu bytes do not fit", max);
	dev->dma_ops->unmap_phys(dev, at, max, DMA_TO_DEVICE, 0);
	shim_free_pages(large, max / PAGE_SIZE);
	dev->dma_ops->free(dev, PAGE_SIZE, ring, dma, 0);
	end();
}

int main(void)
{
	/* What has no end fails, too */
	alarm(120);
	empties();
	in_the_way();
	left_behind();
	not_again();
	largest();
	return 0;
}
