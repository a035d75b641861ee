# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
#
# For tests in which one kernel follows another without a reset of the machine.
# Sourced after again-lib.sh.

# Seconds for an administrative command
NVME_TIMEOUT=/sys/module/nvme_core/parameters/admin_timeout

# image SERIAL FILE: what is on that disk
image() {
	wait_for 20 virtio_disk "$1" >/dev/null || fail "there is no disk $1"
	dd if="/dev/$(virtio_disk "$1")" of="$2" bs=1M 2>/dev/null
}

# next_kernel OPTION WORDS...: loads the kernel that this guest was started with,
# with its command line and WORDS, for kexec -l or kexec -p. Not with the words of a
# test before, whose last kernel this is: those begin with without()'s.
next_kernel() {
	local option line
	option=$1
	shift
	line=$(sed 's/ pvtest.load=no.*//' /proc/cmdline)
	image kernel0 /tmp/kernel
	[ -e /tmp/initrd ] || image initrd0 /tmp/initrd
	kexec "$option" /tmp/kernel --initrd=/tmp/initrd \
		--append="$line $*" || fail "kexec $option"
	rm /tmp/kernel /tmp/initrd
}

# without: words for a kernel that comes up without pv_iommu, in which the test goes on. If it
# is a part of the kernel, drivers are as well: virtio's wait for ever for devices that
# reach nothing, as does the boot for them
without() {
	echo pvtest.load=no
	! part_of_kernel ||
		echo pv_iommu.mode=off initcall_blacklist=virtio_pci_driver_init
}

# is_without: this is that kernel
is_without() {
	grep -qw pvtest.load=no /proc/cmdline || return 1
	[ ! -e $pv_driver ] || fail "this kernel has pv_iommu"
}

# boot_first: sets $boot, and says whether it is 0. A kernel that cannot load pv_iommu has
# ended by a reset of the machine, and here is the next one, with pv_iommu.
boot_first() {
	boot_number
	[ "$boot" != 0 ] || return 0
	part_of_kernel || fail "boot $boot: with pv_iommu"
	return 1
}

# off_for_good: in a kernel that has pv_iommu and cannot load it: it has said so. No
# return from the reset that brings it back
off_for_good() {
	dmesg | grep "pv_iommu: off by mode=off; no device is attached" ||
		fail "the log does not say why there is no DMA"
	end_by reboot -f
}

# mode_told: the mode that the runner asks for, whether pv_iommu is there or not
mode_told() {
	tr ' ' '\n' </proc/cmdline | sed -n 's/^pv_iommu.mode=//p' | head -n 1
}

# pv_iommu_again: as this guest was told to have it from its start
pv_iommu_again() {
	modprobe pv_iommu "mode=$(mode_told)" ||
		fail "modprobe pv_iommu"
}

# kexec_again: a kernel that loads pv_iommu as this one did
kexec_again() {
	boot_number
	healthy
	if [ "$boot" = 1 ]; then
		mark finished
		return
	fi
	next_kernel -l
	# at once, with nothing taken down before
	leave kexec -e -x -y
}

# kexec_late: a kernel in which drivers come first. None of its devices reaches
# anything, which costs no memory a byte, until pv_iommu is there.
kexec_late() {
	local sum
	if ! is_without; then
		if ! boot_first; then
			healthy
			mark finished
			return
		fi
		healthy
		# A minute is what the driver waits for an answer that cannot come
		# shellcheck disable=SC2046 # one word each
		next_kernel -l $(without) nvme_core.admin_timeout=15
		leave kexec -e -x -y
	fi

	# The numbers of the window's DMA addresses are memory's, too
	dd if=/dev/urandom of=/tmp/fill bs=1M count=192 2>/dev/null
	sum=$(md5sum </tmp/fill)
	modprobe e1000e
	modprobe nvme
	dev=$(basename "$(dirname "$(grep -l 0x010802 /sys/bus/pci/devices/*/class)")")
	wait_for 90 test ! -e "/sys/bus/pci/drivers/nvme/$dev" ||
		fail "there is a disk, by memory of whom?"
	dmesg | grep "nvme.*$dev" | tail -n 3
	! disk_of "$dev" || fail "there is a disk all the same"
	driven_by e1000e || fail "no card has a driver"
	if part_of_kernel; then
		[ "$(md5sum </tmp/fill)" = "$sum" ] || fail "memory was written to"
		off_for_good
	fi

	echo 60 >$NVME_TIMEOUT
	pv_iommu_again
	[ "$(host_stat refused_dmas)" -gt 0 ] || fail "no DMA was refused"
	dmesg | grep "pv_iommu: not attached" | tail -n 3
	said "e1000e.*was there first.*the host lets it reach no memory" ||
		fail "the log does not say why there is no DMA"
	[ "$(md5sum </tmp/fill)" = "$sum" ] || fail "memory was written to"
	rm /tmp/fill
	for one in $(devices_of e1000e); do
		echo "$one" >/sys/bus/pci/drivers/e1000e/unbind
		echo "$one" >/sys/bus/pci/drivers/e1000e/bind
	done
	for one in $(devices_of virtio-pci); do
		echo "$one" >/sys/bus/pci/drivers/virtio-pci/unbind
		echo "$one" >/sys/bus/pci/drivers/virtio-pci/bind
	done
	echo "$dev" >/sys/bus/pci/drivers/nvme/bind || fail "bind nvme"
	coldplug
	wait_for 20 disk_of "$dev" >/dev/null || fail "no disk with pv_iommu"
	wait_for 20 mark_disk >/dev/null || fail "no virtio disk with pv_iommu"
	healthy
	mark finished
}

# kexec_driven: with devices that the host drives through the end of one kernel, the
# start of the next, and that of its pv_iommu
kexec_driven() {
	apart
	if ! is_without; then
		need_disk nvme "NVMe disk"
		if ! boot_first; then
			still_apart "reset"
			drive_two
			driven "attached" open
			mark finished
			return
		fi
		# shellcheck disable=SC2046 # one word each
		next_kernel -l $(without)
		still_apart "before kexec"
		host_registers
		[ "$control" = 2 ] || fail "not enabled, with devices attached"
		[ "$granted" -gt 0 ] || fail "nothing is granted, with devices attached"
		drive_two
		leave kexec -e -x -y
	fi
	mode=$(mode_told)
	driven "kexec" shut
	# Nobody has said a word to pv-iommu since the old kernel did: it was that one
	# that has reset it
	host_registers
	[ "$control" = 0 ] || fail "the old kernel has left pv-iommu enabled"
	[ "$granted" = 0 ] || fail "the old kernel has left $granted bytes granted"
	still_apart "kexec"
	drive "$(edu 0)" "$(edu 1)"
	if part_of_kernel; then
		driven "without pv_iommu" none
		off_for_good
	fi
	pv_iommu_again
	modprobe nvme || fail "modprobe nvme"
	need_disk nvme "NVMe disk"
	fio_verify "/dev/$disk" --size=4M
	driven "pv_iommu is back" none
	still_apart "pv_iommu is back"
	modprobe pviommu_test || fail "no pviommu_test"
	drive_two
	driven "attached" open
	still_apart "attached"
}
