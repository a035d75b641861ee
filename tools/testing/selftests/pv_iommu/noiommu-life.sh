#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Test: no IOMMU: the host's memory is as it was after reset, reboot, unplug and SIGKILL under I/O
# VM: noiommu
# Modes: none
# Timeout: 240

. ./noiommu-lib.sh

# MiB: most of what this host has left beside L2
PATTERN_MIB=1600

host_setup
assign $NVME

# works WHEN: L2 uses its disk, from the window, and this host's memory is as it
# was
works() {
	must "until [ -b /dev/nvme0n1 ]; do sleep 0.1; done"
	must "${FIO_JOB/16M/4M} >/run/fio"
	[ "$(must "cat /sys/block/nvme0n1/device/device/pv_iommu/mode")" = window ] ||
		fail "$1: not in window mode"
	pattern_check "$1"
}

# busy: the disk has done some I/O since there were $before
busy() {
	[ "$(ios)" -gt $((before + 100)) ]
}

pattern_begin $PATTERN_MIB
way_dax ""
nvme="$(noiommu $NVME nvme0),bus=port0"
l2_start -device pcie-root-port,id=port0,slot=1 -device "$nvme"
l2_ready
works "at the start"

fio_begin
l2_reboots yes
qmp system_reset >/dev/null || fail "system_reset"
l2_ready
works "after a reset under fio"

fio_begin
l2_tell "reboot -f"
l2_ready
works "after a reboot under fio"
l2_reboots no

fio_begin
qmp device_del '"id":"nvme0"' >/dev/null || fail "device_del"
wait_for 30 unplugged || fail "L2 keeps its disk"
pattern_check "unplugged under fio"
# fio fails, and may have made a file where the disk was
must "touch /run/stop; until [ -e /run/end ]; do sleep 0.2; done; [ -b /dev/nvme0n1 ] || rm -f /dev/nvme0n1"
qmp device_add "\"driver\":\"vfio-pci\",\"host\":\"$NVME\",\"id\":\"nvme0\",\"bus\":\"port0\",\"unsafe-noiommu\":true" >/dev/null ||
	fail "device_add"
works "after unplug and plug"

# Its own memory is with others at once, that of the window is not
fio_begin
before=$(ios)
wait_for 20 busy || fail "no I/O"
l2_kill
pattern_check "killed under fio"

# And the disk is as new
l2_start -device "$(noiommu $NVME nvme0)"
l2_ready
works "the next guest"
l2_stop

# The control: what a device writes there is seen
[ $((PATTERN_PAGE)) != 0 ] || fail "control: no page below 4 GiB"
edu_writes $((PATTERN_PAGE))
echo check >&3
pattern_hear
[ "$said" != "${said#changed 2 words}" ] || fail "control: not seen: $said"
echo "control: $said"
pattern_end
