#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Test: 64 MiB of window on huge pages are 32 entries of the host's IOMMU, at 2 MiB, and 16,384 beside
# VM: kvm
# Modes: none
# Timeout: 240

. ./kvm-lib.sh

L2_WINDOW=64
SIZE=$((L2_WINDOW << 20))

host_setup
assign $NVME
echo $((SIZE >> 21)) >/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages
[ "$(cat /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages)" = $((SIZE >> 21)) ] ||
	fail "this host has no such huge pages"
mkdir -p /run/huge
mount -t hugetlbfs -o pagesize=2M huge /run/huge || fail "no hugetlbfs"

# entries DMA-BASE WANTED: all of the window granted, and what covers it. With
# x-chunks=off it is, at the moment of the attachment.
entries() {
	local have
	L2_WAY=(-object "memory-backend-file,id=win0,size=${L2_WINDOW}M,mem-path=/run/huge,share=on,prealloc=on"
		-device "pv-iommu-pci,memdev=win0,boot-bypass=off,x-chunks=off,dma-base=$1")
	l2_start -device "$(vfio $NVME nvme0)"
	l2_ready
	must "until [ -e /dev/nvme0n1 ]; do sleep 0.1; done; $FIO_JOB >/run/fio"
	[ "$(status VmLck)" = $((SIZE >> 10)) ] ||
		fail "$(status VmLck) kB locked: not all of the window is granted"
	have=$(host dma_entries ${NVME#*:} "$1" $SIZE) || fail "$have"
	[ "$have" = "$2" ] || fail "dma-base=$1: $have entries, not $2"
	echo "dma-base=$1: size of an entry and number: $have"
	l2_stop
}

entries 0x200000 "2097152:32"
# The control: where the two addresses are not aligned to each other
entries 0x100000 "4096:16384"
