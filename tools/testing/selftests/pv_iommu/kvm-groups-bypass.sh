#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Test: boot-bypass=on and assigned disks: what cannot be pinned, how often it is, and who bounces
# VM: kvm-groups
# Modes: none
# Timeout: 400

. ./kvm-groups-lib.sh

ALL=$((L2_MEM * 1024))

need_isolation
host_setup
assign_all

# all_locked: all of L2, for each of two groups, but for the legacy hole (see
# guest_locked). Sets $locked.
all_locked() {
	locked=$(status VmLck)
	[ "$locked" -ge $((2 * ALL - 2048)) ]
}

# A user who may lock L2 twice, and a bit: two groups have all of it at the start, each
# on its own account. bypassing [PROPERTIES]
bypassing() {
	L2_MEMLOCK=$((2 * (L2_MEM + L2_WINDOW) * 1024 + 2048))
	way_window ",boot-bypass=on$1"
	L2_DISKS=(-device "pcie-root-port,id=port0,slot=1,chassis=1"
		-device "pcie-root-port,id=port1,slot=2,chassis=2"
		-device "pcie-pci-bridge,id=conv,bus=pcie.0")
	given nvme0 bus=port0
	given nvme4 bus=conv,addr=1
	l2_start "${L2_DISKS[@]}"
	wait_for 20 all_locked ||
		fail "control: $locked kB locked with boot-bypass=on"
	l2_ready
}

bypassing
works nvme0 nvme4
locked_is_granted || fail "what is locked is not what is granted"
echo "two disks: $locked kB locked, all of L2 for each before"

# rebind NAME: its driver lets go of it, and takes it
rebind() {
	local place
	place=$(pci "$1")
	must "echo ${place##*/} >/sys/bus/pci/drivers/nvme/unbind; echo ${place##*/} >/sys/bus/pci/drivers/nvme/bind"
}

# mapped: no device, as it was attached, asked for what VFIO does not map
mapped() {
	! grep -E "VFIO_MAP_DMA|vfio_(container_)?dma_map" $L2/qemu.log || fail "VFIO has not mapped"
}

# Attach and detach pin what is granted, and no more: neither all of L2, nor for ever
before=$(acquired)
for _ in 1 2 3; do
	rebind nvme0
	works nvme0
done
pages=$(($(acquired) - before))
[ "$pages" -lt $((ALL / 4)) ] ||
	fail "$pages pages pinned by three attachments: L2 has $((ALL / 4))"
echo "three attachments: $pages pages pinned, L2 has $((ALL / 4))"

# A third group is confined from its start. The reset is the guest's to ask for: for one
# of the three it cannot be pinned. That one's devices reach nothing, until the guest
# attaches them.
plug nvme3 '"bus":"port1"' >/dev/null || fail "device_add nvme3"
works nvme3
l2_reboots yes
l2_tell "reboot -f"
l2_ready
qmp query-status >/dev/null
resets=$(grep -c '"RESET"' $L2/events)
said=$(grep -c "memory could not be pinned for the vfio-pci devices of" $L2/qemu.log)
[ "$resets" -gt 0 ] && [ "$said" = "$resets" ] ||
	fail "$resets resets, of which QEMU has said $said times what it could not do"
works nvme0 nvme3 nvme4
locked_is_granted || fail "what is locked is not what is granted"
echo "$resets resets, $locked kB locked: $(grep "could not be pinned" $L2/qemu.log | tail -n 1)"
grep -q "boot-bypass=off" $L2/qemu.log || fail "QEMU names no remedy"
l2_reboots no
l2_stop

# Behind a conventional bridge there is no arena for an assigned device: it is blocked,
# and not left to fail without a word
L2_APPEND="pv_iommu.mode=bounce"
bypassing
works nvme0
[ "$(must "cat $(pci nvme0)/pv_iommu/mode")" = bounce ] || fail "nvme0 does not bounce"
must "dmesg | grep 'pv_iommu: not attached.*blocked'"
l2_stop

# Confined, it is attached to a window that is all granted already, and the arena comes
# with it: VFIO maps neither twice
bypassing ,x-chunks=off
mapped
works nvme0
rebind nvme0
mapped
works nvme0
[ "$(must "cat $(pci nvme0)/pv_iommu/mode")" = bounce ] || fail "nvme0 does not bounce"
l2_stop
