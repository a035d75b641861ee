#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Test: behind an AMD-Vi, too, the window is all that is locked
# VM: kvm-amd
# Modes: none
# Timeout: 240

. ./kvm-lib.sh

WIN=$((L2_WINDOW * 1024))

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
locked=$(status VmLck)
[ "$locked" -ge $WIN ] && [ "$locked" -le $((WIN + 1024)) ] ||
	fail "$locked kB locked"
echo "pv-iommu: $locked kB locked"
l2_stop
