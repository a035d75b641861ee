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
/* Between two operations; in fibers, where another may go on */
void cpus_pause(void);

#endif /* _USER_CPUS_H */
