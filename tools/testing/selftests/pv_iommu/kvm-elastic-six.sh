#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Test: six assigned devices, ready and idle, in a window of 1 GiB: at most 16 MiB are locked
# VM: kvm
# Modes: none
# Timeout: 240

. ./kvm-lib.sh

host_setup
cards=$(grep -l 0x10d3 /sys/bus/pci/devices/*/device | cut -d/ -f6)
assign $NVME
devices=(-device "$(vfio $NVME nvme0)")
for card in $cards; do
	assign "$card"
	devices+=(-device "$(vfio "$card" "card${#devices[@]}")")
done
L2_WINDOW=1024
way_window ""
l2_start "${devices[@]}"
l2_ready
must "until [ -e /dev/nvme0n1 ]; do sleep 0.1; done"
# A card that is up has its receive ring mapped
must "modprobe e1000e; for card in /sys/class/net/*/device; do card=\${card%/device}; ip link set \${card##*/} up || exit 1; done"
attached=$(must "ls -d /sys/bus/pci/devices/*/pv_iommu | wc -l")
up=$(must "cat /sys/class/net/*/flags | grep -c '0x1..3'")
[ "$attached" = 6 ] && [ "$up" = 5 ] || fail "$attached devices attached, $up cards up"
must "cat /sys/bus/pci/devices/*/pv_iommu/domain_granted" |
	awk '!$1 { exit 1 }' || fail "a device that works, and nothing granted to it"
wait_for 20 locked_at_most $IDLE_LOCKED || fail "$(status VmLck) kB locked"
locked_is_granted || fail "what is locked is not what is granted"
echo "$attached devices, $up cards up: $locked kB locked, $(window_rss) kB of the window in memory"
l2_stop
