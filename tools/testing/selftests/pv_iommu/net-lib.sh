# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
#
# For tests with two network cards on one wire. Sourced after lib.sh.

# shellcheck source=../../qemu/guest/wire.sh
. /guest/wire.sh

# card MAC: the interface with that address
card() {
	local dir
	for dir in /sys/class/net/*; do
		[ "$(cat "$dir/address")" = "$1" ] && basename "$dir" && return
	done
	return 1
}

# pci_of INTERFACE: the PCI device under it
pci_of() {
	readlink -f "/sys/class/net/$1/device" | grep -o '0000:[^/]*' | tail -n 1
}

# need_wire: one end reaches the other soon, or the test fails, with how the cards are
need_wire() {
	local at
	# Without an answer, each try takes a second
	wait_for 15 wire_works && return
	for at in a b; do
		ip -n $at -s addr
		ip -n $at neigh
	done
	grep -e "$left" -e "$right" -e virtio /proc/interrupts
	fail "$pair${how:+, $how}: no link"
}

# How much goes over the wire at once
WIRE_MIB=${WIRE_MIB:-4}

# transfer FROM TO ADDRESS: so much over the wire, the same at the other end; $how
# goes into messages
# shellcheck disable=SC2154
transfer() {
	wire_send "$1" "$2" "$3" 90
	[ "$(sha256sum </tmp/got)" = "$(sha256sum </tmp/sent)" ] ||
		fail "$pair, $how: $(wc -c </tmp/got) bytes of $(wc -c </tmp/sent) arrived, or wrong ones"
}

# wire_cards MAC MAC: lays the wire between two cards. Sets $left and $right, their
# devices $left_pci and $right_pci, and $pair for messages
wire_cards() {
	left=$(card "$1")
	right=$(card "$2")
	[ -n "$left" ] && [ -n "$right" ] || fail "there are no cards $1 and $2"
	left_pci=$(pci_of "$left")
	right_pci=$(pci_of "$right")
	need_attached "$left_pci" "$right_pci"
	pair="$left and $right"
	wire_up "$left" "$right"
	dd if=/dev/urandom of=/tmp/sent bs=1M count="$WIRE_MIB" 2>/dev/null
}

# wire_gone MAC: gives the cards back
wire_gone() {
	wire_down
	wait_for 10 card "$1" >/dev/null || fail "the card $1 did not come back"
}
