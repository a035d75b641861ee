/*
 * QTest testcase for the pv-iommu device: migration
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "libqos/libqos-malloc.h"
#include "libqos/virtio.h"
#include "libqos/virtio-pci.h"
#include "hw/pci/pci_regs.h"
#include "qemu/timer.h"
#include "standard-headers/linux/virtio_config.h"
#include "standard-headers/linux/virtio_pci.h"
#include "pv-iommu-test.h"

#define PROPS           ",boot-bypass=off,hw-iommu=on,arena-size=1M"
#define RID_RNG         0x30    /* at 06.0 */

static void wait_migration(QTestState *qts)
{
    for (;;) {
        QDict *rsp = qtest_qmp(qts, "{'execute': 'query-migrate'}");
        QDict *ret = qdict_get_qdict(rsp, "return");
        const char *status = qdict_get_try_str(ret, "status");
        bool done = status && !strcmp(status, "completed");

        g_assert(!status || strcmp(status, "failed"));
        qobject_unref(rsp);
        if (done) {
            return;
        }
        g_usleep(10 * 1000);
    }
}

static void save(Vm *vm, const char *file)
{
    g_autofree char *uri = g_strdup_printf("exec:cat > %s", file);

    qtest_qmp_assert_success(vm->qts, "{'execute': 'migrate', 'arguments': "
                             "{'uri': %s}}", uri);
    wait_migration(vm->qts);
    vm_stop(vm);
}

/* Into a machine that waits for it */
static void load_into(Vm *vm, const char *file)
{
    g_autofree char *uri = g_strdup_printf("exec:cat %s", file);

    qtest_qmp_assert_success(vm->qts, "{'execute': 'migrate-incoming', "
                             "'arguments': {'uri': %s}}", uri);
    wait_migration(vm->qts);
    qtest_qmp_eventwait(vm->qts, "RESUME");
}

static Vm *load(const char *file, const char *first, const char *props)
{
    Vm *vm = vm_launch("q35", first, props, "-incoming defer");

    load_into(vm, file);
    vm_probe(vm);
    return vm;
}

/* A guest with one device in each mode, and mappings in flight */
static Vm *start_busy(uint64_t dma[3])
{
    Vm *vm = vm_start(PROPS);
    struct pv_iommu_req req;

    set_features(vm, PV_IOMMU_F_WINDOW | PV_IOMMU_F_BOUNCE);
    g_assert_cmpuint(attach(vm, RID, PV_IOMMU_ATTACH_BOUNCE), ==,
                     PV_IOMMU_S_OK);
    g_assert_cmpuint(attach(vm, RID2, PV_IOMMU_ATTACH_WINDOW), ==,
                     PV_IOMMU_S_OK);
    fill(vm, SRC, 16384, 1);
    fill(vm, WINDOW_ADDR, 8192, 2);
    dma[0] = map(vm, RID, SRC, 8192);
    dma[1] = map(vm, RID, SRC, 1);
    map_init(&req, RID, 0, 0);
    req.nr_segs = cpu_to_le16(2);
    req.length = cpu_to_le64(1000);
    seg_set(&req, 0, SRC + 8192, 10, 3);
    seg_set(&req, 1, SRC + 12288, 900, 50);
    dma[2] = map_submit(vm, &req);
    g_assert_cmpuint(unmap(vm, RID, dma[1], 0), ==, PV_IOMMU_S_OK);
    dma_copy(vm, &vm->edu[0], WINDOW_DMA, dma[2], 20);
    dma_store(vm, &vm->edu[1], WILD, 8);
    return vm;
}

/* What has ended bypass, and for whom it has not, goes with the guest */
static void test_migrate_confined(void)
{
    const char *props = ",boot-bypass=on,hw-iommu=on,arena-size=1M";
    g_autofree char *file = temp_file("state");
    Vm *vm = vm_start(props);

    g_assert_cmpuint(attach(vm, RID, PV_IOMMU_ATTACH_BYPASS), ==,
                     PV_IOMMU_S_OK);
    set_features(vm, PV_IOMMU_F_WINDOW);
    g_assert_cmpuint(attach(vm, RID2, PV_IOMMU_ATTACH_WINDOW), ==,
                     PV_IOMMU_S_OK);
    g_assert_cmpuint(detach(vm, RID2), ==, PV_IOMMU_S_OK);
    set_reg(vm, PV_IOMMU_REG_CONTROL, PV_IOMMU_CTL_RESET);
    save(vm, file);

    vm = load(file, "", props);
    g_assert(dma_reaches(vm, &vm->edu[0], WILD, WILD));
    g_assert(!dma_reaches(vm, &vm->edu[1], WILD, WILD));
    g_assert_cmpuint(attach(vm, RID2, PV_IOMMU_ATTACH_BYPASS), ==,
                     PV_IOMMU_S_UNSUPP);
    vm_stop(vm);
    unlink(file);
}

/*
 * Devices in mid-transfer: as the machine is saved, and where it goes to. There
 * nobody knows yet who is confined; what begins before that is loaded ends
 * after it.
 */
static void migrate_transfer(const char *props)
{
    g_autofree char *file = temp_file("state");
    Vm *vm = vm_start(props);

    set_features(vm, PV_IOMMU_F_WINDOW);
    g_assert_cmpuint(attach(vm, RID, PV_IOMMU_ATTACH_WINDOW), ==,
                     PV_IOMMU_S_OK);
    fill(vm, WINDOW_ADDR, 64, 1);
    fill(vm, WILD, 64, 2);
    dma_begin_store(&vm->edu[0], WINDOW_DMA, 64);
    dma_begin_store(&vm->edu[1], WILD, 64);
    save(vm, file);

    vm = vm_launch("q35", "", props, "-incoming defer");
    vm_probe(vm);
    dma_begin_store(&vm->edu[0], WINDOW_DMA, 64);
    dma_begin_store(&vm->edu[1], WILD, 64);
    g_assert(!edu_ends(vm, &vm->edu[0]));
    load_into(vm, file);
    g_assert(edu_ends(vm, &vm->edu[0]));
    g_assert(edu_ends(vm, &vm->edu[1]));
    check_zero(vm, WINDOW_ADDR, 64);
    check(vm, WILD, 64, WILD, 2);
    check_fault(vm, 1, WILD, RID2 | PV_IOMMU_FAULT_WRITE);
    vm_stop(vm);
    unlink(file);
}

static void test_migrate_transfer(void)
{
    migrate_transfer(",boot-bypass=on,hw-iommu=on,arena-size=1M");
    migrate_transfer(PROPS);
}

static void test_migrate(void)
{
    g_autofree char *file = temp_file("state");
    uint64_t dma[3];
    uint32_t errors;
    Vm *vm;

    vm = start_busy(dma);
    errors = vm->errors;
    save(vm, file);
    vm = load(file, "", PROPS);
    vm->errors = errors;

    /* registers, and who is attached how */
    g_assert_cmphex(reg(vm, PV_IOMMU_REG_CONTROL), ==, PV_IOMMU_CTL_ENABLE);
    check_fault(vm, 1, WILD, RID2 | PV_IOMMU_FAULT_WRITE);
    g_assert_cmpuint(attach(vm, RID, PV_IOMMU_ATTACH_BOUNCE), ==,
                     PV_IOMMU_S_STATE);
    g_assert_cmpuint(attach(vm, RID2, PV_IOMMU_ATTACH_WINDOW), ==,
                     PV_IOMMU_S_STATE);
    g_assert(!dma_reaches(vm, &vm->edu[1], dma[0], WILD));
    g_assert_cmpuint(prop(vm, "x-live-mappings"), ==, 2);

    /* memory: the window's, the guest's, the arena's */
    check(vm, WINDOW_ADDR, 8192, WINDOW_ADDR, 2);
    check(vm, SRC, 16384, SRC, 1);
    dma_copy(vm, &vm->edu[0], dma[2], WINDOW_DMA + 0x2000, 1000);
    check(vm, WINDOW_ADDR + 0x2000, 20, WINDOW_ADDR, 2);
    check_zero(vm, WINDOW_ADDR + 0x2000 + 20, 30);
    check(vm, WINDOW_ADDR + 0x2000 + 50, 900, SRC + 12288, 1);

    /* and the mappings live on */
    g_assert_cmpuint(unmap(vm, RID, dma[1], 0), ==, PV_IOMMU_S_HANDLE);
    dma_copy(vm, &vm->edu[0], WINDOW_DMA, dma[0] + 4096, 100);
    g_assert_cmpuint(unmap(vm, RID, dma[0], PV_IOMMU_DIR_FROM_DEVICE), ==,
                     PV_IOMMU_S_OK);
    check(vm, SRC, 4096, SRC, 1);
    check(vm, SRC + 4096, 100, WINDOW_ADDR, 2);
    check(vm, SRC + 4196, 16384 - 4196, SRC + 4196, 1);
    g_assert_cmpuint(unmap(vm, RID, dma[2], PV_IOMMU_DIR_FROM_DEVICE), ==,
                     PV_IOMMU_S_OK);
    check(vm, SRC + 8192, 10, WINDOW_ADDR + 3, 2);
    check(vm, SRC + 12288, 900, SRC + 12288, 1);
    g_assert_cmpuint(prop(vm, "x-live-mappings"), ==, 0);
    check_alive(vm);

    vm_stop(vm);
    unlink(file);
}

/* Destinations that cannot take the guest, and why they say so */
static void test_migrate_refused(void)
{
    static const struct {
        const char *props;
        const char *edu1;
        const char *message;
    } hosts[] = {
        { ",hw-iommu=on,arena-size=1M,boot-bypass=on", "-device edu,addr=5",
          "boot-bypass= differs: set it" },
        { ",boot-bypass=off,hw-iommu=off,arena-size=1M", "-device edu,addr=5",
          "the guest has accepted features 0x3, this host offers 0x6" },
        { ",boot-bypass=off,hw-iommu=on,arena-size=2M", "-device edu,addr=5",
          "Size mismatch: 0000:00:03.0/pv-iommu.arena" },
        { ",boot-bypass=off,hw-iommu=on,arena-size=1M,dma-base=0x300000",
          "-device edu,addr=5", "dma-base= differs" },
        { ",boot-bypass=off,hw-iommu=on,arena-size=1M,memaddr=0x100200000",
          "-device edu,addr=5", "memaddr= differs" },
        { ",boot-bypass=off,hw-iommu=on,arena-size=1M", "",
          "device 00:05.0 cannot be attached here" },
    };
    g_autofree char *file = temp_file("state");
    uint64_t dma[3];

    save(start_busy(dma), file);
    for (int i = 0; i < ARRAY_SIZE(hosts); i++) {
        g_autofree char *args = g_strdup_printf(
            "-machine q35 -m 64M,slots=1,maxmem=192M "
            "-object memory-backend-ram,id=win0,size=4M "
            PV_ARGS "%s "
            "-device edu,addr=4 %s -incoming 'exec:cat %s'",
            hosts[i].props, hosts[i].edu1, file);
        g_autofree char *out = NULL;
        int status;

        out = qemu_stderr(args, false, &status);
        g_test_message("%s", out);
        g_assert_cmpint(status, !=, 0);
        g_assert_nonnull(strstr(out, hosts[i].message));
    }
    unlink(file);
}

/* Put to in place of the one place in the stream where from is */
static void spoil_bytes(const char *file, const char *bad, const void *from,
                        const void *to, size_t size)
{
    g_autofree char *buf = NULL;
    char *at;
    gsize len;

    g_assert(g_file_get_contents(file, &buf, &len, NULL));
    at = memmem(buf, len, from, size);
    g_assert_nonnull(at);
    g_assert_null(memmem(at + 1, buf + len - at - 1, from, size));
    memcpy(at, to, size);
    g_assert(g_file_set_contents(bad, buf, len, NULL));
}

static void spoil(const char *file, const char *bad, const uint64_t *from,
                  const uint64_t *to, int nr)
{
    uint64_t find[4], put[4];

    for (int i = 0; i < nr; i++) {
        find[i] = cpu_to_be64(from[i]);
        put[i] = cpu_to_be64(to[i]);
    }
    spoil_bytes(file, bad, find, put, nr * sizeof(find[0]));
}

/* A stream that says what the source would not have granted */
static void test_migrate_bad_stream(void)
{
    g_autofree char *file = temp_file("state");
    g_autofree char *bad = temp_file("state");
    g_autofree char *args = g_strdup_printf(
        "-machine q35 -m 64M,slots=1,maxmem=192M "
        "-object memory-backend-ram,id=win0,size=4M "
        PV_ARGS PROPS " "
        "-device edu,addr=4 -device edu,addr=5 -incoming 'exec:cat %s'", bad);
    uint64_t dma[3];

    save(start_busy(dma), file);

    /* records as the stream has them: mapping, piece, numbers of each */
    const uint64_t fault = RID2 | PV_IOMMU_FAULT_WRITE;
    const uint64_t both = PV_IOMMU_DIR_TO_DEVICE |
                          PV_IOMMU_DIR_FROM_DEVICE;
    const struct {
        int nr;
        uint64_t from[3];
        uint64_t to[3];
        const char *message;
    } lies[] = {
        /* start, length, directions and pieces */
        { 3, { dma[0], 8192, both << 32 | 1 }, { 0, 8192, both << 32 | 1 },
          "bad mapping at 0x0" },
        { 3, { dma[0], 8192, both << 32 | 1 },
          { dma[0] + 1, 8192, both << 32 | 1 }, "bad mapping" },
        { 3, { dma[0], 8192, both << 32 | 1 },
          { dma[0], UINT64_MAX, both << 32 | 1 }, "bad mapping" },
        { 3, { dma[0], 8192, both << 32 | 1 },
          { ARENA_DMA + ARENA_SIZE - 4096, 8192, both << 32 | 1 },
          "bad mapping" },
        { 3, { dma[0], 8192, both << 32 | 1 },
          { dma[2], 8192, both << 32 | 1 }, "bad mapping" },
        { 3, { dma[0], 8192, both << 32 | 1 }, { dma[0], 8192, 1 },
          "bad mapping" },
        { 3, { dma[0], 8192, both << 32 | 1 },
          { dma[0], 8192, both << 32 | UINT32_MAX }, "bad mapping" },
        { 3, { dma[0], 8192, both << 32 | 1 },
          { dma[0], 8192, both << 32 }, "bad mapping" },
        /* address, length and place */
        { 2, { SRC + 8192, 10ULL << 32 | 3 },
          { SRC, 10ULL << 32 | UINT32_MAX }, "bad mapping" },
        { 2, { SRC + 12288, 900ULL << 32 | 50 },
          { SRC, 951ULL << 32 | 50 }, "bad mapping" },
        /* the last fault's device; how many devices, mappings and pieces */
        { 2, { fault << 32 | 2, 2ULL << 32 | 3 },
          { fault << 32 | 2, (uint64_t)INT32_MAX << 32 | 3 },
          "Input validation failed" },
        { 2, { fault << 32 | 2, 2ULL << 32 | 3 },
          { fault << 32 | 2, 2ULL << 32 | INT32_MAX },
          "Input validation failed" },
        { 2, { fault << 32 | 2, 2ULL << 32 | 3 },
          { fault << 32 | UINT32_MAX, 2ULL << 32 | 3 },
          "Input validation failed" },
    };

    for (int i = 0; i < ARRAY_SIZE(lies); i++) {
        g_autofree char *out = NULL;
        int status;

        spoil(file, bad, lies[i].from, lies[i].to, lies[i].nr);
        out = qemu_stderr(args, false, &status);
        g_test_message("%s", out);
        g_assert_cmpint(status, !=, 0);
        g_assert_nonnull(strstr(out, lies[i].message));
    }
    unlink(bad);
    unlink(file);
}

/*
 * Chunks. Two domains with a chunk each, one that was left, and the others,
 * which the guest has written to before they were ever granted.
 */

#define DOM_A           0x5eed0011
#define DOM_B           0x5eed0012
#define CHUNK(n)        (WINDOW_ADDR + (n) * CHUNK_SIZE)
#define CHUNK_DMA(n)    (WINDOW_DMA + (n) * CHUNK_SIZE)

static Vm *start_chunks(void)
{
    Vm *vm = vm_start(PROPS);

    enable_chunks(vm);
    g_assert_cmpuint(attach_to(vm, RID, DOM_A), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(attach_to(vm, RID2, DOM_B), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_to(vm, DOM_B, 4, 1, 0), ==, PV_IOMMU_S_OK);
    fill(vm, WINDOW_ADDR, WINDOW_SIZE, 1);
    g_assert_cmpuint(detach(vm, RID2), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(attach_to(vm, RID2, DOM_B), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_to(vm, DOM_A, 2, 1, PV_IOMMU_GRANT_KEEP), ==,
                     PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_to(vm, DOM_B, 3, 1, PV_IOMMU_GRANT_KEEP), ==,
                     PV_IOMMU_S_OK);
    return vm;
}

static void test_migrate_chunks(void)
{
    g_autofree char *file = temp_file("state");
    uint32_t errors;
    Vm *vm = start_chunks();

    errors = vm->errors;
    save(vm, file);
    vm = load(file, "", PROPS);
    vm->errors = errors;
    vm->chunks = true;

    check(vm, WINDOW_ADDR, WINDOW_SIZE, WINDOW_ADDR, 1);
    g_assert_cmphex(reg64(vm, PV_IOMMU_REG_WINDOW_GRANTED), ==,
                    2 * CHUNK_SIZE);
    for (int i = 0; i < 8; i++) {
        g_assert(dma_reaches(vm, &vm->edu[0], CHUNK_DMA(i), CHUNK(i)) ==
                 (i == 2));
        g_assert(dma_reaches(vm, &vm->edu[1], CHUNK_DMA(i), CHUNK(i)) ==
                 (i == 3));
    }

    /* the clean one is granted as it is, the one that was left is cleared */
    fill(vm, WINDOW_ADDR, WINDOW_SIZE, 2);
    g_assert_cmpuint(grant_to(vm, DOM_A, 5, 1, 0), ==, PV_IOMMU_S_OK);
    check(vm, WINDOW_ADDR, WINDOW_SIZE, WINDOW_ADDR, 2);
    g_assert_cmpuint(grant_to(vm, DOM_A, 4, 1, 0), ==, PV_IOMMU_S_OK);
    check_zero(vm, CHUNK(4), CHUNK_SIZE);

    /* and the domains live on */
    g_assert_cmpuint(grant_to(vm, DOM_A, 3, 1, 0), ==, PV_IOMMU_S_CHUNK);
    g_assert_cmpuint(revoke_from(vm, DOM_B, 3, 1), ==, PV_IOMMU_S_OK);
    check_zero(vm, CHUNK(3), CHUNK_SIZE);
    g_assert_cmpuint(detach(vm, RID2), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_to(vm, DOM_B, 3, 1, 0), ==, PV_IOMMU_S_DOMAIN);
    vm_stop(vm);
    unlink(file);
}

/* After an old guest's stream it is not known what is where: all is left */
static void test_migrate_old_guest(void)
{
    g_autofree char *file = temp_file("state");
    Vm *vm = vm_start(PROPS);

    set_features(vm, PV_IOMMU_F_WINDOW);
    g_assert_cmpuint(attach(vm, RID, PV_IOMMU_ATTACH_WINDOW), ==,
                     PV_IOMMU_S_OK);
    fill(vm, WINDOW_ADDR, WINDOW_SIZE, 1);
    save(vm, file);
    vm = load(file, "", PROPS);

    g_assert_cmphex(reg64(vm, PV_IOMMU_REG_WINDOW_GRANTED), ==, WINDOW_SIZE);
    check(vm, WINDOW_ADDR, WINDOW_SIZE, WINDOW_ADDR, 1);
    g_assert(dma_reaches(vm, &vm->edu[0], WINDOW_DMA, WINDOW_ADDR));
    set_reg(vm, PV_IOMMU_REG_CONTROL, PV_IOMMU_CTL_RESET);
    enable_chunks(vm);
    g_assert_cmpuint(attach_to(vm, RID, DOM_A), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_to(vm, DOM_A, 2, 1, 0), ==, PV_IOMMU_S_OK);
    check_zero(vm, CHUNK(2), CHUNK_SIZE);
    check(vm, CHUNK(3), CHUNK_SIZE, CHUNK(3), 1);
    vm_stop(vm);
    unlink(file);
}

static void check_not_loaded(const char *file, const char *props,
                             const char *message)
{
    g_autofree char *args = g_strdup_printf(
        "-machine q35 -m 64M,slots=1,maxmem=192M "
        "-object memory-backend-ram,id=win0,size=4M "
        PV_ARGS "%s "
        "-device edu,addr=4 -device edu,addr=5 -incoming 'exec:cat %s'",
        props, file);
    g_autofree char *out = NULL;
    int status;

    out = qemu_stderr(args, false, &status);
    g_test_message("%s", out);
    g_assert_cmpint(status, !=, 0);
    g_assert_nonnull(strstr(out, message));
}

static void test_migrate_chunks_refused(void)
{
    static const struct {
        size_t size;
        uint8_t from[6];
        uint8_t to[6];
        const char *message;
    } lies[] = {
        /* a chunk's state and domain; their number, before the first domain */
        { 5, { 2, 0x5e, 0xed, 0, 0x11 }, { 3, 0x5e, 0xed, 0, 0x11 },
          "bad chunk 2: state 3" },
        { 5, { 2, 0x5e, 0xed, 0, 0x11 }, { 2, 0x5e, 0xed, 0, 9 },
          "bad chunk 2: state 2" },
        { 5, { 2, 0x5e, 0xed, 0, 0x12 }, { 2, 0, 0, 0, 0 },
          "bad chunk 3: state 2" },
        { 6, { 0, 0, 0, 32, 0x5e, 0xed }, { 0, 0, 0, 33, 0x5e, 0xed },
          "Input validation failed" },
        { 6, { 0, 0, 0, 32, 0x5e, 0xed }, { 0xff, 0xff, 0xff, 32, 0x5e, 0xed },
          "Input validation failed" },
    };
    /* accepted features, and that it is enabled */
    static const uint8_t features[] = { 0, 0, 0, 0, 0, 0, 0, 7, 1 };
    static const uint8_t old[] = { 0, 0, 0, 0, 0, 0, 0, 3, 1 };
    g_autofree char *file = temp_file("state");
    g_autofree char *bad = temp_file("state");

    save(start_chunks(), file);
    check_not_loaded(file, PROPS ",limit=128K",
                     "the guest has 0x40000 bytes of the window, "
                     "limit=0x20000 allows less: raise limit=");
    check_not_loaded(file, PROPS ",isolation=off", "set isolation=");
    for (int i = 0; i < ARRAY_SIZE(lies); i++) {
        spoil_bytes(file, bad, lies[i].from, lies[i].to, lies[i].size);
        check_not_loaded(bad, PROPS, lies[i].message);
    }
    spoil_bytes(file, bad, features, old, sizeof(old));
    check_not_loaded(bad, PROPS, "the stream does not say of chunks");
    unlink(bad);
    unlink(file);
}

/* What is granted of guest RAM, to whom, and for what */
static Vm *start_direct(void)
{
    Vm *vm = vm_start(PROPS ",direct-limit=1M");

    /* what the destination learns later than what was granted */
    set_pam0(vm, PAM0_RAM);
    enable_direct(vm);
    g_assert_cmpuint(attach_to(vm, RID, DOM_A), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(attach_to(vm, RID2, DOM_B), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_pages(vm, DOM_A, 0x5ee, 2, PV_IOMMU_RANGE_READ |
                                 PV_IOMMU_RANGE_WRITE), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_pages(vm, DOM_B, 0x5ef, 1, PV_IOMMU_RANGE_READ), ==,
                     PV_IOMMU_S_OK);
    return vm;
}

/* A large piece is one still */
static void test_migrate_large(void)
{
    g_autofree char *file = temp_file("state");
    Vm *vm = vm_start(PROPS ",direct-limit=4M");
    uint32_t errors;

    set_features(vm, PV_IOMMU_F_WINDOW | PV_IOMMU_F_CHUNKS |
                 PV_IOMMU_F_DIRECT | PV_IOMMU_F_LARGE);
    g_assert_cmpuint(attach_to(vm, RID, DOM_A), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_pages(vm, DOM_A, 0x600, 512, PV_IOMMU_RANGE_READ |
                                 PV_IOMMU_RANGE_WRITE | PV_IOMMU_RANGE_LARGE),
                     ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_pages(vm, DOM_A, 0x800, 1, PV_IOMMU_RANGE_READ |
                                 PV_IOMMU_RANGE_WRITE), ==, PV_IOMMU_S_OK);
    errors = vm->errors;
    save(vm, file);
    vm = load(file, "", PROPS ",direct-limit=4M");
    vm->errors = errors;
    vm->chunks = true;

    g_assert_cmphex(reg64(vm, PV_IOMMU_REG_DIRECT_GRANTED), ==, 513 * GRANULE);
    g_assert(dma_reaches(vm, &vm->edu[0], DIRECT_DMA + 0x7ff000, 0x7ff000));
    g_assert_cmpuint(revoke_pages(vm, DOM_A, 0x7ff, 2), ==, PV_IOMMU_S_PAGE);
    g_assert_cmpuint(revoke_pages(vm, DOM_A, 0x800, 1), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(revoke_pages(vm, DOM_A, 0x600, 512), ==, PV_IOMMU_S_OK);
    g_assert_cmphex(reg64(vm, PV_IOMMU_REG_DIRECT_GRANTED), ==, 0);
    vm_stop(vm);
    unlink(file);
}

static void test_migrate_direct(void)
{
    static const struct {
        size_t size;
        uint8_t from[20];
        uint8_t to[20];
        const char *message;
    } lies[] = {
        /* a run's first page, number of pages, permission and domain */
        { 16, { 0, 0, 0, 0, 0, 0, 5, 0xee, 0, 0, 0, 2, 0, 0, 0, 3 },
              { 0, 0, 0, 0, 0, 0x0b, 0, 0, 0, 0, 0, 2, 0, 0, 0, 3 },
          "0x2 pages of guest RAM from 0xb0000 on cannot be granted here" },
        { 16, { 0, 0, 0, 0, 0, 0, 5, 0xee, 0, 0, 0, 2, 0, 0, 0, 3 },
              { 255, 0, 0, 0, 0, 0, 5, 0xee, 0, 0, 0, 2, 0, 0, 0, 3 },
          "pages of guest RAM from 0xff000000000005ee on cannot be" },
        { 16, { 0, 0, 0, 0, 0, 0, 5, 0xee, 0, 0, 0, 2, 0, 0, 0, 3 },
              { 0, 0, 0, 0, 0, 0, 5, 0xee, 255, 255, 255, 255, 0, 0, 0, 3 },
          "0xffffffff pages of guest RAM from 0x5ee on cannot be" },
        { 16, { 0, 0, 0, 0, 0, 0, 5, 0xee, 0, 0, 0, 2, 0, 0, 0, 3 },
              { 0, 0, 0, 0, 0, 0, 5, 0xee, 0, 0, 0, 0, 0, 0, 0, 3 },
          "0x0 pages of guest RAM from 0x5ee on cannot be" },
        { 16, { 0, 0, 0, 0, 0, 0, 5, 0xee, 0, 0, 0, 2, 0, 0, 0, 3 },
              { 0, 0, 0, 0, 0, 0, 5, 0xee, 0, 0, 0, 2, 0, 0, 0, 7 },
          "0x2 pages of guest RAM from 0x5ee on cannot be" },
        { 20, { 0, 0, 0, 0, 0, 0, 5, 0xee, 0, 0, 0, 2, 0, 0, 0, 3,
                0x5e, 0xed, 0, 0x11 },
              { 0, 0, 0, 0, 0, 0, 5, 0xee, 0, 0, 0, 2, 0, 0, 0, 3,
                0x5e, 0xed, 0, 9 },
          "0x2 pages of guest RAM from 0x5ee on cannot be" },
    };
    /* accepted features, and that it is enabled */
    static const uint8_t features[] = { 0, 0, 0, 0, 0, 0, 0, 15, 1 };
    static const uint8_t none[] = { 0, 0, 0, 0, 0, 0, 0, 7, 1 };
    g_autofree char *file = temp_file("state");
    g_autofree char *bad = temp_file("state");
    uint32_t errors;
    Vm *vm = start_direct();

    errors = vm->errors;
    /* what is granted stays so, and is sent */
    set_prop(vm, "direct-limit", 0);
    save(vm, file);
    vm = load(file, "", PROPS ",direct-limit=12K");
    vm->errors = errors;
    vm->chunks = true;

    g_assert_cmphex(reg64(vm, PV_IOMMU_REG_DIRECT_GRANTED), ==, 3 * GRANULE);
    for (uint64_t page = 0x5ed; page < 0x5f1; page++) {
        const uint64_t dma = DIRECT_DMA + page * GRANULE;

        g_assert(dma_reaches(vm, &vm->edu[0], dma, page * GRANULE) ==
                 (page == 0x5ee || page == 0x5ef));
        g_assert(!dma_reaches(vm, &vm->edu[1], dma, page * GRANULE));
    }
    fill(vm, 0x5ef000, 64, 3);
    dma_copy(vm, &vm->edu[1], DIRECT_DMA + 0x5ef000, DIRECT_DMA + 0x5ef000,
             64);
    g_assert_cmpuint(revoke_pages(vm, DOM_B, 0x5ef, 1), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(revoke_pages(vm, DOM_A, 0x5ee, 2), ==, PV_IOMMU_S_OK);
    g_assert_cmphex(reg64(vm, PV_IOMMU_REG_DIRECT_GRANTED), ==, 0);
    vm_stop(vm);

    check_not_loaded(file, PROPS, "or there is no direct-limit= here: set it");
    check_not_loaded(file, PROPS ",direct-limit=8K", "raise direct-limit=");
    check_not_loaded(file, PROPS ",direct-limit=4K",
                     "as much as direct-limit= allows");
    check_not_loaded(file, PROPS ",direct-limit=1M,direct-base=0x200000000",
                     "direct-base= differs");
    for (int i = 0; i < ARRAY_SIZE(lies); i++) {
        g_test_message("lie %d", i);
        spoil_bytes(file, bad, lies[i].from, lies[i].to, lies[i].size);
        check_not_loaded(bad, PROPS ",direct-limit=1M", lies[i].message);
    }
    spoil_bytes(file, bad, features, none, sizeof(none));
    check_not_loaded(bad, PROPS ",direct-limit=1M", "the stream has pages of "
                     "guest RAM for a guest with features");
    unlink(bad);
    unlink(file);
}

/* Whether this QEMU can have its memory come after it */
static bool allow_postcopy(Vm *vm)
{
    QDict *rsp = qtest_qmp(vm->qts, "{'execute': 'migrate-set-capabilities', "
                           "'arguments': {'capabilities': ["
                           "{'capability': 'postcopy-ram', 'state': true}]}}");
    bool can = qdict_haskey(rsp, "return");

    qobject_unref(rsp);
    return can;
}

static void migrate_at(Vm *vm, uint64_t precopy, uint64_t postcopy)
{
    qtest_qmp_assert_success(vm->qts, "{'execute': 'migrate-set-parameters', "
                             "'arguments': {'max-bandwidth': %" PRIu64 ", "
                             "'max-postcopy-bandwidth': %" PRIu64 "}}",
                             precopy, postcopy);
}

static void check_not_complete(Vm *vm)
{
    QDict *rsp = qtest_qmp(vm->qts, "{'execute': 'query-migrate'}");
    QDict *ret = qdict_get_qdict(rsp, "return");

    g_assert_cmpstr(qdict_get_str(ret, "status"), ==, "postcopy-active");
    qobject_unref(rsp);
}

/*
 * The guest goes on where next to nothing of its memory is yet. What was
 * granted is fetched like all else, be it a device that looks at it. What is
 * cleared meanwhile is not fetched any more, as it would be if it had been
 * discarded.
 */
static void test_migrate_postcopy(void)
{
    const char *props = PROPS ",direct-limit=1M";
    g_autofree char *listen = temp_file("state");
    g_autofree char *uri = g_strdup_printf("unix:%s", listen);
    Vm *from = vm_start(props), *vm;
    uint64_t dma;

    set_features(from, PV_IOMMU_F_WINDOW | PV_IOMMU_F_BOUNCE |
                 PV_IOMMU_F_CHUNKS | PV_IOMMU_F_DIRECT);
    g_assert_cmpuint(attach_to(from, RID, DOM_A), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(attach(from, RID2, PV_IOMMU_ATTACH_BOUNCE), ==,
                     PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_to(from, DOM_A, 2, 2, 0), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_pages(from, DOM_A, 0x5ee, 2, PV_IOMMU_RANGE_READ |
                                 PV_IOMMU_RANGE_WRITE), ==, PV_IOMMU_S_OK);
    fill(from, CHUNK(2), 2 * CHUNK_SIZE, 1);
    fill(from, 0x5ee000, 2 * GRANULE, 2);
    fill(from, SRC, 8192, 3);
    dma = map(from, RID2, SRC, 8192);
    /* takes half a minute; what is asked for is no faster, but first */
    qtest_memset(from->qts, WILD, 1, 32 * MiB);

    vm = vm_launch("q35", "", props, "-incoming defer");
    if (!allow_postcopy(vm)) {
        g_test_skip("the kernel does not let this user have userfaultfd");
        goto out;
    }
    unlink(listen);
    qtest_qmp_assert_success(vm->qts, "{'execute': 'migrate-incoming', "
                             "'arguments': {'uri': %s}}", uri);
    g_assert(allow_postcopy(from));
    migrate_at(from, MiB, MiB);
    qtest_qmp_assert_success(from->qts, "{'execute': 'migrate', 'arguments': "
                             "{'uri': %s}}", uri);
    qtest_qmp_assert_success(from->qts,
                             "{'execute': 'migrate-start-postcopy'}");
    qtest_qmp_eventwait(vm->qts, "RESUME");
    vm_probe(vm);
    vm->errors = from->errors;
    vm->chunks = true;

    g_assert_cmphex(reg64(vm, PV_IOMMU_REG_WINDOW_GRANTED), ==,
                    2 * CHUNK_SIZE);
    g_assert_cmphex(reg64(vm, PV_IOMMU_REG_DIRECT_GRANTED), ==, 2 * GRANULE);
    dma_copy(vm, &vm->edu[0], DIRECT_DMA + 0x5ee000, CHUNK_DMA(2), 2048);
    check(vm, CHUNK(2), 2048, 0x5ee000, 2);
    check(vm, CHUNK(2) + 2048, CHUNK_SIZE - 2048, CHUNK(2) + 2048, 1);
    dma_copy(vm, &vm->edu[1], dma, dma + 4096, 1000);
    g_assert_cmpuint(unmap(vm, RID2, dma, PV_IOMMU_DIR_FROM_DEVICE), ==,
                     PV_IOMMU_S_OK);
    check(vm, SRC + 4096, 1000, SRC, 3);
    g_assert_cmpuint(revoke_from(vm, DOM_A, 3, 1), ==, PV_IOMMU_S_OK);
    check_zero(vm, CHUNK(3), CHUNK_SIZE);
    check_not_complete(from);

    migrate_at(from, GiB, GiB);
    wait_migration(from->qts);
    wait_migration(vm->qts);
    check_zero(vm, CHUNK(3), CHUNK_SIZE);
    check(vm, 0x5ee000, 2 * GRANULE, 0x5ee000, 2);
    check(vm, SRC, 4096, SRC, 3);
    g_assert_cmpuint(prop(vm, "discards-refused"), ==, 0);
out:
    vm_stop(vm);
    vm_stop(from);
    unlink(listen);
}

/*
 * Three devices, each behind a root port, and all of them with one requester
 * ID, as the guest has given the same number to each bus.
 */
#define PORTS \
    "-device pcie-root-port,id=rp0,addr=6,slot=1,chassis=1 " \
    "-device pcie-root-port,id=rp1,addr=7,slot=2,chassis=2 " \
    "-device pcie-root-port,id=rp2,addr=8,slot=3,chassis=3 " \
    "-device edu,bus=rp0,dma_mask=0xffffffff " \
    "-device edu,bus=rp1,dma_mask=0xffffffff " \
    "-device edu,bus=rp2,dma_mask=0xffffffff "

static void number_ports(Vm *vm, bool same, Edu edu[3])
{
    for (int i = 0; i < 3; i++) {
        bridge_init(vm, 6 + i, same ? 1 : i + 1, 0xd0000000 + i * 0x1000000);
    }
    for (int i = 0; !same && i < 3; i++) {
        vm->bus->mmio_alloc_ptr = 0xd0000000 + i * 0x1000000;
        edu[i] = edu_at(vm, (i + 1) << 8);
    }
}

#define PORTS_PROPS     ",boot-bypass=on,hw-iommu=on,arena-size=1M"

static Vm *start_renumbered(uint64_t dma[2])
{
    Vm *vm = vm_launch("q35", PORTS, PORTS_PROPS, "");
    Edu edu[3];

    vm_probe(vm);
    number_ports(vm, false, edu);
    g_assert_cmpuint(attach(vm, 0x300, PV_IOMMU_ATTACH_BYPASS), ==,
                     PV_IOMMU_S_OK);
    set_features(vm, PV_IOMMU_F_WINDOW | PV_IOMMU_F_BOUNCE);
    g_assert_cmpuint(attach(vm, 0x100, PV_IOMMU_ATTACH_WINDOW), ==,
                     PV_IOMMU_S_OK);
    g_assert_cmpuint(attach(vm, 0x200, PV_IOMMU_ATTACH_BOUNCE), ==,
                     PV_IOMMU_S_OK);
    g_assert_cmpuint(attach(vm, RID, PV_IOMMU_ATTACH_BOUNCE), ==,
                     PV_IOMMU_S_OK);
    fill(vm, SRC, 8192, 1);
    dma[0] = map(vm, 0x200, SRC, 4096);
    dma[1] = map(vm, RID, SRC + 4096, 4096);
    number_ports(vm, true, NULL);
    for (int i = 0; i < 3; i++) {
        g_free(edu[i].dev);
    }
    return vm;
}

static void test_migrate_renumbered(void)
{
    g_autofree char *file = temp_file("state");
    uint64_t dma[2];
    Vm *vm = start_renumbered(dma);
    uint32_t errors = vm->errors;
    Edu edu[3];

    save(vm, file);
    vm = load(file, PORTS, PORTS_PROPS);
    vm->errors = errors;
    number_ports(vm, false, edu);
    g_assert(dma_reaches(vm, &edu[0], WINDOW_DMA, WINDOW_ADDR));
    g_assert(!dma_reaches(vm, &edu[0], WILD, WILD));
    g_assert(!dma_reaches(vm, &edu[1], WILD, WILD));
    g_assert(dma_reaches(vm, &edu[2], WILD, WILD));
    g_assert_cmpuint(unmap(vm, RID, dma[0], 0), ==, PV_IOMMU_S_HANDLE);
    g_assert_cmpuint(unmap(vm, 0x200, dma[1], 0), ==, PV_IOMMU_S_HANDLE);
    dma_copy(vm, &edu[1], dma[0], dma[0] + 1024, 512);
    g_assert_cmpuint(unmap(vm, 0x200, dma[0], PV_IOMMU_DIR_FROM_DEVICE), ==,
                     PV_IOMMU_S_OK);
    check(vm, SRC + 1024, 512, SRC, 1);
    g_assert_cmpuint(unmap(vm, RID, dma[1], 0), ==, PV_IOMMU_S_OK);

    /* who was served once is not exempt later */
    g_assert_cmpuint(detach(vm, 0x100), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(attach(vm, 0x100, PV_IOMMU_ATTACH_BYPASS), ==,
                     PV_IOMMU_S_UNSUPP);
    for (int i = 0; i < 3; i++) {
        g_free(edu[i].dev);
    }
    vm_stop(vm);
    unlink(file);
}

/* A mapping's memory was unplugged: that is seen when it is copied, as ever */
static void test_migrate_unplugged(void)
{
    const char *props = ",boot-bypass=off,hw-iommu=off,arena-size=1M";
    const uint64_t dimm = WINDOW_ADDR + WINDOW_SIZE;
    g_autofree char *file = temp_file("state");
    Vm *vm = vm_start_on("q35", props,
                         "-object memory-backend-ram,id=m1,size=64M "
                         "-device pc-dimm,id=dimm1,memdev=m1,addr=0x100400000");
    struct pv_iommu_req req;
    uint32_t errors;
    uint64_t dma;

    set_features(vm, PV_IOMMU_F_BOUNCE);
    g_assert_cmpuint(attach(vm, RID, PV_IOMMU_ATTACH_BOUNCE), ==,
                     PV_IOMMU_S_OK);
    fill(vm, SRC, 100, 1);
    map_init(&req, RID, 0, 0);
    req.nr_segs = cpu_to_le16(2);
    req.length = cpu_to_le64(200);
    seg_set(&req, 0, dimm, 100, 0);
    seg_set(&req, 1, SRC, 100, 100);
    dma = map_submit(vm, &req);
    qtest_qmp_device_del_send(vm->qts, "dimm1");
    dimm_eject(vm);
    qtest_qmp_eventwait(vm->qts, "DEVICE_DELETED");
    qtest_qmp_assert_success(vm->qts, "{'execute': 'object-del', 'arguments': "
                             "{'id': 'm1'}}");
    errors = vm->errors;
    save(vm, file);

    vm = load(file, "", props);
    vm->errors = errors;
    qtest_memset(vm->qts, SRC, 0, 100);
    g_assert_cmpuint(unmap(vm, RID, dma, PV_IOMMU_DIR_FROM_DEVICE), ==,
                     PV_IOMMU_S_RANGE);
    check(vm, SRC, 100, SRC, 1);
    check_alive(vm);
    vm_stop(vm);
    unlink(file);
}

/* The state of devices alone, with no memory */
static void save_devices(Vm *vm, const char *file)
{
    qtest_qmp_assert_success(vm->qts, "{'execute': 'xen-save-devices-state', "
                             "'arguments': {'filename': %s, 'live': true}}",
                             file);
}

/*
 * With COLO, the state of devices is loaded into a machine that has some, after
 * memory: what that has brought into the arena stays. Here Xen's command does
 * it, which QEMU bears in a machine that waits for a migration.
 */
static void test_migrate_again(void)
{
    g_autofree char *file = temp_file("state");
    g_autofree char *listen = temp_file("state");
    g_autofree char *more = g_strdup_printf(
        "-incoming unix:%s -global migration.send-configuration=off", listen);
    uint32_t errors;
    uint64_t dma;
    Vm *vm;

    unlink(listen);
    vm = vm_start_on("q35", PROPS, more);
    set_features(vm, PV_IOMMU_F_WINDOW | PV_IOMMU_F_BOUNCE);
    g_assert_cmpuint(attach(vm, RID, PV_IOMMU_ATTACH_BOUNCE), ==,
                     PV_IOMMU_S_OK);
    fill(vm, SRC, 8192, 1);
    dma = map(vm, RID, SRC, 8192);
    save_devices(vm, file);
    errors = vm->errors;
    qtest_qmp_assert_success(vm->qts, "{'execute': 'xen-load-devices-state', "
                             "'arguments': {'filename': %s}}", file);
    vm->errors = errors;

    g_assert_cmpuint(prop(vm, "x-live-mappings"), ==, 1);
    qtest_memset(vm->qts, SRC, 0, 8192);
    g_assert_cmpuint(unmap(vm, RID, dma, PV_IOMMU_DIR_FROM_DEVICE), ==,
                     PV_IOMMU_S_OK);
    check(vm, SRC, 8192, SRC, 1);
    vm_stop(vm);
    unlink(file);
}

/*
 * Streams that are changed at random: they are loaded or refused, and in both
 * cases the device works on. The state of devices alone, with no memory, is
 * loaded at once, by the same code.
 */
#define FUZZ_SEED       0x5eed
#define FUZZ_STREAMS    40      /* of each kind */
#define FUZZ_BYTES      4       /* changed in each, at the most */

static Vm *start_busy_fuzz(void)
{
    uint64_t dma[3];

    return start_busy(dma);
}

static Vm *start_renumbered_fuzz(void)
{
    uint64_t dma[2];

    return start_renumbered(dma);
}

/* Of a PCI device: its version, configuration space and interrupt lines */
#define FUZZ_PCI        (4 + 256 + 16)

/* Where our section of the stream is, less its head and what is PCI's */
static void find_section(const char *buf, gsize len, gsize *start, gsize *end)
{
    const char name[] = "0000:00:03.0/pv-iommu-pci";
    const size_t size = sizeof(name) - 1;
    const char *at = memmem(buf, len, name, size);
    char footer[5] = { 0x7e };
    const char *foot;

    g_assert_nonnull(at);
    /* the number of the section is before the length of its name */
    memcpy(footer + 1, at - 5, 4);
    *start = at + size + 8 + FUZZ_PCI - buf;
    foot = memmem(buf + *start, len - *start, footer, sizeof(footer));
    g_assert_nonnull(foot);
    *end = foot - buf;
    g_assert_cmpuint(*end - *start, >, 100);
}

static void mutate(GRand *rand, char *buf, gsize start, gsize end)
{
    static const char special[] = { 0, 1, 0x7f, (char)0x80, (char)0xff };
    int nr = g_rand_int_range(rand, 1, FUZZ_BYTES + 1);

    while (nr--) {
        gsize at = g_rand_int_range(rand, start, end);

        if (g_rand_boolean(rand)) {
            buf[at] = special[g_rand_int_range(rand, 0, sizeof(special))];
        } else {
            buf[at] ^= 1 << g_rand_int_range(rand, 0, 8);
        }
    }
}

/* A machine that the state of devices was put into, and whether it was good */
static Vm *load_devices(const char *file, const char *first, const char *props,
                        bool *ok)
{
    g_autofree char *listen = temp_file("state");
    g_autofree char *more = g_strdup_printf(
        "-incoming unix:%s -global migration.send-configuration=off", listen);
    QDict *rsp;
    Vm *vm;

    unlink(listen);
    vm = vm_launch("q35", first, props, more);
    vm_probe(vm);
    rsp = qtest_qmp(vm->qts, "{'execute': 'xen-load-devices-state', "
                    "'arguments': {'filename': %s}}", file);
    *ok = !qdict_haskey(rsp, "error");
    qobject_unref(rsp);
    devices_enable(vm);
    return vm;
}

/* Returns whether it was loaded */
static bool load_changed(const char *file, const char *first, const char *props)
{
    bool ok;
    Vm *vm = load_devices(file, first, props, &ok);
    uint64_t dma;

    set_reg(vm, PV_IOMMU_REG_CONTROL, PV_IOMMU_CTL_RESET);
    g_assert_cmpuint(prop(vm, "x-live-mappings"), ==, 0);
    vm->errors = reg(vm, PV_IOMMU_REG_ERRORS);
    set_features(vm, PV_IOMMU_F_WINDOW | PV_IOMMU_F_BOUNCE |
                 PV_IOMMU_F_CHUNKS);
    g_assert_cmpuint(attach(vm, RID, PV_IOMMU_ATTACH_BOUNCE), ==,
                     PV_IOMMU_S_OK);
    fill(vm, SRC, 4096, 1);
    dma = map(vm, RID, SRC, 4096);
    qtest_memset(vm->qts, SRC, 0, 4096);
    g_assert_cmpuint(unmap(vm, RID, dma, PV_IOMMU_DIR_FROM_DEVICE), ==,
                     PV_IOMMU_S_OK);
    check(vm, SRC, 4096, SRC, 1);
    vm_stop(vm);
    return ok;
}

static void test_migrate_fuzz(void)
{
    static const struct {
        Vm *(*start)(void);
        const char *first;
        const char *props;
    } kinds[] = {
        { start_busy_fuzz, "", PROPS },
        { start_chunks, "", PROPS },
        { start_direct, "", PROPS ",direct-limit=1M" },
        { start_renumbered_fuzz, PORTS, PORTS_PROPS },
    };
    g_autofree char *file = temp_file("state");
    GRand *rand = g_rand_new_with_seed(FUZZ_SEED);
    int loaded = 0;

    for (int i = 0; i < ARRAY_SIZE(kinds); i++) {
        g_autofree char *buf = NULL;
        gsize len, start, end;
        Vm *vm = kinds[i].start();

        save_devices(vm, file);
        vm_stop(vm);
        g_assert(g_file_get_contents(file, &buf, &len, NULL));
        find_section(buf, len, &start, &end);
        /* as it is, it is good */
        g_assert(load_changed(file, kinds[i].first, kinds[i].props));

        for (int n = 0; n < FUZZ_STREAMS; n++) {
            g_autofree char *changed = g_memdup2(buf, len);

            g_test_message("kind %d, stream %d", i, n);
            mutate(rand, changed, start, end);
            g_assert(g_file_set_contents(file, changed, len, NULL));
            loaded += load_changed(file, kinds[i].first, kinds[i].props);
        }
    }
    g_test_message("%d of %d were loaded", loaded,
                   (int)ARRAY_SIZE(kinds) * FUZZ_STREAMS);
    g_rand_free(rand);
    unlink(file);
}

/*
 * Features that no guest can enable, or any after a stream that is no good for
 * another reason: none of them is left
 */
static void test_migrate_features(void)
{
    const char *props = PROPS ",direct-limit=1M";
    static const struct {
        uint8_t features, enabled;
        const char *message;
    } lies[] = {
        { PV_IOMMU_F_CHUNKS, 1,
          "features 0x4 enabled that lack one that goes with another" },
        { PV_IOMMU_F_WINDOW | PV_IOMMU_F_DIRECT, 1,
          "features 0x9 enabled that lack one" },
        { PV_IOMMU_F_WINDOW | PV_IOMMU_F_CHUNKS | PV_IOMMU_F_LARGE, 1,
          "features 0x25 enabled that lack one" },
        { 0, 1, "features 0x0 enabled that lack one" },
        { PV_IOMMU_F_WINDOW, 0,
          "features 0x1 not enabled, and devices attached" },
        { 0x81, 1, "the guest has accepted features 0x81" },
    };
    g_autofree char *file = temp_file("state");
    g_autofree char *bad = temp_file("state");
    /* accepted features, and that it is enabled; the number of chunks */
    uint8_t features[] = { 0, 0, 0, 0, 0, 0, 0, 0, 1 }, to[9] = { 0 };
    static const uint8_t number[] = { 0, 0, 0, 32, 0x5e, 0xed };
    static const uint8_t other[] = { 0, 0, 0, 33, 0x5e, 0xed };
    Vm *vm = start_direct();
    bool ok;

    features[7] = reg(vm, PV_IOMMU_REG_GUEST_FEATURES);
    save_devices(vm, file);
    vm_stop(vm);
    vm = load_devices(file, "", props, &ok);
    g_assert(ok);
    g_assert_cmphex(reg(vm, PV_IOMMU_REG_CONTROL), ==, PV_IOMMU_CTL_ENABLE);
    g_assert_cmphex(reg64(vm, PV_IOMMU_REG_GUEST_FEATURES), ==, features[7]);
    vm_stop(vm);

    for (int i = 0; i <= ARRAY_SIZE(lies); i++) {
        g_test_message("lie %d", i);
        if (i < ARRAY_SIZE(lies)) {
            to[7] = lies[i].features;
            to[8] = lies[i].enabled;
            spoil_bytes(file, bad, features, to, sizeof(to));
        } else {
            /* one that is refused before all of it was read */
            spoil_bytes(file, bad, number, other, sizeof(other));
        }
        vm = load_devices(bad, "", props, &ok);
        g_assert(!ok);
        g_assert_cmphex(reg(vm, PV_IOMMU_REG_CONTROL), ==, 0);
        g_assert_cmphex(reg64(vm, PV_IOMMU_REG_GUEST_FEATURES), ==, 0);
        g_assert_cmpuint(attach(vm, RID, PV_IOMMU_ATTACH_WINDOW), ==,
                         PV_IOMMU_S_STATE);
        vm_stop(vm);
    }

    /* and it says why */
    save(start_direct(), file);
    for (int i = 0; i < ARRAY_SIZE(lies); i++) {
        to[7] = lies[i].features;
        to[8] = lies[i].enabled;
        spoil_bytes(file, bad, features, to, sizeof(to));
        check_not_loaded(bad, props, lies[i].message);
    }
    unlink(bad);
    unlink(file);
}

/* Run a command of the human monitor that has nothing to say if it succeeds */
static void hmp(Vm *vm, const char *command)
{
    g_autofree char *out = qtest_hmp(vm->qts, "%s", command);

    g_assert_cmpstr(out, ==, "");
}

/* What came after the snapshot was taken is gone, whatever it was */
static void test_snapshot(void)
{
    Vm *vm = vm_launch("q35", "-drive if=none,id=disk,driver=null-co,size=1M,"
                       "snapshot=on", PROPS ",direct-limit=1M", "");
    uint32_t errors;

    vm_probe(vm);
    enable_direct(vm);
    g_assert_cmpuint(attach_to(vm, RID, DOM_A), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(attach_to(vm, RID2, DOM_B), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_to(vm, DOM_A, 2, 1, 0), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_to(vm, DOM_B, 3, 1, 0), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_pages(vm, DOM_A, 0x5ee, 1, PV_IOMMU_RANGE_WRITE),
                     ==, PV_IOMMU_S_OK);
    fill(vm, WINDOW_ADDR, WINDOW_SIZE, 1);
    errors = vm->errors;
    hmp(vm, "savevm before");

    /* each is now where the other was */
    g_assert_cmpuint(revoke_from(vm, DOM_A, 2, 1), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(revoke_from(vm, DOM_B, 3, 1), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_to(vm, DOM_A, 3, 2, 0), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_to(vm, DOM_B, 2, 1, 0), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(revoke_pages(vm, DOM_A, 0x5ee, 1), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_pages(vm, DOM_B, 0x5ef, 1, PV_IOMMU_RANGE_WRITE),
                     ==, PV_IOMMU_S_OK);
    fill(vm, WINDOW_ADDR, WINDOW_SIZE, 2);
    hmp(vm, "loadvm before");
    /* edu has no state that QEMU would keep */
    devices_enable(vm);
    vm->errors = errors;

    check(vm, WINDOW_ADDR, WINDOW_SIZE, WINDOW_ADDR, 1);
    g_assert_cmphex(reg64(vm, PV_IOMMU_REG_WINDOW_GRANTED), ==,
                    2 * CHUNK_SIZE);
    g_assert_cmphex(reg64(vm, PV_IOMMU_REG_DIRECT_GRANTED), ==, GRANULE);
    for (int i = 0; i < 8; i++) {
        g_assert(dma_reaches(vm, &vm->edu[0], CHUNK_DMA(i), CHUNK(i)) ==
                 (i == 2));
        g_assert(dma_reaches(vm, &vm->edu[1], CHUNK_DMA(i), CHUNK(i)) ==
                 (i == 3));
    }
    for (uint64_t page = 0x5ee; page < 0x5f0; page++) {
        const uint64_t dma = DIRECT_DMA + page * GRANULE;

        g_assert(!dma_reaches(vm, &vm->edu[1], dma, page * GRANULE));
    }
    dma_copy(vm, &vm->edu[0], CHUNK_DMA(2) + 64, DIRECT_DMA + 0x5ee000, 64);
    check(vm, 0x5ee000, 64, CHUNK(2) + 64, 1);
    g_assert_cmpuint(grant_to(vm, DOM_A, 3, 1, 0), ==, PV_IOMMU_S_CHUNK);
    g_assert_cmpuint(revoke_pages(vm, DOM_A, 0x5ee, 1), ==, PV_IOMMU_S_OK);
    vm_stop(vm);
}

/* Nobody reaches anything, and can be had to before the machine is reset */
static void check_shut(Vm *vm)
{
    g_assert_cmphex(reg(vm, PV_IOMMU_REG_CONTROL), ==, 0);
    for (int i = 0; i < 2; i++) {
        g_assert(!dma_reaches(vm, &vm->edu[i], WILD, WILD));
        g_assert(!dma_reaches(vm, &vm->edu[i], CHUNK_DMA(2), CHUNK(2)));
        g_assert(!dma_reaches(vm, &vm->edu[i], CHUNK_DMA(2), CHUNK_DMA(2)));
    }
    g_assert_cmpuint(attach(vm, RID, PV_IOMMU_ATTACH_BYPASS), ==,
                     PV_IOMMU_S_UNSUPP);
    g_assert_cmpuint(attach(vm, RID2, PV_IOMMU_ATTACH_BYPASS), ==,
                     PV_IOMMU_S_UNSUPP);
}

/*
 * A snapshot that is not loaded, be that seen as it is read or when it is
 * judged: with boot-bypass=on, too, devices are shut out.
 */
static void test_snapshot_refused(void)
{
    static const char *const limits[] = { "direct-limit", "limit" };
    Vm *vm = vm_launch("q35", "-drive if=none,id=disk,driver=null-co,size=1M,"
                       "snapshot=on", ",boot-bypass=on,hw-iommu=on,"
                       "arena-size=1M,direct-limit=1M", "");
    uint32_t errors;

    vm_probe(vm);
    g_assert_cmpuint(attach(vm, RID2, PV_IOMMU_ATTACH_BYPASS), ==,
                     PV_IOMMU_S_OK);
    enable_direct(vm);
    g_assert_cmpuint(attach_to(vm, RID, DOM_A), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_to(vm, DOM_A, 2, 2, 0), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_pages(vm, DOM_A, 0x5ee, 1, PV_IOMMU_RANGE_WRITE),
                     ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_pages(vm, DOM_A, 0x5f0, 1, PV_IOMMU_RANGE_WRITE),
                     ==, PV_IOMMU_S_OK);
    errors = vm->errors;
    hmp(vm, "savevm before");

    for (int i = 0; i < ARRAY_SIZE(limits); i++) {
        g_autofree char *out = NULL;

        set_prop(vm, limits[i], GRANULE);
        out = qtest_hmp(vm->qts, "loadvm before");
        g_assert_nonnull(strstr(out, "Error"));
        qtest_qmp_assert_success(vm->qts, "{'execute': 'cont'}");
        devices_enable(vm);
        vm->errors = reg(vm, PV_IOMMU_REG_ERRORS);
        vm->chunks = false;
        check_shut(vm);

        /* the guest can have them served; and the host, reset */
        enable_direct(vm);
        g_assert_cmpuint(attach_to(vm, RID, DOM_A), ==, PV_IOMMU_S_OK);
        g_assert_cmpuint(grant_to(vm, DOM_A, 2, 1, 0), ==, PV_IOMMU_S_OK);
        g_assert(dma_reaches(vm, &vm->edu[0], CHUNK_DMA(2), CHUNK(2)));
        system_reset(vm);
        g_assert(dma_reaches(vm, &vm->edu[0], WILD, WILD));
        g_assert(dma_reaches(vm, &vm->edu[1], WILD, WILD));
        set_prop(vm, limits[i], MiB);
    }

    hmp(vm, "loadvm before");
    devices_enable(vm);
    vm->errors = errors;
    vm->chunks = true;
    g_assert(dma_reaches(vm, &vm->edu[0], CHUNK_DMA(2), CHUNK(2)));
    g_assert(!dma_reaches(vm, &vm->edu[0], WILD, WILD));
    g_assert(dma_reaches(vm, &vm->edu[1], WILD, WILD));
    vm_stop(vm);
}

/* The start of the arena that the guest has goes with it */
static void test_migrate_coherent(void)
{
    const char *props = PROPS ",arena-coherent=256K";
    const uint64_t seen = 0xd0000000;
    g_autofree char *file = temp_file("state");
    uint32_t errors;
    uint64_t dma;
    Vm *vm = vm_start(props);

    qpci_config_writel(vm->dev, PCI_BASE_ADDRESS_4, seen);
    set_features(vm, PV_IOMMU_F_WINDOW | PV_IOMMU_F_BOUNCE);
    g_assert_cmpuint(attach(vm, RID, PV_IOMMU_ATTACH_BOUNCE), ==,
                     PV_IOMMU_S_OK);
    fill(vm, seen, 256 * KiB, 1);
    fill(vm, SRC, GRANULE, 2);
    dma = map(vm, RID, SRC, GRANULE);
    errors = vm->errors;
    save(vm, file);

    vm = load(file, "", props);
    vm->errors = errors;
    qpci_config_writel(vm->dev, PCI_BASE_ADDRESS_4, seen);
    check(vm, seen, 256 * KiB, seen, 1);
    dma_copy(vm, &vm->edu[0], ARENA_DMA + 64, dma, 64);
    g_assert_cmpuint(unmap(vm, RID, dma, PV_IOMMU_DIR_FROM_DEVICE), ==,
                     PV_IOMMU_S_OK);
    check(vm, SRC, 64, seen + 64, 1);
    vm_stop(vm);

    check_not_loaded(file, PROPS ",arena-coherent=128K",
                     "arena-coherent= differs: set it");
    check_not_loaded(file, PROPS, "arena-coherent= differs: set it");
    unlink(file);
}

/*
 * libqos cuts the used ring's address to 32 bits, and the window is above
 * that. Tell the device the right one.
 */
static QVirtQueue *rng_queue(Vm *vm, QVirtioPCIDevice *d,
                             QGuestAllocator *alloc)
{
    QVirtQueue *vq = qvirtqueue_setup(&d->vdev, alloc, 0);

    vq->used |= WINDOW_ADDR;
    qtest_memset(vm->qts, vq->used, 0, 6 + 8 * vq->size);
    d->vdev.bus->queue_select(&d->vdev, 0);
    d->vdev.bus->set_queue_address(&d->vdev, vq);
    qpci_io_writew(d->pdev, d->bar, d->common_cfg_offset +
                   offsetof(struct virtio_pci_common_cfg, queue_enable), 1);
    return vq;
}

/* Have the device write random numbers to buf, which was zero */
static void rng_use(Vm *vm, QVirtioDevice *d, QVirtQueue *vq, uint64_t buf)
{
    uint32_t head;

    qtest_memset(vm->qts, buf, 0, 16);
    head = qvirtqueue_add(vm->qts, vq, buf, 16, true, false);
    qvirtqueue_kick(vm->qts, d, vq, head);
    qvirtio_wait_used_elem(vm->qts, d, vq, head, NULL, 30 * G_USEC_PER_SEC);
    g_assert(qtest_readq(vm->qts, buf) || qtest_readq(vm->qts, buf + 8));
    g_assert_cmpuint(reg64(vm, PV_IOMMU_REG_FAULT_COUNT), ==, 0);
}

/*
 * virtio looks at its rings when its state is loaded: pv-iommu has to be up by
 * then, although it comes later on the command line. The window is at the same
 * address for the guest and for devices, which libqos cannot tell apart.
 */
static void test_migrate_virtio(void)
{
    const char *rng = "-device virtio-rng-pci,addr=6,iommu_platform=on,"
                      "disable-legacy=on";
    const char *props = PROPS ",dma-base=0x100000000";
    QPCIAddress where = { .devfn = RID_RNG };
    g_autofree char *file = temp_file("state");
    QVirtioPCIDevice *d;
    QGuestAllocator alloc;
    uint64_t buf;
    QVirtQueue *vq;
    Vm *vm;

    alloc_init(&alloc, 0, WINDOW_ADDR, WINDOW_ADDR + WINDOW_SIZE, GRANULE);
    buf = guest_alloc(&alloc, GRANULE);

    vm = vm_launch("q35", rng, props, "");
    vm_probe(vm);
    set_features(vm, PV_IOMMU_F_WINDOW);
    g_assert_cmpuint(attach(vm, RID_RNG, PV_IOMMU_ATTACH_WINDOW), ==,
                     PV_IOMMU_S_OK);
    d = virtio_pci_new(vm->bus, &where);
    qvirtio_pci_device_enable(d);
    qvirtio_start_device(&d->vdev);
    qvirtio_set_features(&d->vdev, qvirtio_get_features(&d->vdev) &
                         (1ULL << VIRTIO_F_VERSION_1 |
                          1ULL << VIRTIO_F_ACCESS_PLATFORM));
    vq = rng_queue(vm, d, &alloc);
    qvirtio_set_driver_ok(&d->vdev);
    rng_use(vm, &d->vdev, vq, buf);
    save(vm, file);
    qos_object_destroy((QOSGraphObject *)d);

    vm = load(file, rng, props);
    d = virtio_pci_new(vm->bus, &where);
    qvirtio_pci_device_enable(d);
    vq->vdev = &d->vdev;
    rng_use(vm, &d->vdev, vq, buf);

    /* and without the window there is nothing for it */
    g_assert_cmpuint(detach(vm, RID_RNG), ==, PV_IOMMU_S_OK);
    qtest_memset(vm->qts, buf, 0, 16);
    qvirtqueue_kick(vm->qts, &d->vdev, vq,
                    qvirtqueue_add(vm->qts, vq, buf, 16, true, false));
    qtest_clock_step(vm->qts, NANOSECONDS_PER_SECOND);
    check_zero(vm, buf, 16);
    g_assert_cmpuint(reg64(vm, PV_IOMMU_REG_FAULT_COUNT), >, 0);

    qvirtqueue_cleanup(d->vdev.bus, vq, &alloc);
    qos_object_destroy((QOSGraphObject *)d);
    alloc_destroy(&alloc);
    vm_stop(vm);
    unlink(file);
}

void add_migrate_tests(void)
{
    qtest_add_func("/pv-iommu/migrate-refused", test_migrate_refused);
    qtest_add_func("/pv-iommu/migrate-bad-stream", test_migrate_bad_stream);
    qtest_add_func("/pv-iommu/migrate-virtio", test_migrate_virtio);
    qtest_add_func("/pv-iommu/migrate-direct", test_migrate_direct);
    qtest_add_func("/pv-iommu/migrate-large", test_migrate_large);
    qtest_add_func("/pv-iommu/migrate-postcopy", test_migrate_postcopy);
    qtest_add_func("/pv-iommu/migrate-renumbered", test_migrate_renumbered);
    qtest_add_func("/pv-iommu/migrate-unplugged", test_migrate_unplugged);
    qtest_add_func("/pv-iommu/migrate-again", test_migrate_again);
    qtest_add_func("/pv-iommu/migrate-fuzz", test_migrate_fuzz);
    qtest_add_func("/pv-iommu/migrate-features", test_migrate_features);
    qtest_add_func("/pv-iommu/migrate-chunks", test_migrate_chunks);
    qtest_add_func("/pv-iommu/migrate-coherent", test_migrate_coherent);
    qtest_add_func("/pv-iommu/snapshot", test_snapshot);
    qtest_add_func("/pv-iommu/snapshot-refused", test_snapshot_refused);
    qtest_add_func("/pv-iommu/migrate-old-guest", test_migrate_old_guest);
    qtest_add_func("/pv-iommu/migrate-chunks-refused",
                   test_migrate_chunks_refused);
    qtest_add_func("/pv-iommu/migrate", test_migrate);
    qtest_add_func("/pv-iommu/migrate-confined", test_migrate_confined);
    qtest_add_func("/pv-iommu/migrate-transfer", test_migrate_transfer);
}
