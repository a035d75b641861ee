#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Test: a guest with an assigned disk gives half of its memory back by the balloon, under fio
# VM: kvm
# Modes: none
# Timeout: 240

. ./kvm-lib.sh

host_setup
assign $NVME
# Half of it has to do for the kernel, its initramfs and fio
L2_MEM=512
L2_APPEND=swiotlb=noforce
# Not iommu_platform=on: Linux' balloon driver refuses that, as it hands over
# pages and maps nothing
balloon="virtio-balloon-pci,id=balloon0,disable-legacy=on"

# given_back RSS: QEMU has half of the guest no more, but for 16 MiB that it may
# need meanwhile for itself
given_back() {
	[ "$(status VmRSS)" -lt $(($1 - (L2_MEM / 2 - 16) * 1024)) ]
}

way_window ""
L2_MACHINE=q35,memory-backend=ram0
l2_start -object "memory-backend-ram,id=ram0,size=${L2_MEM}M,prealloc=on" \
	-device "$balloon" -device "$(vfio $NVME nvme0)"
l2_ready
fio_begin
before=$(status VmRSS) current=$(cat $CG/memory.current)
qmp balloon "\"value\":$((L2_MEM * 512 * 1024))" >/dev/null || fail "no balloon"
wait_for 90 given_back "$before" ||
	fail "QEMU had $before kB and has $(status VmRSS) kB"
echo "inflated to half: QEMU had $before kB, has $(status VmRSS) kB; this host: $((current / 1024)) kB, $(($(cat $CG/memory.current) / 1024)) kB"
locked_is_granted || fail "what is locked is not what is granted"
[ "$locked" -gt 0 ] && [ "$locked" -le $((L2_WINDOW * 1024)) ] ||
	fail "$locked kB locked"
qmp balloon "\"value\":$((L2_MEM * 1024 * 1024))" >/dev/null || fail "no deflate"
fio_end
l2_stop

# The control: beside a device that reaches all of the guest, nothing is given
# back
way_vfio
l2_start -object "memory-backend-ram,id=ram0,size=${L2_MEM}M,prealloc=on" \
	-device "$balloon" -device "$(vfio $NVME nvme0)"
l2_ready
before=$(status VmRSS)
qmp balloon "\"value\":$((L2_MEM * 512 * 1024))" >/dev/null || fail "no balloon"
must "until [ \$(awk '\$1 == \"MemTotal:\" { print \$2 }' /proc/meminfo) -lt $((L2_MEM * 1024 * 5 / 8)) ]; do sleep 0.2; done"
after=$(status VmRSS)
[ "$after" -gt $((before - 4096)) ] ||
	fail "control: memory that is mapped for a device was discarded"
echo "control: stock VFIO had $before kB, has $after kB"
l2_stop
