// SPDX-License-Identifier: GPL-2.0
/*
 * The kernel in user space: the driver core, PCI, sysfs, debugfs, scatterlists.
 */
#include "control.h"

/* ---- the driver core ---- */

struct module shim_module;
enum system_states system_state = SYSTEM_RUNNING;
bool kexec_in_progress;
const struct bus_type pci_bus_type = { "pci" };
struct pci_bus shim_root_bus;
struct pci_driver *shim_driver;
int shim_probe_result;
static struct pci_host_bridge shim_bridge = { &shim_root_bus };
static struct pci_bus shim_buses[256];
static struct pci_dev *shim_devices;
static struct notifier_block *shim_notifiers;

/**
 * struct shim_devres - what is undone when a driver goes
 * @action: how; NULL: @data is freed
 * @data: what for
 */
struct shim_devres {
	void (*action)(void *data);
	void *data;
	struct shim_devres *next;
};

struct device *get_device(struct device *dev)
{
	atomic_inc(&dev->refs);
	return dev;
}

void put_device(struct device *dev)
{
	if (atomic_dec_return(&dev->refs) < 0)
		shim_panic("%s: one reference too few", dev_name(dev));
}

int devm_add_action(struct device *dev, void (*action)(void *), void *data)
{
	struct shim_devres *res = kmalloc(sizeof(*res), GFP_KERNEL);

	if (!res)
		return -ENOMEM;
	*res = (struct shim_devres){ action, data, dev->devres };
	dev->devres = res;
	return 0;
}

int devm_add_action_or_reset(struct device *dev, void (*action)(void *), void *data)
{
	int ret = devm_add_action(dev, action, data);

	if (ret)
		action(data);
	return ret;
}

void devm_remove_action(struct device *dev, void (*action)(void *), void *data)
{
	struct shim_devres **p, *res;

	for (p = &dev->devres; (res = *p); p = &res->next) {
		if (res->action == action && res->data == data) {
			*p = res->next;
			kfree(res);
			return;
		}
	}
	WARN_ON(1);
}

void *devm_kzalloc(struct device *dev, size_t size, gfp_t gfp)
{
	void *p = kzalloc(size, gfp);

	if (p && devm_add_action(dev, NULL, p)) {
		kfree(p);
		return NULL;
	}
	return p;
}

static void shim_devres_release(struct device *dev)
{
	struct shim_devres *res;

	while ((res = dev->devres)) {
		dev->devres = res->next;
		if (res->action)
			res->action(res->data);
		else
			kfree(res->data);
		kfree(res);
	}
}

struct device_link *device_link_add(struct device *consumer, struct device *supplier,
				    u32 flags)
{
	struct device_link *link = kmalloc(sizeof(*link), GFP_KERNEL);

	if (link)
		*link = (struct device_link){ consumer, supplier };
	return link;
}

void device_link_del(struct device_link *link)
{
	kfree(link);
}

int bus_register_notifier(const struct bus_type *bus, struct notifier_block *nb)
{
	nb->next = shim_notifiers;
	shim_notifiers = nb;
	return 0;
}

int bus_unregister_notifier(const struct bus_type *bus, struct notifier_block *nb)
{
	struct notifier_block **p;

	for (p = &shim_notifiers; *p; p = &(*p)->next) {
		if (*p == nb) {
			*p = nb->next;
			return 0;
		}
	}
	return -ENOENT;
}

int register_pm_notifier(struct notifier_block *nb) { return 0; }
int unregister_pm_notifier(struct notifier_block *nb) { return 0; }
int register_memory_notifier(struct notifier_block *nb) { return 0; }
void unregister_memory_notifier(struct notifier_block *nb) { }
int register_reboot_notifier(struct notifier_block *nb) { return 0; }
int unregister_reboot_notifier(struct notifier_block *nb) { return 0; }

static void shim_notify(struct device *dev, unsigned long action)
{
	struct notifier_block *nb, *next;

	for (nb = shim_notifiers; nb; nb = next) {
		next = nb->next;
		nb->notifier_call(nb, action, dev);
	}
}

static struct device_driver shim_some_driver = { .name = "driver" };

/**
 * shim_bind - a driver is bound
 * @pdev: to this device
 */
void shim_bind(struct pci_dev *pdev)
{
	device_lock(&pdev->dev);
	pdev->dev.driver = &shim_some_driver;
	shim_notify(&pdev->dev, BUS_NOTIFY_BIND_DRIVER);
	pdev->is_busmaster = true;
	shim_notify(&pdev->dev, BUS_NOTIFY_BOUND_DRIVER);
	device_unlock(&pdev->dev);
}

/**
 * shim_unbind - a driver goes; what it has allocated, it has freed by then
 * @pdev: the device
 */
void shim_unbind(struct pci_dev *pdev)
{
	device_lock(&pdev->dev);
	if (pdev->dev.driver) {
		shim_notify(&pdev->dev, BUS_NOTIFY_UNBIND_DRIVER);
		pdev->is_busmaster = false;
		shim_devres_release(&pdev->dev);
		pdev->dev.driver = NULL;
		shim_notify(&pdev->dev, BUS_NOTIFY_UNBOUND_DRIVER);
	}
	device_unlock(&pdev->dev);
}

void device_release_driver(struct device *dev)
{
	shim_unbind(to_pci_dev(dev));
}

/* ---- PCI ---- */

struct pci_dev *shim_device_add(unsigned int bus, unsigned int devfn, u32 class)
{
	struct pci_dev *pdev = calloc(1, sizeof(*pdev)), **p;
	char name[16];

	snprintf(name, sizeof(name), "0000:%02x:%02x.%x", bus, devfn >> 3, devfn & 7);
	pdev->dev.name = strdup(name);
	pdev->dev.bus = &pci_bus_type;
	pdev->devfn = devfn;
	pdev->class = class;
	pdev->vendor = 0x1234;
	pdev->device = 0x11e8;
	pdev->dma_mask = DMA_BIT_MASK(32);
	pdev->dev.dma_mask = &pdev->dma_mask;
	pdev->dev.coherent_dma_mask = DMA_BIT_MASK(32);
	pdev->dev.dma_parms = &pdev->dma_parms;
	pdev->bus = &shim_buses[bus];
	pdev->bus->number = bus;
	if (bus)
		pdev->bus->parent = &shim_buses[0];
	for (p = &shim_devices; *p; p = &(*p)->next)
		;
	*p = pdev;
	return pdev;
}

void shim_device_del(struct pci_dev *pdev)
{
	struct pci_dev **p;

	shim_unbind(pdev);
	for (p = &shim_devices; *p && *p != pdev; p = &(*p)->next)
		;
	*p = pdev->next;
	if (atomic_read(&pdev->dev.refs))
		shim_panic("%s: %d references are left", pci_name(pdev),
			   atomic_read(&pdev->dev.refs));
	free((void *)pdev->dev.name);
	free(pdev);
}

void shim_free_devices(void)
{
	while (shim_devices)
		shim_device_del(shim_devices);
}

struct pci_host_bridge *pci_find_host_bridge(struct pci_bus *bus)
{
	return &shim_bridge;
}

struct pci_dev *pci_get_device(unsigned int vendor, unsigned int device,
			       struct pci_dev *from)
{
	struct pci_dev *pdev = from ? from->next : shim_devices;

	while (pdev && ((vendor != PCI_ANY_ID && pdev->vendor != vendor) ||
			(device != PCI_ANY_ID && pdev->device != device)))
		pdev = pdev->next;
	if (pdev)
		get_device(&pdev->dev);
	if (from)
		put_device(&from->dev);
	return pdev;
}

struct pci_dev *pci_get_domain_bus_and_slot(int domain, unsigned int bus,
					    unsigned int devfn)
{
	struct pci_dev *pdev = NULL;

	for_each_pci_dev(pdev)
		if (pdev->bus->number == bus && pdev->devfn == devfn)
			return pdev;
	return NULL;
}

int pcim_enable_device(struct pci_dev *pdev)
{
	return 0;
}

static void shim_add_groups(struct device *dev, const struct attribute_group **groups)
{
	for (; groups && *groups; groups++)
		sysfs_create_group(&dev->kobj, *groups);
}

/* Probes the devices that are there already */
int pci_register_driver(struct pci_driver *driver)
{
	struct pci_dev *pdev;

	shim_driver = driver;
	shim_probe_result = -ENODEV;
	for (pdev = shim_devices; pdev; pdev = pdev->next) {
		if (pdev->vendor != driver->id_table->vendor ||
		    pdev->device != driver->id_table->device)
			continue;
		pdev->dev.driver = &driver->driver;
		shim_probe_result = driver->probe(pdev, driver->id_table);
		if (shim_probe_result) {
			pdev->dev.driver = NULL;
			shim_devres_release(&pdev->dev);
		} else {
			shim_add_groups(&pdev->dev, driver->dev_groups);
		}
	}
	return 0;
}

void pci_unregister_driver(struct pci_driver *driver)
{
	struct pci_dev *pdev;

	for (pdev = shim_devices; pdev; pdev = pdev->next) {
		if (pdev->dev.driver != &driver->driver)
			continue;
		driver->remove(pdev);
		shim_devres_release(&pdev->dev);
		memset(pdev->dev.groups, 0, sizeof(pdev->dev.groups));
		pdev->dev.driver = NULL;
	}
	shim_driver = NULL;
}

/* ---- sysfs ---- */

int sysfs_create_group(struct kobject *kobj, const struct attribute_group *group)
{
	struct device *dev = kobj_to_dev(kobj);
	unsigned int i;

	if (shim_fails())
		return -ENOMEM;
	for (i = 0; i < ARRAY_SIZE(dev->groups); i++) {
		if (dev->groups[i] == group)
			return -EEXIST;
	}
	for (i = 0; i < ARRAY_SIZE(dev->groups); i++) {
		if (!dev->groups[i]) {
			dev->groups[i] = group;
			return 0;
		}
	}
	return -ENOMEM;
}

void sysfs_remove_group(struct kobject *kobj, const struct attribute_group *group)
{
	struct device *dev = kobj_to_dev(kobj);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(dev->groups); i++)
		if (dev->groups[i] == group)
			dev->groups[i] = NULL;
}

int sysfs_emit(char *buf, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(buf, PAGE_SIZE, fmt, args);
	va_end(args);
	return n;
}

int sysfs_emit_at(char *buf, int at, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(buf + at, PAGE_SIZE - at, fmt, args);
	va_end(args);
	return n;
}

static struct device_attribute *shim_sysfs_find(struct device *dev, const char *name)
{
	unsigned int i, a;

	for (i = 0; i < ARRAY_SIZE(dev->groups); i++) {
		if (!dev->groups[i])
			continue;
		for (a = 0; dev->groups[i]->attrs[a]; a++)
			if (!strcmp(dev->groups[i]->attrs[a]->name, name))
				return container_of(dev->groups[i]->attrs[a],
						    struct device_attribute, attr);
	}
	return NULL;
}

int shim_sysfs_read(struct device *dev, const char *name, char *buf)
{
	struct device_attribute *attr = shim_sysfs_find(dev, name);

	return attr && attr->show ? attr->show(dev, attr, buf) : -ENOENT;
}

int shim_sysfs_write(struct device *dev, const char *name, const char *value)
{
	struct device_attribute *attr = shim_sysfs_find(dev, name);

	return attr && attr->store ? attr->store(dev, attr, value, strlen(value)) : -ENOENT;
}

/* ---- debugfs ---- */

#define SHIM_DEBUGFS_FILES	16

static struct dentry shim_debugfs_dir = { "pv_iommu" };
static struct {
	struct dentry dentry;
	const struct file_operations *fops;
	void *data;
} shim_files[SHIM_DEBUGFS_FILES];

struct dentry *debugfs_create_dir(const char *name, struct dentry *parent)
{
	return &shim_debugfs_dir;
}

struct dentry *debugfs_create_file(const char *name, umode_t mode, struct dentry *parent,
				   void *data, const struct file_operations *fops)
{
	unsigned int i;

	for (i = 0; i < SHIM_DEBUGFS_FILES; i++) {
		if (!shim_files[i].fops) {
			shim_files[i].dentry.name = name;
			shim_files[i].fops = fops;
			shim_files[i].data = data;
			return &shim_files[i].dentry;
		}
	}
	return ERR_PTR(-ENOMEM);
}

void debugfs_remove_recursive(struct dentry *dir)
{
	memset(shim_files, 0, sizeof(shim_files));
}

int shim_debugfs_read(const char *name, char *buf, size_t size)
{
	unsigned int i;

	for (i = 0; i < SHIM_DEBUGFS_FILES; i++) {
		struct seq_file m = { shim_files[i].data, buf, size, 0 };
		int ret;

		if (!shim_files[i].fops || strcmp(shim_files[i].dentry.name, name))
			continue;
		buf[0] = 0;
		ret = shim_files[i].fops->show(&m, NULL);
		return ret ?: (int)m.count;
	}
	return -ENOENT;
}

void seq_printf(struct seq_file *m, const char *fmt, ...)
{
	size_t room = m->size - m->count;
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(m->buf + m->count, room, fmt, args);
	va_end(args);
	m->count += min_t(size_t, n, room ? room - 1 : 0);
}

void seq_puts(struct seq_file *m, const char *s)
{
	seq_printf(m, "%s", s);
}

void seq_putc(struct seq_file *m, char c)
{
	seq_printf(m, "%c", c);
}

/* ---- scatterlists ---- */

int sg_alloc_table(struct sg_table *sgt, unsigned int nents, gfp_t gfp)
{
	sgt->sgl = kmalloc_array(nents, sizeof(*sgt->sgl), gfp);
	if (!sgt->sgl)
		return -ENOMEM;
	sg_init_table(sgt->sgl, nents);
	sgt->nents = nents;
	sgt->orig_nents = nents;
	return 0;
}

void sg_free_table(struct sg_table *sgt)
{
	kfree(sgt->sgl);
	sgt->sgl = NULL;
}
