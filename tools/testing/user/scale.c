// SPDX-License-Identifier: GPL-2.0
/*
 * scale [--steps N] [--seed S] [--max CPUS]
 *
 * What maps cost with many CPUs: CPUs of one device, each with some mappings in
 * flight, take turns at random, at every lock as well; each does an operation in
 * 100 us, and time goes on by that. The first half does not count. Printed for each number of
 * CPUs, size of window and size of block: how often the CPU's cache had a block, how
 * often shared locks were taken and how often another CPU had them before (then their
 * cache line has to come from there), how often the host was asked; and maps that
 * failed although at most half of the window was in use.
 *
 * Fails if any did, or where CPUs unmap what they mapped and hit less than 99%.
 */
#include <getopt.h>

#include "cpus.h"
#include "guest.h"

#define MAX_HELD	64

static struct guest guest;
static struct {
	unsigned long steps;
	u64 seed;
	u32 len;
	unsigned int held;
	phys_addr_t phys;
	unsigned long ops, maps, failed;
	bool passing;
	long long hits, misses, late;
} all;

/* So many operations of each CPU are a jiffy */
#define OPS_PER_TICK	(10000 / HZ)

struct held {
	dma_addr_t dma[MAX_HELD];
	unsigned int nr;
};

static struct held held[SHIM_MAX_CPUS];

/* Time goes on, and in the middle of it counting begins */
static void tick(void)
{
	all.ops++;
	if (all.ops % (OPS_PER_TICK * nr_cpu_ids) == 0)
		shim_run_work(1);
	if (all.ops == all.steps * nr_cpu_ids / 2) {
		all.hits = guest_number("window", "cache_hits");
		all.misses = guest_number("window", "cache_misses");
		all.late = guest_number("window", "grants_late");
		all.maps = 0;
		shim_lock_reset();
	}
}

static void cpu_main(unsigned int cpu, void *unused)
{
	struct device *dev = guest.devices[0];
	const struct dma_map_ops *ops = dev->dma_ops;
	u64 r = all.seed + cpu;
	unsigned long i;

	for (i = 0; i < all.steps; i++) {
		struct held *h = &held[cpu];

		/* Completed on another CPU, as interrupts may be elsewhere */
		if (all.passing && world_random(&r) % 4 == 0)
			h = &held[world_random(&r) % nr_cpu_ids];
		if (h == &held[cpu] && h->nr < all.held && world_random(&r) & 1) {
			dma_addr_t dma = ops->map_phys(dev, all.phys, all.len, DMA_TO_DEVICE,
						       DMA_ATTR_NO_WARN);

			all.maps++;
			if (dma == DMA_MAPPING_ERROR)
				all.failed++;
			else
				h->dma[h->nr++] = dma;
		} else if (h->nr) {
			dma_addr_t dma = h->dma[--h->nr];

			ops->unmap_phys(dev, dma, all.len, DMA_TO_DEVICE, 0);
		}
		tick();
		cpus_pause();
	}
	while (held[cpu].nr)
		ops->unmap_phys(dev, held[cpu].dma[--held[cpu].nr], all.len,
				DMA_TO_DEVICE, 0);
}

static struct { u64 acquired, contended, moved; } locks;

/* Locks of the module that more than one CPU takes */
static void add_class(struct shim_class *class)
{
	if (!strcmp(class->name, "&d->lock") || !strcmp(class->name, "&w->lock")) {
		locks.acquired += class->acquired;
		locks.contended += class->contended;
		locks.moved += class->moved;
	}
}

/* Rows in which too many maps took a shared lock */
static unsigned int missed;

static unsigned long one(unsigned int cpus, u64 window, u32 len, bool passing)
{
	long long hits, misses;
	struct page *page;

	guest_begin(&guest, cpus, 1, window, 0, true, SZ_64M);
	page = shim_alloc_pages(GFP_ATOMIC, PFN_UP(len));
	all.phys = page_to_phys(page);
	all.len = len;
	all.passing = passing;
	/* Half of the window at most; a share of it is for a domain to come */
	all.held = clamp_t(u64, window / 2 / len / cpus, 1, MAX_HELD);
	all.ops = all.maps = all.failed = 0;
	memset(held, 0, sizeof(held));
	cpus_run_fibers(cpus, cpu_main, NULL, 8, all.seed);
	memset(&locks, 0, sizeof(locks));
	shim_lock_classes(add_class);
	hits = guest_number("window", "cache_hits") - all.hits;
	misses = guest_number("window", "cache_misses") - all.misses;
	printf("%5u %6llu %5u %4s %3u %9lu %7.2f%% %9.2f %9.2f %9.2f %7lld %7lu\n", cpus,
	       window >> 20, len >> 10, passing ? "yes" : "no", all.held, all.maps,
	       100.0 * hits / (hits + misses), 1000.0 * locks.acquired / all.maps,
	       1000.0 * locks.moved / all.maps, 1000.0 * locks.contended / all.maps,
	       guest_number("window", "grants_late") - all.late, all.failed);
	fflush(stdout);
	if (!passing && hits < 99 * misses)
		missed++;
	shim_free_pages(page, PFN_UP(len));
	guest_check();
	guest_end(&guest);
	return all.failed;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "steps", 1, NULL, 'n' }, { "seed", 1, NULL, 's' },
		{ "max", 1, NULL, 'm' }, { }
	};
	static const u32 lens[] = { SZ_4K, SZ_64K };
	unsigned long failed = 0, total = 2000000;
	unsigned int max_cpus = SHIM_MAX_CPUS, cpus, i;
	int c;

	all.seed = 1;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'n':
			total = strtod(optarg, NULL);
			break;
		case 's':
			all.seed = strtoull(optarg, NULL, 0);
			break;
		case 'm':
			max_cpus = clamp_t(unsigned int, atoi(optarg), 8, SHIM_MAX_CPUS);
			break;
		default:
			return 2;
		}
	}
	printf(" CPUs window block else held      maps     hits  locks/k   moved/k  waited/k  grants  failed\n");
	for (i = 0; i < ARRAY_SIZE(lens); i++) {
		for (cpus = 8; cpus <= max_cpus; cpus *= 2) {
			all.steps = max(total / cpus, 200UL);
			/* A fixed window, and one that has the same for each CPU */
			failed += one(cpus, SZ_64M, lens[i], false);
			failed += one(cpus, SZ_64M, lens[i], true);
			failed += one(cpus, (u64)cpus * SZ_8M, lens[i], true);
		}
	}
	if (failed)
		printf("%lu maps failed, with half of the window free\n", failed);
	if (missed)
		printf("%u rows in which drivers unmap where they map have less than 99%% hits\n",
		       missed);
	return failed || missed;
}
