#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: the guest migrates, once ahead of its memory, while fio verifies and cards talk
# VM: migrate
# Timeout: 240
#
# By hand: SET=ROUNDS=100, and a TIMEOUT_FACTOR
. ./lib.sh
. ./net-lib.sh

# AHCI, where there is one, virtio-blk and virtio-scsi. Not NVMe: QEMU 7.2 and 10.0
# migrate no machine that has one
wait_for 20 disks_there "${DISKS:-3}" ||
	fail "${DISKS:-3} disks are wanted, there are: $disks"
served=
# shellcheck disable=SC2154 # set by disks_there
for dev in $devices; do
	! disk_of "$dev" >/dev/null || served="$served $dev"
done
wire_cards 52:54:00:00:00:10 52:54:00:00:00:11
served="$served $left_pci $right_pci"
need_wire

refused=$(host_stat refused_dmas)
# shellcheck disable=SC2086 # one word each
load_start $disks
load_goes_on
rounds=${ROUNDS:-3}
for round in $(seq "$rounds"); do
	for dev in $served; do
		stat_of "$dev" maps >"/tmp/maps-$dev"
	done
	# The last time its memory is fetched by who looks at it first, be it a device
	way=migrate
	[ "$round" != "$rounds" ] || way=postcopy
	stopped=$(host "$way") || fail "round $round: $stopped"
	echo "round $round, $way: stood still for $stopped ms"
	# what was in flight has ended well, and all goes on
	load_goes_on
	how="round $round"
	transfer a b $WIRE_B
	transfer b a $WIRE_A
	for dev in $served; do
		[ "$(stat_of "$dev" maps)" -gt "$(cat "/tmp/maps-$dev")" ] ||
			fail "round $round: $dev maps nothing any more"
	done
done
load_stop
wire_gone 52:54:00:00:00:10
[ "$(host_stat refused_dmas)" = "$refused" ] || fail "DMAs were refused"
for dev in $served; do
	[ "$(stat_of "$dev" failures)" = 0 ] || fail "$dev: mappings failed"
done
allocator_whole
