# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
#
# For tests in which the guest crashes under load, and a crash kernel saves its
# memory to a disk behind pv-iommu. Sourced after again-lib.sh and kexec-lib.sh.

LINES=40000

# known TEXT: the lines that are to be found in the crashed kernel's memory
known() {
	awk -v text="$1" -v n=$LINES 'BEGIN {
		for (i = 0; i < n; i++) printf "%s-%08d-%s\n", text, i, "known page" }'
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
			-o -path '*/drivers/usb' -o -path '*/drivers/ata' -o -name pviommu_test.ko \) -prune \
			-o -print | cpio -o -H newc 2>/dev/null) | gzip -1 >/tmp/initrd
	ls -l /tmp/initrd
}

crash() {
	boot_number
	[ "$boot" = 0 ] || fail "boot $boot: no crash kernel"
	need_disk nvme "NVMe disk"
	wire_cards 52:54:00:00:00:10 52:54:00:00:00:11
	wait_for 60 wire_works || fail "no link"
	small_initrd
	next_kernel -p nr_cpus=1 swiotlb=noforce irqpoll reset_devices pvtest.crashed
	[ "$(cat /sys/kernel/kexec_crash_loaded)" = 1 ] || fail "no crash kernel"
	tag=$(cat /proc/sys/kernel/random/uuid)
	# An anonymous buffer, not the page cache of what could be on a disk
	known "$tag" >/tmp/known
	mark "left 0 $tag"
	# inbound packets without an end, and the disk at work
	(while :; do
		ip netns exec b ping -f -s 1400 -c 100000 "$WIRE_A" >/dev/null 2>&1 ||
			ip netns exec b ping -A -s 1400 -c 1000 "$WIRE_A" >/dev/null 2>&1
	done) >/dev/null 2>&1 &
	load_endless "$disk"
	sleep 2
	wait_for 10 busy "$disk" || fail "no load"
	echo 1 >/proc/sys/kernel/sysrq
	echo c >/proc/sysrq-trigger
	sleep 120
	fail "here still after a crash"
}

# In the crash kernel
save() {
	local blocks sum
	need_disk nvme "NVMe disk"
	# shellcheck disable=SC2046 # one word each
	need_attached $(devices_of e1000e) $(devices_of virtio-pci)
	tag=$(dd if="/dev/$(mark_disk)" bs=512 skip=1024 count=1 iflag=direct \
		2>/dev/null | tr -d '\0' | sed -n 's/.* left 0 //p')
	[ -n "$tag" ] || fail "no mark"
	awk '/MemTotal|MemAvailable/' /proc/meminfo
	dmesg | grep 'pv_iommu.*window of'
	dd if=/proc/vmcore of="/dev/$disk" bs=1M oflag=direct conv=sync,fsync 2>/tmp/dd ||
		fail "saving: $(tail -n 1 /tmp/dd)"
	tail -n 1 /tmp/dd
	blocks=$(awk '/records in/ { split($1, n, "+"); print n[1] + n[2] }' /tmp/dd)
	sum=$(dd if=/proc/vmcore bs=1M conv=sync 2>/dev/null | md5sum)
	[ "$(dd if="/dev/$disk" bs=1M count="$blocks" iflag=direct 2>/dev/null |
		md5sum)" = "$sum" ] || fail "what was saved is not what was read"
	# each known page is there, from the crashed kernel's memory by way of the disk
	found=$(dd if="/dev/$disk" bs=1M count="$blocks" iflag=direct 2>/dev/null |
		grep -a -o "$tag-[0-9]\{8\}-known page" | sort -u | wc -l)
	echo "known lines: $found of $LINES"
	# a line may lie across two pages that are not neighbours
	[ "$found" -ge $((LINES * 98 / 100)) ] || fail "known pages are missing"
	[ "$(failures_of "$dev")" = 0 ] || fail "mappings failed"
	allocator_whole
}

kdump() {
	if grep -qw pvtest.crashed /proc/cmdline; then
		[ -s /proc/vmcore ] || fail "no /proc/vmcore"
		save
	else
		crash
	fi
}
