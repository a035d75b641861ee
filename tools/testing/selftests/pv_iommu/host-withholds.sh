#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: a host that withdraws window and arena: the disk fails, the guest goes on
# VM: withheld
# Timeout: 240
. ./lib.sh

need_disk nvme "NVMe disk"
fio_verify "/dev/$disk" --size=2M
echo "$dev" >/sys/bus/pci/drivers/nvme/unbind || fail "unbind"
idle=$(host_stat window_used)
# Time enough for a busy machine; what is given up is given up after this
echo $((5 * FACTOR)) >/sys/module/nvme_core/parameters/admin_timeout
echo $((5 * FACTOR)) >/sys/module/nvme_core/parameters/io_timeout
echo "$dev" >/sys/bus/pci/drivers/nvme/bind || fail "bind"
wait_for 30 disk_of "$dev" >/dev/null || fail "no disk"
disk=$(disk_of "$dev")
wait_for 20 test -b "/dev/$disk" || fail "no /dev/$disk"

refused=$(host_stat refused_dmas)
fio --name=load --filename="/dev/$disk" --ioengine=libaio --direct=1 \
	--rw=randrw --bs=4k --iodepth=4 --time_based --runtime=600 \
	>/tmp/fio-load 2>&1 &
fio=$!
sleep 1
host_set x-withhold true
! wait $fio || fail "fio had no error"
grep -m 1 error /tmp/fio-load
[ "$(host_stat refused_dmas)" -gt "$refused" ] || fail "no DMA was refused"

# Its driver gives it up, by itself: the disk goes, or stays with no block left
gone() {
	! disk_of "$dev" >/dev/null || [ "$(cat "/sys/block/$disk/size")" = 0 ]
}
wait_for 120 gone || fail "the disk that is dead is still there"
# nothing is attached as long as that lasts
echo "$dev" >/sys/bus/pci/drivers/nvme/unbind 2>/dev/null
echo "$dev" >/sys/bus/pci/drivers/nvme/bind 2>/dev/null
[ ! -e "/sys/bus/pci/devices/$dev/pv_iommu" ] || fail "attached all the same"
allocator_whole "$idle"

host_set x-withhold false
echo "$dev" >/sys/bus/pci/drivers/nvme/bind || fail "bind, once it is back"
wait_for 30 disk_of "$dev" >/dev/null || fail "no disk, once it is back"
need_disk nvme "NVMe disk"
wait_for 20 test -b "/dev/$disk" || fail "no /dev/$disk"
fio_verify "/dev/$disk" --size=8M
echo 60 >/sys/module/nvme_core/parameters/admin_timeout
echo 30 >/sys/module/nvme_core/parameters/io_timeout
