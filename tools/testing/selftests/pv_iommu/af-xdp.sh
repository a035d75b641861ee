#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: a network card whose driver maps a program's memory once: frames arrive there, and go from there
# VM: xsk
# Modes: window direct
. ./lib.sh
. ./net-lib.sh

FRAMES=2048

# total NAME...: the sum of these figures of the card
total() {
	(cd "/sys/bus/pci/devices/$card_pci/pv_iommu" && cat "$@") | awk '{ n += $1 } END { print n + 0 }'
}

card=$(card 52:54:00:00:00:11)
peer=$(card 52:54:00:00:00:10)
[ -n "$card" ] && [ -n "$peer" ] || fail "there are no two cards"
card_pci=$(pci_of "$card")
need_attached "$card_pci"
ip link set "$card" up && ip link set "$peer" up || fail "the cards do not come up"
wait_for 20 grep -q 1 "/sys/class/net/$peer/carrier" || fail "no link"

# exchange FRAMES: there and back; $copied bytes by pv-iommu, $direct maps without a copy
exchange() {
	local bytes maps status
	bytes=$(total bytes_to_device bytes_from_device) maps=$(total maps_direct)
	xsk "$card" "$peer" "$1" >/tmp/said 2>&1
	status=$?
	[ $status != 4 ] || skip "this kernel has no driver for one of QEMU's cards that can do without a copy"
	[ $status = 0 ] || fail "$(cat /tmp/said)"
	copied=$(($(total bytes_to_device bytes_from_device) - bytes))
	direct=$(($(total maps_direct) - maps))
}

# The card's rings are filled anew each time: what this costs is seen with few frames
exchange 32
few=$copied
exchange $FRAMES
copied=$((copied - few))
echo "$(cat /tmp/said); $direct maps direct, $copied bytes copied by pv-iommu"
if [ "$(host_stat direct_limit)" = 0 ]; then
	[ $copied -ge $((FRAMES * 256)) ] || fail "who has copied $FRAMES frames?"
else
	# The pages of the program's memory
	[ $direct -ge 256 ] || fail "$direct maps are direct"
	[ $copied -le $((FRAMES * 64)) ] || fail "$copied bytes were copied"
fi
