#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: mode=window is refused by name where the host does not offer it; auto takes requests
# VM: no-window
# Modes: none
# Timeout: 60
. ./lib.sh

dmesg -C
modprobe pv_iommu mode=window || fail "modprobe pv_iommu mode=window"
dmesg | grep 'mode=window, but the host lets no streaming DMA into the window' ||
	fail "the log does not say why"
modprobe pviommu_test
ls -d /sys/bus/pci/devices/*/pv_iommu 2>/dev/null &&
	fail "a device is attached all the same"
rmmod pviommu_test
rmmod pv_iommu || fail "rmmod"

modprobe pv_iommu || fail "modprobe pv_iommu"
modprobe nvme
wait_for 20 driven_by nvme || fail "no NVMe device"
dev=$(devices_of nvme | head -n 1)
wait_for 20 disk_of "$dev" >/dev/null || fail "no disk"
[ "$(cat "/sys/bus/pci/devices/$dev/pv_iommu/mode")" = bounce ] ||
	fail "auto did not take bounce mode"
fio_verify "/dev/$(disk_of "$dev")" --size=4M
