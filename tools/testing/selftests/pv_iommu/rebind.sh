#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: drivers are unbound and bound again, and their devices go on working
# VM: main
# Timeout: 180
. ./lib.sh

need_disk nvme "NVMe disk"
used=
for round in 1 2 3; do
	fio_verify "/dev/$disk" --size=2M --bs=16k
	echo "$dev" >/sys/bus/pci/drivers/nvme/unbind || fail "unbind nvme"
	[ ! -d "/sys/bus/pci/devices/$dev/pv_iommu" ] ||
		fail "$dev is still attached when unbound"
	# what is in use without the NVMe is the same each time
	[ "${used:=$(host_stat window_used)}" = "$(host_stat window_used)" ] ||
		fail "round $round leaves $(host_stat window_used) bytes in use, not $used"
	echo "$dev" >/sys/bus/pci/drivers/nvme/bind || fail "bind nvme"
	wait_for 20 disk_of "$dev" >/dev/null || fail "no disk after bind"
	disk=$(disk_of "$dev")
	wait_for 20 test -b "/dev/$disk" || fail "no /dev/$disk"
	need_attached "$dev"
done
fio_verify "/dev/$disk" --size=2M --bs=16k
allocator_whole
