#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: a CD-ROM on AHCI reads what a disk image holds
# VM: disk
# Timeout: 60
. ./lib.sh

wait_for 20 test -e /sys/block/sr0 || skip "this VM has no CD-ROM"
dev=$(readlink -f /sys/block/sr0/device | grep -o '0000:[^/]*' | tail -n 1)
need_attached "$dev"
before=$(stat_of "$dev" maps)
# nothing was ever written there
[ "$(head -c 4194304 /dev/sr0 | wc -c)" = 4194304 ] || fail "short read"
[ "$(head -c 4194304 /dev/sr0 | tr -d '\0' | wc -c)" = 0 ] || fail "wrong bytes"
[ "$(stat_of "$dev" maps)" -gt "$before" ] || fail "no DMA through pv-iommu"
