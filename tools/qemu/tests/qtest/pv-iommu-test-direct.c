/*
 * QTest testcase for the pv-iommu device: grants of guest RAM
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/resource.h>
#include "libqos/libqos-malloc.h"
#include "libqos/virtio.h"
#include "libqos/virtio-pci.h"
#include "standard-headers/linux/virtio_config.h"
#include "standard-headers/linux/virtio_balloon.h"
#include "standard-headers/linux/virtio_mem.h"
#include "pv-iommu-test.h"

#define PROPS           ",boot-bypass=off,hw-iommu=on,arena-size=1M"
#define LIMIT           ",direct-limit=1M"      /* 256 pages */

#define DOM_A           7
#define DOM_B           UINT32_MAX

#define RW              (PV_IOMMU_RANGE_READ | PV_IOMMU_RANGE_WRITE)

static Vm *vm_direct(const char *more, const char *devices)
{
    g_autofree char *props = g_strdup_printf(PROPS LIMIT "%s", more);
    Vm *vm = vm_start_on("q35", props, devices);

    enable_direct(vm);
    g_assert_cmpuint(attach_to(vm, RID, DOM_A), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(attach_to(vm, RID2, DOM_B), ==, PV_IOMMU_S_OK);
    return vm;
}

static uint64_t granted(Vm *vm)
{
    return reg64(vm, PV_IOMMU_REG_DIRECT_GRANTED) / GRANULE;
}

/* Both ends of a page */
static bool reaches(Vm *vm, int edu, uint64_t page)
{
    const uint64_t addr = page * GRANULE;
    bool start = dma_reaches(vm, &vm->edu[edu], DIRECT_DMA + addr, addr);
    bool end = dma_reaches(vm, &vm->edu[edu], DIRECT_DMA + addr + GRANULE - 64,
                           addr + GRANULE - 64);

    g_assert(start == end);
    return start;
}

/* Which of 8 pages from one on a device reaches, as bits */
static unsigned reached(Vm *vm, int edu, uint64_t page)
{
    unsigned bits = 0;

    for (int i = 0; i < 8; i++) {
        bits |= reaches(vm, edu, page + i) << i;
    }
    return bits;
}

static void test_registers(void)
{
    Vm *vm = vm_start(PROPS LIMIT);
    struct pv_iommu_req req;

    g_assert(reg64(vm, PV_IOMMU_REG_HOST_FEATURES) & PV_IOMMU_F_DIRECT);
    g_assert_cmphex(reg64(vm, PV_IOMMU_REG_DIRECT_DMA), ==, DIRECT_DMA);
    /* as far as maxmem= goes */
    g_assert_cmphex(reg64(vm, PV_IOMMU_REG_DIRECT_SIZE), >=,
                    WINDOW_ADDR + WINDOW_SIZE);
    g_assert_cmphex(reg64(vm, PV_IOMMU_REG_DIRECT_LIMIT), ==, MiB);
    g_assert_cmphex(reg64(vm, PV_IOMMU_REG_DIRECT_GRANTED), ==, 0);

    /* it goes with chunks, and has to be accepted */
    set_features(vm, PV_IOMMU_F_WINDOW | PV_IOMMU_F_DIRECT);
    g_assert_cmphex(reg(vm, PV_IOMMU_REG_CONTROL), ==, 0);
    enable_chunks(vm);
    g_assert_cmpuint(attach_to(vm, RID, DOM_A), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_pages(vm, DOM_A, 0x300, 1, RW), ==,
                     PV_IOMMU_S_INVAL);     /* a list where there is none */
    req_init(&req, PV_IOMMU_OP_GRANT_RAM, 0, 0);
    g_assert_cmpuint(submit(vm, &req), ==, PV_IOMMU_S_OPCODE);
    req_init(&req, PV_IOMMU_OP_NOP, 0, 0);
    req.nr_revokes = cpu_to_le16(1);
    req.revokes[0].count = cpu_to_le32(1);
    req.revokes[0].flags = cpu_to_le32(PV_IOMMU_REVOKE_RAM);
    g_assert_cmpuint(submit(vm, &req), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(le32_to_cpu(req.revoke_errors), ==, 1);
    vm_stop(vm);

    /* nor is it offered by default, nor later */
    vm = vm_start(PROPS);
    g_assert(!(reg64(vm, PV_IOMMU_REG_HOST_FEATURES) & PV_IOMMU_F_DIRECT));
    for (uint64_t r = PV_IOMMU_REG_DIRECT_DMA;
         r <= PV_IOMMU_REG_DIRECT_GRANTED; r += 8) {
        g_assert_cmphex(reg64(vm, r), ==, 0);
    }
    vm_stop(vm);
}

static void test_grant(void)
{
    Vm *vm = vm_direct("", "");
    struct pv_iommu_req req;

    g_assert_cmpuint(reached(vm, 0, 0x300), ==, 0);
    g_assert_cmpuint(grant_pages(vm, DOM_A, 0x301, 2, RW), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(granted(vm), ==, 2);
    g_assert_cmpuint(reached(vm, 0, 0x300), ==, 0x06);
    g_assert_cmpuint(reached(vm, 1, 0x300), ==, 0);

    /* several with one request; another domain has some of them, too */
    ram_init(&req, PV_IOMMU_OP_GRANT_RAM, DOM_B, 0x302, 1, RW);
    ram_add(&req, 0x306, 2, RW);
    ram_add(&req, 0x304, 1, RW);
    g_assert_cmpuint(submit(vm, &req), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(granted(vm), ==, 6);
    g_assert_cmpuint(reached(vm, 0, 0x300), ==, 0x06);
    g_assert_cmpuint(reached(vm, 1, 0x300), ==, 0xd4);

    /* one access over two pages; and over one and what is none */
    fill(vm, 0x302000 - 32, 64, 3);
    dma_copy(vm, &vm->edu[0], DIRECT_DMA + 0x302000 - 32,
             DIRECT_DMA + 0x301000, 64);
    check(vm, 0x301000, 64, 0x302000 - 32, 3);
    fill(vm, 0x303000 - 32, 64, 4);
    dma_store(vm, &vm->edu[0], DIRECT_DMA + 0x303000 - 32, 64);
    check(vm, 0x303000 - 32, 32, 0x302000 - 32, 3);
    check(vm, 0x303000, 32, 0x303000, 4);

    /* back by parts of what was granted, in any order; the rest stays */
    g_assert_cmpuint(revoke_pages(vm, DOM_A, 0x302, 1), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(reached(vm, 0, 0x300), ==, 0x02);
    g_assert_cmpuint(reached(vm, 1, 0x300), ==, 0xd4);
    ram_init(&req, PV_IOMMU_OP_REVOKE_RAM, DOM_B, 0x307, 1, 0);
    ram_add(&req, 0x302, 1, 0);
    ram_add(&req, 0x307, 1, 0);     /* named twice */
    g_assert_cmpuint(submit(vm, &req), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(granted(vm), ==, 3);
    g_assert_cmpuint(reached(vm, 1, 0x300), ==, 0x50);

    /* what they hold is the guest's own, all the time */
    fill(vm, 0x306000, GRANULE, 5);
    g_assert_cmpuint(revoke_pages(vm, DOM_B, 0x306, 1), ==, PV_IOMMU_S_OK);
    check(vm, 0x306000, GRANULE, 0x306000, 5);
    g_assert_cmpuint(grant_pages(vm, DOM_B, 0x306, 1, RW), ==, PV_IOMMU_S_OK);
    check(vm, 0x306000, GRANULE, 0x306000, 5);

    /* as many ranges as there may be */
    ram_init(&req, PV_IOMMU_OP_GRANT_RAM, DOM_A, 0x400, 1, RW);
    for (int i = 1; i < PV_IOMMU_MAX_RANGES; i++) {
        ram_add(&req, 0x400 + 2 * i, 1, RW);
    }
    g_assert_cmpuint(submit(vm, &req), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(granted(vm), ==, 3 + PV_IOMMU_MAX_RANGES);
    g_assert_cmpuint(reached(vm, 0, 0x4f8), ==, 0x55);
    g_assert_cmpuint(reached(vm, 0, 0x4fe), ==, 0x01);
    vm_stop(vm);
}

/* For reading, for writing: the other is refused, and counted */
static void test_permission(void)
{
    Vm *vm = vm_direct("", "");
    Edu *edu = &vm->edu[0];

    g_assert_cmpuint(grant_pages(vm, DOM_A, 0x300, 1, PV_IOMMU_RANGE_READ), ==,
                     PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_pages(vm, DOM_A, 0x301, 1, PV_IOMMU_RANGE_WRITE),
                     ==, PV_IOMMU_S_OK);
    fill(vm, 0x300000, 2 * GRANULE, 1);
    dma_load(vm, edu, DIRECT_DMA + 0x300000, 64);
    dma_store(vm, edu, DIRECT_DMA + 0x301100, 64);
    check_fault(vm, 0, 0, 0);
    check(vm, 0x301100, 64, 0x300000, 1);

    dma_store(vm, edu, DIRECT_DMA + 0x300200, 64);
    check_fault(vm, 1, DIRECT_DMA + 0x300200, RID | PV_IOMMU_FAULT_WRITE);
    check(vm, 0x300000, GRANULE, 0x300000, 1);
    dma_load(vm, edu, DIRECT_DMA + 0x301000, 64);
    check_fault(vm, 2, DIRECT_DMA + 0x301000, RID);

    /* a permission does not change while it is granted */
    g_assert_cmpuint(grant_pages(vm, DOM_A, 0x300, 1, RW), ==,
                     PV_IOMMU_S_PAGE);
    g_assert_cmpuint(revoke_pages(vm, DOM_A, 0x300, 1), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_pages(vm, DOM_A, 0x300, 1, RW), ==, PV_IOMMU_S_OK);
    g_assert(reaches(vm, 0, 0x300));
    vm_stop(vm);
}

/* Each with its error, and nothing changed */
static void test_bad(void)
{
    static const struct {
        uint32_t domain;
        uint64_t first;
        uint32_t count, flags, status;
    } grants[] = {
        { DOM_A, 0x308, 0, RW, PV_IOMMU_S_INVAL },
        { DOM_A, 0x308, 1, 0, PV_IOMMU_S_INVAL },
        { DOM_A, 0x308, 1, RW | 4, PV_IOMMU_S_INVAL },
        { DOM_A, 0x308, 1, 1U << 31, PV_IOMMU_S_INVAL },
        { DOM_A, 0x308, PV_IOMMU_MAX_PAGES + 1, RW, PV_IOMMU_S_INVAL },
        { DOM_A, 0x308, UINT32_MAX, RW, PV_IOMMU_S_INVAL },
        { 0, 0x308, 1, RW, PV_IOMMU_S_DOMAIN },
        { DOM_A + 1, 0x308, 1, RW, PV_IOMMU_S_DOMAIN },
        { DOM_A, 0xb0000, 1, RW, PV_IOMMU_S_RANGE },        /* no RAM */
        { DOM_A, 0x3fff, 2, RW, PV_IOMMU_S_RANGE },         /* beyond it */
        { DOM_A, 0xfee00, 1, RW, PV_IOMMU_S_RANGE },        /* MSI */
        { DOM_A, 0xfffff, 1, RW, PV_IOMMU_S_RANGE },        /* ROM */
        { DOM_A, WINDOW_ADDR / GRANULE, 1, RW, PV_IOMMU_S_RANGE },
        { DOM_A, WINDOW_ADDR / GRANULE + 1023, 1, RW, PV_IOMMU_S_RANGE },
        { DOM_A, 1ULL << 32, 1, RW, PV_IOMMU_S_RANGE },
        { DOM_A, (1ULL << 32) + 0x308, 1, RW, PV_IOMMU_S_RANGE },
        { DOM_A, (1ULL << 52) + 0x308, 1, RW, PV_IOMMU_S_RANGE },   /* wraps */
        { DOM_A, UINT64_MAX, 1, RW, PV_IOMMU_S_RANGE },
        { DOM_A, UINT64_MAX, 2, RW, PV_IOMMU_S_RANGE },
        { DOM_A, UINT64_MAX - 0x307, 0x400, RW, PV_IOMMU_S_RANGE },
        { DOM_A, 0x302, 1, RW, PV_IOMMU_S_PAGE },           /* twice */
        { DOM_A, 0x301, 2, RW, PV_IOMMU_S_PAGE },
        { DOM_A, 0x303, 2, PV_IOMMU_RANGE_READ, PV_IOMMU_S_PAGE },
        { DOM_A, 0x400, 252, RW, PV_IOMMU_S_LIMIT },
        { DOM_A, 0x400, PV_IOMMU_MAX_PAGES - 0x1000, RW, PV_IOMMU_S_LIMIT },
    }, revokes[] = {
        { DOM_A, 0x302, 1, RW, PV_IOMMU_S_INVAL },
        { DOM_A, 0x302, 0, 0, PV_IOMMU_S_INVAL },
        { DOM_A, 0x302, UINT32_MAX, 0, PV_IOMMU_S_INVAL },
        { 0, 0x302, 1, 0, PV_IOMMU_S_DOMAIN },
        { DOM_A, 0x302, 3, 0, PV_IOMMU_S_PAGE },
        { DOM_A, 0x301, 2, 0, PV_IOMMU_S_PAGE },
        { DOM_B, 0x302, 1, 0, PV_IOMMU_S_PAGE },
        { DOM_A, 0x305, 1, 0, PV_IOMMU_S_PAGE },            /* B's */
        { DOM_A, (1ULL << 52) + 0x302, 1, 0, PV_IOMMU_S_PAGE },
        { DOM_A, UINT64_MAX, 1, 0, PV_IOMMU_S_PAGE },
        { DOM_A, UINT64_MAX - 2, 0x400, 0, PV_IOMMU_S_PAGE },
    };
    Vm *vm = vm_direct("", "");
    struct pv_iommu_req req;
    uint64_t faults;

    g_assert_cmpuint(grant_pages(vm, DOM_A, 0x302, 2, RW), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_pages(vm, DOM_B, 0x305, 3, RW), ==, PV_IOMMU_S_OK);
    for (int i = 0; i < ARRAY_SIZE(grants); i++) {
        g_test_message("grant %d", i);
        g_assert_cmpuint(grant_pages(vm, grants[i].domain, grants[i].first,
                                     grants[i].count, grants[i].flags), ==,
                         grants[i].status);
        g_assert_cmpuint(granted(vm), ==, 5);
    }
    for (int i = 0; i < ARRAY_SIZE(revokes); i++) {
        g_test_message("revoke %d", i);
        ram_init(&req, PV_IOMMU_OP_REVOKE_RAM, revokes[i].domain,
                 revokes[i].first, revokes[i].count, revokes[i].flags);
        g_assert_cmpuint(submit(vm, &req), ==, revokes[i].status);
        g_assert_cmpuint(granted(vm), ==, 5);
    }

    /* all or none: a good range before a bad one; two that overlap */
    ram_init(&req, PV_IOMMU_OP_GRANT_RAM, DOM_A, 0x300, 1, RW);
    ram_add(&req, 0xb0000, 1, RW);
    g_assert_cmpuint(submit(vm, &req), ==, PV_IOMMU_S_RANGE);
    ram_init(&req, PV_IOMMU_OP_GRANT_RAM, DOM_A, 0x300, 1, RW);
    ram_add(&req, 0x303, 1, RW);
    g_assert_cmpuint(submit(vm, &req), ==, PV_IOMMU_S_PAGE);
    ram_init(&req, PV_IOMMU_OP_GRANT_RAM, DOM_A, 0x300, 2, RW);
    ram_add(&req, 0x301, 1, PV_IOMMU_RANGE_READ);
    g_assert_cmpuint(submit(vm, &req), ==, PV_IOMMU_S_PAGE);
    ram_init(&req, PV_IOMMU_OP_REVOKE_RAM, DOM_A, 0x302, 1, 0);
    ram_add(&req, 0x305, 1, 0);
    g_assert_cmpuint(submit(vm, &req), ==, PV_IOMMU_S_PAGE);
    /* ranges whose sum is too large, each of them not */
    ram_init(&req, PV_IOMMU_OP_GRANT_RAM, DOM_A, 0x400, UINT32_MAX, RW);
    for (int i = 1; i < PV_IOMMU_MAX_RANGES; i++) {
        ram_add(&req, 0x400, UINT32_MAX, RW);
    }
    g_assert_cmpuint(submit(vm, &req), ==, PV_IOMMU_S_INVAL);

    /* a head that is wrong */
    ram_init(&req, PV_IOMMU_OP_GRANT_RAM, DOM_A, 0x300, 1, RW);
    req.flags = cpu_to_le32(1);
    g_assert_cmpuint(submit(vm, &req), ==, PV_IOMMU_S_INVAL);
    ram_init(&req, PV_IOMMU_OP_GRANT_RAM, DOM_A, 0x300, 1, RW);
    req.nr_segs = 0;
    g_assert_cmpuint(submit(vm, &req), ==, PV_IOMMU_S_INVAL);
    ram_init(&req, PV_IOMMU_OP_GRANT_RAM, DOM_A, 0x300, 1, RW);
    req.nr_segs = cpu_to_le16(PV_IOMMU_MAX_RANGES + 1);
    g_assert_cmpuint(submit(vm, &req), ==, PV_IOMMU_S_INVAL);

    g_assert_cmpuint(granted(vm), ==, 5);
    g_assert_cmpuint(reached(vm, 0, 0x300), ==, 0x0c);
    g_assert_cmpuint(reached(vm, 1, 0x300), ==, 0xe0);

    /* other addresses that would mean the same page if a carry were lost */
    faults = reg64(vm, PV_IOMMU_REG_FAULT_COUNT);
    dma_load(vm, &vm->edu[0], DIRECT_DMA - GRANULE, 64);
    check_fault(vm, faults + 1, DIRECT_DMA - GRANULE, RID);
    dma_load(vm, &vm->edu[0], DIRECT_DMA + (1ULL << 44) + 0x302000, 64);
    check_fault(vm, faults + 2, DIRECT_DMA + (1ULL << 44) + 0x302000, RID);
    dma_load(vm, &vm->edu[0], 0x302000, 64);
    check_fault(vm, faults + 3, 0x302000, RID);
    vm_stop(vm);
}

/* Riding revokes of both kinds, good ones among bad ones */
static void test_riding(void)
{
    Vm *vm = vm_direct("", "");
    struct pv_iommu_req req;
    static const struct {
        uint32_t domain, first, count, flags;
    } r[] = {
        { DOM_A, 0x302, 1, PV_IOMMU_REVOKE_RAM },
        { DOM_A, 0x302, 1, PV_IOMMU_REVOKE_RAM },       /* again */
        { DOM_B, 0x303, 1, PV_IOMMU_REVOKE_RAM },
        { DOM_A, 0x303, 1, 2 },
        { DOM_A, 0x303, 1, PV_IOMMU_REVOKE_RAM | 2 },
        { DOM_A, 0x303, 0, PV_IOMMU_REVOKE_RAM },
        { DOM_A, 0x303, UINT32_MAX, PV_IOMMU_REVOKE_RAM },
        { DOM_A, UINT32_MAX, UINT32_MAX, PV_IOMMU_REVOKE_RAM },
        { DOM_A, 3, 1, 0 },
        { DOM_A, 0x304, 2, PV_IOMMU_REVOKE_RAM },
    };

    g_assert_cmpuint(grant_pages(vm, DOM_A, 0x302, 4, RW), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_to(vm, DOM_A, 3, 1, 0), ==, PV_IOMMU_S_OK);
    req_init(&req, PV_IOMMU_OP_NOP, 0, 0);
    req.nr_revokes = cpu_to_le16(ARRAY_SIZE(r));
    for (int i = 0; i < ARRAY_SIZE(r); i++) {
        req.revokes[i].domain = cpu_to_le32(r[i].domain);
        req.revokes[i].first = cpu_to_le32(r[i].first);
        req.revokes[i].count = cpu_to_le32(r[i].count);
        req.revokes[i].flags = cpu_to_le32(r[i].flags);
    }
    g_assert_cmpuint(submit(vm, &req), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(le32_to_cpu(req.revoke_errors), ==, 7);
    g_assert_cmpuint(granted(vm), ==, 1);
    g_assert_cmphex(reg64(vm, PV_IOMMU_REG_WINDOW_GRANTED), ==, 0);
    g_assert_cmpuint(reached(vm, 0, 0x300), ==, 0x08);

    /* they are done first: a page may be granted anew by the same request */
    ram_init(&req, PV_IOMMU_OP_GRANT_RAM, DOM_A, 0x303, 1,
             PV_IOMMU_RANGE_READ);
    req.nr_revokes = cpu_to_le16(1);
    req.revokes[0].domain = cpu_to_le32(DOM_A);
    req.revokes[0].first = cpu_to_le32(0x303);
    req.revokes[0].count = cpu_to_le32(1);
    req.revokes[0].flags = cpu_to_le32(PV_IOMMU_REVOKE_RAM);
    g_assert_cmpuint(submit(vm, &req), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(granted(vm), ==, 1);
    g_assert_cmpuint(reached(vm, 0, 0x300), ==, 0);     /* may not write */
    vm_stop(vm);
}

static void test_limit(void)
{
    Vm *vm = vm_direct("", "");

    g_assert_cmpuint(grant_pages(vm, DOM_A, 0x300, 200, RW), ==,
                     PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_pages(vm, DOM_B, 0x300, 57, RW), ==,
                     PV_IOMMU_S_LIMIT);
    g_assert_cmpuint(grant_pages(vm, DOM_B, 0x300, 56, RW), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_pages(vm, DOM_B, 0x400, 1, RW), ==,
                     PV_IOMMU_S_LIMIT);
    g_assert_cmpuint(revoke_pages(vm, DOM_A, 0x300, 1), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_pages(vm, DOM_B, 0x400, 1, RW), ==, PV_IOMMU_S_OK);

    /* lowered while more is granted: that stays, and no more comes */
    set_prop(vm, "direct-limit", 3 * GRANULE + 5);
    g_assert_cmphex(reg64(vm, PV_IOMMU_REG_DIRECT_LIMIT), ==, 3 * GRANULE);
    g_assert_cmpuint(granted(vm), ==, 256);
    g_assert(reaches(vm, 0, 0x310));
    g_assert_cmpuint(grant_pages(vm, DOM_A, 0x300, 1, RW), ==,
                     PV_IOMMU_S_LIMIT);
    g_assert_cmpuint(detach(vm, RID), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(granted(vm), ==, 57);
    g_assert_cmpuint(revoke_pages(vm, DOM_B, 0x300, 55), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_pages(vm, DOM_B, 0x300, 2, RW), ==,
                     PV_IOMMU_S_LIMIT);
    g_assert_cmpuint(grant_pages(vm, DOM_B, 0x300, 1, RW), ==, PV_IOMMU_S_OK);
    vm_stop(vm);
}

static void enable_large(Vm *vm)
{
    set_reg(vm, PV_IOMMU_REG_CONTROL, PV_IOMMU_CTL_RESET);
    set_features(vm, PV_IOMMU_F_WINDOW | PV_IOMMU_F_LARGE);
    g_assert_cmphex(reg(vm, PV_IOMMU_REG_CONTROL), ==, 0);
    set_features(vm, PV_IOMMU_F_WINDOW | PV_IOMMU_F_CHUNKS |
                 PV_IOMMU_F_LARGE);
    g_assert_cmphex(reg(vm, PV_IOMMU_REG_CONTROL), ==, 0);
    set_features(vm, PV_IOMMU_F_WINDOW | PV_IOMMU_F_CHUNKS |
                 PV_IOMMU_F_DIRECT | PV_IOMMU_F_LARGE);
    g_assert_cmphex(reg(vm, PV_IOMMU_REG_CONTROL), ==, PV_IOMMU_CTL_ENABLE);
    g_assert_cmpuint(attach_to(vm, RID, DOM_A), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(attach_to(vm, RID2, DOM_B), ==, PV_IOMMU_S_OK);
}

#define RWL             (RW | PV_IOMMU_RANGE_LARGE)

/* 512 pages as one, and back as one */
static void test_large(void)
{
    static const struct {
        uint64_t first;
        uint32_t count, flags, status;
    } grants[] = {
        { 0x601, 512, RWL, PV_IOMMU_S_INVAL },
        { 0x600, 511, RWL, PV_IOMMU_S_INVAL },
        { 0x600, 513, RWL, PV_IOMMU_S_INVAL },
        { 0x600, 0, RWL, PV_IOMMU_S_INVAL },
        { 0x600, 512, PV_IOMMU_RANGE_LARGE, PV_IOMMU_S_INVAL },
        { 0x600, 512, RWL | 8, PV_IOMMU_S_INVAL },
        { 0, 512, RWL, PV_IOMMU_S_RANGE },              /* with ROM */
        { RAM_SIZE / GRANULE, 512, RWL, PV_IOMMU_S_RANGE },
        { UINT64_MAX - 511, 512, RWL, PV_IOMMU_S_RANGE },
        { WINDOW_ADDR / GRANULE, 512, RWL, PV_IOMMU_S_RANGE },
        { 0x400, 512, RWL, PV_IOMMU_S_PAGE },           /* twice */
        { 0x400, 1, RW, PV_IOMMU_S_PAGE },
        { 0x5ff, 1, PV_IOMMU_RANGE_READ, PV_IOMMU_S_PAGE },
        { 0x800, 512, RWL, PV_IOMMU_S_PAGE },           /* 0x810 is granted */
        { 0x1000, 2048, RWL, PV_IOMMU_S_LIMIT },
    }, revokes[] = {
        { 0x400, 511, 0, PV_IOMMU_S_PAGE },
        { 0x401, 511, 0, PV_IOMMU_S_PAGE },
        { 0x450, 1, 0, PV_IOMMU_S_PAGE },
        { 0x400, 513, 0, PV_IOMMU_S_PAGE },
        { 0x3ff, 513, 0, PV_IOMMU_S_PAGE },
    };
    Vm *vm = vm_direct(",direct-limit=8M", "");
    struct pv_iommu_req req;

    /* not without the feature, which needs the other */
    g_assert_cmpuint(grant_pages(vm, DOM_A, 0x400, 512, RWL), ==,
                     PV_IOMMU_S_INVAL);
    enable_large(vm);

    g_assert_cmpuint(grant_pages(vm, DOM_A, 0x400, 512, RWL), ==,
                     PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_pages(vm, DOM_A, 0x810, 1, RW), ==, PV_IOMMU_S_OK);
    for (int i = 0; i < ARRAY_SIZE(grants); i++) {
        g_test_message("grant %d", i);
        g_assert_cmpuint(grant_pages(vm, DOM_A, grants[i].first,
                                     grants[i].count, grants[i].flags), ==,
                         grants[i].status);
        g_assert_cmpuint(granted(vm), ==, 513);
    }
    for (int i = 0; i < ARRAY_SIZE(revokes); i++) {
        g_test_message("revoke %d", i);
        g_assert_cmpuint(revoke_pages(vm, DOM_A, revokes[i].first,
                                      revokes[i].count), ==,
                         revokes[i].status);
        g_assert_cmpuint(granted(vm), ==, 513);
    }
    g_assert_cmpuint(reached(vm, 0, 0x3fc), ==, 0xf0);
    g_assert_cmpuint(reached(vm, 0, 0x5fc), ==, 0x0f);
    g_assert_cmpuint(reached(vm, 1, 0x3fc), ==, 0);
    /* one access from one page to the next */
    dma_copy(vm, &vm->edu[0], DIRECT_DMA + 0x451000 - 32,
             DIRECT_DMA + 0x452000 - 32, 64);

    /* two in one range, for reading; back one by one, and named twice */
    g_assert_cmpuint(grant_pages(vm, DOM_B, 0x400, 1024, PV_IOMMU_RANGE_READ |
                                 PV_IOMMU_RANGE_LARGE), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(granted(vm), ==, 513 + 1024);
    g_assert_cmpuint(reached(vm, 1, 0x5fc), ==, 0);
    dma_load(vm, &vm->edu[1], DIRECT_DMA + 0x600000 - 32, 64);
    g_assert_cmpuint(revoke_pages(vm, DOM_B, 0x400, 512), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(granted(vm), ==, 513 + 512);
    ram_init(&req, PV_IOMMU_OP_REVOKE_RAM, DOM_B, 0x600, 512, 0);
    ram_add(&req, 0x600, 512, 0);
    g_assert_cmpuint(submit(vm, &req), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(granted(vm), ==, 513);

    /* what it was is forgotten: pages of it come and go by themselves */
    g_assert_cmpuint(grant_pages(vm, DOM_B, 0x5fe, 4, RW), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(revoke_pages(vm, DOM_B, 0x5ff, 2), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(reached(vm, 1, 0x5fc), ==, 0x24);
    g_assert_cmpuint(revoke_pages(vm, DOM_B, 0x5fe, 1), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(revoke_pages(vm, DOM_B, 0x601, 1), ==, PV_IOMMU_S_OK);

    /* withdrawn and given back; then a range with pages beside it; riding */
    set_flag(vm, "x-withhold", true);
    g_assert_cmpuint(reached(vm, 0, 0x3fc), ==, 0);
    set_flag(vm, "x-withhold", false);
    g_assert_cmpuint(reached(vm, 0, 0x3fc), ==, 0xf0);
    g_assert_cmpuint(grant_pages(vm, DOM_A, 0x3fe, 2, RW), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(reached(vm, 0, 0x3fc), ==, 0xfc);
    req_init(&req, PV_IOMMU_OP_NOP, 0, 0);
    req.nr_revokes = cpu_to_le16(1);
    req.revokes[0].domain = cpu_to_le32(DOM_A);
    req.revokes[0].first = cpu_to_le32(0x3ff);
    req.revokes[0].count = cpu_to_le32(513);
    req.revokes[0].flags = cpu_to_le32(PV_IOMMU_REVOKE_RAM);
    g_assert_cmpuint(submit(vm, &req), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(le32_to_cpu(req.revoke_errors), ==, 0);
    g_assert_cmpuint(granted(vm), ==, 2);
    g_assert_cmpuint(reached(vm, 0, 0x3fc), ==, 0x04);
    vm_stop(vm);
}

/* A large piece goes with the memory that it is in */
static void test_large_unplug(void)
{
    const uint64_t page = 0x100800000 / GRANULE;
    Vm *vm = vm_direct(",direct-limit=8M", "-object memory-backend-ram,id=m1,"
                       "size=4M -device pc-dimm,id=dimm1,memdev=m1,"
                       "addr=0x100800000");

    enable_large(vm);
    g_assert_cmpuint(grant_pages(vm, DOM_A, page, 1024, RWL), ==,
                     PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_pages(vm, DOM_A, 0x400, 512, RWL), ==,
                     PV_IOMMU_S_OK);
    g_assert_cmpuint(granted(vm), ==, 1536);
    g_assert_cmpuint(reached(vm, 0, page + 1020), ==, 0x0f);
    qtest_qmp_device_del_send(vm->qts, "dimm1");
    dimm_eject(vm);
    qtest_qmp_eventwait(vm->qts, "DEVICE_DELETED");
    g_assert_cmpuint(granted(vm), ==, 512);
    g_assert_cmpuint(grant_pages(vm, DOM_A, page, 512, RWL), ==,
                     PV_IOMMU_S_RANGE);
    vm_stop(vm);
}

/* What ends grants */
static void test_life(void)
{
    Vm *vm = vm_direct("", "");

    /* the domain's end, and nothing before */
    g_assert_cmpuint(detach(vm, RID2), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(attach_to(vm, RID2, DOM_A), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_pages(vm, DOM_A, 0x302, 2, RW), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(reached(vm, 1, 0x300), ==, 0x0c);
    g_assert_cmpuint(detach(vm, RID), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(reached(vm, 0, 0x300), ==, 0);
    g_assert_cmpuint(reached(vm, 1, 0x300), ==, 0x0c);
    g_assert_cmpuint(attach_to(vm, RID, DOM_A), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(reached(vm, 0, 0x300), ==, 0x0c);
    g_assert_cmpuint(detach(vm, RID), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(detach(vm, RID2), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(granted(vm), ==, 0);
    g_assert_cmpuint(grant_pages(vm, DOM_A, 0x302, 2, RW), ==,
                     PV_IOMMU_S_DOMAIN);
    g_assert_cmpuint(attach_to(vm, RID, DOM_A), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(reached(vm, 0, 0x300), ==, 0);

    /* a host that withdraws it, and gives it back */
    g_assert_cmpuint(grant_pages(vm, DOM_A, 0x302, 2, RW), ==, PV_IOMMU_S_OK);
    set_flag(vm, "x-withhold", true);
    g_assert_cmpuint(reached(vm, 0, 0x300), ==, 0);
    g_assert_cmpuint(revoke_pages(vm, DOM_A, 0x302, 1), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_pages(vm, DOM_A, 0x304, 1, RW), ==, PV_IOMMU_S_OK);
    set_flag(vm, "x-withhold", false);
    g_assert_cmpuint(reached(vm, 0, 0x300), ==, 0x18);

    /* x-error-rate= says that the budget is used up */
    set_prop(vm, "x-error-ops", 1 << PV_IOMMU_OP_GRANT_RAM);
    set_prop(vm, "x-error-rate", 1);
    g_assert_cmpuint(grant_pages(vm, DOM_A, 0x305, 1, RW), ==,
                     PV_IOMMU_S_LIMIT);
    set_prop(vm, "x-error-rate", 0);
    g_assert_cmpuint(reached(vm, 0, 0x300), ==, 0x18);

    /* both kinds of reset */
    set_reg(vm, PV_IOMMU_REG_CONTROL, PV_IOMMU_CTL_RESET);
    g_assert_cmpuint(granted(vm), ==, 0);
    g_assert_cmpuint(reached(vm, 0, 0x300), ==, 0);
    enable_direct(vm);
    g_assert_cmpuint(attach_to(vm, RID, DOM_A), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(reached(vm, 0, 0x300), ==, 0);
    g_assert_cmpuint(grant_pages(vm, DOM_A, 0x302, 2, RW), ==, PV_IOMMU_S_OK);
    system_reset(vm);
    g_assert_cmpuint(granted(vm), ==, 0);
    g_assert_cmpuint(reached(vm, 0, 0x300), ==, 0);
    vm_stop(vm);
}

/* RAM that goes takes its grants along; what comes in its place has none */
static void test_unplug(void)
{
    const uint64_t page = 0x100800000 / GRANULE;
    Vm *vm = vm_direct("", "-object memory-backend-ram,id=m1,size=4M "
                       "-device pc-dimm,id=dimm1,memdev=m1,addr=0x100800000");

    g_assert_cmpuint(grant_pages(vm, DOM_A, 0x302, 1, RW), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_pages(vm, DOM_A, page + 5, 2, RW), ==,
                     PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_pages(vm, DOM_B, page + 5, 1, RW), ==,
                     PV_IOMMU_S_OK);
    g_assert_cmpuint(reached(vm, 0, page), ==, 0x60);
    g_assert_cmpuint(granted(vm), ==, 4);

    qtest_qmp_device_del_send(vm->qts, "dimm1");
    dimm_eject(vm);
    qtest_qmp_eventwait(vm->qts, "DEVICE_DELETED");
    g_assert_cmpuint(granted(vm), ==, 1);
    g_assert_cmpuint(revoke_pages(vm, DOM_A, page + 5, 1), ==,
                     PV_IOMMU_S_PAGE);
    g_assert_cmpuint(grant_pages(vm, DOM_A, page + 5, 1, RW), ==,
                     PV_IOMMU_S_RANGE);

    qtest_qmp_device_add(vm->qts, "pc-dimm", "dimm2",
                         "{'memdev': 'm1', 'addr': 4303355904}");
    g_assert_cmpuint(reached(vm, 0, page), ==, 0);
    g_assert_cmpuint(reached(vm, 0, 0x300), ==, 0x04);
    g_assert_cmpuint(grant_pages(vm, DOM_A, page + 7, 1, RW), ==,
                     PV_IOMMU_S_OK);
    g_assert_cmpuint(reached(vm, 0, page), ==, 0x80);
    vm_stop(vm);
}

/*
 * What is below 1 MiB becomes RAM, then only for reading, and is ROM again: all
 * of RAM goes each time, and comes back at once, but for what is no RAM to be
 * written any more
 */
static void test_moved(void)
{
    const uint64_t low = 0xf0000 / GRANULE;
    Vm *vm = vm_direct(",direct-limit=8M", "");

    enable_large(vm);
    g_assert_cmpuint(grant_pages(vm, DOM_A, 0x301, 2, RW), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_pages(vm, DOM_B, 0x302, 1, RW), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_pages(vm, DOM_B, 0x400, 512, RWL), ==,
                     PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_pages(vm, DOM_A, low, 1, RW), ==,
                     PV_IOMMU_S_RANGE);

    set_pam0(vm, PAM0_RAM);
    g_assert_cmpuint(granted(vm), ==, 515);
    g_assert_cmpuint(reached(vm, 0, 0x300), ==, 0x06);
    g_assert_cmpuint(reached(vm, 1, 0x300), ==, 0x04);
    g_assert_cmpuint(reached(vm, 1, 0x5fc), ==, 0x0f);
    g_assert_cmpuint(grant_pages(vm, DOM_A, low + 1, 2, RW), ==,
                     PV_IOMMU_S_OK);
    g_assert_cmpuint(reached(vm, 0, low), ==, 0x06);

    set_pam0(vm, PAM0_READ);
    g_assert_cmpuint(granted(vm), ==, 515);
    g_assert_cmpuint(reached(vm, 0, 0x300), ==, 0x06);
    set_pam0(vm, 0);
    g_assert_cmpuint(granted(vm), ==, 515);
    g_assert_cmpuint(revoke_pages(vm, DOM_A, low + 1, 1), ==,
                     PV_IOMMU_S_PAGE);
    g_assert_cmpuint(revoke_pages(vm, DOM_A, 0x301, 2), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(revoke_pages(vm, DOM_B, 0x302, 1), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(revoke_pages(vm, DOM_B, 0x400, 512), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(granted(vm), ==, 0);
    vm_stop(vm);
}

/* The account of a large piece of RAM, of which the host has no room for */
static void test_no_memory(void)
{
    const uint64_t page = 0x140000000 / GRANULE;
    g_autofree char *pidfile = temp_file("pid");
    g_autofree char *more = NULL;
    struct rlimit limit, old;
    struct pv_iommu_req req;
    int pid;
    Vm *vm;

    more = g_strdup_printf("-m 64M,maxmem=72G,slots=1 -pidfile %s -object "
                           "memory-backend-ram,id=m1,size=64G,reserve=off "
                           "-device pc-dimm,memdev=m1,addr=0x140000000",
                           pidfile);
    vm = vm_direct("", more);
    pid = pid_of(pidfile);

    g_assert_cmpuint(grant_pages(vm, DOM_A, 0x300, 1, RW), ==, PV_IOMMU_S_OK);
    g_assert_cmpint(prlimit(pid, RLIMIT_AS, NULL, &old), ==, 0);
    limit = old;
    limit.rlim_cur = memory_of(pidfile, "VmSize:") * KiB +
                     8 * MiB;       /* it takes 64 */
    g_assert_cmpint(prlimit(pid, RLIMIT_AS, &limit, NULL), ==, 0);
    g_assert_cmpuint(grant_pages(vm, DOM_A, page, 1, RW), ==, PV_IOMMU_S_IO);
    /* all or none */
    ram_init(&req, PV_IOMMU_OP_GRANT_RAM, DOM_A, 0x302, 1, RW);
    ram_add(&req, page, 1, RW);
    g_assert_cmpuint(submit(vm, &req), ==, PV_IOMMU_S_IO);
    g_assert_cmpuint(granted(vm), ==, 1);
    g_assert_cmpuint(reached(vm, 0, 0x300), ==, 1);
    g_assert_cmpuint(reached(vm, 0, page), ==, 0);

    g_assert_cmpint(prlimit(pid, RLIMIT_AS, &old, NULL), ==, 0);
    g_assert_cmpuint(submit(vm, &req), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(granted(vm), ==, 3);
    g_assert_cmpuint(reached(vm, 0, page), ==, 1);
    vm_stop(vm);
    unlink(pidfile);
}

/* A driver with one queue, which has requests in a page of their own */
typedef struct Virtio {
    Vm *vm;
    QVirtioPCIDevice *d;
    QGuestAllocator alloc;
    QVirtQueue *vq;
    uint64_t buf;
} Virtio;

/* The device is at 06.0 */
static void virtio_start_queue(Virtio *v, Vm *vm, uint64_t features, int queue)
{
    QPCIAddress where = { .devfn = 0x30 };

    v->vm = vm;
    alloc_init(&v->alloc, 0, 0x1000000, 0x2000000, GRANULE);
    v->d = virtio_pci_new(vm->bus, &where);
    qvirtio_pci_device_enable(v->d);
    qvirtio_start_device(&v->d->vdev);
    qvirtio_set_features(&v->d->vdev, features | 1ULL << VIRTIO_F_VERSION_1);
    v->vq = qvirtqueue_setup(&v->d->vdev, &v->alloc, queue);
    qvirtio_set_driver_ok(&v->d->vdev);
    v->buf = guest_alloc(&v->alloc, GRANULE);
}

static void virtio_start(Virtio *v, Vm *vm)
{
    virtio_start_queue(v, vm, 0, 0);
}

/* Have it do a request, with room for an answer behind it if it has one */
static void virtio_do(Virtio *v, const void *req, size_t size, size_t answer)
{
    QTestState *qts = v->vm->qts;
    uint32_t head;

    qtest_memwrite(qts, v->buf, req, size);
    head = qvirtqueue_add(qts, v->vq, v->buf, size, false, answer > 0);
    if (answer) {
        qvirtqueue_add(qts, v->vq, v->buf + size, answer, true, false);
    }
    qvirtqueue_kick(qts, &v->d->vdev, v->vq, head);
    qvirtio_wait_used_elem(qts, &v->d->vdev, v->vq, head, NULL,
                           30 * G_USEC_PER_SEC);
}

static void virtio_stop(Virtio *v)
{
    qvirtqueue_cleanup(v->d->vdev.bus, v->vq, &v->alloc);
    qos_object_destroy((QOSGraphObject *)v->d);
    alloc_destroy(&v->alloc);
}

/* A balloon takes what is not granted, and leaves what is to any domain */
static void test_balloon(void)
{
    static const uint32_t pfns[] = { 0x300, 0x301, 0x302, 0x303 };
    Vm *vm = vm_direct("", "-device virtio-balloon-pci,addr=6,"
                       "disable-legacy=on");
    Virtio v;

    virtio_start(&v, vm);

    /* 301 by both, of which one takes it back; 302 by one */
    g_assert_cmpuint(grant_pages(vm, DOM_A, 0x301, 3, RW), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_pages(vm, DOM_B, 0x301, 1, RW), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(revoke_pages(vm, DOM_A, 0x301, 1), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(revoke_pages(vm, DOM_A, 0x303, 1), ==, PV_IOMMU_S_OK);
    for (int round = 0; round < 2; round++) {
        uint32_t wire[ARRAY_SIZE(pfns)];

        fill(vm, 0x300000, 4 * GRANULE, 7);
        for (int i = 0; i < ARRAY_SIZE(pfns); i++) {
            wire[i] = cpu_to_le32(pfns[i]);
        }
        virtio_do(&v, wire, sizeof(wire), 0);
        check_zero(vm, 0x300000, GRANULE);
        check_zero(vm, 0x303000, GRANULE);
        g_assert_cmpuint(prop(vm, "discards-refused"), ==, 2 * GRANULE);
        if (!round) {
            check(vm, 0x301000, 2 * GRANULE, 0x301000, 7);
            g_assert_cmpuint(detach(vm, RID), ==, PV_IOMMU_S_OK);
            g_assert_cmpuint(detach(vm, RID2), ==, PV_IOMMU_S_OK);
        } else {
            check_zero(vm, 0x301000, 2 * GRANULE);
        }
    }
    virtio_stop(&v);
    vm_stop(vm);
}

/*
 * Nor does free page reporting take what is granted, be it for a guest that is
 * wrong about what is free. What is reported in one piece stays as a whole.
 */
static void test_reporting(void)
{
    Vm *vm = vm_direct("", "-device virtio-balloon-pci,addr=6,"
                       "disable-legacy=on,free-page-reporting=on");
    QTestState *qts = vm->qts;
    uint32_t head;
    Virtio v;

    /* Behind those to inflate, to deflate, and for figures */
    virtio_start_queue(&v, vm, 1ULL << VIRTIO_BALLOON_F_REPORTING, 3);
    g_assert_cmpuint(grant_pages(vm, DOM_A, 0x301, 2, RW), ==, PV_IOMMU_S_OK);
    fill(vm, 0x300000, 5 * GRANULE, 7);
    head = qvirtqueue_add(qts, v.vq, 0x300000, GRANULE, true, true);
    qvirtqueue_add(qts, v.vq, 0x301000, GRANULE, true, true);
    qvirtqueue_add(qts, v.vq, 0x302000, 2 * GRANULE, true, true);
    qvirtqueue_add(qts, v.vq, 0x304000, GRANULE, true, false);
    qvirtqueue_kick(qts, &v.d->vdev, v.vq, head);
    qvirtio_wait_used_elem(qts, &v.d->vdev, v.vq, head, NULL,
                           30 * G_USEC_PER_SEC);
    check_zero(vm, 0x300000, GRANULE);
    check(vm, 0x301000, 3 * GRANULE, 0x301000, 7);
    check_zero(vm, 0x304000, GRANULE);
    virtio_stop(&v);
    vm_stop(vm);
}

/* virtio-mem's memory can be granted as far as it is plugged */
static void test_virtio_mem(void)
{
    const uint64_t start = 0x100800000;
    const uint64_t page = start / GRANULE;
    const uint64_t block = 2 * MiB / GRANULE;
    struct virtio_mem_req req = {
        .type = cpu_to_le16(VIRTIO_MEM_REQ_PLUG),
        .u.plug.addr = cpu_to_le64(start + 2 * MiB),
        .u.plug.nb_blocks = cpu_to_le16(2),
    };
    Vm *vm = vm_direct(",direct-limit=16M",
                       "-object memory-backend-ram,id=m1,size=16M "
                       "-device virtio-mem-pci,id=vmem0,memdev=m1,addr=6,"
                       "memaddr=0x100800000,block-size=2M,requested-size=4M,"
                       "unplugged-inaccessible=off");
    Virtio v;

    enable_large(vm);
    for (int i = 0; i < 8; i++) {
        g_assert_cmpuint(grant_pages(vm, DOM_A, page + i * block, 1, RW), ==,
                         PV_IOMMU_S_RANGE);
    }

    virtio_start(&v, vm);
    virtio_do(&v, &req, sizeof(req), sizeof(struct virtio_mem_resp));
    g_assert_cmpuint(qtest_readw(vm->qts, v.buf + sizeof(req)), ==,
                     VIRTIO_MEM_RESP_ACK);
    for (int i = 0; i < 8; i++) {
        g_assert_cmpuint(grant_pages(vm, DOM_A, page + i * block, 1, RW), ==,
                         i == 1 || i == 2 ? PV_IOMMU_S_OK : PV_IOMMU_S_RANGE);
    }
    /* both, from the one into the other, and all of it; and what is beside */
    g_assert_cmpuint(revoke_pages(vm, DOM_A, page + block, 1), ==,
                     PV_IOMMU_S_OK);
    g_assert_cmpuint(revoke_pages(vm, DOM_A, page + 2 * block, 1), ==,
                     PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_pages(vm, DOM_A, page + block - 1, 2, RW), ==,
                     PV_IOMMU_S_RANGE);
    g_assert_cmpuint(grant_pages(vm, DOM_A, page + 3 * block - 1, 2, RW), ==,
                     PV_IOMMU_S_RANGE);
    g_assert_cmpuint(grant_pages(vm, DOM_A, page + 2 * block, 1024, RWL), ==,
                     PV_IOMMU_S_RANGE);
    g_assert_cmpuint(granted(vm), ==, 0);
    g_assert_cmpuint(grant_pages(vm, DOM_A, page + block, 1024, RW), ==,
                     PV_IOMMU_S_OK);
    g_assert(reaches(vm, 0, page + 3 * block - 1));
    virtio_stop(&v);
    vm_stop(vm);
}

static uint64_t plugged(Vm *vm)
{
    QDict *rsp = qtest_qmp(vm->qts, "{'execute': 'qom-get', 'arguments': "
                           "{'path': 'vmem0', 'property': 'size'}}");
    uint64_t size = qdict_get_int(rsp, "return");

    qobject_unref(rsp);
    return size;
}

/*
 * What virtio-mem has plugged stays while a page of it is granted, if the guest
 * says otherwise; a reset takes it back, and what was granted of it
 */
static void virtio_mem_reset(const char *before, const char *after)
{
    const uint64_t start = 0x100800000;
    const uint64_t page = start / GRANULE;
    struct virtio_mem_req req = {
        .type = cpu_to_le16(VIRTIO_MEM_REQ_PLUG),
        .u.plug.addr = cpu_to_le64(start),
        .u.plug.nb_blocks = cpu_to_le16(2),
    };
    g_autofree char *props = g_strdup_printf(PROPS ",direct-limit=16M %s",
                                             after);
    Vm *vm = vm_launch("q35", before, props, "");
    Virtio v;

    vm_probe(vm);
    enable_direct(vm);
    g_assert_cmpuint(attach_to(vm, RID, DOM_A), ==, PV_IOMMU_S_OK);
    virtio_start(&v, vm);
    virtio_do(&v, &req, sizeof(req), sizeof(struct virtio_mem_resp));
    g_assert_cmpuint(plugged(vm), ==, 4 * MiB);
    g_assert_cmpuint(grant_pages(vm, DOM_A, page + 3, 1, RW), ==,
                     PV_IOMMU_S_OK);

    req.type = cpu_to_le16(VIRTIO_MEM_REQ_UNPLUG_ALL);
    virtio_do(&v, &req, sizeof(req), sizeof(struct virtio_mem_resp));
    g_assert_cmpuint(qtest_readw(vm->qts, v.buf + sizeof(req)), ==,
                     VIRTIO_MEM_RESP_BUSY);
    g_assert_cmpuint(plugged(vm), ==, 4 * MiB);
    g_assert(reaches(vm, 0, page + 3));
    virtio_stop(&v);

    system_reset(vm);
    g_assert_cmpuint(plugged(vm), ==, 0);
    g_assert_cmpuint(granted(vm), ==, 0);
    enable_direct(vm);
    g_assert_cmpuint(attach_to(vm, RID, DOM_A), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_pages(vm, DOM_A, page + 3, 1, RW), ==,
                     PV_IOMMU_S_RANGE);
    vm_stop(vm);
}

static void test_virtio_mem_reset(void)
{
    const char *vmem = "-object memory-backend-ram,id=m1,size=16M -device "
                       "virtio-mem-pci,id=vmem0,memdev=m1,addr=6,"
                       "memaddr=0x100800000,block-size=2M,requested-size=4M,"
                       "unplugged-inaccessible=off";

    virtio_mem_reset(vmem, "");
    virtio_mem_reset("", vmem);
}

void add_direct_tests(void)
{
    qtest_add_func("/pv-iommu/direct/registers", test_registers);
    qtest_add_func("/pv-iommu/direct/grant", test_grant);
    qtest_add_func("/pv-iommu/direct/permission", test_permission);
    qtest_add_func("/pv-iommu/direct/bad", test_bad);
    qtest_add_func("/pv-iommu/direct/riding", test_riding);
    qtest_add_func("/pv-iommu/direct/limit", test_limit);
    qtest_add_func("/pv-iommu/direct/large", test_large);
    qtest_add_func("/pv-iommu/direct/large-unplug", test_large_unplug);
    qtest_add_func("/pv-iommu/direct/life", test_life);
    qtest_add_func("/pv-iommu/direct/unplug", test_unplug);
    qtest_add_func("/pv-iommu/direct/moved", test_moved);
    qtest_add_func("/pv-iommu/direct/no-memory", test_no_memory);
    qtest_add_func("/pv-iommu/direct/balloon", test_balloon);
    qtest_add_func("/pv-iommu/direct/reporting", test_reporting);
    qtest_add_func("/pv-iommu/direct/virtio-mem", test_virtio_mem);
    qtest_add_func("/pv-iommu/direct/virtio-mem-reset", test_virtio_mem_reset);
}
