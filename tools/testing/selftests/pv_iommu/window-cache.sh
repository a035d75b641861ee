#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: fio to 64 KiB: 99% of the maps are served by the CPU's cache; metadata is 0.8% at most
# VM: main
# Modes: window
# Timeout: 120
. ./lib.sh

# Sizes up to 64 KiB, of which a CPU keeps 64 blocks. Of 256 KiB it keeps 2, and the 32
# requests in flight here ask for more.

need_disk nvme "NVMe disk"

# On one CPU: each move to another, whose cache has gone back meanwhile, would fill that
run_fio() {
	fio --name=cache --filename="/dev/$disk" --direct=1 --ioengine=libaio \
		--cpus_allowed=0 \
		--iodepth=32 --rw=randrw --bsrange=512-64k --size=256M \
		--io_size="$1" --output=/tmp/fio.out || fail "fio: $(tail -n 3 /tmp/fio.out)"
}

# The caches fill
run_fio 48M
hits=$(window_stat cache_hits)
misses=$(window_stat cache_misses)
run_fio 96M
hits=$(($(window_stat cache_hits) - hits))
misses=$(($(window_stat cache_misses) - misses))
echo "$hits of $((hits + misses)) maps were served by the CPU's cache"
[ $hits -ge 1000 ] || fail "only $hits maps: that says nothing"
[ $((misses * 100)) -le $((hits + misses)) ] ||
	fail "$misses of $((hits + misses)) maps were not served by the CPU's cache"

metadata=$(window_stat metadata)
size=$(window_stat size)
echo "metadata: $metadata bytes for a window of $size"
[ $((metadata * 1000)) -le $((size * 8)) ] ||
	fail "$metadata bytes of metadata for a window of $size"
