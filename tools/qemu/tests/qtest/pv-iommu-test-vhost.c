/*
 * QTest testcase for the pv-iommu device: what vhost is told
 *
 * The test is the backend of a vhost-user device, and its driver. It asks what
 * DMA addresses mean, as a backend does that meets them in its rings, and notes
 * what QEMU answers and what it tells it to forget. Then it has requests done.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "libqos/virtio.h"
#include "libqos/virtio-pci.h"
#include "standard-headers/linux/virtio_config.h"
#include "standard-headers/linux/virtio_pci.h"
#include "standard-headers/linux/virtio_ring.h"
#include "pv-iommu-test-backend.h"
#include "pv-iommu-test.h"

#define RID_VHOST       0x30    /* at 06.0 */
#define DOM             3
#define CHUNK(n)        (WINDOW_ADDR + (uint64_t)(n) * CHUNK_SIZE)
#define CHUNK_DMA(n)    (WINDOW_DMA + (uint64_t)(n) * CHUNK_SIZE)
#define RAM_DMA         0x1000000   /* means something to a guest only */

static bool means_nothing(Backend *b, uint64_t dma)
{
    uint64_t addr, size;

    return !backend_ask(b, dma, false, &addr, &size) &&
           !backend_ask(b, dma, true, &addr, &size);
}

static bool means(Backend *b, uint64_t dma, uint64_t want)
{
    uint64_t addr, size;

    return backend_ask(b, dma, false, &addr, &size) && addr == want &&
           backend_ask(b, dma, true, &addr, &size) && addr == want;
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
    uint16_t avail;             /* requests since the queue was set up */
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
    v->avail = 0;
}

static void vhost_end(Vhost *v)
{
    qos_object_destroy((QOSGraphObject *)v->dev);
}

static void vhost_quit(Vhost *v)
{
    vhost_end(v);
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

    g_assert(backend_ask(b, CHUNK_DMA(1) + 5000, true, &addr, &size));
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
    backend_remember_all(b);
    g_assert_cmpuint(revoke_from(v.vm, DOM, 2, 1), ==, PV_IOMMU_S_OK);
    g_assert(backend_forgot(b, CHUNK_DMA(2)));
    g_assert(backend_forgot(b, CHUNK_DMA(3) - 1));
    g_assert(!backend_forgot(b, CHUNK_DMA(2) - 1));
    g_assert(!backend_forgot(b, CHUNK_DMA(3)));
    g_assert(means_nothing(b, CHUNK_DMA(2)));
    g_assert(means(b, CHUNK_DMA(3), CHUNK(3)));

    /* another domain's are not for it */
    g_assert_cmpuint(attach_to(v.vm, RID, DOM + 1), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_to(v.vm, DOM + 1, 2, 1, 0), ==, PV_IOMMU_S_OK);
    g_assert(means_nothing(b, CHUNK_DMA(2)));

    /* a host that withdraws all */
    set_flag(v.vm, "x-withhold", true);
    g_assert(backend_forgot(b, CHUNK_DMA(1)));
    g_assert(means_nothing(b, CHUNK_DMA(1)));
    set_flag(v.vm, "x-withhold", false);
    g_assert(means(b, CHUNK_DMA(1), CHUNK(1)));

    backend_remember_all(b);
    g_assert_cmpuint(detach(v.vm, RID_VHOST), ==, PV_IOMMU_S_OK);
    g_assert(backend_forgot(b, CHUNK_DMA(1)));
    g_assert(backend_forgot(b, CHUNK_DMA(3)));
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
    g_assert(backend_forgot(b, 0));
    g_assert(backend_forgot(b, RAM_DMA));
    g_assert(backend_forgot(b, CHUNK_DMA(1)));
    g_assert(backend_forgot(b, WINDOW_ADDR));
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
    backend_remember_all(b);
    enable_chunks(v.vm);
    check_forgot_all(b);

    /* exempt, and then it is not */
    g_assert_cmpuint(attach(v.vm, RID_VHOST, PV_IOMMU_ATTACH_BYPASS), ==,
                     PV_IOMMU_S_OK);
    g_assert(means(b, RAM_DMA, RAM_DMA));
    g_assert(means(b, CHUNK_DMA(1), CHUNK_DMA(1)));
    backend_remember_all(b);
    g_assert_cmpuint(attach_to(v.vm, RID_VHOST, DOM), ==, PV_IOMMU_S_OK);
    check_forgot_all(b);
    g_assert_cmpuint(grant_to(v.vm, DOM, 1, 1, 0), ==, PV_IOMMU_S_OK);
    g_assert(means(b, CHUNK_DMA(1), CHUNK(1)));

    backend_remember_all(b);
    g_assert_cmpuint(detach(v.vm, RID_VHOST), ==, PV_IOMMU_S_OK);
    g_assert(backend_forgot(b, CHUNK_DMA(1)));
    g_assert(means_nothing(b, CHUNK_DMA(1)));
    vhost_quit(&v);
}

/* What is asked for again and again changes nothing: nobody is told of it */
static void test_bypass_again(void)
{
    Vhost v = vhost_launch(PROPS ",boot-bypass=on");
    Backend *b = v.backend;
    uint32_t before;

    vhost_begin(&v, RAM_DMA);
    enable_chunks(v.vm);
    g_assert_cmpuint(attach(v.vm, RID_VHOST, PV_IOMMU_ATTACH_BYPASS), ==,
                     PV_IOMMU_S_OK);
    g_assert(means(b, RAM_DMA, RAM_DMA));
    backend_remember_all(b);
    before = b->nr_messages;
    for (int i = 0; i < 500; i++) {
        g_assert_cmpuint(attach(v.vm, RID_VHOST, PV_IOMMU_ATTACH_BYPASS), ==,
                         PV_IOMMU_S_OK);
    }
    g_assert_cmpuint(b->nr_messages, ==, before);
    g_assert(means(b, RAM_DMA, RAM_DMA));

    /* nor with what does change it, and back: that is once */
    g_assert_cmpuint(attach_to(v.vm, RID_VHOST, DOM), ==, PV_IOMMU_S_OK);
    for (int i = 0; i < 500; i++) {
        g_assert_cmpuint(attach(v.vm, RID_VHOST, PV_IOMMU_ATTACH_BYPASS), ==,
                         PV_IOMMU_S_STATE);
    }
    g_assert_cmpuint(detach(v.vm, RID_VHOST), ==, PV_IOMMU_S_OK);
    before = b->nr_messages;
    for (int i = 0; i < 500; i++) {
        g_assert_cmpuint(attach(v.vm, RID_VHOST, PV_IOMMU_ATTACH_BYPASS), ==,
                         PV_IOMMU_S_UNSUPP);
    }
    g_assert_cmpuint(b->nr_messages, ==, before);
    g_assert(means_nothing(b, RAM_DMA));
    vhost_quit(&v);
}

/*
 * Data
 */

/* The queue is in the one, requests in the next two */
#define QUEUE           1
#define DATA            2
#define QUEUE_DMA       CHUNK_DMA(QUEUE)
#define DATA_DMA        CHUNK_DMA(DATA)

/* The driver, set up anew, with nothing in its queue */
static void queue_begin(Vhost *v)
{
    qtest_memset(v->vm->qts, CHUNK(QUEUE), 0, 0x3000);
    vhost_begin(v, QUEUE_DMA);
}

static void put_desc(Vhost *v, int i, uint64_t dma, uint32_t len,
                     uint16_t flags)
{
    struct vring_desc desc = {
        .addr = cpu_to_le64(dma),
        .len = cpu_to_le32(len),
        .flags = cpu_to_le16(flags),
        .next = cpu_to_le16(i + 1),
    };

    qtest_memwrite(v->vm->qts, CHUNK(QUEUE) + i * sizeof(desc), &desc,
                   sizeof(desc));
}

/* A request: an answer is to be put in the place of the second one. Is it? */
static bool request(Vhost *v, uint64_t from, uint64_t to, uint32_t len,
                    uint64_t *wild)
{
    QTestState *qts = v->vm->qts;
    QVirtioPCIDevice *d = v->dev;
    const uint64_t avail = CHUNK(QUEUE) + 0x1000, used = avail + 0x1000;
    uint16_t size = qpci_io_readw(d->pdev, d->bar, d->common_cfg_offset +
                                  VIRTIO_PCI_COMMON_Q_SIZE);
    bool served;

    *wild = 0;
    put_desc(v, 0, from, len, VRING_DESC_F_NEXT);
    put_desc(v, 1, to, len, VRING_DESC_F_WRITE);
    qtest_writew(qts, avail + offsetof(struct vring_avail, ring) +
                 2 * (v->avail % size), 0);
    qtest_writew(qts, avail + offsetof(struct vring_avail, idx), ++v->avail);
    qpci_io_writew(d->pdev, d->bar, d->notify_cfg_offset +
                   d->notify_off_multiplier *
                   qpci_io_readw(d->pdev, d->bar, d->common_cfg_offset +
                                 VIRTIO_PCI_COMMON_Q_NOFF), 0);
    served = backend_serve(v->backend, wild);
    g_assert_cmpuint(qtest_readw(qts, used + offsetof(struct vring_used, idx)),
                     ==, served ? v->avail : v->avail - 1);
    return served;
}

/* Do bytes reach the backend, and its answer the driver? From addr to addr */
static void check_moves(Vhost *v, uint64_t from, uint64_t from_dma,
                        uint64_t to, uint64_t to_dma, uint32_t len)
{
    g_autofree uint8_t *sent = g_malloc(len);
    g_autofree uint8_t *got = g_malloc(len);
    uint64_t wild;

    fill(v->vm, from, len, v->avail);
    qtest_memset(v->vm->qts, to, 0, len);
    g_assert(request(v, from_dma, to_dma, len, &wild));
    qtest_memread(v->vm->qts, from, sent, len);
    qtest_memread(v->vm->qts, to, got, len);
    for (uint32_t i = 0; i < len; i++) {
        g_assert_cmphex(got[i], ==, sent[i] ^ BACKEND_KEY);
    }
}

/* Within the chunks for data; the second address lies across two of them */
static void check_works(Vhost *v)
{
    for (uint32_t len = 1; len < 0x8000; len = len * 5 + 2) {
        const uint64_t to = CHUNK_SIZE - len / 2;

        check_moves(v, CHUNK(DATA), DATA_DMA, CHUNK(DATA) + to, DATA_DMA + to,
                    len);
    }
}

/*
 * A request with an address that is none: the backend has no answer for it, and
 * the queue stands still. Neither is the other address written to.
 */
static void check_wild(Vhost *v, uint64_t from, uint64_t to, uint64_t wild)
{
    uint64_t at;

    fill(v->vm, RAM_DMA, 64, 0x66);
    g_assert(!request(v, from, to, 64, &at));
    g_assert_cmphex(at, ==, wild);
    check(v->vm, RAM_DMA, 64, RAM_DMA, 0x66);
    vhost_end(v);
    queue_begin(v);
}

static void data_open(Vhost *v, uint32_t flags)
{
    g_assert_cmpuint(attach_to(v->vm, RID_VHOST, DOM), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_to(v->vm, DOM, QUEUE, 3, flags), ==, PV_IOMMU_S_OK);
}

static void test_data(void)
{
    static const uint64_t wild[] = {
        0, CHUNK_DMA(0), RAM_DMA, CHUNK(DATA), ARENA_DMA, WILD, UINT64_MAX - 63,
    };
    Vhost v = vhost_launch(PROPS ",boot-bypass=off");

    enable_chunks(v.vm);
    data_open(&v, 0);
    queue_begin(&v);
    check_works(&v);
    for (int i = 0; i < ARRAY_SIZE(wild); i++) {
        g_test_message("0x%" PRIx64, wild[i]);
        check_wild(&v, wild[i], DATA_DMA, wild[i]);
        check_wild(&v, DATA_DMA, wild[i], wild[i]);
    }
    check_works(&v);

    /* what it has used, and is not granted any more, it has forgotten */
    g_assert_cmpuint(revoke_from(v.vm, DOM, DATA + 1, 1), ==, PV_IOMMU_S_OK);
    check_wild(&v, DATA_DMA, DATA_DMA + CHUNK_SIZE, DATA_DMA + CHUNK_SIZE);
    g_assert_cmpuint(grant_to(v.vm, DOM, DATA + 1, 1, 0), ==, PV_IOMMU_S_OK);
    check_works(&v);

    /* detached: not even where its queue is; and attached again */
    vhost_end(&v);
    g_assert_cmpuint(detach(v.vm, RID_VHOST), ==, PV_IOMMU_S_OK);
    g_assert(means_nothing(v.backend, QUEUE_DMA));
    g_assert(means_nothing(v.backend, DATA_DMA));
    data_open(&v, PV_IOMMU_GRANT_KEEP);
    queue_begin(&v);
    check_works(&v);

    /* both kinds of reset */
    vhost_end(&v);
    set_reg(v.vm, PV_IOMMU_REG_CONTROL, PV_IOMMU_CTL_RESET);
    g_assert(means_nothing(v.backend, DATA_DMA));
    enable_chunks(v.vm);
    data_open(&v, 0);
    queue_begin(&v);
    check_works(&v);
    vhost_end(&v);
    system_reset(v.vm);
    enable_chunks(v.vm);
    data_open(&v, 0);
    queue_begin(&v);
    check_works(&v);
    vhost_quit(&v);
}

/* Pages of guest RAM, each for what it was granted for and nothing else */
static void test_permission(void)
{
    const uint64_t page = RAM_DMA / GRANULE;
    const uint64_t in = DIRECT_DMA + RAM_DMA, out = in + GRANULE;
    Vhost v = vhost_launch(PROPS ",boot-bypass=off,direct-limit=1M");

    enable_direct(v.vm);
    data_open(&v, 0);
    g_assert_cmpuint(grant_pages(v.vm, DOM, page, 1, PV_IOMMU_RANGE_READ), ==,
                     PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_pages(v.vm, DOM, page + 1, 1, PV_IOMMU_RANGE_WRITE),
                     ==, PV_IOMMU_S_OK);
    queue_begin(&v);
    check_moves(&v, RAM_DMA, in, RAM_DMA + GRANULE, out, GRANULE);
    /* of the one page it knows that it may be read, of the other written to */
    check_wild(&v, DATA_DMA, in, in);
    check_wild(&v, out, DATA_DMA, out);
    check_moves(&v, RAM_DMA, in, RAM_DMA + GRANULE, out, GRANULE);

    g_assert_cmpuint(revoke_pages(v.vm, DOM, page, 1), ==, PV_IOMMU_S_OK);
    check_wild(&v, in, DATA_DMA, in);
    vhost_quit(&v);
}

/*
 * What goes at once is forgotten at once, however many pages it is: a backend
 * answers each time, while QEMU does nothing else
 */
static void test_forget(void)
{
    const uint64_t page = RAM_DMA / GRANULE, apart = page + 64;
    const uint64_t in = DIRECT_DMA + RAM_DMA;
    Vhost v = vhost_launch(PROPS ",boot-bypass=off,direct-limit=1M");
    Backend *b = v.backend;
    uint64_t addr, size;

    enable_direct(v.vm);
    data_open(&v, 0);
    g_assert_cmpuint(grant_pages(v.vm, DOM, page, 32, PV_IOMMU_RANGE_READ), ==,
                     PV_IOMMU_S_OK);
    for (int i = 0; i < 64; i++) {
        g_assert_cmpuint(grant_pages(v.vm, DOM, apart + 2 * i, 1,
                                     PV_IOMMU_RANGE_READ), ==, PV_IOMMU_S_OK);
    }
    queue_begin(&v);
    g_assert(backend_ask(b, in, false, &addr, &size));

    backend_remember_all(b);
    g_assert_cmpuint(revoke_pages(v.vm, DOM, page, 32), ==, PV_IOMMU_S_OK);
    g_assert(backend_forgot(b, in));
    g_assert(backend_forgot(b, in + 32 * GRANULE - 1));
    g_assert(!backend_forgot(b, in + 32 * GRANULE));
    g_assert_cmpuint(b->nr_forgets, ==, 1);

    backend_remember_all(b);
    g_assert_cmpuint(detach(v.vm, RID_VHOST), ==, PV_IOMMU_S_OK);
    for (int i = 0; i < 64; i++) {
        g_assert(backend_forgot(b, DIRECT_DMA + (apart + 2 * i) * GRANULE));
    }
    g_assert(backend_forgot(b, DATA_DMA));
    /* chunks, and guest RAM */
    g_assert_cmpuint(b->nr_forgets, ==, 2);
    vhost_quit(&v);
}

/* The guest may have it asked as often as it likes: that fills no log */
static void test_once(void)
{
    g_autofree char *path = temp_file("stderr");
    g_autofree char *text = NULL;
    int old = dup(STDERR_FILENO), log = open(path, O_WRONLY | O_APPEND);
    Vhost v;
    char *line;

    /* QEMU's, from its start on */
    g_assert(old >= 0 && log >= 0);
    g_assert(dup2(log, STDERR_FILENO) == STDERR_FILENO);
    v = vhost_launch(PROPS ",boot-bypass=off");
    g_assert(dup2(old, STDERR_FILENO) == STDERR_FILENO);
    close(old);
    close(log);

    enable_chunks(v.vm);
    data_open(&v, 0);
    queue_begin(&v);
    for (int i = 0; i < 20; i++) {
        g_assert(means_nothing(v.backend, RAM_DMA + i * GRANULE));
    }
    vhost_quit(&v);

    g_assert(g_file_get_contents(path, &text, NULL, NULL));
    unlink(path);
    line = strstr(text, "Fail to lookup the translated address");
    g_assert_nonnull(line);
    g_assert_null(strstr(line + 1, "Fail to lookup"));
}

void add_vhost_tests(void)
{
    qtest_add_func("/pv-iommu/vhost/window", test_window);
    qtest_add_func("/pv-iommu/vhost/bounce", test_bounce);
    qtest_add_func("/pv-iommu/vhost/boot-bypass", test_boot_bypass);
    qtest_add_func("/pv-iommu/vhost/bypass-again", test_bypass_again);
    qtest_add_func("/pv-iommu/vhost/data", test_data);
    qtest_add_func("/pv-iommu/vhost/permission", test_permission);
    qtest_add_func("/pv-iommu/vhost/forget", test_forget);
    qtest_add_func("/pv-iommu/vhost/once", test_once);
}
