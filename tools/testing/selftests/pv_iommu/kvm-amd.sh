#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Test: behind an AMD-Vi, too, what is granted is all that is locked
# VM: kvm-amd
# Modes: none
# Timeout: 240

. ./kvm-lib.sh

host_setup
dmesg | grep -m 1 'AMD-Vi: Interrupt remapping enabled' ||
	fail "no AMD-Vi: $(ls /sys/class/iommu)"
assign $NVME

way_vfio
l2_start -device "$(vfio $NVME nvme0)"
wait_for 20 guest_locked || fail "control: $(status VmLck) kB locked"
l2_kill

way_window ""
l2_start -device "$(vfio $NVME nvme0)"
l2_ready
must "$FIO_JOB >/run/fio" >/dev/null
locked_is_granted || fail "what is locked is not what is granted"
[ "$locked" -gt 0 ] || fail "nothing is locked"
echo "pv-iommu: $locked kB locked"
l2_stop
