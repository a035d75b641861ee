#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: the host device is removed by hand under load: devices lose their drivers, memory stays until freed
# VM: main
# Timeout: 180
. ./lib.sh

# attached: the devices that pv-iommu serves
attached() {
	local dir
	for dir in /sys/bus/pci/devices/*/pv_iommu; do
		[ ! -d "$dir" ] || basename "${dir%/pv_iommu}"
	done
}

# remove_host: with all that it means for its devices
remove_host() {
	local dev
	echo 1 >"$(host_dir)/remove" || fail "remove"
	[ -z "$(host_dir)" ] || fail "pv_iommu has its host device still"
	[ -z "$(attached)" ] || fail "attached still: $(attached)"
	for dev in $devices; do
		[ ! -e "/sys/bus/pci/devices/$dev/driver" ] ||
			fail "$dev has a driver still"
	done
	[ ! -e /sys/kernel/debug/pv_iommu ] || fail "debugfs has it still"
}

# back: the host device, and the devices' drivers
back() {
	local dev
	echo 1 >/sys/bus/pci/rescan || fail "rescan"
	[ -n "$(host_dir)" ] || fail "after a rescan there is no host device"
	for dev in $devices; do
		echo "$dev" >/sys/bus/pci/drivers_probe || fail "bind $dev"
	done
	# shellcheck disable=SC2086 # one word each
	need_attached $devices
	need_disk nvme "NVMe disk"
	wait_for 20 test -b "/dev/$disk" || fail "no /dev/$disk"
	fio_verify "/dev/$disk" --size=4M
	allocator_whole
}

need_disk nvme "NVMe disk"
devices=$(attached)
load_endless "$disk"
remove_host
! wait $fio || fail "fio had no error"
back

# nvme frees the last of its memory when the disk is closed
exec 5<"/dev/$disk"
remove_host
if said "have coherent memory still; the window stays"; then
	echo 1 >/sys/bus/pci/rescan
	[ -z "$(host_dir)" ] || fail "a host device, beside memory of the one before"
	said "have memory of the one that was removed still" ||
		fail "the log does not say why there is none"
	host=$(dmesg | sed -n 's/.*pv_iommu \([0-9a-f:.]*\): drivers that are gone.*/\1/p' | tail -n 1)
	exec 5<&-
	# Nobody has asked for it since
	echo "$host" >/sys/bus/pci/drivers_probe || fail "no host device once all is free"
else
	exec 5<&-
fi
back
