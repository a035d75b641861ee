/*
 * pv-iommu: memory at its host-physical address (host-phys=on)
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

/*
 * On a host without an IOMMU, the address that a device puts on the bus is the
 * memory's own. So the window's DMA address has to be where the window lies in
 * the host's memory, in one piece, now and for as long as any device may
 * remember it. What QEMU is told of that is not believed: the kernel is asked
 * for each page.
 *
 * Two kinds of memory stay where they are. A devdax device is memory that the
 * host has kept out of its page allocator, and sysfs knows where. A huge page
 * that a file on hugetlbfs has is pinned in addition, as the kernel may move
 * it; and because it has a name, it is not given to somebody else when QEMU
 * dies before its devices are reset.
 */

#include "qemu/osdep.h"
#include <linux/io_uring.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include "qapi/error.h"
#include "qemu/cutils.h"
#include "pv-iommu.h"
#include "trace.h"

/* An entry of /proc/self/pagemap */
#define PAGEMAP_PRESENT     (1ULL << 63)
#define PAGEMAP_PFN(entry)  ((entry) & ((1ULL << 55) - 1))

/* The most that one registered buffer of io_uring takes */
#define PIN_MAX             (1 * GiB)

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* A backend on its way to be trusted, for the messages too */
typedef struct PvIommuPhys {
    HostMemoryBackend *memdev;
    const char *prop;           /* the property that names it */
    const char *id;
    RAMBlock *rb;
    uint8_t *host;
    uint64_t size;
    uint64_t addr;
} PvIommuPhys;

static void hint_kinds(Error **errp, PvIommuPhys *p)
{
    error_append_hint(errp, "What stays in its place is a devdax device "
                      "(-object memory-backend-file,id=%s,size=SIZE,align=2M,"
                      "share=on,mem-path=/dev/daxN.M), or a file on hugetlbfs "
                      "whose pages are 1 GiB (size=1G,mem-path=FILE).\n",
                      p->id);
}

static bool refuse(Error **errp, PvIommuPhys *p, const char *why)
{
    ERRP_GUARD();

    error_setg(errp, "%s=%s cannot be used with host-phys=on: %s", p->prop,
               p->id, why);
    hint_kinds(errp, p);
    return false;
}

/* The name of the subsystem that a character device belongs to */
static bool is_devdax(dev_t dev)
{
    g_autofree char *link = g_strdup_printf("/sys/dev/char/%u:%u/subsystem",
                                            major(dev), minor(dev));
    g_autofree char *target = g_file_read_link(link, NULL);
    g_autofree char *name = target ? g_path_get_basename(target) : NULL;

    return !g_strcmp0(name, "dax");
}

/* A number from the devdax device's folder in sysfs */
static bool devdax_number(dev_t dev, const char *file, uint64_t *value)
{
    g_autofree char *path = g_strdup_printf("/sys/dev/char/%u:%u/%s",
                                            major(dev), minor(dev), file);
    g_autofree char *text = NULL;

    return g_file_get_contents(path, &text, NULL, NULL) &&
           !qemu_strtou64(g_strstrip(text), NULL, 0, value);
}

/* Does sysfs say the same of a devdax device as the page tables do? */
static bool check_devdax(PvIommuPhys *p, dev_t dev, Error **errp)
{
    ERRP_GUARD();
    uint64_t start, size;

    if (!devdax_number(dev, "resource", &start) ||
        !devdax_number(dev, "size", &size)) {
        error_setg(errp, "%s=%s: sysfs does not say where /dev/char/%u:%u lies",
                   p->prop, p->id, major(dev), minor(dev));
        error_append_hint(errp, "QEMU needs CAP_SYS_ADMIN, and to see the "
                          "host's /sys.\n");
        return false;
    }
    if (p->addr < start || p->addr - start > size ||
        p->size > size - (p->addr - start)) {
        error_setg(errp, "%s=%s is at 0x%" PRIx64 ", but sysfs says that the "
                   "device has 0x%" PRIx64 " bytes at 0x%" PRIx64, p->prop,
                   p->id, p->addr, size, start);
        hint_kinds(errp, p);
        return false;
    }
    return true;
}

/* Is it of a kind whose pages stay, and stay the file's, whatever happens? */
static bool check_kind(PvIommuPhys *p, struct stat *st, Error **errp)
{
    int fd = p->rb->fd;
    struct statfs fs;

    if (fd < 0) {
        return refuse(errp, p, "anonymous memory is moved, and given to others "
                      "when QEMU ends");
    }
    if (fstat(fd, st) || fstatfs(fd, &fs)) {
        error_setg_errno(errp, errno, "%s=%s", p->prop, p->id);
        return false;
    }
    if (memory_region_is_rom(p->rb->mr)) {
        return refuse(errp, p, "it is read-only");
    }
    if (!qemu_ram_is_shared(p->rb)) {
        return refuse(errp, p, "share=off makes private copies of its pages");
    }
    if (object_property_get_bool(OBJECT(p->memdev), "discard-data", NULL)) {
        return refuse(errp, p, "discard-data=on gives its pages back before "
                      "the devices are reset");
    }
    if (S_ISCHR(st->st_mode)) {
        return is_devdax(st->st_rdev) ||
               refuse(errp, p, "the character device is not devdax");
    }
    if (fs.f_type != HUGETLBFS_MAGIC) {
        return refuse(errp, p, "it is neither on hugetlbfs nor devdax, and may "
                      "be moved");
    }
    if (!st->st_nlink) {
        return refuse(errp, p, "the file has no name, so that its pages would "
                      "go to others when QEMU ends");
    }
    return true;
}

/* One guest at a time; the lock goes with QEMU */
static bool lock(PvIommuPhys *p, Error **errp)
{
    ERRP_GUARD();

    if (!flock(p->rb->fd, LOCK_EX | LOCK_NB)) {
        return true;
    }
    error_setg_errno(errp, errno, "%s=%s: another guest has this memory",
                     p->prop, p->id);
    error_append_hint(errp, "Give each guest a piece of its own.\n");
    return false;
}

/* All pages there, with nothing in them of who had them before */
static bool populate(PvIommuPhys *p, Error **errp)
{
    ERRP_GUARD();

    /* without it, what cannot be had is a SIGBUS; not before Linux 5.14 */
    if (madvise(p->host, p->size, MADV_POPULATE_WRITE) && errno != EINVAL) {
        error_setg_errno(errp, errno, "%s=%s: no pages for 0x%" PRIx64 " bytes",
                         p->prop, p->id, p->size);
        error_append_hint(errp, "Reserve enough huge pages, at best on the "
                          "host's command line: default_hugepagesz=1G "
                          "hugepages=1.\n");
        return false;
    }
    memset(p->host, 0, p->size);
    return true;
}

/*
 * Pin it: the kernel moves huge pages too, when it makes room for others or
 * takes memory offline. The pin lasts as long as the file descriptor.
 */
static bool pin(PvIommuPhys *p, int *ring, Error **errp)
{
    ERRP_GUARD();
    g_autofree struct iovec *iov = NULL;
    struct io_uring_params params = { };
    unsigned int i, nr = DIV_ROUND_UP(p->size, PIN_MAX);

    iov = g_new0(struct iovec, nr);
    for (i = 0; i < nr; i++) {
        iov[i].iov_base = p->host + i * PIN_MAX;
        iov[i].iov_len = MIN(PIN_MAX, p->size - i * PIN_MAX);
    }

    *ring = syscall(__NR_io_uring_setup, 1, &params);
    if (*ring >= 0 && !syscall(__NR_io_uring_register, *ring,
                               IORING_REGISTER_BUFFERS, iov, nr)) {
        return true;
    }
    error_setg_errno(errp, errno, "%s=%s cannot be pinned by io_uring",
                     p->prop, p->id);
    error_append_hint(errp, "Allow QEMU io_uring (kernel.io_uring_disabled=0), "
                      "and to lock as much memory as this: ulimit -l, or "
                      "CAP_IPC_LOCK. Or use devdax, which need not be "
                      "pinned.\n");
    return false;
}

/* Where is each of its pages? */
static bool find(PvIommuPhys *p, Error **errp)
{
    ERRP_GUARD();
    const uint64_t page = qemu_real_host_page_size();
    const uint64_t first = (uintptr_t)p->host / page;
    const uint64_t nr = p->size / page;
    g_autofree uint64_t *map = g_new(uint64_t, nr);
    uint64_t i;
    ssize_t got;
    int fd;

    fd = qemu_open("/proc/self/pagemap", O_RDONLY, errp);
    if (fd < 0) {
        return false;
    }
    for (i = 0; i < nr; i += got / sizeof(*map)) {
        got = pread(fd, map + i, (nr - i) * sizeof(*map),
                    (first + i) * sizeof(*map));
        if (got < (ssize_t)sizeof(*map)) {
            error_setg_errno(errp, got < 0 ? errno : EIO,
                             "%s=%s: reading /proc/self/pagemap", p->prop,
                             p->id);
            close(fd);
            return false;
        }
    }
    close(fd);

    for (i = 0; i < nr; i++) {
        uint64_t pfn = PAGEMAP_PFN(map[i]);
        uint64_t want = PAGEMAP_PFN(map[0]) + i;

        if (!(map[i] & PAGEMAP_PRESENT) || !pfn) {
            error_setg(errp, "%s=%s: the kernel does not say where the page at "
                       "offset 0x%" PRIx64 " lies", p->prop, p->id, i * page);
            error_append_hint(errp, "QEMU needs CAP_SYS_ADMIN to see "
                              "host-physical addresses.\n");
            return false;
        }
        if (pfn != want) {
            error_setg(errp, "%s=%s is scattered in the host's memory: its "
                       "page at offset 0x%" PRIx64 " is at 0x%" PRIx64 ", not "
                       "at 0x%" PRIx64 " behind the others", p->prop, p->id,
                       i * page, pfn * page, want * page);
            hint_kinds(errp, p);
            return false;
        }
    }
    p->addr = PAGEMAP_PFN(map[0]) * page;
    return true;
}

/*
 * Find out where a backend's memory is, and have it stay there. The pin, if one
 * is needed, is the file descriptor in *ring, or that is -1.
 */
static bool settle(HostMemoryBackend *memdev, const char *prop, uint64_t *addr,
                   int *ring, Error **errp)
{
    MemoryRegion *mr = host_memory_backend_get_memory(memdev);
    PvIommuPhys p = {
        .memdev = memdev,
        .prop = prop,
        .id = object_get_canonical_path_component(OBJECT(memdev)),
        .rb = mr->ram_block,
        .host = memory_region_get_ram_ptr(mr),
        .size = memory_region_size(mr),
    };
    struct stat st;

    if (!check_kind(&p, &st, errp) || !lock(&p, errp) ||
        !populate(&p, errp) ||
        (!S_ISCHR(st.st_mode) && !pin(&p, ring, errp)) || !find(&p, errp) ||
        (S_ISCHR(st.st_mode) && !check_devdax(&p, st.st_rdev, errp))) {
        return false;
    }
    ram_block_set_host_phys(p.rb, p.addr);
    trace_pv_iommu_phys(prop, p.addr, p.size, *ring >= 0);
    *addr = p.addr;
    return true;
}

/* The window's DMA address, which nobody else may choose then */
bool pv_iommu_phys_window(PvIommuState *s, Error **errp)
{
    ERRP_GUARD();

    if (!s->host_phys) {
        if (s->arena_memdev) {
            error_setg(errp, "arena-memdev= is for host-phys=on");
            error_append_hint(errp, "Leave it out, and set arena-size=.\n");
            return false;
        }
        if (s->dma_base == PV_IOMMU_DMA_BASE_AUTO) {
            s->dma_base = PV_IOMMU_DMA_BASE;
        }
        return true;
    }

    if (s->dma_base != PV_IOMMU_DMA_BASE_AUTO) {
        error_setg(errp, "dma-base=0x%" PRIx64 " and host-phys=on contradict "
                   "each other: the latter has the host-physical address",
                   s->dma_base);
        error_append_hint(errp, "Leave dma-base= out.\n");
        return false;
    }
    if (s->boot_bypass) {
        error_setg(errp, "host-phys=on does not go with boot-bypass=on: a "
                   "device that is not attached would take guest-physical "
                   "addresses for host-physical ones");
        error_append_hint(errp, "Set boot-bypass=off.\n");
        return false;
    }
    return settle(s->memdev, "memdev", &s->dma_base, &s->phys_ring[0], errp);
}

/* The same for the arena, which has its size from its memory then */
bool pv_iommu_phys_arena(PvIommuState *s, Error **errp)
{
    ERRP_GUARD();
    const char *id;

    if (!s->arena_memdev) {
        return true;
    }

    id = object_get_canonical_path_component(OBJECT(s->arena_memdev));
    if (s->arena_memdev == s->memdev ||
        host_memory_backend_is_mapped(s->arena_memdev)) {
        error_setg(errp, "arena-memdev=%s is in use already", id);
        error_append_hint(errp, "Give the arena a memory backend of its "
                          "own.\n");
        return false;
    }
    if (s->arena_base) {
        error_setg(errp, "arena-base=0x%" PRIx64 " and arena-memdev= "
                   "contradict each other: the latter has the host-physical "
                   "address", s->arena_base);
        error_append_hint(errp, "Leave arena-base= out.\n");
        return false;
    }
    s->arena_size = memory_region_size(
        host_memory_backend_get_memory(s->arena_memdev));
    return settle(s->arena_memdev, "arena-memdev", &s->arena_base,
                  &s->phys_ring[1], errp);
}

/* Nothing that a guest knows of host-physical addresses is true elsewhere */
bool pv_iommu_phys_block_migration(PvIommuState *s, Error **errp)
{
    if (!s->host_phys) {
        return true;
    }
    error_setg(&s->phys_blocker, "pv-iommu-pci with host-phys=on cannot be "
               "migrated: the guest knows where its window lies on this host");
    return pv_iommu_add_blocker(&s->phys_blocker, errp);
}

void pv_iommu_phys_cleanup(PvIommuState *s)
{
    int i;

    pv_iommu_del_blocker(&s->phys_blocker);
    for (i = 0; i < ARRAY_SIZE(s->phys_ring); i++) {
        if (s->phys_ring[i] >= 0) {
            close(s->phys_ring[i]);
            s->phys_ring[i] = -1;
        }
    }
}
