// SPDX-License-Identifier: GPL-2.0
/*
 * What the host device's registers say: read past pv_iommu, so that a test
 * judges the driver by the host's word and not by the driver's own.
 */
#include <linux/io.h>
#include <linux/pci.h>
#include <linux/pv_iommu.h>

#include "pvt.h"

static void __iomem *pvt_regs;

static u64 pvt_reg64(unsigned int reg)
{
	return readl(pvt_regs + reg) | (u64)readl(pvt_regs + reg + 4) << 32;
}

bool pvt_host_present(void)
{
	return pvt_regs;
}

u64 pvt_host_faults(void)
{
	return pvt_reg64(PV_IOMMU_REG_FAULT_COUNT);
}

u64 pvt_host_fault_addr(void)
{
	return pvt_reg64(PV_IOMMU_REG_FAULT_ADDR);
}

/* Was the DMA that was refused last one of this device, and in that direction? */
bool pvt_host_fault_is(struct device *dev, bool write)
{
	u32 info = readl(pvt_regs + PV_IOMMU_REG_FAULT_INFO);

	return PV_IOMMU_FAULT_RID(info) == pci_dev_id(to_pci_dev(dev)) &&
	       !(info & PV_IOMMU_FAULT_WRITE) == !write;
}

/* Bytes of a chunk; 0: the host knows none */
u64 pvt_host_chunk(void)
{
	return pvt_reg64(PV_IOMMU_REG_CHUNK_SIZE);
}

/* Bytes of the window that are granted, to all domains together */
u64 pvt_host_granted(void)
{
	return pvt_reg64(PV_IOMMU_REG_WINDOW_GRANTED);
}

u64 pvt_host_window_dma(void)
{
	return pvt_reg64(PV_IOMMU_REG_WINDOW_DMA);
}

u64 pvt_host_window_size(void)
{
	return pvt_reg64(PV_IOMMU_REG_WINDOW_SIZE);
}

u64 pvt_host_arena_dma(void)
{
	return pvt_reg64(PV_IOMMU_REG_ARENA_DMA);
}

u64 pvt_host_arena_size(void)
{
	return pvt_reg64(PV_IOMMU_REG_ARENA_SIZE);
}

/* DMA address of guest-physical address 0 */
u64 pvt_host_direct_dma(void)
{
	return pvt_reg64(PV_IOMMU_REG_DIRECT_DMA);
}

/* Bytes of guest RAM that may be granted; 0: the host grants none */
u64 pvt_host_direct_limit(void)
{
	return pvt_reg64(PV_IOMMU_REG_DIRECT_LIMIT);
}

/* Those that are, to all domains together */
u64 pvt_host_direct_granted(void)
{
	return pvt_reg64(PV_IOMMU_REG_DIRECT_GRANTED);
}

/* May pages be granted to the device, at addresses that it reaches? */
bool pvt_host_direct(struct device *dev)
{
	return pvt_host_present() && pvt_host_direct_limit() &&
	       dma_get_mask(dev) > pvt_host_direct_dma();
}

/* Bytes that streaming mappings share */
u64 pvt_host_room(void)
{
	return pvt_on_bounce() ? pvt_reg64(PV_IOMMU_REG_ARENA_SIZE) -
				 pvt_reg64(PV_IOMMU_REG_ARENA_COHERENT) :
				 pvt_reg64(PV_IOMMU_REG_WINDOW_SIZE);
}

/*
 * Whether a device with this mask can be served at all: it has to reach the
 * start of what all mappings of its mode come from, and of coherent memory.
 */
bool pvt_host_serves(u64 mask)
{
	u64 window = pvt_reg64(PV_IOMMU_REG_WINDOW_DMA);
	u64 arena = pvt_reg64(PV_IOMMU_REG_ARENA_DMA);
	u64 low = pvt_reg64(PV_IOMMU_REG_ARENA_COHERENT);

	if (!pvt_on_bounce())
		return mask > window;
	return mask > arena + low && (low || mask > window);
}

/* Whether a managed device may reach @dma at all */
bool pvt_host_reaches(dma_addr_t dma)
{
	u64 window = pvt_reg64(PV_IOMMU_REG_WINDOW_DMA);
	u64 arena = pvt_reg64(PV_IOMMU_REG_ARENA_DMA);

	return (dma >= window &&
		dma - window < pvt_reg64(PV_IOMMU_REG_WINDOW_SIZE)) ||
	       (dma >= arena &&
		dma - arena < pvt_reg64(PV_IOMMU_REG_ARENA_SIZE)) ||
	       (dma >= 0xfee00000 && dma < 0xfef00000);
}

/* The guest's own view of the window at @dma; NULL: it is not there */
void *pvt_host_memory(dma_addr_t dma, size_t len)
{
	u64 base, size;

	base = pvt_reg64(PV_IOMMU_REG_WINDOW_DMA);
	size = pvt_reg64(PV_IOMMU_REG_WINDOW_SIZE);
	if (dma < base || dma - base > size || len > size - (dma - base))
		return NULL;
	return phys_to_virt(pvt_reg64(PV_IOMMU_REG_WINDOW_ADDR) + dma - base);
}

/*
 * The memory that the device sees at @dma: window memory is the guest's own.
 * NULL when it is not, and only the device can tell.
 */
void *pvt_host_backdoor(dma_addr_t dma, size_t len)
{
	return pvt_regs && pvt_on_window() ? pvt_host_memory(dma, len) : NULL;
}

int pvt_host_init(void)
{
	struct pci_dev *pdev;

	pdev = pci_get_device(PV_IOMMU_PCI_VENDOR_ID, PV_IOMMU_PCI_DEVICE_ID,
			      NULL);
	if (!pdev)
		return 0;
	pvt_regs = ioremap(pci_resource_start(pdev, PV_IOMMU_BAR_REGS),
			   PV_IOMMU_REGS_SIZE);
	pci_dev_put(pdev);
	return pvt_regs ? 0 : -ENOMEM;
}

void pvt_host_exit(void)
{
	if (pvt_regs)
		iounmap(pvt_regs);
}
