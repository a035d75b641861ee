#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: from the first enable on, no event opens the guest's memory to a device
# VM: confined
# Modes: none
# Timeout: 240
. ./lib.sh
. ./drive-lib.sh
. ./confined-lib.sh

mode=window
for dev in "$first" "$second" "$third"; do
	reaches "$dev" || fail "$dev: boot-bypass=on, and it does not reach memory"
done
to pviommu_test
# One that a driver has that was there first, and one that is excluded, keep it
for dev in "$second" "$third"; do
	to pci-stub "$dev"
	echo "$dev" >/sys/bus/pci/drivers/pci-stub/bind || fail "bind $dev"
done
exempt="$second $third"
# The first one alone loses it
drive_all "$first" "$second" "$third"
module_back || fail "modprobe"
driven "first enable" shut
closed "first enable" "$first"
said_once "$third.*driver pci-stub was there first"
said_once "$second.*not attached: excluded by devices="
direct_events
plug_events
all_modes

# Exempt no more, once it is attached, which takes more than an attempt
module_back || fail "modprobe"
echo "$third" >/sys/bus/pci/drivers/pci-stub/unbind
still_exempt "unbound"
refused "$third" || fail "not refused"
still_exempt "attach that fails, of $third"
refused_end "$third"
exempt=$second
echo "$third" >/sys/bus/pci/drivers/pci-stub/bind || fail "bind $third"
need_attached "$third"
closed "attached" "$third"
echo "$third" >/sys/bus/pci/drivers/pci-stub/unbind
closed "detached" "$third"
rmmod pv_iommu || fail "rmmod"
closed "module removed" "$third"
