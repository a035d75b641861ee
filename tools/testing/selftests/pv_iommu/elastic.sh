#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: 1 GiB of window, six devices: at most 16 MiB granted and resident when idle, under load what is in use and one chunk each; 6 cycles
# VM: elastic
# Modes: window
# Timeout: 900
#
# By hand: SET=CYCLES=100
. ./lib.sh

IDLE_MIB=16
CYCLES=${CYCLES:-6}
# At least so many under load; where all disks share one domain, less is left over
loaded=$IDLE_MIB
[ "$ISOLATION" != off ] || loaded=$((IDLE_MIB / 2))

modprobe pviommu_test || fail "no pviommu_test"

mib() {
	echo "$(($1 >> 20)) MiB"
}

# Bytes of the window that are in the host's memory
resident() {
	echo $(($(host resident "$(host_stat window_size)") << 10))
}

# is_idle: little is granted and resident, and the host counts as the guest does. The two
# counts are read one after the other, a chunk may go back in between
is_idle() {
	granted=$(host_stat window_granted)
	host=$(cat $pvt_debug/granted)
	rss=$(resident)
	[ "$granted" = "$host" ] &&
		[ "$granted" -le $((IDLE_MIB << 20)) ] &&
		[ "$rss" -le $((IDLE_MIB << 20)) ]
}

# idle WHEN: few seconds after the last I/O little is granted, and it stays so
idle() {
	local granted host
	wait_for 20 is_idle && sleep 2 && wait_for 10 is_idle ||
		fail "$1: $granted bytes granted, $host says the host, $rss resident: $(cat $pv_debug/domains)"
	echo "$1: $(mib "$granted") granted, $(mib "$rss") resident"
}

# load: all disks at once; $most is the most that was granted, $most_rss resident
load() {
	local disk jobs now
	jobs=
	most=0
	most_rss=0
	for disk in $disks; do
		fio_verify "/dev/$disk" --bsrange=4k-512k --blockalign=4k \
			--iodepth=64 --size=48M >"/tmp/out-$disk" 2>&1 &
		jobs="$jobs $!"
	done
	# shellcheck disable=SC2086 # one word each
	while kill -0 $jobs 2>/dev/null; do
		sleep 0.5
		now=$(host_stat window_granted)
		[ "$now" -le $most ] || most=$now
		now=$(resident)
		[ "$now" -le $most_rss ] || most_rss=$now
	done
	for pid in $jobs; do
		wait "$pid" || {
			cat /tmp/out-*
			fail "fio: $(tail -q -n 1 /tmp/out-* | head -n 1)"
		}
	done
}

tracing=/sys/kernel/tracing
[ -d $tracing/events ] || mount -t tracefs tracefs $tracing || fail "no tracefs"

trace_on() {
	echo 16384 >$tracing/buffer_size_kb
	for event in map unmap; do
		echo "$1" >$tracing/events/pv_iommu/pviommu_$event/enable || fail "no trace of $event"
	done
}

# disk_device DISK: the PCI device that it is behind
disk_device() {
	readlink -f "/sys/block/$1/device" | sed 's,.*/\(0000:[0-9a-f:.]*\)/.*,\1,'
}

# in_use DEVICE: KiB that its disk had mapped at once at most, as blocks of the allocator,
# which are powers of two
in_use() {
	awk -v rid="rid=${1#0000:}" '
	/pviommu_(un)?map:/ {
		for (i = 1; i <= NF; i++) {
			split($i, a, "=")
			field[a[1]] = a[2]
			if ($i == rid)
				mine = NR
		}
		if (mine != NR)
			next
		dma = field["dma"]
		if (/pviommu_unmap:/) {
			now -= size[dma]
			delete size[dma]
			next
		}
		for (block = 4096; block < field["size"]; block *= 2)
			;
		size[dma] = block
		now += block
		if (now > most)
			most = now
	}
	END { print most / 1024 }' /tmp/trace
}

# follows: no more was granted than what was in use, in whole chunks, and one more, which
# is granted ahead of need
follows() {
	local chunk granted mapping used
	# What is granted to all together says nothing of one
	[ "$ISOLATION" != off ] || return 0
	mapping=$(($(nproc) * 512))
	chunk=$(($(host_stat chunk_size) >> 10))
	cat $tracing/trace >/tmp/trace
	grep -q "entries-in-buffer/entries-written: \([0-9]*\)/\1 " /tmp/trace ||
		fail "the trace has lost events: $(head -n 3 /tmp/trace)"
	for disk in $disks; do
		dev=$(disk_device "$disk")
		granted=$(($(stat_of "$dev" domain_granted_max) >> 10))
		# and what each CPU was just mapping: that is traced when it is done
		used=$(($(in_use "$dev") + coherent + mapping))
		echo "$dev: at most $used KiB in use, $granted KiB granted"
		[ "$used" -gt $((coherent + mapping)) ] || fail "$dev: no mapping seen"
		[ $granted -le $((((used + chunk - 1) / chunk + 1) * chunk)) ] ||
			fail "$dev: $granted KiB granted for $used KiB in use"
	done
	rm /tmp/trace
}

wait_for 20 disks_there 4 || fail "not four disks: $disks"
[ "$(echo "$devices" | wc -w)" -ge 6 ] || fail "not six devices: $devices"
# shellcheck disable=SC2086 # one word each
need_attached $devices
echo "devices:$devices; disks:$disks"

idle "at start"
full=$(window_stat full)
# KiB of coherent memory of a driver, and what is mapped for good
coherent=0
for disk in $disks; do
	used=$(($(stat_of "$(disk_device "$disk")" domain_used) >> 10))
	[ $used -le $coherent ] || coherent=$used
done
cycle=0
while [ $cycle -lt "$CYCLES" ]; do
	cycle=$((cycle + 1))
	[ $cycle != 1 ] || trace_on 1
	load
	[ $cycle != 1 ] || {
		trace_on 0
		follows
	}
	echo "under load: up to $(mib "$most") granted, $(mib "$most_rss") resident"
	[ "$most" -gt $((loaded << 20)) ] ||
		fail "no more than $(mib "$most") granted under load"
	[ "$most_rss" -gt $((loaded << 20)) ] ||
		fail "no more than $(mib "$most_rss") resident under load"
	idle "after cycle $cycle"
done
for dev in $devices; do
	[ "$(failures_of "$dev")" = 0 ] || fail "$dev: $(failures_of "$dev") mappings failed"
	echo "$dev: grants $(stat_of "$dev" domain_grants), late $(stat_of "$dev" domain_grants_late), revokes $(stat_of "$dev" domain_revokes), at most $(mib "$(stat_of "$dev" domain_granted_max)")"
done
[ "$(window_stat full)" = "$full" ] || fail "$(($(window_stat full) - full)) allocations found nothing"
allocator_whole
