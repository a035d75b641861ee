#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: rmmod is refused while devices are attached; after it nothing is left
# VM: bypass
# Modes: none
# Timeout: 120
. ./lib.sh

# What a module leaves: kernel memory, files, dma_ops, claimed address space
traces() {
	ls -d /sys/bus/pci/drivers/pv_iommu /sys/kernel/debug/pv_iommu \
		/sys/bus/pci/devices/*/pv_iommu 2>/dev/null
	grep -i 'pv.iommu' /proc/iomem /proc/ioports
}

# a test before this one may have left the driver loaded and unbound
rmmod nvme 2>/dev/null
modprobe pv_iommu || fail "modprobe pv_iommu"
modprobe nvme || fail "modprobe nvme"
wait_for 20 driven_by nvme || fail "no NVMe device"
dev=$(devices_of nvme | head -n 1)
wait_for 20 disk_of "$dev" >/dev/null || fail "no disk"
need_attached "$dev"
fio_verify "/dev/$(disk_of "$dev")" --size=4M
grep -q 'pv_iommu window' /proc/iomem || fail "the window is not in /proc/iomem"

rmmod pv_iommu 2>/dev/null && fail "rmmod with $dev attached"
[ -d "/sys/bus/pci/devices/$dev/pv_iommu" ] || fail "$dev was detached"
fio_verify "/dev/$(disk_of "$dev")" --size=4M

echo "$dev" >/sys/bus/pci/drivers/nvme/unbind
rmmod pv_iommu || fail "rmmod with no device attached"
traces && fail "after rmmod there is $(traces | head -n 1)"

# the device reaches nothing until it is attached again, by memory of a module
# that is gone or by any other: its driver gives up
echo "$dev" >/sys/bus/pci/drivers/nvme/bind 2>/dev/null
wait_for 90 said "nvme.*$dev" || echo "the driver says nothing"
wait_for 90 test ! -e "/sys/bus/pci/drivers/nvme/$dev" || fail "a disk without pv_iommu"
! disk_of "$dev" || fail "there is a disk all the same"

n=0
while [ $n -lt 12 ]; do
	modprobe pv_iommu || fail "modprobe, round $n"
	rmmod pv_iommu || fail "rmmod, round $n"
	n=$((n + 1))
	[ $n != 2 ] || before=$(kernel_memory)
done
kernel_memory_grew "$before" 600 10
