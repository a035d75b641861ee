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
#include "qemu/cutils.h"
#include "qemu/log.h"
#include "pv-iommu.h"
#include "trace.h"

#define REQ_ANSWER(addr, member) \
    ((addr) + offsetof(struct pv_iommu_req, member))

QEMU_BUILD_BUG_ON(sizeof(struct pv_iommu_req) != PV_IOMMU_REQ_SIZE);
QEMU_BUILD_BUG_ON(offsetof(struct pv_iommu_req, segs) != 128);
QEMU_BUILD_BUG_ON(PV_IOMMU_MAX_RANGES != PV_IOMMU_MAX_SEGS);

/* What the host writes into the block */
typedef struct PvIommuAnswer {
    uint32_t status;
    uint32_t unmap_errors;
    uint32_t revoke_errors;
    uint64_t dma_addr;
    uint32_t group;
    uint32_t offers;
} PvIommuAnswer;

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

static bool knows_chunks(PvIommuState *s)
{
    return s->guest_features & PV_IOMMU_F_CHUNKS;
}

static uint32_t req_attach(PvIommuState *s, const struct pv_iommu_req *req)
{
    const uint32_t flags = le32_to_cpu(req->flags);

    if (flags != PV_IOMMU_ATTACH_WINDOW && flags != PV_IOMMU_ATTACH_BOUNCE &&
        flags != PV_IOMMU_ATTACH_BYPASS) {
        return PV_IOMMU_S_INVAL;
    }
    if (flags == PV_IOMMU_ATTACH_BYPASS) {
        return pv_iommu_exempt(s, le16_to_cpu(req->rid));
    }
    if (s->withhold || inject(s, PV_IOMMU_OP_ATTACH, PV_IOMMU_S_IO)) {
        return PV_IOMMU_S_IO;
    }
    return pv_iommu_attach(s, le16_to_cpu(req->rid), flags,
                           knows_chunks(s) ? le32_to_cpu(req->domain) : 0);
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
    pv_iommu_mapping_free(s, m, true);
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

static uint32_t req_probe(PvIommuState *s, const struct pv_iommu_req *req,
                          PvIommuAnswer *answer)
{
    if (req->flags) {
        return PV_IOMMU_S_INVAL;
    }
    return pv_iommu_probe(s, le16_to_cpu(req->rid), &answer->group,
                          &answer->offers);
}

static uint32_t req_grant(PvIommuState *s, const struct pv_iommu_req *req)
{
    const uint32_t flags = le32_to_cpu(req->flags);

    if (flags & ~PV_IOMMU_GRANT_KEEP) {
        return PV_IOMMU_S_INVAL;
    }
    if (inject(s, PV_IOMMU_OP_GRANT, PV_IOMMU_S_IO)) {
        return PV_IOMMU_S_IO;
    }
    return pv_iommu_grant(s, le32_to_cpu(req->domain), le32_to_cpu(req->first),
                          le32_to_cpu(req->count), flags);
}

static uint32_t req_revoke(PvIommuState *s, const struct pv_iommu_req *req)
{
    if (req->flags) {
        return PV_IOMMU_S_INVAL;
    }
    return pv_iommu_revoke(s, le32_to_cpu(req->domain), le32_to_cpu(req->first),
                           le32_to_cpu(req->count));
}

/* GRANT_RAM and REVOKE_RAM */
static uint32_t req_ram(PvIommuState *s, hwaddr addr,
                        const struct pv_iommu_req *req)
{
    const bool grant = le16_to_cpu(req->opcode) == PV_IOMMU_OP_GRANT_RAM;
    const uint32_t domain = le32_to_cpu(req->domain);
    const uint32_t nr = le16_to_cpu(req->nr_segs);
    struct pv_iommu_range wire[PV_IOMMU_MAX_RANGES];
    PvIommuRange ranges[PV_IOMMU_MAX_RANGES];

    if (!(s->guest_features & PV_IOMMU_F_DIRECT)) {
        return PV_IOMMU_S_OPCODE;
    }
    if (req->flags || !nr) {
        return PV_IOMMU_S_INVAL;
    }
    /* the caller has checked nr_segs */
    if (!read_block(addr, offsetof(struct pv_iommu_req, ranges),
                    nr * sizeof(wire[0]), wire)) {
        return PV_IOMMU_S_IO;
    }
    for (uint32_t i = 0; i < nr; i++) {
        ranges[i].first = le64_to_cpu(wire[i].first);
        ranges[i].count = le32_to_cpu(wire[i].count);
        ranges[i].flags = le32_to_cpu(wire[i].flags);
    }
    if (!grant) {
        return pv_iommu_revoke_ram(s, domain, nr, ranges);
    }
    if (inject(s, PV_IOMMU_OP_GRANT_RAM, PV_IOMMU_S_LIMIT)) {
        return PV_IOMMU_S_LIMIT;
    }
    return pv_iommu_grant_ram(s, domain, nr, ranges);
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

/* One of the revokes that ride along: of chunks, or of guest RAM */
static uint32_t riding_revoke(PvIommuState *s, uint32_t domain, uint32_t first,
                              uint32_t count, uint32_t flags)
{
    const PvIommuRange range = { .first = first, .count = count };

    if (flags == PV_IOMMU_REVOKE_RAM &&
        s->guest_features & PV_IOMMU_F_DIRECT) {
        return pv_iommu_revoke_ram(s, domain, 1, &range);
    }
    return flags ? PV_IOMMU_S_INVAL : pv_iommu_revoke(s, domain, first, count);
}

/* The revokes that ride along; returns how many of them failed */
static uint32_t req_revokes(PvIommuState *s, hwaddr addr, uint32_t nr)
{
    struct pv_iommu_revoke wire[PV_IOMMU_MAX_REVOKES];
    uint32_t errors = 0;

    if (!read_block(addr, offsetof(struct pv_iommu_req, revokes),
                    nr * sizeof(wire[0]), wire)) {
        return nr;
    }
    for (uint32_t i = 0; i < nr; i++) {
        uint32_t domain = le32_to_cpu(wire[i].domain);
        uint32_t first = le32_to_cpu(wire[i].first);
        uint32_t count = le32_to_cpu(wire[i].count);

        uint32_t flags = le32_to_cpu(wire[i].flags);

        if (riding_revoke(s, domain, first, count, flags)) {
            qemu_log_mask(LOG_GUEST_ERROR, "pv-iommu: bad revoke of %u %s "
                          "from %u on of domain %u\n", count,
                          flags ? "pages" : "chunks", first, domain);
            errors++;
        }
    }
    return errors;
}

static uint32_t dispatch_bounce(PvIommuState *s, hwaddr addr,
                                const struct pv_iommu_req *req,
                                PvIommuAnswer *answer)
{
    if (!(s->guest_features & PV_IOMMU_F_BOUNCE)) {
        return PV_IOMMU_S_UNSUPP;
    }
    switch (le16_to_cpu(req->opcode)) {
    case PV_IOMMU_OP_MAP:
        return req_map(s, addr, req, &answer->dma_addr);
    case PV_IOMMU_OP_UNMAP:
        return req_unmap(s, req);
    default:
        return req_sync(s, req);
    }
}

static uint32_t dispatch_chunks(PvIommuState *s, const struct pv_iommu_req *req,
                                PvIommuAnswer *answer)
{
    if (!knows_chunks(s)) {
        return PV_IOMMU_S_OPCODE;
    }
    switch (le16_to_cpu(req->opcode)) {
    case PV_IOMMU_OP_PROBE:
        return req_probe(s, req, answer);
    case PV_IOMMU_OP_GRANT:
        return req_grant(s, req);
    default:
        return req_revoke(s, req);
    }
}

static uint32_t dispatch(PvIommuState *s, hwaddr addr,
                         const struct pv_iommu_req *req, PvIommuAnswer *answer)
{
    const uint32_t flags = le32_to_cpu(req->flags);

    switch (le16_to_cpu(req->opcode)) {
    case PV_IOMMU_OP_NOP:
        return flags ? PV_IOMMU_S_INVAL : PV_IOMMU_S_OK;
    case PV_IOMMU_OP_ATTACH:
        return req_attach(s, req);
    case PV_IOMMU_OP_DETACH:
        return req_detach(s, le16_to_cpu(req->rid), flags);
    case PV_IOMMU_OP_MAP:
    case PV_IOMMU_OP_UNMAP:
    case PV_IOMMU_OP_SYNC:
        return dispatch_bounce(s, addr, req, answer);
    case PV_IOMMU_OP_PROBE:
    case PV_IOMMU_OP_GRANT:
    case PV_IOMMU_OP_REVOKE:
        return dispatch_chunks(s, req, answer);
    case PV_IOMMU_OP_GRANT_RAM:
    case PV_IOMMU_OP_REVOKE_RAM:
        return req_ram(s, addr, req);
    default:
        return PV_IOMMU_S_OPCODE;
    }
}

/* To a guest that does not know chunks, their part of the head is reserved */
static bool chunk_part_is_good(PvIommuState *s, const struct pv_iommu_req *req)
{
    const size_t start = offsetof(struct pv_iommu_req, domain);
    const size_t end = offsetof(struct pv_iommu_req, reserved);

    if (!knows_chunks(s)) {
        return buffer_is_zero((const uint8_t *)req + start, end - start);
    }
    return le16_to_cpu(req->nr_revokes) <= PV_IOMMU_MAX_REVOKES &&
           !req->reserved_revokes;
}

static bool has_list(PvIommuState *s, uint32_t opcode)
{
    return opcode == PV_IOMMU_OP_MAP ||
           (s->guest_features & PV_IOMMU_F_DIRECT &&
            (opcode == PV_IOMMU_OP_GRANT_RAM ||
             opcode == PV_IOMMU_OP_REVOKE_RAM));
}

/* The head of a block is judged as a whole before any part is acted on */
static bool head_is_good(PvIommuState *s, const struct pv_iommu_req *req)
{
    const uint32_t nr_segs = le16_to_cpu(req->nr_segs);

    return nr_segs <= PV_IOMMU_MAX_SEGS &&
           (!nr_segs || has_list(s, le16_to_cpu(req->opcode))) &&
           le16_to_cpu(req->nr_unmaps) <= PV_IOMMU_MAX_UNMAPS &&
           chunk_part_is_good(s, req) &&
           buffer_is_zero(req->reserved, sizeof(req->reserved));
}

/* A device that shall keep all memory is said to before that is taken away */
static bool comes_before_enable(const struct pv_iommu_req *req)
{
    return le16_to_cpu(req->opcode) == PV_IOMMU_OP_ATTACH &&
           le32_to_cpu(req->flags) == PV_IOMMU_ATTACH_BYPASS;
}

/* Judge the request and do it */
static void perform(PvIommuState *s, hwaddr addr,
                    const struct pv_iommu_req *req, PvIommuAnswer *answer)
{
    answer->unmap_errors = le16_to_cpu(req->nr_unmaps);
    answer->revoke_errors = knows_chunks(s) ? le16_to_cpu(req->nr_revokes) : 0;
    if (!s->enabled && !comes_before_enable(req)) {
        answer->status = PV_IOMMU_S_STATE;
    } else if (!head_is_good(s, req)) {
        answer->status = PV_IOMMU_S_INVAL;
    } else {
        answer->unmap_errors = req_unmaps(s, addr, answer->unmap_errors);
        answer->revoke_errors = req_revokes(s, addr, answer->revoke_errors);
        answer->status =
            pv_iommu_hostile_pretends(s, le16_to_cpu(req->opcode)) ?
            PV_IOMMU_S_OK : dispatch(s, addr, req, answer);
    }
}

static void put32(hwaddr addr, uint32_t val)
{
    address_space_stl_le(&address_space_memory, addr, val,
                         MEMTXATTRS_UNSPECIFIED, NULL);
}

/* The block is RAM still: the big lock is held all the time */
static void put_answer(PvIommuState *s, hwaddr addr, uint32_t opcode,
                       const PvIommuAnswer *answer)
{
    if (answer->status == PV_IOMMU_S_OK && opcode == PV_IOMMU_OP_MAP) {
        address_space_stq_le(&address_space_memory, REQ_ANSWER(addr, dma_addr),
                             answer->dma_addr, MEMTXATTRS_UNSPECIFIED, NULL);
    }
    if (answer->status == PV_IOMMU_S_OK && opcode == PV_IOMMU_OP_PROBE) {
        put32(REQ_ANSWER(addr, group), answer->group);
        put32(REQ_ANSWER(addr, offers), answer->offers);
    }
    if (knows_chunks(s)) {
        put32(REQ_ANSWER(addr, revoke_errors), answer->revoke_errors);
    }
    put32(REQ_ANSWER(addr, unmap_errors), answer->unmap_errors);
    put32(REQ_ANSWER(addr, status), answer->status);
}

void pv_iommu_request(PvIommuState *s, uint32_t pfn)
{
    const hwaddr addr = (hwaddr)pfn << PV_IOMMU_REQ_SHIFT;
    struct pv_iommu_req req;        /* of which the head alone is filled */
    PvIommuAnswer answer = { 0 };

    if (!pv_iommu_is_ram(s, addr, PV_IOMMU_REQ_SIZE) ||
        !read_block(addr, 0, offsetof(struct pv_iommu_req, segs), &req)) {
        trace_pv_iommu_req_ignored(addr);
        qemu_log_mask(LOG_GUEST_ERROR, "pv-iommu: request block at 0x%"
                      HWADDR_PRIx " is not RAM\n", addr);
        s->errors++;
        return;
    }
    trace_pv_iommu_req(addr, le16_to_cpu(req.opcode), le16_to_cpu(req.rid),
                       le32_to_cpu(req.flags), le16_to_cpu(req.nr_unmaps));

    perform(s, addr, &req, &answer);
    if (answer.status != PV_IOMMU_S_OK) {
        qemu_log_mask(LOG_GUEST_ERROR, "pv-iommu: request %u for device 0x%04x "
                      "failed, status %u\n", le16_to_cpu(req.opcode),
                      le16_to_cpu(req.rid), answer.status);
    }
    s->errors += answer.status != PV_IOMMU_S_OK || answer.unmap_errors ||
                 answer.revoke_errors;

    if (pv_iommu_hostile_silent(s)) {
        return;
    }
    put_answer(s, addr, le16_to_cpu(req.opcode), &answer);
    pv_iommu_hostile_block(s, addr);
    trace_pv_iommu_req_done(addr, answer.status, answer.dma_addr,
                            answer.unmap_errors, answer.revoke_errors);
}
