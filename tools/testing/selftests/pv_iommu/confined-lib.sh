# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
#
# For tests of what devices reach, by events (the table in spec.rst). Sourced after
# lib.sh and drive-lib.sh.

[ -c /dev/mem ] || skip "this kernel has no /dev/mem"
modprobe -q pci-stub || skip "this kernel has no pci-stub"

edus=/sys/bus/pci/drivers/pviommu_test
first=$(edu 0)
second=$(edu 1)
third=$(edu 2)

# Those that the host leaves all memory to
exempt=

# still_exempt EVENT: also while others are driven
still_exempt() {
	local dev
	for dev in $exempt; do
		reaches "$dev" 0xf000 || fail "$1: $dev is exempt, and has lost its memory"
	done
}

# closed EVENT DEVICE...: none of them reaches anything
closed() {
	local event="$1" dev
	shift
	for dev; do
		! reaches "$dev" || fail "$event: $dev reaches memory"
	done
	still_exempt "$event"
	echo "$event: closed"
}

# through EVENT WHAT COMMAND...: runs it with the first device at work, and one that is
# not attached, if it is not exempt. WHAT becomes of the first is for driven
through() {
	local event="$1" what="$2" other=
	shift 2
	[ -n "$exempt" ] || other=$second
	# shellcheck disable=SC2086 # none, if it is exempt
	drive "$first" $other
	"$@" || fail "$event: $*"
	driven "$event" "$what"
	still_exempt "$event"
}

# to DRIVER [DEVICE]: the device's, or the first one's, driver is to be that one
to() {
	echo "$1" >"/sys/bus/pci/devices/${2:-$first}/driver_override"
}

bind() {
	echo "$first" >$edus/bind && need_attached "$first"
}

unbind() {
	echo "$first" >$edus/unbind
}

# refused DEVICE: a driver is bound, and the host does not attach
refused() {
	host_set x-error-ops 2
	host_set x-error-rate 1
	dmesg -c >/dev/null
	to pci-stub "$1"
	echo "$1" >/sys/bus/pci/drivers/pci-stub/bind
	# before the host has switched it on again, or after
	dmesg | grep -q "its DMA is blocked"
}

# refused_end DEVICE: and from here on it does
refused_end() {
	host_set x-error-rate 0
	echo "$1" >/sys/bus/pci/drivers/pci-stub/unbind
}

withhold() {
	host_set x-withhold true
	# until the devices have come by some times, however busy the host is
	host drive_on >/dev/null || return 1
	still_exempt "withheld"
	host_set x-withhold false
}

# With all devices asleep, interrupts included, but the last step, and back
idle() {
	echo 1 >/sys/module/suspend/parameters/pm_test_delay 2>/dev/null
	echo platform >/sys/power/pm_test
	echo freeze >/sys/power/state
}

hibernate() {
	dmesg -c >/dev/null
	! echo disk 2>/dev/null >/sys/power/state || return 1
	dmesg | grep -q "hibernation refused"
}

# The thread that was in the driver is no more, and holds what it held
crash() {
	local before
	before=$(cat /proc/sys/kernel/panic_on_oops)
	echo 0 >/proc/sys/kernel/panic_on_oops
	(echo 1 >$pvt_debug/crash) 2>/dev/null
	echo "$before" >/proc/sys/kernel/panic_on_oops
	dmesg | grep -q "invalid opcode" || return 1
	dmesg -c >/dev/null
}

host_removed() {
	host=$(basename "$(host_dir)")
	echo 1 >"/sys/bus/pci/devices/$host/remove"
}

host_back() {
	echo 1 >/sys/bus/pci/rescan
	wait_for 20 host_there
}

# module_back [PARAMETER...]: these come last, and win
module_back() {
	modprobe pv_iommu "mode=$mode" "devices=!$second" "$@"
}

# hold: the driver maps a page of memory, which is direct, and keeps it so
hold() {
	local dma
	echo 1 >$pvt_debug/held || fail "no page is mapped"
	dma=$(sed -n "s/^$first //p" $pvt_debug/held)
	[ $((dma >> 32)) != 0 ] || fail "the page is at $dma: not direct"
}

# direct_events: the driver of the first device, which has direct mappings, goes. It
# does unmap; but with direct_cache= what is around stays granted until it is detached
direct_events() {
	mode=window
	rmmod pv_iommu
	module_back "direct=$first" direct_cache=8 || fail "modprobe"
	modprobe pviommu_test mask_bits=48 || fail "no pviommu_test"
	need_attached "$first"
	hold
	[ ! -e /sys/power/pm_test ] || through "direct: suspend to idle" open idle
	through "direct: unbind" shut unbind
	bind || fail "bind"
	hold
	through "direct: host device removed" shut host_removed
	host_back || fail "no host device"
	rmmod pviommu_test
	rmmod pv_iommu || fail "rmmod"
	module_back || fail "modprobe"
}

# plug: one more edu in the slot, for which there is no driver; sets $plugged
plug() {
	host plug edu id=edu3 bus=port0 >/dev/null || fail "plug"
	wait_for 30 has_plugged || fail "nothing is in the slot"
	plugged=$(edu 3)
}

# with its registers, which come later than the device
has_plugged() {
	[ -n "$(edu 3)" ] && [ $(($(bar "$(edu 3)"))) != 0 ]
}

slot_empty() {
	[ ! -e "/sys/bus/pci/devices/$plugged" ]
}

unplug() {
	host unplug edu3 >/dev/null || fail "QEMU keeps edu3; here, $plugged $(slot_empty || echo "is still there and ")was to go"
	wait_for 30 slot_empty || fail "$plugged is there still"
}

# plug_events: what is plugged in is another device, whoever was in the slot before.
# pv_iommu is loaded, pviommu_test is not
plug_events() {
	plug
	rmmod pv_iommu || fail "rmmod"
	module_back "devices=!$second,!$plugged" || fail "modprobe"
	if [ -n "$exempt" ]; then
		reaches "$plugged" || fail "excluded, and not exempt"
	else
		closed "excluded" "$plugged"
	fi
	unplug
	plug
	closed "plugged in where one was excluded" "$plugged"
	rmmod pv_iommu || fail "rmmod"
	module_back || fail "modprobe"
	modprobe pviommu_test || fail "no pviommu_test"
	need_attached "$plugged"
	# and one that is there still, without a driver
	unbind
	drive "$plugged" "$first"
	unplug
	driven "hot-unplug" reset
	rmmod pviommu_test
	plug
	closed "plugged in where one was attached" "$plugged" "$first"
	unplug
}

# events MODE: with pv_iommu loaded in that mode
events() {
	through "attach" none bind
	if [ -e /sys/power/pm_test ]; then
		through "suspend to idle" open idle
	else
		echo "suspend to idle: not with this kernel, which has no pm_test"
	fi
	if grep -qw disk /sys/power/state; then
		through "hibernation" open hibernate
	else
		echo "hibernation: not with this kernel, which has none"
	fi
	through "withheld" shut withhold
	through "driver crash" open crash
	through "unbind" shut unbind
	through "attach that fails" none refused "$first"
	refused_end "$first"
	# without anybody who switches it on again
	master "$first"
	refused "$first" || fail "not refused"
	! is_master "$first" || fail "blocked, and master of the bus"
	refused_end "$first"
	to pviommu_test
	bind || fail "bind"
	through "host device removed" shut host_removed
	through "host device back" none host_back
	through "module removed" none rmmod pv_iommu
	through "module back" none module_back
}

# all_modes: the same once in each
all_modes() {
	modprobe pviommu_test || fail "no pviommu_test"
	# its registers are its driver's, while it has one
	unbind
	for mode in window bounce; do
		[ -n "$(host_dir)" ] || module_back || fail "modprobe"
		closed "$mode: enabled" "$first"
		events
		rmmod pv_iommu || fail "rmmod"
		closed "$mode: module removed" "$first"
	done
}
