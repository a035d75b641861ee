# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
#
# For tests with an NVMe disk in a slot (a profile with port0). Sourced after lib.sh;
# $how goes into messages.

# shellcheck disable=SC2154 # $how, $dev, $disk, $fio

# slot_empty: nothing is left of it
slot_empty() {
	[ ! -e "/sys/bus/pci/devices/$dev" ] && [ ! -e "/dev/$disk" ]
}

# nvme_unplug: the disk $disk of the device $dev goes
nvme_unplug() {
	host unplug nvme0 >/dev/null || {
		# Who waits for what
		echo w >/proc/sysrq-trigger
		dmesg | tail -n 60
		fail "$how: unplug"
	}
	wait_for 30 slot_empty || fail "$how: it is still there"
}

# nvme_pull: the same under load, which ends with an error
nvme_pull() {
	load_endless "$disk"
	sleep 1
	nvme_unplug
	! wait "$fio" || fail "$how: fio had no error"
	echo "$how: $(grep -m 1 error /tmp/fio-load)"
}

# nvme_there: sets $dev and $disk to what is in the slot
nvme_there() {
	need_disk nvme "NVMe disk"
	wait_for 20 test -b "/dev/$disk" || fail "$how: no /dev/$disk"
}

# nvme_plug: one is plugged in, and is there
nvme_plug() {
	host plug nvme id=nvme0 bus=port0 drive=nvme0-disk serial=nvme0 >/dev/null ||
		fail "$how: plug"
	wait_for 60 driven_by nvme || fail "$how: no driver once it is plugged in"
	nvme_there
}
