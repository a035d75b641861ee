#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Test: what is locked follows what is in use, up and down, in a window four times as large as L2
# VM: kvm
# Modes: none
# Timeout: 240
#
# CYCLES of load and idle, of SIZE MiB each; by hand: SET='CYCLES=100 SIZE=24'

. ./kvm-lib.sh

CYCLES=${CYCLES:-2}
LOAD="fio --name=io --filename=/dev/nvme0n1 --ioengine=libaio --direct=1 --rw=randwrite --bsrange=4k-512k --iodepth=64 --size=${SIZE:-128}M --verify=pattern --verify_fatal=1 --minimal --verify_pattern=%o0x\$(cut -c 1-8 /proc/sys/kernel/random/uuid)"

# figures: of the domain of L2's disk, bytes: granted, the most ever, in use, late; maps
# that failed; and chunks that were granted so far, and given back
figures() {
	must "cd /sys/block/nvme0n1/device/device/pv_iommu; cat domain_granted domain_granted_max domain_used domain_grants_late failures domain_grants domain_revokes"
}

# sample: the most that was locked, in memory and in use so far, each by itself: chunks
# are kept for some seconds; whenever nothing is granted or revoked meanwhile, what is
# locked is what is granted
sample() {
	local before now after
	mapfile -t before < <(figures)
	now=$(status VmLck)
	mapfile -t after < <(figures)
	if [ "$now" -gt "$peak" ]; then
		peak=$now
		peak_rss=$(window_rss)
	fi
	[ "${after[2]}" -le $((peak_used * 1024)) ] ||
		peak_used=$((after[2] / 1024))
	all=$((all + 1))
	[ "${before[5]} ${before[6]}" = "${after[5]} ${after[6]}" ] || return 0
	same=$((same + 1))
	[ "$now" = $((after[0] / 1024)) ] ||
		fail "$now kB locked, $((after[0] / 1024)) kB granted"
}

host_setup
assign $NVME
L2_WINDOW=1024
way_window ""
l2_start -device "$(vfio $NVME nvme0)"
start=$(status VmLck)
[ "$start" = 0 ] || fail "$start kB locked before anything is granted"
l2_ready
must "until [ -e /dev/nvme0n1 ]; do sleep 0.1; done"
wait_for 10 locked_at_most $IDLE_LOCKED || fail "idle: $(status VmLck) kB locked"
locked_is_granted || fail "what is locked is not what is granted"
[ "$locked" -gt 0 ] || fail "a disk that works, and nothing locked"
idle=$locked rss=$(status VmRSS)
echo "at start $start kB locked, idle $idle kB; QEMU has $rss kB in memory"

for cycle in $(seq "$CYCLES"); do
	peak=0 peak_used=0 peak_rss=0 all=0 same=0
	must "rm -f /run/end; ($LOAD >/run/fio 2>&1; echo \$? >/run/end) >/dev/null 2>&1 &"
	end=$((SECONDS + 60 * FACTOR))
	until l2 "[ -s /run/end ]"; do
		sample
		[ $SECONDS -lt $end ] || fail "the load does not end"
	done
	must "[ \$(cat /run/end) = 0 ] || { cat /run/fio; false; }"
	must "grep -q '^3;' /run/fio && [ \$(grep '^3;' /run/fio | cut -d ';' -f 5) = 0 ]"
	[ "$same" -gt 0 ] || fail "no moment without a grant in $all"
	[ "$peak" -gt "$idle" ] && [ "$peak" -le $LOADED_LOCKED ] ||
		fail "under load $peak kB locked, idle $idle"
	wait_for 10 locked_at_most $((idle + 2048)) || {
		l2 "cat /sys/kernel/debug/pv_iommu/chunks"
		fail "$(status VmLck) kB locked, long after the load; bytes in use: $(figures | sed -n 3p)"
	}
	locked_is_granted || fail "what is locked is not what is granted"
	kept=$(window_rss)
	[ "$kept" -le $((locked + 2048)) ] ||
		fail "$kept kB of the window in memory, $locked kB of it locked"
	echo "cycle $cycle: at most $peak kB locked, $peak_used kB in use, $peak_rss kB of the window in memory; then $locked kB locked, $kept kB in memory; QEMU $(status VmRSS) kB; $same of $all looks without a grant"
done

mapfile -t now < <(figures)
[ "${now[4]}" = 0 ] || fail "${now[4]} maps failed"
[ "$(must "awk '\$1 == \"full\" { print \$2 }' /sys/kernel/debug/pv_iommu/window")" = 0 ] ||
	fail "the window was full"
[ "$(must "head -n 1 /sys/kernel/debug/pv_iommu/check")" = ok ] || fail "allocator"
echo "at most $((now[1] / 1024)) kB granted; ${now[3]} grants in the map path"
l2_stop
