#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: for hours, disks verify and cards talk while devices, drivers and the machine come and go; a report
# VM: soak
# Timeout: 900
# Hours: HOURS
#
# By hand: make soak HOURS=4, or SET='HOURS=4 SEED=1 EVENTS=ram+migrate'
. ./lib.sh

[ -n "$HOURS" ] || skip "takes hours: make soak HOURS=4"

. ./net-lib.sh
. ./hotplug-lib.sh
. ./suspend-lib.sh

SEED=${SEED:-$(od -A n -N 2 -t u2 /dev/urandom | tr -d ' ')}
EVENTS=${EVENTS:-hotplug+rebind+idle+ram+migrate+memory+limit}
MAC_A=52:54:00:00:00:10
MAC_B=52:54:00:00:00:11
LIMIT_MIB=16
# kB that are left to others under memory pressure
LEFT=$((64 << 10))
# Some MiB in flight on each disk: together more than LIMIT_MIB
load_words="--bsrange=512-256k --blockalign=512 --iodepth=32 --size=4M"
WIRE_MIB=1

# All that the report is made of is in files, as a failure ends the shell that meets it:
# /tmp/disks/NAME and /tmp/network have a line for each round of I/O, "I/Os KIB-WRITTEN
# KIB-READ GRANTED"; /tmp/events has one for each event
DISKS="nvme ahci virtio-blk virtio-scsi"
mkdir /tmp/disks
touch /tmp/network /tmp/events
for name in $DISKS; do
	: >"/tmp/disks/$name"
done

# say WORDS...: on the console, and for who watches
say() {
	echo "$*"
	host note "$*" >/dev/null
}

# round_done FILE IOS KIB-WRITTEN KIB-READ
round_done() {
	echo "$2 $3 $4 $(host_stat window_granted)" >>"$1"
}

# What fio has to say of both is in its terse line; it verifies all that it reads
disk_round() {
	# shellcheck disable=SC2086 # one word each
	fio_verify "/dev/$2" $load_words --output-format=normal,terse
	# shellcheck disable=SC2046 # three
	round_done "/tmp/disks/$1" $(awk -F ';' '
		/^3;/ { read = $6; wrote = $47 }
		/issued rwts:/ { split($0, n, "[=,]"); ios = n[2] + n[3] }
		END { print ios, wrote, read }' "/tmp/fio-$2.log")
}

net_round() {
	need_wire
	transfer a b "$WIRE_B"
	transfer b a "$WIRE_A"
	round_done /tmp/network 2 $((WIRE_MIB << 11)) $((WIRE_MIB << 11))
}

device_named() {
	cat "/tmp/device-$1"
}

# disk_begin NAME: its disk, whose name may have changed
disk_begin() {
	local disk
	wait_for 60 disk_of "$(device_named "$1")" >/dev/null || fail "$how: $1: no disk"
	disk=$(disk_of "$(device_named "$1")")
	wait_for 20 test -b "/dev/$disk" || fail "$how: no /dev/$disk"
	need_attached "$(device_named "$1")"
	load_run "$1" disk_round "$1" "$disk"
}

net_begin() {
	wire_cards $MAC_A $MAC_B
	load_run network net_round
}

# name_disks: of each disk the device that it is behind
name_disks() {
	local disk
	for dev in $devices; do
		disk=$(disk_of "$dev") || continue
		case $(basename "$(readlink "/sys/bus/pci/devices/$dev/driver")")-$disk in
		virtio-pci-vd*)	echo "$dev" >/tmp/device-virtio-blk ;;
		virtio-pci-sd*)	echo "$dev" >/tmp/device-virtio-scsi ;;
		ahci-*)		echo "$dev" >/tmp/device-ahci ;;
		nvme-*)		echo "$dev" >/tmp/device-nvme ;;
		esac
	done
}

# rebind DEVICE: its driver lets go of it, and takes it again
rebind() {
	local driver
	driver=$(readlink -f "/sys/bus/pci/devices/$1/driver")
	echo "$1" >"$driver/unbind" || fail "$how: unbind $1"
	[ ! -d "/sys/bus/pci/devices/$1/pv_iommu" ] ||
		fail "$how: $1 is still attached when unbound"
	echo "$1" >"$driver/bind" || fail "$how: bind $1"
}

event_hotplug() {
	load_stop nvme
	nvme_there
	nvme_pull
	nvme_plug
	disk_begin nvme
}

event_rebind() {
	local name
	for name in $DISKS; do
		load_stop "$name"
		rebind "$(device_named "$name")"
		disk_begin "$name"
	done
	load_stop network
	wire_gone $MAC_A
	wait_for 10 card $MAC_B >/dev/null || fail "$how: the card did not come back"
	rebind "$left_pci"
	rebind "$right_pci"
	wait_for 20 card $MAC_A >/dev/null && wait_for 20 card $MAC_B >/dev/null ||
		fail "$how: no card"
	net_begin
}

event_idle() {
	sleep_by freeze
}

event_ram() {
	sleep_by mem
}

# QEMU migrates no machine that has an NVMe. It has a slot anyway, and is in it at all
# other events
event_migrate() {
	local stopped
	load_stop nvme
	nvme_there
	nvme_unplug
	stopped=$(host migrate) || fail "$how: $stopped"
	echo "stood still for $stopped ms"
	load_goes_on
	nvme_plug
	disk_begin nvme
}

left_over() {
	awk '/^MemAvailable:/ { print $2 }' /proc/meminfo
}

# Of the guest's memory little is free, and then it is moved about
event_memory() {
	mkdir -p /tmp/full
	mount -t tmpfs -o size=100% full /tmp/full || fail "$how: no tmpfs"
	while [ "$(left_over)" -gt $LEFT ]; do
		dd if=/dev/zero bs=1M count=8 >>/tmp/full/zeros 2>/dev/null ||
			fail "$how: cannot take memory"
	done
	load_goes_on
	echo 3 >/proc/sys/vm/drop_caches
	echo 1 >/proc/sys/vm/compact_memory
	load_goes_on
	umount /tmp/full
}

in_limit() {
	[ "$(host_stat window_granted)" -le $((LIMIT_MIB << 20)) ]
}

event_limit() {
	host_set limit $((LIMIT_MIB << 20))
	wait_for 60 in_limit || fail "$how: $(host_stat window_granted) bytes are granted still"
	load_goes_on
	in_limit || fail "$how: $(host_stat window_granted) bytes are granted"
	host_set limit "$(host_stat window_size)"
}

# judge EVENT: all goes on, and nothing has been refused. Not whether the allocator finds
# anything wrong with itself: with traffic it may, see pviommu_window_check().
judge() {
	local dev file now
	load_goes_on
	now=$(host_stat refused_dmas)
	[ "$now" -le "$refused" ] || fail "$1: $((now - refused)) DMAs were refused"
	# a suspend to RAM resets the counter
	refused=$now
	! said "to attach again" || fail "$1: a device was not attached again"
	[ "$(host_property x-dropped-mappings)" = 0 ] || fail "$1: mappings were dropped"
	for dev in $(cat /tmp/device-*) $left_pci $right_pci; do
		need_attached "$dev"
		file=/tmp/failures-$dev
		now=$(failures_of "$dev")
		# under pressure drivers are told to come again
		[ "$1" = limit ] || [ "$now" -le "$(cat "$file" 2>/dev/null || echo 0)" ] ||
			fail "$1: $dev: mappings failed"
		echo "$now" >"$file"
	done
}

# figures FILE...: of all rounds together
figures() {
	awk '{ ios += $1; wrote += $2; read += $3 }
		END { printf "%d I/Os, %d MiB written, %d MiB read and verified",
			ios, wrote / 1024, read / 1024 }' "$@"
}

network() {
	awk '{ kib += $3 } END { printf "%d MiB over the network", kib / 1024 }' \
		/tmp/network
}

# order ROUND: the events, as the seed says for that round
order() {
	echo "$EVENTS" | tr + '\n' | awk -v seed=$((SEED + $1)) \
		'BEGIN { srand(seed) } { print rand(), $1 }' | sort -n | cut -d ' ' -f 2
}

soak() {
	local end event name round
	how="at start"
	# There was none as the guest booted
	modprobe nvme || fail "no driver for NVMe"
	nvme_plug
	wait_for 20 disks_there 4 || fail "four disks are wanted, there are: $disks"
	name_disks
	wire_cards $MAC_A $MAC_B
	# what it takes is given back
	sleep 10
	host_stat window_granted >/tmp/idle
	wire_gone $MAC_A
	wait_for 10 card $MAC_B >/dev/null || fail "the card did not come back"

	refused=$(host_stat refused_dmas)
	net_begin
	for name in $DISKS; do
		disk_begin "$name"
	done
	load_goes_on
	end=$(awk -v now="$begin" -v h="$HOURS" 'BEGIN { printf "%d", now + h * 3600 }')
	round=0
	while :; do
		for event in $(order $round); do
			[ "$(date +%s)" -lt "$end" ] || break 2
			how=$event
			echo "$(date +%T) $event begins"
			"event_$event"
			judge "$event"
			echo "$event" >>/tmp/events
			say "$(date +%T) $event: $(figures /tmp/disks/*),"\
				"$(network); $(($(host_stat window_granted) >> 20)) MiB granted"
		done
		round=$((round + 1))
	done

	how="at the end"
	load_stop
	wire_gone $MAC_A
	allocator_whole
}

# Granted: at most, when nothing was at work at the start, and now
highest() {
	sort -n -k 4 /tmp/disks/* /tmp/network | awk 'END { print $4 }'
}

is_idle() {
	[ "$(host_stat window_granted)" -le $(($(cat /tmp/idle) + $(host_stat chunk_size))) ]
}

report() {
	local disk event
	say "soak: $(awk -v s=$(($(date +%s) - begin)) 'BEGIN { printf "%.2f", s / 3600 }')" \
		"hours in mode $(pv_mode), seed $SEED"
	for disk in $DISKS; do
		say "$disk: $(figures "/tmp/disks/$disk")"
	done
	say "$(network), checked"
	say "events:" "$(sort /tmp/events | uniq -c | awk '{ print $2, $1 }' | paste -s -d ,)"
	say "failures: ${failed:+1, }${failed:-0}"
	say "granted: at most $(($(highest) >> 20)) MiB," \
		"$(($(host_stat window_granted) >> 20)) MiB at the end," \
		"$(($(cat /tmp/idle) >> 20)) MiB before"
}

begin=$(date +%s)
echo "seed $SEED"
{
	(soak)
	echo $? >/tmp/status
} | tee /tmp/said
failed=
[ "$(cat /tmp/status)" = 0 ] || failed=$(tail -n 1 /tmp/said | sed 's/FAIL: //g')
[ -n "$failed" ] || wait_for 30 is_idle
report
[ -z "$failed" ] || fail "$failed"
for event in $(order 0); do
	grep -qx "$event" /tmp/events || fail "no $event: HOURS=$HOURS is too short"
done
is_idle || fail "$(host_stat window_granted) bytes are granted, at the start it was $(cat /tmp/idle)"
[ "$(pv_mode)" = bounce ] || [ "$(highest)" -gt "$(host_stat window_granted)" ] ||
	fail "it never was more than $(host_stat window_granted) bytes: that says nothing"
