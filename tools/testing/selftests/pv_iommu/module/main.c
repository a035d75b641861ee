// SPDX-License-Identifier: GPL-2.0
/*
 * Runs groups of cases on demand:
 *
 *	echo GROUP[/CASE] > /sys/kernel/debug/pviommu_test/run
 *	cat /sys/kernel/debug/pviommu_test/log
 *
 * The write fails with EIO if a case does, and the log is KTAP.
 */
#include <linux/debugfs.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#include "pvt.h"

#define PVT_LOG_SIZE		SZ_64K
#define PVT_MAX_FAILURES	10	/* of one case that are printed */

static char *mode = "";
module_param(mode, charp, 0644);
MODULE_PARM_DESC(mode, "How pv-iommu serves the devices: window, bounce, or empty if it does not");

static bool shared;
module_param(shared, bool, 0644);
MODULE_PARM_DESC(shared, "Whether all devices reach the memory of all (default no)");

static bool whole;
module_param(whole, bool, 0644);
MODULE_PARM_DESC(whole, "Whether single, sg, sync, attrs, limits and context map whole pages in place of parts of them (default no)");

static uint seed = 1;
module_param(seed, uint, 0644);
MODULE_PARM_DESC(seed, "Start of the random numbers (default 1)");

static uint steps = 20000;
module_param(steps, uint, 0644);
MODULE_PARM_DESC(steps, "Steps of each thread of the groups stress and scale, rounds of hostile and once (default 20000)");

static const struct pvt_group * const pvt_groups[] = {
	&pvt_group_coherent,
	&pvt_group_single,
	&pvt_group_sg,
	&pvt_group_sync,
	&pvt_group_attrs,
	&pvt_group_limits,
	&pvt_group_masks,
	&pvt_group_context,
	&pvt_group_pages,
	&pvt_group_mmap,
	&pvt_group_pool,
	&pvt_group_kept,
	&pvt_group_full,
	&pvt_group_wild,
	&pvt_group_count,
	&pvt_group_isolation,
	&pvt_group_inherit,
	&pvt_group_large,
	&pvt_group_scale,
	&pvt_group_pressure,
	&pvt_group_direct,
	&pvt_group_once,
	&pvt_group_cached,
	&pvt_group_hostile,
	&pvt_group_stress,
	&pvt_group_race,
};

static struct dentry *pvt_dir;
static DEFINE_MUTEX(pvt_lock);		/* one run at a time; the log */
static char *pvt_log_buf;
static size_t pvt_log_len;

/* A parameter written by echo ends in a newline */
static bool pvt_mode_is(const char *name)
{
	return sysfs_streq(mode, name);
}

bool pvt_on_window(void)
{
	return pvt_mode_is("window");
}

bool pvt_on_bounce(void)
{
	return pvt_mode_is("bounce");
}

bool pvt_on_pviommu(void)
{
	return pvt_on_window() || pvt_on_bounce();
}

bool pvt_shared(void)
{
	return shared;
}

bool pvt_whole(void)
{
	return whole;
}

/* Is what is mapped the memory itself, so that nobody has to sync? */
bool pvt_direct(struct pvt *t)
{
	return whole && pvt_host_direct(t->dev);
}

u32 pvt_seed(void)
{
	return seed;
}

u32 pvt_steps(void)
{
	return steps;
}

static DEFINE_SPINLOCK(pvt_log_lock);

__printf(1, 0)
static void pvt_vlog(const char *fmt, va_list args)
{
	unsigned long flags;
	char line[200];

	vscnprintf(line, sizeof(line), fmt, args);
	pr_info("%s\n", line);
	spin_lock_irqsave(&pvt_log_lock, flags);
	pvt_log_len += scnprintf(pvt_log_buf + pvt_log_len,
				 PVT_LOG_SIZE - pvt_log_len, "%s\n", line);
	spin_unlock_irqrestore(&pvt_log_lock, flags);
}

void pvt_log(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	pvt_vlog(fmt, args);
	va_end(args);
}

void pvt_fail(struct pvt *t, const char *fmt, ...)
{
	char line[160];
	va_list args;

	if (t->failures++ >= PVT_MAX_FAILURES)
		return;
	va_start(args, fmt);
	vscnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	pvt_log("# %s", line);
}

void pvt_skip(struct pvt *t, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vscnprintf(t->skip, sizeof(t->skip), fmt, args);
	va_end(args);
}

static bool pvt_run_case(const struct pvt_group *group,
			 const struct pvt_case *c, unsigned int nr)
{
	struct pvt t = {};

	t.edu = pvt_edu_get(0);
	t.other = pvt_edu_get(1);
	t.dev = pvt_edu_dev(t.edu);
	prandom_seed_state(&t.rnd, seed);
	c->run(&t);
	pvt_edu_defaults(t.edu);
	if (t.other)
		pvt_edu_defaults(t.other);
	if (t.failures)
		pvt_log("not ok %u %s.%s # %u failures, seed %u", nr,
			group->name, c->name, t.failures, seed);
	else if (t.skip[0])
		pvt_log("ok %u %s.%s # SKIP %s", nr, group->name, c->name,
			t.skip);
	else
		pvt_log("ok %u %s.%s", nr, group->name, c->name);
	return !t.failures;
}

/* @name: GROUP or GROUP/CASE */
static int pvt_run(char *name)
{
	const struct pvt_group *group = NULL;
	unsigned int i, nr = 0;
	char *only;
	int ret = 0;

	only = strchr(name, '/');
	if (only)
		*only++ = '\0';
	for (i = 0; i < ARRAY_SIZE(pvt_groups); i++) {
		if (!strcmp(pvt_groups[i]->name, name))
			group = pvt_groups[i];
	}
	if (!group)
		return -ENOENT;
	if (!pvt_edu_get(0))
		return -ENODEV;
	pvt_log("KTAP version 1");
	if (!only)
		pvt_log("1..%u", group->nr);
	for (i = 0; i < group->nr; i++) {
		if (only && strcmp(group->cases[i].name, only))
			continue;
		if (!pvt_run_case(group, &group->cases[i], ++nr))
			ret = -EIO;
	}
	return nr ? ret : -ENOENT;
}

static ssize_t pvt_run_write(struct file *file, const char __user *ubuf,
			     size_t len, loff_t *ppos)
{
	char name[64];
	int ret;

	if (len >= sizeof(name))
		return -EINVAL;
	if (copy_from_user(name, ubuf, len))
		return -EFAULT;
	name[len] = '\0';
	ret = mutex_lock_interruptible(&pvt_lock);
	if (ret)
		return ret;
	pvt_log_len = 0;
	pvt_log_buf[0] = '\0';
	ret = pvt_run(strim(name));
	mutex_unlock(&pvt_lock);
	return ret ?: len;
}

static const struct file_operations pvt_run_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.write = pvt_run_write,
};

static int pvt_log_show(struct seq_file *m, void *unused)
{
	mutex_lock(&pvt_lock);
	seq_puts(m, pvt_log_buf);
	mutex_unlock(&pvt_lock);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(pvt_log);

static int pvt_groups_show(struct seq_file *m, void *unused)
{
	unsigned int i, j;

	for (i = 0; i < ARRAY_SIZE(pvt_groups); i++) {
		for (j = 0; j < pvt_groups[i]->nr; j++)
			seq_printf(m, "%s/%s\n", pvt_groups[i]->name,
				   pvt_groups[i]->cases[j].name);
	}
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(pvt_groups);

/* What the host says is granted, for tests that need no edu device */
static int pvt_granted_show(struct seq_file *m, void *unused)
{
	seq_printf(m, "%llu\n", pvt_host_present() ? pvt_host_granted() : 0);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(pvt_granted);

/* What each device's driver holds all the time, for tests that drive one by hand */
static int pvt_scratch_show(struct seq_file *m, void *unused)
{
	pvt_edu_show_scratch(m);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(pvt_scratch);

/*
 * Where the first device has a page mapped, since somebody wrote "1" to this, or "movable"
 * for one that may be taken offline; until somebody writes "0"
 */
static int pvt_held_show(struct seq_file *m, void *unused)
{
	pvt_edu_show_held(m);
	return 0;
}

static int pvt_held_open(struct inode *inode, struct file *file)
{
	return single_open(file, pvt_held_show, NULL);
}

static ssize_t pvt_held_write(struct file *file, const char __user *ubuf,
			      size_t len, loff_t *ppos)
{
	char what[16] = "";

	if (len >= sizeof(what) || copy_from_user(what, ubuf, len))
		return -EINVAL;
	if (!sysfs_streq(what, "0"))
		return pvt_edu_hold(sysfs_streq(what, "movable")) ?: len;
	pvt_edu_release();
	return len;
}

static const struct file_operations pvt_held_fops = {
	.owner = THIS_MODULE,
	.open = pvt_held_open,
	.read = seq_read,
	.write = pvt_held_write,
	.llseek = seq_lseek,
	.release = single_release,
};

/* The driver dies at its work, and leaves everything as it is */
static ssize_t pvt_crash_write(struct file *file, const char __user *ubuf,
			       size_t len, loff_t *ppos)
{
	__builtin_trap();
	return len;
}

static const struct file_operations pvt_crash_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.write = pvt_crash_write,
};

static int __init pvt_init(void)
{
	int ret;

	pvt_log_buf = vzalloc(PVT_LOG_SIZE);
	if (!pvt_log_buf)
		return -ENOMEM;
	ret = pvt_pattern_init();
	if (ret)
		goto err_log;
	ret = pvt_host_init();
	if (ret)
		goto err_pattern;
	ret = pvt_edu_init();
	if (ret)
		goto err_host;
	ret = pvt_pm_init();
	if (ret)
		goto err_edu;
	pvt_dir = debugfs_create_dir("pviommu_test", NULL);
	debugfs_create_file("run", 0200, pvt_dir, NULL, &pvt_run_fops);
	debugfs_create_file("log", 0400, pvt_dir, NULL, &pvt_log_fops);
	debugfs_create_file("cases", 0400, pvt_dir, NULL, &pvt_groups_fops);
	debugfs_create_file("granted", 0400, pvt_dir, NULL, &pvt_granted_fops);
	debugfs_create_file("scratch", 0400, pvt_dir, NULL, &pvt_scratch_fops);
	debugfs_create_file("held", 0600, pvt_dir, NULL, &pvt_held_fops);
	debugfs_create_file("crash", 0200, pvt_dir, NULL, &pvt_crash_fops);
	return 0;

err_edu:
	pvt_edu_exit();
err_host:
	pvt_host_exit();
err_pattern:
	pvt_pattern_exit();
err_log:
	vfree(pvt_log_buf);
	return ret;
}

static void __exit pvt_exit(void)
{
	debugfs_remove(pvt_dir);
	pvt_pm_exit();
	pvt_edu_exit();
	pvt_host_exit();
	pvt_pattern_exit();
	vfree(pvt_log_buf);
}

module_init(pvt_init);
module_exit(pvt_exit);
MODULE_DESCRIPTION("Tests of a DMA API backend by QEMU's edu device");
MODULE_LICENSE("GPL");
