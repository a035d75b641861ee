// SPDX-License-Identifier: GPL-2.0
/*
 * A thread on every CPU maps, syncs, writes on both sides, checks and unmaps
 * at random, against a model: for each mapping, what the caller's buffer holds
 * and what the device sees. The numbers come from the seed and are counted in
 * steps, so that a run can be repeated.
 *
 * The device's part goes through window memory where that is the guest's own,
 * else through an edu device, and then only now and then.
 */
#include <linux/completion.h>
#include <linux/cpumask.h>
#include <linux/kernel.h>
#include <linux/kthread.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "pvt.h"

#define STRESS_SLOTS		8
#define STRESS_MAX		SZ_256K
#define STRESS_MAX_BITS		18
#define STRESS_SEGS		64
#define STRESS_EDU_MAX		512	/* bytes at a time through an edu... */
#define STRESS_EDU_RARE		64	/* ...one time of so many */

enum stress_kind { STRESS_FREE, STRESS_SINGLE, STRESS_SG, STRESS_COHERENT };

/**
 * struct stress_slot - one mapping and its model
 * @kind: what it is now
 * @dir: its direction
 * @len: its bytes
 * @buf: the memory that is mapped
 * @coherent: the memory that was allocated instead
 * @cpu: what @buf must hold
 * @devmem: what the device must see
 * @sgl: @buf in pieces; one piece for what is no list
 * @n: pieces mapped
 * @nents: segments that the device has
 */
struct stress_slot {
	enum stress_kind kind;
	enum dma_data_direction dir;
	size_t len;
	u8 *buf;
	u8 *coherent;
	u8 *cpu;
	u8 *devmem;
	struct scatterlist sgl[STRESS_SEGS];
	int n;
	int nents;
};

struct stress_thread {
	struct pvt t;
	struct task_struct *task;
	struct completion done;
	struct stress_slot slot[STRESS_SLOTS];
	u8 *tmp;
	unsigned long maps;
	unsigned long full;
	unsigned long checks;
};

static size_t stress_len(struct pvt *t)
{
	u32 bits = pvt_below(t, STRESS_MAX_BITS + 1);

	return 1 + pvt_below(t, 1U << bits);
}

/* Half of the calls with interrupts off */
static unsigned long stress_begin(struct pvt *t, bool *off)
{
	unsigned long flags = 0;

	*off = pvt_below(t, 2);
	if (*off)
		local_irq_save(flags);
	return flags;
}

static void stress_end(unsigned long flags, bool off)
{
	if (off)
		local_irq_restore(flags);
}

/* Cut the buffer into pieces */
static void stress_cut(struct pvt *t, struct stress_slot *s)
{
	size_t pos = 0, n;
	int i;

	s->n = min_t(size_t, 1 + pvt_below(t, STRESS_SEGS), s->len);
	sg_init_table(s->sgl, s->n);
	for (i = 0; i < s->n; i++) {
		size_t left = s->len - pos, others = s->n - i - 1;

		n = left;
		if (others)
			n = 1 + pvt_below(t, min(left - others, 2 * left / (others + 1)));
		sg_set_buf(&s->sgl[i], s->buf + pos, n);
		pos += n;
	}
}

static bool stress_map_streaming(struct pvt *t, struct stress_slot *s)
{
	unsigned long flags;
	dma_addr_t dma;
	bool off;

	pvt_fill(s->buf, s->len, pvt_random(t));
	if (s->kind == STRESS_SG) {
		stress_cut(t, s);
		flags = stress_begin(t, &off);
		s->nents = dma_map_sg_attrs(t->dev, s->sgl, s->n, s->dir,
					    DMA_ATTR_NO_WARN);
		stress_end(flags, off);
		if (!s->nents)
			return false;
		if (!pvt_sg_legal(t, t->dev, s->sgl, s->nents, s->len))
			return true;
	} else {
		flags = stress_begin(t, &off);
		dma = dma_map_single_attrs(t->dev, s->buf, s->len, s->dir,
					   DMA_ATTR_NO_WARN);
		stress_end(flags, off);
		if (dma_mapping_error(t->dev, dma))
			return false;
		sg_init_one(s->sgl, s->buf, s->len);
		sg_dma_address(s->sgl) = dma;
		sg_dma_len(s->sgl) = s->len;
		s->n = 1;
		s->nents = 1;
	}
	memcpy(s->cpu, s->buf, s->len);
	memcpy(s->devmem, s->buf, s->len);
	return true;
}

static bool stress_map_coherent(struct pvt *t, struct stress_slot *s)
{
	dma_addr_t dma;

	s->coherent = dma_alloc_attrs(t->dev, s->len, &dma,
				      GFP_KERNEL | __GFP_NOWARN,
				      DMA_ATTR_NO_WARN);
	if (!s->coherent)
		return false;
	pvt_zero(t, s->coherent, s->len, "coherent memory");
	memset(s->devmem, 0, s->len);
	sg_init_table(s->sgl, 1);
	sg_dma_address(s->sgl) = dma;
	sg_dma_len(s->sgl) = s->len;
	s->nents = 1;
	return true;
}

static void stress_map(struct stress_thread *th, struct stress_slot *s)
{
	static const enum dma_data_direction dirs[] = {
		DMA_TO_DEVICE, DMA_FROM_DEVICE, DMA_BIDIRECTIONAL,
	};
	struct pvt *t = &th->t;
	bool ok;

	s->kind = STRESS_SINGLE + pvt_below(t, 8) % 3;
	s->dir = dirs[pvt_below(t, 3)];
	s->len = stress_len(t);
	if (s->kind == STRESS_COHERENT) {
		s->dir = DMA_BIDIRECTIONAL;
		s->len = min_t(size_t, s->len, SZ_32K);
		ok = stress_map_coherent(t, s);
	} else {
		ok = stress_map_streaming(t, s);
	}
	if (ok) {
		th->maps++;
	} else {
		th->full++;
		s->kind = STRESS_FREE;
	}
}

static void stress_unmap(struct stress_thread *th, struct stress_slot *s)
{
	unsigned long flags, attrs = 0;
	struct pvt *t = &th->t;
	bool off;

	if (s->kind == STRESS_COHERENT) {
		pvt_same(t, s->coherent, s->devmem, s->len, "coherent memory");
		dma_free_coherent(t->dev, s->len, s->coherent,
				  sg_dma_address(s->sgl));
		s->kind = STRESS_FREE;
		return;
	}
	if (!pvt_below(t, 4))
		attrs = DMA_ATTR_SKIP_CPU_SYNC;
	flags = stress_begin(t, &off);
	if (s->kind == STRESS_SG)
		dma_unmap_sg_attrs(t->dev, s->sgl, s->n, s->dir, attrs);
	else
		dma_unmap_single_attrs(t->dev, sg_dma_address(s->sgl), s->len,
				       s->dir, attrs);
	stress_end(flags, off);
	if (s->dir != DMA_TO_DEVICE && !attrs)
		memcpy(s->cpu, s->devmem, s->len);
	pvt_same(t, s->buf, s->cpu, s->len, "memory after unmap");
	s->kind = STRESS_FREE;
}

/* The device writes, or reads and is checked, within one segment */
static void stress_device(struct stress_thread *th, struct stress_slot *s,
			  bool write)
{
	struct pvt *t = &th->t;
	int seg = pvt_below(t, s->nents), i;
	size_t pos = 0, off, len;
	struct scatterlist *sg;
	dma_addr_t dma;
	void *mem;

	for_each_sg(s->sgl, sg, seg, i)
		pos += sg_dma_len(sg);
	off = pvt_below(t, sg_dma_len(sg));
	len = 1 + pvt_below(t, sg_dma_len(sg) - off);
	dma = sg_dma_address(sg) + off;
	pos += off;
	mem = pvt_host_backdoor(dma, len);
	if (!mem) {
		if (pvt_below(t, STRESS_EDU_RARE))
			return;
		len = min_t(size_t, len, STRESS_EDU_MAX);
	}
	th->checks++;
	if (write) {
		pvt_fill(s->devmem + pos, len, pvt_random(t));
		if (mem)
			memcpy(mem, s->devmem + pos, len);
		else
			pvt_dev_write(t, t->edu, dma, s->devmem + pos, len);
		return;
	}
	if (mem)
		pvt_same(t, mem, s->devmem + pos, len, "window memory");
	else if (pvt_dev_read(t, t->edu, dma, th->tmp, len))
		pvt_same(t, th->tmp, s->devmem + pos, len, "device read");
}

static void stress_sync(struct stress_thread *th, struct stress_slot *s,
			bool for_cpu)
{
	struct pvt *t = &th->t;
	size_t off = 0, len = s->len;
	unsigned long flags;
	bool irqs_off;

	if (s->kind == STRESS_SINGLE) {
		off = pvt_below(t, s->len);
		len = 1 + pvt_below(t, s->len - off);
	}
	flags = stress_begin(t, &irqs_off);
	if (s->kind == STRESS_SG && for_cpu)
		dma_sync_sg_for_cpu(t->dev, s->sgl, s->n, s->dir);
	else if (s->kind == STRESS_SG)
		dma_sync_sg_for_device(t->dev, s->sgl, s->n, s->dir);
	else if (for_cpu)
		dma_sync_single_for_cpu(t->dev, sg_dma_address(s->sgl) + off,
					len, s->dir);
	else
		dma_sync_single_for_device(t->dev,
					   sg_dma_address(s->sgl) + off, len,
					   s->dir);
	stress_end(flags, irqs_off);
	if (for_cpu && s->dir != DMA_TO_DEVICE)
		memcpy(s->cpu + off, s->devmem + off, len);
	if (!for_cpu && s->dir != DMA_FROM_DEVICE)
		memcpy(s->devmem + off, s->cpu + off, len);
}

static void stress_cpu_write(struct stress_thread *th, struct stress_slot *s)
{
	struct pvt *t = &th->t;
	size_t off = pvt_below(t, s->len);
	size_t len = 1 + pvt_below(t, s->len - off);

	if (s->kind == STRESS_COHERENT) {
		pvt_fill(s->coherent + off, len, pvt_random(t));
		memcpy(s->devmem + off, s->coherent + off, len);
	} else {
		pvt_fill(s->buf + off, len, pvt_random(t));
		memcpy(s->cpu + off, s->buf + off, len);
	}
}

static void stress_step(struct stress_thread *th)
{
	struct pvt *t = &th->t;
	struct stress_slot *s = &th->slot[pvt_below(t, STRESS_SLOTS)];
	u32 what = pvt_below(t, 16);

	if (s->kind == STRESS_FREE)
		stress_map(th, s);
	else if (what < 5)
		stress_unmap(th, s);
	else if (what < 7)
		stress_cpu_write(th, s);
	else if (what < 9)
		stress_device(th, s, false);
	else if (what < 12 && s->dir != DMA_TO_DEVICE)
		stress_device(th, s, true);
	else if (what < 15 && s->kind != STRESS_COHERENT)
		stress_sync(th, s, what & 1);
	else if (s->kind != STRESS_COHERENT)
		pvt_same(t, s->buf, s->cpu, s->len, "mapped memory");
}

static int stress_thread(void *data)
{
	struct stress_thread *th = data;
	u32 step, steps = pvt_steps();
	int i;

	for (step = 0; step < steps && !th->t.failures; step++) {
		stress_step(th);
		cond_resched();
	}
	if (th->t.failures)
		pvt_log("# on step %u", step);
	for (i = 0; i < STRESS_SLOTS; i++) {
		if (th->slot[i].kind != STRESS_FREE)
			stress_unmap(th, &th->slot[i]);
	}
	complete(&th->done);
	while (!kthread_should_stop())
		schedule_timeout_interruptible(1);
	return 0;
}

static void stress_thread_free(struct stress_thread *th)
{
	int i;

	for (i = 0; i < STRESS_SLOTS; i++) {
		kfree(th->slot[i].buf);
		vfree(th->slot[i].cpu);
		vfree(th->slot[i].devmem);
	}
	kfree(th->tmp);
	vfree(th);
}

static struct stress_thread *stress_thread_new(struct pvt *t, unsigned int nr)
{
	struct stress_thread *th = vzalloc(sizeof(*th));
	int i;

	if (!th)
		return NULL;
	th->t.edu = nr & 1 && t->other ? t->other : t->edu;
	th->t.other = t->other;
	th->t.dev = pvt_edu_dev(th->t.edu);
	prandom_seed_state(&th->t.rnd, pvt_seed() + nr);
	init_completion(&th->done);
	th->tmp = kmalloc(STRESS_EDU_MAX, GFP_KERNEL);
	for (i = 0; i < STRESS_SLOTS; i++) {
		struct stress_slot *s = &th->slot[i];

		s->buf = kmalloc(STRESS_MAX, GFP_KERNEL);
		s->cpu = vmalloc(STRESS_MAX);
		s->devmem = vmalloc(STRESS_MAX);
		if (!s->buf || !s->cpu || !s->devmem || !th->tmp) {
			stress_thread_free(th);
			return NULL;
		}
	}
	return th;
}

/* Each CPU gets a thread before the first of them starts */
static void stress_random(struct pvt *t)
{
	struct stress_thread **th;
	unsigned int n = 0, i;
	int cpu;

	th = kcalloc(nr_cpu_ids, sizeof(*th), GFP_KERNEL);
	if (!pvt_expect(t, th, "no memory"))
		return;
	/* no entry of a list is longer than the device takes */
	dma_set_max_seg_size(t->dev, STRESS_MAX);
	if (t->other)
		dma_set_max_seg_size(pvt_edu_dev(t->other), STRESS_MAX);
	pvt_log("# seed %u, %u steps", pvt_seed(), pvt_steps());
	for_each_online_cpu(cpu) {
		struct stress_thread *new = stress_thread_new(t, n);

		if (!pvt_expect(t, new, "no memory"))
			break;
		new->task = kthread_create(stress_thread, new, "pvt/%d", cpu);
		if (!pvt_expect(t, !IS_ERR(new->task), "no thread")) {
			stress_thread_free(new);
			break;
		}
		kthread_bind(new->task, cpu);
		th[n++] = new;
	}
	for (i = 0; i < n; i++)
		wake_up_process(th[i]->task);
	for (i = 0; i < n; i++) {
		wait_for_completion(&th[i]->done);
		kthread_stop(th[i]->task);
		pvt_log("# thread %u: %lu maps, %lu times full, %lu accesses by the device",
			i, th[i]->maps, th[i]->full, th[i]->checks);
		pvt_expect(t, th[i]->maps, "thread %u mapped nothing", i);
		t->failures += th[i]->t.failures;
		stress_thread_free(th[i]);
	}
	kfree(th);
}

static const struct pvt_case stress_cases[] = {
	{ "random", stress_random },
};

PVT_GROUP(stress);
