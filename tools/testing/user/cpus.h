/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Many CPUs: threads, or fibers of one thread that take turns wherever the code
 * under test takes or gives up a lock.
 */
#ifndef _USER_CPUS_H
#define _USER_CPUS_H

#include "world.h"

typedef void (*cpu_fn)(unsigned int cpu, void *data);

/* One thread for each CPU; with sched_yield() at one in @yield points */
void cpus_run_threads(unsigned int n, cpu_fn fn, void *data, unsigned int yield);
/* One fiber each; at one in @yield points another goes on. The same for a seed. */
void cpus_run_fibers(unsigned int n, cpu_fn fn, void *data, unsigned int yield, u64 seed);
/*
 * Two fibers, of which the second runs where the first comes to its @point-th point, the
 * first being 1: until it comes to its @back-th itself, or to its end, or waits. Returns
 * whether the first did; @came_back: whether the second did.
 */
bool cpus_run_between(cpu_fn fn, void *data, unsigned int point, unsigned int back,
		      bool *came_back);
/* As many as a program that is told how has at most */
#define CPUS_MAX	64

/**
 * struct cpus_how - what a program of many CPUs is told
 * @fibers: fibers, not threads
 * @rounds: what each of them does
 * @cpus: how many there are
 * @seed: what is random comes from there
 */
struct cpus_how {
	bool fibers;
	unsigned int rounds;
	unsigned int cpus;
	u64 seed;
};

void cpus_run(const struct cpus_how *how, cpu_fn fn, void *data);
/* What main() is: its options go to @how, and @run is called for each seed */
int cpus_main(int argc, char **argv, struct cpus_how *how, void (*run)(void));
/* Between two operations; in fibers, where another may go on */
void cpus_pause(void);

#endif /* _USER_CPUS_H */
