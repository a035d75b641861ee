#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Test: windows where the host's IOMMU translates nothing, and no mode: said at start
# VM: kvm
# Modes: none
# Timeout: 240

. ./kvm-lib.sh

host_setup
assign $NVME
cap=$(cat /sys/bus/pci/devices/$NVME/iommu/intel-iommu/cap)
bits=$(((0x$cap >> 16 & 0x3f) + 1))
regions=$(readlink -f /sys/bus/pci/devices/$NVME/iommu_group)/reserved_regions

# refused BASE REASON: QEMU says why there cannot be a window, and how to mend it;
# nothing is locked, and L2's device is blocked
refused() {
	way_window ",dma-base=$1"
	l2_start -device "$(vfio $NVME nvme0)"
	l2_ready
	grep "vfio-pci 'nvme0' cannot be served: .*$2: set another dma-base=" \
		$L2/qemu.log || fail "QEMU does not say: $2"
	must "dmesg | grep 'pv_iommu: not attached.*blocked'"
	[ "$(status VmLck)" = 0 ] || fail "$(status VmLck) kB are locked"
	l2_stop
}

refused "$(printf '0x%x' $((1 << bits)))" "translates $bits address bits"

# Properties with which nothing is left for an assigned device
way_window ",hw-iommu=off"
(l2_start -device "$(vfio $NVME nvme0)"; wait "$L2_PID") &&
	fail "QEMU starts where it cannot serve the device"
grep "vfio-pci 'nvme0' cannot be used: with hw-iommu=off and boot-bypass=off" \
	$L2/qemu.log || fail "QEMU does not say: $(cat $L2/qemu.log)"
grep "Leave hw-iommu= out" $L2/qemu.log || fail "QEMU names no remedy"

# Whatever else the machine keeps for itself, as an RMRR is kept
sed '$a0x0000000001000000 0x0000000001ffffff direct' "$regions" >/run/regions
mount --bind /run/regions "$regions" || fail "no other reserved regions"
refused 0x200000 "reserves 0x1000000 to 0x1ffffff (direct)"
# The same file, which is mounted
regions_now=$(sed s/direct/direct-relaxable/ /run/regions)
echo "$regions_now" >/run/regions

way_window ""
l2_start -device "$(vfio $NVME nvme0)"
l2_ready
must "until ls /sys/block | grep -q nvme; do sleep 0.2; done"
! grep "cannot be served" $L2/qemu.log || fail "control: QEMU warns"
l2_stop
umount "$regions"
