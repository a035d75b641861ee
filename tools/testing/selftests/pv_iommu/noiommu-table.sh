#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Test: a disk and a 28-bit device assigned on a host without an IOMMU, in both modes
# VM: noiommu
# Modes: none
# Timeout: 240
#
# Prints the table that "make demo-noiommu" shows.

. ./noiommu-lib.sh

host_setup
[ -z "$(ls -A /sys/class/iommu 2>/dev/null)" ] || fail "this host has an IOMMU"
swap_on
assign $NVME
assign $EDU
[ -c /dev/vfio/noiommu-0 ] || fail "no /dev/vfio/noiommu-0: $(ls /dev/vfio)"

# stat_in BDF NAME: one of the counters of a device of L2
stat_in() {
	must "cat /sys/bus/pci/devices/$1/pv_iommu/$2"
}

# device DRIVER: which one of L2's has it
device() {
	must "cd /sys/bus/pci/drivers/$1 && echo 0000:*"
}

# edu_cases CASE...: while the disk is busy, the other one moves data through the
# arena, as these cases of pviommu_test want
edu_cases() {
	local edu out one
	edu=$(device pviommu_test)
	[ "$(stat_in "$edu" mode)" = bounce ] || fail "edu: not by the arena"
	must "echo bounce >/sys/module/pviommu_test/parameters/mode"
	fio_begin
	out=$(for one; do
		must "echo $one >/sys/kernel/debug/pviommu_test/run; cat /sys/kernel/debug/pviommu_test/log"
	done)
	fio_end
	echo "$out"
	! grep -q '^not ok' <<<"$out" || fail "$way: $(grep '^not ok' <<<"$out")"
	set_result edu "$(grep -c '^ok' <<<"$out")"
	[ "$(grep -c '^ok' <<<"$out")" = $# ] ||
		fail "$way: cases of edu are missing"
	[ "$(stat_in "$edu" bytes_to_device)" -gt 0 ] || fail "edu: moved nothing"
}

# column WAY MODE CASE...: one L2, what it measured in the variables WAY_*
column() {
	local way=$1 nvme before maps calls moved
	L2_APPEND="pv_iommu.mode=$2"
	L2_CPUS=2
	shift 2
	way_huge ""
	l2_start -device "$(noiommu $NVME nvme0)" -device "$(noiommu $EDU edu0)"
	grep -q 'no IOMMU confines this device' $L2/qemu.log ||
		fail "QEMU does not warn"
	l2_ready
	must "until [ -e /dev/nvme0n1 ]; do sleep 0.1; done"
	must "dmesg | grep -q 'nothing confines the devices'" || fail "L2 does not warn"
	[ "$(must "cat $PV/confined")" = 0 ] || fail "L2's sysfs says confined"
	# Where the window is for devices is not where it is for L2's CPU
	must "grep -E '^(phys|dma) ' /sys/kernel/debug/pv_iommu/window"
	nvme=$(device nvme)
	set_result mode "$(stat_in "$nvme" mode)"

	l2_fill

	before=$(ios) maps=$(stat_in "$nvme" maps) calls=$(stat_in "$nvme" hypercalls_map)
	doorbell_find
	moved=$(chunks_moved)
	exits_begin
	must "$FIO_JOB >/run/fio"
	exits_end
	set_result ios "$(($(ios) - before))"
	# shellcheck disable=SC2119
	set_result exits "$(exits)"
	set_result maps "$(($(stat_in "$nvme" maps) - maps))"
	set_result calls "$(($(stat_in "$nvme" hypercalls_map) - calls))"
	set_result doorbell "$(doorbell_hits)"
	set_result chunks "$(($(chunks_moved) - moved))"
	set_result locked "$(status VmLck)"

	swap_under_fio
	edu_cases "$@"
	if qmp migrate '"uri":"exec:cat >/dev/null"'; then
		fail "$way: QEMU migrates it"
	fi
	l2_stop
}

row() {
	printf '%-42s %14s %14s\n' "$@"
}

line() {
	local window=window_$2 bounce=bounce_$2
	row "$1" "${!window}" "${!bounce}"
}

# The control: without what makes it work, there is no assigning it
control() {
	L2_WINDOW=32
	way_window ""
	if (l2_start -device "$(noiommu $NVME nvme0)") >/tmp/control 2>&1; then
		fail "control: assigned with a window at no host-physical address"
	fi
	grep -m 1 'has no IOMMU, and the device would take guest-physical' $L2/qemu.log ||
		fail "control: another error: $(cat $L2/qemu.log)"
}

control
column window auto single/short_write single/stale sg/small sync/for_cpu coherent/zeroed coherent/device
column bounce bounce single/short_write

{
	row "L1: no IOMMU. L2: $L2_MEM MiB, window: 1 GiB" window bounce
	line "the disk is attached in mode" mode
	line "locked while it runs (VmLck), kB" locked
	line "in swap while fio verifies, kB" swapped
	line "I/Os of the disk" ios
	line "maps of it" maps
	line "hypercalls to map" calls
	line "exits to the doorbell, for what it be" doorbell
	line "chunks granted or given back meanwhile" chunks
	line "KVM exits, all" exits
	line "28-bit device by the arena, cases passed" edu
	line "wrong bytes" wrong
} >/tmp/table
show_table </tmp/table

mem=$((L2_MEM * 1024))
# shellcheck disable=SC2154 # set by set_result
{
	[ "$window_mode" = window ] && [ "$bounce_mode" = bounce ] ||
		fail "modes: $window_mode, $bounce_mode"
	[ "$window_wrong" = none ] && [ "$bounce_wrong" = none ] ||
		fail "wrong: $window_wrong, $bounce_wrong"
	[ "$window_maps" -gt 0 ] && [ "$bounce_maps" -gt 0 ] || fail "no maps"
	[ "$window_calls" = 0 ] && [ "$window_doorbell" -le "$window_chunks" ] ||
		fail "window: $window_calls hypercalls, $window_doorbell exits for $window_chunks chunks"
	# One a list; a full arena is asked twice
	[ "$bounce_calls" -ge "$bounce_maps" ] &&
		[ "$bounce_calls" -le $((bounce_maps + bounce_maps / 50)) ] ||
		fail "bounce: $bounce_calls hypercalls for $bounce_maps maps"
	[ "$bounce_doorbell" -ge "$bounce_calls" ] ||
		fail "bounce: $bounce_doorbell exits for $bounce_calls hypercalls"
	[ "$window_locked" = 0 ] && [ "$bounce_locked" = 0 ] ||
		fail "locked: $window_locked, $bounce_locked kB"
	[ "$window_swapped" -ge $((mem * 4 / 10)) ] &&
		[ "$bounce_swapped" -ge $((mem * 4 / 10)) ] ||
		fail "in swap: $window_swapped, $bounce_swapped kB"
}
