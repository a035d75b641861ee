#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Test: the same by 2 MiB that stay granted: no exits to map in the end; locked is the working set, then nothing
# VM: kvm
# Modes: none
# Timeout: 600

. ./kvm-lib.sh
. ./kvm-direct-lib.sh

# kB that may stay granted, seconds that they do without use, and rounds of the load in
# which no map may be left that needs a request
CACHE=32768
IDLE=$((20 * FACTOR))
ROUNDS=12
WIDE=2048

direct_setup
direct_start "pv_iommu.direct_cache=$((CACHE / 1024)) pv_iommu.direct_cache_idle=$IDLE"
direct_ready
[ "$(must "cat /sys/module/pv_iommu/parameters/direct_cache")" = $((CACHE / 1024)) ] ||
	fail "no direct_cache="

before=$(copied) series=
for ((round = 1; round <= ROUNDS; round++)); do
	asked=$(disk_stat hypercalls_map) done=$(ios)
	must "$FIO_JOB >/run/fio"
	asked=$(($(disk_stat hypercalls_map) - asked)) done=$(($(ios) - done))
	series="$series $asked/$done"
	[ "$asked" != 0 ] || break
done
echo "requests to map per I/O, round by round:$series"
[ "$asked" = 0 ] || fail "round $ROUNDS: $asked requests to map for $done I/Os"
look
[ "$direct" -gt 0 ] || fail "nothing is kept"
kept=$direct

fio_begin
direct_peak 12
[ "$peak" -le $CACHE ] || fail "$peak kB granted, to be kept are $CACHE"
echo "$kept kB kept between loads, at most $peak kB under load, in each of 12 looks just as much locked"
balloon_halves
fio_end
[ "$(copied)" = "$before" ] || fail "$(($(copied) - before)) bytes were copied"
maps_are_direct

direct_swaps
wait_for 60 nothing_direct || fail "long after the load: $direct kB of guest RAM granted"
echo "$IDLE s after the load no guest RAM is granted; $locked kB locked"

reset_and_unplug
l2_stop
