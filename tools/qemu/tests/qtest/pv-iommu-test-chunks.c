/*
 * QTest testcase for the pv-iommu device: chunks and domains
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "libqos/libqos-malloc.h"
#include "libqos/virtio.h"
#include "libqos/virtio-pci.h"
#include "standard-headers/linux/virtio_config.h"
#include "pv-iommu-test.h"

#define PROPS           ",boot-bypass=off,hw-iommu=on,arena-size=1M"
#define NR_CHUNKS       (WINDOW_SIZE / CHUNK_SIZE)
#define DMA(chunk)      (WINDOW_DMA + (uint64_t)(chunk) * CHUNK_SIZE)
#define ADDR(chunk)     (WINDOW_ADDR + (uint64_t)(chunk) * CHUNK_SIZE)

/* Numbers that a guest may choose */
#define DOM_A           7
#define DOM_B           UINT32_MAX

static Vm *vm_chunks(const char *more)
{
    g_autofree char *props = g_strdup_printf(PROPS "%s", more);
    Vm *vm = vm_start(props);

    enable_chunks(vm);
    return vm;
}

static uint64_t granted(Vm *vm)
{
    return reg64(vm, PV_IOMMU_REG_WINDOW_GRANTED) / CHUNK_SIZE;
}

static bool reaches(Vm *vm, int edu, uint32_t chunk)
{
    /* both ends of it */
    bool start = dma_reaches(vm, &vm->edu[edu], DMA(chunk), ADDR(chunk));
    bool end = dma_reaches(vm, &vm->edu[edu], DMA(chunk + 1) - 64,
                           ADDR(chunk + 1) - 64);

    g_assert(start == end);
    return start;
}

/* A in chunks 2 to 4 with edu0, B in 5 with edu1, their contents as told */
static Vm *vm_two_domains(const char *more)
{
    Vm *vm = vm_chunks(more);

    g_assert_cmpuint(attach_to(vm, RID, DOM_A), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(attach_to(vm, RID2, DOM_B), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_to(vm, DOM_A, 2, 3, 0), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_to(vm, DOM_B, 5, 1, 0), ==, PV_IOMMU_S_OK);
    fill(vm, WINDOW_ADDR, WINDOW_SIZE, 0x21);
    return vm;
}

/* It is all as vm_two_domains() has left it */
static void check_two_domains(Vm *vm)
{
    uint64_t faults = reg64(vm, PV_IOMMU_REG_FAULT_COUNT);

    g_assert_cmpuint(granted(vm), ==, 4);
    check(vm, WINDOW_ADDR, WINDOW_SIZE, WINDOW_ADDR, 0x21);
    for (uint32_t i = 1; i < 7; i++) {
        bool a = i >= 2 && i <= 4, b = i == 5;

        dma_load(vm, &vm->edu[0], DMA(i), 64);
        faults += !a;
        g_assert_cmpuint(reg64(vm, PV_IOMMU_REG_FAULT_COUNT), ==, faults);
        dma_load(vm, &vm->edu[1], DMA(i), 64);
        faults += !b;
        g_assert_cmpuint(reg64(vm, PV_IOMMU_REG_FAULT_COUNT), ==, faults);
    }
}

static void test_probe(void)
{
    Vm *vm = vm_chunks("");
    struct pv_iommu_req req;
    uint32_t group, group2, offers;

    g_assert_cmpuint(probe(vm, RID, &group, &offers), ==, PV_IOMMU_S_OK);
    g_assert_cmphex(offers, ==, PV_IOMMU_PROBE_WINDOW | PV_IOMMU_PROBE_BOUNCE);
    g_assert_cmpuint(probe(vm, RID2, &group2, &offers), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(group, !=, group2);
    g_assert_cmpuint(attach_to(vm, RID, DOM_A), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(probe(vm, RID, &group2, &offers), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(group, ==, group2);

    g_assert_cmpuint(simple(vm, PV_IOMMU_OP_PROBE, RID, 1), ==,
                     PV_IOMMU_S_INVAL);
    g_assert_cmpuint(simple(vm, PV_IOMMU_OP_PROBE, RID_SELF, 0), ==,
                     PV_IOMMU_S_NODEV);
    g_assert_cmpuint(simple(vm, PV_IOMMU_OP_PROBE, RID_NONE, 0), ==,
                     PV_IOMMU_S_NODEV);
    g_assert_cmpuint(simple(vm, PV_IOMMU_OP_PROBE, RID_NOBUS, 0), ==,
                     PV_IOMMU_S_NODEV);

    /* what was not accepted is not offered */
    set_reg(vm, PV_IOMMU_REG_CONTROL, PV_IOMMU_CTL_RESET);
    set_features(vm, PV_IOMMU_F_CHUNKS | PV_IOMMU_F_BOUNCE);
    g_assert_cmpuint(probe(vm, RID, &group2, &offers), ==, PV_IOMMU_S_OK);
    g_assert_cmphex(offers, ==, PV_IOMMU_PROBE_BOUNCE);
    g_assert_cmpuint(group, ==, group2);

    /* and what needs chunks is not known without them */
    set_reg(vm, PV_IOMMU_REG_CONTROL, PV_IOMMU_CTL_RESET);
    set_features(vm, PV_IOMMU_F_WINDOW);
    for (int op = PV_IOMMU_OP_PROBE; op <= PV_IOMMU_OP_REVOKE_RAM; op++) {
        req_init(&req, op, RID, 0);
        g_assert_cmpuint(submit(vm, &req), ==, PV_IOMMU_S_OPCODE);
    }
    vm_stop(vm);

    vm = vm_chunks(",isolation=off");
    g_assert_cmpuint(probe(vm, RID, &group, &offers), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(probe(vm, RID2, &group2, &offers), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(group, ==, group2);
    vm_stop(vm);
}

static void test_grant(void)
{
    Vm *vm = vm_chunks("");

    /* nothing to begin with, attached or not */
    g_assert_cmpuint(granted(vm), ==, 0);
    g_assert(!reaches(vm, 0, 0));
    g_assert_cmpuint(attach_to(vm, RID, DOM_A), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(granted(vm), ==, 0);
    for (uint32_t i = 0; i < NR_CHUNKS; i++) {
        g_assert(!reaches(vm, 0, i));
    }

    g_assert_cmpuint(grant_to(vm, DOM_A, 0, 1, 0), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_to(vm, DOM_A, NR_CHUNKS - 2, 2, 0), ==,
                     PV_IOMMU_S_OK);
    g_assert_cmpuint(granted(vm), ==, 3);
    for (uint32_t i = 0; i < NR_CHUNKS; i++) {
        g_assert(reaches(vm, 0, i) == (i == 0 || i >= NR_CHUNKS - 2));
    }

    /* one access across the border of two that are granted, and of one */
    fill(vm, ADDR(NR_CHUNKS - 1) - 32, 64, 3);
    dma_copy(vm, &vm->edu[0], DMA(NR_CHUNKS - 1) - 32, DMA(0), 64);
    check(vm, ADDR(0), 64, ADDR(NR_CHUNKS - 1) - 32, 3);
    fill(vm, ADDR(1), 64, 4);
    dma_store(vm, &vm->edu[0], DMA(1) - 32, 64);
    check(vm, ADDR(1) - 32, 32, ADDR(NR_CHUNKS - 1) - 32, 3);
    check(vm, ADDR(1), 64, ADDR(1), 4);

    /* a second device of the domain reaches the same */
    g_assert_cmpuint(attach_to(vm, RID2, DOM_A), ==, PV_IOMMU_S_OK);
    g_assert(reaches(vm, 1, 0));
    g_assert(!reaches(vm, 1, 1));
    g_assert_cmpuint(grant_to(vm, DOM_A, 1, 1, 0), ==, PV_IOMMU_S_OK);
    g_assert(reaches(vm, 0, 1));
    g_assert(reaches(vm, 1, 1));

    /* revoked: out of reach of both, zero, and the rest is as it was */
    fill(vm, WINDOW_ADDR, WINDOW_SIZE, 5);
    g_assert_cmpuint(revoke_from(vm, DOM_A, 1, 1), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(granted(vm), ==, 3);
    check_zero(vm, ADDR(1), CHUNK_SIZE);
    check(vm, ADDR(0), CHUNK_SIZE, ADDR(0), 5);
    check(vm, ADDR(2), WINDOW_SIZE - 2 * CHUNK_SIZE, ADDR(2), 5);
    g_assert(!reaches(vm, 0, 1));
    g_assert(!reaches(vm, 1, 1));
    g_assert(reaches(vm, 1, 0));

    /* the domain lives on with one device, and ends with none */
    g_assert_cmpuint(detach(vm, RID), ==, PV_IOMMU_S_OK);
    g_assert(!reaches(vm, 0, 0));
    g_assert(reaches(vm, 1, 0));
    g_assert_cmpuint(detach(vm, RID2), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(granted(vm), ==, 0);
    g_assert_cmpuint(grant_to(vm, DOM_A, 1, 1, 0), ==, PV_IOMMU_S_DOMAIN);
    vm_stop(vm);
}

/* Each with its error, and nothing changed */
static void test_bad(void)
{
    static const struct {
        uint32_t domain, first, count, flags, status;
    } grants[] = {
        { DOM_A, 8, 1, 1U << 1, PV_IOMMU_S_INVAL },
        { DOM_A, 8, 1, 1U << 31, PV_IOMMU_S_INVAL },
        { 0, 8, 1, 0, PV_IOMMU_S_DOMAIN },
        { DOM_A + 1, 8, 1, 0, PV_IOMMU_S_DOMAIN },
        { DOM_A, 8, 0, 0, PV_IOMMU_S_CHUNK },
        { DOM_A, NR_CHUNKS, 1, 0, PV_IOMMU_S_CHUNK },
        { DOM_A, NR_CHUNKS - 1, 2, 0, PV_IOMMU_S_CHUNK },
        { DOM_A, UINT32_MAX, 1, 0, PV_IOMMU_S_CHUNK },
        { DOM_A, UINT32_MAX, UINT32_MAX, 0, PV_IOMMU_S_CHUNK },
        { DOM_A, 8, UINT32_MAX, 0, PV_IOMMU_S_CHUNK },
        { DOM_A, 8, UINT32_MAX - 7, 0, PV_IOMMU_S_CHUNK },   /* wraps to 0 */
        { DOM_A, 0, NR_CHUNKS, 0, PV_IOMMU_S_CHUNK },
        { DOM_A, 2, 1, 0, PV_IOMMU_S_CHUNK },       /* twice */
        { DOM_A, 1, 2, 0, PV_IOMMU_S_CHUNK },       /* the last of them */
        { DOM_A, 4, 3, PV_IOMMU_GRANT_KEEP, PV_IOMMU_S_CHUNK },
        { DOM_A, 5, 1, 0, PV_IOMMU_S_CHUNK },       /* B's */
        { DOM_B, 4, 1, PV_IOMMU_GRANT_KEEP, PV_IOMMU_S_CHUNK },
    }, revokes[] = {
        { DOM_A, 2, 1, 1, PV_IOMMU_S_INVAL },
        { 0, 2, 1, 0, PV_IOMMU_S_DOMAIN },
        { DOM_A, 2, 0, 0, PV_IOMMU_S_CHUNK },
        { DOM_A, 2, 4, 0, PV_IOMMU_S_CHUNK },       /* the last is B's */
        { DOM_A, 1, 2, 0, PV_IOMMU_S_CHUNK },       /* the first nobody's */
        { DOM_A, 8, 1, 0, PV_IOMMU_S_CHUNK },
        { DOM_A, 5, 1, 0, PV_IOMMU_S_CHUNK },
        { DOM_B, 2, 1, 0, PV_IOMMU_S_CHUNK },
        { DOM_A, NR_CHUNKS, 1, 0, PV_IOMMU_S_CHUNK },
        { DOM_A, 2, UINT32_MAX, 0, PV_IOMMU_S_CHUNK },
        { DOM_A, 2, UINT32_MAX - 1, 0, PV_IOMMU_S_CHUNK },
        { DOM_A, UINT32_MAX, 2, 0, PV_IOMMU_S_CHUNK },
    };
    Vm *vm = vm_two_domains("");
    struct pv_iommu_req req;

    check_two_domains(vm);
    for (int i = 0; i < ARRAY_SIZE(grants); i++) {
        g_test_message("grant %d", i);
        g_assert_cmpuint(grant_to(vm, grants[i].domain, grants[i].first,
                               grants[i].count, grants[i].flags), ==,
                         grants[i].status);
        check_two_domains(vm);
    }
    for (int i = 0; i < ARRAY_SIZE(revokes); i++) {
        g_test_message("revoke %d", i);
        chunks_init(&req, PV_IOMMU_OP_REVOKE, revokes[i].domain,
                    revokes[i].first, revokes[i].count, revokes[i].flags);
        g_assert_cmpuint(submit(vm, &req), ==, revokes[i].status);
        check_two_domains(vm);
    }

    /* a head that is wrong */
    chunks_init(&req, PV_IOMMU_OP_REVOKE, DOM_A, 2, 1, 0);
    req.nr_revokes = cpu_to_le16(PV_IOMMU_MAX_REVOKES + 1);
    g_assert_cmpuint(submit(vm, &req), ==, PV_IOMMU_S_INVAL);
    g_assert_cmpuint(le32_to_cpu(req.revoke_errors), ==,
                     PV_IOMMU_MAX_REVOKES + 1);
    chunks_init(&req, PV_IOMMU_OP_REVOKE, DOM_A, 2, 1, 0);
    req.reserved_revokes = cpu_to_le16(1);
    g_assert_cmpuint(submit(vm, &req), ==, PV_IOMMU_S_INVAL);
    chunks_init(&req, PV_IOMMU_OP_REVOKE, DOM_A, 2, 1, 0);
    req.reserved[0] = cpu_to_le32(1);
    g_assert_cmpuint(submit(vm, &req), ==, PV_IOMMU_S_INVAL);
    check_two_domains(vm);

    /* a device is in one domain, and in one mode */
    g_assert_cmpuint(attach_to(vm, RID, DOM_B), ==, PV_IOMMU_S_STATE);
    g_assert_cmpuint(attach_to(vm, RID_NONE, DOM_A), ==, PV_IOMMU_S_NODEV);
    check_two_domains(vm);

    /* not enabled: nothing at all */
    set_reg(vm, PV_IOMMU_REG_CONTROL, PV_IOMMU_CTL_RESET);
    g_assert_cmpuint(grant_to(vm, DOM_A, 2, 1, 0), ==, PV_IOMMU_S_STATE);
    g_assert_cmpuint(simple(vm, PV_IOMMU_OP_PROBE, RID, 0), ==,
                     PV_IOMMU_S_STATE);
    vm_stop(vm);
}

static void test_limit(void)
{
    Vm *vm = vm_chunks(",limit=400K");      /* three chunks, and a bit */

    g_assert_cmpuint(attach_to(vm, RID, DOM_A), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(attach_to(vm, RID2, DOM_B), ==, PV_IOMMU_S_OK);
    g_assert_cmphex(reg64(vm, PV_IOMMU_REG_WINDOW_LIMIT), ==, 3 * CHUNK_SIZE);
    g_assert_cmphex(reg64(vm, PV_IOMMU_REG_WINDOW_SIZE), ==, WINDOW_SIZE);

    /* all domains together, all or nothing */
    g_assert_cmpuint(grant_to(vm, DOM_A, 0, 4, 0), ==, PV_IOMMU_S_LIMIT);
    g_assert_cmpuint(granted(vm), ==, 0);
    g_assert(!reaches(vm, 0, 0));
    g_assert_cmpuint(grant_to(vm, DOM_A, 0, 2, 0), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_to(vm, DOM_B, 2, 2, 0), ==, PV_IOMMU_S_LIMIT);
    g_assert_cmpuint(grant_to(vm, DOM_B, 2, 1, 0), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_to(vm, DOM_B, 3, 1, 0), ==, PV_IOMMU_S_LIMIT);
    g_assert_cmpuint(revoke_from(vm, DOM_A, 0, 1), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_to(vm, DOM_B, 3, 1, 0), ==, PV_IOMMU_S_OK);

    /* lowered while more is granted: that stays, and no more comes */
    set_prop(vm, "limit", CHUNK_SIZE);
    g_assert_cmphex(reg64(vm, PV_IOMMU_REG_WINDOW_LIMIT), ==, CHUNK_SIZE);
    g_assert_cmpuint(granted(vm), ==, 3);
    g_assert(reaches(vm, 0, 1));
    g_assert_cmpuint(grant_to(vm, DOM_A, 0, 1, 0), ==, PV_IOMMU_S_LIMIT);
    g_assert_cmpuint(revoke_from(vm, DOM_B, 2, 2), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_to(vm, DOM_A, 0, 1, 0), ==, PV_IOMMU_S_LIMIT);
    g_assert_cmpuint(revoke_from(vm, DOM_A, 1, 1), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_to(vm, DOM_A, 0, 1, 0), ==, PV_IOMMU_S_OK);

    /* one chunk at the least, the window at the most */
    set_prop(vm, "limit", 0);
    g_assert_cmphex(reg64(vm, PV_IOMMU_REG_WINDOW_LIMIT), ==, CHUNK_SIZE);
    set_prop(vm, "limit", UINT32_MAX);
    g_assert_cmphex(reg64(vm, PV_IOMMU_REG_WINDOW_LIMIT), ==, WINDOW_SIZE);
    g_assert_cmpuint(prop(vm, "limit"), ==, WINDOW_SIZE);
    g_assert_cmpuint(grant_to(vm, DOM_A, 1, NR_CHUNKS - 1, 0), ==,
                     PV_IOMMU_S_OK);
    vm_stop(vm);
}

static void revoke_set(struct pv_iommu_req *req, int i, uint32_t domain,
                       uint32_t first, uint32_t count)
{
    req->revokes[i].domain = cpu_to_le32(domain);
    req->revokes[i].first = cpu_to_le32(first);
    req->revokes[i].count = cpu_to_le32(count);
}

static void test_riding_revokes(void)
{
    Vm *vm = vm_two_domains(",limit=512K");
    struct pv_iommu_req req;

    /* bad ones among good ones; the good ones are done */
    req_init(&req, PV_IOMMU_OP_NOP, 0, 0);
    req.nr_revokes = cpu_to_le16(6);
    revoke_set(&req, 0, DOM_A, 2, 1);
    revoke_set(&req, 1, DOM_A, 2, 1);           /* twice */
    revoke_set(&req, 2, DOM_A, 5, 1);           /* B's */
    revoke_set(&req, 3, DOM_A + 1, 3, 1);
    revoke_set(&req, 4, DOM_A, 4, 1);
    req.revokes[4].flags = cpu_to_le32(1);
    revoke_set(&req, 5, DOM_B, 5, 1);
    g_assert_cmpuint(submit(vm, &req), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(le32_to_cpu(req.revoke_errors), ==, 4);
    g_assert_cmpuint(granted(vm), ==, 2);
    check_zero(vm, ADDR(2), CHUNK_SIZE);
    check_zero(vm, ADDR(5), CHUNK_SIZE);
    check(vm, ADDR(3), 2 * CHUNK_SIZE, ADDR(3), 0x21);

    /* with a request that fails, but not with a head that is refused */
    req_init(&req, 77, 0, 0);
    req.nr_revokes = cpu_to_le16(1);
    revoke_set(&req, 0, DOM_A, 3, 1);
    g_assert_cmpuint(submit(vm, &req), ==, PV_IOMMU_S_OPCODE);
    g_assert_cmpuint(le32_to_cpu(req.revoke_errors), ==, 0);
    g_assert_cmpuint(granted(vm), ==, 1);
    req_init(&req, PV_IOMMU_OP_NOP, 0, 0);
    req.nr_revokes = cpu_to_le16(1);
    req.reserved[7] = cpu_to_le32(1);
    revoke_set(&req, 0, DOM_A, 4, 1);
    g_assert_cmpuint(submit(vm, &req), ==, PV_IOMMU_S_INVAL);
    g_assert_cmpuint(le32_to_cpu(req.revoke_errors), ==, 1);
    g_assert_cmpuint(granted(vm), ==, 1);

    /* they are done first: the grant that they ride with may have their room */
    g_assert_cmpuint(grant_to(vm, DOM_A, 5, 3, 0), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_to(vm, DOM_B, 0, 1, 0), ==, PV_IOMMU_S_LIMIT);
    chunks_init(&req, PV_IOMMU_OP_GRANT, DOM_B, 4, 1, 0);
    req.nr_revokes = cpu_to_le16(1);
    revoke_set(&req, 0, DOM_A, 4, 1);
    g_assert_cmpuint(submit(vm, &req), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(le32_to_cpu(req.revoke_errors), ==, 0);
    check_zero(vm, ADDR(4), CHUNK_SIZE);
    g_assert(!reaches(vm, 0, 4));
    g_assert(reaches(vm, 1, 4));

    /* as many as there may be, all of them bad */
    req_init(&req, PV_IOMMU_OP_NOP, 0, 0);
    req.nr_revokes = cpu_to_le16(PV_IOMMU_MAX_REVOKES);
    for (int i = 0; i < PV_IOMMU_MAX_REVOKES; i++) {
        revoke_set(&req, i, DOM_B, 4, UINT32_MAX - i);
    }
    g_assert_cmpuint(submit(vm, &req), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(le32_to_cpu(req.revoke_errors), ==, PV_IOMMU_MAX_REVOKES);
    g_assert_cmpuint(granted(vm), ==, 4);
    vm_stop(vm);
}

/* What A must not reach: it reads nothing of it, and changes nothing in it */
static void check_refused(Vm *vm, uint64_t dma, uint64_t addr, uint64_t *faults)
{
    fill(vm, addr, 64, 0x31);
    qtest_memset(vm->qts, ADDR(2), 0, 64);
    dma_load(vm, &vm->edu[0], dma, 64);
    check_fault(vm, ++*faults, dma, RID);
    dma_store(vm, &vm->edu[0], DMA(2), 64);
    for (int i = 0; i < 64; i++) {
        g_assert_cmphex(qtest_readb(vm->qts, ADDR(2) + i), ==, 0xff);
    }
    dma_store(vm, &vm->edu[0], dma, 64);
    check_fault(vm, ++*faults, dma, RID | PV_IOMMU_FAULT_WRITE);
    check(vm, addr, 64, addr, 0x31);
}

static void test_isolation(void)
{
    Vm *vm = vm_two_domains("");
    uint64_t faults = 0;

    /* B's; one never granted; one given back; one that changed hands */
    check_refused(vm, DMA(5), ADDR(5), &faults);
    check_refused(vm, DMA(6) - 64, ADDR(6) - 64, &faults);
    check_refused(vm, DMA(9), ADDR(9), &faults);
    g_assert_cmpuint(revoke_from(vm, DOM_A, 3, 1), ==, PV_IOMMU_S_OK);
    check_refused(vm, DMA(3) + 4096, ADDR(3) + 4096, &faults);
    g_assert_cmpuint(grant_to(vm, DOM_B, 3, 1, 0), ==, PV_IOMMU_S_OK);
    check_refused(vm, DMA(3) + 4096, ADDR(3) + 4096, &faults);
    check_refused(vm, WINDOW_ADDR, WINDOW_ADDR, &faults);
    check_refused(vm, WILD, WILD, &faults);

    /* from its own chunk on into B's: half of it arrives */
    fill(vm, ADDR(5) - 32, 64, 0x32);
    dma_load(vm, &vm->edu[0], DMA(2), 64);
    dma_store(vm, &vm->edu[0], DMA(5) - 32, 64);
    check_fault(vm, ++faults, DMA(5), RID | PV_IOMMU_FAULT_WRITE);
    check(vm, ADDR(5), 32, ADDR(5), 0x32);
    for (int i = 0; i < 32; i++) {
        g_assert_cmphex(qtest_readb(vm->qts, ADDR(5) - 32 + i), ==, 0xff);
    }

    /* the arena too is for those that are attached to it */
    check_fault(vm, faults, DMA(5), RID | PV_IOMMU_FAULT_WRITE);
    dma_load(vm, &vm->edu[0], ARENA_DMA, 64);
    check_fault(vm, ++faults, ARENA_DMA, RID);
    vm_stop(vm);
}

/* Version 1's behaviour, on request: one domain for all */
static void test_isolation_off(void)
{
    Vm *vm = vm_chunks(",isolation=off");

    g_assert_cmpuint(attach_to(vm, RID, DOM_A), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(attach_to(vm, RID2, DOM_B), ==, PV_IOMMU_S_DOMAIN);
    g_assert_cmpuint(grant_to(vm, DOM_B, 0, 1, 0), ==, PV_IOMMU_S_DOMAIN);
    g_assert_cmpuint(attach_to(vm, RID2, DOM_A), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_to(vm, DOM_A, 0, 1, 0), ==, PV_IOMMU_S_OK);
    g_assert(reaches(vm, 0, 0));
    g_assert(reaches(vm, 1, 0));
    g_assert_cmpuint(detach(vm, RID), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(attach_to(vm, RID, DOM_B), ==, PV_IOMMU_S_DOMAIN);
    g_assert_cmpuint(detach(vm, RID2), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(attach_to(vm, RID, DOM_B), ==, PV_IOMMU_S_OK);
    vm_stop(vm);
}

/* Devices behind a conventional bridge are one group */
static void test_group(void)
{
    Vm *vm = vm_start_on("q35", PROPS,
                         "-device pcie-pci-bridge,id=br0,addr=7 "
                         "-device edu,bus=br0,addr=1,dma_mask=0xffffffff "
                         "-device edu,bus=br0,addr=2,dma_mask=0xffffffff");
    uint32_t group, group2, offers;
    Edu first, second;

    bridge_init(vm, 7, 2, 0xd1000000);
    first = edu_at(vm, 0x208);
    second = edu_at(vm, 0x210);
    enable_chunks(vm);
    g_assert_cmpuint(probe(vm, 0x208, &group, &offers), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(probe(vm, 0x210, &group2, &offers), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(group, ==, group2);
    g_assert_cmpuint(probe(vm, RID, &group2, &offers), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(group, !=, group2);

    g_assert_cmpuint(attach_to(vm, 0x208, DOM_A), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(attach_to(vm, 0x210, DOM_B), ==, PV_IOMMU_S_DOMAIN);
    g_assert_cmpuint(grant_to(vm, DOM_B, 0, 1, 0), ==, PV_IOMMU_S_DOMAIN);
    g_assert_cmpuint(attach_to(vm, 0x210, DOM_A), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_to(vm, DOM_A, 0, 1, 0), ==, PV_IOMMU_S_OK);
    g_assert(dma_reaches(vm, &first, DMA(0), ADDR(0)));
    g_assert(dma_reaches(vm, &second, DMA(0), ADDR(0)));

    g_free(first.dev);
    g_free(second.dev);
    vm_stop(vm);
}

/* What a domain leaves is the guest's, and nobody else's */
static void test_left(void)
{
    Vm *vm = vm_two_domains("");

    /* the end of A's domain: out of reach, and as it was */
    g_assert_cmpuint(detach(vm, RID), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(granted(vm), ==, 1);
    check(vm, WINDOW_ADDR, WINDOW_SIZE, WINDOW_ADDR, 0x21);

    /* kept for whom the guest says; for others cleared, those and no more */
    g_assert_cmpuint(grant_to(vm, DOM_B, 2, 1, PV_IOMMU_GRANT_KEEP), ==,
                     PV_IOMMU_S_OK);
    check(vm, WINDOW_ADDR, WINDOW_SIZE, WINDOW_ADDR, 0x21);
    g_assert_cmpuint(grant_to(vm, DOM_B, 3, 1, 0), ==, PV_IOMMU_S_OK);
    check(vm, WINDOW_ADDR, 3 * CHUNK_SIZE, WINDOW_ADDR, 0x21);
    check_zero(vm, ADDR(3), CHUNK_SIZE);
    check(vm, ADDR(4), WINDOW_SIZE - 4 * CHUNK_SIZE, ADDR(4), 0x21);

    /* a grant that is refused clears nothing */
    g_assert_cmpuint(grant_to(vm, DOM_B, 4, 2, 0), ==, PV_IOMMU_S_CHUNK);
    check(vm, ADDR(4), CHUNK_SIZE, ADDR(4), 0x21);

    /* in one request with one that is clean */
    g_assert_cmpuint(revoke_from(vm, DOM_B, 3, 1), ==, PV_IOMMU_S_OK);
    fill(vm, ADDR(3), CHUNK_SIZE, 0x22);
    g_assert_cmpuint(grant_to(vm, DOM_B, 3, 2, 0), ==, PV_IOMMU_S_OK);
    check_zero(vm, ADDR(4), CHUNK_SIZE);

    /* both kinds of reset leave them, too */
    fill(vm, WINDOW_ADDR, WINDOW_SIZE, 0x23);
    set_reg(vm, PV_IOMMU_REG_CONTROL, PV_IOMMU_CTL_RESET);
    g_assert_cmpuint(granted(vm), ==, 0);
    check(vm, WINDOW_ADDR, WINDOW_SIZE, WINDOW_ADDR, 0x23);
    enable_chunks(vm);
    g_assert_cmpuint(grant_to(vm, DOM_B, 2, 1, 0), ==, PV_IOMMU_S_DOMAIN);
    g_assert_cmpuint(attach_to(vm, RID, DOM_A), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_to(vm, DOM_A, 2, 1, PV_IOMMU_GRANT_KEEP), ==,
                     PV_IOMMU_S_OK);
    check(vm, WINDOW_ADDR, WINDOW_SIZE, WINDOW_ADDR, 0x23);

    system_reset(vm);
    g_assert_cmpuint(granted(vm), ==, 0);
    check(vm, WINDOW_ADDR, WINDOW_SIZE, WINDOW_ADDR, 0x23);
    enable_chunks(vm);
    g_assert_cmpuint(attach_to(vm, RID, DOM_A), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_to(vm, DOM_A, 2, 1, 0), ==, PV_IOMMU_S_OK);
    check_zero(vm, ADDR(2), CHUNK_SIZE);
    vm_stop(vm);
}

/* A guest of version 1: all of the window, as it is, while one is attached */
static void test_old_guest(void)
{
    Vm *vm = vm_start(PROPS);
    g_autofree char *file = temp_file("stderr");
    g_autofree char *more = g_strdup_printf("2>%s", file);
    g_autofree char *err = NULL;
    char *line;

    set_features(vm, PV_IOMMU_F_WINDOW | PV_IOMMU_F_BOUNCE);
    fill(vm, WINDOW_ADDR, WINDOW_SIZE, 1);
    g_assert_cmpuint(granted(vm), ==, 0);
    g_assert_cmpuint(attach(vm, RID, PV_IOMMU_ATTACH_WINDOW), ==,
                     PV_IOMMU_S_OK);
    g_assert_cmpuint(granted(vm), ==, NR_CHUNKS);
    check(vm, WINDOW_ADDR, WINDOW_SIZE, WINDOW_ADDR, 1);
    for (uint32_t i = 0; i < NR_CHUNKS; i++) {
        g_assert(reaches(vm, 0, i));
        g_assert(!reaches(vm, 1, i));
    }
    g_assert_cmpuint(attach(vm, RID2, PV_IOMMU_ATTACH_BOUNCE), ==,
                     PV_IOMMU_S_OK);
    g_assert_cmpuint(detach(vm, RID), ==, PV_IOMMU_S_OK);
    g_assert(!reaches(vm, 0, 0));
    g_assert(reaches(vm, 1, 0));
    fill(vm, WINDOW_ADDR, WINDOW_SIZE, 2);
    g_assert_cmpuint(detach(vm, RID2), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(granted(vm), ==, 0);
    check(vm, WINDOW_ADDR, WINDOW_SIZE, WINDOW_ADDR, 2);

    /* one that knows chunks comes after it, and gets them clean */
    set_reg(vm, PV_IOMMU_REG_CONTROL, PV_IOMMU_CTL_RESET);
    enable_chunks(vm);
    g_assert_cmpuint(attach_to(vm, RID, DOM_A), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_to(vm, DOM_A, 0, 1, 0), ==, PV_IOMMU_S_OK);
    check_zero(vm, ADDR(0), CHUNK_SIZE);
    vm_stop(vm);

    /* a smaller limit is not for it, which is said once */
    vm = vm_start_on("q35", PROPS ",limit=2M", more);
    set_features(vm, PV_IOMMU_F_WINDOW);
    g_assert_cmphex(reg(vm, PV_IOMMU_REG_CONTROL), ==, 0);
    g_assert_cmpuint(attach(vm, RID, PV_IOMMU_ATTACH_WINDOW), ==,
                     PV_IOMMU_S_STATE);
    set_prop(vm, "limit", WINDOW_SIZE);
    set_features(vm, PV_IOMMU_F_WINDOW);
    g_assert_cmphex(reg(vm, PV_IOMMU_REG_CONTROL), ==, PV_IOMMU_CTL_ENABLE);
    set_prop(vm, "limit", WINDOW_SIZE / 2);
    g_assert_cmpuint(attach(vm, RID, PV_IOMMU_ATTACH_WINDOW), ==,
                     PV_IOMMU_S_IO);
    set_prop(vm, "limit", WINDOW_SIZE);
    g_assert_cmpuint(attach(vm, RID, PV_IOMMU_ATTACH_WINDOW), ==,
                     PV_IOMMU_S_OK);
    g_assert(reaches(vm, 0, 0));
    vm_stop(vm);
    g_assert(g_file_get_contents(file, &err, NULL, NULL));
    unlink(file);
    line = strstr(err, "the guest's driver does not know chunks");
    g_assert_nonnull(line);
    g_assert_nonnull(strstr(line, "update the driver"));
    g_assert_null(strstr(line + 1, "the guest's driver does not know"));
}

/* The chunk's size, by the window's and its place */
static void test_chunk_size(void)
{
    static const struct {
        const char *size;
        const char *dma_base;
        uint64_t chunk;
    } cases[] = {
        { "2M", "0x200000", 64 * KiB },
        { "4M", "0x200000", 128 * KiB },
        { "6M", "0x200000", 128 * KiB },
        { "64M", "0x200000", 2 * MiB },
        { "128M", "0x200000", 2 * MiB },
        { "128M", "0x100000", 1 * MiB },
        { "128M", "0x10000", 64 * KiB },
        { "128M", "0x130000", 64 * KiB },
    };

    for (int i = 0; i < ARRAY_SIZE(cases); i++) {
        g_autofree char *args = g_strdup_printf(
            "-object memory-backend-ram,id=win1,size=%s", cases[i].size);
        g_autofree char *props = g_strdup_printf(
            ",memdev=win1,dma-base=%s", cases[i].dma_base);
        Vm *vm = vm_launch("q35", args, props, "");

        vm_probe(vm);
        g_assert_cmphex(reg64(vm, PV_IOMMU_REG_CHUNK_SIZE), ==,
                        cases[i].chunk);
        vm_stop(vm);
    }
}

/* Attached in bounce mode: the arena, and what was granted */
static void test_bounce(void)
{
    Vm *vm = vm_chunks("");
    struct pv_iommu_req req;
    uint64_t dma;

    req_init(&req, PV_IOMMU_OP_ATTACH, RID, PV_IOMMU_ATTACH_BOUNCE);
    req.domain = cpu_to_le32(DOM_A);
    g_assert_cmpuint(submit(vm, &req), ==, PV_IOMMU_S_OK);
    check_alive(vm);
    g_assert(!reaches(vm, 0, 3));
    g_assert_cmpuint(grant_to(vm, DOM_A, 3, 1, 0), ==, PV_IOMMU_S_OK);
    g_assert(reaches(vm, 0, 3));
    g_assert(!reaches(vm, 0, 4));

    fill(vm, SRC, 2000, 9);
    dma = map(vm, RID, SRC, 2000);
    dma_copy(vm, &vm->edu[0], dma, DMA(3) + 100, 2000);
    check(vm, ADDR(3) + 100, 2000, SRC, 9);
    g_assert_cmpuint(unmap(vm, RID, dma, 0), ==, PV_IOMMU_S_OK);
    vm_stop(vm);
}

/* boot-bypass=on: all of memory before, chunks while attached, then nothing */
static void test_boot_bypass(void)
{
    Vm *vm = vm_start(",hw-iommu=on,boot-bypass=on");

    g_assert(dma_reaches(vm, &vm->edu[0], WILD, WILD));
    enable_chunks(vm);
    for (int i = 0; i < 3; i++) {
        g_assert_cmpuint(attach_to(vm, RID, DOM_A), ==, PV_IOMMU_S_OK);
        g_assert(!dma_reaches(vm, &vm->edu[0], WILD, WILD));
        g_assert(!reaches(vm, 0, 1));
        g_assert_cmpuint(grant_to(vm, DOM_A, 1, 1, 0), ==, PV_IOMMU_S_OK);
        g_assert(reaches(vm, 0, 1));
        g_assert_cmpuint(detach(vm, RID), ==, PV_IOMMU_S_OK);
        g_assert(!reaches(vm, 0, 1));
        g_assert(!dma_reaches(vm, &vm->edu[0], WILD, WILD));
    }
    vm_stop(vm);
}

/* A host that withdraws what it has granted, and gives it back */
static void test_withhold(void)
{
    Vm *vm = vm_two_domains("");

    set_flag(vm, "x-withhold", true);
    for (uint32_t i = 0; i < NR_CHUNKS; i++) {
        g_assert(!reaches(vm, 0, i));
        g_assert(!reaches(vm, 1, i));
    }
    g_assert_cmpuint(revoke_from(vm, DOM_A, 2, 1), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_to(vm, DOM_B, 2, 1, 0), ==, PV_IOMMU_S_OK);
    g_assert(!reaches(vm, 1, 2));
    set_flag(vm, "x-withhold", false);
    g_assert(!reaches(vm, 0, 2));
    g_assert(reaches(vm, 1, 2));
    g_assert(reaches(vm, 0, 3));
    g_assert(reaches(vm, 1, 5));
    g_assert(!reaches(vm, 0, 5));

    /* x-error-rate= fails grants if it is told to, and nothing is granted */
    set_prop(vm, "x-error-ops", 1 << PV_IOMMU_OP_GRANT);
    set_prop(vm, "x-error-rate", 2);
    g_assert_cmpuint(grant_to(vm, DOM_A, 8, 1, 0), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_to(vm, DOM_A, 9, 1, 0), ==, PV_IOMMU_S_IO);
    g_assert(reaches(vm, 0, 8));
    g_assert(!reaches(vm, 0, 9));
    g_assert_cmpuint(grant_to(vm, DOM_A, 9, 1, 0), ==, PV_IOMMU_S_OK);
    vm_stop(vm);
}

/* What is revoked goes back to the host, unless it was asked to keep it */
static void test_resident(void)
{
    g_autofree char *pidfile = temp_file("pid");

    for (int keep = 0; keep < 2; keep++) {
        g_autofree char *args = g_strdup_printf(
            "-object memory-backend-ram,id=win1,size=32M,prealloc=%s "
            "-pidfile %s", keep ? "on" : "off", pidfile);
        Vm *vm = vm_launch("q35", args, PROPS ",memdev=win1", "");
        uint32_t nr = 32;   /* of 1 MiB */
        uint64_t before, after;

        vm_probe(vm);
        enable_chunks(vm);
        g_assert_cmphex(reg64(vm, PV_IOMMU_REG_CHUNK_SIZE), ==, MiB);
        g_assert_cmpuint(attach_to(vm, RID, DOM_A), ==, PV_IOMMU_S_OK);
        g_assert_cmpuint(grant_to(vm, DOM_A, 0, nr, 0), ==, PV_IOMMU_S_OK);
        qtest_memset(vm->qts, WINDOW_ADDR, 0x5a, nr * MiB);
        before = memory_of(pidfile, "RssAnon:");
        g_assert_cmpuint(revoke_from(vm, DOM_A, 0, nr), ==, PV_IOMMU_S_OK);
        after = memory_of(pidfile, "RssAnon:");
        g_test_message("resident: %" PRIu64 " KiB, then %" PRIu64, before,
                       after);
        if (keep) {
            g_assert_cmpuint(after + 8 * 1024, >, before);
        } else {
            g_assert_cmpuint(after + 24 * 1024, <, before);
        }
        check_zero(vm, WINDOW_ADDR, MiB);
        check_zero(vm, WINDOW_ADDR + 31 * MiB, MiB);
        vm_stop(vm);
    }
    unlink(pidfile);
}

/* A balloon takes what is not granted, and leaves what is */
static void test_balloon(void)
{
    const uint32_t pfns[] = {
        cpu_to_le32(ADDR(2) >> 12), cpu_to_le32(ADDR(3) >> 12),
        cpu_to_le32((ADDR(3) >> 12) - 1), cpu_to_le32(ADDR(4) >> 12),
    };
    Vm *vm = vm_start_on("q35", PROPS, "-device virtio-balloon-pci,addr=6,"
                         "disable-legacy=on");
    QPCIAddress where = { .devfn = 0x30 };
    QVirtioPCIDevice *d;
    QGuestAllocator alloc;
    QVirtQueue *vq;
    uint32_t head;
    uint64_t buf;

    enable_chunks(vm);
    g_assert_cmpuint(attach_to(vm, RID, DOM_A), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_to(vm, DOM_A, 2, 1, 0), ==, PV_IOMMU_S_OK);
    fill(vm, WINDOW_ADDR, WINDOW_SIZE, 7);

    alloc_init(&alloc, 0, 0x1000000, 0x2000000, GRANULE);
    d = virtio_pci_new(vm->bus, &where);
    qvirtio_pci_device_enable(d);
    qvirtio_start_device(&d->vdev);
    qvirtio_set_features(&d->vdev, 1ULL << VIRTIO_F_VERSION_1);
    vq = qvirtqueue_setup(&d->vdev, &alloc, 0);
    qvirtio_set_driver_ok(&d->vdev);
    buf = guest_alloc(&alloc, GRANULE);
    qtest_memwrite(vm->qts, buf, pfns, sizeof(pfns));
    head = qvirtqueue_add(vm->qts, vq, buf, sizeof(pfns), false, false);
    qvirtqueue_kick(vm->qts, &d->vdev, vq, head);
    qvirtio_wait_used_elem(vm->qts, &d->vdev, vq, head, NULL,
                           30 * G_USEC_PER_SEC);

    check(vm, ADDR(2), CHUNK_SIZE, ADDR(2), 7);
    check_zero(vm, ADDR(3), 4096);
    check(vm, ADDR(3) + 4096, CHUNK_SIZE - 4096, ADDR(3) + 4096, 7);
    check_zero(vm, ADDR(4), 4096);
    g_assert_cmpuint(prop(vm, "discards-refused"), ==, 2 * 4096);

    qvirtqueue_cleanup(d->vdev.bus, vq, &alloc);
    qos_object_destroy((QOSGraphObject *)d);
    alloc_destroy(&alloc);
    vm_stop(vm);
}

/* A device that comes and goes */
static void test_hotplug(void)
{
    Vm *vm = vm_start_on("pc", PROPS, "");
    uint32_t group, group2, offers;
    Edu edu;

    enable_chunks(vm);
    g_assert_cmpuint(probe(vm, 0x38, &group, &offers), ==, PV_IOMMU_S_NODEV);
    /* its 28 bits of address do */
    qtest_qmp_device_add(vm->qts, "edu", "hot", "{'addr': '7'}");
    edu = edu_at(vm, 0x38);
    g_assert_cmpuint(probe(vm, 0x38, &group, &offers), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(probe(vm, RID, &group2, &offers), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(group, !=, group2);
    g_assert_cmpuint(attach_to(vm, 0x38, DOM_A), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_to(vm, DOM_A, 4, 2, 0), ==, PV_IOMMU_S_OK);
    g_assert(dma_reaches(vm, &edu, DMA(4), ADDR(4)));
    g_assert(!reaches(vm, 0, 4));
    fill(vm, ADDR(4), CHUNK_SIZE, 6);
    g_free(edu.dev);

    /* its domain ends with it, and what it leaves is nobody's */
    qpci_unplug_acpi_device_test(vm->qts, "hot", 7);
    g_assert_cmpuint(granted(vm), ==, 0);
    check(vm, ADDR(4), CHUNK_SIZE, ADDR(4), 6);
    g_assert_cmpuint(grant_to(vm, DOM_A, 4, 1, 0), ==, PV_IOMMU_S_DOMAIN);
    g_assert_cmpuint(attach_to(vm, RID, DOM_A), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_to(vm, DOM_A, 4, 1, 0), ==, PV_IOMMU_S_OK);
    check_zero(vm, ADDR(4), CHUNK_SIZE);
    vm_stop(vm);
}

/* Memory that is locked is cleared with no word: it cannot be discarded */
static void test_locked(void)
{
    g_autofree char *file = NULL;
    g_autofree char *out = NULL;
    g_autofree char *more = NULL;
    int status;
    Vm *vm;

    out = qemu_stderr("-machine q35 -m 64M -overcommit mem-lock=on", true,
                      &status);
    if (status) {
        g_test_skip("memory cannot be locked here");
        return;
    }
    file = temp_file("stderr");
    more = g_strdup_printf("-overcommit mem-lock=on 2>%s", file);
    vm = vm_start_on("q35", PROPS, more);
    enable_chunks(vm);
    g_assert_cmpuint(attach_to(vm, RID, DOM_A), ==, PV_IOMMU_S_OK);
    for (int i = 0; i < 100; i++) {
        g_assert_cmpuint(grant_to(vm, DOM_A, 2, 2, 0), ==, PV_IOMMU_S_OK);
        fill(vm, WINDOW_ADDR + 2 * CHUNK_SIZE, 2 * CHUNK_SIZE, i);
        g_assert_cmpuint(revoke_from(vm, DOM_A, 2, 2), ==, PV_IOMMU_S_OK);
        check_zero(vm, WINDOW_ADDR + 2 * CHUNK_SIZE, 2 * CHUNK_SIZE);
    }
    vm_stop(vm);
    g_clear_pointer(&out, g_free);
    g_assert(g_file_get_contents(file, &out, NULL, NULL));
    g_assert_null(strstr(out, "discard"));
    unlink(file);
}

void add_chunks_tests(void)
{
    qtest_add_func("/pv-iommu/chunks/probe", test_probe);
    qtest_add_func("/pv-iommu/chunks/grant", test_grant);
    qtest_add_func("/pv-iommu/chunks/bad", test_bad);
    qtest_add_func("/pv-iommu/chunks/limit", test_limit);
    qtest_add_func("/pv-iommu/chunks/riding-revokes", test_riding_revokes);
    qtest_add_func("/pv-iommu/chunks/isolation", test_isolation);
    qtest_add_func("/pv-iommu/chunks/isolation-off", test_isolation_off);
    qtest_add_func("/pv-iommu/chunks/group", test_group);
    qtest_add_func("/pv-iommu/chunks/left", test_left);
    qtest_add_func("/pv-iommu/chunks/old-guest", test_old_guest);
    qtest_add_func("/pv-iommu/chunks/chunk-size", test_chunk_size);
    qtest_add_func("/pv-iommu/chunks/bounce", test_bounce);
    qtest_add_func("/pv-iommu/chunks/boot-bypass", test_boot_bypass);
    qtest_add_func("/pv-iommu/chunks/withhold", test_withhold);
    qtest_add_func("/pv-iommu/chunks/resident", test_resident);
    qtest_add_func("/pv-iommu/chunks/balloon", test_balloon);
    qtest_add_func("/pv-iommu/chunks/hotplug", test_hotplug);
    qtest_add_func("/pv-iommu/chunks/locked", test_locked);
}
