# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
#
# For tests in which the guest boots more than once (Boots: in the header): it
# runs from its start each time, and the last block of a disk says what has been.
# Sourced after lib.sh.

# virtio_disk SERIAL: the virtio disk with that serial number, if it is there
virtio_disk() {
	local dir
	for dir in /sys/block/vd*; do
		[ -e "$dir/serial" ] && [ "$(cat "$dir/serial")" = "$1" ] &&
			basename "$dir" && return
	done
	return 1
}

# mark_disk: where the mark is
mark_disk() {
	virtio_disk vblk0
}

# mark WORDS...: what the next boot is to find
mark() {
	echo "$TEST_NAME $*" | dd of="/dev/$(mark_disk)" bs=512 seek=1024 conv=sync \
		oflag=direct 2>/dev/null || fail "cannot write the mark"
}

# boot_number: sets $boot to 0, 1 and so on. A guest that did not leave by
# leave has died.
boot_number() {
	local found
	# A kernel that has just begun may not have found its disks yet
	wait_for 20 mark_disk >/dev/null || fail "there is no disk vblk0"
	found=$(dd if="/dev/$(mark_disk)" bs=512 skip=1024 count=1 iflag=direct \
		2>/dev/null | tr -d '\0' | head -n 1)
	case $found in
	"$TEST_NAME left "*)	boot=$((${found##* } + 1)) ;;
	"$TEST_NAME runs "*)	fail "the guest left by itself: $found" ;;
	*)			boot=0 ;;
	esac
	mark "runs $boot"
}

# healthy: everything is served as after any boot, and nothing of before is left
healthy() {
	need_disk nvme "NVMe disk"
	# shellcheck disable=SC2046 # one word each
	need_attached $(devices_of e1000e) $(devices_of virtio-pci)
	# a device that was at work through a kexec may have had one or two
	refused=$(host_stat refused_dmas)
	fio_verify "/dev/$disk" --size=8M
	fio_verify "/dev/$(mark_disk)" --size=256k
	allocator_whole
	# shellcheck disable=SC2154 # set by need_disk
	[ "$(failures_of "$dev")" = 0 ] || fail "boot $boot: mappings failed"
	[ "$(host_stat refused_dmas)" = "$refused" ] ||
		fail "boot $boot: DMAs were refused"
	echo "boot $boot: healthy"
}

# leave COMMAND...: which ends this kernel, with the disk at work
leave() {
	load_start "$disk"
	load_goes_on
	mark "left $boot"
	echo "boot $boot: $*"
	end_by "$@"
}

# end_by COMMAND...: the same with nothing at work
end_by() {
	"$@" || fail "$*"
	sleep 120
	fail "still here after $*"
}

# reboot_driven: two resets of the machine with devices at work that the host drives.
# Sourced after drive-lib.sh, too
reboot_driven() {
	boot_number
	need_disk nvme "NVMe disk"
	apart
	case $boot in
	1)	driven "reboot" reset ;;
	2)	driven "reset by the host" reset ;;
	esac
	still_apart "boot $boot"
	drive_two
	case $boot in
	0)	leave reboot -f ;;
	1)	leave host reset ;;
	2)	driven "attached" open
		mark finished ;;
	esac
}
