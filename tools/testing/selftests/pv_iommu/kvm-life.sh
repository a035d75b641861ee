#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Test: what is locked through L2's suspend, rmmod, unplug, reset and reboot, by an unprivileged user
# VM: kvm
# Modes: none
# Timeout: 300

. ./kvm-lib.sh

WIN=$((L2_WINDOW * 1024))

host_setup
assign $NVME
# The user may lock the window and a bit
L2_MEMLOCK=$((WIN + 1024))

# works WHEN: what is granted is locked and no more, and L2 uses its disk, with
# interrupts
works() {
	local locked before
	must "until [ -e /dev/nvme0n1 ]; do sleep 0.1; done"
	before=$(nvme_irqs)
	must "${FIO_JOB/16M/4M} >/run/fio"
	[ "$(nvme_irqs)" -gt "$before" ] || fail "$1: no MSI-X of the disk"
	locked_is_granted || fail "$1: what is locked is not what is granted"
	[ "$locked" -gt 0 ] && [ "$locked" -le $WIN ] ||
		fail "$1: $locked kB locked"
	echo "$1: $locked kB locked, $(($(nvme_irqs) - before)) interrupts"
}

# pinned: pages that are pinned for devices on this host, all CPUs' counts together
pinned() {
	echo 1 >/proc/sys/vm/stat_refresh
	awk '$1 == "nr_foll_pin_acquired" { n += $2 }
		$1 == "nr_foll_pin_released" { n -= $2 } END { print n }' /proc/vmstat
}

unpinned() {
	[ "$(pinned)" = "$before" ]
}

before=$(pinned)
way_vfio
if (l2_start -device "$(vfio $NVME nvme0)") >/tmp/stock 2>&1; then
	fail "control: stock VFIO locked more than its user may"
fi
grep -m 1 'Cannot allocate memory' $L2/qemu.log ||
	fail "control: another error: $(cat $L2/qemu.log)"
wait_for 5 unpinned || fail "control: pages are pinned"

way_window ""
L2_MACHINE=q35,kernel-irqchip=split
nvme="$(vfio $NVME nvme0),bus=port0"
l2_start -device pcie-root-port,id=port0,slot=1 -device "$nvme"
[ "$(awk '$1 == "Uid:" { print $2 }' "/proc/$L2_PID/status")" != 0 ] ||
	fail "QEMU runs as root"
l2_ready
works "at the start"

# Not to RAM: to wake it, QEMU resets the machine, and loads the kernel, which is
# an ELF file here, once more over what runs
l2_sleep freeze
works "after a suspend"

bdf=$(must "readlink -f /sys/block/nvme0n1/device/device")
bdf=${bdf##*/}
must "echo $bdf >/sys/bus/pci/drivers/nvme/unbind; rmmod pv_iommu"
locked=$(status VmLck)
[ "$locked" = 0 ] || fail "without pv_iommu: $locked kB locked"
must "modprobe pv_iommu; echo $bdf >/sys/bus/pci/drivers/nvme/bind"
works "after rmmod and modprobe"

qmp device_del '"id":"nvme0"' >/dev/null || fail "device_del"
wait_for 30 unplugged || fail "L2 keeps its disk"
[ "$(status VmLck)" = 0 ] && wait_for 5 unpinned ||
	fail "unplugged: $(status VmLck) kB locked, $(($(pinned) - before)) pages pinned"
qmp device_add "\"driver\":\"vfio-pci\",\"host\":\"$NVME\",\"id\":\"nvme0\",\"bus\":\"port0\"" >/dev/null ||
	fail "device_add"
works "after unplug and plug"

fio_begin
l2_reboots yes
qmp system_reset >/dev/null || fail "system_reset"
l2_ready
works "after a reset"

fio_begin
l2_tell "reboot -f"
l2_ready
works "after a reboot"
l2_reboots no

l2_stop
wait_for 5 unpinned ||
	fail "$(($(pinned) - before)) pages are pinned for nobody"
