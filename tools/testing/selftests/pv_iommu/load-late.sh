#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: a device that has a driver before pv_iommu is loaded is not adopted
# VM: late
# Modes: none
# Timeout: 120
. ./lib.sh

rmmod nvme 2>/dev/null
modprobe nvme || fail "modprobe nvme"
wait_for 20 driven_by nvme || fail "no NVMe device"
dev=$(devices_of nvme | head -n 1)
wait_for 20 disk_of "$dev" >/dev/null || fail "no disk"
disk=$(disk_of "$dev")
fio_verify "/dev/$disk" --size=4M

modprobe pv_iommu || fail "modprobe pv_iommu"
[ -n "$(host_dir)" ] || fail "pv_iommu has no host device"
[ ! -d "/sys/bus/pci/devices/$dev/pv_iommu" ] || fail "$dev was adopted"
dmesg | grep "$dev.*not attached: driver nvme was there first" ||
	fail "the log does not say that $dev is not attached"
# it works as before, past pv-iommu
fio_verify "/dev/$disk" --size=4M

# and does as the log says: bound again, it is attached
echo "$dev" >/sys/bus/pci/drivers/nvme/unbind
echo "$dev" >/sys/bus/pci/drivers/nvme/bind || fail "bind"
wait_for 20 disk_of "$dev" >/dev/null || fail "no disk after bind"
need_attached "$dev"
fio_verify "/dev/$(disk_of "$dev")" --size=4M
[ "$(stat_of "$dev" maps)" -gt 0 ] || fail "nothing went through pv-iommu"

# leaves things as they were
echo "$dev" >/sys/bus/pci/drivers/nvme/unbind
rmmod pv_iommu || fail "rmmod"
