#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: hibernation is refused before anything is frozen, and the log says what to do
# VM: bypass
# Modes: none
# Timeout: 120
. ./lib.sh

grep -qw disk /sys/power/state || skip "this kernel does not hibernate"
# Without a place for the image, it goes no further than freezing, or than pm_test says
try() {
	echo "hibernate: $1" >/dev/kmsg
	status=0
	echo disk 2>/dev/null >/sys/power/state || status=1
	dmesg | awk -v mark="hibernate: $1" '
		index($0, mark) { text = ""; next }
		{ text = text $0 "\n" }
		END { printf "%s", text }' >/tmp/log
	return $status
}

rmmod nvme 2>/dev/null
modprobe pv_iommu || fail "modprobe pv_iommu"
modprobe nvme || fail "modprobe nvme"
need_disk nvme "NVMe disk"
load_start "$disk"
load_goes_on
! try attached || fail "the guest has hibernated"
cat /tmp/log
grep -q "hibernation refused.*unbind the drivers" /tmp/log ||
	fail "the log does not say why, and what to do"
! grep -q "Freezing user space processes" /tmp/log ||
	fail "processes were frozen before it was refused"
load_goes_on
load_stop

# and with nothing attached it is not this driver's to refuse: all is frozen, devices
# sleep, and it comes back. The rest, for which there is no place here, is left out
echo "$dev" >/sys/bus/pci/drivers/nvme/unbind
tested=$(grep -sow core /sys/power/pm_test)
[ -z "$tested" ] || echo core >/sys/power/pm_test
try idle
cat /tmp/log
[ -z "$tested" ] || echo none >/sys/power/pm_test
! grep -q "hibernation refused" /tmp/log || fail "refused with nothing attached"
grep -q "Freezing user space processes" /tmp/log ||
	fail "nothing was frozen with nothing attached"
if [ -n "$tested" ]; then
	[ $status = 0 ] || fail "nothing attached, and the guest does not hibernate"
	grep -q "debug: Waiting for" /tmp/log ||
		fail "it has not come to the last step"
else
	echo "not as far as devices that sleep: this kernel has no pm_test"
fi
echo "$dev" >/sys/bus/pci/drivers/nvme/bind
need_disk nvme "NVMe disk"
fio_verify "/dev/$disk" --size=4M
echo "$dev" >/sys/bus/pci/drivers/nvme/unbind

# A device that is bound once that was looked at is refused until it is over
edu=$(basename "$(dirname "$(grep -l 0x11e8 /sys/bus/pci/devices/*/device)")")
bind=/sys/bus/pci/drivers/pviommu_test
modprobe pviommu_test bind_at_hibernation="$edu" || fail "no pviommu_test"
need_attached "$edu"
echo "$edu" >$bind/unbind
try raced
cat /tmp/log
grep -q "binding $edu" /tmp/log || fail "nothing was bound: that says nothing"
grep -q "$edu: pv_iommu: not attached: the guest is about to hibernate" /tmp/log ||
	fail "the log does not say why it is not attached"
[ ! -e "/sys/bus/pci/devices/$edu/driver" ] || fail "$edu was bound all the same"
echo "$edu" >$bind/bind
need_attached "$edu"
rmmod pviommu_test
rmmod nvme
rmmod pv_iommu || fail "rmmod"
