#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: from the first enable on, no event opens the guest's memory to a device
# VM: confined
# Modes: none
# Timeout: 240
. ./lib.sh
. ./confined-lib.sh

first=$(edu 0)
second=$(edu 1)
third=$(edu 2)
arm "$first" "$second" "$third"
for dev in "$first" "$second" "$third"; do
	reaches "$dev" || fail "$dev: boot-bypass=on, and it does not reach memory"
done
# One that a driver has that was there first, and one that is excluded, keep it
echo pci-stub >"/sys/bus/pci/devices/$third/driver_override"
echo "$third" >/sys/bus/pci/drivers/pci-stub/bind || fail "bind $third"

modprobe pv_iommu "devices=!$second" || fail "modprobe"
! reaches "$first" || fail "enabled, and a device without a driver reaches memory"
echo "first enable: closed"
said "$third.*driver pci-stub was there first" || fail "the log has no $third"
exempt() {
	reaches "$second" || fail "$1: excluded, and it has lost its memory"
	reaches "$third" || fail "$1: its driver was first, and it has lost its memory"
}
exempt "enable"

through "attach" stub
need_attached "$first"
through "unbind" unstub
host_set x-error-ops 2
host_set x-error-rate 1
dmesg -C
stub_refused() {
	stub
	# before the hammer has switched it on again, or after
	dmesg | grep -q "its DMA is blocked" || return 1
}
through "attach that fails" stub_refused
host_set x-error-rate 0
unstub
# without anybody who switches it on again
reg "$first" 0x98 >/dev/null
master "$first"
host_set x-error-rate 1
stub
! is_master "$first" || fail "blocked, and master of the bus"
host_set x-error-rate 0
unstub
exempt "detach"

stub
withhold() {
	host_set x-withhold true
	sleep 1
	host_set x-withhold false
}
through "withheld" withhold
host=$(basename "$(host_dir)")
remove() {
	echo 1 >"/sys/bus/pci/devices/$host/remove"
}
through "host device removed" remove
exempt "host device removed"
rescan() {
	echo 1 >/sys/bus/pci/rescan
	wait_for 20 test -n "$(host_dir)"
}
through "host device back" rescan
exempt "host device back"
through "module removed" rmmod pv_iommu
exempt "module removed"
through "module back" modprobe pv_iommu "devices=!$second"
exempt "module back"

# Exempt no more, once it is attached
echo "$third" >/sys/bus/pci/drivers/pci-stub/unbind
reaches "$third" || fail "unbound, it is exempt still"
echo "$third" >/sys/bus/pci/drivers/pci-stub/bind || fail "bind $third"
need_attached "$third"
! reaches "$third" || fail "attached, and it reaches memory"
echo "$third" >/sys/bus/pci/drivers/pci-stub/unbind
! reaches "$third" || fail "detached, and it reaches memory"
rmmod pv_iommu || fail "rmmod"
! reaches "$third" || fail "module removed, and it reaches memory"
reaches "$second" || fail "the excluded one has lost its memory at last"
