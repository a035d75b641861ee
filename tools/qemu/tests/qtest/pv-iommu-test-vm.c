/*
 * QTest testcase for the pv-iommu device: machine, DMA, requests
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/pci/pci_regs.h"
#include "pv-iommu-test.h"

char *bios;

/*
 * The machine
 */

Edu edu_at(Vm *vm, uint16_t rid)
{
    Edu edu = { .dev = device_find(vm, rid) };

    edu_enable(&edu);
    return edu;
}

/* The machine and no more; first and more are further arguments */
Vm *vm_launch(const char *machine, const char *first, const char *props,
              const char *more)
{
    Vm *vm = g_new0(Vm, 1);

    vm->qts = qtest_initf(MACHINE_ARGS "%s " PV_ARGS "%s " EDU_ARGS "%s", bios,
                          machine, first, props, more);
    return vm;
}

/* Find the devices, and give their registers their places */
void vm_probe(Vm *vm)
{
    vm->bus = qpci_new_pc(vm->qts, NULL);
    devices_find(vm);
    devices_enable(vm);
}

Vm *vm_start_on(const char *machine, const char *props, const char *more)
{
    Vm *vm = vm_launch(machine, "", props, more);

    vm_probe(vm);
    return vm;
}

Vm *vm_start(const char *props)
{
    return vm_start_on("q35", props, "");
}

void vm_stop(Vm *vm)
{
    for (int i = 0; i < NR_EDU; i++) {
        g_free(vm->edu[i].dev);
    }
    g_free(vm->dev);
    qpci_free_pc(vm->bus);
    qtest_quit(vm->qts);
    g_free(vm);
}

void system_reset(Vm *vm)
{
    qtest_qmp_assert_success(vm->qts, "{'execute': 'system_reset'}");
    qtest_qmp_eventwait(vm->qts, "RESET");
    devices_enable(vm);
    vm->errors = 0;
    vm->chunks = false;
}

/* The host bridge of q35 has it in its configuration space */
void set_pam0(Vm *vm, uint8_t val)
{
    qtest_outl(vm->qts, 0xcf8, 0x80000090);
    qtest_outb(vm->qts, 0xcfc, val);
}

/* Put buses up to last behind this bridge, and a range of memory */
void bridge_number(Vm *vm, uint16_t rid, uint8_t bus, uint8_t last,
                   uint32_t mem)
{
    QPCIDevice *dev = device_find(vm, rid);

    qpci_config_writeb(dev, PCI_SECONDARY_BUS, bus);
    qpci_config_writeb(dev, PCI_SUBORDINATE_BUS, last);
    qpci_config_writew(dev, PCI_MEMORY_BASE, mem >> 16);
    qpci_config_writew(dev, PCI_MEMORY_LIMIT, (mem >> 16) + 0x30);
    qpci_device_enable(dev);
    g_free(dev);
    vm->bus->mmio_alloc_ptr = mem;
}

void bridge_init(Vm *vm, int slot, uint8_t bus, uint32_t mem)
{
    bridge_number(vm, QPCI_DEVFN(slot, 0), bus, bus, mem);
}

/*
 * Run QEMU until it gives up or, if it is told to quit, has started; returns
 * what it complained. One that neither gives up nor quits is killed.
 */
char *qemu_stderr(const char *args, bool quit, int *status)
{
    const char *qemu = g_getenv("QTEST_QEMU_BINARY");
    g_autofree char *cmd = g_strdup_printf(
        "%s timeout 60 %s -nodefaults -display none -accel qtest -bios %s "
        "%s %s >/dev/null",
        quit ? "echo '{\"execute\": \"qmp_capabilities\"} "
               "{\"execute\": \"quit\"}' |" : "",
        qemu, bios, quit ? "-S -qmp stdio" : "", args);
    char *argv[] = { (char *)"/bin/sh", (char *)"-c", cmd, NULL };
    GError *err = NULL;
    char *out = NULL;

    g_spawn_sync(NULL, argv, NULL, 0, NULL, NULL, NULL, &out, status, &err);
    g_assert_no_error(err);
    return out;
}

/* The name of a new, empty file, which says what is in it */
char *temp_file(const char *kind)
{
    g_autofree char *name = g_strdup_printf("pv-iommu-%s-XXXXXX", kind);
    char *path = NULL;
    int fd = g_file_open_tmp(name, &path, NULL);

    g_assert(fd >= 0);
    close(fd);
    return path;
}

int pid_of(const char *pidfile)
{
    g_autofree char *pid = NULL;

    g_assert(g_file_get_contents(pidfile, &pid, NULL, NULL));
    return g_ascii_strtoull(pid, NULL, 10);
}

/* Memory of the process, in KiB */
uint64_t memory_of(const char *pidfile, const char *kind)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/status",
                                            pid_of(pidfile));
    g_autofree char *text = NULL;
    char *at;

    g_assert(g_file_get_contents(path, &text, NULL, NULL));
    at = strstr(text, kind);
    g_assert_nonnull(at);
    return g_ascii_strtoull(at + strlen(kind), NULL, 10);
}

void set_features(Vm *vm, uint64_t features)
{
    enable(vm, features);
    vm->chunks = features & PV_IOMMU_F_CHUNKS;
}

uint32_t prop(Vm *vm, const char *name)
{
    QDict *rsp = qtest_qmp(vm->qts, "{'execute': 'qom-get', 'arguments': "
                           "{'path': %s, 'property': %s}}", QOM_PATH, name);
    uint32_t val = qdict_get_int(rsp, "return");

    qobject_unref(rsp);
    return val;
}

void set_prop(Vm *vm, const char *name, uint32_t val)
{
    qtest_qmp_assert_success(vm->qts, "{'execute': 'qom-set', 'arguments': "
                             "{'path': %s, 'property': %s, 'value': %u}}",
                             QOM_PATH, name, val);
}

void set_flag(Vm *vm, const char *name, bool val)
{
    qtest_qmp_assert_success(vm->qts, "{'execute': 'qom-set', 'arguments': "
                             "{'path': %s, 'property': %s, 'value': %i}}",
                             QOM_PATH, name, val);
}

/*
 * Guest memory
 */

static uint8_t pattern(uint64_t addr, uint8_t seed)
{
    return (addr * 7 + (addr >> 8) * 13 + seed) | 1;    /* never 0 */
}

void fill(Vm *vm, uint64_t addr, size_t size, uint8_t seed)
{
    g_autofree uint8_t *buf = g_malloc(size);

    for (size_t i = 0; i < size; i++) {
        buf[i] = pattern(addr + i, seed);
    }
    qtest_bufwrite(vm->qts, addr, buf, size);
}

/* Does memory at addr hold what fill() wrote at from? */
void check(Vm *vm, uint64_t addr, size_t size, uint64_t from,
           uint8_t seed)
{
    g_autofree uint8_t *buf = g_malloc(size);

    qtest_bufread(vm->qts, addr, buf, size);
    for (size_t i = 0; i < size; i++) {
        g_assert_cmphex(buf[i], ==, pattern(from + i, seed));
    }
}

void check_zero(Vm *vm, uint64_t addr, size_t size)
{
    g_autofree uint8_t *buf = g_malloc(size);

    qtest_bufread(vm->qts, addr, buf, size);
    for (size_t i = 0; i < size; i++) {
        g_assert_cmphex(buf[i], ==, 0);
    }
}

/*
 * DMA by edu; at most EDU_MAX bytes
 */

static void edu_begin(Edu *edu, uint64_t src, uint64_t dst, uint64_t cnt,
                      uint64_t cmd)
{
    g_assert_cmpuint(cnt, <=, EDU_MAX);
    qpci_io_writeq(edu->dev, edu->bar, EDU_SRC, src);
    qpci_io_writeq(edu->dev, edu->bar, EDU_DST, dst);
    qpci_io_writeq(edu->dev, edu->bar, EDU_CNT, cnt);
    qpci_io_writeq(edu->dev, edu->bar, EDU_CMD, cmd);
}

/* Time passes, and whether its transfer has ended then */
bool edu_ends(Vm *vm, Edu *edu)
{
    qtest_clock_step(vm->qts, 200 * 1000 * 1000);
    return !(qpci_io_readq(edu->dev, edu->bar, EDU_CMD) & 1);
}

static void edu_run(Vm *vm, Edu *edu, uint64_t src, uint64_t dst, uint64_t cnt,
                    uint64_t cmd)
{
    edu_begin(edu, src, dst, cnt, cmd);
    g_assert(edu_ends(vm, edu));
}

/* A store that has not ended yet */
void dma_begin_store(Edu *edu, uint64_t addr, uint64_t cnt)
{
    edu_begin(edu, EDU_BUFFER, addr, cnt, 3);
}

void dma_load(Vm *vm, Edu *edu, uint64_t addr, uint64_t cnt)
{
    edu_run(vm, edu, addr, EDU_BUFFER, cnt, 1);
}

void dma_store(Vm *vm, Edu *edu, uint64_t addr, uint64_t cnt)
{
    edu_run(vm, edu, EDU_BUFFER, addr, cnt, 3);
}

/* One copy by the device within what it reaches */
void dma_copy(Vm *vm, Edu *edu, uint64_t from, uint64_t to,
              uint64_t cnt)
{
    dma_load(vm, edu, from, cnt);
    dma_store(vm, edu, to, cnt);
}

/* Does the device read from and write to the guest-physical address addr? */
bool dma_reaches(Vm *vm, Edu *edu, uint64_t dma, uint64_t addr)
{
    bool ok;

    fill(vm, addr, 64, 0x11);
    dma_load(vm, edu, dma, 64);
    qtest_memset(vm->qts, addr, 0, 64);
    dma_store(vm, edu, dma, 64);
    ok = qtest_readb(vm->qts, addr) == pattern(addr, 0x11);
    if (!ok) {
        check_zero(vm, addr, 64);
    }
    return ok;
}

/*
 * Requests
 */

void req_init(struct pv_iommu_req *req, uint16_t opcode, uint16_t rid,
              uint32_t flags)
{
    memset(req, 0, sizeof(*req));
    req->opcode = cpu_to_le16(opcode);
    req->rid = cpu_to_le16(rid);
    req->flags = cpu_to_le32(flags);
    req->status = cpu_to_le32(PV_IOMMU_S_NONE);
    req->unmap_errors = cpu_to_le32(0xdeadbeef);
}

/* Ring, and see that the host has written its answers and nothing else */
uint32_t submit(Vm *vm, struct pv_iommu_req *req)
{
    struct pv_iommu_req answer, expect = *req;
    uint32_t status;

    qtest_memwrite(vm->qts, BLOCK, req, sizeof(*req));
    set_reg(vm, PV_IOMMU_REG_DOORBELL, BLOCK >> PV_IOMMU_REQ_SHIFT);
    qtest_memread(vm->qts, BLOCK, &answer, sizeof(answer));

    status = le32_to_cpu(answer.status);
    expect.status = answer.status;
    expect.unmap_errors = answer.unmap_errors;
    if (status == PV_IOMMU_S_OK &&
        le16_to_cpu(req->opcode) == PV_IOMMU_OP_MAP) {
        expect.dma_addr = answer.dma_addr;
    }
    if (status == PV_IOMMU_S_OK &&
        le16_to_cpu(req->opcode) == PV_IOMMU_OP_PROBE) {
        expect.group = answer.group;
        expect.offers = answer.offers;
    }
    if (vm->chunks) {
        expect.revoke_errors = answer.revoke_errors;
    }
    g_assert(!memcmp(&answer, &expect, sizeof(answer)));
    g_assert_cmpuint(le32_to_cpu(answer.unmap_errors), <=,
                     le16_to_cpu(req->nr_unmaps));

    if (vm->chunks) {
        g_assert_cmpuint(le32_to_cpu(answer.revoke_errors), <=,
                         le16_to_cpu(req->nr_revokes));
    }

    vm->errors += status != PV_IOMMU_S_OK || answer.unmap_errors ||
                  (vm->chunks && answer.revoke_errors);
    g_assert_cmpuint(reg(vm, PV_IOMMU_REG_ERRORS), ==, vm->errors);
    *req = answer;
    return status;
}

uint32_t simple(Vm *vm, uint16_t opcode, uint16_t rid, uint32_t flags)
{
    struct pv_iommu_req req;

    req_init(&req, opcode, rid, flags);
    return submit(vm, &req);
}

uint32_t attach(Vm *vm, uint16_t rid, uint32_t flags)
{
    return simple(vm, PV_IOMMU_OP_ATTACH, rid, flags);
}

uint32_t detach(Vm *vm, uint16_t rid)
{
    return simple(vm, PV_IOMMU_OP_DETACH, rid, 0);
}

void enable_chunks(Vm *vm)
{
    set_features(vm, PV_IOMMU_F_WINDOW | PV_IOMMU_F_BOUNCE |
                 PV_IOMMU_F_CHUNKS);
    g_assert_cmphex(reg(vm, PV_IOMMU_REG_CONTROL), ==, PV_IOMMU_CTL_ENABLE);
}

uint32_t probe(Vm *vm, uint16_t rid, uint32_t *group, uint32_t *offers)
{
    struct pv_iommu_req req;
    uint32_t status;

    req_init(&req, PV_IOMMU_OP_PROBE, rid, 0);
    status = submit(vm, &req);
    *group = le32_to_cpu(req.group);
    *offers = le32_to_cpu(req.offers);
    return status;
}

uint32_t attach_to(Vm *vm, uint16_t rid, uint32_t domain)
{
    struct pv_iommu_req req;

    req_init(&req, PV_IOMMU_OP_ATTACH, rid, PV_IOMMU_ATTACH_WINDOW);
    req.domain = cpu_to_le32(domain);
    return submit(vm, &req);
}

void chunks_init(struct pv_iommu_req *req, uint16_t opcode, uint32_t domain,
                 uint32_t first, uint32_t count, uint32_t flags)
{
    req_init(req, opcode, 0, flags);
    req->domain = cpu_to_le32(domain);
    req->first = cpu_to_le32(first);
    req->count = cpu_to_le32(count);
}

uint32_t grant_to(Vm *vm, uint32_t domain, uint32_t first, uint32_t count,
               uint32_t flags)
{
    struct pv_iommu_req req;

    chunks_init(&req, PV_IOMMU_OP_GRANT, domain, first, count, flags);
    return submit(vm, &req);
}

uint32_t revoke_from(Vm *vm, uint32_t domain, uint32_t first, uint32_t count)
{
    struct pv_iommu_req req;

    chunks_init(&req, PV_IOMMU_OP_REVOKE, domain, first, count, 0);
    return submit(vm, &req);
}

void enable_direct(Vm *vm)
{
    set_features(vm, PV_IOMMU_F_WINDOW | PV_IOMMU_F_BOUNCE |
                 PV_IOMMU_F_CHUNKS | PV_IOMMU_F_DIRECT);
    g_assert_cmphex(reg(vm, PV_IOMMU_REG_CONTROL), ==, PV_IOMMU_CTL_ENABLE);
}

void ram_add(struct pv_iommu_req *req, uint64_t first, uint32_t count,
             uint32_t flags)
{
    uint16_t nr = le16_to_cpu(req->nr_segs);

    req->ranges[nr].first = cpu_to_le64(first);
    req->ranges[nr].count = cpu_to_le32(count);
    req->ranges[nr].flags = cpu_to_le32(flags);
    req->nr_segs = cpu_to_le16(nr + 1);
}

void ram_init(struct pv_iommu_req *req, uint16_t opcode, uint32_t domain,
              uint64_t first, uint32_t count, uint32_t flags)
{
    req_init(req, opcode, 0, 0);
    req->domain = cpu_to_le32(domain);
    ram_add(req, first, count, flags);
}

uint32_t grant_pages(Vm *vm, uint32_t domain, uint64_t first, uint32_t count,
                     uint32_t flags)
{
    struct pv_iommu_req req;

    ram_init(&req, PV_IOMMU_OP_GRANT_RAM, domain, first, count, flags);
    return submit(vm, &req);
}

uint32_t revoke_pages(Vm *vm, uint32_t domain, uint64_t first, uint32_t count)
{
    struct pv_iommu_req req;

    ram_init(&req, PV_IOMMU_OP_REVOKE_RAM, domain, first, count, 0);
    return submit(vm, &req);
}

/* As the guest's ACPI does when the memory in slot 0 is asked for */
void dimm_eject(Vm *vm)
{
    const uint16_t acpi = 0x0a00;

    qtest_outl(vm->qts, acpi, 0);               /* slot */
    qtest_outb(vm->qts, acpi + 0x14, 1 << 3);   /* eject */
}

/* A MAP of one piece, for its caller to spoil */
void map_init(struct pv_iommu_req *req, uint16_t rid, uint64_t addr,
              uint32_t len)
{
    req_init(req, PV_IOMMU_OP_MAP, rid,
             PV_IOMMU_DIR_TO_DEVICE | PV_IOMMU_DIR_FROM_DEVICE);
    req->nr_segs = cpu_to_le16(1);
    req->length = cpu_to_le64(len);
    req->dma_limit = cpu_to_le64(NO_LIMIT);
    req->align_mask = cpu_to_le64(GRANULE - 1);
    req->boundary_mask = cpu_to_le64(NO_LIMIT);
    req->segs[0].addr = cpu_to_le64(addr);
    req->segs[0].len = cpu_to_le32(len);
}

uint64_t map_submit(Vm *vm, struct pv_iommu_req *req)
{
    uint64_t dma;

    g_assert_cmpuint(submit(vm, req), ==, PV_IOMMU_S_OK);
    dma = le64_to_cpu(req->dma_addr);
    g_assert_cmphex(dma, >=, ARENA_DMA);
    g_assert_cmphex(dma + le64_to_cpu(req->length), <=, ARENA_DMA + ARENA_SIZE);
    g_assert_cmphex(dma & le64_to_cpu(req->align_mask), ==, 0);
    return dma;
}

uint64_t map(Vm *vm, uint16_t rid, uint64_t addr, uint32_t len)
{
    struct pv_iommu_req req;

    map_init(&req, rid, addr, len);
    return map_submit(vm, &req);
}

uint32_t unmap(Vm *vm, uint16_t rid, uint64_t dma, uint32_t flags)
{
    struct pv_iommu_req req;

    req_init(&req, PV_IOMMU_OP_UNMAP, rid, flags);
    req.dma_addr = cpu_to_le64(dma);
    return submit(vm, &req);
}

uint32_t sync_range(Vm *vm, uint16_t rid, uint64_t dma, uint32_t flags,
                    uint64_t offset, uint64_t length)
{
    struct pv_iommu_req req;

    req_init(&req, PV_IOMMU_OP_SYNC, rid, flags);
    req.dma_addr = cpu_to_le64(dma);
    req.offset = cpu_to_le64(offset);
    req.length = cpu_to_le64(length);
    return submit(vm, &req);
}

Vm *vm_bounce(const char *more)
{
    g_autofree char *props = g_strdup_printf(",boot-bypass=off,hw-iommu=off,"
                                             "arena-size=1M%s", more);
    Vm *vm = vm_start(props);

    set_features(vm, PV_IOMMU_F_BOUNCE);
    g_assert_cmphex(reg(vm, PV_IOMMU_REG_CONTROL), ==, PV_IOMMU_CTL_ENABLE);
    g_assert_cmpuint(attach(vm, RID, PV_IOMMU_ATTACH_BOUNCE), ==,
                     PV_IOMMU_S_OK);
    return vm;
}

/* Whatever happened before: the device still does its work */
void check_alive(Vm *vm)
{
    uint64_t dma;

    fill(vm, SRC, 512, 0x77);
    qtest_memset(vm->qts, DST, 0, 512);
    dma = map(vm, RID, SRC, 512);
    dma_load(vm, &vm->edu[0], dma, 512);
    g_assert_cmpuint(unmap(vm, RID, dma, 0), ==, PV_IOMMU_S_OK);
    dma = map(vm, RID, DST, 512);
    dma_store(vm, &vm->edu[0], dma, 512);
    g_assert_cmpuint(unmap(vm, RID, dma, PV_IOMMU_DIR_FROM_DEVICE), ==,
                     PV_IOMMU_S_OK);
    check(vm, DST, 512, SRC, 0x77);
}

void check_fault(Vm *vm, uint64_t count, uint64_t addr, uint32_t info)
{
    g_assert_cmpuint(reg64(vm, PV_IOMMU_REG_FAULT_COUNT), ==, count);
    g_assert_cmphex(reg64(vm, PV_IOMMU_REG_FAULT_ADDR), ==, addr);
    g_assert_cmphex(reg(vm, PV_IOMMU_REG_FAULT_INFO), ==, info);
}

void seg_set(struct pv_iommu_req *req, int i, uint64_t addr,
             uint32_t len, uint32_t pos)
{
    req->segs[i].addr = cpu_to_le64(addr);
    req->segs[i].len = cpu_to_le32(len);
    req->segs[i].pos = cpu_to_le32(pos);
}

/* Let edu copy from the arena into the window, where the test can look */
void peek(Vm *vm, uint64_t dma, uint64_t cnt)
{
    dma_copy(vm, &vm->edu[0], dma, WINDOW_DMA, cnt);
}
