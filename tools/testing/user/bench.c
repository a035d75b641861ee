// SPDX-License-Identifier: GPL-2.0
/*
 * bench-native [--rounds N] [--csv FILE]
 *
 * What a map and its unmap cost on this machine: the module's code, the kernel's
 * swiotlb, and only the copies that both do (memcpy), in turns, so that what else
 * the machine does meets all alike. Of many rounds the fastest counts. FROM_DEVICE
 * copies twice, in and out.
 *
 * The compiler is the same, and so are the locks, the copy (rep movsb) and what asks
 * whether IRQs are on; there is no CLI and no STI, so all is a little cheaper than in
 * a kernel.
 */
#define _GNU_SOURCE
#include <getopt.h>
#include <pthread.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>

#include "counter.h"
#include "guest.h"
#include "swiotlb-ops.h"

#define MAX_THREADS	2
#define MAX_LIST	128
#define LARGEST		SZ_1M

enum scheme { PV, SWIOTLB, COPY, NR_SCHEMES };

/**
 * struct bench - one thread
 * @cpu: which it is
 * @scheme: what to measure
 * @size: bytes of a mapping, or of each entry of a list
 * @nents: entries of a list; 0: no list
 * @dir: direction
 * @count: how often
 * @ns: of a map and an unmap
 * @cycles: of the time-stamp counter
 * @instructions: in user mode; 0 where they cannot be counted
 */
struct bench {
	unsigned int cpu;
	enum scheme scheme;
	u32 size;
	unsigned int nents;
	enum dma_data_direction dir;
	unsigned int count;
	double ns, cycles, instructions;
};

static struct guest guest;
static struct device *devices[NR_SCHEMES];
static struct page *pages[MAX_THREADS], *copies[MAX_THREADS];
static struct scatterlist lists[MAX_THREADS][MAX_LIST];
static pthread_barrier_t barrier;
static FILE *csv;

static u64 tsc(void)
{
	u32 low, high;

	__asm__ __volatile__("lfence; rdtsc" : "=a" (low), "=d" (high) : : "memory");
	return (u64)high << 32 | low;
}

static void once_copy(struct bench *b)
{
	u32 size = b->size, n = b->nents ?: 1, i;
	u8 *from = page_address(pages[b->cpu]), *to = page_address(copies[b->cpu]);

	for (i = 0; i < n; i++)
		shim_memcpy(to + i * size, from + i * size, size);
	for (i = 0; b->dir == DMA_FROM_DEVICE && i < n; i++)
		shim_memcpy(from + i * size, to + i * size, size);
}

static noinline void once(struct bench *b, struct device *dev)
{
	const struct dma_map_ops *ops = dev->dma_ops;

	if (b->nents) {
		if (ops->map_sg(dev, lists[b->cpu], b->nents, b->dir, 0) <= 0)
			shim_panic("a list of %u was not mapped", b->nents);
		ops->unmap_sg(dev, lists[b->cpu], b->nents, b->dir, 0);
	} else {
		dma_addr_t dma = ops->map_phys(dev, page_to_phys(pages[b->cpu]), b->size,
					       b->dir, 0);

		if (dma == DMA_MAPPING_ERROR)
			shim_panic("%u bytes were not mapped by %d", b->size, b->scheme);
		ops->unmap_phys(dev, dma, b->size, b->dir, 0);
	}
}

static void *thread_main(void *p)
{
	struct bench *b = p;
	struct timespec start, end;
	u64 cycles, counted;
	unsigned int i;
	cpu_set_t set;
	int fd;

	CPU_ZERO(&set);
	CPU_SET(b->cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
	shim_thread_init(b->cpu);
	fd = counter_open();
	for (i = 0; i < b->count / 8 + 1; i++)
		b->scheme == COPY ? once_copy(b) : once(b, devices[b->scheme]);
	pthread_barrier_wait(&barrier);
	clock_gettime(CLOCK_MONOTONIC, &start);
	counted = counter_read(fd);
	cycles = tsc();
	for (i = 0; i < b->count; i++)
		b->scheme == COPY ? once_copy(b) : once(b, devices[b->scheme]);
	cycles = tsc() - cycles;
	counted = counter_read(fd) - counted;
	clock_gettime(CLOCK_MONOTONIC, &end);
	b->ns = ((end.tv_sec - start.tv_sec) * 1e9 + end.tv_nsec - start.tv_nsec) / b->count;
	b->cycles = (double)cycles / b->count;
	b->instructions = (double)counted / b->count;
	if (fd >= 0)
		close(fd);
	return NULL;
}

/* The slowest thread of the fastest round */
static void measure(struct bench *best, const struct bench *what, unsigned int threads)
{
	struct bench b[MAX_THREADS];
	pthread_t t[MAX_THREADS];
	unsigned int i, slowest = 0;

	pthread_barrier_init(&barrier, NULL, threads);
	for (i = 0; i < threads; i++) {
		b[i] = *what;
		b[i].cpu = i;
		pthread_create(&t[i], NULL, thread_main, &b[i]);
	}
	for (i = 0; i < threads; i++)
		pthread_join(t[i], NULL);
	pthread_barrier_destroy(&barrier);
	for (i = 1; i < threads; i++)
		if (b[i].ns > b[slowest].ns)
			slowest = i;
	if (!best->count || b[slowest].ns < best->ns)
		*best = b[slowest];
}

static void row(u32 size, unsigned int nents, enum dma_data_direction dir,
		unsigned int threads, unsigned int rounds)
{
	struct bench best[NR_SCHEMES] = { };
	u64 bytes = (u64)size * (nents ?: 1);
	double over_pv, over_swiotlb;
	unsigned int round, s;
	char what[32];

	for (round = 0; round < rounds; round++) {
		for (s = 0; s < NR_SCHEMES; s++) {
			/* A few milliseconds each */
			struct bench b = {
				.scheme = s, .size = size, .nents = nents, .dir = dir,
				.count = clamp_t(u64, (64ULL << 20) / (bytes + 2048), 40, 20000),
			};

			/* As large as it gets there; memcpy() and ours may be larger */
			if (s == SWIOTLB && size > SZ_256K)
				continue;
			measure(&best[s], &b, threads);
		}
	}
	snprintf(what, sizeof(what), nents ? "%u x %u" : "%.0u%u", nents, size);
	over_pv = best[PV].ns - best[COPY].ns;
	over_swiotlb = best[SWIOTLB].ns - best[COPY].ns;
	if (csv)
		fprintf(csv, "%s,%u,%u,%s,%u,%.1f,%.1f,%.1f,%.0f,%.0f,%.0f,%.0f,%.0f,%.0f\n",
		       nents ? "list" : "single", size, nents,
		       dir == DMA_TO_DEVICE ? "to" : "from", threads, best[COPY].ns,
		       best[PV].ns, best[SWIOTLB].ns, best[COPY].cycles, best[PV].cycles,
		       best[SWIOTLB].cycles, best[COPY].instructions,
		       best[PV].instructions, best[SWIOTLB].instructions);
	printf("%-11s %-4s %7u %10.0f %10.0f", what,
	       dir == DMA_TO_DEVICE ? "to" : "from", threads, best[COPY].ns, best[PV].ns);
	if (best[SWIOTLB].count)
		printf(" %10.0f %8.2f", best[SWIOTLB].ns, best[PV].ns / best[SWIOTLB].ns);
	else
		printf(" %10s %8s", "-", "-");
	printf(" %8.2f %8.0f", best[PV].ns / best[COPY].ns, over_pv);
	if (best[SWIOTLB].count)
		printf(" %8.0f %8.1f%%", over_swiotlb, 100 * over_pv / over_swiotlb);
	else
		printf(" %8s %9s", "-", "-");
	printf(" %8.0f %5.0f%%\n", best[PV].cycles,
	       100 * min(best[COPY].ns / best[PV].ns, 1.0));
	fflush(stdout);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "rounds", 1, NULL, 'r' }, { "csv", 1, NULL, 'c' }, { }
	};
	static const unsigned int list_of[] = { 4, 32, 128 };
	unsigned int rounds = 15, threads, i, k;
	u32 size;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'r':
			rounds = max(atoi(optarg), 1);
			break;
		case 'c':
			csv = fopen(optarg, "w");
			if (!csv) {
				perror(optarg);
				return 1;
			}
			break;
		default:
			return 2;
		}
	}
	guest_begin(&guest, MAX_THREADS, 2, SZ_64M, 0, true, SZ_256M);
	devices[PV] = guest.devices[0];
	devices[SWIOTLB] = guest.devices[1];
	swiotlb_begin(devices[SWIOTLB]);
	for (i = 0; i < MAX_THREADS; i++) {
		pages[i] = shim_alloc_pages(GFP_ATOMIC | __GFP_ZERO, PFN_UP(LARGEST));
		copies[i] = shim_alloc_pages(GFP_ATOMIC | __GFP_ZERO, PFN_UP(LARGEST));
		sg_init_table(lists[i], MAX_LIST);
		for (k = 0; k < MAX_LIST; k++)
			sg_set_page(&lists[i][k], pages[i] + k, PAGE_SIZE, 0);
	}

	if (csv)
		fprintf(csv, "kind,size,nents,direction,threads,memcpy_ns,pv_ns,swiotlb_ns,memcpy_cycles,pv_cycles,swiotlb_cycles,memcpy_instructions,pv_instructions,swiotlb_instructions\n");
	printf("ns of a map and its unmap; over: without the copies\n%-11s %-4s %7s %10s %10s %10s %8s %8s %8s %8s %9s %8s %6s\n",
	       "bytes", "dir", "threads", "memcpy", "pv-iommu", "swiotlb", "pv/swi",
		       "pv/mem", "over pv", "over swi", "pv/swi", "pv tsc", "copy");
	for (threads = 1; threads <= min_t(long, MAX_THREADS, sysconf(_SC_NPROCESSORS_ONLN));
	     threads++) {
		enum dma_data_direction dir;

		for (dir = DMA_TO_DEVICE; dir <= DMA_FROM_DEVICE; dir++) {
			for (size = 64; size <= LARGEST; size *= 4)
				row(size, 0, dir, threads, rounds);
			for (i = 0; i < ARRAY_SIZE(list_of); i++) {
				for (k = 0; k < MAX_THREADS; k++) {
					unsigned int e;

					for (e = 0; e < MAX_LIST; e++)
						lists[k][e].page_link &= ~SG_END;
					sg_mark_end(&lists[k][list_of[i] - 1]);
				}
				row(PAGE_SIZE, list_of[i], dir, threads, rounds);
			}
		}
	}
	return 0;
}
