/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel's headers in user space: devices, PCI, the driver core, sysfs and
 * debugfs. There is one bus and one host device; device.c and host.c are the
 * other side of what is declared here.
 */
#ifndef _SHIM_DEVICE_H
#define _SHIM_DEVICE_H

#include "mm.h"

/* ---- modules ---- */

struct module { int refs; };
extern struct module shim_module;
#define THIS_MODULE		(&shim_module)
#define __module_get(m)		((void)__atomic_fetch_add(&(m)->refs, 1, __ATOMIC_RELAXED))
#define try_module_get(m)	(__module_get(m), true)
#define module_put(m)		((void)__atomic_fetch_sub(&(m)->refs, 1, __ATOMIC_RELAXED))
#define MODULE_LICENSE(x)
#define MODULE_AUTHOR(x)
#define MODULE_DESCRIPTION(x)
#define MODULE_ALIAS(x)
#define MODULE_SOFTDEP(x)
#define MODULE_IMPORT_NS(x)
#define MODULE_DEVICE_TABLE(t, n)
#define MODULE_PARM_DESC(n, d)
#define EXPORT_SYMBOL(x)
#define EXPORT_SYMBOL_GPL(x)
/* A parameter is reached as shim_param_NAME */
#define module_param(name, type, perm)	module_param_named(name, name, type, perm)
#define module_param_named(name, var, type, perm)			\
	extern typeof(var) *const shim_param_##name;			\
	typeof(var) *const shim_param_##name = &(var)
#define module_param_cb(name, ops, arg, perm)				\
	extern const void *const shim_param_##name;			\
	const void *const shim_param_##name = (arg)
#define rootfs_initcall(fn)	int shim_module_init(void) { return fn(); }
#define module_init(fn)		rootfs_initcall(fn)
#define module_exit(fn)		void shim_module_exit(void) { fn(); }
int shim_module_init(void);
void shim_module_exit(void);
#define KBUILD_MODNAME		"pv_iommu"

enum cc_attr { CC_ATTR_MEM_ENCRYPT, CC_ATTR_GUEST_MEM_ENCRYPT };
static inline bool cc_platform_has(enum cc_attr attr) { return false; }

/* ---- what the machine is about to do: nothing, unless a test says so ---- */

enum system_states {
	SYSTEM_BOOTING, SYSTEM_SCHEDULING, SYSTEM_FREEING_INITMEM, SYSTEM_RUNNING,
	SYSTEM_HALT, SYSTEM_POWER_OFF, SYSTEM_RESTART, SYSTEM_SUSPEND
};

extern enum system_states system_state;
extern bool kexec_in_progress;
static inline bool is_kdump_kernel(void) { return false; }

/* ---- devices ---- */

struct kobject { const char *name; };

struct device_dma_parameters {
	unsigned int max_segment_size;
	unsigned int min_align_mask;
	unsigned long segment_boundary_mask;
};

struct bus_type { const char *name; };
struct device_driver {
	const char *name;
	const struct dev_pm_ops *pm;
	bool suppress_bind_attrs;
	int probe_type;
};

enum { PROBE_DEFAULT_STRATEGY, PROBE_FORCE_SYNCHRONOUS, PROBE_PREFER_ASYNCHRONOUS };

struct shim_devres;

/**
 * struct device - a device
 * @devres: what is undone when its driver goes, the latest first
 * @groups: its sysfs groups
 * The others are the kernel's.
 */
struct device {
	struct kobject kobj;
	struct device *parent;
	const char *name;
	const struct bus_type *bus;
	struct device_driver *driver;
	void *driver_data;
	const struct dma_map_ops *dma_ops;
	u64 *dma_mask;
	u64 coherent_dma_mask;
	u64 bus_dma_limit;
	struct device_dma_parameters *dma_parms;
	struct io_tlb_mem *dma_io_tlb_mem;
	bool dma_skip_sync;
	bool iommu_mapped;
	atomic_t refs;
	struct mutex mutex;
	struct shim_devres *devres;
	const struct attribute_group *groups[8];
};

#define dev_name(d)		((d)->name)
#define dev_get_drvdata(d)	((d)->driver_data)
#define dev_set_drvdata(d, p)	((d)->driver_data = (p))
#define dev_to_node(d)		0
#define dev_driver_string(d)	((d)->driver ? (d)->driver->name : "")
#define device_lock(d)		mutex_lock(&(d)->mutex)
#define device_unlock(d)	mutex_unlock(&(d)->mutex)
#define device_iommu_mapped(d)	((d)->iommu_mapped)
struct device *get_device(struct device *dev);
void put_device(struct device *dev);
void device_release_driver(struct device *dev);
int devm_add_action(struct device *dev, void (*action)(void *), void *data);
int devm_add_action_or_reset(struct device *dev, void (*action)(void *), void *data);
void devm_remove_action(struct device *dev, void (*action)(void *), void *data);
void *devm_kzalloc(struct device *dev, size_t size, gfp_t gfp);

struct device_link { struct device *consumer, *supplier; };
#define DL_FLAG_STATELESS	1
struct device_link *device_link_add(struct device *consumer, struct device *supplier,
				    u32 flags);
void device_link_del(struct device_link *link);

#define dev_err(d, fmt, ...)	shim_print(SHIM_ERR, dev_name(d), fmt, ##__VA_ARGS__)
#define dev_warn(d, fmt, ...)	shim_print(SHIM_WARN, dev_name(d), fmt, ##__VA_ARGS__)
#define dev_info(d, fmt, ...)	shim_print(SHIM_INFO, dev_name(d), fmt, ##__VA_ARGS__)
#define dev_notice		dev_info
#define dev_dbg(d, fmt, ...)	shim_print(SHIM_DEBUG, dev_name(d), fmt, ##__VA_ARGS__)
#define dev_err_ratelimited	dev_err
#define dev_warn_ratelimited	dev_warn
#define dev_info_ratelimited	dev_info
#define dev_warn_once		dev_warn
#define dev_info_once		dev_info
#define dev_err_once		dev_err
#define dev_WARN_ONCE(d, c, fmt, ...)					\
({									\
	bool __warn = !!(c);						\
	if (__warn) {							\
		shim_print(SHIM_INFO, dev_name(d), fmt, ##__VA_ARGS__);	\
		shim_warn_at(__FILE__, __LINE__, #c);			\
	}								\
	__warn;								\
})
#define dev_WARN(d, fmt, ...)	dev_WARN_ONCE(d, 1, fmt, ##__VA_ARGS__)

#define pm_runtime_get_noresume(d)	((void)(d))
#define pm_runtime_put_noidle(d)	((void)(d))

/* ---- notifiers ---- */

struct notifier_block;
typedef int (*notifier_fn_t)(struct notifier_block *nb, unsigned long action, void *data);
struct notifier_block {
	notifier_fn_t notifier_call;
	struct notifier_block *next;
	int priority;
};

enum { NOTIFY_DONE, NOTIFY_OK, NOTIFY_STOP_MASK = 0x8000, NOTIFY_BAD = 0x8002 };
#define notifier_from_errno(e)	((e) ? NOTIFY_STOP_MASK | (NOTIFY_OK - (e)) : NOTIFY_OK)
#define notifier_to_errno(r)	((r) > NOTIFY_OK ? NOTIFY_OK - ((r) & ~NOTIFY_STOP_MASK) : 0)
enum {
	BUS_NOTIFY_ADD_DEVICE = 1, BUS_NOTIFY_DEL_DEVICE, BUS_NOTIFY_REMOVED_DEVICE,
	BUS_NOTIFY_BIND_DRIVER, BUS_NOTIFY_BOUND_DRIVER, BUS_NOTIFY_UNBIND_DRIVER,
	BUS_NOTIFY_UNBOUND_DRIVER, BUS_NOTIFY_DRIVER_NOT_BOUND
};

int bus_register_notifier(const struct bus_type *bus, struct notifier_block *nb);
int bus_unregister_notifier(const struct bus_type *bus, struct notifier_block *nb);
int register_pm_notifier(struct notifier_block *nb);
int unregister_pm_notifier(struct notifier_block *nb);
int register_memory_notifier(struct notifier_block *nb);
void unregister_memory_notifier(struct notifier_block *nb);
enum {
	MEM_ONLINE = 1, MEM_GOING_OFFLINE = 2, MEM_OFFLINE = 4, MEM_CANCEL_OFFLINE = 16
};
struct memory_notify {
	unsigned long start_pfn;
	unsigned long nr_pages;
};
int register_reboot_notifier(struct notifier_block *nb);
int unregister_reboot_notifier(struct notifier_block *nb);
enum {
	PM_HIBERNATION_PREPARE = 1, PM_POST_HIBERNATION, PM_SUSPEND_PREPARE,
	PM_POST_SUSPEND, PM_RESTORE_PREPARE, PM_POST_RESTORE
};

/* ---- power management: the tests call what they want by itself ---- */

struct dev_pm_ops {
	int (*prepare)(struct device *dev);
	int (*suspend)(struct device *dev);
	int (*resume)(struct device *dev);
	int (*freeze)(struct device *dev);
	int (*thaw)(struct device *dev);
	int (*poweroff)(struct device *dev);
	int (*restore)(struct device *dev);
	int (*suspend_noirq)(struct device *dev);
	int (*resume_noirq)(struct device *dev);
	int (*resume_early)(struct device *dev);
	int (*freeze_noirq)(struct device *dev);
	int (*thaw_noirq)(struct device *dev);
	int (*poweroff_noirq)(struct device *dev);
	int (*restore_noirq)(struct device *dev);
};

#define SET_NOIRQ_SYSTEM_SLEEP_PM_OPS(s, r)				\
	.suspend_noirq = s, .resume_noirq = r, .freeze_noirq = s,	\
	.thaw_noirq = r, .poweroff_noirq = s, .restore_noirq = r,
#define NOIRQ_SYSTEM_SLEEP_PM_OPS(s, r)	SET_NOIRQ_SYSTEM_SLEEP_PM_OPS(s, r)
#define pm_sleep_ptr(p)		(p)
#define pm_ptr(p)		(p)

/* ---- PCI ---- */

struct pci_bus {
	unsigned char number;
	struct pci_bus *parent;
	struct pci_dev *self;
};

struct pci_host_bridge { struct pci_bus *bus; };

struct pci_dev {
	struct device dev;
	struct pci_bus *bus;
	unsigned int devfn;
	unsigned short vendor, device;
	unsigned int class;
	u8 hdr_type;
	bool is_virtfn;
	bool is_busmaster;
	enum { pci_channel_io_normal, pci_channel_io_perm_failure } error_state;
	u32 saved_config_space[16];
	u64 dma_mask;
	struct device_dma_parameters dma_parms;
	struct pci_dev *next;
};

struct pci_device_id {
	u32 vendor, device, subvendor, subdevice, class, class_mask;
	unsigned long driver_data;
};

struct pci_driver {
	const char *name;
	const struct pci_device_id *id_table;
	int (*probe)(struct pci_dev *pdev, const struct pci_device_id *id);
	void (*remove)(struct pci_dev *pdev);
	void (*shutdown)(struct pci_dev *pdev);
	const struct attribute_group **groups;
	const struct attribute_group **dev_groups;
	struct device_driver driver;
};

extern const struct bus_type pci_bus_type;
#define PCI_ANY_ID		(~0U)
#define PCI_DEVICE(v, d)	.vendor = (v), .device = (d)
#define PCI_DEVFN(slot, fn)	((((slot) & 0x1f) << 3) | ((fn) & 7))
#define PCI_SLOT(devfn)		(((devfn) >> 3) & 0x1f)
#define PCI_FUNC(devfn)		((devfn) & 7)
#define PCI_DEVID(bus, devfn)	((u16)((bus) << 8 | (devfn)))
#define PCI_BUS_NUM(x)		(((x) >> 8) & 0xff)
#define PCI_BASE_CLASS_DISPLAY	0x03
#define PCI_BASE_CLASS_BRIDGE	0x06
#define PCI_BASE_CLASS_NETWORK	0x02
#define PCI_CLASS_NETWORK_INFINIBAND	0x0207
#define PCI_CLASS_ACCELERATOR_PROCESSING	0x1200
#define PCI_BASE_CLASS_ACCELERATOR	0x12
#define PCI_COMMAND		4
#define PCI_COMMAND_MASTER	4
#define PCI_HEADER_TYPE_NORMAL	0
#define PCI_HEADER_TYPE_BRIDGE	1
#define PCI_HEADER_TYPE_CARDBUS	2
#define to_pci_dev(d)		container_of(d, struct pci_dev, dev)
#define to_pci_driver(d)	container_of(d, struct pci_driver, driver)
#define dev_is_pci(d)		((d)->bus == &pci_bus_type)
#define pci_get_drvdata(p)	dev_get_drvdata(&(p)->dev)
#define pci_set_drvdata(p, d)	dev_set_drvdata(&(p)->dev, d)
#define pci_name(p)		dev_name(&(p)->dev)
#define pci_domain_nr(b)	0
#define pci_err(p, ...)		dev_err(&(p)->dev, __VA_ARGS__)
#define pci_warn(p, ...)	dev_warn(&(p)->dev, __VA_ARGS__)
#define pci_info(p, ...)	dev_info(&(p)->dev, __VA_ARGS__)
#define pci_notice(p, ...)	dev_info(&(p)->dev, __VA_ARGS__)
#define pci_dbg(p, ...)		dev_dbg(&(p)->dev, __VA_ARGS__)
#define pci_upstream_bridge(p)	((p)->bus->self)
#define pci_is_bridge(p)	((p)->hdr_type != PCI_HEADER_TYPE_NORMAL)
#define pci_dev_get(p)		({ get_device(&(p)->dev); (p); })
#define pci_dev_put(p)		put_device(&(p)->dev)
struct pci_host_bridge *pci_find_host_bridge(struct pci_bus *bus);
struct pci_dev *pci_get_device(unsigned int vendor, unsigned int device,
			       struct pci_dev *from);
struct pci_dev *pci_get_domain_bus_and_slot(int domain, unsigned int bus,
					    unsigned int devfn);
#define for_each_pci_dev(p)						\
	while (((p) = pci_get_device(PCI_ANY_ID, PCI_ANY_ID, p)) != NULL)
#define pci_is_root_bus(b)	(!(b)->parent)
static inline int pci_for_each_dma_alias(struct pci_dev *pdev,
					 int (*fn)(struct pci_dev *pdev, u16 alias, void *data),
					 void *data)
{
	return fn(pdev, PCI_DEVID(pdev->bus->number, pdev->devfn), data);
}

static inline void pci_clear_master(struct pci_dev *pdev) { pdev->is_busmaster = false; }
static inline void pci_set_master(struct pci_dev *pdev) { pdev->is_busmaster = true; }
int pcim_enable_device(struct pci_dev *pdev);
void __iomem *pcim_iomap(struct pci_dev *pdev, int bar, unsigned long max);
u64 pci_resource_start(struct pci_dev *pdev, int bar);
u64 pci_resource_len(struct pci_dev *pdev, int bar);
unsigned long pci_resource_flags(struct pci_dev *pdev, int bar);
int pci_register_driver(struct pci_driver *driver);
void pci_unregister_driver(struct pci_driver *driver);
u32 ioread32(const void __iomem *addr);
void iowrite32(u32 value, void __iomem *addr);
#define readl(a)		ioread32(a)
#define writel(v, a)		iowrite32(v, a)
#define iowrite64_lo_hi(v, a)						\
	(iowrite32(lower_32_bits(v), a), iowrite32(upper_32_bits(v), (char *)(a) + 4))
#define ioread64_lo_hi(a)						\
	(ioread32(a) | (u64)ioread32((const char *)(a) + 4) << 32)

/* ---- sysfs and debugfs ---- */

struct attribute {
	const char *name;
	umode_t mode;
};

struct attribute_group {
	const char *name;
	umode_t (*is_visible)(struct kobject *kobj, struct attribute *attr, int n);
	struct attribute **attrs;
};

struct device_attribute {
	struct attribute attr;
	ssize_t (*show)(struct device *dev, struct device_attribute *attr, char *buf);
	ssize_t (*store)(struct device *dev, struct device_attribute *attr,
			 const char *buf, size_t count);
};

#define kobj_to_dev(k)		container_of(k, struct device, kobj)
#define __ATTR(n, m, sh, st)	{ .attr = { #n, m }, .show = sh, .store = st }
#define __ATTR_RO(n)		__ATTR(n, 0444, n##_show, NULL)
#define __ATTR_RW(n)		__ATTR(n, 0644, n##_show, n##_store)
#define DEVICE_ATTR_RO(n)	struct device_attribute dev_attr_##n = __ATTR_RO(n)
#define DEVICE_ATTR_RW(n)	struct device_attribute dev_attr_##n = __ATTR_RW(n)
#define DEVICE_ATTR(n, m, sh, st)					\
	struct device_attribute dev_attr_##n = __ATTR(n, m, sh, st)
int sysfs_create_group(struct kobject *kobj, const struct attribute_group *group);
void sysfs_remove_group(struct kobject *kobj, const struct attribute_group *group);
int sysfs_emit(char *buf, const char *fmt, ...) __printf(2, 3);
int sysfs_emit_at(char *buf, int at, const char *fmt, ...) __printf(3, 4);
int shim_sysfs_read(struct device *dev, const char *name, char *buf);
int shim_sysfs_write(struct device *dev, const char *name, const char *value);

struct seq_file {
	void *private;
	char *buf;
	size_t size;
	size_t count;
};

struct file;
struct file_operations {
	int (*show)(struct seq_file *m, void *v);
	ssize_t (*write)(struct file *file, const char *buf, size_t n, loff_t *pos);
};

void seq_printf(struct seq_file *m, const char *fmt, ...);
void seq_puts(struct seq_file *m, const char *s);
void seq_putc(struct seq_file *m, char c);
#define DEFINE_SHOW_ATTRIBUTE(n)					\
	static const struct file_operations n##_fops = { .show = n##_show }
struct dentry { const char *name; };
struct dentry *debugfs_create_dir(const char *name, struct dentry *parent);
struct dentry *debugfs_create_file(const char *name, umode_t mode, struct dentry *parent,
				   void *data, const struct file_operations *fops);
void debugfs_remove_recursive(struct dentry *dir);
#define debugfs_remove(d)	debugfs_remove_recursive(d)
#define debugfs_create_ulong(...)	do { } while (0)
#define debugfs_create_u32(...)	do { } while (0)
#define debugfs_create_u64(...)	do { } while (0)
/* What a file in debugfs says; -ENOENT where there is none */
int shim_debugfs_read(const char *name, char *buf, size_t size);

/* ---- tracepoints: they are called, and do nothing ---- */

#define TP_PROTO(...)		__VA_ARGS__
#define TP_ARGS(...)		__VA_ARGS__
#define DECLARE_EVENT_CLASS(...)
#define DEFINE_EVENT(class, name, proto, args)				\
	static inline void trace_##name(proto) { }			\
	static inline bool trace_##name##_enabled(void) { return false; }
#define DEFINE_EVENT_PRINT(class, name, proto, args, print)		\
	DEFINE_EVENT(class, name, PARAMS(proto), PARAMS(args))
#define PARAMS(...)		__VA_ARGS__
#define TRACE_EVENT(name, proto, ...)	DEFINE_EVENT(none, name, PARAMS(proto), )

#endif /* _SHIM_DEVICE_H */
