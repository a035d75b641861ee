#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: e1000e, virtio-net and e1000: both ways, TSO and jumbo frames on and off
# VM: net
# Timeout: 300
. ./lib.sh
. ./net-lib.sh

# both_ways MTU OFFLOAD
both_ways() {
	how="MTU $1, TSO $2"
	ip -n a link set "$left" mtu "$1" && ip -n b link set "$right" mtu "$1" ||
		fail "$pair: cannot set MTU $1"
	ip netns exec a ethtool -K "$left" tso "$2" >/dev/null 2>&1
	ip netns exec b ethtool -K "$right" tso "$2" >/dev/null 2>&1
	need_wire
	# datagrams as large as a frame, and larger
	ip netns exec a ping -c 3 -i 0.2 -s $(($1 - 28)) $WIRE_B >/dev/null ||
		fail "$pair, $how: ping"
	ip netns exec b ping -c 3 -i 0.2 -s 20000 $WIRE_A >/dev/null ||
		fail "$pair, $how: large ping"
	transfer a b $WIRE_B
	transfer b a $WIRE_A
	echo "$pair, $how: ok"
}

# wire MAC MAC: two cards on one wire
wire() {
	wire_cards "$1" "$2"
	both_ways 1500 on
	both_ways 1500 off
	both_ways 9000 on
	both_ways 9000 off
	for dev in $left_pci $right_pci; do
		[ "$(stat_of "$dev" bytes_from_device)" -gt $((8 << 20)) ] ||
			fail "$dev: the data has not come through pv-iommu"
		[ "$(stat_of "$dev" failures)" = 0 ] || fail "$dev: mappings failed"
	done
	wire_gone "$1"
}

wire 52:54:00:00:00:10 52:54:00:00:00:11
wire 52:54:00:00:00:12 52:54:00:00:00:13
allocator_whole
