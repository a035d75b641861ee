#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: an NVMe disk is pulled out under load and plugged in again, round by round
# VM: hotplug
# Timeout: 240
. ./lib.sh

# What the firmware tried before there was pv_iommu does not count
refused=$(host_stat refused_dmas)

gone() {
	[ ! -e "/sys/bus/pci/devices/$dev" ] && [ ! -e "/dev/$disk" ]
}

need_disk nvme "NVMe disk"
wait_for 20 test -b "/dev/$disk" || fail "no /dev/$disk"
idle=
for round in 1 2 3; do
	fio_verify "/dev/$disk" --size=4M
	load_endless "$disk"
	sleep 1
	host unplug nvme0 || {
		# Who waits for what
		echo w >/proc/sysrq-trigger
		dmesg | tail -n 60
		fail "round $round: unplug"
	}
	! wait $fio || fail "round $round: fio had no error"
	wait_for 30 gone || fail "round $round: it is still there"
	# what is in use without it is the same each time
	allocator_whole "${idle:=$(host_stat window_used)}"
	echo "round $round: $(grep -m 1 error /tmp/fio-load)"

	host plug nvme id=nvme0 bus=port0 drive=nvme0-disk serial=nvme0 ||
		fail "round $round: plug"
	wait_for 60 disk_of "$dev" >/dev/null ||
		fail "round $round: no disk once it is plugged in"
	need_disk nvme "NVMe disk"
	wait_for 20 test -b "/dev/$disk" || fail "no /dev/$disk"
	fio_verify "/dev/$disk" --size=4M
done
refused=$(($(host_stat refused_dmas) - refused))
[ $refused = 0 ] || fail "$refused DMAs were refused"
