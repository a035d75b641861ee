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

# memory: kB that the kernel holds in slabs, per-CPU areas and vmalloc
memory() {
	awk '/^(SUnreclaim|Percpu|VmallocUsed):/ { sum += $2 } END { print sum }' \
		/proc/meminfo
}

# Everything that grows once and stays has grown after some rounds
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
	round
done
used=$(host_stat window_used)
before=$(memory)
n=0
while [ $n -lt 500 ]; do
	round
	n=$((n + 1))
done
after=$(memory)
[ "$(host_stat window_used)" = "$used" ] ||
	fail "window: $(host_stat window_used) bytes in use, before: $used"
need_attached "$dev"
allocator_whole
# half a kB a round would be a leak of the smallest kind
echo "kernel memory: $before kB before, $after kB after"
[ $((after - before)) -lt 250 ] ||
	fail "kernel memory grew by $((after - before)) kB in 500 rounds"
run_cases single/bidirectional
