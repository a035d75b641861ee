#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: virtio-rng gives random numbers
# VM: disk
# Timeout: 60
. ./lib.sh

modprobe -q virtio_rng
wait_for 10 grep -q virtio /sys/class/misc/hw_random/rng_available ||
	skip "this VM has no virtio-rng"
name=$(tr ' ' '\n' </sys/class/misc/hw_random/rng_available | grep -m 1 virtio)
echo "$name" >/sys/class/misc/hw_random/rng_current || fail "cannot choose $name"
dd if=/dev/hwrng of=/tmp/a bs=512 count=1 iflag=fullblock 2>/dev/null || fail "read"
dd if=/dev/hwrng of=/tmp/b bs=512 count=1 iflag=fullblock 2>/dev/null || fail "read"
[ "$(wc -c </tmp/a)" = 512 ] || fail "short read"
cmp -s /tmp/a /tmp/b && fail "the same numbers twice"
[ "$(od -A n -t x1 -v /tmp/a | tr ' ' '\n' | sort -u | wc -l)" -gt 150 ] ||
	fail "these numbers are not random"
