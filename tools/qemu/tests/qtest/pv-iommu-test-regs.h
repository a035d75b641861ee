/*
 * Tests of the pv-iommu device and its fuzz target: the machine's devices, and
 * their registers. edu is what both use as a DMA engine.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef PV_IOMMU_TEST_REGS_H
#define PV_IOMMU_TEST_REGS_H

#include "libqtest.h"
#include "libqos/pci.h"
#include "standard-headers/linux/pv_iommu.h"

#define EDU_SRC         0x80
#define EDU_DST         0x88
#define EDU_CNT         0x90
#define EDU_CMD         0x98
#define EDU_BUFFER      0x40000
#define EDU_MAX         2048

#define NR_EDU          2

typedef struct Edu {
    QPCIDevice *dev;
    QPCIBar bar;
} Edu;

typedef struct Vm {
    QTestState *qts;
    QPCIBus *bus;
    QPCIDevice *dev;
    QPCIBar regs;
    QPCIBar bell;
    Edu edu[NR_EDU];
    uint32_t errors;            /* what the ERRORS register should say */
    bool chunks;                /* PV_IOMMU_F_CHUNKS was accepted */
} Vm;

static inline uint32_t reg(Vm *vm, uint64_t offset)
{
    return qpci_io_readl(vm->dev, vm->regs, offset);
}

static inline uint64_t reg64(Vm *vm, uint64_t offset)
{
    return reg(vm, offset) | (uint64_t)reg(vm, offset + 4) << 32;
}

static inline void set_reg(Vm *vm, uint64_t offset, uint32_t val)
{
    qpci_io_writel(vm->dev, vm->regs, offset, val);
}

/* Ask for features, and say so */
static inline void enable(Vm *vm, uint64_t features)
{
    set_reg(vm, PV_IOMMU_REG_GUEST_FEATURES, features);
    set_reg(vm, PV_IOMMU_REG_GUEST_FEATURES + 4, features >> 32);
    set_reg(vm, PV_IOMMU_REG_CONTROL, PV_IOMMU_CTL_ENABLE);
}

static inline QPCIDevice *device_find(Vm *vm, uint16_t rid)
{
    QPCIDevice *dev = qpci_device_find(vm->bus, rid);

    g_assert_nonnull(dev);
    return dev;
}

static inline void edu_enable(Edu *edu)
{
    qpci_device_enable(edu->dev);
    edu->bar = qpci_iomap(edu->dev, 0, NULL);
}

/* The firmware's work */
static inline void devices_enable(Vm *vm)
{
    /* after a reset the BARs went, too */
    vm->bus->pio_alloc_ptr = 0xc000;
    vm->bus->mmio_alloc_ptr = 0xe0000000;
    qpci_device_enable(vm->dev);
    vm->regs = qpci_iomap(vm->dev, PV_IOMMU_BAR_REGS, NULL);
    vm->bell = qpci_iomap(vm->dev, PV_IOMMU_BAR_DOORBELL, NULL);
    for (int i = 0; i < NR_EDU; i++) {
        edu_enable(&vm->edu[i]);
    }
}

static inline void devices_find(Vm *vm)
{
    vm->dev = device_find(vm, QPCI_DEVFN(3, 0));
    for (int i = 0; i < NR_EDU; i++) {
        vm->edu[i].dev = device_find(vm, QPCI_DEVFN(4 + i, 0));
    }
}

#endif /* PV_IOMMU_TEST_REGS_H */
