#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Test: bounce mode on KVM: emulated devices, one exit a map, at most one an unmap
# VM: kvm-emulated
# Modes: none
# Timeout: 400

. ./kvm-lib.sh

host_setup
truncate -s 128M /tmp/disk
way_window ",hw-iommu=off"
l2_start -drive if=none,id=disk0,format=raw,file=/tmp/disk \
	-device nvme,drive=disk0,serial=disk0 -device edu,dma_mask=0xffffffffff
l2_ready
must "until [ -e /dev/nvme0n1 ]; do sleep 0.1; done"
bdf=$(must "readlink -f /sys/block/nvme0n1/device/device")
stats=/sys/bus/pci/devices/${bdf##*/}/pv_iommu
[ "$(must "cat $stats/mode")" = bounce ] || fail "not attached for bouncing"

counts="cd $stats; cat maps unmaps syncs failures"
doorbell_find
mapfile -t before < <(must "$counts")
exits_begin
must "$FIO_JOB >/run/fio"
# What unmaps are queued go with a timer
must "sleep 1"
exits_end
mapfile -t after < <(must "$counts")
rings=$(doorbell_hits)
maps=$((after[0] - before[0])) unmaps=$((after[1] - before[1]))
syncs=$((after[2] - before[2]))
echo "$maps maps, $unmaps unmaps, $syncs syncs: $rings exits"
[ "$maps" -gt 0 ] || fail "no map was counted"
[ "$((after[3] - before[3]))" = 0 ] || fail "maps failed"
[ "$rings" -ge "$maps" ] || fail "fewer exits than maps: $rings, $maps"
[ "$rings" -le $((maps + unmaps + syncs)) ] ||
	fail "more exits than maps, unmaps and syncs"

# The path's test with most exits, in L2
l2 "cd /tests; TEST_NAME=edu-sg sh ./edu-sg.sh >/run/edu-sg 2>&1"
status=$?
echo "edu-sg in L2: status $status: $(l2 "tail -n 1 /run/edu-sg")"
[ $status = 0 ] || fail "edu-sg in L2"
l2_stop
