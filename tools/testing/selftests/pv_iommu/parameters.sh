#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: module parameters: modes, a wrong one, the filter of devices
# VM: bypass
# Modes: none
# Timeout: 120
. ./lib.sh

edu=$(basename "$(dirname "$(grep -l 0x11e8 /sys/bus/pci/devices/*/device)")")
[ -e "/sys/bus/pci/devices/$edu" ] || fail "the VM has no edu device"

# load PARAMETERS...: pv_iommu and then the driver of the edu device; the
# messages go to /tmp/log
load() {
	echo "parameters: $*" >/dev/kmsg
	modprobe pv_iommu "$@" || fail "modprobe pv_iommu $*"
	modprobe pviommu_test || fail "modprobe pviommu_test"
	dmesg | awk -v mark="parameters: $*" '
		index($0, mark) { text = ""; next }
		{ text = text $0 "\n" }
		END { printf "%s", text }' >/tmp/log
}

unload() {
	rmmod pviommu_test || fail "rmmod pviommu_test"
	rmmod pv_iommu || fail "rmmod pv_iommu"
}

attached() {
	[ -d "/sys/bus/pci/devices/$edu/pv_iommu" ]
}

# a wrong mode: the log names it and the right ones, the default holds
load mode=windwo
for word in windwo auto window bounce off; do
	grep -q "pv_iommu.*$word" /tmp/log || fail "mode=windwo: no '$word' in the log"
done
attached || fail "mode=windwo: not attached by default"
unload

for mode in auto window; do
	load mode=$mode
	attached || fail "mode=$mode: not attached"
	[ "$(pv_mode)" = window ] || fail "mode=$mode: $(pv_mode)"
	unload
done

load mode=bounce
attached || fail "mode=bounce: not attached"
[ "$(pv_mode)" = bounce ] || fail "mode=bounce: $(pv_mode)"
[ "$(stat_of "$edu" mode)" = bounce ] || fail "mode=bounce: the device has another"
unload

load mode=off
attached && fail "mode=off: attached"
grep -q 'pv_iommu.*off' /tmp/log || fail "mode=off: nothing in the log"
unload

# the filter, by address and by IDs, each way round
for filter in "$edu" "${edu#*:}" 1234:11e8 "ffff:ffff,$edu" all \
	"!0000:1f:1f.7" "!ffff:ffff"; do
	load "devices=$filter"
	attached || fail "devices=$filter: not attached"
	unload
done
for filter in "!$edu" "!${edu#*:}" '!1234:11e8' ffff:ffff 0000:1f:1f.7; do
	load "devices=$filter"
	attached && fail "devices=$filter: attached"
	grep -q "$edu.*not attached" /tmp/log ||
		fail "devices=$filter: nothing in the log"
	unload
done

# a filter that means nothing is not taken for one that means something
load devices=everything
grep -q 'pv_iommu.*everything' /tmp/log || fail "devices=everything: no message"
attached || fail "devices=everything: not attached by default"
unload

# what is to be kept: less than one grant is none, and without direct-limit= there is none
load direct_cache=1
grep -q 'pv_iommu.*direct_cache=1 keeps nothing' /tmp/log || fail "direct_cache=1: no message"
unload
load direct_cache=2
grep -q 'pv_iommu.*direct_cache= is not used.*direct-limit=' /tmp/log ||
	fail "direct_cache=2: no message"
attached || fail "direct_cache=2: not attached"
unload
