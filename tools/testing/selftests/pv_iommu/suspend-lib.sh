# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
#
# For tests in which the guest sleeps. Sourced after lib.sh.

[ -e /sys/power/pm_test ] || skip "this kernel has no /sys/power/pm_test"
echo 1 >/sys/module/suspend/parameters/pm_test_delay 2>/dev/null
# For /init
: >/run/slept
# What becomes of it meanwhile is seen
echo N >/sys/module/printk/parameters/console_suspend

# Of q35's south bridge: where ACPI's ports are, and how events come by them
south=/sys/bus/pci/devices/0000:00:1f.0/config
events=/sys/firmware/acpi/interrupts

# ports_back: ACPI's ports are where they were before the guest slept. SeaBIOS means to see
# to that as it wakes up, but by configuration as it is mapped, which it is not yet. Without
# them the guest would not sleep a second time, and take that for a short sleep; no slot
# would be emptied any more, nor would the button wake it. What the kernel has told them
# meanwhile is told again: that events are interrupts, and that this one is wanted.
ports_back() {
	! dd if=$south bs=8 skip=8 count=1 2>/dev/null | cmp -s - /tmp/ports || return 0
	dd if=/tmp/ports of=$south bs=8 seek=8 conv=notrunc 2>/dev/null
	set -- $(od -A n -N 4 -t u4 /tmp/ports)
	printf '\001' | dd of=/dev/port bs=1 seek=$((($1 & ~127) + 4)) conv=notrunc 2>/dev/null
	echo disable >$events/ff_pwr_btn
	echo enable >$events/ff_pwr_btn
}

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
	dd if=$south of=/tmp/ports bs=8 skip=8 count=1 2>/dev/null
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
	[ "$1" != mem ] || host slept >/dev/null || fail "$how: it has not slept"
	ports_back
}

# suspend_driven DEVICE [OTHER]: edu devices are at work by the host's hand while the
# guest sleeps, of which OTHER has no driver. Sourced after drive-lib.sh, too
suspend_driven() {
	apart
	load_cases
	[ -z "$2" ] || echo "$2" >"/sys/bus/pci/devices/$2/driver/unbind"
	still_apart "before"
	drive "$@"
	sleep_by mem
	driven "suspend to RAM" again
	still_apart "suspend to RAM"
	run_cases sync
}

# idle_driven DEVICE: the same, to idle
idle_driven() {
	drive "$1"
	sleep_by freeze
	driven "suspend to idle" open
	still_apart "suspend to idle"
}

# unattached_driven DEVICE: the same, and the host attaches nobody again
unattached_driven() {
	drive "$1"
	host_set x-error-ops 2
	host_set x-error-rate 1
	sleep_by mem
	driven "refused as it wakes" lost
	said_once "$1: pv_iommu: host refused to attach again: error"
	still_apart "refused as it wakes"
	host_set x-error-rate 0
	rmmod pviommu_test
	load_cases
	drive "$1"
	driven "bound again" open
}

# suspend_refused DEVICE: the same with a host that cannot be enabled when the guest wakes,
# as its driver wants all of the window, which is more than it is to have now
suspend_refused() {
	apart
	load_cases
	still_apart "before"
	drive "$1"
	host_set limit 2097152
	sleep_by mem
	driven "not enabled as it wakes" reset
	said_once "host does not accept features"
	said_once "$1: pv_iommu: cut off"
	still_apart "not enabled as it wakes"
	# its driver has tried to make it a master of the bus, and tries again
	! is_master "$1" || fail "$1 is master of the bus as its driver has resumed"
	echo "$1" >/sys/bus/pci/drivers/pviommu_test/unbind || fail "unbind $1"
	echo "$1" >/sys/bus/pci/drivers/pviommu_test/bind
	! is_master "$1" || fail "$1 is master of the bus"
}
