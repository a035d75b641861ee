/*
 * QTest testcase for the pv-iommu device: requests that are wrong, and a
 * device that is told to lie
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/pci/pci_regs.h"
#include "pv-iommu-test.h"

/* Every member of a MAP wrong in turn; nothing is mapped, nothing written */
static void test_bad_map(void)
{
    Vm *vm = vm_bounce("");
    struct pv_iommu_req req;

    fill(vm, SRC, 8192, 1);

#define BAD_MAP(want, spoil) do {                                       \
        map_init(&req, RID, SRC, 4096);                                 \
        spoil;                                                          \
        g_assert_cmpuint(submit(vm, &req), ==, PV_IOMMU_S_##want);      \
        g_assert_cmpuint(prop(vm, "x-live-mappings"), ==, 0);           \
    } while (0)

    /* the head */
    BAD_MAP(OPCODE, (req.opcode = cpu_to_le16(6), req.nr_segs = 0));
    BAD_MAP(OPCODE, (req.opcode = cpu_to_le16(0xffff), req.nr_segs = 0));
    BAD_MAP(INVAL, req.flags = 0);
    BAD_MAP(INVAL, req.flags = cpu_to_le32(1U << 2));
    BAD_MAP(INVAL, req.flags = cpu_to_le32(1U << 31 | 1));
    BAD_MAP(INVAL, req.nr_segs = 0);
    BAD_MAP(INVAL, req.nr_segs = cpu_to_le16(PV_IOMMU_MAX_SEGS + 1));
    BAD_MAP(INVAL, req.nr_segs = cpu_to_le16(0xffff));
    BAD_MAP(INVAL, req.nr_unmaps = cpu_to_le16(PV_IOMMU_MAX_UNMAPS + 1));
    BAD_MAP(INVAL, req.nr_unmaps = cpu_to_le16(0xffff));
    BAD_MAP(INVAL, req.dma_addr = cpu_to_le64(ARENA_DMA));
    BAD_MAP(INVAL, req.length = 0);
    BAD_MAP(INVAL, req.length = cpu_to_le64(4095));
    BAD_MAP(INVAL, req.length = cpu_to_le64(ARENA_SIZE + 1));
    BAD_MAP(INVAL, req.length = cpu_to_le64(UINT64_MAX));
    BAD_MAP(INVAL, req.align_mask = 0);
    BAD_MAP(INVAL, req.align_mask = cpu_to_le64(GRANULE / 2 - 1));
    BAD_MAP(INVAL, req.align_mask = cpu_to_le64(GRANULE));
    BAD_MAP(INVAL, req.align_mask = cpu_to_le64(UINT64_MAX - 1));
    BAD_MAP(INVAL, req.boundary_mask = cpu_to_le64(0x1001));
    BAD_MAP(INVAL, req.boundary_mask = cpu_to_le64(1ULL << 63));
    BAD_MAP(INVAL, req.reserved[0] = cpu_to_le32(1));
    BAD_MAP(INVAL, req.reserved[7] = cpu_to_le32(1U << 31));
    BAD_MAP(INVAL, req.domain = cpu_to_le32(1));
    BAD_MAP(INVAL, req.nr_revokes = cpu_to_le16(1));
    BAD_MAP(INVAL, req.revoke_errors = cpu_to_le32(1));
    BAD_MAP(NOSPC, req.dma_limit = 0);
    BAD_MAP(NOSPC, req.dma_limit = cpu_to_le64(ARENA_DMA - 1));
    BAD_MAP(NOSPC, req.dma_limit = cpu_to_le64(ARENA_DMA + 4094));
    BAD_MAP(NOSPC, req.align_mask = cpu_to_le64(UINT64_MAX));
    BAD_MAP(NOSPC, req.align_mask = cpu_to_le64((1ULL << 40) - 1));

    /* the device */
    BAD_MAP(STATE, req.rid = cpu_to_le16(RID2));
    BAD_MAP(STATE, req.rid = cpu_to_le16(RID_SELF));
    BAD_MAP(STATE, req.rid = cpu_to_le16(0xffff));

    /* the pieces */
    BAD_MAP(INVAL, req.segs[0].len = 0);
    BAD_MAP(INVAL, req.segs[0].pos = cpu_to_le32(1));
    BAD_MAP(INVAL, req.segs[0].pos = cpu_to_le32(UINT32_MAX));
    BAD_MAP(INVAL, req.segs[0].len = cpu_to_le32(UINT32_MAX));
    BAD_MAP(RANGE, req.segs[0].addr = cpu_to_le64(RAM_SIZE));
    BAD_MAP(RANGE, req.segs[0].addr = cpu_to_le64(RAM_SIZE - 4095));
    BAD_MAP(RANGE, req.segs[0].addr = cpu_to_le64(WINDOW_ADDR - 1));
    BAD_MAP(RANGE, req.segs[0].addr = cpu_to_le64(WINDOW_ADDR + WINDOW_SIZE -
                                                  4095));
    BAD_MAP(RANGE, req.segs[0].addr = cpu_to_le64(UINT64_MAX));
    BAD_MAP(RANGE, req.segs[0].addr = cpu_to_le64(UINT64_MAX - 4094));
    BAD_MAP(RANGE, req.segs[0].addr = cpu_to_le64(UINT64_MAX - 4095));
    BAD_MAP(RANGE, req.segs[0].addr = cpu_to_le64(0xfee00000));
    BAD_MAP(RANGE, req.segs[0].addr = cpu_to_le64(0xfffff000));
    BAD_MAP(RANGE, req.segs[0].addr = cpu_to_le64(0xe0000000));
    BAD_MAP(RANGE, req.segs[0].addr = cpu_to_le64(0xc0000));

    /* two pieces: overlap, disorder, and a bad second one */
    BAD_MAP(INVAL, (req.nr_segs = cpu_to_le16(2), seg_set(&req, 0, SRC, 8, 0),
                    seg_set(&req, 1, SRC, 8, 7)));
    BAD_MAP(INVAL, (req.nr_segs = cpu_to_le16(2), seg_set(&req, 0, SRC, 8, 8),
                    seg_set(&req, 1, SRC, 8, 0)));
    BAD_MAP(INVAL, (req.nr_segs = cpu_to_le16(2), seg_set(&req, 0, SRC, 8, 0),
                    seg_set(&req, 1, SRC, 8, 4089)));
    BAD_MAP(RANGE, (req.nr_segs = cpu_to_le16(2), seg_set(&req, 0, SRC, 8, 0),
                    seg_set(&req, 1, RAM_SIZE, 8, 8)));

    check(vm, SRC, 8192, SRC, 1);
    check_alive(vm);

    /* not in bounce mode */
    set_reg(vm, PV_IOMMU_REG_CONTROL, PV_IOMMU_CTL_RESET);
    BAD_MAP(STATE, (void)0);
    vm_stop(vm);

    vm = vm_start(",hw-iommu=on,arena-size=1M");
    set_features(vm, PV_IOMMU_F_WINDOW | PV_IOMMU_F_BOUNCE);
    g_assert_cmpuint(attach(vm, RID, PV_IOMMU_ATTACH_WINDOW), ==,
                     PV_IOMMU_S_OK);
    BAD_MAP(UNSUPP, (void)0);
    vm_stop(vm);
#undef BAD_MAP
}

static void test_bad_handle(void)
{
    Vm *vm = vm_bounce("");
    struct pv_iommu_req req;
    uint64_t dma, to, other;

    g_assert_cmpuint(attach(vm, RID2, PV_IOMMU_ATTACH_BOUNCE), ==,
                     PV_IOMMU_S_OK);
    fill(vm, SRC, 8192, 1);
    fill(vm, DST, 8192, 2);
    dma = map(vm, RID, SRC, 8192);
    other = map(vm, RID2, DST, 4096);

    /* a TO_DEVICE mapping: nothing comes back from it */
    map_init(&req, RID, SRC, 64);
    req.flags = cpu_to_le32(PV_IOMMU_DIR_TO_DEVICE);
    to = map_submit(vm, &req);
    dma_load(vm, &vm->edu[0], to + 16, 16);
    dma_store(vm, &vm->edu[0], to, 16);
    g_assert_cmpuint(unmap(vm, RID, to, PV_IOMMU_DIR_FROM_DEVICE), ==,
                     PV_IOMMU_S_INVAL);
    g_assert_cmpuint(sync_range(vm, RID, to, PV_IOMMU_DIR_FROM_DEVICE, 0, 64),
                     ==, PV_IOMMU_S_INVAL);
    check(vm, SRC, 8192, SRC, 1);
    g_assert_cmpuint(unmap(vm, RID, to, 0), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(unmap(vm, RID, to, 0), ==, PV_IOMMU_S_HANDLE);

#define BAD_HANDLE(want, rid, dma) do {                                    \
        g_assert_cmpuint(unmap(vm, rid, dma, PV_IOMMU_DIR_FROM_DEVICE), ==, \
                         PV_IOMMU_S_##want);                               \
        g_assert_cmpuint(sync_range(vm, rid, dma, PV_IOMMU_DIR_FROM_DEVICE, \
                                    0, 8), ==, PV_IOMMU_S_##want);         \
    } while (0)

    /* the device writes, so that a copy that should not be would be seen */
    dma_store(vm, &vm->edu[0], dma, 64);
    dma_store(vm, &vm->edu[1], other, 64);

    BAD_HANDLE(HANDLE, RID, other);             /* a foreign one, both ways */
    BAD_HANDLE(HANDLE, RID2, dma);
    BAD_HANDLE(HANDLE, RID, dma + GRANULE);     /* inside a mapping */
    BAD_HANDLE(HANDLE, RID, dma + 1);
    BAD_HANDLE(HANDLE, RID, dma - GRANULE);
    BAD_HANDLE(HANDLE, RID, 0);
    BAD_HANDLE(HANDLE, RID, WINDOW_DMA);
    BAD_HANDLE(HANDLE, RID, ARENA_DMA - GRANULE);
    BAD_HANDLE(HANDLE, RID, ARENA_DMA + ARENA_SIZE);
    BAD_HANDLE(HANDLE, RID, UINT64_MAX);
    BAD_HANDLE(HANDLE, RID, UINT64_MAX & ~(GRANULE - 1));
    BAD_HANDLE(STATE, RID_SELF, dma);
    BAD_HANDLE(STATE, RID_NOBUS, dma);

    /* reserved flags, and ranges that are not inside */
    g_assert_cmpuint(unmap(vm, RID, dma, PV_IOMMU_DIR_TO_DEVICE), ==,
                     PV_IOMMU_S_INVAL);
    g_assert_cmpuint(unmap(vm, RID, dma, 1U << 2), ==, PV_IOMMU_S_INVAL);
    g_assert_cmpuint(unmap(vm, RID, dma, 1U << 31), ==, PV_IOMMU_S_INVAL);
#define BAD_SYNC(flags, offset, length) \
    g_assert_cmpuint(sync_range(vm, RID, dma, flags, offset, length), ==, \
                     PV_IOMMU_S_INVAL)
    BAD_SYNC(0, 0, 8);
    BAD_SYNC(PV_IOMMU_DIR_TO_DEVICE | PV_IOMMU_DIR_FROM_DEVICE, 0, 8);
    BAD_SYNC(PV_IOMMU_DIR_FROM_DEVICE | 1U << 2, 0, 8);
    BAD_SYNC(PV_IOMMU_DIR_FROM_DEVICE, 0, 0);
    BAD_SYNC(PV_IOMMU_DIR_FROM_DEVICE, 0, 8193);
    BAD_SYNC(PV_IOMMU_DIR_FROM_DEVICE, 8191, 2);
    BAD_SYNC(PV_IOMMU_DIR_FROM_DEVICE, 8192, 1);
    BAD_SYNC(PV_IOMMU_DIR_FROM_DEVICE, UINT64_MAX, 2);
    BAD_SYNC(PV_IOMMU_DIR_FROM_DEVICE, 1, UINT64_MAX);
    BAD_SYNC(PV_IOMMU_DIR_FROM_DEVICE, UINT64_MAX, UINT64_MAX);

    check(vm, SRC, 8192, SRC, 1);
    check(vm, DST, 8192, DST, 2);
    g_assert_cmpuint(prop(vm, "x-live-mappings"), ==, 2);

    /* segments belong to MAP alone */
    req_init(&req, PV_IOMMU_OP_UNMAP, RID, 0);
    req.dma_addr = cpu_to_le64(dma);
    req.nr_segs = cpu_to_le16(1);
    g_assert_cmpuint(submit(vm, &req), ==, PV_IOMMU_S_INVAL);

    g_assert_cmpuint(unmap(vm, RID, dma, 0), ==, PV_IOMMU_S_OK);
    BAD_HANDLE(HANDLE, RID, dma);               /* twice */
    g_assert_cmpuint(unmap(vm, RID2, other, 0), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(prop(vm, "x-live-mappings"), ==, 0);
    check(vm, SRC, 8192, SRC, 1);
    check_alive(vm);
    vm_stop(vm);
#undef BAD_SYNC
#undef BAD_HANDLE
}

static void unmap_set(struct pv_iommu_req *req, int i, uint16_t rid,
                      uint64_t dma)
{
    req->unmaps[i].rid = cpu_to_le16(rid);
    req->unmaps[i].dma_addr = cpu_to_le64(dma);
}

static void test_riding_unmaps(void)
{
    Vm *vm = vm_bounce("");
    struct pv_iommu_req req;
    uint64_t dma[PV_IOMMU_MAX_UNMAPS];
    int i;

    fill(vm, SRC, 4096, 1);

    /* as many as there may be, with a NOP */
    req_init(&req, PV_IOMMU_OP_NOP, 0, 0);
    req.nr_unmaps = cpu_to_le16(PV_IOMMU_MAX_UNMAPS);
    for (i = 0; i < PV_IOMMU_MAX_UNMAPS; i++) {
        dma[i] = map(vm, RID, SRC, 4096);
        unmap_set(&req, i, RID, dma[i]);
    }
    g_assert_cmpuint(prop(vm, "x-live-mappings"), ==, PV_IOMMU_MAX_UNMAPS);
    g_assert_cmpuint(submit(vm, &req), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(le32_to_cpu(req.unmap_errors), ==, 0);
    g_assert_cmpuint(prop(vm, "x-live-mappings"), ==, 0);

    /* all of them once more: all dead */
    req.status = cpu_to_le32(PV_IOMMU_S_NONE);
    g_assert_cmpuint(submit(vm, &req), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(le32_to_cpu(req.unmap_errors), ==, PV_IOMMU_MAX_UNMAPS);

    /* bad ones among good ones; the good ones are done */
    for (i = 0; i < 6; i++) {
        dma[i] = map(vm, RID, SRC, 4096);
    }
    req_init(&req, PV_IOMMU_OP_NOP, 0, 0);
    req.nr_unmaps = cpu_to_le16(6);
    unmap_set(&req, 0, RID, dma[0]);
    unmap_set(&req, 1, RID2, dma[1]);
    unmap_set(&req, 2, RID, dma[0]);
    unmap_set(&req, 3, RID, dma[3]);
    req.unmaps[3].reserved[2] = cpu_to_le16(1);
    unmap_set(&req, 4, RID, dma[4] + 1);
    unmap_set(&req, 5, RID, dma[5]);
    g_assert_cmpuint(submit(vm, &req), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(le32_to_cpu(req.unmap_errors), ==, 4);
    g_assert_cmpuint(prop(vm, "x-live-mappings"), ==, 4);

    /* with a request that fails, too; but not with a head that is refused */
    req_init(&req, 77, 0, 0);
    req.nr_unmaps = cpu_to_le16(1);
    unmap_set(&req, 0, RID, dma[1]);
    g_assert_cmpuint(submit(vm, &req), ==, PV_IOMMU_S_OPCODE);
    g_assert_cmpuint(le32_to_cpu(req.unmap_errors), ==, 0);
    g_assert_cmpuint(prop(vm, "x-live-mappings"), ==, 3);
    req_init(&req, PV_IOMMU_OP_NOP, 0, 0);
    req.nr_unmaps = cpu_to_le16(1);
    req.reserved[7] = cpu_to_le32(1);
    unmap_set(&req, 0, RID, dma[2]);
    g_assert_cmpuint(submit(vm, &req), ==, PV_IOMMU_S_INVAL);
    g_assert_cmpuint(le32_to_cpu(req.unmap_errors), ==, 1);
    g_assert_cmpuint(prop(vm, "x-live-mappings"), ==, 3);
    g_assert_cmpuint(simple(vm, PV_IOMMU_OP_NOP, 0, 1), ==, PV_IOMMU_S_INVAL);

    /* they are done first: the map that they ride with may have their room */
    set_reg(vm, PV_IOMMU_REG_CONTROL, PV_IOMMU_CTL_RESET);
    set_features(vm, PV_IOMMU_F_BOUNCE);
    g_assert_cmpuint(attach(vm, RID, PV_IOMMU_ATTACH_BOUNCE), ==,
                     PV_IOMMU_S_OK);
    dma[0] = map(vm, RID, SRC, ARENA_SIZE);
    map_init(&req, RID, SRC, 4096);
    g_assert_cmpuint(submit(vm, &req), ==, PV_IOMMU_S_NOSPC);
    map_init(&req, RID, SRC, ARENA_SIZE);
    req.nr_unmaps = cpu_to_le16(1);
    unmap_set(&req, 0, RID, dma[0]);
    g_assert_cmphex(map_submit(vm, &req), ==, dma[0]);
    g_assert_cmpuint(unmap(vm, RID, dma[0], 0), ==, PV_IOMMU_S_OK);
    check_alive(vm);
    vm_stop(vm);
}

/* What a lying host makes of the same requests; no buffer is written to */
static char *lies_of(uint32_t seed)
{
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    Vm *vm = vm_bounce("");
    struct pv_iommu_req req;
    uint64_t dma = map(vm, RID, SRC, 4096);

    fill(vm, SRC, 4096, 1);
    set_prop(vm, "x-hostile", seed);
    for (int i = 0; i < 100; i++) {
        uint32_t size = reg(vm, PV_IOMMU_REG_WINDOW_SIZE);

        if (i % 2) {
            map_init(&req, RID, SRC, 4096);
        } else {
            req_init(&req, PV_IOMMU_OP_UNMAP, RID, PV_IOMMU_DIR_FROM_DEVICE);
            req.dma_addr = cpu_to_le64(dma);
        }
        qtest_memwrite(vm->qts, BLOCK, &req, sizeof(req));
        set_reg(vm, PV_IOMMU_REG_DOORBELL, BLOCK >> PV_IOMMU_REQ_SHIFT);
        qtest_memread(vm->qts, BLOCK, &req, sizeof(req));
        g_checksum_update(sum, (void *)&size, sizeof(size));
        g_checksum_update(sum, (void *)&req, sizeof(req));
    }
    check(vm, SRC, 4096, SRC, 1);
    g_assert_cmpuint(prop(vm, "x-lies"), >, 10);

    /* honest, it does not yet copy for what was mapped before the reset */
    set_prop(vm, "x-hostile", 0);
    g_assert_cmphex(reg64(vm, PV_IOMMU_REG_WINDOW_SIZE), ==, WINDOW_SIZE);
    set_reg(vm, PV_IOMMU_REG_CONTROL, PV_IOMMU_CTL_RESET);
    vm->errors = reg(vm, PV_IOMMU_REG_ERRORS);
    set_features(vm, PV_IOMMU_F_BOUNCE);
    g_assert_cmpuint(attach(vm, RID, PV_IOMMU_ATTACH_BOUNCE), ==,
                     PV_IOMMU_S_OK);
    check_alive(vm);
    vm_stop(vm);
    return g_strdup(g_checksum_get_string(sum));
}

static bool can_lie(void)
{
    Vm *vm = vm_start("");
    QDict *rsp = qtest_qmp(vm->qts, "{'execute': 'qom-get', 'arguments': "
                           "{'path': %s, 'property': 'x-hostile'}}", QOM_PATH);
    bool can = qdict_haskey(rsp, "return");

    qobject_unref(rsp);
    vm_stop(vm);
    return can;
}

static void test_lies(void)
{
    g_autofree char *first = NULL, *again = NULL, *other = NULL;

    if (!can_lie()) {
        g_test_skip("not configured with PV_IOMMU_HOSTILE");
        return;
    }
    first = lies_of(2);
    again = lies_of(2);
    other = lies_of(7);
    g_assert_cmpstr(first, ==, again);
    g_assert_cmpstr(first, !=, other);
}

/* What is at the address is RAM for QEMU, and for no request */
static void check_refused_as_ram(Vm *vm, uint64_t addr)
{
    struct pv_iommu_req req;
    uint32_t errors;

    fill(vm, addr, GRANULE, 1);
    check(vm, addr, GRANULE, addr, 1);

    enable_direct(vm);
    g_assert_cmpuint(attach(vm, RID, PV_IOMMU_ATTACH_BOUNCE), ==,
                     PV_IOMMU_S_OK);
    map_init(&req, RID, addr, 100);
    g_assert_cmpuint(submit(vm, &req), ==, PV_IOMMU_S_RANGE);
    g_assert_cmpuint(prop(vm, "x-live-mappings"), ==, 0);
    g_assert_cmpuint(attach_to(vm, RID2, 2), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_pages(vm, 2, addr / GRANULE, 1,
                                 PV_IOMMU_RANGE_READ), ==,
                     PV_IOMMU_S_RANGE);
    g_assert(!dma_reaches(vm, &vm->edu[1], DIRECT_DMA + addr, addr));

    /* nor is it where a request may be: that one is counted, and not read */
    req_init(&req, PV_IOMMU_OP_NOP, 0, 0);
    req.status = cpu_to_le32(0x5a);
    qtest_memwrite(vm->qts, addr, &req, sizeof(req));
    errors = reg(vm, PV_IOMMU_REG_ERRORS);
    set_reg(vm, PV_IOMMU_REG_DOORBELL, addr >> PV_IOMMU_REQ_SHIFT);
    g_assert_cmpuint(reg(vm, PV_IOMMU_REG_ERRORS), ==, errors + 1);
    qtest_memread(vm->qts, addr, &req, sizeof(req));
    g_assert_cmpuint(le32_to_cpu(req.status), ==, 0x5a);
    vm->errors++;

    check_alive(vm);
}

/* Memory that a display shows in a BAR */
static void test_device_memory(void)
{
    const uint32_t vram = 0xd0000000;
    Vm *vm = vm_start_on("q35", ",boot-bypass=off,hw-iommu=on,arena-size=1M,"
                         "direct-limit=16M",
                         "-device bochs-display,id=display0,addr=7");
    QPCIDevice *display = device_find(vm, QPCI_DEVFN(7, 0));

    qpci_config_writel(display, PCI_BASE_ADDRESS_0, vram);
    qpci_device_enable(display);
    check_refused_as_ram(vm, vram);
    g_free(display);
    vm_stop(vm);
}

/* A memory backend's that a disk shows in a BAR: it is the backend's still */
static void test_backend_memory(void)
{
    const uint32_t regs = 0xd0000000, pmr = 0xd1000000, pmrctl = 0xe04;
    Vm *vm = vm_start_on("q35", ",boot-bypass=off,hw-iommu=on,arena-size=1M,"
                         "direct-limit=16M",
                         "-object memory-backend-ram,id=pmr0,size=1M,share=on "
                         "-device nvme,id=disk0,serial=1,pmrdev=pmr0,addr=7");
    QPCIDevice *disk = device_find(vm, QPCI_DEVFN(7, 0));

    qpci_config_writel(disk, PCI_BASE_ADDRESS_0, regs);
    qpci_config_writel(disk, PCI_BASE_ADDRESS_4, pmr);
    qpci_device_enable(disk);
    qtest_writel(vm->qts, regs + pmrctl, 1);
    check_refused_as_ram(vm, pmr);
    g_free(disk);
    vm_stop(vm);
}

void add_hostile_tests(void)
{
    qtest_add_func("/pv-iommu/device-memory", test_device_memory);
    qtest_add_func("/pv-iommu/device-memory/backend", test_backend_memory);
    qtest_add_func("/pv-iommu/bounce/bad-map", test_bad_map);
    qtest_add_func("/pv-iommu/bounce/bad-handle", test_bad_handle);
    qtest_add_func("/pv-iommu/bounce/riding-unmaps", test_riding_unmaps);
    qtest_add_func("/pv-iommu/bounce/lies", test_lies);
}
