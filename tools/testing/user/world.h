/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A small world: a guest with some CPUs, the module, a host device, and devices
 * whose drivers map and unmap at random; and a model of what each byte has to be
 * and who may reach it.
 */
#ifndef _USER_WORLD_H
#define _USER_WORLD_H

#include "host.h"

/**
 * struct step - one thing that happens
 * @op: what, see world.c
 * @cpu: where
 * @dev: which device
 * @how: bits that an operation may use
 * @a: what it does it with; any number means something, so that a step can be
 *	left out of a sequence without making the others senseless
 * @b: the same
 * @c: the same
 */
struct step {
	u8 op;
	u8 cpu;
	u8 dev;
	u8 how;
	u32 a;
	u32 b;
	u32 c;
};

/* Random numbers that are the same on every machine: splitmix64 */
static inline u64 world_random(u64 *state)
{
	u64 z = *state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

/* Says what is done, on standard error */
extern bool world_trace;
/* Also what is larger than a chunk has to find room where there is any */
extern bool world_check_runs;

void world_begin(u64 seed);
void world_step(const struct step *step);
void world_end(void);
void world_make_steps(u64 seed, struct step *steps, unsigned int n);
/* The step that is being done, for the one who reports */
extern unsigned int world_at;

#endif /* _USER_WORLD_H */
