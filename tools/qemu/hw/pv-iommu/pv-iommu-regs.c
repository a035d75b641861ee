/*
 * pv-iommu: registers, the doorbell, and what the guest sees of faults
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/log.h"
#include "pv-iommu.h"
#include "trace.h"

/* What both kinds of reset have in common */
void pv_iommu_clear(PvIommuState *s, bool system)
{
    trace_pv_iommu_reset(system);
    pv_iommu_detach_all(s);
    pv_iommu_hostile_reset(s);
    if (system) {
        pv_iommu_unconfine(s);
    }
    s->guest_features = 0;
    s->enabled = false;
}

/* A guest that does not know chunks has all of the window, or nothing */
static bool limit_allows(PvIommuState *s)
{
    if (s->guest_features & PV_IOMMU_F_CHUNKS ||
        pv_iommu_limit(s) >= s->window_size) {
        return true;
    }
    warn_report_once("pv-iommu-pci: the guest's driver does not know chunks, "
                     "and wants all of the window, 0x%" PRIx64 " bytes, which "
                     "limit=0x%" PRIx64 " does not allow: update the driver, "
                     "or leave limit= out", s->window_size, pv_iommu_limit(s));
    return false;
}

/* Are they what a guest may have together, and all of them offered? */
bool pv_iommu_features_are_good(PvIommuState *s, uint64_t features)
{
    return features & (PV_IOMMU_F_WINDOW | PV_IOMMU_F_BOUNCE) &&
           !(features & ~s->host_features) &&
           (!(features & PV_IOMMU_F_DIRECT) || features & PV_IOMMU_F_CHUNKS) &&
           (!(features & PV_IOMMU_F_LARGE) || features & PV_IOMMU_F_DIRECT);
}

static void enable(PvIommuState *s)
{
    bool ok = pv_iommu_features_are_good(s, s->guest_features);

    trace_pv_iommu_enable(s->guest_features, s->host_features, ok);
    if (!ok) {
        qemu_log_mask(LOG_GUEST_ERROR, "pv-iommu: features 0x%" PRIx64
                      " are not among those offered, 0x%" PRIx64 ", or "
                      "lack one that goes with another\n",
                      s->guest_features, s->host_features);
        return;
    }
    if (!limit_allows(s)) {
        return;
    }
    s->enabled = true;
    pv_iommu_confine(s);
}

static void write_control(PvIommuState *s, uint32_t val)
{
    if (val & ~(PV_IOMMU_CTL_RESET | PV_IOMMU_CTL_ENABLE)) {
        qemu_log_mask(LOG_GUEST_ERROR, "pv-iommu: reserved bits in CONTROL: "
                      "0x%x\n", val);
        return;
    }
    if (val & PV_IOMMU_CTL_RESET) {
        pv_iommu_clear(s, false);
    } else if (val & PV_IOMMU_CTL_ENABLE) {
        enable(s);
    } else if (s->enabled) {
        qemu_log_mask(LOG_GUEST_ERROR, "pv-iommu: only a reset disables\n");
    }
}

static uint64_t regs_read(void *opaque, hwaddr reg, unsigned size)
{
    PvIommuState *s = opaque;
    uint64_t pair = 0;
    uint32_t val;

    switch (reg) {
    case PV_IOMMU_REG_MAGIC:
        val = PV_IOMMU_MAGIC;
        goto out;
    case PV_IOMMU_REG_VERSION:
        val = PV_IOMMU_VERSION;
        goto out;
    case PV_IOMMU_REG_CONTROL:
        val = s->enabled ? PV_IOMMU_CTL_ENABLE : 0;
        goto out;
    case PV_IOMMU_REG_ERRORS:
        val = s->errors;
        goto out;
    case PV_IOMMU_REG_FAULT_INFO:
        val = s->fault_info;
        goto out;
    }

    switch (reg & ~4ULL) {
    case PV_IOMMU_REG_HOST_FEATURES:
        pair = s->host_features;
        break;
    case PV_IOMMU_REG_GUEST_FEATURES:
        pair = s->guest_features;
        break;
    case PV_IOMMU_REG_WINDOW_ADDR:
        pair = s->memaddr;
        break;
    case PV_IOMMU_REG_WINDOW_SIZE:
        pair = s->window_size;
        break;
    case PV_IOMMU_REG_WINDOW_DMA:
        pair = s->dma_base;
        break;
    case PV_IOMMU_REG_ARENA_DMA:
        pair = s->arena_base;
        break;
    case PV_IOMMU_REG_ARENA_SIZE:
        pair = s->arena_size;
        break;
    case PV_IOMMU_REG_ARENA_COHERENT:
        pair = s->arena_coherent;
        break;
    case PV_IOMMU_REG_FAULT_COUNT:
        pair = s->fault_count;
        break;
    case PV_IOMMU_REG_FAULT_ADDR:
        pair = s->fault_addr;
        break;
    case PV_IOMMU_REG_CHUNK_SIZE:
        pair = s->offer_chunks ? s->chunk_size : 0;
        break;
    case PV_IOMMU_REG_WINDOW_LIMIT:
        pair = s->offer_chunks ? pv_iommu_limit(s) : 0;
        break;
    case PV_IOMMU_REG_WINDOW_GRANTED:
        pair = s->offer_chunks ? s->nr_granted * s->chunk_size : 0;
        break;
    case PV_IOMMU_REG_DIRECT_DMA:
        pair = s->direct_base;
        break;
    case PV_IOMMU_REG_DIRECT_SIZE:
        pair = s->direct_pages * PV_IOMMU_GRANULE;
        break;
    case PV_IOMMU_REG_DIRECT_LIMIT:
        pair = s->direct_pages ? pv_iommu_direct_limit(s) : 0;
        break;
    case PV_IOMMU_REG_DIRECT_GRANTED:
        pair = s->nr_direct * PV_IOMMU_GRANULE;
        break;
    }
    val = reg & 4 ? pair >> 32 : pair;
out:
    val = pv_iommu_hostile_reg(s, reg, val);
    trace_pv_iommu_reg_read(reg, val);
    return val;
}

static void regs_write(void *opaque, hwaddr reg, uint64_t val, unsigned size)
{
    PvIommuState *s = opaque;

    trace_pv_iommu_reg_write(reg, val);

    switch (reg) {
    case PV_IOMMU_REG_GUEST_FEATURES:
    case PV_IOMMU_REG_GUEST_FEATURES + 4:
        if (s->enabled) {
            qemu_log_mask(LOG_GUEST_ERROR, "pv-iommu: features can be changed "
                          "only after a reset\n");
            break;
        }
        s->guest_features = deposit64(s->guest_features, reg & 4 ? 32 : 0, 32,
                                      val);
        break;
    case PV_IOMMU_REG_CONTROL:
        write_control(s, val);
        break;
    case PV_IOMMU_REG_DOORBELL:
        pv_iommu_request(s, val);
        break;
    default:
        qemu_log_mask(LOG_GUEST_ERROR, "pv-iommu: write of 0x%" PRIx64 " to "
                      "read-only register 0x%" HWADDR_PRIx "\n", val, reg);
    }
}

static const MemoryRegionOps regs_ops = {
    .read = regs_read,
    .write = regs_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = {
        .min_access_size = 4,
        .max_access_size = 4,
    },
    .impl = {
        .min_access_size = 4,
        .max_access_size = 4,
    },
};

static uint64_t doorbell_read(void *opaque, hwaddr addr, unsigned size)
{
    return 0;
}

static void doorbell_write(void *opaque, hwaddr addr, uint64_t val,
                           unsigned size)
{
    pv_iommu_request(opaque, val);
}

static const MemoryRegionOps doorbell_ops = {
    .read = doorbell_read,
    .write = doorbell_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = {
        .min_access_size = 4,
        .max_access_size = 4,
    },
    .impl = {
        .min_access_size = 4,
        .max_access_size = 4,
    },
};

/*
 * An access of a device comes here in pieces of up to 8 bytes. Pieces that
 * follow one another are one access, and counted so.
 */
void pv_iommu_fault(PvIommuState *s, uint16_t rid, hwaddr addr, unsigned size,
                    bool write)
{
    uint32_t info = rid | (write ? PV_IOMMU_FAULT_WRITE : 0);
    bool more = s->fault_count && s->fault_info == info &&
                s->fault_next == addr;

    s->fault_next = addr + size;
    if (more) {
        return;
    }

    s->fault_count++;
    s->fault_addr = addr;
    s->fault_info = info;
    trace_pv_iommu_fault(rid, addr, write);
    qemu_log_mask(LOG_GUEST_ERROR, "pv-iommu: device %02x:%02x.%x: %s at DMA "
                  "address 0x%" HWADDR_PRIx " refused\n", PCI_BUS_NUM(rid),
                  PCI_SLOT(rid), PCI_FUNC(rid), write ? "write" : "read", addr);
}

void pv_iommu_regs_init(PvIommuState *s)
{
    PCIDevice *pdev = PCI_DEVICE(s);

    memory_region_init_io(&s->regs, OBJECT(s), &regs_ops, s, "pv-iommu-regs",
                          PV_IOMMU_REGS_SIZE);
    pci_register_bar(pdev, PV_IOMMU_BAR_REGS, PCI_BASE_ADDRESS_SPACE_MEMORY,
                     &s->regs);
    memory_region_init_io(&s->doorbell, OBJECT(s), &doorbell_ops, s,
                          "pv-iommu-doorbell", PV_IOMMU_DOORBELL_SIZE);
    pci_register_bar(pdev, PV_IOMMU_BAR_DOORBELL, PCI_BASE_ADDRESS_SPACE_IO,
                     &s->doorbell);
    if (s->arena_coherent) {
        pv_iommu_arena_share(s);
        pci_register_bar(pdev, PV_IOMMU_BAR_COHERENT,
                         PCI_BASE_ADDRESS_SPACE_MEMORY |
                         PCI_BASE_ADDRESS_MEM_PREFETCH, &s->coherent_bar);
    }
}
