#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: memory goes offline and is unplugged: not while it is mapped; what is kept goes back before
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

# offline FILE: says how it ended, and waits for nothing
offline() {
	if timeout $((30 * FACTOR)) sh -c "echo offline >$1" 2>/tmp/offline; then
		echo gone
	elif grep -q "busy" /tmp/offline; then
		echo refused
	else
		echo "neither gone nor refused: $(cat /tmp/offline)"
	fi
}

plug

# A page of one of its blocks is mapped all the time: that block is refused, and at once,
# whoever else could be made to give it up; its memory is granted still, and is kept after
# the unmap, until it is taken offline
load_cases
blocks=$(movable)
before=$(kept)
echo movable >$pvt_debug/held || fail "no page of that memory is mapped"
one=$(($(kept) - before))
[ "$one" = $((2 << 20)) ] || fail "$one bytes are kept for one page"
refused=
for block in $blocks; do
	state=${block%/valid_zones}/state
	how=$(offline "$state")
	echo "${state#/sys/devices/system/memory/}: $how"
	case $how in
	gone) ;;
	refused) refused="$refused $state" ;;
	*) fail "$state: $how" ;;
	esac
done
# shellcheck disable=SC2086 # one word each
set -- $refused
[ $# = 1 ] || fail "one block is in use, and $# were refused"
[ "$(cat "$1")" = online ] || fail "it was refused and is $(cat "$1")"
[ "$(kept)" = $((before + one)) ] || fail "of what is mapped $(($(kept) - before)) bytes are kept"
echo 0 >$pvt_debug/held
[ "$(kept)" = $((before + one)) ] || fail "after the unmap $(($(kept) - before)) bytes are kept"
[ "$(offline "$1")" = gone ] || fail "it is refused, and nothing of it is mapped"
[ "$(kept)" = "$before" ] || fail "$(($(kept) - before)) bytes are kept of what is offline"
[ "$(host_stat direct_granted)" = "$before" ] ||
	fail "$(host_stat direct_granted) bytes granted, $before kept"
for block in $blocks; do
	echo online_movable >"${block%/valid_zones}/state" || fail "$block does not come back"
done

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
