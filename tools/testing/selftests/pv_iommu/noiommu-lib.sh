# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034
#
# For the tests whose guest is a host without an IOMMU (noiommu-*.sh). Sourced.
#
# Where such a host keeps memory for devices: a file on a huge page of 1 GiB,
# and devdax devices on what memmap= has kept out.

# shellcheck source=kvm-lib.sh
. ./kvm-lib.sh

EDU=0000:01:00.0
EDU_NO_RESET=0000:00:12.0
HUGE=/run/huge
PARAM=/sys/module/vfio/parameters/enable_unsafe_noiommu_mode

# vfio_setup: VFIO without an IOMMU, by the module that was built for it where the
# kernel's own has no such option
vfio_setup() {
	if [ ! -e $PARAM ]; then
		[ -z "$(ls -A /sys/kernel/iommu_groups)" ] ||
			fail "this host has an IOMMU"
		modprobe -q irqbypass
		vfio_built noiommu vfio
	fi
	modprobe -a vfio_pci vfio_iommu_type1 || fail "no modules for VFIO"
	[ -e $PARAM ] || skip "this kernel's vfio is built without VFIO_NOIOMMU"
	echo Y >$PARAM
}

# huge_setup: the huge page of 1 GiB
huge_setup() {
	! grep -q " $HUGE " /proc/mounts || return 0
	[ "$(cat /sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages)" != 0 ] ||
		fail "no huge page of 1 GiB"
	mkdir -p $HUGE
	mount -t hugetlbfs -o pagesize=1G huge $HUGE || fail "no hugetlbfs"
}

# devdax N: make region N of the host's memory /dev/daxN.0, as
# "ndctl create-namespace -m devdax -M mem -e namespaceN.0" does
devdax() {
	local nd=/sys/bus/nd/devices
	[ ! -e "/dev/dax$1.0" ] || return 0
	modprobe -a nd_e820 dax_pmem device_dax || fail "no modules for devdax"
	[ -e "$nd/namespace$1.0" ] || fail "no memory was kept out by memmap="
	echo 2097152 >"$nd/dax$1.0/align"
	cat /proc/sys/kernel/random/uuid >"$nd/dax$1.0/uuid"
	echo ram >"$nd/dax$1.0/mode"
	echo "namespace$1.0" >"$nd/dax$1.0/namespace"
	echo "dax$1.0" >/sys/bus/nd/drivers/dax_pmem/bind
	wait_for 5 test -c "/dev/dax$1.0" || fail "no /dev/dax$1.0"
}

# dax_size N: its bytes
dax_size() {
	cat "/sys/bus/dax/devices/dax$1.0/size"
}

# backend ID SIZE PATH: a backend for QEMU that stays where it is
backend() {
	local align=
	# What a devdax device wants, QEMU knows only where it has libdaxctl
	[ ! -c "$3" ] || align=,align=2M
	echo "memory-backend-file,id=$1,size=$2,mem-path=$3,share=on$align"
}

# The window on the huge page, at an address of the guest that is not the host's
# by chance, and an arena below 256 MiB
way_huge() {
	huge_setup
	devdax 0
	L2_WINDOW=2048
	L2_WAY=(-object "$(backend win0 1G $HUGE/win0)"
		-object "$(backend arena0 "$(dax_size 0)" /dev/dax0.0)"
		-device "pv-iommu-pci,id=iommu0,memdev=win0,memaddr=0x140000000,arena-memdev=arena0,host-phys=on,boot-bypass=off$1")
}

# The window on memory that was kept out, and no arena that devices reach
way_dax() {
	devdax 1
	L2_WINDOW=128
	L2_WAY=(-object "$(backend win0 "$(dax_size 1)" /dev/dax1.0)"
		-device "pv-iommu-pci,id=iommu0,memdev=win0,host-phys=on,boot-bypass=off$1")
}

# noiommu BDF ID: a device for L2 that nothing confines
noiommu() {
	echo "vfio-pci,host=$1,id=$2,unsafe-noiommu=on"
}

# edu_dma SRC DST BYTES COMMAND: what this host's own edu is told to do; it takes 100 ms
edu_dma() {
	local dev=/sys/bus/pci/devices/$EDU_NO_RESET set bar
	# memory and bus mastering
	printf '\006\000' | dd of="$dev/config" bs=1 seek=4 conv=notrunc 2>/dev/null
	bar=$(awk 'NR == 1 { print $1 }' "$dev/resource")
	for set in 80:$1 88:$2 90:$3 98:$4; do
		/host/bin/rings mmio $((bar + 0x${set%%:*})) 1 "${set#*:}" ||
			fail "cannot tell edu what to do"
	done
	wait_for 10 edu_idle $((bar + 0x98)) || fail "edu does not end its DMA"
}

edu_idle() {
	[ $(($(/host/bin/rings peek "$1") & 1)) = 0 ]
}

# edu_reads ADDRESS, edu_writes ADDRESS: 16 bytes of this host's memory to the device,
# and what it has back
edu_reads() {
	edu_dma "$1" 0x40000 16 1
}

edu_writes() {
	edu_dma 0x40000 "$1" 16 3
}

# pattern_begin MIB: fill so much of this host's memory, to see who writes there
pattern_begin() {
	local said
	rm -f /tmp/pattern.in /tmp/pattern.out
	mkfifo /tmp/pattern.in /tmp/pattern.out
	exec 3<>/tmp/pattern.in 4<>/tmp/pattern.out
	/host/bin/pattern "$1" <&3 >&4 2>&1 &
	PATTERN=$!
	pattern_hear
	[ "${said%% *}" = filled ] || fail "no memory for a pattern: $said"
	PATTERN_PAGE=${said#filled }
}

# pattern_hear: what it has to say, in $said
pattern_hear() {
	IFS= read -r -t $((60 * FACTOR)) -u 4 said || said=nothing
}

# pattern_check WHEN: nobody has written there
pattern_check() {
	local said
	echo check >&3
	pattern_hear
	[ "$said" = same ] || fail "$1: this host's memory: $said"
	echo "$1: this host's memory is as it was"
}

pattern_end() {
	kill "$PATTERN"
	wait "$PATTERN" 2>/dev/null
	exec 3>&- 4>&-
}
