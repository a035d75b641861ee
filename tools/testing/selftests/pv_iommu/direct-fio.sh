#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: a disk with direct mappings that are kept: fio's requests to map become none; no byte is copied
# VM: direct-disk
# Modes: direct
# Timeout: 240
. ./lib.sh

ROUNDS=12

need_disk nvme "NVMe disk"
echo $((10 * FACTOR)) >/sys/module/pv_iommu/parameters/direct_cache_idle

copied() {
	echo $(($(stat_of "$dev" bytes_to_device) + $(stat_of "$dev" bytes_from_device)))
}

nothing_granted() {
	[ "$(host_stat direct_granted)" = 0 ]
}

nothing_cached() {
	[ "$(host_stat direct_cached)" = 0 ]
}

# What has not been used for long goes back meanwhile
at_rest() {
	granted=$(host_stat direct_granted)
	cached=$(host_stat direct_cached)
	[ "$(host_stat direct_granted)" = "$granted" ]
}

fio_verify "/dev/$disk"
before=$(copied)
[ "${before:-0}" -gt 0 ] || fail "nothing was copied yet: '$before' bytes"
series=
for round in $(seq $ROUNDS); do
	asked=$(stat_of "$dev" hypercalls) maps=$(stat_of "$dev" maps)
	fio_verify "/dev/$disk" --bs=4k-128k
	asked=$(($(stat_of "$dev" hypercalls) - asked))
	maps=$(($(stat_of "$dev" maps) - maps))
	series="$series $asked/$maps"
	[ "$asked" != 0 ] || break
done
echo "requests per map, round by round:$series"
[ "$asked" = 0 ] || fail "round $round: $asked requests for $maps maps"
[ "$(copied)" = "$before" ] || fail "$(($(copied) - before)) bytes were copied"
wait_for 10 at_rest || fail "what is granted does not come to rest"
echo "$granted bytes granted, $cached of them kept"
[ "$granted" -gt 0 ] && [ "$granted" -le $((256 << 20)) ] || fail "$granted bytes granted"
[ "$granted" = "$cached" ] || fail "what is granted is not what is kept"

# Buffers that begin and end within a page: what is between is direct all the same, if it
# is more than one piece. Bounced, what is written is copied once, and what is read twice.
huge=/sys/kernel/mm/transparent_hugepage/enabled
was=$(sed -n 's/.*\[\(.*\)\].*/\1/p' $huge 2>/dev/null)
[ -z "$was" ] || echo never >$huge
# How far fio's buffers are in one piece is by chance, and each time another's
for _ in 1 2 3 4 5; do
	before=$(copied)
	fio_verify "/dev/$disk" --bs=128k --iomem_align=512
	some=$(($(copied) - before))
	[ "$some" -ge $((48 << 20)) ] || break
done
[ -z "$was" ] || echo "$was" >$huge
echo "$some of $((48 << 20)) bytes were copied where buffers begin within a page"
[ "$some" -gt 0 ] && [ "$some" -lt $((48 << 20)) ] ||
	fail "buffers that begin within a page: $some bytes were copied"

# A device that is told to be exact has nothing kept any more, though it goes on mapping
load_start "$disk"
load_goes_on
echo 0 >"/sys/bus/pci/devices/$dev/pv_iommu/direct_cache"
wait_for 60 nothing_cached || fail "$(host_stat direct_cached) bytes kept under load"
load_stop
wait_for 60 nothing_granted || fail "$(host_stat direct_granted) bytes granted without use"
fio_verify "/dev/$disk"
fio_verify "/dev/$disk" --bs=128k --iomem_align=512
[ "$(stat_of "$dev" hypercalls_map)" -gt 0 ] || fail "no requests to map"
nothing_cached || fail "$(host_stat direct_cached) bytes kept"
wait_for 10 nothing_granted || fail "$(host_stat direct_granted) bytes granted at the end"
