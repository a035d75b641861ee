#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: NVMe, ahci, virtio-blk, virtio-scsi, megasas and USB disks, verified
# VM: disk
# Timeout: 400
. ./lib.sh

# virtio's drivers sit on the virtio bus; its PCI driver is one for all
# work DRIVER WHAT DISK
work() {
	need_attached "$dev"
	before=$(stat_of "$dev" maps)
	fio_verify "/dev/$2" --bs=4k --iodepth=32 --size=4M
	fio_verify "/dev/$2" --bsrange=512-256k --blockalign=512 --size=8M
	[ "$(stat_of "$dev" maps)" -gt "$before" ] ||
		fail "$1: its DMA does not go through pv-iommu"
	[ "$(stat_of "$dev" failures)" = 0 ] || fail "$1: mappings failed"
	done_with="$done_with $1"
}

# Not vmw_pvscsi: QEMU's pvscsi reads and writes its rings by
# cpu_physical_memory_read() and _write(), past any IOMMU
# A USB disk is found by a worker
usb_disk() {
	disk_of "$(devices_of xhci_hcd | head -n 1)" >/dev/null
}
wait_for 20 usb_disk

done_with=
for driver in nvme ahci megaraid_sas xhci_hcd virtio-pci; do
	for dev in $(devices_of $driver); do
		# AHCI controllers without a disk, entropy sources, the board's own
		disk=$(disk_of "$dev") || continue
		if built_in "$dev"; then
			echo "without $driver: built in, it comes before pv_iommu"
			done_with="$done_with $driver"
			continue
		fi
		work "$driver" "$disk"
	done
done
for wanted in nvme ahci virtio-pci xhci_hcd; do
	case $done_with in
	*"$wanted"*) ;;
	*) fail "there was no disk of $wanted" ;;
	esac
done
case $done_with in
*megaraid_sas*) ;;
*) echo "without megaraid_sas: this VM has none" ;;
esac
allocator_whole
