#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: every device that makes DMA is served, or the log says why not
# VM: served
# Timeout: 120
. ./lib.sh

# of SERIAL: sets $dev and $disk to the disk with that serial number
of() {
	local dir
	disk=
	for dir in /sys/block/nvme* /sys/block/vd*; do
		[ "$(cat "$dir/serial" "$dir/device/serial" 2>/dev/null | tr -d ' ')" = "$1" ] ||
			continue
		disk=$(basename "$dir")
		dev=$(readlink -f "$dir/device" | grep -o '0000:[^/]*' | tail -n 1)
	done
	[ -n "$disk" ]
}

# The firmware's, before there was pv_iommu, do not count
refused=$(host_stat refused_dmas)
for serial in root0 pxb0 port0 conv0 class0; do
	wait_for 30 of $serial || fail "there is no disk $serial"
	echo "$serial: $dev, $(cat "/sys/bus/pci/devices/$dev/class")"
	need_attached "$dev"
	fio_verify "/dev/$disk" --size=2M
	[ "$(stat_of "$dev" maps)" -gt 0 ] || fail "$serial: nothing was mapped"
done

# One whose bus bypasses IOMMUs: it works, and is said not to be served, once
wait_for 30 of past0 || fail "there is no disk past0"
[ ! -d "/sys/bus/pci/devices/$dev/pv_iommu" ] || fail "past0 is attached"
fio_verify "/dev/$disk" --size=2M
[ "$(dmesg | grep -c "$dev: pv_iommu: not attached: the host does not serve it")" = 1 ] ||
	fail "the log does not say, once, that $dev is not served"

# Bridges make no DMA, and are not spoken of
for dir in /sys/bus/pci/devices/*; do
	case $(cat "$dir/class") in
	0x0604*)	! dmesg | grep "$(basename "$dir").*pv_iommu" ||
				fail "a bridge is spoken of" ;;
	esac
done
[ "$(host_stat refused_dmas)" = "$refused" ] || fail "DMAs were refused"
allocator_whole
