#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: kexec into another kernel, which loads pv_iommu again, under load
# VM: again
# Boots: 2
# Timeout: 240
. ./lib.sh
. ./again-lib.sh

# image SERIAL FILE: what is on that disk
image() {
	local dir
	for dir in /sys/block/vd*; do
		[ "$(cat "$dir/serial")" = "$1" ] || continue
		dd if="/dev/$(basename "$dir")" of="$2" bs=1M 2>/dev/null
		return
	done
	fail "there is no disk $1"
}

boot_number
healthy
if [ "$boot" = 1 ]; then
	mark finished
	exit 0
fi
image kernel0 /tmp/kernel
image initrd0 /tmp/initrd
kexec -l /tmp/kernel --initrd=/tmp/initrd --reuse-cmdline ||
	fail "boot $boot: kexec -l"
rm /tmp/kernel /tmp/initrd
# at once, with nothing taken down before
leave kexec -e -x -y
