// SPDX-License-Identifier: GPL-2.0
/* Mapping where nothing may sleep: under locks, in interrupts, in timers */
#include <linux/completion.h>
#include <linux/interrupt.h>
#include <linux/irq_work.h>
#include <linux/kernel.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/timer.h>

#include "pvt.h"

#define CONTEXT_SG	5
/* Of each of them */
#define CONTEXT_LEN	500

/**
 * struct context - work that is done in the context under test
 * @dev: the device
 * @map: map, or else sync and unmap
 * @buf: mapped in one as @dma and in pieces as @sgl
 * @len: its length
 * @dma: what dma_map_single() gave
 * @sgl: the pieces
 * @nents: what dma_map_sg() gave
 * @coherent: memory allocated there
 * @coherent_dma: its address
 */
struct context {
	struct device *dev;
	bool map;
	u8 *buf;
	size_t len;
	dma_addr_t dma;
	struct scatterlist sgl[CONTEXT_SG];
	int nents;
	void *coherent;
	dma_addr_t coherent_dma;
};

static void context_work(void *arg)
{
	struct context *c = arg;

	if (c->map) {
		c->dma = dma_map_single(c->dev, c->buf, c->len,
					DMA_BIDIRECTIONAL);
		c->nents = dma_map_sg(c->dev, c->sgl, CONTEXT_SG,
				      DMA_TO_DEVICE);
		c->coherent = dma_alloc_coherent(c->dev, SZ_4K,
						 &c->coherent_dma, GFP_ATOMIC);
	} else {
		dma_sync_single_for_cpu(c->dev, c->dma, 10, DMA_BIDIRECTIONAL);
		dma_sync_sg_for_device(c->dev, c->sgl, CONTEXT_SG,
				       DMA_TO_DEVICE);
		dma_unmap_single(c->dev, c->dma, c->len,
				 DMA_BIDIRECTIONAL);
		dma_unmap_sg(c->dev, c->sgl, CONTEXT_SG, DMA_TO_DEVICE);
	}
}

/* Let the device check and change what @run had mapped, then unmap by @run */
static void context_test(struct pvt *t, void (*run)(struct pvt *t,
						    struct context *c))
{
	size_t len = pvt_whole() ? PAGE_SIZE : CONTEXT_LEN;
	struct context c = { .dev = t->dev, .map = true, .len = CONTEXT_SG * len };
	u8 *data = kmalloc(c.len, GFP_KERNEL);
	int i;

	c.buf = kmalloc(c.len, GFP_KERNEL);
	if (!pvt_expect(t, c.buf && data, "no memory"))
		goto out;
	pvt_fill(c.buf, c.len, pvt_random(t));
	sg_init_table(c.sgl, CONTEXT_SG);
	for (i = 0; i < CONTEXT_SG; i++)
		sg_set_buf(&c.sgl[i], c.buf + i * len, len);
	run(t, &c);
	if (pvt_expect(t, c.coherent, "no coherent memory")) {
		pvt_zero(t, c.coherent, SZ_4K, "coherent memory");
		dma_free_coherent(t->dev, SZ_4K, c.coherent, c.coherent_dma);
	}
	if (!pvt_expect(t, !dma_mapping_error(t->dev, c.dma) && c.nents > 0,
			"cannot map"))
		goto out;
	if (pvt_dev_read(t, t->edu, c.dma, data, c.len))
		pvt_same(t, data, c.buf, c.len, "device read");
	if (pvt_dev_read_sg(t, t->edu, c.sgl, c.nents, data, c.len))
		pvt_same(t, data, c.buf, c.len, "device read of the list");
	pvt_fill(data, c.len, pvt_random(t));
	pvt_dev_write(t, t->edu, c.dma, data, c.len);
	c.map = false;
	run(t, &c);
	pvt_same(t, c.buf, data, c.len, "memory after unmap");
out:
	kfree(c.buf);
	kfree(data);
}

static void context_run_irqs_off(struct pvt *t, struct context *c)
{
	unsigned long flags;
	bool off;

	local_irq_save(flags);
	context_work(c);
	/* whoever sleeps comes back with interrupts on, and no warning */
	off = irqs_disabled();
	local_irq_restore(flags);
	pvt_expect(t, off, "interrupts are on: it slept");
}

static void context_run_spinlock(struct pvt *t, struct context *c)
{
	/* not a raw one: the kernel's DMA_API_DEBUG takes one of these itself */
	static DEFINE_SPINLOCK(lock);

	spin_lock(&lock);
	context_work(c);
	spin_unlock(&lock);
}

struct context_irq_work {
	struct irq_work work;
	struct context *context;
	struct completion done;
};

static void context_irq_work(struct irq_work *work)
{
	struct context_irq_work *w;

	w = container_of(work, struct context_irq_work, work);
	context_work(w->context);
	complete(&w->done);
}

static void context_run_hardirq(struct pvt *t, struct context *c)
{
	struct context_irq_work w = { .context = c };

	init_irq_work(&w.work, context_irq_work);
	init_completion(&w.done);
	irq_work_queue(&w.work);
	wait_for_completion(&w.done);
	irq_work_sync(&w.work);
}

static void context_run_device_irq(struct pvt *t, struct context *c)
{
	int ret = pvt_edu_in_irq(t->edu, context_work, c);

	pvt_expect(t, !ret, "no interrupt: %d", ret);
}

static struct context *context_timer_context;
static DECLARE_COMPLETION(context_timer_done);

static void context_timer(struct timer_list *unused)
{
	context_work(context_timer_context);
	complete(&context_timer_done);
}

static DEFINE_TIMER(context_timer_list, context_timer);

static void context_run_timer(struct pvt *t, struct context *c)
{
	context_timer_context = c;
	reinit_completion(&context_timer_done);
	mod_timer(&context_timer_list, jiffies + 1);
	wait_for_completion(&context_timer_done);
	timer_delete_sync(&context_timer_list);
}

static void context_irqs_off(struct pvt *t)
{
	context_test(t, context_run_irqs_off);
}

static void context_spinlock(struct pvt *t)
{
	context_test(t, context_run_spinlock);
}

static void context_hardirq(struct pvt *t)
{
	context_test(t, context_run_hardirq);
}

static void context_device_irq(struct pvt *t)
{
	context_test(t, context_run_device_irq);
}

static void context_softirq_timer(struct pvt *t)
{
	context_test(t, context_run_timer);
}

static const struct pvt_case context_cases[] = {
	{ "irqs_off", context_irqs_off },
	{ "spinlock", context_spinlock },
	{ "hardirq", context_hardirq },
	{ "device_irq", context_device_irq },
	{ "timer", context_softirq_timer },
};

PVT_GROUP(context);
