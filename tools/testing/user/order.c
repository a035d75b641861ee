// SPDX-License-Identifier: GPL-2.0
/*
 * order
 *
 * Two CPUs, each with a device of its own, and one of which nothing is wanted, in the
 * group of the first. At every point of what the one does at which the other may see
 * something - before a store that is for others to see, at locks, and inside the host -
 * the other comes in between and does all that it has to do. It also does after a store,
 * and before it sees an earlier one, where nothing orders the two. Each pair of things to
 * do is tried so, point by point: an order that others may not see is seen. Where a driver
 * goes and unmaps are queued, also with the worker in the middle of what it does at each
 * point.
 */
#include "cpus.h"
#include "guest.h"

#define WINDOW		SZ_2M
/* So small that an address that is free is given to the next one who wants any */
#define ARENA		SZ_64K
#define MANY		24
#define LEFT		8
#define TRACES		64
#define LEN		PAGE_SIZE

enum what {
	MAP, MAP_SG, SYNC, UNMAP, UNMAP_SG, ALLOC, FREE, REBIND, WORK, REBIND_OPEN, CLOSE,
	NR_WHAT
};

static const char * const what_name[NR_WHAT] = {
	"map", "map_sg", "sync", "unmap", "unmap_sg", "alloc", "free", "rebind", "work",
	"rebind, its disk still open", "the last user of it closes it",
};

/**
 * struct side - what a CPU has and does
 * @dev: its device
 * @rid: its requester ID
 * @what: what it does
 * @buf: its driver's memory, MANY pages
 * @dma: what is mapped, or allocated; DMA_MAPPING_ERROR: nothing
 * @virt: what is allocated
 * @sg: a list that is mapped
 * @nsegs: its segments; 0: it is not
 */
struct side {
	struct device *dev;
	u16 rid;
	enum what what;
	struct page *buf;
	dma_addr_t dma[MANY];
	void *virt[MANY];
	struct scatterlist sg[2];
	int nsegs;
};

static struct guest guest;
static struct side side[2];
static const char *where;
static unsigned int point, back;
/* The first is CPU 1, and the second CPU 0 */
static bool swapped;

static void die(const char *what, u64 a, u64 b)
{
	shim_panic("%s, %s and %s, points %u and %u, CPU %u of %s: %s: %#llx, %#llx", where,
		   what_name[side[0].what], what_name[side[1].what], point, back,
		   shim_cpu.id, swapped ? "1, 0" : "0, 1", what, a, b);
}

static u8 *buf(struct side *s, unsigned int i)
{
	return (u8 *)page_address(s->buf) + i * LEN;
}

static u8 tag(struct side *s, unsigned int i)
{
	return 1 + i + (s == &side[1]) * 0x80;
}

/* All of a page of it is the tag, or all is what the device has written */
static void expect(const u8 *p, u8 want, const char *what)
{
	unsigned int i;

	for (i = 0; i < LEN; i++)
		if (p[i] != want)
			die(what, p[i], want);
}

static u8 *device(struct side *s, dma_addr_t dma)
{
	u8 *p = host_dma(s->rid, dma, LEN);

	if (!p)
		die("the device does not reach", dma, LEN);
	return p;
}

/* Nobody else has it: what is written there stays */
static void mine(struct side *s, unsigned int i)
{
	if (s->dma[i] != DMA_MAPPING_ERROR)
		expect(device(s, s->dma[i]), tag(s, i), "what the device sees");
}

static void map(struct side *s, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		memset(buf(s, i), tag(s, i), LEN);
		s->dma[i] = s->dev->dma_ops->map_phys(s->dev, virt_to_phys(buf(s, i)), LEN,
						      DMA_BIDIRECTIONAL, DMA_ATTR_NO_WARN);
	}
}

static void unmap(struct side *s)
{
	unsigned int i;

	for (i = 0; i < MANY; i++) {
		mine(s, i);
		if (s->dma[i] == DMA_MAPPING_ERROR)
			continue;
		memset(device(s, s->dma[i]), 0xee, LEN);
		s->dev->dma_ops->unmap_phys(s->dev, s->dma[i], LEN, DMA_BIDIRECTIONAL, 0);
		s->dma[i] = DMA_MAPPING_ERROR;
		expect(buf(s, i), 0xee, "what an unmap copies back");
	}
}

static void sync(struct side *s)
{
	mine(s, 0);
	memset(device(s, s->dma[0]), 0xdd, LEN);
	s->dev->dma_ops->sync_single_for_cpu(s->dev, s->dma[0], LEN, DMA_BIDIRECTIONAL);
	expect(buf(s, 0), 0xdd, "what a sync copies back");
	memset(buf(s, 0), tag(s, 0), LEN);
	s->dev->dma_ops->sync_single_for_device(s->dev, s->dma[0], LEN, DMA_BIDIRECTIONAL);
	mine(s, 0);
}

static void map_sg(struct side *s)
{
	sg_init_table(s->sg, 2);
	sg_set_page(&s->sg[0], s->buf, LEN, 0);
	sg_set_page(&s->sg[1], s->buf + 1, LEN, 0);
	memset(buf(s, 0), tag(s, 0), 2 * LEN);
	s->nsegs = s->dev->dma_ops->map_sg(s->dev, s->sg, 2, DMA_BIDIRECTIONAL,
					   DMA_ATTR_NO_WARN);
	/* The other may have all that there is */
	if (s->nsegs <= 0 && s->nsegs != -ENOMEM)
		die("map_sg", s->nsegs, 0);
}

static void unmap_sg(struct side *s)
{
	if (s->nsegs <= 0)
		return;
	expect(device(s, sg_dma_address(s->sg)), tag(s, 0), "what the device sees of a list");
	memset(device(s, sg_dma_address(s->sg)), 0xee, LEN);
	s->dev->dma_ops->unmap_sg(s->dev, s->sg, 2, DMA_BIDIRECTIONAL, 0);
	expect(buf(s, 0), 0xee, "what an unmap_sg copies back");
	s->nsegs = 0;
}

static void alloc(struct side *s)
{
	unsigned int i;

	for (i = 0; i < 2; i++) {
		s->virt[i] = s->dev->dma_ops->alloc(s->dev, LEN, &s->dma[i], GFP_ATOMIC, 0);
		if (!s->virt[i])
			die("no coherent memory", i, 0);
		expect(s->virt[i], 0, "fresh coherent memory");
		memset(s->virt[i], tag(s, i), LEN);
	}
}

/* Also when the driver is gone, and the device does not reach it */
static void close_all(struct side *s)
{
	unsigned int i;

	for (i = 0; i < 2; i++) {
		expect(s->virt[i], tag(s, i), "coherent memory");
		if (!s->dev->dma_ops)
			die("others' operations free it", i, 0);
		s->dev->dma_ops->free(s->dev, LEN, s->virt[i], s->dma[i], 0);
		s->dma[i] = DMA_MAPPING_ERROR;
	}
}

static void free_all(struct side *s)
{
	mine(s, 0);
	mine(s, 1);
	close_all(s);
}

/* A driver goes, and another comes */
static void rebind(struct side *s)
{
	shim_unbind(to_pci_dev(s->dev));
	shim_bind(to_pci_dev(s->dev));
}

/* What it had mapped it never unmaps */
static void forget(struct side *s)
{
	unsigned int i;

	for (i = 0; i < MANY; i++)
		s->dma[i] = DMA_MAPPING_ERROR;
}

/* It wants all that there is, so that others give back what they do not use */
static void press(struct side *s)
{
	dma_addr_t dma;
	void *virt = s->dev->dma_ops->alloc(s->dev, WINDOW, &dma, GFP_ATOMIC,
					    DMA_ATTR_NO_WARN);

	if (virt)
		s->dev->dma_ops->free(s->dev, WINDOW, virt, dma, 0);
}

/* Whoever takes pages next takes some that were coherent memory of this device */
static void leave_traces(struct side *s)
{
	dma_addr_t dma[TRACES];
	void *virt[TRACES];
	unsigned int i;

	for (i = 0; i < TRACES; i++)
		virt[i] = s->dev->dma_ops->alloc(s->dev, LEN, &dma[i], GFP_ATOMIC,
						 DMA_ATTR_NO_WARN);
	for (i = 0; i < TRACES; i++)
		if (virt[i])
			s->dev->dma_ops->free(s->dev, LEN, virt[i], dma[i], 0);
}

/* Unmaps of both that wait for a request of that CPU's to ride with */
static void queue_unmaps(unsigned int cpu)
{
	dma_addr_t dma[2];
	unsigned int i;

	shim_set_cpu(cpu);
	for (i = 0; i < 2; i++)
		dma[i] = side[i].dev->dma_ops->map_phys(side[i].dev,
							virt_to_phys(buf(&side[i], MANY - 1)),
							LEN, DMA_TO_DEVICE, 0);
	for (i = 0; i < 2; i++)
		side[i].dev->dma_ops->unmap_phys(side[i].dev, dma[i], LEN, DMA_TO_DEVICE, 0);
	shim_set_cpu(0);
}

/* What has to be there for it, and what others had before is here where they look */
static void prepare(struct side *s)
{
	leave_traces(s);
	map(s, 4);
	unmap(s);
	switch (s->what) {
	case SYNC:
	case UNMAP:
		map(s, 1);
		break;
	case REBIND:
		map(s, LEFT);
		break;
	case UNMAP_SG:
		map_sg(s);
		break;
	case FREE:
	case REBIND_OPEN:
		alloc(s);
		break;
	default:
		break;
	}
}

static void act(unsigned int i, void *unused)
{
	struct side *s = &side[i];

	shim_set_cpu(i ^ swapped);

	switch (s->what) {
	case MAP:
		/* As many as there are, so that one is what the other has had */
		map(s, i ? MANY : 4);
		break;
	case MAP_SG:
		map_sg(s);
		break;
	case SYNC:
		sync(s);
		break;
	case UNMAP:
		unmap(s);
		break;
	case UNMAP_SG:
		unmap_sg(s);
		break;
	case ALLOC:
		alloc(s);
		break;
	case FREE:
		free_all(s);
		break;
	case REBIND:
		forget(s);
		rebind(s);
		break;
	case REBIND_OPEN:
		rebind(s);
		break;
	case CLOSE:
		close_all(&side[!i]);
		press(s);
		break;
	default:
		shim_run_work(HZ);
	}
}

/* Both still have what they had; then it goes back */
static void finish(struct side *s)
{
	switch (s->what) {
	case MAP:
	case SYNC:
		unmap(s);
		break;
	case MAP_SG:
		unmap_sg(s);
		break;
	case ALLOC:
		free_all(s);
		break;
	default:
		break;
	}
}

static bool try(bool *came_back)
{
	bool reached;

	/* The second at last, so that the first gets what it has had */
	prepare(&side[0]);
	prepare(&side[1]);
	/* Nobody is on the third CPU but these */
	queue_unmaps(1);
	queue_unmaps(2);
	reached = cpus_run_between(act, NULL, point, back, came_back);
	finish(&side[0]);
	finish(&side[1]);
	shim_run_work(HZ);
	guest_check();
	if (shim_log.warns || shim_log.errors)
		die(shim_log.last, shim_log.warns, shim_log.errors);
	if (host_counters.refused || host_counters.faults)
		die("the host has refused something", host_counters.refused,
		    host_counters.faults);
	/* One for each device that is attached, and none for what it has left */
	if (shim_module.refs != 3)
		die("references to the module", shim_module.refs, 2);
	return reached;
}

/* All points of both; or only those of the first */
static unsigned long try_points(bool both)
{
	unsigned long n = 0;
	bool came_back;

	for (point = 1, back = 0; try(&came_back); point++) {
		n++;
		if (!both)
			continue;
		for (back = 1; try(&came_back) && came_back; back++)
			n++;
		back = 0;
	}
	return n;
}

static void run(const char *name, bool bounce, bool chunks)
{
	unsigned int i, j, pairs = 0;
	unsigned long points = 0;

	where = name;
	guest_begin(&guest, 3, 3, WINDOW, bounce ? ARENA : 0, chunks, SZ_16M);
	for (i = 0; i < 2; i++) {
		side[i] = (struct side){
			.dev = guest.devices[i], .rid = guest.rids[i],
			.buf = shim_alloc_pages(GFP_KERNEL, MANY),
		};
		for (j = 0; j < MANY; j++)
			side[i].dma[j] = DMA_MAPPING_ERROR;
	}
	for (i = 0; i < 2 * NR_WHAT * NR_WHAT; i++) {
		swapped = i % 2;
		side[0].what = i / 2 / NR_WHAT;
		side[1].what = i / 2 % NR_WHAT;
		if ((side[0].what >= REBIND_OPEN || side[1].what >= REBIND_OPEN) &&
		    side[0].what + side[1].what != REBIND_OPEN + CLOSE)
			continue;
		pairs++;
		points += try_points(bounce && side[0].what + side[1].what == REBIND + WORK);
	}
	for (i = 0; i < 2; i++)
		shim_free_pages(side[i].buf, MANY);
	guest_end(&guest);
	printf("%s: %u pairs, %lu times in between\n", name, pairs / 2, points);
	fflush(stdout);
}

int main(void)
{
	run("window", false, false);
	run("chunks", false, true);
	run("bounce", true, true);
	return 0;
}
