#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: NVMe: name spaces of 512 B and of 4 KiB blocks
# VM: formats
# Timeout: 120
. ./lib.sh

seen=
for disk in /sys/block/nvme*n*; do
	[ -e "$disk" ] || continue
	size=$(cat "$disk/queue/logical_block_size")
	fio_verify "/dev/${disk##*/}" --bs="$size" --size=2M
	fio_verify "/dev/${disk##*/}" --bsrange="$size-256k" --size=16M \
		--blockalign="$size"
	seen="$seen $size"
done
[ -n "$seen" ] || fail "there is no NVMe disk"
case "$seen" in *512*) ;; *) fail "no disk has blocks of 512 B" ;; esac
case "$seen" in *4096*) ;; *) fail "no disk has blocks of 4 KiB" ;; esac
allocator_whole
