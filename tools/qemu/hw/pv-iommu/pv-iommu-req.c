/*
 * pv-iommu: requests
 *
 * A request comes from a guest that may be hostile. Each byte of its block is
 * read once, into memory of ours; then it is judged; then it is acted on. No
 * more than the answer is written back.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "exec/address-spaces.h"
#include "qemu/cutils.h"
#include "qemu/log.h"
#include "pv-iommu.h"
#include "trace.h"

#define REQ_ANSWER(addr, member) \
    ((addr) + offsetof(struct pv_iommu_req, member))

QEMU_BUILD_BUG_ON(sizeof(struct pv_iommu_req) != PV_IOMMU_REQ_SIZE);
QEMU_BUILD_BUG_ON(offsetof(struct pv_iommu_req, segs) != 128);

/* All ones below a power of two */
static bool is_low_mask(uint64_t mask)
{
    return !(mask & (mask + 1));
}

static bool read_block(hwaddr addr, size_t offset, size_t size, void *buf)
{
    return !size ||
           address_space_read(&address_space_memory, addr + offset,
                              MEMTXATTRS_UNSPECIFIED, buf, size) == MEMTX_OK;
}

/*
 * x-error-rate=N: fail one in N of the requests that are in order and of a
 * kind that x-error-ops names.
 */
static bool inject(PvIommuState *s, uint32_t opcode, uint32_t status)
{
    if (!s->error_rate || !(s->error_ops & 1 << opcode) ||
        ++s->error_clock < s->error_rate) {
        return false;
    }
    s->error_clock = 0;
    trace_pv_iommu_req_injected(opcode, status);
    return true;
}

static uint32_t req_attach(PvIommuState *s, uint16_t rid, uint32_t flags)
{
    if (flags != PV_IOMMU_ATTACH_WINDOW && flags != PV_IOMMU_ATTACH_BOUNCE &&
        flags != PV_IOMMU_ATTACH_BYPASS) {
        return PV_IOMMU_S_INVAL;
    }
    if (flags == PV_IOMMU_ATTACH_BYPASS) {
        return pv_iommu_exempt(s, rid);
    }
    if (s->withhold || inject(s, PV_IOMMU_OP_ATTACH, PV_IOMMU_S_IO)) {
        return PV_IOMMU_S_IO;
    }
    return pv_iommu_attach(s, rid, flags);
}

static uint32_t req_detach(PvIommuState *s, uint16_t rid, uint32_t flags)
{
    return flags ? PV_IOMMU_S_INVAL : pv_iommu_detach(s, rid);
}

/* The device of a MAP, UNMAP or SYNC */
static uint32_t bounce_device(PvIommuState *s, uint16_t rid,
                              PvIommuDevice **dev)
{
    *dev = pv_iommu_find_device(s, rid);
    if (!*dev) {
        return PV_IOMMU_S_STATE;
    }
    return (*dev)->mode == PV_IOMMU_ATTACH_BOUNCE ? PV_IOMMU_S_OK
                                                  : PV_IOMMU_S_UNSUPP;
}

static uint32_t req_map(PvIommuState *s, hwaddr addr,
                        const struct pv_iommu_req *req, uint64_t *dma_addr)
{
    const uint16_t rid = le16_to_cpu(req->rid);
    const uint32_t dirs = le32_to_cpu(req->flags);
    const uint32_t nr_segs = le16_to_cpu(req->nr_segs);
    const uint64_t length = le64_to_cpu(req->length);
    const uint64_t align_mask = le64_to_cpu(req->align_mask);
    const uint64_t boundary_mask = le64_to_cpu(req->boundary_mask);
    struct pv_iommu_seg wire[PV_IOMMU_MAX_SEGS];
    PvIommuSeg segs[PV_IOMMU_MAX_SEGS];
    PvIommuDevice *dev;
    uint32_t status, i;
    uint64_t offset;

    status = bounce_device(s, rid, &dev);
    if (status) {
        return status;
    }
    if (!dirs || dirs & ~PV_IOMMU_DIRS || req->dma_addr || !nr_segs ||
        align_mask < PV_IOMMU_GRANULE - 1 || !is_low_mask(align_mask) ||
        !is_low_mask(boundary_mask)) {
        return PV_IOMMU_S_INVAL;
    }

    /* the caller has checked nr_segs */
    if (!read_block(addr, offsetof(struct pv_iommu_req, segs),
                    nr_segs * sizeof(wire[0]), wire)) {
        return PV_IOMMU_S_IO;
    }
    for (i = 0; i < nr_segs; i++) {
        segs[i].addr = le64_to_cpu(wire[i].addr);
        segs[i].len = le32_to_cpu(wire[i].len);
        segs[i].pos = le32_to_cpu(wire[i].pos);
    }

    status = pv_iommu_map_check(s, length, nr_segs, segs);
    if (status) {
        return status;
    }
    if (inject(s, PV_IOMMU_OP_MAP, PV_IOMMU_S_NOSPC) ||
        !pv_iommu_arena_find_room(s, length, le64_to_cpu(req->dma_limit),
                                  align_mask, boundary_mask, &offset)) {
        return PV_IOMMU_S_NOSPC;
    }

    pv_iommu_mapping_fill(s, pv_iommu_mapping_new(s, dev, offset, length, dirs,
                                                  nr_segs, segs));
    *dma_addr = s->arena_base + offset;
    return PV_IOMMU_S_OK;
}

/* A good handle is dead afterwards, whatever becomes of the copy */
static uint32_t unmap(PvIommuState *s, uint16_t rid, uint64_t dma_addr,
                      bool copy)
{
    PvIommuMapping *m;
    PvIommuDevice *dev;
    uint32_t status;

    status = bounce_device(s, rid, &dev);
    if (status) {
        return status;
    }
    m = pv_iommu_mapping_find(s, dev, dma_addr);
    if (!m) {
        return PV_IOMMU_S_HANDLE;
    }
    if (copy && !(m->dirs & PV_IOMMU_DIR_FROM_DEVICE)) {
        return PV_IOMMU_S_INVAL;
    }

    if (copy) {
        status = inject(s, PV_IOMMU_OP_UNMAP, PV_IOMMU_S_IO) ?
                 PV_IOMMU_S_IO :
                 pv_iommu_mapping_copy(s, m, 0, m->length, false);
    }
    pv_iommu_mapping_free(s, m);
    return status;
}

static uint32_t req_unmap(PvIommuState *s, const struct pv_iommu_req *req)
{
    const uint32_t flags = le32_to_cpu(req->flags);

    if (flags & ~PV_IOMMU_DIR_FROM_DEVICE) {
        return PV_IOMMU_S_INVAL;
    }
    return unmap(s, le16_to_cpu(req->rid), le64_to_cpu(req->dma_addr), flags);
}

static uint32_t req_sync(PvIommuState *s, const struct pv_iommu_req *req)
{
    const uint32_t dir = le32_to_cpu(req->flags);
    const uint64_t offset = le64_to_cpu(req->offset);
    const uint64_t length = le64_to_cpu(req->length);
    PvIommuMapping *m;
    PvIommuDevice *dev;
    uint32_t status;

    status = bounce_device(s, le16_to_cpu(req->rid), &dev);
    if (status) {
        return status;
    }
    if (dir != PV_IOMMU_DIR_TO_DEVICE && dir != PV_IOMMU_DIR_FROM_DEVICE) {
        return PV_IOMMU_S_INVAL;
    }
    m = pv_iommu_mapping_find(s, dev, le64_to_cpu(req->dma_addr));
    if (!m) {
        return PV_IOMMU_S_HANDLE;
    }
    if (!(m->dirs & dir) || !length ||
        offset >= m->length || length > m->length - offset) {
        return PV_IOMMU_S_INVAL;
    }
    if (inject(s, PV_IOMMU_OP_SYNC, PV_IOMMU_S_IO)) {
        return PV_IOMMU_S_IO;
    }
    return pv_iommu_mapping_copy(s, m, offset, length,
                                 dir == PV_IOMMU_DIR_TO_DEVICE);
}

/* The unmaps that ride along; returns how many of them failed */
static uint32_t req_unmaps(PvIommuState *s, hwaddr addr, uint32_t nr)
{
    struct pv_iommu_unmap wire[PV_IOMMU_MAX_UNMAPS];
    uint32_t errors = 0;
    uint32_t i;

    if (!read_block(addr, offsetof(struct pv_iommu_req, unmaps),
                    nr * sizeof(wire[0]), wire)) {
        return nr;
    }
    for (i = 0; i < nr; i++) {
        uint64_t dma_addr = le64_to_cpu(wire[i].dma_addr);
        uint16_t rid = le16_to_cpu(wire[i].rid);

        if (!buffer_is_zero(wire[i].reserved, sizeof(wire[i].reserved)) ||
            unmap(s, rid, dma_addr, false) ||
            inject(s, PV_IOMMU_OP_NOP, PV_IOMMU_S_IO)) {
            qemu_log_mask(LOG_GUEST_ERROR, "pv-iommu: bad unmap of 0x%" PRIx64
                          " of device 0x%04x\n", dma_addr, rid);
            errors++;
        }
    }
    return errors;
}

static uint32_t req_dispatch(PvIommuState *s, hwaddr addr,
                             const struct pv_iommu_req *req,
                             uint64_t *dma_addr)
{
    const uint16_t rid = le16_to_cpu(req->rid);
    const uint32_t flags = le32_to_cpu(req->flags);

    switch (le16_to_cpu(req->opcode)) {
    case PV_IOMMU_OP_NOP:
        return flags ? PV_IOMMU_S_INVAL : PV_IOMMU_S_OK;
    case PV_IOMMU_OP_ATTACH:
        return req_attach(s, rid, flags);
    case PV_IOMMU_OP_DETACH:
        return req_detach(s, rid, flags);
    case PV_IOMMU_OP_MAP:
    case PV_IOMMU_OP_UNMAP:
    case PV_IOMMU_OP_SYNC:
        if (!(s->guest_features & PV_IOMMU_F_BOUNCE)) {
            return PV_IOMMU_S_UNSUPP;
        }
        break;
    default:
        return PV_IOMMU_S_OPCODE;
    }

    switch (le16_to_cpu(req->opcode)) {
    case PV_IOMMU_OP_MAP:
        return req_map(s, addr, req, dma_addr);
    case PV_IOMMU_OP_UNMAP:
        return req_unmap(s, req);
    default:
        return req_sync(s, req);
    }
}

/* The head of a block is judged as a whole before any part is acted on */
static bool head_is_good(const struct pv_iommu_req *req)
{
    const uint32_t nr_segs = le16_to_cpu(req->nr_segs);

    return nr_segs <= PV_IOMMU_MAX_SEGS &&
           (!nr_segs || le16_to_cpu(req->opcode) == PV_IOMMU_OP_MAP) &&
           le16_to_cpu(req->nr_unmaps) <= PV_IOMMU_MAX_UNMAPS &&
           buffer_is_zero(req->reserved, sizeof(req->reserved));
}

void pv_iommu_request(PvIommuState *s, uint32_t pfn)
{
    const hwaddr addr = (hwaddr)pfn << PV_IOMMU_REQ_SHIFT;
    struct pv_iommu_req req;        /* of which the head alone is filled */
    uint32_t unmap_errors, status;
    uint64_t dma_addr = 0;

    if (!pv_iommu_is_ram(addr, PV_IOMMU_REQ_SIZE) ||
        !read_block(addr, 0, offsetof(struct pv_iommu_req, segs), &req)) {
        trace_pv_iommu_req_ignored(addr);
        qemu_log_mask(LOG_GUEST_ERROR, "pv-iommu: request block at 0x%"
                      HWADDR_PRIx " is not RAM\n", addr);
        s->errors++;
        return;
    }
    trace_pv_iommu_req(addr, le16_to_cpu(req.opcode), le16_to_cpu(req.rid),
                       le32_to_cpu(req.flags), le16_to_cpu(req.nr_unmaps));

    unmap_errors = le16_to_cpu(req.nr_unmaps);
    if (!s->enabled && !(le16_to_cpu(req.opcode) == PV_IOMMU_OP_ATTACH &&
                         le32_to_cpu(req.flags) == PV_IOMMU_ATTACH_BYPASS)) {
        status = PV_IOMMU_S_STATE;
    } else if (!head_is_good(&req)) {
        status = PV_IOMMU_S_INVAL;
    } else {
        unmap_errors = req_unmaps(s, addr, unmap_errors);
        status = req_dispatch(s, addr, &req, &dma_addr);
    }

    if (status != PV_IOMMU_S_OK) {
        qemu_log_mask(LOG_GUEST_ERROR, "pv-iommu: request %u for device 0x%04x "
                      "failed, status %u\n", le16_to_cpu(req.opcode),
                      le16_to_cpu(req.rid), status);
    }
    s->errors += status != PV_IOMMU_S_OK || unmap_errors;

    /* the block is RAM still: the big lock is held all the time */
    if (status == PV_IOMMU_S_OK &&
        le16_to_cpu(req.opcode) == PV_IOMMU_OP_MAP) {
        address_space_stq_le(&address_space_memory, REQ_ANSWER(addr, dma_addr),
                             dma_addr, MEMTXATTRS_UNSPECIFIED, NULL);
    }
    address_space_stl_le(&address_space_memory, REQ_ANSWER(addr, unmap_errors),
                         unmap_errors, MEMTXATTRS_UNSPECIFIED, NULL);
    address_space_stl_le(&address_space_memory, REQ_ANSWER(addr, status),
                         status, MEMTXATTRS_UNSPECIFIED, NULL);
    trace_pv_iommu_req_done(addr, status, dma_addr, unmap_errors);
}
