#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: suspend to idle and to RAM, while fio verifies disks and cards talk
# VM: main
# Timeout: 240
. ./lib.sh
. ./net-lib.sh
. ./suspend-lib.sh

need_disk nvme "NVMe disk"
nvme=$dev
set -- "$disk"
for dev in $(devices_of virtio-pci); do
	disk=$(disk_of "$dev") || continue
	need_attached "$dev"
	set -- "$@" "$disk"
done
[ $# = 2 ] || fail "two disks are wanted, there are: $*"
wire_cards 52:54:00:00:00:10 52:54:00:00:00:11
need_wire
refused=$(host_stat refused_dmas)
load_start "$@"
load_goes_on
while read -r state test; do
	sleep_by "$state" "$test"
	load_goes_on
	need_wire
	transfer a b "$WIRE_B"
	need_attached "$nvme" "$left_pci" "$right_pci"
done <<-END
	freeze devices
	freeze
	mem core
	mem
	mem
	freeze
END
load_stop
wire_gone 52:54:00:00:00:10
# a suspend to RAM resets the counter
[ "$(host_stat refused_dmas)" -le "$refused" ] || fail "DMAs were refused"
[ "$(host_property x-dropped-mappings)" = 0 ] ||
	fail "drivers had mappings while the guest slept, and lost them"
! said "host refused" || fail "the host was asked for what it had forgotten"
allocator_whole
