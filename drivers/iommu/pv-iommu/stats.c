// SPDX-License-Identifier: GPL-2.0
/*
 * pv-iommu: what can be seen of it, in sysfs and debugfs
 *
 * sysfs has one value per file and is documented in Documentation/ABI/testing/;
 * debugfs has tables for people, and the allocator's check.
 */
#include <linux/debugfs.h>
#include <linux/pci.h>
#include <linux/seq_file.h>
#include <linux/sysfs.h>

#include "pviommu.h"

#define PVIOMMU_NR_STATS	(sizeof(struct pviommu_stats) / sizeof(u64))

static struct dentry *pviommu_debugfs;

static void pviommu_stats_add(struct pviommu_stats *to, const struct pviommu_stats *from)
{
	unsigned int i;

	for (i = 0; i < PVIOMMU_NR_STATS; i++)
		((u64 *)to)[i] += READ_ONCE(((const u64 *)from)[i]);
}

/**
 * pviommu_stats_sum - add a device's counters of all CPUs
 * @pd: the device
 * @sum: where they are added to
 */
void pviommu_stats_sum(struct pviommu_dev *pd, struct pviommu_stats *sum)
{
	unsigned int cpu;

	for_each_possible_cpu(cpu)
		pviommu_stats_add(sum, per_cpu_ptr(pd->stats, cpu));
}

static u64 pviommu_window_used(struct pviommu_window *w)
{
	unsigned long used = READ_ONCE(w->used);
	unsigned long parked = pviommu_window_parked(w);

	return (u64)(used - min(used, parked)) << PAGE_SHIFT;
}

/* ---- sysfs: the host device ---- */

/* The host device's, and that of a device, which may have another one */
static ssize_t mode_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	enum pviommu_mode mode = pviommu_host->mode;
	struct pviommu_dev *pd;

	mutex_lock(&pviommu_host->lock);
	pd = to_pviommu_dev(dev);
	if (pd)
		mode = pd->mode;
	mutex_unlock(&pviommu_host->lock);
	return sysfs_emit(buf, "%s\n", pviommu_mode_name(mode));
}
static DEVICE_ATTR_RO(mode);

#define PVIOMMU_HOST_ATTR(name, value)						\
static ssize_t name##_show(struct device *dev, struct device_attribute *attr,	\
			   char *buf)						\
{										\
	return sysfs_emit(buf, "%llu\n", (u64)(value));				\
}										\
static DEVICE_ATTR_RO(name)

PVIOMMU_HOST_ATTR(window_size, pviommu_host->window.size);
PVIOMMU_HOST_ATTR(window_used, pviommu_window_used(&pviommu_host->window));
PVIOMMU_HOST_ATTR(window_high_water,
		  (u64)READ_ONCE(pviommu_host->window.high_water) << PAGE_SHIFT);
PVIOMMU_HOST_ATTR(hypercalls, pviommu_hypercalls(pviommu_host));
PVIOMMU_HOST_ATTR(refused_dmas, pviommu_read64(pviommu_host, PV_IOMMU_REG_FAULT_COUNT));
PVIOMMU_HOST_ATTR(features, pviommu_host->features);
PVIOMMU_HOST_ATTR(confined, !(pviommu_host->features & PV_IOMMU_F_HOST_PHYS));

static struct attribute *pviommu_host_attrs[] = {
	&dev_attr_mode.attr,
	&dev_attr_window_size.attr,
	&dev_attr_window_used.attr,
	&dev_attr_window_high_water.attr,
	&dev_attr_hypercalls.attr,
	&dev_attr_refused_dmas.attr,
	&dev_attr_features.attr,
	&dev_attr_confined.attr,
	NULL
};

static const struct attribute_group pviommu_host_group = {
	.attrs = pviommu_host_attrs,
};

const struct attribute_group *pviommu_host_groups[] = {
	&pviommu_host_group,
	NULL
};

/* ---- sysfs: an attached device ---- */

/**
 * struct pviommu_stat_attr - a counter as a file
 * @attr: the file
 * @offset: where the counter is in struct pviommu_stats
 */
struct pviommu_stat_attr {
	struct device_attribute attr;
	size_t offset;
};

static ssize_t pviommu_stat_show(struct device *dev, struct device_attribute *attr,
				 char *buf)
{
	size_t offset = container_of(attr, struct pviommu_stat_attr, attr)->offset;
	struct pviommu_stats sum = { };
	struct pviommu_dev *pd;

	/* The group is there before the device is attached, and goes before */
	mutex_lock(&pviommu_host->lock);
	pd = to_pviommu_dev(dev);
	if (pd)
		pviommu_stats_sum(pd, &sum);
	mutex_unlock(&pviommu_host->lock);
	return sysfs_emit(buf, "%llu\n", *(u64 *)((void *)&sum + offset));
}

#define PVIOMMU_STAT_ATTR(counter)						\
static struct pviommu_stat_attr pviommu_attr_##counter = {			\
	.attr = {								\
		.attr = { .name = #counter, .mode = 0444 },			\
		.show = pviommu_stat_show,					\
	},									\
	.offset = offsetof(struct pviommu_stats, counter),			\
}

PVIOMMU_STAT_ATTR(maps);
PVIOMMU_STAT_ATTR(unmaps);
PVIOMMU_STAT_ATTR(syncs);
PVIOMMU_STAT_ATTR(bytes_to_device);
PVIOMMU_STAT_ATTR(bytes_from_device);
PVIOMMU_STAT_ATTR(failures);
PVIOMMU_STAT_ATTR(hypercalls);
PVIOMMU_STAT_ATTR(hypercalls_map);
PVIOMMU_STAT_ATTR(hypercalls_unmap);

static struct attribute *pviommu_dev_attrs[] = {
	&dev_attr_mode.attr,
	&pviommu_attr_maps.attr.attr,
	&pviommu_attr_unmaps.attr.attr,
	&pviommu_attr_syncs.attr.attr,
	&pviommu_attr_bytes_to_device.attr.attr,
	&pviommu_attr_bytes_from_device.attr.attr,
	&pviommu_attr_failures.attr.attr,
	&pviommu_attr_hypercalls.attr.attr,
	&pviommu_attr_hypercalls_map.attr.attr,
	&pviommu_attr_hypercalls_unmap.attr.attr,
	NULL
};

const struct attribute_group pviommu_dev_group = {
	.name = "pv_iommu",
	.attrs = pviommu_dev_attrs,
};

/* ---- debugfs ---- */

static void pviommu_show_row(struct seq_file *m, const char *device,
			     const char *driver, const struct pviommu_stats *s)
{
	seq_printf(m, "%-14s %-14s %12llu %12llu %12llu %16llu %16llu %10llu %10llu\n",
		   device, driver, s->maps, s->unmaps, s->syncs,
		   s->bytes_to_device, s->bytes_from_device, s->failures,
		   s->hypercalls);
}

static int pviommu_devices_show(struct seq_file *m, void *unused)
{
	struct pviommu_host *host = m->private;
	struct pviommu_stats total;
	struct pviommu_dev *pd;

	seq_printf(m, "%-14s %-14s %12s %12s %12s %16s %16s %10s %10s\n", "device",
		   "driver", "maps", "unmaps", "syncs", "bytes_to_device",
		   "bytes_from_device", "failures", "hypercalls");

	mutex_lock(&host->lock);
	total = host->retired;
	list_for_each_entry(pd, &host->devices, node) {
		struct pviommu_stats sum = { };

		pviommu_stats_sum(pd, &sum);
		pviommu_show_row(m, dev_name(pd->dev), dev_driver_string(pd->dev), &sum);
		pviommu_stats_add(&total, &sum);
	}
	mutex_unlock(&host->lock);
	pviommu_show_row(m, "total", "-", &total);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(pviommu_devices);

static int pviommu_window_show(struct seq_file *m, void *unused)
{
	struct pviommu_host *host = m->private;
	struct pviommu_window *w = &host->window;
	u64 hits = 0, misses = 0;
	unsigned int cpu;

	for_each_possible_cpu(cpu) {
		hits += READ_ONCE(per_cpu_ptr(w->cache, cpu)->hits);
		misses += READ_ONCE(per_cpu_ptr(w->cache, cpu)->misses);
	}
	seq_printf(m, "mode %s\n", pviommu_mode_name(host->mode));
	seq_printf(m, "phys %pap\n", &w->phys);
	seq_printf(m, "dma %#lx\n", w->space.first << PAGE_SHIFT);
	seq_printf(m, "size %llu\n", w->size);
	seq_printf(m, "used %llu\n", pviommu_window_used(w));
	seq_printf(m, "parked %llu\n", (u64)pviommu_window_parked(w) << PAGE_SHIFT);
	seq_printf(m, "high_water %llu\n", (u64)READ_ONCE(w->high_water) << PAGE_SHIFT);
	seq_printf(m, "max_mapping %zu\n", host->max_mapping);
	seq_printf(m, "cache_hits %llu\n", hits);
	seq_printf(m, "cache_misses %llu\n", misses);
	seq_printf(m, "full %lld\n", (s64)atomic64_read(&w->full));
	seq_printf(m, "metadata %zu\n", pviommu_window_metadata(w));
	seq_printf(m, "arena_dma %#lx\n", host->arena.first << PAGE_SHIFT);
	seq_printf(m, "arena_size %lu\n", (host->arena.end - host->arena.first) << PAGE_SHIFT);
	seq_printf(m, "hypercalls %llu\n", pviommu_hypercalls(host));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(pviommu_window);

static int pviommu_check_show(struct seq_file *m, void *unused)
{
	struct pviommu_host *host = m->private;
	char why[96];
	int ret;

	ret = pviommu_window_check(&host->window, why, sizeof(why));
	if (ret == -EUCLEAN)
		seq_printf(m, "%s\n", why);
	else if (!ret)
		seq_puts(m, "ok\n");
	return ret == -EUCLEAN ? 0 : ret;
}
DEFINE_SHOW_ATTRIBUTE(pviommu_check);

/**
 * pviommu_debugfs_init - make the debugfs files
 * @host: the host device
 *
 * Context: process; sleeps.
 */
void pviommu_debugfs_init(struct pviommu_host *host)
{
	pviommu_debugfs = debugfs_create_dir("pv_iommu", NULL);
	debugfs_create_file("devices", 0400, pviommu_debugfs, host, &pviommu_devices_fops);
	debugfs_create_file("window", 0400, pviommu_debugfs, host, &pviommu_window_fops);
	debugfs_create_file("check", 0400, pviommu_debugfs, host, &pviommu_check_fops);
}

void pviommu_debugfs_exit(void)
{
	debugfs_remove_recursive(pviommu_debugfs);
}
