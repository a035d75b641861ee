#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: built into the kernel, it serves disks before /init runs, in the mode asked for
# VM: main
# Timeout: 60
. ./lib.sh

part_of_kernel || skip "pv_iommu is a module of this kernel (KERNEL=builtin)"

# line WORDS: the number of the first line of dmesg with them. They are from the
# boot, which a test before this one may have repeated in part: first is enough.
line() {
	dmesg | grep -n -m 1 -e "$1" | cut -d : -f 1
}

# before FIRST SECOND: dmesg has both, in this order
before() {
	local first second
	first=$(line "$1")
	second=$(line "$2")
	[ -n "$first" ] || fail "dmesg has no '$1'"
	[ -n "$second" ] || fail "dmesg has no '$2'"
	[ "$first" -lt "$second" ] || fail "dmesg has '$1' after '$2'"
}

[ -d $pv_driver ] || fail "the kernel has no driver pv_iommu"
[ ! -e /sys/module/pv_iommu/initstate ] || fail "pv_iommu was loaded as a module"
[ -n "$(host_dir)" ] || fail "pv_iommu has no host device"

asked=$(sed -n 's/.*\<pv_iommu\.mode=\([^ ]*\).*/\1/p' /proc/cmdline)
[ -n "$asked" ] || fail "the command line asks for no mode"
[ "$(pv_mode)" = "$asked" ] ||
	fail "asked for mode $asked on the command line, it is $(pv_mode)"
[ "$(cat /sys/module/pv_iommu/parameters/mode)" = "$asked" ] ||
	fail "the parameter is not what the command line says"

need_disk nvme "NVMe disk"
up="pv_iommu $(basename "$(host_dir)"): $asked mode"
attached="nvme $dev: pv_iommu: attached ($asked)"
before "$up" "$attached"
before "$attached" "nvme nvme.*: pci function $dev"
before "$attached" "Run /init as init process"

fio_verify "/dev/$disk" --size=4M
[ "$(stat_of "$dev" failures)" = 0 ] || fail "mappings failed"
allocator_whole
