#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: counters say what was done, and how many exits it took
# VM: edu
# Timeout: 60
. ./lib.sh

load_cases
mode=$(pv_mode)
dev=$(devices_of pviommu_test | head -n 1)
names="maps unmaps syncs bytes_to_device bytes_from_device failures hypercalls"

# run_counted CASE: runs it and sets a variable of each name to its growth
run_counted() {
	local name
	for name in $names; do
		eval "before_$name=$(stat_of "$dev" "$name")"
	done
	run_cases "count/$1"
	for name in $names; do
		eval "$name=\$(($(stat_of "$dev" "$name") - before_$name))"
	done
	what=$1
	echo "$what: $(for name in $names; do eval "echo $name=\$$name"; done | tr '\n' ' ')"
}

# is NAME NUMBER, at_most NAME NUMBER
is() {
	eval "[ \$$1 = $2 ] || fail \"$what: $1 is \$$1, not $2\""
}

at_most() {
	eval "[ \$$1 -le $2 ] || fail \"$what: $1 is \$$1, at most $2\""
}

# exits MOST: none in window mode, and so many in bounce mode
exits() {
	if [ "$mode" = window ]; then
		is hypercalls 0
	else
		at_most hypercalls "$1"
	fi
}

hypercalls=0
run_counted to_device
is maps 64
is unmaps 64
is syncs 0
is bytes_to_device 64000
is bytes_from_device 0
is failures 0
exits $((64 + 4))

# every map copies in
run_counted from_device
is maps 64
is unmaps 64
is bytes_to_device 64000
is bytes_from_device 64000
is failures 0
exits 128

run_counted syncs
is maps 64
is syncs 64
is bytes_to_device 64000
is bytes_from_device $((64 * 1100))
exits 192

# 1/16 of an exit for an unmap to which the device wrote nothing
run_counted load
is maps 1024
is unmaps 1024
exits $((1024 + 1024 / 16))
[ "$mode" = window ] || [ "$hypercalls" -ge 1024 ] ||
	fail "load: $hypercalls exits for 1024 maps: they are not counted"

# one for a list, one for its unmap
run_counted sg128
is maps 1
is unmaps 1
is bytes_to_device 64000
is bytes_from_device 64000
exits 2
[ "$mode" = window ] || is hypercalls 2

run_counted sg1024
is maps 1
is unmaps 1
is bytes_to_device 512000
exits 16

run_counted coherent
exits 0
is failures 0

# the host device's own figures, and the table of all
[ "$(host_stat mode)" = "$mode" ] || fail "mode is $(host_stat mode)"
[ "$(host_stat window_size)" -gt 0 ] || fail "window_size is $(host_stat window_size)"
[ "$(host_stat window_high_water)" -ge "$(host_stat window_used)" ] ||
	fail "the high-water mark is lower than what is in use"
[ "$(host_stat window_high_water)" -le "$(host_stat window_size)" ] ||
	fail "the high-water mark is beyond the window"
grep -q "^$dev *pviommu_test " $pv_debug/devices || fail "debugfs has no $dev"
total=$(awk '$1 == "total" { print $3 }' $pv_debug/devices)
[ "$total" -ge "$(stat_of "$dev" maps)" ] || fail "total of maps is $total"
