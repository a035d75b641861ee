#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: the totals of devices that are gone are what the devices had counted
# VM: edu
# Timeout: 60
. ./lib.sh

# row NAME: the figures of a line of the table of devices, without the names
row() {
	awk -v name="$1" '$1 == name { $1 = $2 = ""; print }' $pv_debug/devices
}

# Nothing but what the first edu device does changes the figures from here on
load_cases
run_cases sync
dev=$(devices_of pviommu_test | head -n 1)
have=$(row "$dev")
before=$(row total)
[ -n "$have" ] && [ -n "$before" ] || fail "no line of $dev in the table"
for n in $have; do
	[ "$n" -le 4294967296 ] || fail "$dev has counted what cannot be: $have"
done
echo "$dev" >/sys/bus/pci/drivers/pviommu_test/unbind || fail "unbind"
[ -z "$(row "$dev")" ] || fail "$dev is in the table still"
[ "$(row total)" = "$before" ] ||
	fail "totals with $dev:$before; without it:$(row total)"
echo "$dev" >/sys/bus/pci/drivers/pviommu_test/bind || fail "bind"
[ "$(row total)" = "$before" ] ||
	fail "totals before:$before; after a new attach:$(row total)"
