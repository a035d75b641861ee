#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Test: a guest with an assigned disk is swapped out and in, round by round, under fio
# VM: kvm
# Modes: none
# Timeout: 400

. ./kvm-lib.sh

# MiB: a good half of L2, the window, and what QEMU needs itself
LIMIT=352
ROUNDS=2

host_setup
swap_on
assign $NVME
L2_MEM=512
L2_MACHINE=q35,memory-backend=ram0
# All of it touched before L2 begins
set -- -object "memory-backend-ram,id=ram0,size=${L2_MEM}M,prealloc=on" \
	-device "$(vfio $NVME nvme0)"

# pulled_in: MiB that this host has swapped in
pulled_in() {
	awk '$1 == "pswpin" { print int($2 / 256) }' /proc/vmstat
}

# pressed_out: three quarters of L2 are in swap. More, and it gets nowhere.
pressed_out() {
	[ "$(guest_swap)" -ge $((L2_MEM * 768)) ] || ! press 32
}

way_window ""
l2_start "$@"
l2_ready
must "mount -o remount,size=80% /tmp; dd if=/dev/urandom of=/tmp/some bs=64k count=64 2>/dev/null; for i in \$(seq 24); do cat /tmp/some; done >/tmp/fill"
sum=$(must "md5sum /tmp/fill")
irqs=$(nvme_irqs)
fio_begin
press 256
echo ${LIMIT}M >$CG/memory.max
for round in $(seq $ROUNDS); do
	wait_for 60 pressed_out
	out=$(guest_swap) before=$(pulled_in)
	[ "$out" -ge $((L2_MEM * 1024 * 4 / 10)) ] ||
		fail "round $round: $out kB of L2 in swap"
	# Which has it all back, bit by bit
	[ "$(must "md5sum /tmp/fill")" = "$sum" ] ||
		fail "round $round: L2's memory is not what it was"
	in=$(($(pulled_in) - before))
	echo "round $round: $out kB of L2 in swap, $in MiB pulled in"
	[ $in -gt 0 ] || fail "round $round: nothing was pulled in"
done
fio_end
locked_is_granted || fail "what is locked is not what is granted"
[ "$locked" -gt 0 ] && [ "$locked" -le $((L2_WINDOW * 1024)) ] ||
	fail "$locked kB locked"
[ "$(nvme_irqs)" -gt "$irqs" ] || fail "no MSI-X of the disk"
l2_stop
grep -q '^oom_kill 0$' $CG/memory.events || fail "$(cat $CG/memory.events)"
echo max >$CG/memory.max

# The control: nothing of it can go. Up, as the firmware has all of it unpinned
# for moments.
way_vfio
l2_start "$@"
l2_ready
wait_for 20 guest_locked || fail "control: $(status VmLck) kB locked"
press $L2_MEM
out=$(guest_swap)
[ "$out" = 0 ] || fail "control: $out kB of L2 in swap"
l2_stop
