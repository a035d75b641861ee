#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: a window that is full under load: no I/O error, nothing lost
# VM: small
# Timeout: 240
. ./lib.sh

# throttle OPERATIONS: a second, by the disk; 0: as many as there are
throttle() {
	host qmp block_set_io_throttle '{"device":"nvme0-disk","bps":0,"bps_rd":0,' \
		"\"bps_wr\":0,\"iops\":$1,\"iops_rd\":0,\"iops_wr\":0}" >/dev/null ||
		fail "throttle $1"
}

need_disk nvme "NVMe disk"
before=$(stat_of "$dev" failures)
# Some kernels map more slowly than the disk takes it, and the window stays empty
throttle 50
fio_verify "/dev/$disk" --bs=1M --iodepth=64 --size=16M
throttle 0
fio_verify "/dev/$disk" --bs=1M --iodepth=64 --size=128M
fio_verify "/dev/$disk" --bs=64k --iodepth=64 --numjobs=4 --size=16M \
	--offset_increment=32M
after=$(stat_of "$dev" failures)
echo "mappings refused for want of room: $((after - before))"
# in bounce mode streaming DMA has the host's arena, and that is not small
if [ "$(pv_mode)" = window ]; then
	[ "$after" -gt "$before" ] ||
		fail "the window was never full, so this has shown nothing"
fi
allocator_whole
