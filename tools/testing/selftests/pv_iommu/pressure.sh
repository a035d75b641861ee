#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: five disks under load that want several times limit=: nothing is lost, no I/O error, each goes on
# VM: pressure
# Modes: window
# Timeout: 600
. ./lib.sh

# Each goes on by its domain's share
need_isolation

LIMIT_MIB=16
# Requests of all disks together, in which each that is waiting has to have had some
INTERVAL=2000
INTERVALS=${INTERVALS:-8}
# In so many of them one may be that begins a round
BETWEEN=4

# done_by_all: of each disk, the requests that it has completed, and those that wait for
# it: none, while fio begins a round
done_by_all() {
	local disk
	for disk in $disks; do
		awk -v disk="$disk" '{ print disk, $1 + $5, $9 }' "/sys/block/$disk/stat"
	done
}

# total FILE: of done_by_all()
total() {
	awk '{ sum += $2 } END { print sum }' "$1"
}

# starved N [waiting]: fails if a disk has completed nothing in the last N intervals, at
# whose begin and end requests wait for it, if that is asked for
starved() {
	paste "/tmp/done-$interval" "/tmp/done-$((interval - $1))" |
		awk -v any="$2" '$2 == $5 && (any == "" || $3 && $6) { print $1; bad = 1 }
			END { exit bad }' >/tmp/starved ||
		fail "no request of $(cat /tmp/starved) in $(($1 * INTERVAL)) of all: $(cat $pv_debug/domains)"
}

wait_for 20 disks_there 5 || fail "not five disks: $disks"
for driver in nvme ahci virtio-pci xhci_hcd; do
	# shellcheck disable=SC2046 # one word each
	need_attached $(devices_of $driver)
done
echo "disks:$disks"

load_words="--bsrange=4k-512k --blockalign=4k --iodepth=64 --size=32M"
full=$(window_stat full)
# What they ask for, while they may have it
# shellcheck disable=SC2086 # one word each
load_start $disks
load_goes_on
wants_more() {
	wanted=$(host_stat window_granted)
	[ "$wanted" -ge $((LIMIT_MIB * 2 << 20)) ]
}
wait_for 20 wants_more ||
	fail "they want $wanted bytes only, so $LIMIT_MIB MiB are no pressure"
echo "granted without a limit: $((wanted >> 20)) MiB of $(($(host_stat window_size) >> 20))"

in_limit() {
	[ "$(host_stat window_granted)" -le $((LIMIT_MIB << 20)) ]
}

host_set limit "$((LIMIT_MIB << 20))"
wait_for 30 in_limit || {
	cat $pv_debug/domains $pv_debug/chunks
	fail "$(host_stat window_granted) bytes are granted still, with limit=$LIMIT_MIB MiB"
}
interval=0
done_by_all >/tmp/done-0
while [ $interval -lt "$INTERVALS" ]; do
	sleep 1
	done_by_all >/tmp/now
	for pid in /tmp/load-pid-*; do
		kill -0 "$(cat "$pid")" 2>/dev/null ||
			load_failed "/tmp/load-${pid#/tmp/load-pid-}"
	done
	[ $(($(total /tmp/now) - $(total /tmp/done-$interval))) -ge $INTERVAL ] || continue
	interval=$((interval + 1))
	mv /tmp/now /tmp/done-$interval
	echo "interval $interval: $(paste /tmp/done-$interval /tmp/done-$((interval - 1)) |
		awk '{ printf "%s=%d ", $1, $2 - $5 }') granted=$(host_stat window_granted)"
	starved 1 waiting
	# What the driver has been told to do later is not said to be waiting
	[ $interval -lt $BETWEEN ] || starved $BETWEEN
done
in_limit || fail "$(host_stat window_granted) bytes are granted, with limit=$LIMIT_MIB MiB"
load_goes_on
load_stop
full=$(($(window_stat full) - full))
echo "allocations that found nothing: $full"
[ $full -gt 0 ] || fail "nobody ever found the window full: that says nothing"
host_set limit "$(host_stat window_size)"
allocator_whole
