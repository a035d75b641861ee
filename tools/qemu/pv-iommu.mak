# SPDX-License-Identifier: GPL-2.0-or-later
#
# The devices of a QEMU that is built --without-default-devices to run, test
# and compare pv-iommu. apply.sh puts this file where configure looks for it,
# as the device list "pv-iommu" of x86_64-softmmu.

# The device itself
CONFIG_PV_IOMMU=y
CONFIG_PV_IOMMU_HOSTILE=y

# Machines; each selects what its board needs (ACPI, memory hotplug, RTC, ...)
CONFIG_Q35=y
CONFIG_I440FX=y
CONFIG_HPET=y

# What it is compared with
CONFIG_VTD=y
CONFIG_AMD_IOMMU=y
CONFIG_VIRTIO_IOMMU=y

# PCI topologies
CONFIG_PCIE_PORT=y
CONFIG_IOH3420=y
CONFIG_XIO3130=y
CONFIG_PXB=y
# not for themselves: QEMU 7.2's PXB does not link without them
CONFIG_CXL=y
CONFIG_CXL_MEM_DEVICE=y

# Devices that work behind it
CONFIG_EDU=y
CONFIG_NVME_PCI=y
CONFIG_AHCI=y
CONFIG_SCSI=y
CONFIG_VMW_PVSCSI_SCSI_PCI=y
CONFIG_MEGASAS_SCSI_PCI=y
CONFIG_E1000_PCI=y
CONFIG_E1000E_PCI_EXPRESS=y
CONFIG_USB_XHCI_PCI=y
CONFIG_USB_STORAGE_CORE=y
CONFIG_USB_STORAGE_CLASSIC=y
CONFIG_USB_STORAGE_BOT=y
CONFIG_VFIO_PCI=y
CONFIG_VIRTIO_PCI=y
CONFIG_VIRTIO_BLK=y
CONFIG_VIRTIO_NET=y
CONFIG_VIRTIO_SCSI=y
CONFIG_VIRTIO_RNG=y
CONFIG_VIRTIO_BALLOON=y
CONFIG_VIRTIO_MEM=y
CONFIG_VIRTIO_SERIAL=y
CONFIG_VIRTIO_GPU=y
# for the memory that it shows in a BAR
CONFIG_BOCHS_DISPLAY=y
# for its vhost: a backend that asks what addresses mean
CONFIG_VHOST_USER_RNG=y

# How a test talks to the outside
CONFIG_ISA_DEBUG=y
CONFIG_PVPANIC_ISA=y
CONFIG_PVPANIC_PCI=y
