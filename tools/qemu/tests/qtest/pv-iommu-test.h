/*
 * QTest testcase for the pv-iommu device: what its parts share
 *
 * No firmware and no guest runs: the test is the guest driver, and drives edu
 * devices as DMA engines.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef PV_IOMMU_TEST_H
#define PV_IOMMU_TEST_H

#include "libqtest.h"
#include "libqos/pci.h"
#include "libqos/pci-pc.h"
#include "qemu/bswap.h"
#include "qemu/units.h"
/* qapi: Move include/qapi/qmp/ to include/qobject/ (10.0) */
#if QEMU_VERSION_MAJOR >= 10
#include "qobject/qdict.h"
#include "qobject/qlist.h"
#else
#include "qapi/qmp/qdict.h"
#include "qapi/qmp/qlist.h"
#endif
#include "standard-headers/linux/pv_iommu.h"
#include "pv-iommu-test-regs.h"

#define RAM_SIZE        (64 * MiB)
#define WINDOW_SIZE     (4 * MiB)
#define WINDOW_DMA      (2 * MiB)
#define WINDOW_ADDR     (4 * GiB)
#define CHUNK_SIZE      (WINDOW_SIZE / 32)
#define ARENA_SIZE      (1 * MiB)
#define ARENA_DMA       (6 * MiB)   /* the next multiple of 2 MiB */
#define DIRECT_DMA      (4 * GiB)   /* the next multiple of that */

/* Where things are in the guest's memory */
#define BLOCK           0x200000
#define SRC             0x300000
#define DST             0x400000
#define WILD            0x800000

#define RID             0x20    /* edu0 at 04.0 */
#define RID2            0x28    /* edu1 at 05.0 */
#define RID_SELF        0x18    /* pv-iommu-pci at 03.0 */
#define RID_NONE        0xf0    /* nothing at 1e.0 */
#define RID_NOBUS       0xff20

#define GRANULE         PV_IOMMU_GRANULE
#define NO_LIMIT        UINT64_MAX

#define MACHINE_ARGS \
    "-nodefaults -bios %s -machine %s -m 64M,slots=1,maxmem=192M " \
    "-object memory-backend-ram,id=win0,size=4M "
#define PV_ARGS \
    "-device pv-iommu-pci,id=pv0,addr=3,memdev=win0,memaddr=0x100000000"
#define EDU_ARGS \
    "-device edu,id=edu0,addr=4,dma_mask=0xffffffffffffffff " \
    "-device edu,id=edu1,addr=5,dma_mask=0xffffffffffffffff "

/* What q35's register PAM0 puts from 0xf0000 on; 0: ROM */
#define PAM0_READ       0x10    /* RAM for reading only */
#define PAM0_RAM        0x30

/* Where the device's properties are */
#define QOM_PATH        "/machine/peripheral/pv0"

/* An image that the machine takes for its firmware */
extern char *bios;

/* An edu that is found late, as it was plugged or is behind a bridge */
Edu edu_at(Vm *vm, uint16_t rid);

/* The machine */
Vm *vm_launch(const char *machine, const char *first, const char *props,
              const char *more);
void vm_probe(Vm *vm);
Vm *vm_start_on(const char *machine, const char *props, const char *more);
Vm *vm_start(const char *props);
void vm_stop(Vm *vm);
char *qemu_stderr(const char *args, bool quit, int *status);
char *temp_file(const char *kind);
int pid_of(const char *pidfile);
uint64_t memory_of(const char *pidfile, const char *kind);
void set_features(Vm *vm, uint64_t features);
uint32_t prop(Vm *vm, const char *name);
void set_prop(Vm *vm, const char *name, uint32_t val);
void set_flag(Vm *vm, const char *name, bool val);
void system_reset(Vm *vm);
void set_pam0(Vm *vm, uint8_t val);

/* A bus behind the bridge in a slot, with a range of memory */
void bridge_init(Vm *vm, int slot, uint8_t bus, uint32_t mem);
void bridge_number(Vm *vm, uint16_t rid, uint8_t bus, uint8_t last,
                   uint32_t mem);

/* A guest that switches the slot of a port off has its device unplugged */
void slot_power(Vm *vm, uint16_t rid, bool on);

/* How many spaces the device has */
int nr_spaces(Vm *vm);

/* Guest memory: fill() writes a pattern, and check() looks for it */
void fill(Vm *vm, uint64_t addr, size_t size, uint8_t seed);
void check(Vm *vm, uint64_t addr, size_t size, uint64_t from,
           uint8_t seed);
void check_zero(Vm *vm, uint64_t addr, size_t size);

/* DMA by edu; at most EDU_MAX bytes at a time */
void dma_load(Vm *vm, Edu *edu, uint64_t addr, uint64_t cnt);
void dma_store(Vm *vm, Edu *edu, uint64_t addr, uint64_t cnt);
void dma_begin_store(Edu *edu, uint64_t addr, uint64_t cnt);
bool edu_ends(Vm *vm, Edu *edu);
void dma_copy(Vm *vm, Edu *edu, uint64_t from, uint64_t to,
              uint64_t cnt);
bool dma_reaches(Vm *vm, Edu *edu, uint64_t dma, uint64_t addr);

/* Requests; submit() and all that use it return the status */
void req_init(struct pv_iommu_req *req, uint16_t opcode, uint16_t rid,
              uint32_t flags);
uint32_t submit(Vm *vm, struct pv_iommu_req *req);
uint32_t simple(Vm *vm, uint16_t opcode, uint16_t rid, uint32_t flags);
uint32_t attach(Vm *vm, uint16_t rid, uint32_t flags);
uint32_t detach(Vm *vm, uint16_t rid);
void map_init(struct pv_iommu_req *req, uint16_t rid, uint64_t addr,
              uint32_t len);
uint64_t map_submit(Vm *vm, struct pv_iommu_req *req);
uint64_t map(Vm *vm, uint16_t rid, uint64_t addr, uint32_t len);
uint32_t unmap(Vm *vm, uint16_t rid, uint64_t dma, uint32_t flags);
uint32_t sync_range(Vm *vm, uint16_t rid, uint64_t dma, uint32_t flags,
                    uint64_t offset, uint64_t length);

/* A machine in bounce mode with edu0 attached, and whether it still works */
Vm *vm_bounce(const char *more);
void check_alive(Vm *vm);

/* Chunks and domains; attach_to() is in window mode */
void enable_chunks(Vm *vm);
uint32_t probe(Vm *vm, uint16_t rid, uint32_t *group, uint32_t *offers);
uint32_t attach_to(Vm *vm, uint16_t rid, uint32_t domain);
void chunks_init(struct pv_iommu_req *req, uint16_t opcode, uint32_t domain,
                 uint32_t first, uint32_t count, uint32_t flags);
uint32_t grant_to(Vm *vm, uint32_t domain, uint32_t first, uint32_t count,
               uint32_t flags);
uint32_t revoke_from(Vm *vm, uint32_t domain, uint32_t first, uint32_t count);

/* Guest RAM, in pages; and the end of the first memory device */
void enable_direct(Vm *vm);
void ram_init(struct pv_iommu_req *req, uint16_t opcode, uint32_t domain,
              uint64_t first, uint32_t count, uint32_t flags);
void ram_add(struct pv_iommu_req *req, uint64_t first, uint32_t count,
             uint32_t flags);
uint32_t grant_pages(Vm *vm, uint32_t domain, uint64_t first, uint32_t count,
                     uint32_t flags);
uint32_t revoke_pages(Vm *vm, uint32_t domain, uint64_t first,
                      uint32_t count);
void dimm_eject(Vm *vm);

/* The fault registers */
void check_fault(Vm *vm, uint64_t count, uint64_t addr, uint32_t info);

/* A MAP's pieces; and what a slot holds, copied into the window */
void seg_set(struct pv_iommu_req *req, int i, uint64_t addr,
             uint32_t len, uint32_t pos);
void peek(Vm *vm, uint64_t dma, uint64_t cnt);

/* The parts */
void add_bounce_tests(void);
void add_chunks_tests(void);
void add_direct_tests(void);
void add_hostile_tests(void);
void add_migrate_tests(void);
void add_args_tests(void);
void add_vhost_tests(void);
void add_plug_tests(void);

#endif /* PV_IOMMU_TEST_H */
