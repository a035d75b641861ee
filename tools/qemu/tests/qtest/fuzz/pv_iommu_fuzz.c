/*
 * Fuzz target for the pv-iommu device: registers, requests and DMA
 *
 * The generic fuzzer seldom gets past the checks of a request's head. Here an
 * input is read as a sequence of operations that mostly make sense, to two edu
 * devices and memory that is mapped and granted; some words of them do not.
 * Beside what the sanitizers see, each input keeps to these rules:
 *
 * - a request that the device has got is answered, by its answers and no other
 *   byte of the block;
 * - no more is granted than there is;
 * - a page that the guest never gave away is never written to, whatever devices
 *   are told;
 * - DMA to what a device surely does not reach is refused and counted: as long
 *   as it is not attached, to that page, to chunks that are not its domain's;
 * - after a reset of the device nothing is granted.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/rcu.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "qom/object.h"
#include "hw/pci/pci.h"
#include "tests/qtest/libqtest.h"
#include "tests/qtest/libqos/pci.h"
#include "tests/qtest/libqos/pci-pc.h"
#include "tests/qtest/pv-iommu-test-regs.h"
#include "fuzz.h"
/* include/hw/pci: Split pci_device.h off pci.h (8.0) */
#if QEMU_VERSION_MAJOR >= 8
#include "hw/pci/pci_device.h"
#endif

/* Little of a machine: each part makes a new memory map take longer */
#define MACHINE_ARGS \
    " -display none -nodefaults " \
    "-machine q35,accel=qtest,acpi=off,hpet=off,i8042=off,pit=off,sata=off," \
    "smbus=off,smm=off,vmport=off " \
    "-m 64M,maxmem=192M " \
    "-object memory-backend-ram,id=win0,size=4M " \
    "-device pv-iommu-pci,id=pv0,addr=3,memdev=win0,memaddr=0x100000000," \
    "boot-bypass=off,arena-size=1M,direct-limit=2M " \
    "-device edu,id=edu0,addr=4,dma_mask=0xffffffffffffffff " \
    "-device edu,id=edu1,addr=5,dma_mask=0xffffffffffffffff "

/* Guest memory: request blocks, what is given away, and what never is */
#define BLOCKS          0x200000
#define NR_BLOCKS       4
#define PAGES           0x400000
#define NR_PAGES        1024
#define SECRET          0x800000
#define SECRET_BYTE     0xa5

#define PAGE            PV_IOMMU_GRANULE
#define NR_CHUNKS       32
#define CHUNK           (4 * MiB / NR_CHUNKS)
#define MSI             0xfee00000ULL
#define MAX_OPS         64
#define NR_MAPPINGS     16

/* Not by qtest_memset(): the fuzzers' own never frees */
static uint8_t secret[PAGE];
static const uint8_t no_blocks[NR_BLOCKS * PAGE];

static Vm vm;

/* As the firmware has left them */
static struct {
    PCIDevice *pdev;
    uint8_t config[PCI_CONFIG_SPACE_SIZE];
} devs[NR_EDU + 1];

/* Where DMA addresses begin that lead to something */
static struct {
    uint64_t window;
    uint64_t arena;
    uint64_t direct;
} dma_base;

/* One input, and what has come of it so far */
typedef struct Run {
    const uint8_t *data;
    size_t size;
    uint64_t mapping[NR_MAPPINGS];  /* what MAP has answered */
    unsigned int nr_mappings;
    bool unheard;       /* the registers may not be there */
    bool given;         /* the secret is the device's own, or the host's */
    /*
     * Who reaches what, by the answers; a chunk is nobody's in 0. Of revokes
     * that ride along it is not known which were done.
     */
    bool untold;        /* not by answers alone any more */
    bool chunks;
    bool attached[NR_EDU];
    uint32_t domain[NR_EDU];
    uint32_t owner[NR_CHUNKS];
} Run;

/* So many bytes of the input; zeroes, where it has ended */
static uint64_t take(Run *run, unsigned int bytes)
{
    uint64_t val = 0;

    for (; bytes && run->size; bytes--, run->size--) {
        val = val << 8 | *run->data++;
    }
    return val;
}

static bool is_secret(uint64_t addr, uint64_t len)
{
    return addr < SECRET + PAGE && len > 0 && SECRET - MIN(addr, SECRET) < len;
}

/* Does the guest itself give the secret away by this, if it is heard? */
static bool gives_secret(const struct pv_iommu_req *req)
{
    for (int i = 0; i < PV_IOMMU_MAX_SEGS; i++) {
        const struct pv_iommu_range *range = &req->ranges[i];
        uint64_t first = le64_to_cpu(range->first);

        /* Of a range, a frame's number is so small that nothing wraps */
        if (is_secret(le64_to_cpu(req->segs[i].addr),
                      le32_to_cpu(req->segs[i].len)) ||
            (first <= SECRET / PAGE &&
             is_secret(first * PAGE, le32_to_cpu(range->count) *
                       (uint64_t)PAGE))) {
            return true;
        }
    }
    return false;
}

/*
 * Requests
 */

static uint32_t any_domain(Run *run)
{
    uint8_t val = take(run, 1);

    return val < 0xf0 ? val % 4 : take(run, 4);
}

static uint64_t any_mapping(Run *run)
{
    return run->mapping[take(run, 1) % NR_MAPPINGS];
}

static uint16_t any_rid(Run *run)
{
    /* The two, pv-iommu itself, nothing, a bus that is not there */
    static const uint16_t rids[] = {
        0x20, 0x28, 0x20, 0x28, 0x18, 0xf0, 0xff20
    };

    return rids[take(run, 1) % ARRAY_SIZE(rids)];
}

static void add_segs(Run *run, struct pv_iommu_req *req)
{
    unsigned int n = 1 + take(run, 1) % 8;
    uint32_t pos = 0;

    for (int i = 0; i < n; i++) {
        uint64_t addr = PAGES + take(run, 2) % NR_PAGES * PAGE;
        uint32_t len = 1 + take(run, 2) % (2 * PAGE);

        req->segs[i].addr = cpu_to_le64(addr + take(run, 1));
        req->segs[i].len = cpu_to_le32(len);
        req->segs[i].pos = cpu_to_le32(pos);
        pos += len;
    }
    req->nr_segs = cpu_to_le16(n);
    req->length = cpu_to_le64(pos);
    req->dma_limit = cpu_to_le64(UINT64_MAX >> take(run, 1) % 40);
    req->align_mask = cpu_to_le64((PAGE << take(run, 1) % 4) - 1);
    req->boundary_mask = cpu_to_le64(UINT64_MAX >> take(run, 1) % 48);
}

static void add_ranges(Run *run, struct pv_iommu_req *req, bool grant)
{
    unsigned int n = 1 + take(run, 1) % 4;

    for (int i = 0; i < n; i++) {
        uint64_t first = PAGES / PAGE + take(run, 2) % NR_PAGES;
        uint8_t kind = take(run, 1);
        uint32_t count = 1 + kind / 32;

        if (kind % 8 == 7) {
            first = QEMU_ALIGN_DOWN(first, PV_IOMMU_LARGE_PAGES);
            count = PV_IOMMU_LARGE_PAGES;
        }
        req->ranges[i].first = cpu_to_le64(first);
        req->ranges[i].count = cpu_to_le32(count);
        req->ranges[i].flags = cpu_to_le32(grant ? kind % 8 : 0);
    }
    req->nr_segs = cpu_to_le16(n);
}

/* Unmaps and revokes that ride along */
static void add_riders(Run *run, struct pv_iommu_req *req)
{
    uint8_t n = take(run, 1);

    req->nr_unmaps = cpu_to_le16(n % 4);
    for (int i = 0; i < n % 4; i++) {
        req->unmaps[i].dma_addr = cpu_to_le64(any_mapping(run));
        req->unmaps[i].rid = cpu_to_le16(any_rid(run));
    }
    n = n / 4 % 4;
    req->nr_revokes = cpu_to_le16(n);
    for (int i = 0; i < n; i++) {
        uint32_t first = take(run, 1);
        bool ram = take(run, 1) % 2;

        req->revokes[i].domain = cpu_to_le32(any_domain(run));
        req->revokes[i].first = cpu_to_le32(ram ? PAGES / PAGE + first : first);
        req->revokes[i].count = cpu_to_le32(1 + take(run, 1) % 8);
        req->revokes[i].flags = cpu_to_le32(ram ? PV_IOMMU_REVOKE_RAM : 0);
    }
}

static void fill_request(Run *run, struct pv_iommu_req *req)
{
    /* One of them is not known */
    uint16_t opcode = take(run, 1) % (PV_IOMMU_OP_REVOKE_RAM + 2);

    req->opcode = cpu_to_le16(opcode);
    switch (opcode) {
    case PV_IOMMU_OP_ATTACH:
        req->rid = cpu_to_le16(any_rid(run));
        req->flags = cpu_to_le32(1 << take(run, 1) % 3);
        req->domain = cpu_to_le32(any_domain(run));
        break;
    case PV_IOMMU_OP_DETACH:
    case PV_IOMMU_OP_PROBE:
        req->rid = cpu_to_le16(any_rid(run));
        break;
    case PV_IOMMU_OP_MAP:
        req->rid = cpu_to_le16(any_rid(run));
        req->flags = cpu_to_le32(take(run, 1) % 4);
        add_segs(run, req);
        break;
    case PV_IOMMU_OP_UNMAP:
        req->rid = cpu_to_le16(any_rid(run));
        req->flags = cpu_to_le32(take(run, 1) % 2 * PV_IOMMU_DIR_FROM_DEVICE);
        req->dma_addr = cpu_to_le64(any_mapping(run));
        break;
    case PV_IOMMU_OP_SYNC:
        req->rid = cpu_to_le16(any_rid(run));
        req->flags = cpu_to_le32(1 + take(run, 1) % 2);
        req->dma_addr = cpu_to_le64(any_mapping(run));
        req->offset = cpu_to_le64(take(run, 2));
        req->length = cpu_to_le64(take(run, 2));
        break;
    case PV_IOMMU_OP_GRANT:
    case PV_IOMMU_OP_REVOKE:
        req->domain = cpu_to_le32(any_domain(run));
        req->first = cpu_to_le32(take(run, 1) % 40);
        req->count = cpu_to_le32(1 + take(run, 1) % 8);
        req->flags = cpu_to_le32(opcode == PV_IOMMU_OP_GRANT ?
                                 take(run, 1) % 2 : 0);
        break;
    case PV_IOMMU_OP_GRANT_RAM:
    case PV_IOMMU_OP_REVOKE_RAM:
        req->domain = cpu_to_le32(any_domain(run));
        add_ranges(run, req, opcode == PV_IOMMU_OP_GRANT_RAM);
        break;
    }
    add_riders(run, req);
}

static void set_owner(Run *run, const struct pv_iommu_req *req, uint32_t id)
{
    uint64_t first = le32_to_cpu(req->first);

    for (uint64_t i = first; i < first + le32_to_cpu(req->count); i++) {
        g_assert(i < NR_CHUNKS);
        run->owner[i] = id;
    }
}

/* A request was done: who reaches what now? */
static void note(Run *run, const struct pv_iommu_req *req)
{
    unsigned int i = (le16_to_cpu(req->rid) - 0x20) / 8;

    switch (le16_to_cpu(req->opcode)) {
    case PV_IOMMU_OP_ATTACH:
        run->untold |= i >= NR_EDU ||
                       req->flags == cpu_to_le32(PV_IOMMU_ATTACH_BYPASS);
        if (!run->untold) {
            run->attached[i] = true;
            run->domain[i] = le32_to_cpu(req->domain);
        }
        break;
    case PV_IOMMU_OP_DETACH:
        if (i < NR_EDU) {
            run->attached[i] = false;
        }
        break;
    case PV_IOMMU_OP_GRANT:
        set_owner(run, req, le32_to_cpu(req->domain));
        break;
    case PV_IOMMU_OP_REVOKE:
        set_owner(run, req, 0);
        break;
    }
}

/* Has the host written its answers, and nothing else? */
static void check_block(const struct pv_iommu_req *req,
                        const struct pv_iommu_req *answer)
{
    struct pv_iommu_req expect = *req;

    expect.status = answer->status;
    expect.unmap_errors = answer->unmap_errors;
    expect.revoke_errors = answer->revoke_errors;
    expect.dma_addr = answer->dma_addr;
    expect.group = answer->group;
    expect.offers = answer->offers;
    g_assert(!memcmp(answer, &expect, sizeof(expect)));
    g_assert(answer->unmap_errors == req->unmap_errors ||
             le32_to_cpu(answer->unmap_errors) <= le16_to_cpu(req->nr_unmaps));
    g_assert(answer->revoke_errors == req->revoke_errors ||
             le32_to_cpu(answer->revoke_errors) <=
             le16_to_cpu(req->nr_revokes));
}

static void op_request(Run *run)
{
    uint64_t at = BLOCKS + take(run, 1) % NR_BLOCKS * PAGE;
    struct pv_iommu_req req = {}, answer;
    uint32_t *word = (uint32_t *)&req;
    uint8_t wild;

    fill_request(run, &req);
    /* What makes no sense, in one of four */
    wild = take(run, 1);
    for (int n = wild < 0xc0 ? 0 : wild % 4 + 1; n; n--) {
        unsigned int i = take(run, 2) % (sizeof(req) / sizeof(*word));

        word[i] = cpu_to_le32(le32_to_cpu(word[i]) ^ take(run, 4));
    }
    run->given |= gives_secret(&req);
    req.status = cpu_to_le32(PV_IOMMU_S_NONE);

    qtest_memwrite(vm.qts, at, &req, sizeof(req));
    set_reg(&vm, PV_IOMMU_REG_DOORBELL, at >> PV_IOMMU_REQ_SHIFT);
    qtest_memread(vm.qts, at, &answer, sizeof(answer));
    g_assert(run->unheard || answer.status != cpu_to_le32(PV_IOMMU_S_NONE));
    /* These two copy to where the guest said, which may be the block */
    if (req.opcode != cpu_to_le16(PV_IOMMU_OP_UNMAP) &&
        req.opcode != cpu_to_le16(PV_IOMMU_OP_SYNC)) {
        check_block(&req, &answer);
    }
    if (!run->unheard && answer.status == cpu_to_le32(PV_IOMMU_S_OK)) {
        note(run, &req);
    }
    if (req.opcode == cpu_to_le16(PV_IOMMU_OP_MAP) &&
        answer.status == cpu_to_le32(PV_IOMMU_S_OK)) {
        run->mapping[run->nr_mappings++ % NR_MAPPINGS] =
            le64_to_cpu(answer.dma_addr);
    }
}

/*
 * What else there is to do
 */

static void op_write(Run *run)
{
    uint8_t at = take(run, 1) & ~3;
    uint32_t val = take(run, 4);
    uint64_t block = (uint64_t)val << PV_IOMMU_REQ_SHIFT;
    struct pv_iommu_req req;

    /* Wherever it rings, the host answers there, and there is what it asks */
    if (at == PV_IOMMU_REG_DOORBELL) {
        qtest_memread(vm.qts, block, &req, sizeof(req));
        run->given |= block == SECRET || gives_secret(&req);
    }
    run->untold |= at == PV_IOMMU_REG_DOORBELL || at <= PV_IOMMU_REG_CONTROL;
    set_reg(&vm, at, val);
}

static void op_read(Run *run)
{
    reg(&vm, take(run, 1) & ~3);
}

/* Enable some features anew, or for the first time */
static void op_enable(Run *run)
{
    uint64_t features = take(run, 1) % 64;

    set_reg(&vm, PV_IOMMU_REG_CONTROL, PV_IOMMU_CTL_RESET);
    enable(&vm, features);
    run->chunks = features & PV_IOMMU_F_CHUNKS;
    memset(run->attached, 0, sizeof(run->attached));
    memset(run->owner, 0, sizeof(run->owner));
}

static uint64_t any_dma(Run *run)
{
    uint8_t where = take(run, 1);
    uint64_t offset = take(run, 3);

    switch (where % 8) {
    case 0:
        return dma_base.window + offset % (4 * MiB);
    case 1:
        return dma_base.arena + offset % (1 * MiB);
    case 2:
        return dma_base.direct + PAGES + offset % (NR_PAGES * PAGE);
    case 3:
        return any_mapping(run) + offset % (4 * PAGE);
    case 4:
        return SECRET + offset % PAGE;
    case 5:
        return dma_base.direct + SECRET + offset % PAGE;
    default:
        return offset << where / 8 * 2;
    }
}

static bool not_its_own(const Run *run, int who, uint64_t dma)
{
    uint64_t chunk = (dma - dma_base.window) / CHUNK;

    return run->chunks && dma >= dma_base.window && chunk < NR_CHUNKS &&
           run->owner[chunk] != run->domain[who];
}

/* Is there no doubt that the device does not reach all of it? */
static bool is_refused(const Run *run, int who, uint64_t dma, uint64_t len)
{
    /* Interrupts are let through */
    if (run->untold || (dma < MSI + MiB && dma + len > MSI)) {
        return false;
    }
    return !run->attached[who] || is_secret(dma, len) ||
           (!run->given && is_secret(dma - dma_base.direct, len)) ||
           not_its_own(run, who, dma) || not_its_own(run, who, dma + len - 1);
}

static uint64_t nr_faults(void)
{
    return reg64(&vm, PV_IOMMU_REG_FAULT_COUNT);
}

static void pass_time(void)
{
    qtest_clock_step(vm.qts, 200 * 1000 * 1000);
}

static void start_dma(Edu *edu, uint64_t dma, uint64_t len, bool store)
{
    qpci_io_writeq(edu->dev, edu->bar, EDU_SRC, store ? EDU_BUFFER : dma);
    qpci_io_writeq(edu->dev, edu->bar, EDU_DST, store ? dma : EDU_BUFFER);
    qpci_io_writeq(edu->dev, edu->bar, EDU_CNT, len);
    qpci_io_writeq(edu->dev, edu->bar, EDU_CMD, store ? 3 : 1);
}

static void op_dma(Run *run)
{
    uint8_t how = take(run, 1);
    Edu *edu = &vm.edu[how % 2];
    bool store = how & 2;
    uint64_t dma = any_dma(run);
    uint64_t len = 1 + take(run, 2) % EDU_MAX;
    bool refused = is_refused(run, how % 2, dma, len);
    uint64_t faults = 0;

    if (refused) {
        /* It does one after the other, and does not take a second one */
        pass_time();
        /*
         * What follows on the last one refused is counted with that: have one
         * of the other direction be the last
         */
        start_dma(edu, SECRET, 1, !store);
        pass_time();
        faults = nr_faults();
    }
    start_dma(edu, dma, len, store);
    /* Some are in flight when the next thing happens */
    if (!(how & 4)) {
        pass_time();
        g_assert(!refused || nr_faults() > faults);
    }
}

/* Not by ports: the doorbell may lie over them meanwhile */
static void op_config(Run *run)
{
    unsigned int who = take(run, 1) % ARRAY_SIZE(devs);
    uint8_t at = take(run, 1) & ~3;
    uint32_t val = take(run, 4);
    bool ours = who == NR_EDU;

    /* Over our registers, edu's own would be taken for them */
    if (ours || at != PCI_BASE_ADDRESS_0) {
        pci_default_write_config(devs[who].pdev, at, val, sizeof(val));
    }
    run->unheard |= ours;
    /* It may not be the one that it was, or reach nothing at all */
    run->untold = true;
}

/* The administrator changes what may be granted */
static void op_limit(Run *run)
{
    Object *obj = OBJECT(devs[NR_EDU].pdev);
    const char *name = take(run, 1) % 2 ? "limit" : "direct-limit";

    object_property_set_int(obj, name, take(run, 2) * PAGE, NULL);
}

static void restore_config(PCIDevice *pdev, const uint8_t *config)
{
    for (int at = 0; at < PCI_CONFIG_SPACE_SIZE; at += sizeof(uint32_t)) {
        uint32_t val = pci_get_long(config + at);

        if (pci_get_long(pdev->config + at) != val) {
            pci_default_write_config(pdev, at, val, sizeof(val));
        }
    }
}

/*
 * As after the machine's reset and the firmware's work, for the next input. Of
 * all that, no more is done than what an input may have changed, and the memory
 * map is made anew only where it was: that would take most of the time. With
 * boot-bypass=off, no DMA gets to other devices' registers but as interrupts,
 * to a CPU that does not run. edu has no reset, and is told all of each DMA.
 */
static void restart(void)
{
    static unsigned int done;

    memory_region_transaction_begin();
    device_cold_reset(DEVICE(devs[NR_EDU].pdev));
    for (int i = 0; i < ARRAY_SIZE(devs); i++) {
        restore_config(devs[i].pdev, devs[i].config);
    }
    memory_region_transaction_commit();

    g_assert(reg(&vm, PV_IOMMU_REG_MAGIC) == PV_IOMMU_MAGIC);
    g_assert(reg(&vm, PV_IOMMU_REG_CONTROL) == 0);
    g_assert(reg64(&vm, PV_IOMMU_REG_WINDOW_GRANTED) == 0);
    g_assert(reg64(&vm, PV_IOMMU_REG_DIRECT_GRANTED) == 0);
    g_assert(nr_faults() == 0);

    /* Who frees what RCU protects needs a lock that is seldom free here */
    if (++done % 1024 == 0) {
        drain_call_rcu();
    }
}

static void restore_limits(void)
{
    Object *obj = OBJECT(devs[NR_EDU].pdev);

    object_property_set_int(obj, "limit", 4 * MiB, &error_abort);
    object_property_set_int(obj, "direct-limit", 2 * MiB, &error_abort);
}

static void check_secret(const Run *run)
{
    uint8_t page[PAGE];

    if (run->given) {
        return;
    }
    qtest_memread(vm.qts, SECRET, page, sizeof(page));
    g_assert(!memcmp(page, secret, sizeof(page)));
}

static void pv_iommu_fuzz(QTestState *s, const unsigned char *data, size_t size)
{
    /* The likelier ones more than once */
    static void (*const ops[])(Run *) = {
        op_request, op_request, op_request, op_request, op_request, op_request,
        op_dma, op_dma, op_dma, op_enable, op_write, op_read, op_config,
        op_limit,
    };
    Run run = { .data = data, .size = size };

    qtest_memwrite(s, SECRET, secret, sizeof(secret));
    qtest_memwrite(s, BLOCKS, no_blocks, sizeof(no_blocks));
    op_enable(&run);
    for (int i = 0; i < MAX_OPS && run.size; i++) {
        ops[take(&run, 1) % ARRAY_SIZE(ops)](&run);
        flush_events(s);
        if (!run.unheard) {
            g_assert(reg64(&vm, PV_IOMMU_REG_WINDOW_GRANTED) <= 4 * MiB);
            g_assert(reg64(&vm, PV_IOMMU_REG_DIRECT_GRANTED) <= 64 * MiB);
        }
    }
    /* Whatever is in flight */
    pass_time();
    check_secret(&run);
    if (!run.unheard) {
        set_reg(&vm, PV_IOMMU_REG_CONTROL, PV_IOMMU_CTL_RESET);
        g_assert(reg64(&vm, PV_IOMMU_REG_WINDOW_GRANTED) == 0);
        g_assert(reg64(&vm, PV_IOMMU_REG_DIRECT_GRANTED) == 0);
    }
    restore_limits();
    restart();
}

static void pv_iommu_pre_fuzz(QTestState *s)
{
    static const char *const paths[] = {
        "/machine/peripheral/edu0", "/machine/peripheral/edu1",
        "/machine/peripheral/pv0",
    };

    memset(secret, SECRET_BYTE, sizeof(secret));
    vm.qts = s;
    vm.bus = qpci_new_pc(s, NULL);
    devices_find(&vm);
    devices_enable(&vm);
    dma_base.window = reg64(&vm, PV_IOMMU_REG_WINDOW_DMA);
    dma_base.arena = reg64(&vm, PV_IOMMU_REG_ARENA_DMA);
    dma_base.direct = reg64(&vm, PV_IOMMU_REG_DIRECT_DMA);
    for (int i = 0; i < ARRAY_SIZE(devs); i++) {
        devs[i].pdev = PCI_DEVICE(object_resolve_path(paths[i], NULL));
        memcpy(devs[i].config, devs[i].pdev->config, sizeof(devs[i].config));
    }
}

static GString *pv_iommu_cmdline(FuzzTarget *t)
{
    return g_string_new(TARGET_NAME MACHINE_ARGS);
}

static void register_pv_iommu_fuzz_target(void)
{
    fuzz_add_target(&(FuzzTarget) {
        .name = "pv-iommu-fuzz",
        .description = "Fuzz pv-iommu's requests, beside two devices' DMA",
        .get_init_cmdline = pv_iommu_cmdline,
        .pre_fuzz = pv_iommu_pre_fuzz,
        .fuzz = pv_iommu_fuzz,
    });
}

fuzz_target_init(register_pv_iommu_fuzz_target);
