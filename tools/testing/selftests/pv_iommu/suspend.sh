#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: suspend to idle and to RAM, while fio verifies disks and cards talk
# VM: main
# Timeout: 240
. ./lib.sh
. ./net-lib.sh

# sleep_by STATE [TEST]: suspends; the host wakes the guest, or it wakes by itself
# after the TEST
sleep_by() {
	local seconds count
	how="$1${2:+, up to $2}"
	echo "suspend: $how"
	echo "${2:-none}" >/sys/power/pm_test
	if [ -n "$2" ]; then
		echo "$1" >/sys/power/state || fail "$how: not suspended"
		return
	fi
	# Woken before it sleeps, the guest does not miss that: it counts as an
	# event, which ends the attempt. A slow machine takes more than one.
	seconds=2
	while :; do
		count=$(cat /sys/power/wakeup_count) &&
			echo "$count" >/sys/power/wakeup_count &&
			host wake "$1" $seconds >/dev/null &&
			echo "$1" >/sys/power/state && break
		seconds=$((seconds * 2))
		[ $seconds -le $((64 * FACTOR)) ] || fail "$how: not suspended"
	done
}

[ -e /sys/power/pm_test ] || skip "this kernel has no /sys/power/pm_test"
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
wait_for 60 wire_works || fail "no link"
echo 1 >/sys/module/suspend/parameters/pm_test_delay 2>/dev/null

# For /init
: >/run/slept
refused=$(host_stat refused_dmas)
load_start "$@"
load_goes_on
while read -r state test; do
	sleep_by "$state" "$test"
	load_goes_on
	wait_for 60 wire_works || fail "$how: no link"
	transfer a b "$WIRE_B"
	need_attached "$nvme" "$left_pci" "$right_pci"
done <<-END
	freeze devices
	freeze
	mem core
	mem
END
load_stop
wire_gone 52:54:00:00:00:10
# a suspend to RAM resets the counter
[ "$(host_stat refused_dmas)" -le "$refused" ] || fail "DMAs were refused"
[ "$(host_property x-dropped-mappings)" = 0 ] ||
	fail "drivers had mappings while the guest slept, and lost them"
! said "host refused" || fail "the host was asked for what it had forgotten"
allocator_whole
