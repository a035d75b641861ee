#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: the kernel's dma_map_benchmark: all directions, 1 to 1024 pages, 1 to 8 threads
# VM: stress
# Timeout: 240
#
# By hand: SET=RUNS=100, and a TIMEOUT_FACTOR
. ./lib.sh

# Built by fetch-map-benchmark.sh
command -v dma_map_benchmark >/dev/null || skip "dma_map_benchmark is not built"
# A part of the debug kernel
[ -d /sys/bus/pci/drivers/dma_map_benchmark ] || modprobe map_benchmark ||
	fail "modprobe map_benchmark"

load_cases
dev=$(devices_of pviommu_test | head -n 1)
sys=/sys/bus/pci/devices/$dev
echo "$dev" >/sys/bus/pci/drivers/pviommu_test/unbind || fail "unbind $dev"
used=$(host_stat window_used)
echo dma_map_benchmark >"$sys/driver_override"
echo "$dev" >/sys/bus/pci/drivers/dma_map_benchmark/bind || fail "bind $dev"
need_attached "$dev"

give_back() {
	echo "$dev" >/sys/bus/pci/drivers/dma_map_benchmark/unbind
	echo >"$sys/driver_override"
	echo "$dev" >/sys/bus/pci/drivers/pviommu_test/bind
}

# run DIRECTION PAGES THREADS
run() {
	local maps again=3
	maps=$(stat_of "$dev" maps)
	until dma_map_benchmark -d "$1" -g "$2" -t "$3" -s 1 >/tmp/log 2>&1; do
		cat /tmp/log
		# EINTR: a thread has not run once in its second, on a machine that is busy
		grep -q "Interrupted system call" /tmp/log && [ $again != 0 ] || {
			give_back
			fail "direction $1, $2 pages, $3 threads: $(tail -n 1 /tmp/log)"
		}
		again=$((again - 1))
	done
	cat /tmp/log
	[ "$(stat_of "$dev" maps)" -gt "$maps" ] || {
		give_back
		fail "direction $1, $2 pages, $3 threads: nothing was mapped"
	}
}

run_all() {
	local direction pages threads
	for direction in 0 1 2; do
		for pages in 1 16 256 1024; do
			for threads in 1 8; do
				run $direction $pages $threads
			done
		done
	done
}

for nr in $(seq "${RUNS:-1}"); do
	run_all
	echo "run $nr has ended"
done
[ "$(stat_of "$dev" failures)" = 0 ] || {
	give_back
	fail "mappings failed"
}
echo "$dev" >/sys/bus/pci/drivers/dma_map_benchmark/unbind
allocator_whole "$used"
echo >"$sys/driver_override"
echo "$dev" >/sys/bus/pci/drivers/pviommu_test/bind || fail "bind $dev back"
