// SPDX-License-Identifier: GPL-2.0
/*
 * A thread on each CPU maps and unmaps, as fast as it can: the shell test looks at
 * what that cost the allocator. Each mapping has a buffer of its own with a number in
 * it, which is there still after the unmap has copied it back.
 */
#include <linux/completion.h>
#include <linux/cpu.h>
#include <linux/kernel.h>
#include <linux/kthread.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "pvt.h"

#define SCALE_LEN	SZ_64K
#define SCALE_DEPTH	8

/**
 * struct scale_thread - one CPU's
 * @t: the case
 * @task: the thread
 * @from: whose mappings it undoes: its own, or its neighbour's
 * @stop: somebody has failed, so that others may wait for ever
 * @buf: what it maps, a piece for each place in the ring
 * @nr: its number
 * @ring: mappings on their way to who unmaps them, 0: none
 * @put: where in the ring the next one goes
 * @get: where the next comes from, of those that it unmaps
 * @maps: how many it made
 * @unmaps: how many it undid
 * @failed: mappings that were refused
 * @wrong: unmaps after which a buffer had other bytes
 * @done: it has ended
 */
struct scale_thread {
	struct pvt *t;
	struct task_struct *task;
	struct scale_thread *from;
	bool *stop;
	u8 *buf;
	unsigned int nr;
	dma_addr_t ring[SCALE_DEPTH];
	unsigned int put;
	unsigned int get;
	unsigned int maps;
	unsigned int unmaps;
	unsigned int failed;
	unsigned int wrong;
	struct completion done;
};

/* The piece of the buffer for a place in the ring, and what is at its ends */
static u32 *scale_piece(struct scale_thread *s, unsigned int at, bool end)
{
	return (u32 *)(s->buf + at * SCALE_LEN + (end ? SCALE_LEN - sizeof(u32) : 0));
}

static u32 scale_word(struct scale_thread *s, unsigned int at, bool end)
{
	u32 word = s->nr * SCALE_DEPTH + at;

	return end ? ~word : word;
}

static bool scale_map(struct scale_thread *s)
{
	unsigned int at = s->put % SCALE_DEPTH;
	dma_addr_t dma;

	/* Pairs with the release of who has unmapped what was there */
	if (smp_load_acquire(&s->ring[at]))
		return false;
	dma = dma_map_single(s->t->dev, scale_piece(s, at, false), SCALE_LEN,
			     DMA_BIDIRECTIONAL);
	if (dma_mapping_error(s->t->dev, dma)) {
		s->failed++;
		WRITE_ONCE(*s->stop, true);
		return false;
	}
	s->maps++;
	s->put++;
	/* To who unmaps it: the mapping is complete */
	smp_store_release(&s->ring[at], dma);
	return true;
}

static bool scale_unmap(struct scale_thread *s)
{
	struct scale_thread *from = s->from;
	unsigned int at = s->get % SCALE_DEPTH;
	/* Pairs with the release of who mapped it */
	dma_addr_t dma = smp_load_acquire(&from->ring[at]);

	if (!dma)
		return false;
	dma_unmap_single(s->t->dev, dma, SCALE_LEN, DMA_BIDIRECTIONAL);
	if (*scale_piece(from, at, false) != scale_word(from, at, false) ||
	    *scale_piece(from, at, true) != scale_word(from, at, true))
		s->wrong++;
	s->unmaps++;
	s->get++;
	/* To who maps: the place is free */
	smp_store_release(&from->ring[at], 0);
	return true;
}

static int scale_run(void *data)
{
	struct scale_thread *s = data;
	unsigned int steps = pvt_steps();
	bool moved;

	while ((s->maps < steps || s->unmaps < steps) && !READ_ONCE(*s->stop)) {
		moved = false;
		/* Some at a time, as a driver with a queue does */
		while (s->maps < steps && scale_map(s))
			moved = true;
		while (s->unmaps < steps && scale_unmap(s))
			moved = true;
		if (moved)
			cond_resched();
		else
			schedule_timeout_uninterruptible(1);
	}
	complete(&s->done);
	return 0;
}

static void scale_threads(struct pvt *t, bool across)
{
	unsigned int n = num_online_cpus(), i = 0, at, cpu;
	u64 maps = 0, failed = 0, wrong = 0;
	struct scale_thread *s;
	bool stop = false;

	s = kcalloc(n, sizeof(*s), GFP_KERNEL);
	/* One that does not reach all of the window has no caches; there is no DMA here */
	if (!pvt_expect(t, s && !dma_set_mask(t->dev, DMA_BIT_MASK(64)), "no memory")) {
		kfree(s);
		return;
	}
	cpus_read_lock();
	for_each_online_cpu(cpu) {
		if (i == n)
			break;
		s[i].t = t;
		s[i].nr = i;
		s[i].stop = &stop;
		s[i].from = &s[across ? (i + 1) % n : i];
		init_completion(&s[i].done);
		s[i].buf = kmalloc(SCALE_LEN * SCALE_DEPTH, GFP_KERNEL);
		s[i].task = kthread_create_on_node(scale_run, &s[i], cpu_to_node(cpu),
						   "scale/%u", cpu);
		if (!pvt_expect(t, s[i].buf && !IS_ERR(s[i].task), "no thread for CPU %u", cpu)) {
			/* The others end at once */
			stop = true;
			if (!IS_ERR(s[i].task))
				kthread_stop(s[i].task);
			kfree(s[i].buf);
			break;
		}
		for (at = 0; at < SCALE_DEPTH; at++) {
			*scale_piece(&s[i], at, false) = scale_word(&s[i], at, false);
			*scale_piece(&s[i], at, true) = scale_word(&s[i], at, true);
		}
		kthread_bind(s[i].task, cpu);
		i++;
	}
	cpus_read_unlock();
	n = i;
	for (i = 0; i < n; i++)
		wake_up_process(s[i].task);
	for (i = 0; i < n; i++)
		wait_for_completion(&s[i].done);
	for (i = 0; i < n; i++) {
		while (scale_unmap(&s[i]))
			;
		maps += s[i].maps;
		failed += s[i].failed;
		wrong += s[i].wrong;
	}
	for (i = 0; i < n; i++)
		kfree(s[i].buf);
	kfree(s);
	pvt_log("# %u CPUs made %llu maps of %d bytes", n, maps, SCALE_LEN);
	pvt_expect(t, !failed, "%llu maps failed", failed);
	pvt_expect(t, !wrong, "%llu buffers had other bytes", wrong);
}

/* Each CPU unmaps what it has mapped */
static void scale_local(struct pvt *t)
{
	scale_threads(t, false);
}

/* Each unmaps what its neighbour has mapped, as where interrupts go elsewhere */
static void scale_across(struct pvt *t)
{
	scale_threads(t, true);
}

static const struct pvt_case scale_cases[] = {
	{ "local", scale_local },
	{ "across", scale_across },
};

PVT_GROUP(scale);
