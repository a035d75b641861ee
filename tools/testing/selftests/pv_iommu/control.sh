#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: the control: without pv_iommu the guest cannot use the NVMe at all
# VM: nomodule
# Modes: none
# Timeout: 180
. ./lib.sh

# boot-bypass=off: what is not attached reaches no memory, so the controller
# cannot even read a command. With this shown, the other tests show that their
# DMA went through pv-iommu.
[ -z "$(host_dir)" ] || fail "pv_iommu is loaded"
modprobe nvme
dev=$(basename "$(dirname "$(grep -l 0x010802 /sys/bus/pci/devices/*/class)")")
[ -e "/sys/bus/pci/devices/$dev" ] || fail "the VM has no NVMe device"
# the driver has given up when it is no longer bound
tried() {
	[ -z "$(devices_of nvme)" ] || disk_of "$dev" >/dev/null ||
		dmesg | grep -q 'nvme.*\(Removing\|remove\|failure\|timeout\)'
}
wait_for 90 tried || fail "the driver neither works nor gives up"
! disk_of "$dev" || fail "there is a disk"
used=$(host disk_used nvme0) || fail "$used"
[ "$used" = 0 ] || fail "$used bytes of the disk were written"
