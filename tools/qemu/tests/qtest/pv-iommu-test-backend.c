/*
 * QTest testcase for the pv-iommu device: the backend of a vhost-user device
 *
 * It maps the memory that it is told of, asks QEMU what DMA addresses mean,
 * remembers the answers until it is told to forget them, and does what is in
 * the queue.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include "qemu/bswap.h"
#include "standard-headers/linux/virtio_config.h"
#include "standard-headers/linux/virtio_ring.h"
#include "pv-iommu-test-backend.h"

/* The protocol, as far as it is used: docs/interop/vhost-user.rst */
#define VU_GET_FEATURES             1
#define VU_SET_MEM_TABLE            5
#define VU_SET_VRING_NUM            8
#define VU_SET_VRING_ADDR           9
#define VU_SET_VRING_BASE           10
#define VU_GET_VRING_BASE           11
#define VU_SET_VRING_KICK           12
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

/* The longest chain of descriptors, and what one may hold */
#define CHAIN_MAX                   4
#define BYTES_MAX                   (64 * 1024)

typedef struct VuVringState {
    uint32_t index;
    uint32_t num;
} VuVringState;

typedef struct VuMsg {
    uint32_t request;
    uint32_t flags;
    uint32_t size;
    union {
        uint64_t u64;
        VuVringState state;
        VuVringAddr addr;
        struct vhost_iotlb_msg iotlb;
        struct {
            uint32_t nr;
            uint32_t padding;
            VuRegion region[BACKEND_MAX_REGIONS];
        } memory;
        uint8_t bytes[1024];
    };
} QEMU_PACKED VuMsg;

#define VU_HEAD             offsetof(VuMsg, u64)

/* The file descriptors that came with a message; -1: none, or somebody's */
typedef struct VuFds {
    int fd[BACKEND_MAX_REGIONS];
} VuFds;

static bool vu_recv(int fd, VuMsg *msg, VuFds *fds)
{
    char control[CMSG_SPACE(sizeof(fds->fd))];
    struct iovec iov = { .iov_base = msg, .iov_len = VU_HEAD };
    struct msghdr mh = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = sizeof(control),
    };
    struct cmsghdr *cmsg;
    size_t got = 0;

    memset(fds, 0xff, sizeof(*fds));
    if (recvmsg(fd, &mh, MSG_WAITALL) != VU_HEAD) {
        return false;
    }
    for (cmsg = CMSG_FIRSTHDR(&mh); cmsg; cmsg = CMSG_NXTHDR(&mh, cmsg)) {
        memcpy(fds->fd, CMSG_DATA(cmsg),
               MIN(cmsg->cmsg_len - CMSG_LEN(0), sizeof(fds->fd)));
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

static int take_fd(VuFds *fds, int i)
{
    int fd = fds->fd[i];

    fds->fd[i] = -1;
    return fd;
}

static void close_fds(VuFds *fds)
{
    for (int i = 0; i < ARRAY_SIZE(fds->fd); i++) {
        if (fds->fd[i] >= 0) {
            close(fds->fd[i]);
        }
    }
}

static void unmap_memory(Backend *b)
{
    for (uint32_t i = 0; i < b->nr_regions; i++) {
        munmap(b->memory[i] - b->region[i].mmap_offset,
               b->region[i].memory_size + b->region[i].mmap_offset);
    }
    b->nr_regions = 0;
}

static void map_memory(Backend *b, const VuMsg *msg, const VuFds *fds)
{
    unmap_memory(b);
    g_assert_cmpuint(msg->memory.nr, <=, BACKEND_MAX_REGIONS);
    b->nr_regions = msg->memory.nr;
    memcpy(b->region, msg->memory.region, sizeof(b->region));
    for (uint32_t i = 0; i < b->nr_regions; i++) {
        void *map = mmap(NULL, b->region[i].memory_size +
                         b->region[i].mmap_offset, PROT_READ | PROT_WRITE,
                         MAP_SHARED, fds->fd[i], 0);

        g_assert(map != MAP_FAILED);
        b->memory[i] = (uint8_t *)map + b->region[i].mmap_offset;
    }
}

static bool overlap(const struct vhost_iotlb_msg *a,
                    const struct vhost_iotlb_msg *b)
{
    /* the size of all addresses there are is 0, or all of them but one */
    return a->iova <= b->iova + (b->size - 1) &&
           b->iova <= a->iova + (a->size - 1);
}

static void forget(Backend *b, const struct vhost_iotlb_msg *m)
{
    for (uint32_t i = 0; i < b->nr_iotlb;) {
        if (overlap(&b->iotlb[i], m)) {
            b->iotlb[i] = b->iotlb[--b->nr_iotlb];
        } else {
            i++;
        }
    }
}

static void note_iotlb(Backend *b, struct vhost_iotlb_msg m)
{
    if (m.type == VHOST_IOTLB_UPDATE) {
        b->update = m;
        b->nr_updates++;
        forget(b, &m);
        g_assert_cmpuint(b->nr_iotlb, <, BACKEND_MAX_IOTLB);
        b->iotlb[b->nr_iotlb++] = m;
    } else if (m.type == VHOST_IOTLB_INVALIDATE) {
        g_assert_cmpuint(b->nr_forgets, <, ARRAY_SIZE(b->forget));
        b->forget[b->nr_forgets++] = m;
        forget(b, &m);
    }
}

static void set_kick(Backend *b, int fd)
{
    if (b->kick >= 0) {
        close(b->kick);
    }
    b->kick = fd;
}

static void vu_handle(Backend *b, VuMsg *msg, VuFds *fds)
{
    bool ack = msg->flags & VU_NEED_REPLY;

    b->nr_messages++;
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
    case VU_SET_VRING_NUM:
        b->vring_size = msg->state.num;
        break;
    case VU_SET_VRING_ADDR:
        b->vring = msg->addr;
        break;
    case VU_SET_VRING_BASE:
        b->next = msg->state.num;
        break;
    case VU_GET_VRING_BASE:
        msg->state.num = b->next;
        set_kick(b, -1);
        vu_send(b->fd, msg, VU_REPLY, sizeof(msg->state));
        return;
    case VU_SET_VRING_KICK:
        set_kick(b, take_fd(fds, 0));
        break;
    case VU_SET_BACKEND_REQ_FD:
        b->ask = take_fd(fds, 0);
        break;
    case VU_SET_MEM_TABLE:
        map_memory(b, msg, fds);
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
    VuFds fds;

    b->fd = accept(b->listener, NULL, NULL);
    g_assert(b->fd >= 0);
    while (vu_recv(b->fd, &msg, &fds)) {
        g_mutex_lock(&b->lock);
        vu_handle(b, &msg, &fds);
        g_mutex_unlock(&b->lock);
        close_fds(&fds);
    }
    close(b->fd);
    return NULL;
}

Backend *backend_start(const char *path)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    Backend *b = g_new0(Backend, 1);

    g_assert_cmpuint(g_strlcpy(addr.sun_path, path, sizeof(addr.sun_path)), <,
                     sizeof(addr.sun_path));
    g_mutex_init(&b->lock);
    b->ask = -1;
    b->kick = -1;
    b->listener = socket(AF_UNIX, SOCK_STREAM, 0);
    g_assert(b->listener >= 0);
    g_assert(!bind(b->listener, (struct sockaddr *)&addr, sizeof(addr)));
    g_assert(!listen(b->listener, 1));
    b->thread = g_thread_new("backend", backend_run, b);
    return b;
}

/* QEMU is gone */
void backend_stop(Backend *b)
{
    g_thread_join(b->thread);
    close(b->listener);
    set_kick(b, -1);
    if (b->ask >= 0) {
        close(b->ask);
    }
    unmap_memory(b);
    g_mutex_clear(&b->lock);
    g_free(b);
}

/*
 * Questions
 */

/* The region that an answer is in, and where */
static uint32_t region_of(Backend *b, const struct vhost_iotlb_msg *m,
                          uint64_t dma, uint64_t *offset)
{
    uint32_t i;

    for (i = 0; i < b->nr_regions; i++) {
        if (m->uaddr - b->region[i].userspace_addr <
            b->region[i].memory_size) {
            break;
        }
    }
    g_assert_cmpuint(i, <, b->nr_regions);
    *offset = m->uaddr - b->region[i].userspace_addr + (dma - m->iova);
    return i;
}

bool backend_ask(Backend *b, uint64_t dma, bool write, uint64_t *addr,
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
    VuFds fds;

    g_mutex_lock(&b->lock);
    before = b->nr_updates;
    g_assert_cmpint(b->ask, >=, 0);
    g_mutex_unlock(&b->lock);

    vu_send(b->ask, &msg, VU_NEED_REPLY, sizeof(msg.iotlb));
    g_assert(vu_recv(b->ask, &msg, &fds));
    close_fds(&fds);

    g_mutex_lock(&b->lock);
    found = b->nr_updates != before;
    g_assert(found == !msg.u64);
    if (found) {
        const struct vhost_iotlb_msg *u = &b->update;
        uint64_t offset;
        uint32_t i;

        g_assert_cmpuint(b->nr_updates, ==, before + 1);
        g_assert_cmphex(dma - u->iova, <, u->size);
        i = region_of(b, u, dma, &offset);
        *addr = b->region[i].guest_phys_addr + offset;
        *size = u->size;
    }
    g_mutex_unlock(&b->lock);
    return found;
}

bool backend_forgot(Backend *b, uint64_t dma)
{
    bool found = false;

    g_mutex_lock(&b->lock);
    for (uint32_t i = 0; i < b->nr_forgets; i++) {
        found |= dma - b->forget[i].iova < b->forget[i].size;
    }
    g_mutex_unlock(&b->lock);
    return found;
}

void backend_remember_all(Backend *b)
{
    g_mutex_lock(&b->lock);
    b->nr_forgets = 0;
    g_mutex_unlock(&b->lock);
}

/*
 * The queue
 */

/* What is remembered of an address; NULL: nothing, or not for that */
static uint8_t *remembered(Backend *b, uint64_t dma, bool write,
                           uint64_t *length)
{
    const uint8_t perm = write ? VHOST_ACCESS_WO : VHOST_ACCESS_RO;
    uint8_t *p = NULL;

    g_mutex_lock(&b->lock);
    for (uint32_t i = 0; i < b->nr_iotlb; i++) {
        const struct vhost_iotlb_msg *m = &b->iotlb[i];
        uint64_t offset;

        if (dma - m->iova < m->size && m->perm & perm) {
            uint32_t region = region_of(b, m, dma, &offset);

            p = b->memory[region] + offset;
            *length = m->size - (dma - m->iova);
        }
    }
    g_mutex_unlock(&b->lock);
    return p;
}

/* Copy between here and DMA addresses; false: one means nothing, *wild */
static bool copy(Backend *b, uint64_t dma, void *buf, uint64_t length,
                 bool write, uint64_t *wild)
{
    uint64_t addr, n;

    for (; length; length -= n, dma += n, buf = (uint8_t *)buf + n) {
        uint8_t *p = remembered(b, dma, write, &n);

        if (!p && backend_ask(b, dma, write, &addr, &n)) {
            p = remembered(b, dma, write, &n);
        }
        if (!p) {
            *wild = dma;
            return false;
        }
        n = MIN(n, length);
        if (write) {
            memcpy(p, buf, n);
        } else {
            memcpy(buf, p, n);
        }
    }
    return true;
}

static bool wait_for_kick(Backend *b)
{
    struct pollfd pfd = { .fd = b->kick, .events = POLLIN };
    uint64_t count;

    return poll(&pfd, 1, 30 * 1000) == 1 &&
           read(b->kick, &count, sizeof(count)) == sizeof(count);
}

/* Put the answer in, and say that the request is done */
static bool answer(Backend *b, uint16_t head, const struct vring_desc *in,
                   uint8_t *bytes, uint32_t length, uint64_t *wild)
{
    struct vring_used_elem elem = { .id = cpu_to_le32(head) };
    const uint64_t slot = b->vring.used + offsetof(struct vring_used, ring) +
                          b->next % b->vring_size * sizeof(elem);
    uint16_t idx = cpu_to_le16(b->next + 1);

    length = MIN(length, le32_to_cpu(in->len));
    elem.len = cpu_to_le32(length);
    for (uint32_t i = 0; i < length; i++) {
        bytes[i] ^= BACKEND_KEY;
    }
    return copy(b, le64_to_cpu(in->addr), bytes, length, true, wild) &&
           copy(b, slot, &elem, sizeof(elem), true, wild) &&
           copy(b, b->vring.used + offsetof(struct vring_used, idx), &idx,
                sizeof(idx), true, wild);
}

bool backend_serve(Backend *b, uint64_t *wild)
{
    g_autofree uint8_t *bytes = g_malloc(BYTES_MAX);
    struct vring_desc desc = { 0 };
    uint32_t length = 0;
    uint16_t head, at;

    g_assert(wait_for_kick(b));
    if (!copy(b, b->vring.avail + offsetof(struct vring_avail, ring) +
              b->next % b->vring_size * sizeof(head), &head, sizeof(head),
              false, wild)) {
        return false;
    }
    at = head = le16_to_cpu(head);
    for (int i = 0; i < CHAIN_MAX; i++) {
        if (!copy(b, b->vring.desc + at * sizeof(desc), &desc, sizeof(desc),
                  false, wild)) {
            return false;
        }
        if (le16_to_cpu(desc.flags) & VRING_DESC_F_WRITE) {
            break;
        }
        g_assert_cmpuint(le32_to_cpu(desc.len), <=, BYTES_MAX - length);
        if (!copy(b, le64_to_cpu(desc.addr), bytes + length,
                  le32_to_cpu(desc.len), false, wild)) {
            return false;
        }
        length += le32_to_cpu(desc.len);
        at = le16_to_cpu(desc.next);
    }
    if (!answer(b, head, &desc, bytes, length, wild)) {
        return false;
    }
    b->next++;
    return true;
}
