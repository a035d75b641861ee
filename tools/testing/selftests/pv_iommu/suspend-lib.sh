# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
#
# For tests in which the guest sleeps. Sourced after lib.sh.

[ -e /sys/power/pm_test ] || skip "this kernel has no /sys/power/pm_test"
echo 1 >/sys/module/suspend/parameters/pm_test_delay 2>/dev/null
# For /init
: >/run/slept

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
