#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: a chunk whose owner has lost its driver: who is granted it next finds nothing in it
# VM: edu
# Timeout: 60
. ./lib.sh

need_isolation
load_cases
used=$(host_stat window_used)
dev=$(devices_of pviommu_test | head -n 1)
echo inherit/leave 2>/dev/null >$pvt_debug/run
echo "$dev" >/sys/bus/pci/drivers/pviommu_test/unbind || fail "unbind"
cat $pvt_debug/log
grep -q '^ok' $pvt_debug/log || fail "inherit/leave"
echo inherit/take 2>/dev/null >$pvt_debug/run
cat $pvt_debug/log
cp $pvt_debug/log /tmp/taken
# All anew, so that the first is the first again
for one in $(devices_of pviommu_test); do
	echo "$one" >/sys/bus/pci/drivers/pviommu_test/unbind || fail "unbind"
done
for one in /sys/bus/pci/devices/*; do
	[ "$(cat "$one/vendor" "$one/device" | tr '\n' ' ')" = "0x1234 0x11e8 " ] || continue
	echo "${one##*/}" >/sys/bus/pci/drivers/pviommu_test/bind || fail "bind"
done
need_attached "$dev"
grep -q '^ok' /tmp/taken || fail "$(grep -m 1 '^#' /tmp/taken)"
allocator_whole "$used"
