#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The guest's side of the benchmark (tools/testing/qemu/bench.py): does what it
# is told over the second serial port, one line each, and answers with one.
#
#   load WORDS...	modprobe
#   scheme		what serves the edu device's DMA
#   row WORDS...	a measurement, see pviommu_bench.c
#   show FILE		its contents, on one line
#   sh COMMAND...	its output, on one line
#   upstream		the kernel's own benchmark: map, unmap in us, of 4 KiB to the
#			device by one thread
#   quit

bench=/sys/kernel/debug/pviommu_bench

tell() {
	echo "$*" >/dev/ttyS1
}

# on_one_line: white space becomes blanks, as results are lines
on_one_line() {
	tr '\n\t' '  '
}

edu() {
	local dir
	for dir in /sys/bus/pci/devices/*; do
		[ "$(cat "$dir/device")" = 0x11e8 ] && echo "$dir" && return
	done
}

# A group of the kernel's IOMMU layer says of which kind; pv_iommu says its
# mode; otherwise it is the direct mapping, bounced if that is forced.
scheme() {
	local dev name driver used
	dev=$(edu)
	if [ -e "$dev/pv_iommu/mode" ]; then
		dmesg | grep -q "$(basename "$dev"): .*attached (.*, direct)" &&
			used=y
		echo "pv-iommu $(cat "$dev/pv_iommu/mode")${used:+, direct}"
	elif [ -e "$dev/iommu_group/type" ]; then
		# Intel's have a name, virtio's go by their PCI address
		name=$(basename "$(readlink "$dev/iommu")")
		driver=$(readlink "/sys/bus/pci/devices/$name/driver") &&
			name=$(basename "$driver")
		echo "$(echo "$name" | sed 's/[0-9]*$//') $(cat "$dev/iommu_group/type")"
	else
		grep -q swiotlb=force /proc/cmdline && used=y
		echo "direct ${used:+forced}"
	fi
}

# The device's driver is the kernel's own benchmark from now on
upstream() {
	local dev
	dev=$(edu)
	rmmod pviommu_bench
	modprobe map_benchmark || return
	echo dma_map_benchmark >"$dev/driver_override"
	basename "$dev" >/sys/bus/pci/drivers/dma_map_benchmark/bind || return
	dma_map_benchmark -d 1 -g 1 -t 1 -s 1 |
		sed -n 's/^average \(un\)\?map latency(us):\([0-9.]*\).*/\2/p'
}

# The tests' module may have been quicker
modprobe -q -r pviommu_test

tell "ready $(uname -r)"
while read -r verb words <&3; do
	case $verb in
	load)
		# shellcheck disable=SC2086 # several
		modprobe -a $words && tell ok || tell failed
		;;
	scheme)
		tell "$(scheme)"
		;;
	row)
		echo "$words" >$bench/run && tell "$(cat $bench/result)" || tell failed
		;;
	upstream)
		tell "$(upstream | on_one_line)"
		;;
	show)
		tell "$(on_one_line <"$words")"
		;;
	sh)
		tell "$(sh -c "$words" 2>&1 | on_one_line)"
		;;
	*)
		break
		;;
	esac
done
