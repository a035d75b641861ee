#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: memory mapped once and never synced, as displays and AF_XDP have it, both ways under memory pressure
# VM: edu-direct
# Modes: direct
# Timeout: 240
#
# Each step is some 600 ms. For minutes: SET=STEPS=300
. ./lib.sh

# press: more than there is, so that all that can move is moved or swapped, and let go
press() {
	local free
	while :; do
		free=$(awk '$1 == "MemAvailable:" { print int($2 / 1024) }' /proc/meminfo)
		dd if=/dev/zero of=/tmp/fill bs=1M count=$((free + BEYOND)) 2>/dev/null
		echo 1 >/proc/sys/vm/compact_memory
		rm /tmp/fill
		echo pressed >>/run/pressed
		sleep 3
	done
}

# Swap space that zeros take nothing of
BEYOND=64
modprobe zram || skip "this kernel has no zram"
echo 256M >/sys/block/zram0/disksize
mkswap /dev/zram0 >/dev/null && swapon /dev/zram0 || fail "no swap space"
mount -o remount,size=100% /tmp

load_cases
echo "${STEPS:-20}" >/sys/module/pviommu_test/parameters/steps
: >/run/pressed
press &
pressing=$!
trap 'kill $pressing' EXIT
run_cases once
rounds=$(wc -l </run/pressed)
swapped=$(awk '$1 == "pswpout" { print $2 }' /proc/vmstat)
echo "memory was taken and let go $rounds times, $swapped pages went to swap"
[ "$rounds" -gt 2 ] && [ "$swapped" -gt 0 ] || fail "there was no pressure"
