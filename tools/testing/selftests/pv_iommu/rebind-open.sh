#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: a driver that frees coherent memory after it was unbound gets it right
# VM: main
# Timeout: 120
. ./lib.sh

unbind() {
	echo "$dev" >/sys/bus/pci/drivers/nvme/unbind || fail "unbind"
}

bind() {
	echo "$dev" >/sys/bus/pci/drivers/nvme/bind || fail "bind"
	wait_for 20 disk_of "$dev" >/dev/null || fail "no disk after bind"
	need_disk nvme "NVMe disk"
	wait_for 20 test -b "/dev/$disk" || fail "no /dev/$disk"
}

in_use() {
	[ "$(host_stat window_used)" = "$1" ]
}

need_disk nvme "NVMe disk"
unbind
idle=$(host_stat window_used)
bind

# nvme frees the last of it when the disk is closed
exec 5<"/dev/$disk"
unbind
! said "mappings behind; released" || fail "memory that is in use was released"
if ! said "pieces of coherent memory still"; then
	exec 5<&-
	bind
	skip "this kernel's nvme has freed all when it is unbound"
fi
kept=$(host_stat window_used)
[ "$kept" -gt "$idle" ] || fail "what the driver has is free: $kept bytes in use"

# once with no driver there, and once with another one's memory beside it
exec 5<&-
wait_for 10 in_use "$idle" ||
	fail "$(host_stat window_used) bytes in use once closed, before: $idle"
bind
exec 5<"/dev/$disk"
unbind
bind
fio_verify "/dev/$disk" --size=4M
exec 5<&-
fio_verify "/dev/$disk" --size=4M
need_attached "$dev"
unbind
wait_for 10 in_use "$idle" ||
	fail "$(host_stat window_used) bytes in use at the end, before: $idle"
allocator_whole
bind
