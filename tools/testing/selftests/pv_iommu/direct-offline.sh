#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: memory of which direct mappings are kept is unplugged and comes back: it is given back before
# VM: direct-dimm
# Modes: direct
# Timeout: 240
. ./lib.sh

SIZE=$((256 << 20))

need_disk nvme "NVMe disk"
# Nothing goes for want of use
echo 3600 >/sys/module/pv_iommu/parameters/direct_cache_idle

# movable: blocks of memory that are there for what may move only
movable() {
	grep -lx Movable /sys/devices/system/memory/memory*/valid_zones 2>/dev/null
}

there() {
	[ -n "$(movable)" ]
}

kept() {
	host_stat direct_cached
}

plug() {
	host qmp object-add "{\"qom-type\":\"memory-backend-ram\",\"id\":\"more\"," \
		"\"size\":$SIZE}" >/dev/null || fail "no more memory"
	host plug pc-dimm id=dimm0 memdev=more || fail "it cannot be plugged"
	wait_for 20 there || fail "what was plugged is not there"
}

# What devices read and write is there, once a run: user pages, of the movable zone first
use() {
	fio_verify "/dev/$disk" --bs=1m --size=192M --iodepth=128 --iomem=mmap
}

plug
use
before=$(kept)
[ "$before" -gt 0 ] || fail "nothing is kept"

host unplug dimm0 || fail "it does not go"
! there || fail "what was unplugged is there still"
after=$(kept)
echo "$before bytes kept; without the $SIZE that went: $after"
[ "$after" -lt "$before" ] || fail "$after bytes are kept as before"
[ "$(host_stat direct_granted)" = "$after" ] ||
	fail "$(host_stat direct_granted) bytes granted, $after kept"
fio_verify "/dev/$disk" --bs=4k-128k

host qmp object-del '{"id":"more"}' >/dev/null || fail "its memory does not go"
plug
after=$(kept)
use
[ "$(kept)" -gt "$after" ] || fail "nothing of what came back is kept"
[ "$(stat_of "$dev" failures)" = 0 ] || fail "$(stat_of "$dev" failures) maps failed"
! said "refused to take back" || fail "the host refused to take pages back"
