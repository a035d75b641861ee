/*
 * QTest testcase for the pv-iommu device: mappings
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/pci/pci_regs.h"
#include "pv-iommu-test.h"

static void test_map(void)
{
    Vm *vm = vm_bounce("");
    Edu *edu = &vm->edu[0];
    struct pv_iommu_req req;
    uint64_t dma;

    /* dirt in a slot, to be cleared by the next map */
    qtest_memset(vm->qts, SRC, 0xee, 4096);
    dma = map(vm, RID, SRC, 4096);
    g_assert_cmpuint(unmap(vm, RID, dma, 0), ==, PV_IOMMU_S_OK);
    peek(vm, dma, EDU_MAX);
    check_zero(vm, WINDOW_ADDR, EDU_MAX);
    qtest_memset(vm->qts, WINDOW_ADDR, 0xdd, EDU_MAX);
    dma_copy(vm, edu, WINDOW_DMA, dma, EDU_MAX);

    /* three pieces with gaps, at odd places */
    fill(vm, SRC, 4096, 1);
    fill(vm, SRC + 0x10001, 4096, 2);
    map_init(&req, RID, 0, 0);
    req.nr_segs = cpu_to_le16(3);
    req.length = cpu_to_le64(1500);
    seg_set(&req, 0, SRC + 3, 100, 7);
    seg_set(&req, 1, SRC + 0x10001, 1, 107);
    seg_set(&req, 2, SRC + 0x10005, 1000, 300);
    g_assert_cmphex(map_submit(vm, &req), ==, dma);

    peek(vm, dma, EDU_MAX);
    check_zero(vm, WINDOW_ADDR, 7);
    check(vm, WINDOW_ADDR + 7, 100, SRC + 3, 1);
    check(vm, WINDOW_ADDR + 107, 1, SRC + 0x10001, 2);
    check_zero(vm, WINDOW_ADDR + 108, 300 - 108);
    check(vm, WINDOW_ADDR + 300, 1000, SRC + 0x10005, 2);
    check_zero(vm, WINDOW_ADDR + 1300, EDU_MAX - 1300);

    /* the device writes some of it; nothing moves until it is asked for */
    fill(vm, WINDOW_ADDR, EDU_MAX, 9);
    dma_copy(vm, edu, WINDOW_DMA, dma, 200);
    check(vm, SRC, 4096, SRC, 1);

    /* a range that ends inside the first piece, and one across the gap */
    g_assert_cmpuint(sync_range(vm, RID, dma, PV_IOMMU_DIR_FROM_DEVICE, 0, 10),
                     ==, PV_IOMMU_S_OK);
    check(vm, SRC, 3, SRC, 1);
    check(vm, SRC + 3, 3, WINDOW_ADDR + 7, 9);
    check(vm, SRC + 6, 4096 - 6, SRC + 6, 1);
    check(vm, SRC + 0x10001, 4096, SRC + 0x10001, 2);
    g_assert_cmpuint(sync_range(vm, RID, dma, PV_IOMMU_DIR_FROM_DEVICE, 106,
                                200), ==, PV_IOMMU_S_OK);
    check(vm, SRC + 6, 96, SRC + 6, 1);
    check(vm, SRC + 102, 1, WINDOW_ADDR + 106, 9);
    check(vm, SRC + 103, 4096 - 103, SRC + 103, 1);
    check(vm, SRC + 0x10001, 1, WINDOW_ADDR + 107, 9);
    check(vm, SRC + 0x10002, 4095, SRC + 0x10002, 2);

    /* to the device: only the range */
    fill(vm, SRC + 0x10005, 1000, 5);
    g_assert_cmpuint(sync_range(vm, RID, dma, PV_IOMMU_DIR_TO_DEVICE, 400, 50),
                     ==, PV_IOMMU_S_OK);
    peek(vm, dma, EDU_MAX);
    check(vm, WINDOW_ADDR + 300, 100, SRC + 0x10005, 2);
    check(vm, WINDOW_ADDR + 400, 50, SRC + 0x10005 + 100, 5);
    check(vm, WINDOW_ADDR + 450, 850, SRC + 0x10005 + 150, 2);

    /* unmap brings the rest, and clears */
    g_assert_cmpuint(unmap(vm, RID, dma, PV_IOMMU_DIR_FROM_DEVICE), ==,
                     PV_IOMMU_S_OK);
    check(vm, SRC, 3, SRC, 1);
    check(vm, SRC + 3, 100, WINDOW_ADDR + 7, 9);
    check(vm, SRC + 103, 4096 - 103, SRC + 103, 1);
    check(vm, SRC + 0x10001 + 1004, 4096 - 1004, SRC + 0x10001 + 1004, 2);
    peek(vm, dma, EDU_MAX);
    check_zero(vm, WINDOW_ADDR, EDU_MAX);
    g_assert_cmpuint(prop(vm, "x-live-mappings"), ==, 0);

    /* all that a request can carry, and a piece across two regions' border */
    fill(vm, SRC, 128 * 64, 3);
    map_init(&req, RID, 0, 0);
    req.nr_segs = cpu_to_le16(PV_IOMMU_MAX_SEGS);
    req.length = cpu_to_le64(PV_IOMMU_MAX_SEGS * 8);
    for (int i = 0; i < PV_IOMMU_MAX_SEGS; i++) {
        seg_set(&req, i, SRC + i * 64, 8, i * 8);
    }
    dma = map_submit(vm, &req);
    peek(vm, dma, 1024);
    for (int i = 0; i < PV_IOMMU_MAX_SEGS; i++) {
        check(vm, WINDOW_ADDR + i * 8, 8, SRC + i * 64, 3);
    }
    g_assert_cmpuint(unmap(vm, RID, dma, 0), ==, PV_IOMMU_S_OK);

    /* memory in the window is the guest's, too */
    fill(vm, WINDOW_ADDR + MiB, 4096, 6);
    dma = map(vm, RID, WINDOW_ADDR + MiB, 4096);
    peek(vm, dma, EDU_MAX);
    check(vm, WINDOW_ADDR, EDU_MAX, WINDOW_ADDR + MiB, 6);
    g_assert_cmpuint(unmap(vm, RID, dma, 0), ==, PV_IOMMU_S_OK);

    g_assert_cmpuint(reg64(vm, PV_IOMMU_REG_FAULT_COUNT), ==, 0);
    vm_stop(vm);
}
static void test_placement(void)
{
    Vm *vm = vm_bounce("");
    const uint64_t end = ARENA_DMA + ARENA_SIZE;
    struct pv_iommu_req req;
    uint64_t dma, low;
    int i;

    /* high places first, so that the low ones are free when they are needed */
    g_assert_cmphex(map(vm, RID, SRC, 1), ==, end - GRANULE);
    g_assert_cmphex(map(vm, RID, SRC, 4097), ==, end - 3 * GRANULE);
    for (i = 3; i < ARENA_SIZE / GRANULE / 2; i++) {
        g_assert_cmphex(map(vm, RID, SRC, GRANULE), ==,
                        end - (i + 1) * GRANULE);
    }

    /* the limit counts for the last byte */
    map_init(&req, RID, SRC, 8192);
    req.dma_limit = cpu_to_le64(ARENA_DMA + 8191);
    low = map_submit(vm, &req);
    g_assert_cmphex(low, ==, ARENA_DMA);
    map_init(&req, RID, SRC, 1);
    req.dma_limit = cpu_to_le64(ARENA_DMA + 8191);
    g_assert_cmpuint(submit(vm, &req), ==, PV_IOMMU_S_NOSPC);
    g_assert_cmpuint(unmap(vm, RID, low, 0), ==, PV_IOMMU_S_OK);

    map_init(&req, RID, SRC, 100);
    req.dma_limit = cpu_to_le64(ARENA_DMA + 3 * GRANULE + 50);
    g_assert_cmphex(map_submit(vm, &req), ==, ARENA_DMA + 2 * GRANULE);
    g_assert_cmpuint(unmap(vm, RID, ARENA_DMA + 2 * GRANULE, 0), ==,
                     PV_IOMMU_S_OK);

    /* alignment; map_submit() checks it */
    map_init(&req, RID, SRC, 100);
    req.align_mask = cpu_to_le64(0x1ffff);
    dma = map_submit(vm, &req);
    g_assert_cmphex(dma, ==, ARENA_DMA + 0x60000);
    g_assert_cmpuint(unmap(vm, RID, dma, 0), ==, PV_IOMMU_S_OK);

    /* a boundary of 16 KiB: three pages never lie across it */
    for (i = 0; i < 16; i++) {
        map_init(&req, RID, SRC, 3 * GRANULE);
        req.boundary_mask = cpu_to_le64(0x3fff);
        dma = map_submit(vm, &req);
        g_assert_cmphex(dma & ~0x3fffULL, ==,
                        (dma + 3 * GRANULE - 1) & ~0x3fffULL);
    }
    /* what does not fit below it at all is placed nevertheless */
    map_init(&req, RID, SRC, 5 * GRANULE);
    req.boundary_mask = cpu_to_le64(0x3fff);
    map_submit(vm, &req);
    map_init(&req, RID, SRC, 64);
    req.boundary_mask = 0;
    map_submit(vm, &req);

    /* full; nothing breaks, and room comes back */
    set_reg(vm, PV_IOMMU_REG_CONTROL, PV_IOMMU_CTL_RESET);
    set_features(vm, PV_IOMMU_F_BOUNCE);
    g_assert_cmpuint(prop(vm, "x-live-mappings"), ==, 0);
    g_assert_cmpuint(attach(vm, RID, PV_IOMMU_ATTACH_BOUNCE), ==,
                     PV_IOMMU_S_OK);
    for (i = 0; i < ARENA_SIZE / GRANULE; i++) {
        low = map(vm, RID, SRC, 1 + i);
    }
    g_assert_cmphex(low, ==, ARENA_DMA);
    map_init(&req, RID, SRC, 1);
    g_assert_cmpuint(submit(vm, &req), ==, PV_IOMMU_S_NOSPC);
    g_assert_cmphex(le64_to_cpu(req.dma_addr), ==, 0);
    g_assert_cmpuint(unmap(vm, RID, ARENA_DMA + 10 * GRANULE, 0), ==,
                     PV_IOMMU_S_OK);
    g_assert_cmpuint(unmap(vm, RID, ARENA_DMA + 12 * GRANULE, 0), ==,
                     PV_IOMMU_S_OK);
    map_init(&req, RID, SRC, 4097);
    g_assert_cmpuint(submit(vm, &req), ==, PV_IOMMU_S_NOSPC);
    g_assert_cmphex(map(vm, RID, SRC, 4096), ==, ARENA_DMA + 12 * GRANULE);
    g_assert_cmphex(map(vm, RID, SRC, 4096), ==, ARENA_DMA + 10 * GRANULE);
    vm_stop(vm);
}

/* Live mappings that lose their device */
static void test_drop(void)
{
    Vm *vm = vm_bounce("");
    uint64_t dma, other;

    g_assert_cmpuint(attach(vm, RID2, PV_IOMMU_ATTACH_BOUNCE), ==,
                     PV_IOMMU_S_OK);
    fill(vm, SRC, 8192, 1);

    /* detach: its mappings go, another device's stay; no byte comes back */
    dma = map(vm, RID, SRC, 8192);
    map(vm, RID, SRC, 1);
    other = map(vm, RID2, SRC, 64);
    dma_load(vm, &vm->edu[0], dma + 100, 64);
    dma_store(vm, &vm->edu[0], dma, 64);
    g_assert_cmpuint(detach(vm, RID), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(prop(vm, "x-live-mappings"), ==, 1);
    g_assert_cmpuint(prop(vm, "x-dropped-mappings"), ==, 2);
    check(vm, SRC, 8192, SRC, 1);
    g_assert(!dma_reaches(vm, &vm->edu[0], dma, WILD));
    g_assert_cmpuint(unmap(vm, RID, dma, 0), ==, PV_IOMMU_S_STATE);
    g_assert_cmpuint(attach(vm, RID, PV_IOMMU_ATTACH_BOUNCE), ==,
                     PV_IOMMU_S_OK);
    g_assert_cmpuint(unmap(vm, RID, dma, 0), ==, PV_IOMMU_S_HANDLE);
    peek(vm, dma, EDU_MAX);
    check_zero(vm, WINDOW_ADDR, EDU_MAX);

    /* the guest's reset */
    map(vm, RID, SRC, 64);
    set_reg(vm, PV_IOMMU_REG_CONTROL, PV_IOMMU_CTL_RESET);
    g_assert_cmpuint(prop(vm, "x-live-mappings"), ==, 0);
    g_assert_cmpuint(prop(vm, "x-dropped-mappings"), ==, 4);
    set_features(vm, PV_IOMMU_F_BOUNCE);
    g_assert_cmpuint(attach(vm, RID2, PV_IOMMU_ATTACH_BOUNCE), ==,
                     PV_IOMMU_S_OK);
    g_assert_cmpuint(unmap(vm, RID2, other, 0), ==, PV_IOMMU_S_HANDLE);
    g_assert_cmpuint(attach(vm, RID, PV_IOMMU_ATTACH_BOUNCE), ==,
                     PV_IOMMU_S_OK);
    check_alive(vm);
    vm_stop(vm);
}

/* The arena's start is the guest's, in BAR 4: mappings never get any of it */
static void test_coherent(void)
{
    const uint32_t size = 256 * KiB, seen = 0xd0000000;
    Vm *vm = vm_start(",boot-bypass=off,hw-iommu=off,arena-size=1M,"
                      "arena-coherent=256K");
    struct pv_iommu_req req;
    uint64_t dma, got = 0;

    g_assert_cmphex(reg64(vm, PV_IOMMU_REG_ARENA_COHERENT), ==, size);
    g_assert_cmphex(qpci_config_readl(vm->dev, PCI_BASE_ADDRESS_4), ==,
                    PCI_BASE_ADDRESS_MEM_PREFETCH);
    qpci_config_writel(vm->dev, PCI_BASE_ADDRESS_4, UINT32_MAX);
    g_assert_cmphex(qpci_config_readl(vm->dev, PCI_BASE_ADDRESS_4) & ~0xfU, ==,
                    -(uint32_t)(2 * MiB));
    qpci_config_writel(vm->dev, PCI_BASE_ADDRESS_4, seen);

    set_features(vm, PV_IOMMU_F_BOUNCE);
    g_assert_cmpuint(attach(vm, RID, PV_IOMMU_ATTACH_BOUNCE), ==,
                     PV_IOMMU_S_OK);
    g_assert_cmphex(reg64(vm, PV_IOMMU_REG_ARENA_DMA), ==, ARENA_DMA);

    /* both see the same memory, up to its last byte */
    fill(vm, seen, EDU_MAX, 1);
    dma_copy(vm, &vm->edu[0], ARENA_DMA, ARENA_DMA + size - EDU_MAX, EDU_MAX);
    check(vm, seen + size - EDU_MAX, EDU_MAX, 0, 1);
    /* and the guest none of what is behind it */
    qtest_memset(vm->qts, seen + size, 0x5a, GRANULE);

    /* the rest is for mappings, all of it and no more */
    fill(vm, SRC, GRANULE, 2);
    while (got < ARENA_SIZE - size) {
        dma = map(vm, RID, SRC, GRANULE);
        g_assert_cmphex(dma, >=, ARENA_DMA + size);
        got += GRANULE;
    }
    map_init(&req, RID, SRC, GRANULE);
    g_assert_cmpuint(submit(vm, &req), ==, PV_IOMMU_S_NOSPC);
    map_init(&req, RID, SRC, GRANULE);
    req.length = cpu_to_le64(ARENA_SIZE - size + 1);
    g_assert_cmpuint(submit(vm, &req), ==, PV_IOMMU_S_INVAL);
    g_assert_cmpuint(unmap(vm, RID, ARENA_DMA, 0), ==, PV_IOMMU_S_HANDLE);
    check(vm, seen, EDU_MAX, 0, 1);

    /* it can be mapped as any memory can, for another device for instance */
    g_assert_cmpuint(unmap(vm, RID, dma, 0), ==, PV_IOMMU_S_OK);
    map_init(&req, RID, seen, 100);
    g_assert_cmpuint(submit(vm, &req), ==, PV_IOMMU_S_OK);
    vm_stop(vm);
}

static void test_unplug(void)
{
    Vm *vm = vm_start_on("pc", ",boot-bypass=off,hw-iommu=off,arena-size=1M",
                         "");
    uint64_t dma;

    set_features(vm, PV_IOMMU_F_BOUNCE);
    g_assert_cmpuint(attach(vm, RID, PV_IOMMU_ATTACH_BOUNCE), ==,
                     PV_IOMMU_S_OK);
    g_assert_cmpuint(attach(vm, RID2, PV_IOMMU_ATTACH_BOUNCE), ==,
                     PV_IOMMU_S_OK);
    dma = map(vm, RID2, SRC, 4096);
    map(vm, RID, SRC, 4096);

    qpci_unplug_acpi_device_test(vm->qts, "edu1", 5);
    g_assert_cmpuint(prop(vm, "x-live-mappings"), ==, 1);
    g_assert_cmpuint(prop(vm, "x-dropped-mappings"), ==, 1);
    g_assert_cmpuint(attach(vm, RID2, PV_IOMMU_ATTACH_BOUNCE), ==,
                     PV_IOMMU_S_NODEV);
    check_alive(vm);

    /* the next in that slot starts from nothing */
    qtest_qmp_device_add(vm->qts, "edu", "edu2", "{'addr': '5', "
                         "'dma_mask': %u}", UINT32_MAX);
    g_free(vm->edu[1].dev);
    vm->edu[1] = edu_at(vm, RID2);
    g_assert_cmpuint(unmap(vm, RID2, dma, 0), ==, PV_IOMMU_S_STATE);
    g_assert(!dma_reaches(vm, &vm->edu[1], WINDOW_DMA, WINDOW_ADDR));
    g_assert_cmpuint(attach(vm, RID2, PV_IOMMU_ATTACH_BOUNCE), ==,
                     PV_IOMMU_S_OK);
    g_assert_cmpuint(unmap(vm, RID2, dma, 0), ==, PV_IOMMU_S_HANDLE);
    g_assert(dma_reaches(vm, &vm->edu[1], WINDOW_DMA, WINDOW_ADDR));
    vm_stop(vm);
}

/* Memory of two devices side by side, of which one goes while it is mapped */
static void test_memory_unplug(void)
{
    const uint64_t win = WINDOW_ADDR + 2 * MiB;
    const uint64_t dimm = win + WINDOW_SIZE;
    Vm *vm = vm_start_on("q35", ",boot-bypass=off,hw-iommu=off,arena-size=1M,"
                         "memaddr=0x100200000",
                         "-object memory-backend-ram,id=m1,size=64M "
                         "-device pc-dimm,id=dimm1,memdev=m1,addr=0x100600000");
    struct pv_iommu_req req;
    uint64_t dma;

    g_assert_cmphex(reg64(vm, PV_IOMMU_REG_WINDOW_ADDR), ==, win);
    set_features(vm, PV_IOMMU_F_BOUNCE);
    g_assert_cmpuint(attach(vm, RID, PV_IOMMU_ATTACH_BOUNCE), ==,
                     PV_IOMMU_S_OK);

    /* a hole with memory behind it is no memory */
    map_init(&req, RID, win - 1, 100);
    g_assert_cmpuint(submit(vm, &req), ==, PV_IOMMU_S_RANGE);
    map_init(&req, RID, win - MiB, MiB);
    g_assert_cmpuint(submit(vm, &req), ==, PV_IOMMU_S_RANGE);
    map_init(&req, RID, dimm + 64 * MiB - 99, 100);
    g_assert_cmpuint(submit(vm, &req), ==, PV_IOMMU_S_RANGE);

    /* but one piece may lie in both */
    fill(vm, dimm - 1000, 2000, 3);
    dma = map(vm, RID, dimm - 1000, 2000);
    dma_copy(vm, &vm->edu[0], dma, WINDOW_DMA, 2000);
    check(vm, win, 2000, dimm - 1000, 3);
    dma_copy(vm, &vm->edu[0], WINDOW_DMA + 100, dma, 1900);
    g_assert_cmpuint(unmap(vm, RID, dma, PV_IOMMU_DIR_FROM_DEVICE), ==,
                     PV_IOMMU_S_OK);
    check(vm, dimm - 1000, 1900, dimm - 900, 3);

    fill(vm, SRC, 256, 1);
    map_init(&req, RID, 0, 0);
    req.nr_segs = cpu_to_le16(3);
    req.length = cpu_to_le64(300);
    seg_set(&req, 0, SRC, 100, 0);
    seg_set(&req, 1, dimm, 100, 100);
    seg_set(&req, 2, SRC + 100, 100, 200);
    dma = map_submit(vm, &req);

    qtest_qmp_device_del_send(vm->qts, "dimm1");
    dimm_eject(vm);
    qtest_qmp_eventwait(vm->qts, "DEVICE_DELETED");

    /* what is still there is served; the rest is an error and no crash */
    fill(vm, win, 300, 7);
    dma_copy(vm, &vm->edu[0], WINDOW_DMA, dma, 300);
    g_assert_cmpuint(sync_range(vm, RID, dma, PV_IOMMU_DIR_FROM_DEVICE, 0,
                                100), ==, PV_IOMMU_S_OK);
    check(vm, SRC, 100, win, 7);
    check(vm, SRC + 100, 100, SRC + 100, 1);
    g_assert_cmpuint(sync_range(vm, RID, dma, PV_IOMMU_DIR_TO_DEVICE, 100, 1),
                     ==, PV_IOMMU_S_RANGE);
    g_assert_cmpuint(unmap(vm, RID, dma, PV_IOMMU_DIR_FROM_DEVICE), ==,
                     PV_IOMMU_S_RANGE);
    check(vm, SRC + 100, 100, win + 200, 7);
    g_assert_cmpuint(unmap(vm, RID, dma, 0), ==, PV_IOMMU_S_HANDLE);
    map_init(&req, RID, dimm, 100);
    g_assert_cmpuint(submit(vm, &req), ==, PV_IOMMU_S_RANGE);
    check_alive(vm);
    vm_stop(vm);
}

static void test_error_rate(void)
{
    Vm *vm = vm_start(",hw-iommu=off,arena-size=1M,x-error-rate=3");
    struct pv_iommu_req req;

    set_features(vm, PV_IOMMU_F_BOUNCE);
    g_assert_cmpuint(attach(vm, RID, PV_IOMMU_ATTACH_BOUNCE), ==,
                     PV_IOMMU_S_OK);
    g_assert_cmpuint(detach(vm, RID), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(attach(vm, RID, PV_IOMMU_ATTACH_BOUNCE), ==,
                     PV_IOMMU_S_OK);
    g_assert_cmpuint(attach(vm, RID2, PV_IOMMU_ATTACH_BOUNCE), ==,
                     PV_IOMMU_S_IO);
    for (int i = 0; i < 9; i++) {
        map_init(&req, RID, SRC, 1);
        g_assert_cmpuint(submit(vm, &req), ==,
                         i % 3 == 2 ? PV_IOMMU_S_NOSPC : PV_IOMMU_S_OK);
    }
    g_assert_cmpuint(prop(vm, "x-live-mappings"), ==, 6);
    vm_stop(vm);
}

/* The same while the machine runs, for the requests that copy */
static void test_error_ops(void)
{
    const uint32_t from = PV_IOMMU_DIR_FROM_DEVICE;
    Vm *vm = vm_bounce("");
    uint64_t dma[2];

    for (int i = 0; i < 2; i++) {
        fill(vm, SRC + i * GRANULE, 256, 1);
        dma[i] = map(vm, RID, SRC + i * GRANULE, 256);
        fill(vm, WINDOW_ADDR, 256, 7);
        dma_copy(vm, &vm->edu[0], WINDOW_DMA, dma[i], 256);
    }
    set_prop(vm, "x-error-ops", 1 << PV_IOMMU_OP_UNMAP | 1 << PV_IOMMU_OP_SYNC);
    set_prop(vm, "x-error-rate", 2);

    /* the second of each: nothing is copied, and the unmapped is gone */
    g_assert_cmpuint(sync_range(vm, RID, dma[0], from, 0, 100), ==,
                     PV_IOMMU_S_OK);
    check(vm, SRC, 100, WINDOW_ADDR, 7);
    g_assert_cmpuint(sync_range(vm, RID, dma[0], from, 100, 100), ==,
                     PV_IOMMU_S_IO);
    check(vm, SRC + 100, 156, SRC + 100, 1);
    g_assert_cmpuint(unmap(vm, RID, dma[0], from), ==, PV_IOMMU_S_OK);
    check(vm, SRC, 256, WINDOW_ADDR, 7);
    g_assert_cmpuint(unmap(vm, RID, dma[1], from), ==, PV_IOMMU_S_IO);
    check(vm, SRC + GRANULE, 256, SRC + GRANULE, 1);
    g_assert_cmpuint(prop(vm, "x-live-mappings"), ==, 0);
    g_assert_cmpuint(unmap(vm, RID, dma[1], from), ==, PV_IOMMU_S_HANDLE);

    set_prop(vm, "x-error-rate", 0);
    check_alive(vm);
    vm_stop(vm);
}

/* A host that takes window and arena away, and gives them back */
static void test_withhold(void)
{
    Vm *vm = vm_bounce("");
    uint64_t dma = map(vm, RID, SRC, 256);

    g_assert(dma_reaches(vm, &vm->edu[0], WINDOW_DMA, WINDOW_ADDR));
    qtest_qom_set_bool(vm->qts, QOM_PATH, "x-withhold", true);
    g_assert(!dma_reaches(vm, &vm->edu[0], WINDOW_DMA, WINDOW_ADDR));
    dma_store(vm, &vm->edu[0], dma, 8);
    check_fault(vm, 3, dma, RID | PV_IOMMU_FAULT_WRITE);
    g_assert_cmpuint(attach(vm, RID2, PV_IOMMU_ATTACH_BOUNCE), ==,
                     PV_IOMMU_S_IO);

    qtest_qom_set_bool(vm->qts, QOM_PATH, "x-withhold", false);
    g_assert(dma_reaches(vm, &vm->edu[0], WINDOW_DMA, WINDOW_ADDR));
    g_assert_cmpuint(attach(vm, RID2, PV_IOMMU_ATTACH_BOUNCE), ==,
                     PV_IOMMU_S_OK);
    g_assert_cmpuint(unmap(vm, RID, dma, 0), ==, PV_IOMMU_S_OK);
    check_alive(vm);
    vm_stop(vm);
}

/* One request does not keep the host busy for ever */
static void test_length(void)
{
    const uint32_t most = PV_IOMMU_MAX_LENGTH;
    Vm *vm = vm_start(",boot-bypass=off,hw-iommu=off,arena-size=64M");
    struct pv_iommu_req req;

    set_features(vm, PV_IOMMU_F_BOUNCE);
    g_assert_cmpuint(attach(vm, RID, PV_IOMMU_ATTACH_BOUNCE), ==,
                     PV_IOMMU_S_OK);
    map_init(&req, RID, SRC, most + 1);
    g_assert_cmpuint(submit(vm, &req), ==, PV_IOMMU_S_INVAL);
    map_init(&req, RID, SRC, most);
    g_assert_cmpuint(submit(vm, &req), ==, PV_IOMMU_S_OK);
    vm_stop(vm);
}

void add_bounce_tests(void)
{
    qtest_add_func("/pv-iommu/bounce/length", test_length);
    qtest_add_func("/pv-iommu/bounce/map", test_map);
    qtest_add_func("/pv-iommu/bounce/placement", test_placement);
    qtest_add_func("/pv-iommu/bounce/drop", test_drop);
    qtest_add_func("/pv-iommu/bounce/unplug", test_unplug);
    qtest_add_func("/pv-iommu/bounce/coherent", test_coherent);
    qtest_add_func("/pv-iommu/bounce/memory-unplug", test_memory_unplug);
    qtest_add_func("/pv-iommu/bounce/error-rate", test_error_rate);
    qtest_add_func("/pv-iommu/bounce/error-ops", test_error_ops);
    qtest_add_func("/pv-iommu/bounce/withhold", test_withhold);
}
