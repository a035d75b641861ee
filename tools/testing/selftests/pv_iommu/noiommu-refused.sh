#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Test: no IOMMU: what is refused, and that each refusal says why and what to do
# VM: noiommu
# Modes: none
# Timeout: 120

. ./noiommu-lib.sh

# CAP_SYS_RAWIO, CAP_SYS_ADMIN
RAWIO=17
ADMIN=21
WITHOUT=

host_setup
huge_setup
devdax 0
devdax 1
assign $NVME
assign $EDU_NO_RESET
rm -rf $L2
mkdir -p $L2

# qemu ARGUMENT...: what does not end by itself is told to, and has the status 0
qemu() {
	# shellcheck disable=SC2086 # two words or none
	echo quit | timeout $((20 * FACTOR)) ${WITHOUT:+/host/bin/dropcap $WITHOUT} \
		/host/lib/ld-linux-x86-64.so.2 \
		--library-path /host/lib /host/bin/qemu-system-x86_64 \
		-L /host/firmware -nodefaults -no-user-config -display none \
		-vga none -accel kvm -cpu "$L2_CPU" -S -monitor stdio \
		-machine q35,sata=off,smbus=off -m "64M,maxmem=2G" "$@" \
		>$L2/refused 2>&1
}

# refused WHAT CAUSE REMEDY ARGUMENT...: QEMU ends, and says both
refused() {
	local what=$1 cause=$2 remedy=$3 status
	shift 3
	qemu "$@"
	status=$?
	[ $status = 1 ] ||
		fail "$what: QEMU's status is $status: $(tail -n 5 $L2/refused)"
	[ "$(grep -c -- "$cause" $L2/refused)" = 1 ] &&
		grep -q -- "$remedy" $L2/refused ||
		fail "$what: it says something else: $(cat $L2/refused)"
	echo "ok: $what: $(grep -- "$cause" $L2/refused | sed 's/.*pv-iommu-pci[^:]*: //')"
}

# pv MEMDEV [PROPERTIES]: words for QEMU, in $PV_WORDS
pv() {
	PV_WORDS=(-object "$1"
		-device "pv-iommu-pci,memdev=win0,host-phys=on,boot-bypass=off$2")
}

dax0=$(backend win0 "$(dax_size 0)" /dev/dax0.0)
huge=$(backend win0 1G $HUGE/win0)
nvme=$(noiommu $NVME nvme0)

# The control: as it should be, QEMU starts
pv "$dax0"
qemu "${PV_WORDS[@]}" -device "$nvme" ||
	fail "control: status $?: $(cat $L2/refused)"

# The window's memory
pv memory-backend-ram,id=win0,size=64M
refused "anonymous memory" "memdev=win0 cannot be used with host-phys=on: anonymous memory" \
	"devdax device" "${PV_WORDS[@]}"
pv memory-backend-file,id=win0,size=64M,mem-path=/tmp/win0,share=on
refused "a file on tmpfs" "neither on hugetlbfs nor devdax" "devdax device" \
	"${PV_WORDS[@]}"
pv "$huge,discard-data=on"
refused "pages that go with QEMU" "discard-data=on gives its pages back" "devdax device" \
	"${PV_WORDS[@]}"
pv memory-backend-file,id=win0,size=64M,mem-path=/tmp/win0,share=off
refused "private pages" "share=off makes private copies" "devdax device" \
	"${PV_WORDS[@]}"

# Pages of 2 MiB, taken in turns by two files
mkdir -p /run/huge2m
echo 64 >/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages
mount -t hugetlbfs -o pagesize=2M huge2m /run/huge2m || fail "no hugetlbfs"
pv "$(backend win0 2M /run/huge2m)"
refused "a file without a name" "the file has no name" "devdax device" \
	"${PV_WORDS[@]}"
for i in $(seq 0 31); do
	for name in win0 other; do
		fallocate -o $((i << 21)) -l $((1 << 21)) /run/huge2m/$name ||
			fail "no huge pages of 2 MiB"
	done
done
pv "$(backend win0 64M /run/huge2m/win0)"
refused "scattered pages" "memdev=win0 is scattered in the host's memory" \
	"whose pages are 1 GiB" "${PV_WORDS[@]}"
rm /run/huge2m/*
umount /run/huge2m
echo 0 >/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages

# Its address
pv "$dax0" ,dma-base=0x100000
refused "a DMA address as well" "dma-base=0x100000 and host-phys=on contradict" \
	"Leave dma-base= out" "${PV_WORDS[@]}"
pv "$dax0" ,boot-bypass=on
refused "all of the guest at first" "host-phys=on does not go with boot-bypass=on" \
	"Set boot-bypass=off" "${PV_WORDS[@]}"
pv "$dax0" ,arena-memdev=a0
refused "an anonymous arena" "arena-memdev=a0 cannot be used with host-phys=on: anonymous" \
	"devdax device" -object memory-backend-ram,id=a0,size=2M "${PV_WORDS[@]}"

# The device
pv "$dax0"
refused "a device that is not asked for so" "no IOMMU confines this device" \
	"set unsafe-noiommu=on" "${PV_WORDS[@]}" -device "$(vfio $NVME nvme0)"
refused "a device that cannot be reset" "the host cannot reset this device" \
	"reset_method" "${PV_WORDS[@]}" -device "$(noiommu $EDU_NO_RESET edu1)"
refused "no pv-iommu" "has no IOMMU, and the device would take guest-physical" \
	"host-phys=on,boot-bypass=off" -device "$nvme"

# Who may
WITHOUT=$RAWIO
refused "no CAP_SYS_RAWIO" "failed to open /dev/vfio/noiommu-" \
	"QEMU needs CAP_SYS_RAWIO" "${PV_WORDS[@]}" -device "$nvme"
WITHOUT=$ADMIN
refused "no CAP_SYS_ADMIN" "the kernel does not say where the page" \
	"QEMU needs CAP_SYS_ADMIN" "${PV_WORDS[@]}"
WITHOUT=

# Two guests, one piece
way_dax ""
# shellcheck disable=SC2119
l2_start
pv "$(backend win0 "$(dax_size 1)" /dev/dax1.0)"
refused "two guests with one piece" "memdev=win0: another guest has this memory" \
	"a piece of its own" "${PV_WORDS[@]}"
l2_kill
pv "$dax0"

# VFIO without the option, which it asks for when a device is bound
echo "$NVME" >/sys/bus/pci/drivers/vfio-pci/unbind
echo N >$PARAM
echo "$NVME" >/sys/bus/pci/drivers_probe 2>/dev/null
refused "VFIO without the option" "no iommu_group found" \
	"enable_unsafe_noiommu_mode=1" "${PV_WORDS[@]}" -device "$nvme"
echo Y >$PARAM
