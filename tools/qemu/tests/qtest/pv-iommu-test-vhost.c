/*
 * QTest testcase for the pv-iommu device: what vhost is told
 *
 * The test is the backend of a vhost-user device. It asks what DMA addresses
 * mean, as a backend does that meets them in its rings, and notes what QEMU
 * answers and what it tells it to forget.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/socket.h>
#include <sys/un.h>
#include "libqos/virtio.h"
#include "libqos/virtio-pci.h"
#include "standard-headers/linux/vhost_types.h"
#include "standard-headers/linux/virtio_config.h"
#include "standard-headers/linux/virtio_pci.h"
#include "pv-iommu-test.h"

#define RID_VHOST       0x30    /* at 06.0 */
#define DOM             3
#define CHUNK(n)        (WINDOW_ADDR + (uint64_t)(n) * CHUNK_SIZE)
#define CHUNK_DMA(n)    (WINDOW_DMA + (uint64_t)(n) * CHUNK_SIZE)
#define RAM_DMA         0x1000000   /* means something to a guest only */

/* The protocol, as far as it is used: docs/interop/vhost-user.rst */
#define VU_GET_FEATURES             1
#define VU_SET_MEM_TABLE            5
#define VU_GET_VRING_BASE           11
#define VU_GET_PROTOCOL_FEATURES    15
#define VU_SET_BACKEND_REQ_FD       21
#define VU_IOTLB_MSG                22
#define VU_BACKEND_IOTLB_MSG        1
#define VU_VERSION                  1
#define VU_REPLY                    (1U << 2)
#define VU_NEED_REPLY               (1U << 3)
#define VU_F_PROTOCOL_FEATURES      30
#define VU_PROTOCOL_F_REPLY_ACK     3
#define VU_PROTOCOL_F_BACKEND_REQ   5
#define VU_MAX_REGIONS              8

typedef struct VuRegion {
    uint64_t guest_phys_addr;
    uint64_t memory_size;
    uint64_t userspace_addr;
    uint64_t mmap_offset;
} VuRegion;

typedef struct VuMsg {
    uint32_t request;
    uint32_t flags;
    uint32_t size;
    union {
        uint64_t u64;
        uint32_t vring[2];
        struct vhost_iotlb_msg iotlb;
        struct {
            uint32_t nr;
            uint32_t padding;
            VuRegion region[VU_MAX_REGIONS];
        } memory;
        uint8_t bytes[1024];
    };
} QEMU_PACKED VuMsg;

#define VU_HEAD             offsetof(VuMsg, u64)

typedef struct Backend {
    int listener;
    int fd;
    GThread *thread;

    GMutex lock;                /* of all below */
    int ask;                    /* where questions go */
    uint32_t nr_regions;
    VuRegion region[VU_MAX_REGIONS];
    uint32_t nr_updates;
    struct vhost_iotlb_msg update;      /* the last */
    uint32_t nr_forgets;
    struct vhost_iotlb_msg forget[64];
} Backend;

static bool vu_recv(int fd, VuMsg *msg, int *passed)
{
    char control[CMSG_SPACE(VU_MAX_REGIONS * sizeof(int))];
    struct iovec iov = { .iov_base = msg, .iov_len = VU_HEAD };
    struct msghdr mh = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = sizeof(control),
    };
    struct cmsghdr *cmsg;
    size_t got = 0;

    *passed = -1;
    if (recvmsg(fd, &mh, MSG_WAITALL) != VU_HEAD) {
        return false;
    }
    for (cmsg = CMSG_FIRSTHDR(&mh); cmsg; cmsg = CMSG_NXTHDR(&mh, cmsg)) {
        size_t nr = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        int *fds = (int *)CMSG_DATA(cmsg);

        for (size_t i = 0; i < nr; i++) {
            if (msg->request == VU_SET_BACKEND_REQ_FD && *passed < 0) {
                *passed = fds[i];
            } else {
                close(fds[i]);
            }
        }
    }
    g_assert_cmpuint(msg->size, <=, sizeof(msg->bytes));
    while (got < msg->size) {
        ssize_t ret = read(fd, msg->bytes + got, msg->size - got);

        if (ret <= 0) {
            return false;
        }
        got += ret;
    }
    return true;
}

static void vu_send(int fd, VuMsg *msg, uint32_t flags, uint32_t size)
{
    msg->flags = VU_VERSION | flags;
    msg->size = size;
    g_assert(write(fd, msg, VU_HEAD + size) == VU_HEAD + size);
}

static void note_iotlb(Backend *b, struct vhost_iotlb_msg m)
{
    if (m.type == VHOST_IOTLB_UPDATE) {
        b->update = m;
        b->nr_updates++;
    } else if (m.type == VHOST_IOTLB_INVALIDATE) {
        g_assert_cmpuint(b->nr_forgets, <, ARRAY_SIZE(b->forget));
        b->forget[b->nr_forgets++] = m;
    }
}

static void vu_handle(Backend *b, VuMsg *msg, int passed)
{
    bool ack = msg->flags & VU_NEED_REPLY;

    switch (msg->request) {
    case VU_GET_FEATURES:
        msg->u64 = 1ULL << VU_F_PROTOCOL_FEATURES | 1ULL << VIRTIO_F_VERSION_1 |
                   1ULL << VIRTIO_F_ACCESS_PLATFORM;
        vu_send(b->fd, msg, VU_REPLY, sizeof(msg->u64));
        return;
    case VU_GET_PROTOCOL_FEATURES:
        msg->u64 = 1ULL << VU_PROTOCOL_F_REPLY_ACK |
                   1ULL << VU_PROTOCOL_F_BACKEND_REQ;
        vu_send(b->fd, msg, VU_REPLY, sizeof(msg->u64));
        return;
    case VU_GET_VRING_BASE:
        vu_send(b->fd, msg, VU_REPLY, sizeof(msg->vring));
        return;
    case VU_SET_BACKEND_REQ_FD:
        b->ask = passed;
        break;
    case VU_SET_MEM_TABLE:
        g_assert_cmpuint(msg->memory.nr, <=, VU_MAX_REGIONS);
        b->nr_regions = msg->memory.nr;
        memcpy(b->region, msg->memory.region, sizeof(b->region));
        break;
    case VU_IOTLB_MSG:
        note_iotlb(b, msg->iotlb);
        break;
    }
    if (ack) {
        msg->u64 = 0;
        vu_send(b->fd, msg, VU_REPLY, sizeof(msg->u64));
    }
}

static gpointer backend_run(gpointer opaque)
{
    Backend *b = opaque;
    VuMsg msg;
    int passed;

    b->fd = accept(b->listener, NULL, NULL);
    g_assert(b->fd >= 0);
    while (vu_recv(b->fd, &msg, &passed)) {
        g_mutex_lock(&b->lock);
        vu_handle(b, &msg, passed);
        g_mutex_unlock(&b->lock);
    }
    close(b->fd);
    return NULL;
}

static Backend *backend_start(const char *path)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    Backend *b = g_new0(Backend, 1);

    g_assert_cmpuint(g_strlcpy(addr.sun_path, path, sizeof(addr.sun_path)), <,
                     sizeof(addr.sun_path));
    g_mutex_init(&b->lock);
    b->ask = -1;
    b->listener = socket(AF_UNIX, SOCK_STREAM, 0);
    g_assert(b->listener >= 0);
    g_assert(!bind(b->listener, (struct sockaddr *)&addr, sizeof(addr)));
    g_assert(!listen(b->listener, 1));
    b->thread = g_thread_new("backend", backend_run, b);
    return b;
}

/* QEMU is gone */
static void backend_stop(Backend *b)
{
    g_thread_join(b->thread);
    close(b->listener);
    if (b->ask >= 0) {
        close(b->ask);
    }
    g_mutex_clear(&b->lock);
    g_free(b);
}

/*
 * Ask what a DMA address means. False: nothing; else where it is in the guest's
 * physical memory, and for how many bytes that holds.
 */
static bool ask(Backend *b, uint64_t dma, bool write, uint64_t *addr,
                uint64_t *size)
{
    VuMsg msg = {
        .request = VU_BACKEND_IOTLB_MSG,
        .iotlb = {
            .iova = dma,
            .size = 1,
            .perm = write ? VHOST_ACCESS_WO : VHOST_ACCESS_RO,
            .type = VHOST_IOTLB_MISS,
        },
    };
    uint32_t before;
    bool found;
    int passed;

    g_mutex_lock(&b->lock);
    before = b->nr_updates;
    g_assert_cmpint(b->ask, >=, 0);
    g_mutex_unlock(&b->lock);

    vu_send(b->ask, &msg, VU_NEED_REPLY, sizeof(msg.iotlb));
    g_assert(vu_recv(b->ask, &msg, &passed));

    g_mutex_lock(&b->lock);
    found = b->nr_updates != before;
    g_assert(found == !msg.u64);
    if (found) {
        const struct vhost_iotlb_msg *u = &b->update;
        uint64_t in = dma - u->iova;
        uint32_t i;

        g_assert_cmpuint(b->nr_updates, ==, before + 1);
        g_assert_cmphex(in, <, u->size);
        for (i = 0; i < b->nr_regions; i++) {
            if (u->uaddr - b->region[i].userspace_addr <
                b->region[i].memory_size) {
                break;
            }
        }
        g_assert_cmpuint(i, <, b->nr_regions);
        *addr = u->uaddr - b->region[i].userspace_addr +
                b->region[i].guest_phys_addr + in;
        *size = u->size;
    }
    g_mutex_unlock(&b->lock);
    return found;
}

static bool means_nothing(Backend *b, uint64_t dma)
{
    uint64_t addr, size;

    return !ask(b, dma, false, &addr, &size) &&
           !ask(b, dma, true, &addr, &size);
}

static bool means(Backend *b, uint64_t dma, uint64_t want)
{
    uint64_t addr, size;

    return ask(b, dma, false, &addr, &size) && addr == want &&
           ask(b, dma, true, &addr, &size) && addr == want;
}

/* Was it told to forget this address since it was last asked? */
static bool forgot(Backend *b, uint64_t dma)
{
    bool found = false;

    g_mutex_lock(&b->lock);
    for (uint32_t i = 0; i < b->nr_forgets; i++) {
        found |= dma - b->forget[i].iova < b->forget[i].size;
    }
    g_mutex_unlock(&b->lock);
    return found;
}

static void remember_all(Backend *b)
{
    g_mutex_lock(&b->lock);
    b->nr_forgets = 0;
    g_mutex_unlock(&b->lock);
}

/*
 * The machine, and the device with a queue at a DMA address
 */

typedef struct Vhost {
    Vm *vm;
    Backend *backend;
    QVirtioPCIDevice *dev;
    char *dir;
    char *path;
} Vhost;

static Vhost vhost_launch(const char *props)
{
    Vhost v = { 0 };
    g_autofree char *objects = NULL;

    v.dir = g_dir_make_tmp("pv-iommu-vhost-XXXXXX", NULL);
    g_assert_nonnull(v.dir);
    v.path = g_build_filename(v.dir, "socket", NULL);
    v.backend = backend_start(v.path);
    objects = g_strdup_printf(
        "-object memory-backend-memfd,id=ram0,size=64M,share=on "
        "-machine memory-backend=ram0 "
        "-object memory-backend-memfd,id=win1,size=4M,share=on "
        "-chardev socket,id=vu0,path=%s", v.path);
    v.vm = vm_launch("q35", objects, props,
                     "-device vhost-user-rng-pci,chardev=vu0,addr=6,"
                     "iommu_platform=on");
    vm_probe(v.vm);
    return v;
}

static void put_cfg(QVirtioPCIDevice *d, size_t offset, uint64_t val)
{
    qpci_io_writel(d->pdev, d->bar, d->common_cfg_offset + offset, val);
    qpci_io_writel(d->pdev, d->bar, d->common_cfg_offset + offset + 4,
                   val >> 32);
}

static void vhost_begin(Vhost *v, uint64_t rings)
{
    QPCIAddress where = { .devfn = RID_VHOST };
    QVirtioPCIDevice *d = virtio_pci_new(v->vm->bus, &where);

    qvirtio_pci_device_enable(d);
    qvirtio_start_device(&d->vdev);
    qvirtio_set_features(&d->vdev, 1ULL << VIRTIO_F_VERSION_1 |
                         1ULL << VIRTIO_F_ACCESS_PLATFORM);
    d->vdev.bus->queue_select(&d->vdev, 0);
    put_cfg(d, VIRTIO_PCI_COMMON_Q_DESCLO, rings);
    put_cfg(d, VIRTIO_PCI_COMMON_Q_AVAILLO, rings + 0x1000);
    put_cfg(d, VIRTIO_PCI_COMMON_Q_USEDLO, rings + 0x2000);
    qpci_io_writew(d->pdev, d->bar, d->common_cfg_offset +
                   VIRTIO_PCI_COMMON_Q_ENABLE, 1);
    qvirtio_set_driver_ok(&d->vdev);
    v->dev = d;
}

static void vhost_quit(Vhost *v)
{
    qos_object_destroy((QOSGraphObject *)v->dev);
    vm_stop(v->vm);
    backend_stop(v->backend);
    unlink(v->path);
    rmdir(v->dir);
    g_free(v->path);
    g_free(v->dir);
}

#define PROPS       ",hw-iommu=on,arena-size=1M,memdev=win1"

/* Chunks that are granted mean the window, and nothing else means anything */
static void test_window(void)
{
    static const uint64_t wild[] = {
        0, WINDOW_DMA - GRANULE, CHUNK_DMA(0), CHUNK_DMA(2),
        WINDOW_DMA + WINDOW_SIZE - 1, ARENA_DMA, RAM_DMA, WINDOW_ADDR,
        WINDOW_ADDR + CHUNK_SIZE, 0xfef00000, 1ULL << 62, 1ULL << 63,
        (1ULL << 62) + RAM_DMA, (1ULL << 63) + WINDOW_ADDR, UINT64_MAX - 4095,
    };
    Vhost v = vhost_launch(PROPS ",boot-bypass=off");
    Backend *b = v.backend;
    uint64_t addr, size;

    enable_chunks(v.vm);
    g_assert_cmpuint(attach_to(v.vm, RID_VHOST, DOM), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_to(v.vm, DOM, 1, 1, 0), ==, PV_IOMMU_S_OK);
    vhost_begin(&v, CHUNK_DMA(1));
    /* it was told where its used ring is */
    g_assert_cmpuint(b->nr_updates, >, 0);

    g_assert(ask(b, CHUNK_DMA(1) + 5000, true, &addr, &size));
    g_assert_cmphex(addr, ==, CHUNK(1) + 5000);
    g_assert_cmphex(size, ==, CHUNK_SIZE);
    g_assert(means(b, CHUNK_DMA(2) - 1, CHUNK(2) - 1));
    for (int i = 0; i < ARRAY_SIZE(wild); i++) {
        g_test_message("0x%" PRIx64, wild[i]);
        g_assert(means_nothing(b, wild[i]));
    }

    /* more come, one goes, and those that stay are not touched */
    g_assert_cmpuint(grant_to(v.vm, DOM, 2, 2, 0), ==, PV_IOMMU_S_OK);
    g_assert(means(b, CHUNK_DMA(2), CHUNK(2)));
    g_assert(means(b, CHUNK_DMA(3), CHUNK(3)));
    remember_all(b);
    g_assert_cmpuint(revoke_from(v.vm, DOM, 2, 1), ==, PV_IOMMU_S_OK);
    g_assert(forgot(b, CHUNK_DMA(2)));
    g_assert(forgot(b, CHUNK_DMA(3) - 1));
    g_assert(!forgot(b, CHUNK_DMA(2) - 1));
    g_assert(!forgot(b, CHUNK_DMA(3)));
    g_assert(means_nothing(b, CHUNK_DMA(2)));
    g_assert(means(b, CHUNK_DMA(3), CHUNK(3)));

    /* another domain's are not for it */
    g_assert_cmpuint(attach_to(v.vm, RID, DOM + 1), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_to(v.vm, DOM + 1, 2, 1, 0), ==, PV_IOMMU_S_OK);
    g_assert(means_nothing(b, CHUNK_DMA(2)));

    /* a host that withdraws all */
    set_flag(v.vm, "x-withhold", true);
    g_assert(forgot(b, CHUNK_DMA(1)));
    g_assert(means_nothing(b, CHUNK_DMA(1)));
    set_flag(v.vm, "x-withhold", false);
    g_assert(means(b, CHUNK_DMA(1), CHUNK(1)));

    remember_all(b);
    g_assert_cmpuint(detach(v.vm, RID_VHOST), ==, PV_IOMMU_S_OK);
    g_assert(forgot(b, CHUNK_DMA(1)));
    g_assert(forgot(b, CHUNK_DMA(3)));
    g_assert(means_nothing(b, CHUNK_DMA(1)));
    vhost_quit(&v);
}

/* The arena is memory that the backend does not have: better none than wrong */
static void test_bounce(void)
{
    Vhost v = vhost_launch(PROPS ",boot-bypass=off");
    struct pv_iommu_req req;

    enable_chunks(v.vm);
    req_init(&req, PV_IOMMU_OP_ATTACH, RID_VHOST, PV_IOMMU_ATTACH_BOUNCE);
    req.domain = cpu_to_le32(DOM);
    g_assert_cmpuint(submit(v.vm, &req), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_to(v.vm, DOM, 1, 1, 0), ==, PV_IOMMU_S_OK);
    vhost_begin(&v, CHUNK_DMA(1));
    g_assert(means(v.backend, CHUNK_DMA(1), CHUNK(1)));
    g_assert(means_nothing(v.backend, map(v.vm, RID_VHOST, SRC, 4096)));
    vhost_quit(&v);
}

/* All that it has learned while it reached all of memory, and no more */
static void check_forgot_all(Backend *b)
{
    g_assert(forgot(b, 0));
    g_assert(forgot(b, RAM_DMA));
    g_assert(forgot(b, CHUNK_DMA(1)));
    g_assert(forgot(b, WINDOW_ADDR));
    g_assert(means_nothing(b, RAM_DMA));
    g_assert(means_nothing(b, CHUNK_DMA(1)));
}

static void test_boot_bypass(void)
{
    Vhost v = vhost_launch(PROPS ",boot-bypass=on");
    Backend *b = v.backend;

    vhost_begin(&v, RAM_DMA);
    g_assert(means(b, RAM_DMA, RAM_DMA));
    g_assert(means(b, CHUNK_DMA(1), CHUNK_DMA(1)));
    remember_all(b);
    enable_chunks(v.vm);
    check_forgot_all(b);

    /* exempt, and then it is not */
    g_assert_cmpuint(attach(v.vm, RID_VHOST, PV_IOMMU_ATTACH_BYPASS), ==,
                     PV_IOMMU_S_OK);
    g_assert(means(b, RAM_DMA, RAM_DMA));
    g_assert(means(b, CHUNK_DMA(1), CHUNK_DMA(1)));
    remember_all(b);
    g_assert_cmpuint(attach_to(v.vm, RID_VHOST, DOM), ==, PV_IOMMU_S_OK);
    check_forgot_all(b);
    g_assert_cmpuint(grant_to(v.vm, DOM, 1, 1, 0), ==, PV_IOMMU_S_OK);
    g_assert(means(b, CHUNK_DMA(1), CHUNK(1)));

    remember_all(b);
    g_assert_cmpuint(detach(v.vm, RID_VHOST), ==, PV_IOMMU_S_OK);
    g_assert(forgot(b, CHUNK_DMA(1)));
    g_assert(means_nothing(b, CHUNK_DMA(1)));
    vhost_quit(&v);
}

void add_vhost_tests(void)
{
    qtest_add_func("/pv-iommu/vhost/window", test_window);
    qtest_add_func("/pv-iommu/vhost/bounce", test_bounce);
    qtest_add_func("/pv-iommu/vhost/boot-bypass", test_boot_bypass);
}
