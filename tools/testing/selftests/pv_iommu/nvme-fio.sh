#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: NVMe: fio verifies blocks of 512 B to 1 MiB at queue depths to 64
# VM: main
# Timeout: 300
. ./lib.sh

need_disk nvme "NVMe disk"
failures=$(stat_of "$dev" failures)
refused=$(host_stat refused_dmas)
# block size, depth, bytes
while read -r bs depth size; do
	fio_verify "/dev/$disk" --bs="$bs" --iodepth="$depth" --size="$size"
done <<-END
	512	64	1M
	1k	8	1M
	4k	1	2M
	4k	64	8M
	64k	8	16M
	256k	16	32M
	1M	1	16M
	1M	32	64M
END
fio_verify "/dev/$disk" --bsrange=512-1M --bs_unaligned=0 --blockalign=512 \
	--iodepth=32 --size=32M
fio_verify "/dev/$disk" --bs=4k --ioengine=psync --numjobs=4 --size=2M \
	--offset_increment=8M
[ "$(stat_of "$dev" failures)" = "$failures" ] || fail "mappings failed"
[ "$(host_stat refused_dmas)" = "$refused" ] || fail "DMAs were refused"
allocator_whole
