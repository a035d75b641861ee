# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
#
# For tests in which the guest crashes under load, and a crash kernel saves its
# memory to a disk behind pv-iommu. Sourced after again-lib.sh, kexec-lib.sh and
# drive-lib.sh.
#
# The host has the last word (tools/testing/qemu/witness.py): it keeps all of memory
# as it is when the crash kernel has begun, and compares what is on the disk with it,
# page by page, and what memory is then.

PAGES=2048

# known TEXT: PAGES pages, each of which says which it is
known() {
	awk -v text="$1" -v n=$PAGES 'BEGIN {
		for (i = 0; i < n; i++) for (k = 0; k < 64; k++)
			printf "%s-%08d-%02d %14s\n", text, i, k, "known page" }'
}

# small_initrd: of what this guest has, that which the crash kernel needs
small_initrd() {
	(cd / && find bin lib lib64 sbin usr init guest tests etc \
			dev proc sys run tmp mnt root \
			\( -path 'tests/*/*' -o -path 'dev/*' -o -path 'proc/*' \
			-o -path 'sys/*' -o -path 'run/*' -o -path 'tmp/*' \
			-o -name fio -o -name 'e2fsck' -o -name mke2fs -o -name tc \
			-o -name kexec -o -path '*/drivers/gpu' -o -path '*/kvm' \
			-o -path '*/fs/ext4' -o -path '*/drivers/scsi' \
			-o -path '*/drivers/net' -o -path '*/drivers/vfio' \
			-o -path '*/drivers/usb' -o -path '*/drivers/ata' \
			-o -name pviommu_test.ko \) -prune \
			-o -print | cpio -o -H newc 2>/dev/null) | gzip -1 >/tmp/initrd
	ls -l /tmp/initrd
}

# frames: what the first card has received
frames() {
	cat "/sys/class/net/$card/statistics/rx_packets"
}

frames_come() {
	[ "$(frames)" -gt "$received" ]
}

# nothing_else: words for a kernel that comes up with no driver of the cards, and none at
# all but those that are a part of it
nothing_else() {
	if part_of_kernel; then
		echo initcall_blacklist=virtio_pci_driver_init,e1000_init_module
	else
		echo pvtest.load=no
	fi
}

crash() {
	local tag
	boot_number
	[ "$boot" = 0 ] || fail "boot $boot: no crash kernel"
	[ -e /proc/kcore ] || skip "this kernel has no /proc/kcore, which kexec -p reads"
	need_disk nvme "NVMe disk"
	apart
	small_initrd
	tag=$(cat /proc/sys/kernel/random/uuid)
	# shellcheck disable=SC2046 # one word each
	next_kernel -p nr_cpus=1 swiotlb=noforce irqpoll reset_devices \
		$(nothing_else) "pvtest.crashed=$tag"
	[ "$(cat /sys/kernel/kexec_crash_loaded)" = 1 ] || fail "no crash kernel"
	known "$tag" >/tmp/known
	mark "left 0"
	# Both cards receive what comes from outside, and do so to the end: the crash
	# kernel has no drivers for them
	for mac in 52:54:00:00:00:11 52:54:00:00:00:10; do
		card=$(card $mac)
		need_attached "$(pci_of "$card")"
		ip link set "$card" up
		wait_for 20 grep -q 1 "/sys/class/net/$card/carrier" || fail "no link"
	done
	received=$(frames)
	host flood || fail "flood"
	load_endless "$disk"
	wait_for 20 frames_come || fail "nothing comes from outside"
	still_apart "before the crash"
	drive_two
	wait_for 10 busy "$disk" || fail "no load"
	echo 1 >/proc/sys/kernel/sysrq
	echo c >/proc/sysrq-trigger
	sleep 120
	fail "here still after a crash"
}

# In the crash kernel, in which nothing has been loaded yet; but pv_iommu and nvme may be
# a part of it
save() {
	local tag answer late landed
	tag=$(sed -n 's/.*pvtest.crashed=\([^ ]*\).*/\1/p' /proc/cmdline)
	awk '/MemTotal|MemAvailable/' /proc/meminfo
	apart
	still_apart "guest panic"
	answer=$(host remember) || fail "$answer"
	eval "$answer"
	echo "frames since this kernel: $answer"
	# The cards are at work still; in bounce mode nobody sees where to
	[ "$(mode_told)" = bounce ] || [ "$landed" != 0 ] ||
		fail "none of $late frames has come to the window"
	pv_iommu_again
	modprobe nvme || fail "modprobe nvme"
	need_disk nvme "NVMe disk"
	dmesg | grep 'pv_iommu.*window of'
	dd if=/proc/vmcore of="/dev/$disk" bs=1M oflag=direct conv=sync,fsync \
		iflag=fullblock 2>/tmp/dd || fail "saving: $(tail -n 1 /tmp/dd)"
	tail -n 1 /tmp/dd
	answer=$(host core nvme0 "$tag" $PAGES) || fail "$answer"
	echo "$answer bytes of memory saved, as they were and are, $PAGES known pages"
	echo "frames sent: $(host dry)"
	driven "kdump" shut
	still_apart "kdump"
	[ "$(failures_of "$dev")" = 0 ] || fail "mappings failed"
	awk '/MemAvailable/' /proc/meminfo
	allocator_whole
}

kdump() {
	if grep -q pvtest.crashed= /proc/cmdline; then
		[ -s /proc/vmcore ] || fail "no /proc/vmcore"
		save
	else
		crash
	fi
}
