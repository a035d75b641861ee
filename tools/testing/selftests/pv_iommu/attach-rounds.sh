#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: a device attached and detached 500 times leaks nothing
# VM: edu
# Timeout: 180
. ./lib.sh

load_cases
dev=$(devices_of pviommu_test | tail -n 1)
driver=/sys/bus/pci/drivers/pviommu_test

# round: unbind, bind
round() {
	echo "$dev" >$driver/unbind || fail "unbind $dev"
	echo "$dev" >$driver/bind || fail "bind $dev"
}

# Everything that grows once and stays has grown after some rounds
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
	round
done
used=$(host_stat window_used)
# kmemleak needs no more than one
! has_kasan && rounds=500 || rounds=25
before=$(kernel_memory)
n=0
while [ "$n" -lt "$rounds" ]; do
	round
	n=$((n + 1))
done
[ "$(host_stat window_used)" = "$used" ] ||
	fail "window: $(host_stat window_used) bytes in use, before: $used"
need_attached "$dev"
allocator_whole
# half a kB a round would be a leak of the smallest kind
kernel_memory_grew "$before" 250 "$rounds"
run_cases single/bidirectional
