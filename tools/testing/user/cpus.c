// SPDX-License-Identifier: GPL-2.0
/*
 * Many CPUs on few: see cpus.h.
 */
#include <getopt.h>
#include <pthread.h>
#include <sched.h>
#include <time.h>
#include <ucontext.h>

#include "cpus.h"

#define FIBER_STACK	(128UL << 10)

/* ---- threads ---- */

struct thread {
	pthread_t thread;
	unsigned int cpu;
	cpu_fn fn;
	void *data;
};

static unsigned int yield_one_in;
static __thread u64 yield_random;

static void thread_point(void)
{
	if (yield_one_in && world_random(&yield_random) % yield_one_in == 0)
		sched_yield();
}

static void *thread_main(void *p)
{
	struct thread *t = p;

	shim_thread_init(t->cpu);
	yield_random = t->cpu;
	t->fn(t->cpu, t->data);
	return NULL;
}

void cpus_run_threads(unsigned int n, cpu_fn fn, void *data, unsigned int yield)
{
	struct thread *threads = calloc(n, sizeof(*threads));
	unsigned int i;

	yield_one_in = yield;
	shim_point_hook = thread_point;
	for (i = 0; i < n; i++) {
		threads[i] = (struct thread){ .cpu = i, .fn = fn, .data = data };
		if (pthread_create(&threads[i].thread, NULL, thread_main, &threads[i]))
			shim_panic("thread %u of %u cannot be made", i, n);
	}
	for (i = 0; i < n; i++)
		pthread_join(threads[i].thread, NULL);
	shim_point_hook = NULL;
	free(threads);
}

/* ---- fibers ---- */

/**
 * struct fiber - one CPU that waits for its turn
 * @context: where it is
 * @cpu: what it knows of itself, see struct shim_cpu
 * @stack: its stack
 * @done: it has come to its end
 */
struct fiber {
	ucontext_t context;
	struct shim_cpu cpu;
	void *stack;
	bool done;
};

static struct fiber *fibers;
static unsigned int nr_fibers, fibers_left, fiber_now;
static ucontext_t fiber_main;
static cpu_fn fiber_fn;
static void *fiber_data;
static u64 fiber_random;

static void fiber_switch(unsigned int to)
{
	struct fiber *from = &fibers[fiber_now];

	if (to == fiber_now)
		return;
	from->cpu = shim_cpu;
	fiber_now = to;
	shim_cpu = fibers[to].cpu;
	swapcontext(&from->context, &fibers[to].context);
}

/* One of those that have not ended, by chance, and not the one that runs */
static unsigned int fiber_next(void)
{
	unsigned int i = world_random(&fiber_random) % nr_fibers;

	while (fibers[i].done)
		i = (i + 1) % nr_fibers;
	return i;
}

static void fiber_point(void)
{
	if (world_random(&fiber_random) % yield_one_in == 0)
		fiber_switch(fiber_next());
}

/* The holder of the lock is another fiber: let any other run */
static void fiber_wait(void)
{
	static unsigned int waits;

	if (fibers_left == 1 || waits++ > 100000000)
		shim_panic("CPU %u waits for a lock that nobody will give up", shim_cpu.id);
	fiber_switch(fiber_next());
}

/* Any other, if there is one */
static void fiber_sleep(void)
{
	if (fibers_left > 1)
		fiber_wait();
}

void cpus_pause(void)
{
	if (fibers)
		fiber_switch(fiber_next());
}

static void fiber_start(void)
{
	fiber_fn(fiber_now, fiber_data);
	fibers[fiber_now].done = true;
	if (--fibers_left == 0) {
		setcontext(&fiber_main);
	} else {
		fiber_now = fiber_next();
		shim_cpu = fibers[fiber_now].cpu;
		setcontext(&fibers[fiber_now].context);
	}
}

static void fibers_run(unsigned int n, cpu_fn fn, void *data, void (*point)(void),
		       void (*wait)(void))
{
	unsigned int i;

	fibers = calloc(n, sizeof(*fibers));
	nr_fibers = n;
	fibers_left = n;
	fiber_fn = fn;
	fiber_data = data;
	for (i = 0; i < n; i++) {
		struct fiber *f = &fibers[i];

		f->stack = malloc(FIBER_STACK);
		f->cpu = (struct shim_cpu){ .id = i, .offset = i * SHIM_PERCPU_SIZE };
		getcontext(&f->context);
		f->context.uc_stack.ss_sp = f->stack;
		f->context.uc_stack.ss_size = FIBER_STACK;
		makecontext(&f->context, fiber_start, 0);
	}
	shim_point_hook = point;
	shim_store_hook = point;
	shim_wait_hook = wait;
	shim_sleep_hook = fiber_sleep;
	fiber_now = 0;
	shim_cpu = fibers[0].cpu;
	swapcontext(&fiber_main, &fibers[0].context);
	shim_point_hook = NULL;
	shim_store_hook = NULL;
	shim_wait_hook = NULL;
	shim_sleep_hook = NULL;
	shim_thread_init(0);
	for (i = 0; i < n; i++)
		free(fibers[i].stack);
	free(fibers);
	fibers = NULL;
}

void cpus_run_fibers(unsigned int n, cpu_fn fn, void *data, unsigned int yield, u64 seed)
{
	fiber_random = seed;
	yield_one_in = yield ?: 1;
	fibers_run(n, fn, data, fiber_point, fiber_wait);
}

/* ---- two, of which the second comes in between at one point of the first ---- */

/**
 * struct late - a CPU's last store, which nothing has ordered since
 * @at: where; NULL: there is none
 * @before: what was there
 * @size: bytes
 */
struct late {
	void *at;
	u64 before;
	unsigned int size;
};

static struct late late[2];
static unsigned int points_left[2];

static void between_point(void)
{
	if (points_left[fiber_now] && !--points_left[fiber_now] && !fibers[!fiber_now].done)
		fiber_switch(!fiber_now);
}

/* Another CPU may see this store, and not yet the one before it */
static void between_stored(void *at, u64 before, unsigned int size)
{
	struct late *l = &late[fiber_now];
	u64 now;

	if (at && l->at && l->at != at) {
		memcpy(&now, l->at, l->size);
		memcpy(l->at, &l->before, l->size);
		between_point();
		memcpy(l->at, &now, l->size);
	}
	*l = (struct late){ .at = at, .before = before, .size = size };
}

/* The other has what is waited for; it goes on to its end, or until it waits */
static void between_wait(void)
{
	unsigned int other = !fiber_now;

	if (fibers[other].done)
		shim_panic("CPU %u waits for what nobody will give up", shim_cpu.id);
	fiber_switch(other);
}

bool cpus_run_between(cpu_fn fn, void *data, unsigned int point, unsigned int back,
		      bool *came_back)
{
	points_left[0] = point;
	points_left[1] = back;
	memset(late, 0, sizeof(late));
	shim_stored_hook = between_stored;
	fibers_run(2, fn, data, between_point, between_wait);
	shim_stored_hook = NULL;
	*came_back = back && !points_left[1];
	return !points_left[0];
}

/* ---- programs of many CPUs ---- */

void cpus_run(const struct cpus_how *how, cpu_fn fn, void *data)
{
	if (how->fibers)
		cpus_run_fibers(how->cpus, fn, data, 3, how->seed);
	else
		cpus_run_threads(how->cpus, fn, data, 64);
}

int cpus_main(int argc, char **argv, struct cpus_how *how, void (*run)(void))
{
	static const struct option options[] = {
		{ "fibers", 0, NULL, 'f' }, { "rounds", 1, NULL, 'r' },
		{ "cpus", 1, NULL, 'c' }, { "seed", 1, NULL, 's' }, { }
	};
	unsigned int seeds;
	int c;

	how->rounds = 3000;
	how->cpus = 6;
	how->seed = time(NULL);
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'f':
			how->fibers = true;
			break;
		case 'r':
			how->rounds = atoi(optarg);
			break;
		case 'c':
			how->cpus = clamp_t(unsigned int, atoi(optarg), 2, CPUS_MAX);
			break;
		case 's':
			how->seed = strtoull(optarg, NULL, 0);
			break;
		default:
			return 2;
		}
	}
	printf("seed %llu\n", how->seed);
	fflush(stdout);
	/* Fibers of one seed do not race, so many seeds have to be tried */
	for (seeds = how->fibers ? 20 : 1; seeds; seeds--, how->seed++)
		run();
	return 0;
}
