// SPDX-License-Identifier: GPL-2.0
/*
 * A data race, for kcsan.sh to see that KCSAN reports one: two threads count in one
 * word. It is compiled with KCSAN, as the driver is and the other cases are not.
 */
#include <linux/atomic.h>
#include <linux/compiler.h>
#include <linux/completion.h>
#include <linux/cpumask.h>
#include <linux/kernel.h>
#include <linux/kthread.h>
#include <linux/sched.h>

#include "pvt.h"

#define RACE_ROUNDS	100000

static struct completion race_done;
static atomic_t race_left;
static unsigned long race_word;

static noinline void pvt_race(void)
{
	race_word++;
	barrier();
}

static int race_thread(void *unused)
{
	int i;

	for (i = 0; i < RACE_ROUNDS; i++) {
		pvt_race();
		cond_resched();
	}
	if (atomic_dec_and_test(&race_left))
		complete(&race_done);
	while (!kthread_should_stop())
		schedule_timeout_interruptible(1);
	return 0;
}

static void race_word_of_two(struct pvt *t)
{
	struct task_struct *task[2];
	int n = 0, i, cpu;

	if (num_online_cpus() < 2) {
		pvt_skip(t, "one CPU");
		return;
	}
	init_completion(&race_done);
	for_each_online_cpu(cpu) {
		task[n] = kthread_create(race_thread, NULL, "race/%d", cpu);
		if (!pvt_expect(t, !IS_ERR(task[n]), "no thread"))
			break;
		kthread_bind(task[n], cpu);
		if (++n == 2)
			break;
	}
	if (!n)
		return;
	atomic_set(&race_left, n);
	for (i = 0; i < n; i++)
		wake_up_process(task[i]);
	wait_for_completion(&race_done);
	for (i = 0; i < n; i++)
		kthread_stop(task[i]);
}

static const struct pvt_case race_cases[] = {
	{ "word_of_two", race_word_of_two },
};

PVT_GROUP(race);
