#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: a host that refuses to attach, fails requests, or is told to go away
# VM: main
# Timeout: 240
. ./lib.sh

ATTACH=2 MAP=8 UNMAP=16 SYNC=32

# host_fails OPCODES RATE: one in RATE of the requests of these kinds; 0: none
host_fails() {
	host_set x-error-ops "$1"
	host_set x-error-rate "$2"
}

bind() {
	echo "$dev" >/sys/bus/pci/drivers/nvme/bind 2>/dev/null
	wait_for 30 disk_of "$dev" >/dev/null || fail "$1: no disk"
	need_disk nvme "NVMe disk"
	wait_for 20 test -b "/dev/$disk" || fail "$1: no /dev/$disk"
}

unbind() {
	echo "$dev" >/sys/bus/pci/drivers/nvme/unbind || fail "unbind"
}

need_disk nvme "NVMe disk"
for other in $(devices_of virtio-pci); do
	others=$(disk_of "$other") && break
done
need_attached "$other"
unbind
idle=$(host_stat window_used)

# An attach that is refused: no disk, a line in the log, and all else goes on
host_fails $ATTACH 1
echo "$dev" >/sys/bus/pci/drivers/nvme/bind 2>/dev/null
! disk_of "$dev" || fail "refused, and there is a disk"
said "$dev: pv_iommu: not attached: the host refused" ||
	fail "the log does not say that the host refused"
[ ! -e "/sys/bus/pci/devices/$dev/pv_iommu" ] || fail "refused, and attached"
fio_verify "/dev/$others" --size=2M
host_fails $ATTACH 0
allocator_whole "$idle"
bind "after a refusal"
fio_verify "/dev/$disk" --size=2M

# Requests that fail. Window mode makes none.
if [ "$(pv_mode)" = bounce ]; then
	# There is no room for one map in three, and then for none at all: the
	# module tries once more, drivers for ever, and fio sees nothing of it
	before=$(stat_of "$dev" failures)
	load_start "$disk"
	load_goes_on
	host_fails $MAP 3
	load_goes_on
	host_fails $MAP 1
	sleep 1
	host_fails $MAP 0
	load_goes_on
	load_stop
	lost=$(($(stat_of "$dev" failures) - before))
	echo "maps refused for want of room: $lost"
	[ $lost -gt 0 ] || fail "no map has failed"

	# An unmap that does not copy: nobody can tell the driver, so the log
	# does; the buffer has what it had
	before=$(stat_of "$dev" failures)
	host_fails $((UNMAP | SYNC)) 10
	dd if="/dev/$disk" of=/dev/null bs=64k count=64 iflag=direct 2>/dev/null ||
		fail "dd saw an error that the DMA API cannot tell of"
	host_fails $UNMAP 0
	lost=$(($(stat_of "$dev" failures) - before))
	echo "unmaps failed: $lost"
	[ $lost -ge 3 ] || fail "failed unmaps are not counted"
	said "$dev: pv_iommu: host failed to unmap .*; the data is lost" ||
		fail "the log does not say that data is lost"
	fio_verify "/dev/$disk" --size=8M
fi

# The host device and its window cannot be taken out from under the guest
! answer=$(host qmp device_del '{"id":"iommu0"}') || fail "the device is gone"
echo "$answer" | grep hotplug || fail "device_del: $answer"
! answer=$(host qmp object-del '{"id":"win0"}') || fail "the window is gone"
echo "$answer" | grep 'in use' || fail "object-del: $answer"
fio_verify "/dev/$disk" --size=8M

# Nothing is left of any of it
unbind
allocator_whole "$idle"
[ "$(host_property x-dropped-mappings)" = 0 ] || fail "mappings were left behind"
bind "at the end"
fio_verify "/dev/$disk" --size=2M
