#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: coherent memory that a driver has left behind, synced and freed later
# VM: edu
# Timeout: 60
. ./lib.sh

load_cases
used=$(host_stat window_used)
dev=$(devices_of pviommu_test | head -n 1)
for case in take sync free; do
	echo kept/$case 2>/dev/null >$pvt_debug/run
	cat $pvt_debug/log
	grep -q '^ok' $pvt_debug/log || fail "kept/$case"
	[ $case = take ] || continue
	# all, so that the first is the first again
	devices=$(devices_of pviommu_test)
	for one in $devices; do
		echo "$one" >/sys/bus/pci/drivers/pviommu_test/unbind || fail "unbind"
	done
	said "$dev.*pieces of coherent memory still" ||
		fail "the driver has left nothing behind"
	for one in $devices; do
		echo "$one" >/sys/bus/pci/drivers/pviommu_test/bind || fail "bind"
	done
	need_attached "$dev"
done
allocator_whole "$used"
