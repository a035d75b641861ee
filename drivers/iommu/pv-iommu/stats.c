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

static u64 pviommu_domain_used(struct pviommu_domain *d)
{
	unsigned long used = READ_ONCE(d->used);
	unsigned long parked = pviommu_window_parked(d) + READ_ONCE(d->nr_reserve);

	return (u64)(used - min(used, parked)) << PAGE_SHIFT;
}

static u64 pviommu_chunks_bytes(struct pviommu_window *w, unsigned long nr)
{
	return (u64)nr << (w->space.shift + PAGE_SHIFT);
}

/**
 * struct pviommu_totals - what the domains have together
 * @used: bytes that drivers have
 * @parked: bytes that are free, but in CPUs' caches
 * @high_water: sum of the most that each ever had handed out, bytes
 * @hits: blocks that came from CPUs' caches
 * @misses: those that did not
 * @failed: allocations that failed
 * @locked: how often the shared layers' locks were taken
 * @grants: chunks granted
 * @late: requests for chunks from allocations that could not wait
 * @revokes: chunks given back
 */
struct pviommu_totals {
	u64 used;
	u64 parked;
	u64 high_water;
	u64 hits;
	u64 misses;
	u64 failed;
	u64 locked;
	u64 grants;
	u64 late;
	u64 revokes;
};

static void pviommu_domain_add(struct pviommu_domain *d, struct pviommu_totals *t)
{
	unsigned int cpu;

	for_each_possible_cpu(cpu) {
		t->hits += pviommu_counted(per_cpu_ptr(d->cache, cpu)->hits);
		t->misses += pviommu_counted(per_cpu_ptr(d->cache, cpu)->misses);
	}
	t->used += pviommu_domain_used(d);
	t->parked += (u64)pviommu_window_parked(d) << PAGE_SHIFT;
	t->high_water += (u64)pviommu_counted(d->high_water) << PAGE_SHIFT;
	t->failed += atomic64_read(&d->failed);
	t->locked += pviommu_counted(d->locked);
	t->grants += pviommu_counted(d->grants);
	t->late += pviommu_counted(d->grants_late);
	t->revokes += pviommu_counted(d->revokes);
}

static struct pviommu_totals pviommu_total(struct pviommu_host *host)
{
	struct pviommu_totals t = { };
	struct pviommu_domain *d;

	mutex_lock(&host->lock);
	list_for_each_entry(d, &host->window.domains, node)
		pviommu_domain_add(d, &t);
	mutex_unlock(&host->lock);
	/* Of drivers that are gone, and have not freed it */
	t.used += (u64)atomic_long_read(&host->window.kept) << PAGE_SHIFT;
	return t;
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
PVIOMMU_HOST_ATTR(window_used, pviommu_total(pviommu_host).used);
PVIOMMU_HOST_ATTR(window_high_water, pviommu_total(pviommu_host).high_water);
PVIOMMU_HOST_ATTR(window_granted,
		  pviommu_chunks_bytes(&pviommu_host->window,
				       READ_ONCE(pviommu_host->window.taken)));
PVIOMMU_HOST_ATTR(window_limit,
		  pviommu_chunks_bytes(&pviommu_host->window,
				       READ_ONCE(pviommu_host->window.limit)));
PVIOMMU_HOST_ATTR(chunk_size, pviommu_chunks_bytes(&pviommu_host->window, 1));
PVIOMMU_HOST_ATTR(direct_limit, pviommu_read64(pviommu_host, PV_IOMMU_REG_DIRECT_LIMIT));
PVIOMMU_HOST_ATTR(direct_granted,
		  pviommu_read64(pviommu_host, PV_IOMMU_REG_DIRECT_GRANTED));
PVIOMMU_HOST_ATTR(direct_cached, (u64)atomic_read(&pviommu_host->nr_cached) *
				 PV_IOMMU_LARGE_PAGES << PAGE_SHIFT);
PVIOMMU_HOST_ATTR(hypercalls, pviommu_hypercalls(pviommu_host));
PVIOMMU_HOST_ATTR(refused_dmas, pviommu_read64(pviommu_host, PV_IOMMU_REG_FAULT_COUNT));
PVIOMMU_HOST_ATTR(features, pviommu_host->features);
PVIOMMU_HOST_ATTR(confined, !(pviommu_host->features & PV_IOMMU_F_HOST_PHYS));

static struct attribute *pviommu_host_attrs[] = {
	&dev_attr_mode.attr,
	&dev_attr_window_size.attr,
	&dev_attr_window_used.attr,
	&dev_attr_window_high_water.attr,
	&dev_attr_window_granted.attr,
	&dev_attr_window_limit.attr,
	&dev_attr_chunk_size.attr,
	&dev_attr_direct_limit.attr,
	&dev_attr_direct_granted.attr,
	&dev_attr_direct_cached.attr,
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
PVIOMMU_STAT_ATTR(maps_direct);
PVIOMMU_STAT_ATTR(unmaps);
PVIOMMU_STAT_ATTR(syncs);
PVIOMMU_STAT_ATTR(bytes_to_device);
PVIOMMU_STAT_ATTR(bytes_from_device);
PVIOMMU_STAT_ATTR(failures);
PVIOMMU_STAT_ATTR(hypercalls);
PVIOMMU_STAT_ATTR(hypercalls_map);
PVIOMMU_STAT_ATTR(hypercalls_unmap);

static ssize_t direct_cache_show(struct device *dev, struct device_attribute *attr,
				 char *buf)
{
	struct pviommu_dev *pd;
	unsigned int mib = 0;

	mutex_lock(&pviommu_host->lock);
	pd = to_pviommu_dev(dev);
	if (pd && pd->cached)
		mib = pd->max_cached * PVIOMMU_RAM_CACHE_MIB ?: 1;
	mutex_unlock(&pviommu_host->lock);
	return sysfs_emit(buf, "%u\n", mib);
}

static ssize_t direct_cache_store(struct device *dev, struct device_attribute *attr,
				  const char *buf, size_t count)
{
	struct pviommu_dev *pd;
	unsigned int mib;
	int ret;

	ret = kstrtouint(buf, 0, &mib);
	if (ret)
		return ret;
	mutex_lock(&pviommu_host->lock);
	pd = to_pviommu_dev(dev);
	ret = pd ? pviommu_ram_cache_set(pd, mib) : -ENODEV;
	mutex_unlock(&pviommu_host->lock);
	return ret ?: count;
}
static DEVICE_ATTR_RW(direct_cache);

/* What is said of the device's domain; zero where it is not attached any more */
#define PVIOMMU_DOMAIN_ATTR(name, value)					\
static ssize_t name##_show(struct device *dev, struct device_attribute *attr,	\
			   char *buf)						\
{										\
	struct pviommu_domain *d = NULL;					\
	struct pviommu_dev *pd;							\
	u64 val = 0;								\
										\
	mutex_lock(&pviommu_host->lock);					\
	pd = to_pviommu_dev(dev);						\
	if (pd)									\
		d = pd->domain;							\
	if (d)									\
		val = (value);							\
	mutex_unlock(&pviommu_host->lock);					\
	return sysfs_emit(buf, "%llu\n", val);					\
}										\
static DEVICE_ATTR_RO(name)

PVIOMMU_DOMAIN_ATTR(domain, d->id);
PVIOMMU_DOMAIN_ATTR(domain_granted,
		    pviommu_chunks_bytes(&d->host->window, READ_ONCE(d->nr_chunks)));
PVIOMMU_DOMAIN_ATTR(domain_granted_max,
		    pviommu_chunks_bytes(&d->host->window, READ_ONCE(d->high_chunks)));
PVIOMMU_DOMAIN_ATTR(domain_used, pviommu_domain_used(d));
PVIOMMU_DOMAIN_ATTR(domain_grants, pviommu_counted(d->grants));
PVIOMMU_DOMAIN_ATTR(domain_grants_late, pviommu_counted(d->grants_late));
PVIOMMU_DOMAIN_ATTR(domain_revokes, pviommu_counted(d->revokes));

static struct attribute *pviommu_dev_attrs[] = {
	&dev_attr_mode.attr,
	&pviommu_attr_maps.attr.attr,
	&pviommu_attr_maps_direct.attr.attr,
	&pviommu_attr_unmaps.attr.attr,
	&pviommu_attr_syncs.attr.attr,
	&pviommu_attr_bytes_to_device.attr.attr,
	&pviommu_attr_bytes_from_device.attr.attr,
	&pviommu_attr_failures.attr.attr,
	&pviommu_attr_hypercalls.attr.attr,
	&pviommu_attr_hypercalls_map.attr.attr,
	&pviommu_attr_hypercalls_unmap.attr.attr,
	&dev_attr_direct_cache.attr,
	&dev_attr_domain.attr,
	&dev_attr_domain_granted.attr,
	&dev_attr_domain_granted_max.attr,
	&dev_attr_domain_used.attr,
	&dev_attr_domain_grants.attr,
	&dev_attr_domain_grants_late.attr,
	&dev_attr_domain_revokes.attr,
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

/* Which of a domain's chunks is emptied; negative: none */
static int pviommu_emptied(struct pviommu_domain *d)
{
	int index;

	raw_spin_lock_irq(&d->lock);
	index = d->emptied ? (int)d->emptied->index : -1;
	raw_spin_unlock_irq(&d->lock);
	return index;
}

static int pviommu_domains_show(struct seq_file *m, void *unused)
{
	struct pviommu_host *host = m->private;
	struct pviommu_domain *d;

	seq_printf(m, "%-8s %-8s %8s %8s %12s %12s %12s %12s %8s %8s %8s %8s %8s\n", "domain",
		   "group", "devices", "chunks", "granted", "granted_max", "used", "parked",
		   "grants", "late", "revokes", "failed", "emptied");
	mutex_lock(&host->lock);
	list_for_each_entry(d, &host->window.domains, node) {
		unsigned int chunks = READ_ONCE(d->nr_chunks);
		struct pviommu_totals t = { };

		pviommu_domain_add(d, &t);
		seq_printf(m, "%-8u %-8u %8u %8u %12llu %12llu %12llu %12llu %8llu %8llu %8llu %8llu %8d\n",
			   d->id, d->group, d->nr_devices, chunks,
			   pviommu_chunks_bytes(&host->window, chunks),
			   pviommu_chunks_bytes(&host->window, READ_ONCE(d->high_chunks)),
			   t.used, t.parked, t.grants, t.late, t.revokes, t.failed,
			   pviommu_emptied(d));
	}
	mutex_unlock(&host->lock);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(pviommu_domains);

static void pviommu_show_chunk(struct seq_file *m, struct pviommu_domain *d,
			       unsigned long index)
{
	unsigned long used = 0, coherent = 0, largest = 0;
	struct pviommu_chunk *c;

	raw_spin_lock_irq(&d->lock);
	c = pviommu_chunk_of(d, index);
	if (c) {
		used = (unsigned long)c->used << PAGE_SHIFT;
		coherent = (unsigned long)c->coherent << PAGE_SHIFT;
		largest = c->largest < 0 ? 0 : PAGE_SIZE << c->largest;
	}
	raw_spin_unlock_irq(&d->lock);
	if (c)
		seq_printf(m, "%-8lu %8u %12lu %12lu %12lu\n", index, d->id, used, coherent,
			   largest);
}

static int pviommu_chunks_show(struct seq_file *m, void *unused)
{
	struct pviommu_host *host = m->private;
	struct pviommu_domain *d;
	unsigned long i;

	seq_printf(m, "%-8s %8s %12s %12s %12s\n", "chunk", "domain", "used", "coherent",
		   "largest_free");
	mutex_lock(&host->lock);
	list_for_each_entry(d, &host->window.domains, node) {
		for (i = 0; i < host->window.space.nr_chunks; i++)
			pviommu_show_chunk(m, d, i);
	}
	mutex_unlock(&host->lock);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(pviommu_chunks);

static int pviommu_window_show(struct seq_file *m, void *unused)
{
	struct pviommu_host *host = m->private;
	struct pviommu_totals t = pviommu_total(host);
	struct pviommu_window *w = &host->window;
	size_t metadata;

	mutex_lock(&host->lock);
	metadata = pviommu_domains_metadata(host);
	mutex_unlock(&host->lock);

	seq_printf(m, "mode %s\n", pviommu_mode_name(host->mode));
	seq_printf(m, "phys %pap\n", &w->phys);
	seq_printf(m, "dma %#llx\n", w->space.dma);
	seq_printf(m, "size %llu\n", w->size);
	seq_printf(m, "chunk %llu\n", pviommu_chunks_bytes(w, 1));
	seq_printf(m, "limit %llu\n", pviommu_chunks_bytes(w, READ_ONCE(w->limit)));
	seq_printf(m, "granted %llu\n", pviommu_chunks_bytes(w, READ_ONCE(w->taken)));
	seq_printf(m, "share %lu\n", pviommu_domains_share(host));
	seq_printf(m, "used %llu\n", t.used);
	seq_printf(m, "parked %llu\n", t.parked);
	seq_printf(m, "high_water %llu\n", t.high_water);
	seq_printf(m, "max_mapping %zu\n", host->max_mapping);
	seq_printf(m, "cache_hits %llu\n", t.hits);
	seq_printf(m, "cache_misses %llu\n", t.misses);
	seq_printf(m, "shared_locks %llu\n", t.locked);
	seq_printf(m, "grants %llu\n", t.grants);
	seq_printf(m, "grants_late %llu\n", t.late);
	seq_printf(m, "revokes %llu\n", t.revokes);
	seq_printf(m, "full %llu\n", t.failed);
	seq_printf(m, "metadata %zu\n", metadata);
	seq_printf(m, "arena_dma %#llx\n", host->arena.dma);
	seq_printf(m, "arena_size %llu\n", host->arena.size);
	seq_printf(m, "coherent_size %lu\n", host->low.npages << PAGE_SHIFT);
	seq_printf(m, "coherent_used %lu\n", pviommu_low_used(host) << PAGE_SHIFT);
	seq_printf(m, "hypercalls %llu\n", pviommu_hypercalls(host));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(pviommu_window);

static int pviommu_check_show(struct seq_file *m, void *unused)
{
	struct pviommu_host *host = m->private;
	struct pviommu_domain *d;
	char why[96];
	int ret = 0;

	mutex_lock(&host->lock);
	list_for_each_entry(d, &host->window.domains, node) {
		ret = pviommu_window_check(d, why, sizeof(why));
		if (ret)
			break;
	}
	mutex_unlock(&host->lock);
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
	debugfs_create_file("domains", 0400, pviommu_debugfs, host, &pviommu_domains_fops);
	debugfs_create_file("chunks", 0400, pviommu_debugfs, host, &pviommu_chunks_fops);
	debugfs_create_file("check", 0400, pviommu_debugfs, host, &pviommu_check_fops);
}

void pviommu_debugfs_exit(void)
{
	debugfs_remove_recursive(pviommu_debugfs);
}
