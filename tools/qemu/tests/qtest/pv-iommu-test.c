/*
 * QTest testcase for the pv-iommu device: registers, attach, what devices reach
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/pci/pci_regs.h"
#include "pv-iommu-test.h"

/*
 * Registers
 */

static void test_registers(void)
{
    Vm *vm = vm_start(",hw-iommu=on,arena-size=1M");

    g_assert_cmphex(qpci_config_readw(vm->dev, PCI_VENDOR_ID), ==, 0x1af4);
    g_assert_cmphex(qpci_config_readw(vm->dev, PCI_DEVICE_ID), ==, 0x10f0);
    g_assert_cmphex(reg(vm, PV_IOMMU_REG_MAGIC), ==, PV_IOMMU_MAGIC);
    g_assert_cmphex(reg(vm, PV_IOMMU_REG_VERSION), ==, PV_IOMMU_VERSION);
    g_assert_cmphex(reg64(vm, PV_IOMMU_REG_HOST_FEATURES), ==,
                    PV_IOMMU_F_WINDOW | PV_IOMMU_F_BOUNCE | PV_IOMMU_F_CHUNKS);
    g_assert_cmphex(reg64(vm, PV_IOMMU_REG_GUEST_FEATURES), ==, 0);
    g_assert_cmphex(reg(vm, PV_IOMMU_REG_CONTROL), ==, 0);
    g_assert_cmpuint(reg(vm, PV_IOMMU_REG_ERRORS), ==, 0);
    g_assert_cmphex(reg64(vm, PV_IOMMU_REG_WINDOW_ADDR), ==, WINDOW_ADDR);
    g_assert_cmphex(reg64(vm, PV_IOMMU_REG_WINDOW_SIZE), ==, WINDOW_SIZE);
    g_assert_cmphex(reg64(vm, PV_IOMMU_REG_WINDOW_DMA), ==, WINDOW_DMA);
    g_assert_cmphex(reg64(vm, PV_IOMMU_REG_ARENA_DMA), ==, ARENA_DMA);
    g_assert_cmphex(reg64(vm, PV_IOMMU_REG_ARENA_SIZE), ==, ARENA_SIZE);
    g_assert_cmpuint(reg64(vm, PV_IOMMU_REG_FAULT_COUNT), ==, 0);
    g_assert_cmphex(reg64(vm, PV_IOMMU_REG_FAULT_ADDR), ==, 0);
    g_assert_cmphex(reg(vm, PV_IOMMU_REG_FAULT_INFO), ==, 0);
    g_assert_cmphex(reg(vm, PV_IOMMU_REG_DOORBELL), ==, 0);
    g_assert_cmphex(reg64(vm, PV_IOMMU_REG_CHUNK_SIZE), ==, CHUNK_SIZE);
    g_assert_cmphex(reg64(vm, PV_IOMMU_REG_WINDOW_LIMIT), ==, WINDOW_SIZE);
    g_assert_cmphex(reg64(vm, PV_IOMMU_REG_WINDOW_GRANTED), ==, 0);

    /* unlisted ones read as zero, and no write changes a read-only one */
    for (uint64_t i = 0; i < PV_IOMMU_REGS_SIZE; i += 4) {
        uint32_t before = reg(vm, i);

        if (i > PV_IOMMU_REG_WINDOW_LIMIT + 4 ||
            (i > PV_IOMMU_REG_FAULT_INFO && i < PV_IOMMU_REG_CHUNK_SIZE)) {
            g_assert_cmphex(before, ==, 0);
        }
        if (i != PV_IOMMU_REG_GUEST_FEATURES &&
            i != PV_IOMMU_REG_GUEST_FEATURES + 4 &&
            i != PV_IOMMU_REG_CONTROL && i != PV_IOMMU_REG_DOORBELL) {
            set_reg(vm, i, ~before);
            g_assert_cmphex(reg(vm, i), ==, before);
        }
    }

    /* the window is ordinary memory */
    fill(vm, WINDOW_ADDR, 4096, 1);
    check(vm, WINDOW_ADDR, 4096, WINDOW_ADDR, 1);
    fill(vm, WINDOW_ADDR + WINDOW_SIZE - 4096, 4096, 1);
    check(vm, WINDOW_ADDR + WINDOW_SIZE - 4096, 4096,
          WINDOW_ADDR + WINDOW_SIZE - 4096, 1);
    vm_stop(vm);
}

static void test_features(void)
{
    static const uint64_t bad[] = {
        0, PV_IOMMU_F_CHUNKS, 1ULL << 3, 1ULL << 63, PV_IOMMU_F_WINDOW,
        PV_IOMMU_F_WINDOW | PV_IOMMU_F_BOUNCE, PV_IOMMU_F_BOUNCE | 1ULL << 32,
    };
    Vm *vm = vm_start(",hw-iommu=off");

    g_assert_cmphex(reg64(vm, PV_IOMMU_REG_HOST_FEATURES), ==,
                    PV_IOMMU_F_BOUNCE | PV_IOMMU_F_CHUNKS);
    for (int i = 0; i < ARRAY_SIZE(bad); i++) {
        set_features(vm, bad[i]);
        g_assert_cmphex(reg64(vm, PV_IOMMU_REG_GUEST_FEATURES), ==, bad[i]);
        g_assert_cmphex(reg(vm, PV_IOMMU_REG_CONTROL), ==, 0);
        g_assert_cmpuint(attach(vm, RID, PV_IOMMU_ATTACH_BOUNCE), ==,
                         PV_IOMMU_S_STATE);
    }

    /* reserved bits in CONTROL: as if not written */
    set_features(vm, 0);
    set_reg(vm, PV_IOMMU_REG_GUEST_FEATURES, PV_IOMMU_F_BOUNCE);
    set_reg(vm, PV_IOMMU_REG_CONTROL, PV_IOMMU_CTL_ENABLE | 1 << 2);
    g_assert_cmphex(reg(vm, PV_IOMMU_REG_CONTROL), ==, 0);

    /* once enabled, only a reset changes them */
    set_features(vm, PV_IOMMU_F_BOUNCE);
    g_assert_cmphex(reg(vm, PV_IOMMU_REG_CONTROL), ==, PV_IOMMU_CTL_ENABLE);
    set_features(vm, 0);
    set_reg(vm, PV_IOMMU_REG_CONTROL, 0);
    g_assert_cmphex(reg(vm, PV_IOMMU_REG_CONTROL), ==, PV_IOMMU_CTL_ENABLE);
    g_assert_cmphex(reg64(vm, PV_IOMMU_REG_GUEST_FEATURES), ==,
                    PV_IOMMU_F_BOUNCE);
    g_assert_cmpuint(simple(vm, PV_IOMMU_OP_NOP, 0, 0), ==, PV_IOMMU_S_OK);
    set_reg(vm, PV_IOMMU_REG_CONTROL, PV_IOMMU_CTL_RESET);
    g_assert_cmphex(reg(vm, PV_IOMMU_REG_CONTROL), ==, 0);
    g_assert_cmphex(reg64(vm, PV_IOMMU_REG_GUEST_FEATURES), ==, 0);
    g_assert_cmpuint(simple(vm, PV_IOMMU_OP_NOP, 0, 0), ==, PV_IOMMU_S_STATE);
    vm_stop(vm);

    /* left to itself, it offers both: emulated devices need no IOMMU */
    vm = vm_start("");
    g_assert_cmphex(reg64(vm, PV_IOMMU_REG_HOST_FEATURES), ==,
                    PV_IOMMU_F_WINDOW | PV_IOMMU_F_BOUNCE |
                    PV_IOMMU_F_CHUNKS);
    vm_stop(vm);

    vm = vm_start(",hw-iommu=on,arena-size=0");
    g_assert_cmphex(reg64(vm, PV_IOMMU_REG_HOST_FEATURES), ==,
                    PV_IOMMU_F_WINDOW | PV_IOMMU_F_CHUNKS);
    g_assert_cmphex(reg64(vm, PV_IOMMU_REG_ARENA_SIZE), ==, 0);
    set_features(vm, PV_IOMMU_F_WINDOW);
    g_assert_cmpuint(attach(vm, RID, PV_IOMMU_ATTACH_BOUNCE), ==,
                     PV_IOMMU_S_UNSUPP);
    g_assert_cmpuint(attach(vm, RID, PV_IOMMU_ATTACH_WINDOW), ==,
                     PV_IOMMU_S_OK);
    g_assert_cmpuint(simple(vm, PV_IOMMU_OP_UNMAP, RID, 0), ==,
                     PV_IOMMU_S_UNSUPP);
    g_assert(dma_reaches(vm, &vm->edu[0], WINDOW_DMA, WINDOW_ADDR));
    vm_stop(vm);
}

/* The address of a memory device that QEMU has found a place for */
static uint64_t place_of(Vm *vm, const char *id)
{
    QDict *rsp = qtest_qmp(vm->qts, "{'execute': 'query-memory-devices'}");
    const QListEntry *e;
    uint64_t addr = 0;

    QLIST_FOREACH_ENTRY(qdict_get_qlist(rsp, "return"), e) {
        QDict *data = qdict_get_qdict(qobject_to(QDict, qlist_entry_obj(e)),
                                      "data");

        if (!g_strcmp0(qdict_get_try_str(data, "id"), id)) {
            addr = qdict_get_int(data, qdict_haskey(data, "addr") ? "addr"
                                                                  : "memaddr");
        }
    }
    qobject_unref(rsp);
    return addr;
}

/* At the end, aligned as the DMA address is; memory that comes later, below */
static void test_place(void)
{
    /* a slot adds 1 GiB of addresses to the 128 MiB between -m and maxmem= */
    const uint64_t end = 4 * GiB + 128 * MiB + GiB;
    const uint64_t dimm = 4 * GiB;
    Vm *vm = vm_start(",memaddr=0");
    uint64_t win = reg64(vm, PV_IOMMU_REG_WINDOW_ADDR);

    g_assert_cmphex(win, ==, end - 6 * MiB);
    g_assert_cmphex((win - WINDOW_DMA) & (WINDOW_SIZE - 1), ==, 0);
    g_assert_cmphex(place_of(vm, "pv0"), ==, win);
    qtest_qmp_assert_success(vm->qts, "{'execute': 'object-add', 'arguments': "
                             "{'qom-type': 'memory-backend-ram', 'id': 'm1', "
                             "'size': %u}}", (unsigned)(64 * MiB));
    qtest_qmp_device_add(vm->qts, "pc-dimm", "dimm1", "{'memdev': 'm1'}");
    g_assert_cmphex(place_of(vm, "dimm1"), ==, dimm);
    vm_stop(vm);

    /* somebody is there: where there is room */
    vm = vm_launch("q35", "-object memory-backend-ram,id=m1,size=64M "
                   "-device pc-dimm,id=dimm1,memdev=m1,addr=0x143c00000",
                   ",memaddr=0", "");
    vm_probe(vm);
    g_assert_cmphex(reg64(vm, PV_IOMMU_REG_WINDOW_ADDR), ==, 4 * GiB);
    vm_stop(vm);
}

static void test_doorbell(void)
{
    static const uint32_t bad[] = {
        RAM_SIZE >> PV_IOMMU_REQ_SHIFT,         /* just past the end of RAM */
        0xfee00000 >> PV_IOMMU_REQ_SHIFT,       /* the MSI page */
        0xffff0000 >> PV_IOMMU_REQ_SHIFT,       /* ROM */
        (WINDOW_ADDR + WINDOW_SIZE) >> PV_IOMMU_REQ_SHIFT,
        UINT32_MAX,
    };
    Vm *vm = vm_start(",hw-iommu=on");
    struct pv_iommu_req req;
    uint32_t regs_bar;

    set_features(vm, PV_IOMMU_F_WINDOW);

    /* over the I/O port */
    req_init(&req, PV_IOMMU_OP_NOP, 0, 0);
    qtest_memwrite(vm->qts, BLOCK, &req, sizeof(req));
    qpci_io_writel(vm->dev, vm->bell, 0, BLOCK >> PV_IOMMU_REQ_SHIFT);
    qtest_memread(vm->qts, BLOCK, &req, sizeof(req));
    g_assert_cmpuint(le32_to_cpu(req.status), ==, PV_IOMMU_S_OK);
    g_assert_cmphex(qpci_io_readl(vm->dev, vm->bell, 0), ==, 0);

    /* a block in the window is as good as any */
    qtest_memwrite(vm->qts, WINDOW_ADDR, &req, sizeof(req));
    qtest_writel(vm->qts, WINDOW_ADDR + offsetof(struct pv_iommu_req, status),
                 PV_IOMMU_S_NONE);
    set_reg(vm, PV_IOMMU_REG_DOORBELL, WINDOW_ADDR >> PV_IOMMU_REQ_SHIFT);
    g_assert_cmpuint(qtest_readl(vm->qts, WINDOW_ADDR +
                                 offsetof(struct pv_iommu_req, status)), ==,
                     PV_IOMMU_S_OK);

    /* blocks that are not RAM: counted, nothing else */
    for (int i = 0; i < ARRAY_SIZE(bad); i++) {
        set_reg(vm, PV_IOMMU_REG_DOORBELL, bad[i]);
        g_assert_cmpuint(reg(vm, PV_IOMMU_REG_ERRORS), ==, ++vm->errors);
        qpci_io_writel(vm->dev, vm->bell, 0, bad[i]);
        g_assert_cmpuint(reg(vm, PV_IOMMU_REG_ERRORS), ==, ++vm->errors);
    }

    /* the registers themselves: a request that would ring itself */
    regs_bar = qpci_config_readl(vm->dev, PCI_BASE_ADDRESS_0) & ~0xfU;
    set_reg(vm, PV_IOMMU_REG_DOORBELL, regs_bar >> PV_IOMMU_REQ_SHIFT);
    g_assert_cmpuint(reg(vm, PV_IOMMU_REG_ERRORS), ==, ++vm->errors);

    g_assert_cmpuint(simple(vm, PV_IOMMU_OP_NOP, 0, 0), ==, PV_IOMMU_S_OK);
    vm_stop(vm);
}

/*
 * Attach, and what devices reach
 */

static void test_attach(void)
{
    Vm *vm = vm_start(",hw-iommu=on,arena-size=1M");

    g_assert_cmpuint(attach(vm, RID, PV_IOMMU_ATTACH_WINDOW), ==,
                     PV_IOMMU_S_STATE);
    set_features(vm, PV_IOMMU_F_WINDOW);

    g_assert_cmpuint(attach(vm, RID, 0), ==, PV_IOMMU_S_INVAL);
    g_assert_cmpuint(attach(vm, RID, PV_IOMMU_ATTACH_WINDOW |
                            PV_IOMMU_ATTACH_BOUNCE), ==, PV_IOMMU_S_INVAL);
    g_assert_cmpuint(attach(vm, RID, PV_IOMMU_ATTACH_WINDOW | 1U << 2), ==,
                     PV_IOMMU_S_INVAL);
    g_assert_cmpuint(attach(vm, RID, 1U << 31), ==, PV_IOMMU_S_INVAL);
    g_assert_cmpuint(attach(vm, RID_SELF, PV_IOMMU_ATTACH_WINDOW), ==,
                     PV_IOMMU_S_NODEV);
    g_assert_cmpuint(attach(vm, RID_NONE, PV_IOMMU_ATTACH_WINDOW), ==,
                     PV_IOMMU_S_NODEV);
    g_assert_cmpuint(attach(vm, RID_NOBUS, PV_IOMMU_ATTACH_WINDOW), ==,
                     PV_IOMMU_S_NODEV);
    g_assert_cmpuint(attach(vm, RID, PV_IOMMU_ATTACH_BOUNCE), ==,
                     PV_IOMMU_S_UNSUPP);     /* offered, but not accepted */

    g_assert_cmpuint(detach(vm, RID), ==, PV_IOMMU_S_STATE);
    g_assert_cmpuint(attach(vm, RID, PV_IOMMU_ATTACH_WINDOW), ==,
                     PV_IOMMU_S_OK);
    g_assert_cmpuint(attach(vm, RID, PV_IOMMU_ATTACH_WINDOW), ==,
                     PV_IOMMU_S_STATE);
    g_assert_cmpuint(simple(vm, PV_IOMMU_OP_DETACH, RID, 1), ==,
                     PV_IOMMU_S_INVAL);
    g_assert_cmpuint(detach(vm, RID2), ==, PV_IOMMU_S_STATE);
    g_assert_cmpuint(detach(vm, RID_NOBUS), ==, PV_IOMMU_S_NODEV);
    g_assert(dma_reaches(vm, &vm->edu[0], WINDOW_DMA, WINDOW_ADDR));
    g_assert_cmpuint(detach(vm, RID), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(detach(vm, RID), ==, PV_IOMMU_S_STATE);

    for (int i = 0; i < 500; i++) {
        g_assert_cmpuint(attach(vm, RID, PV_IOMMU_ATTACH_WINDOW), ==,
                         PV_IOMMU_S_OK);
        g_assert_cmpuint(detach(vm, RID), ==, PV_IOMMU_S_OK);
    }

    /* both features: each device in its own mode */
    set_reg(vm, PV_IOMMU_REG_CONTROL, PV_IOMMU_CTL_RESET);
    set_features(vm, PV_IOMMU_F_WINDOW | PV_IOMMU_F_BOUNCE);
    g_assert_cmpuint(attach(vm, RID, PV_IOMMU_ATTACH_WINDOW), ==,
                     PV_IOMMU_S_OK);
    g_assert_cmpuint(attach(vm, RID2, PV_IOMMU_ATTACH_BOUNCE), ==,
                     PV_IOMMU_S_OK);
    g_assert(dma_reaches(vm, &vm->edu[0], WINDOW_DMA, WINDOW_ADDR));
    g_assert(dma_reaches(vm, &vm->edu[1], WINDOW_DMA, WINDOW_ADDR));
    vm_stop(vm);
}

static void test_wild_dma(void)
{
    static const uint64_t wild[] = {
        0, WILD, WINDOW_ADDR, WINDOW_DMA - 64, WINDOW_DMA + WINDOW_SIZE,
        ARENA_DMA, 0xfedfff00, 0xfef00000, 1ULL << 63, UINT64_MAX - 63,
    };
    Edu *edu;
    Vm *vm = vm_start(",hw-iommu=on,arena-size=1M,boot-bypass=off");
    uint64_t count = 0;

    edu = &vm->edu[0];
    set_features(vm, PV_IOMMU_F_WINDOW);

    /* not attached: not even the window */
    g_assert(!dma_reaches(vm, edu, WINDOW_DMA, WINDOW_ADDR));
    check_fault(vm, 2, WINDOW_DMA, RID | PV_IOMMU_FAULT_WRITE);
    count = 2;

    g_assert_cmpuint(attach(vm, RID, PV_IOMMU_ATTACH_WINDOW), ==,
                     PV_IOMMU_S_OK);
    g_assert(dma_reaches(vm, edu, WINDOW_DMA, WINDOW_ADDR));
    g_assert(dma_reaches(vm, edu, WINDOW_DMA + WINDOW_SIZE - 64,
                         WINDOW_ADDR + WINDOW_SIZE - 64));
    check_fault(vm, count, WINDOW_DMA, RID | PV_IOMMU_FAULT_WRITE);

    fill(vm, 0, 4096, 2);
    fill(vm, WILD, 4096, 3);
    fill(vm, WINDOW_ADDR, 4096, 4);
    for (int i = 0; i < ARRAY_SIZE(wild); i++) {
        dma_store(vm, edu, wild[i], 64);
        check_fault(vm, ++count, wild[i], RID | PV_IOMMU_FAULT_WRITE);
        dma_load(vm, edu, wild[i], 64);
        check_fault(vm, ++count, wild[i], RID);
    }
    check(vm, 0, 4096, 0, 2);
    check(vm, WILD, 4096, WILD, 3);
    check(vm, WINDOW_ADDR, 4096, WINDOW_ADDR, 4);

    /* across the window's end: only what lies outside is refused */
    dma_store(vm, edu, WINDOW_DMA + WINDOW_SIZE - 32, 64);
    check_fault(vm, ++count, WINDOW_DMA + WINDOW_SIZE,
                RID | PV_IOMMU_FAULT_WRITE);

    /* odd places and sizes; one access is one, however long */
    dma_store(vm, edu, WILD + 3, 1);
    check_fault(vm, ++count, WILD + 3, RID | PV_IOMMU_FAULT_WRITE);
    dma_store(vm, edu, WILD + 5, 2043);
    check_fault(vm, ++count, WILD + 5, RID | PV_IOMMU_FAULT_WRITE);
    check(vm, WILD, 4096, WILD, 3);

    /* what a refused read gets is nobody's data */
    dma_copy(vm, edu, WILD + 16, WINDOW_DMA + 0x2000, 64);
    check_fault(vm, ++count, WILD + 16, RID);
    for (int i = 0; i < 64; i++) {
        g_assert_cmphex(qtest_readb(vm->qts, WINDOW_ADDR + 0x2000 + i), ==,
                        0xff);
    }

    /* the other device is not attached: its own number stands there */
    dma_store(vm, &vm->edu[1], WINDOW_DMA, 64);
    check_fault(vm, ++count, WINDOW_DMA, RID2 | PV_IOMMU_FAULT_WRITE);

    /* interrupts do arrive: the MSI page is nobody's fault */
    dma_store(vm, edu, 0xfee00000, 4);
    check_fault(vm, count, WINDOW_DMA, RID2 | PV_IOMMU_FAULT_WRITE);
    /* but registers of interrupt controllers are not for devices */
    dma_load(vm, edu, 0xfee00000, 4);
    check_fault(vm, ++count, 0xfee00000, RID);
    dma_store(vm, edu, 0xfee00010, 8);
    check_fault(vm, ++count, 0xfee00010, RID | PV_IOMMU_FAULT_WRITE);
    dma_store(vm, edu, 0xfee00022, 2);
    check_fault(vm, ++count, 0xfee00022, RID | PV_IOMMU_FAULT_WRITE);

    /* detached: nothing again */
    g_assert_cmpuint(detach(vm, RID), ==, PV_IOMMU_S_OK);
    g_assert(!dma_reaches(vm, edu, WINDOW_DMA, WINDOW_ADDR));
    g_assert(!dma_reaches(vm, edu, WILD, WILD));
    vm_stop(vm);
}

/* Bypass ends with the first ENABLE, and nothing the guest does restores it */
static void test_bypass(void)
{
    Vm *vm = vm_start(",hw-iommu=on,boot-bypass=on");
    Edu *edu = &vm->edu[0], *other = &vm->edu[1];

    g_assert(dma_reaches(vm, edu, WILD, WILD));
    set_features(vm, PV_IOMMU_F_WINDOW);
    g_assert(!dma_reaches(vm, edu, WILD, WILD));
    g_assert(!dma_reaches(vm, other, WILD, WILD));
    g_assert(!dma_reaches(vm, edu, WINDOW_DMA, WINDOW_ADDR));

    g_assert_cmpuint(attach(vm, RID, PV_IOMMU_ATTACH_WINDOW), ==,
                     PV_IOMMU_S_OK);
    g_assert(!dma_reaches(vm, edu, WILD, WILD));
    g_assert(dma_reaches(vm, edu, WINDOW_DMA, WINDOW_ADDR));

    g_assert_cmpuint(detach(vm, RID), ==, PV_IOMMU_S_OK);
    g_assert(!dma_reaches(vm, edu, WILD, WILD));

    g_assert_cmpuint(attach(vm, RID, PV_IOMMU_ATTACH_WINDOW), ==,
                     PV_IOMMU_S_OK);
    set_reg(vm, PV_IOMMU_REG_CONTROL, PV_IOMMU_CTL_RESET);
    g_assert(!dma_reaches(vm, edu, WILD, WILD));
    g_assert(!dma_reaches(vm, edu, WINDOW_DMA, WINDOW_ADDR));
    g_assert(!dma_reaches(vm, other, WILD, WILD));

    /* the reset left nobody attached */
    set_features(vm, PV_IOMMU_F_WINDOW);
    g_assert_cmpuint(detach(vm, RID), ==, PV_IOMMU_S_STATE);
    g_assert(!dma_reaches(vm, edu, WILD, WILD));
    vm_stop(vm);
}

/* ATTACH_BYPASS: who keeps it, who gets it, and who never does */
static void test_exempt(void)
{
    Vm *vm = vm_start(",hw-iommu=on,boot-bypass=on");
    Edu *edu = &vm->edu[0], *other = &vm->edu[1];

    /* before ENABLE, so that it is never without: alone of all requests */
    g_assert_cmpuint(attach(vm, RID, PV_IOMMU_ATTACH_WINDOW), ==,
                     PV_IOMMU_S_STATE);
    g_assert_cmpuint(attach(vm, RID, PV_IOMMU_ATTACH_BYPASS |
                            PV_IOMMU_ATTACH_WINDOW), ==, PV_IOMMU_S_STATE);
    g_assert_cmpuint(attach(vm, RID_NOBUS, PV_IOMMU_ATTACH_BYPASS), ==,
                     PV_IOMMU_S_NODEV);
    g_assert_cmpuint(attach(vm, RID, PV_IOMMU_ATTACH_BYPASS), ==,
                     PV_IOMMU_S_OK);
    set_features(vm, PV_IOMMU_F_WINDOW);
    g_assert(dma_reaches(vm, edu, WILD, WILD));
    g_assert(!dma_reaches(vm, other, WILD, WILD));

    /* it is not attached by that; once more does no harm */
    g_assert_cmpuint(detach(vm, RID), ==, PV_IOMMU_S_STATE);
    g_assert_cmpuint(attach(vm, RID, PV_IOMMU_ATTACH_BYPASS), ==,
                     PV_IOMMU_S_OK);
    g_assert_cmpuint(attach(vm, RID, PV_IOMMU_ATTACH_BYPASS |
                            PV_IOMMU_ATTACH_WINDOW), ==, PV_IOMMU_S_INVAL);
    set_reg(vm, PV_IOMMU_REG_CONTROL, PV_IOMMU_CTL_RESET);
    g_assert(dma_reaches(vm, edu, WILD, WILD));
    set_features(vm, PV_IOMMU_F_WINDOW);
    g_assert(dma_reaches(vm, edu, WILD, WILD));

    /* late, for one that nobody has served so far */
    g_assert_cmpuint(attach(vm, RID2, PV_IOMMU_ATTACH_BYPASS), ==,
                     PV_IOMMU_S_OK);
    g_assert(dma_reaches(vm, other, WILD, WILD));

    /* attached, it is over */
    g_assert_cmpuint(attach(vm, RID, PV_IOMMU_ATTACH_WINDOW), ==,
                     PV_IOMMU_S_OK);
    g_assert(!dma_reaches(vm, edu, WILD, WILD));
    g_assert_cmpuint(attach(vm, RID, PV_IOMMU_ATTACH_BYPASS), ==,
                     PV_IOMMU_S_STATE);
    g_assert_cmpuint(detach(vm, RID), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(attach(vm, RID, PV_IOMMU_ATTACH_BYPASS), ==,
                     PV_IOMMU_S_UNSUPP);
    set_reg(vm, PV_IOMMU_REG_CONTROL, PV_IOMMU_CTL_RESET);
    g_assert_cmpuint(attach(vm, RID, PV_IOMMU_ATTACH_BYPASS), ==,
                     PV_IOMMU_S_UNSUPP);
    g_assert(!dma_reaches(vm, edu, WILD, WILD));
    g_assert(dma_reaches(vm, other, WILD, WILD));

    /* until the machine is reset */
    system_reset(vm);
    g_assert(dma_reaches(vm, edu, WILD, WILD));
    set_features(vm, PV_IOMMU_F_WINDOW);
    g_assert(!dma_reaches(vm, edu, WILD, WILD));
    g_assert(!dma_reaches(vm, other, WILD, WILD));
    vm_stop(vm);

    vm = vm_start(",hw-iommu=on,boot-bypass=off");
    g_assert_cmpuint(attach(vm, RID, PV_IOMMU_ATTACH_BYPASS), ==,
                     PV_IOMMU_S_UNSUPP);
    vm_stop(vm);
}

static void test_bridges(void)
{
    Vm *vm = vm_start_on("q35", ",hw-iommu=on,arena-size=1M,boot-bypass=off",
                         "-device pcie-root-port,id=rp0,addr=6 "
                         "-device edu,bus=rp0,dma_mask=0xffffffff "
                         "-device pcie-pci-bridge,id=br0,addr=7 "
                         "-device edu,bus=br0,addr=1,dma_mask=0xffffffff "
                         "-device edu,bus=br0,addr=2,dma_mask=0xffffffff");
    Edu alone, first, second;

    set_features(vm, PV_IOMMU_F_WINDOW | PV_IOMMU_F_BOUNCE);

    /* the guest numbers the buses */
    g_assert_cmpuint(attach(vm, 0x100, PV_IOMMU_ATTACH_WINDOW), ==,
                     PV_IOMMU_S_NODEV);
    bridge_init(vm, 6, 1, 0xd0000000);
    alone = edu_at(vm, 0x100);
    bridge_init(vm, 7, 2, 0xd1000000);
    first = edu_at(vm, 0x208);
    second = edu_at(vm, 0x210);

    dma_store(vm, &alone, WINDOW_DMA, 8);
    check_fault(vm, 1, WINDOW_DMA, 0x100 | PV_IOMMU_FAULT_WRITE);
    g_assert_cmpuint(attach(vm, 0x100, PV_IOMMU_ATTACH_WINDOW), ==,
                     PV_IOMMU_S_OK);
    g_assert(dma_reaches(vm, &alone, WINDOW_DMA, WINDOW_ADDR));

    /* a conventional bus has one requester ID: what is said of one holds */
    g_assert(!dma_reaches(vm, &first, WINDOW_DMA, WINDOW_ADDR));
    check_fault(vm, 3, WINDOW_DMA, 0x200 | PV_IOMMU_FAULT_WRITE);
    g_assert_cmpuint(attach(vm, 0x208, PV_IOMMU_ATTACH_WINDOW), ==,
                     PV_IOMMU_S_OK);
    g_assert_cmpuint(attach(vm, 0x210, PV_IOMMU_ATTACH_BOUNCE), ==,
                     PV_IOMMU_S_UNSUPP);
    g_assert_cmpuint(attach(vm, 0x210, PV_IOMMU_ATTACH_WINDOW), ==,
                     PV_IOMMU_S_OK);
    g_assert(dma_reaches(vm, &first, WINDOW_DMA, WINDOW_ADDR));
    g_assert(dma_reaches(vm, &second, WINDOW_DMA, WINDOW_ADDR));
    g_assert_cmpuint(detach(vm, 0x208), ==, PV_IOMMU_S_OK);
    g_assert(dma_reaches(vm, &second, WINDOW_DMA, WINDOW_ADDR));
    g_assert_cmpuint(detach(vm, 0x210), ==, PV_IOMMU_S_OK);
    g_assert(!dma_reaches(vm, &first, WINDOW_DMA, WINDOW_ADDR));
    g_assert(!dma_reaches(vm, &second, WINDOW_DMA, WINDOW_ADDR));
    g_assert(dma_reaches(vm, &alone, WINDOW_DMA, WINDOW_ADDR));

    /* once the last is gone, the mode is free again */
    g_assert_cmpuint(attach(vm, 0x210, PV_IOMMU_ATTACH_BOUNCE), ==,
                     PV_IOMMU_S_OK);

    g_free(alone.dev);
    g_free(first.dev);
    g_free(second.dev);
    vm_stop(vm);
}

static void test_system_reset(void)
{
    Vm *vm = vm_bounce("");

    map(vm, RID, SRC, 100);
    map(vm, RID, SRC, 10000);
    dma_store(vm, &vm->edu[0], WILD, 8);
    g_assert_cmpuint(unmap(vm, RID, 1, 0), ==, PV_IOMMU_S_HANDLE);
    g_assert_cmpuint(prop(vm, "x-live-mappings"), ==, 2);

    system_reset(vm);
    g_assert_cmpuint(prop(vm, "x-live-mappings"), ==, 0);
    g_assert_cmpuint(prop(vm, "x-dropped-mappings"), ==, 2);
    g_assert_cmphex(reg(vm, PV_IOMMU_REG_CONTROL), ==, 0);
    g_assert_cmphex(reg64(vm, PV_IOMMU_REG_GUEST_FEATURES), ==, 0);
    g_assert_cmpuint(reg(vm, PV_IOMMU_REG_ERRORS), ==, 0);
    check_fault(vm, 0, 0, 0);
    g_assert_cmphex(reg64(vm, PV_IOMMU_REG_WINDOW_ADDR), ==, WINDOW_ADDR);
    g_assert(!dma_reaches(vm, &vm->edu[0], WINDOW_DMA, WINDOW_ADDR));

    set_features(vm, PV_IOMMU_F_BOUNCE);
    g_assert_cmpuint(attach(vm, RID, PV_IOMMU_ATTACH_BOUNCE), ==,
                     PV_IOMMU_S_OK);
    check_alive(vm);
    vm_stop(vm);
}

int nr_spaces(Vm *vm)
{
    QDict *rsp = qtest_qmp(vm->qts, "{'execute': 'qom-list', 'arguments': "
                           "{'path': %s}}", QOM_PATH);
    const QListEntry *entry;
    int nr = 0;

    QLIST_FOREACH_ENTRY(qdict_get_qlist(rsp, "return"), entry) {
        const char *type = qdict_get_str(qobject_to(QDict,
                                                    qlist_entry_obj(entry)),
                                         "type");

        nr += !strcmp(type, "child<pv-iommu-space>");
    }
    qobject_unref(rsp);
    return nr;
}

void slot_power(Vm *vm, uint16_t rid, bool on)
{
    QPCIDevice *port = device_find(vm, rid);
    uint8_t cap = qpci_find_capability(port, PCI_CAP_ID_EXP, 0);

    qpci_config_writew(port, cap + PCI_EXP_SLTCTL,
                       on ? PCI_EXP_SLTCTL_PWR_IND_ON :
                       PCI_EXP_SLTCTL_PWR_IND_OFF | PCI_EXP_SLTCTL_PWR_OFF);
    g_free(port);
}

/*
 * A bridge is unplugged together with what is behind it: no trace of it is
 * left, and what comes in its place starts from nothing.
 */
static void test_bridge_unplug(void)
{
    Vm *vm = vm_start_on("q35", ",hw-iommu=on,boot-bypass=on",
                         "-global ICH9-LPC.acpi-pci-hotplug-with-bridge-support"
                         "=off -device pcie-root-port,id=rp0,addr=6,slot=1 "
                         "-device pcie-pci-bridge,id=br0,bus=rp0 "
                         "-device edu,bus=br0,addr=1,dma_mask=0xffffffff "
                         "-device edu,bus=br0,addr=2,dma_mask=0xffffffff");
    int before = nr_spaces(vm);
    g_autofree char *saved = temp_file("state");
    Edu edu;

    set_features(vm, PV_IOMMU_F_WINDOW);
    for (int i = 0; i < 3; i++) {
        bridge_number(vm, QPCI_DEVFN(6, 0), 1, 2, 0xd0000000);
        bridge_number(vm, 0x100, 2, 2, 0xd0000000);
        edu = edu_at(vm, 0x208);
        g_assert(!dma_reaches(vm, &edu, WILD, WILD));

        /* whatever the one before was */
        g_assert_cmpuint(attach(vm, 0x208, PV_IOMMU_ATTACH_BYPASS), ==,
                         PV_IOMMU_S_OK);
        g_assert(dma_reaches(vm, &edu, WILD, WILD));
        g_assert_cmpuint(attach(vm, 0x208, PV_IOMMU_ATTACH_WINDOW), ==,
                         PV_IOMMU_S_OK);
        g_assert(dma_reaches(vm, &edu, WINDOW_DMA, WINDOW_ADDR));
        g_assert_cmpuint(attach(vm, 0x208, PV_IOMMU_ATTACH_BYPASS), ==,
                         PV_IOMMU_S_STATE);
        g_free(edu.dev);

        slot_power(vm, QPCI_DEVFN(6, 0), false);
        qtest_qmp_eventwait(vm->qts, "DEVICE_DELETED");
        g_assert_cmpuint(attach(vm, 0x208, PV_IOMMU_ATTACH_WINDOW), ==,
                         PV_IOMMU_S_NODEV);
        /* the bridge's own is on its port's bus; that of what is behind went */
        g_assert_cmpint(nr_spaces(vm), ==, before - 1);
        qtest_qmp_assert_success(vm->qts, "{'execute': "
                                 "'xen-save-devices-state', 'arguments': "
                                 "{'filename': %s, 'live': true}}", saved);

        qtest_qmp_device_add(vm->qts, "pcie-pci-bridge", "br0",
                             "{'bus': 'rp0'}");
        qtest_qmp_device_add(vm->qts, "edu", "edu2", "{'bus': 'br0', 'addr': "
                             "'1', 'dma_mask': %u}", UINT32_MAX);
        g_assert_cmpint(nr_spaces(vm), ==, before);
        slot_power(vm, QPCI_DEVFN(6, 0), true);
    }
    vm_stop(vm);
    unlink(saved);
}

/* Eject what is in a slot of the first bus behind a bridge, as ACPI does */
static void acpi_eject(Vm *vm, int slot)
{
    const uint16_t acpi = 0xae00;

    qtest_outl(vm->qts, acpi + 0x10, 1);            /* bus */
    qtest_outl(vm->qts, acpi + 8, 1 << slot);
    qtest_qmp_eventwait(vm->qts, "DEVICE_DELETED");
}

/* Of devices that share what they reach, each is exempt or not */
static void test_exempt_unplug(void)
{
    Vm *vm = vm_start_on("pc", ",hw-iommu=on,boot-bypass=on",
                         "-device pci-bridge,id=br0,addr=6,chassis_nr=1,"
                         "shpc=off "
                         "-device edu,id=x1,bus=br0,addr=1,"
                         "dma_mask=0xffffffff "
                         "-device edu,id=x2,bus=br0,addr=2,"
                         "dma_mask=0xffffffff");
    Edu first, second;

    bridge_init(vm, 6, 1, 0xd0000000);
    first = edu_at(vm, 0x108);
    second = edu_at(vm, 0x110);
    g_assert_cmpuint(attach(vm, 0x108, PV_IOMMU_ATTACH_BYPASS), ==,
                     PV_IOMMU_S_OK);
    g_assert_cmpuint(attach(vm, 0x110, PV_IOMMU_ATTACH_BYPASS), ==,
                     PV_IOMMU_S_OK);
    set_features(vm, PV_IOMMU_F_WINDOW);
    g_assert(dma_reaches(vm, &first, WILD, WILD));
    g_free(first.dev);

    acpi_eject(vm, 1);
    g_assert(dma_reaches(vm, &second, WILD, WILD));
    g_free(second.dev);
    acpi_eject(vm, 2);
    qtest_qmp_device_add(vm->qts, "edu", "x3", "{'bus': 'br0', 'addr': '2', "
                         "'dma_mask': %u}", UINT32_MAX);
    second = edu_at(vm, 0x110);
    g_assert(!dma_reaches(vm, &second, WILD, WILD));
    g_assert_cmpuint(attach(vm, 0x110, PV_IOMMU_ATTACH_BYPASS), ==,
                     PV_IOMMU_S_OK);
    g_assert(dma_reaches(vm, &second, WILD, WILD));
    g_free(second.dev);
    vm_stop(vm);
}

/* In a reset, what devices reach changes when all of them have stopped */
static void test_reset_order(void)
{
    g_autofree char *log = temp_file("log"), *first = NULL, *text = NULL;
    const char *reset, *hold;
    gsize start;
    Vm *vm;

    first = g_strdup_printf("-device virtio-rng-pci,addr=6 -D %s "
                            "-trace enable=pv_iommu_reset "
                            "-trace enable=resettable_phase_hold_exec", log);
    vm = vm_launch("q35", first, "", "-device virtio-rng-pci,addr=7");
    vm_probe(vm);
    g_assert(g_file_get_contents(log, &text, &start, NULL));
    g_free(text);
    system_reset(vm);
    vm_stop(vm);

    g_assert(g_file_get_contents(log, &text, NULL, NULL));
    reset = strstr(text + start, "pv_iommu_reset");
    g_assert_nonnull(reset);
    hold = strstr(text + start, "(virtio-rng-pci)");
    for (int i = 0; i < 2; i++) {
        g_assert_nonnull(hold);
        g_assert(hold < reset);
        hold = strstr(hold + 1, "(virtio-rng-pci)");
    }
    g_assert_null(hold);
    unlink(log);
}

int main(int argc, char **argv)
{
    static const char zeroes[64 * KiB];
    int fd, ret;

    g_test_init(&argc, &argv, NULL);

    /* no firmware runs, but the machine wants to see one */
    fd = g_file_open_tmp("pv-iommu-bios-XXXXXX", &bios, NULL);
    g_assert(fd >= 0);
    g_assert(write(fd, zeroes, sizeof(zeroes)) == sizeof(zeroes));
    close(fd);

    qtest_add_func("/pv-iommu/place", test_place);
    qtest_add_func("/pv-iommu/registers", test_registers);
    qtest_add_func("/pv-iommu/features", test_features);
    qtest_add_func("/pv-iommu/doorbell", test_doorbell);
    qtest_add_func("/pv-iommu/attach", test_attach);
    qtest_add_func("/pv-iommu/wild-dma", test_wild_dma);
    qtest_add_func("/pv-iommu/bypass", test_bypass);
    qtest_add_func("/pv-iommu/exempt", test_exempt);
    qtest_add_func("/pv-iommu/bridges", test_bridges);
    qtest_add_func("/pv-iommu/bridge-unplug", test_bridge_unplug);
    qtest_add_func("/pv-iommu/exempt-unplug", test_exempt_unplug);
    qtest_add_func("/pv-iommu/system-reset", test_system_reset);
    qtest_add_func("/pv-iommu/reset-order", test_reset_order);
    add_bounce_tests();
    add_chunks_tests();
    add_direct_tests();
    add_hostile_tests();
    add_migrate_tests();
    add_args_tests();
    add_vhost_tests();
    add_plug_tests();

    ret = g_test_run();
    unlink(bios);
    g_free(bios);
    return ret;
}
