#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# What `make run` does in the guest: real I/O on each of the devices, and a
# table of what pv-iommu counted. Every figure is read or measured here; the
# status is not 0 when one of them is wrong.

# What is missing must not count as 0
set -u
# shellcheck source=../../selftests/pv_iommu/lib.sh
. /tests/lib.sh
# shellcheck source=wire.sh
. /guest/wire.sh

DISK_MIB=256
NET_MIB=32
failures=0

# A line for whoever ran make run
say() {
	echo "say $*" >/dev/ttyS1
	echo "$*"
}

wrong() {
	say "WRONG: $*"
	failures=$((failures + 1))
}

# value FILE: the number in it, or a word that no comparison likes
value() {
	cat "$1" 2>/dev/null || echo missing
}

# chunks_moved: how many chunks were granted and revoked so far
chunks_moved() {
	awk '$1 == "grants" || $1 == "revokes" { n += $2; seen++ }
		END { print seen == 2 ? n : "missing" }' /sys/kernel/debug/pv_iommu/window
}

# wrong_bytes A B: how many bytes differ, or are missing at the end of one
wrong_bytes() {
	local a b n
	a=$(stat -c %s "$1")
	b=$(stat -c %s "$2")
	n=$(cmp -l "$1" "$2" 2>/dev/null | wc -l)
	[ "$a" -ge "$b" ] && n=$((n + a - b)) || n=$((n + b - a))
	echo "$n"
}

host_dev=$(host_dir)
if [ -z "$host_dev" ]; then
	say "pv_iommu did not find its device:"
	dmesg | grep -i pv.iommu | while read -r line; do say "  $line"; done
	exit 1
fi
for file in mode window_size window_granted window_used window_high_water \
	hypercalls refused_dmas; do
	[ -r "$host_dev/$file" ] || wrong "$host_dev has no $file"
done
[ $failures = 0 ] || exit 1
mode=$(value "$host_dev/mode")
say "Linux $(uname -r), $(awk '/MemTotal/ { printf "%d", $2 / 1024 }' /proc/meminfo) MiB," \
	"window $(($(value "$host_dev/window_size") >> 20)) MiB, mode $mode"

wait_for 30 test -b /dev/nvme0n1 || wrong "there is no NVMe disk"
wait_for 30 test -b /dev/vda || wrong "there is no virtio disk"

# The cards
card_a=$(netdev_of e1000e)
card_b=$(netdev_of virtio_net)
[ -n "$card_a" ] || wrong "there is no e1000e"
[ -n "$card_b" ] || wrong "there is no virtio-net"
[ $failures = 0 ] || exit 1

# What the firmware did before there was pv_iommu does not count
refused_before=$(value "$host_dev/refused_dmas")
hypercalls_before=$(value "$host_dev/hypercalls")
chunks_before=$(chunks_moved)
bad=0

# fio_verify NAME FILENAME MIB SIZES: writes, reads back and compares
fio_verify() {
	local fields read written errors
	say "$1: fio writes $3 MiB in pieces of $4, reads it back and compares"
	fio --minimal --name=verify --filename="$2" --size="$3M" --rw=randwrite \
		--bsrange="$4" --ioengine=libaio --direct=1 \
		--iodepth=16 --verify=crc32c --do_verify=1 --verify_fatal=0 \
		--continue_on_error=verify --randseed=1 >/tmp/fio.out 2>/tmp/fio.err
	status=$?
	cat /tmp/fio.err
	fields=$(grep '^3;fio' /tmp/fio.out | tail -n 1)
	errors=$(echo "$fields" | cut -d ';' -f 5)
	read=$(echo "$fields" | cut -d ';' -f 6)
	written=$(echo "$fields" | cut -d ';' -f 47)
	echo "fio: status $status, error ${errors:-?}, read ${read:-0} KiB, wrote ${written:-0} KiB"
	# A block that does not verify has at least one wrong byte
	bad=$((bad + $(grep -c '^verify:' /tmp/fio.err)))
	[ $status = 0 ] && [ "$errors" = 0 ] || wrong "fio on $1: status $status: $(head -n 1 /tmp/fio.err)"
	[ "${written:-0}" -ge $(($3 * 1024)) ] || wrong "fio wrote ${written:-0} KiB to $1"
	[ "${read:-0}" -ge $(($3 * 1024)) ] || wrong "fio verified ${read:-0} KiB of $1"
}

say "nvme: making a file system"
mkfs.ext4 -q -F /dev/nvme0n1 && mount -t ext4 /dev/nvme0n1 /mnt ||
	wrong "no file system on the NVMe disk"
fio_verify nvme /mnt/fio $DISK_MIB 4k-1m
umount /mnt
fsck.ext4 -f -n /dev/nvme0n1 >/tmp/fsck.out 2>&1 ||
	wrong "fsck on the NVMe disk: $(tail -n 1 /tmp/fsck.out)"
fio_verify virtio-blk /dev/vda 32 512-256k

wire_up "$card_a" "$card_b"
wait_for 60 wire_works || wrong "the network cards do not reach each other"

# transfer FROM TO ADDRESS CARD: a file over the wire
transfer() {
	local count sum_a sum_b
	say "network: $NET_MIB MiB from $4"
	dd if=/dev/urandom of=/tmp/sent bs=1M count=$NET_MIB 2>/dev/null
	wire_send "$1" "$2" "$3" 240
	sum_a=$(sha256sum </tmp/sent)
	sum_b=$(sha256sum </tmp/got)
	count=$(wrong_bytes /tmp/sent /tmp/got)
	bad=$((bad + count))
	[ "$count" = 0 ] && [ "$sum_a" = "$sum_b" ] ||
		wrong "network from $4: $count bytes differ"
	rm -f /tmp/sent /tmp/got
}
transfer a b $WIRE_B "the e1000e to the virtio-net"
transfer b a $WIRE_A "the virtio-net to the e1000e"

hypercalls=$(($(value "$host_dev/hypercalls") - hypercalls_before))
chunks=$(($(chunks_moved) - chunks_before))

# Which devices must have carried how much, there and back, at the least: what
# was sent, doubled for the disks, which also read it back
say ""
say "$(printf '%-14s %-12s %-8s %10s %14s %10s %14s' device driver mode \
	maps 'bytes bounced' failures 'granted (max)')"
maps=0
unmaps=0
granted_max=0
domains=
map_calls=0
unmap_calls=0
data_calls=0
seen=
for dir in /sys/bus/pci/devices/*/pv_iommu; do
	[ -d "$dir" ] || continue
	device=${dir%/pv_iommu}
	driver=$(basename "$(readlink "$device/driver")")
	# What a virtio device is shows on the virtio bus
	for virtio in "$device"/virtio*/driver; do
		[ -e "$virtio" ] && driver=$(basename "$(readlink "$virtio")")
	done
	bytes=$(($(value "$dir/bytes_to_device") + $(value "$dir/bytes_from_device")))
	say "$(printf '%-14s %-12s %-8s %10s %14s %10s %14s' "$(basename "$device")" \
		"$driver" "$(value "$dir/mode")" "$(value "$dir/maps")" "$bytes" \
		"$(value "$dir/failures")" "$(value "$dir/domain_granted_max")")"
	# Whoever has carried anything has had a chunk for it
	[ "$(value "$dir/domain_granted_max")" -gt 0 ] ||
		wrong "$driver: it was granted nothing"
	# Devices of one domain share what it has
	case " $domains " in
	*" $(value "$dir/domain") "*) ;;
	*)	granted_max=$((granted_max + $(value "$dir/domain_granted_max")))
		domains="$domains $(value "$dir/domain")"
		;;
	esac
	maps=$((maps + $(value "$dir/maps")))
	unmaps=$((unmaps + $(value "$dir/unmaps")))
	map_calls=$((map_calls + $(value "$dir/hypercalls_map")))
	unmap_calls=$((unmap_calls + $(value "$dir/hypercalls_unmap")))
	data_calls=$((data_calls + $(value "$dir/hypercalls")))
	[ "$(value "$dir/failures")" = 0 ] || wrong "$driver: mappings failed"
	case $driver in
	nvme)			least=$((DISK_MIB << 21)) ;;
	virtio_blk)		least=$((32 << 21)) ;;
	e1000e | virtio_net)	least=$((NET_MIB << 21)) ;;
	*)			least=0 ;;
	esac
	[ "$bytes" -ge "$least" ] || wrong "$driver: less was bounced than was moved"
	seen="$seen $driver"
done
for driver in nvme e1000e virtio_net virtio_blk; do
	case "$seen " in
	*" $driver "*) ;;
	*)	wrong "$driver is not behind pv-iommu" ;;
	esac
done

# per CALLS TIMES: the ratio
per() {
	awk "BEGIN { printf \"%.2f\", $1 / ($2 ? $2 : 1) }"
}

refused=$(($(value "$host_dev/refused_dmas") - refused_before))
say ""
granted=$(value "$host_dev/window_granted")
say "window                    $(value "$host_dev/window_size") bytes"
say "granted now               $granted bytes; each domain's most, together: $granted_max"
[ "$granted" -le "$(value "$host_dev/window_size")" ] ||
	wrong "more is granted than there is"
[ "$granted" -ge "$(value "$host_dev/window_used")" ] ||
	wrong "more is used than is granted"
say "window in use             $(value "$host_dev/window_used") bytes"
say "window high-water mark    $(value "$host_dev/window_high_water") bytes"
say "hypercalls on data path   $data_calls"
say "hypercalls in all         $hypercalls, $chunks chunks granted and revoked meanwhile"
if [ "$mode" = bounce ]; then
	say "hypercalls per map        $(per "$map_calls" "$maps")"
	say "hypercalls per unmap      $(per "$unmap_calls" "$unmaps")"
	[ "$map_calls" -le "$maps" ] || wrong "a map took more than one hypercall"
	[ "$unmap_calls" -le "$unmaps" ] || wrong "an unmap took more than one hypercall"
	[ "$hypercalls" -gt 0 ] || wrong "no hypercall was made"
	[ "$hypercalls" -le $((maps + unmaps + chunks)) ] || wrong "too many hypercalls"
else
	[ "$data_calls" = 0 ] || wrong "hypercalls were made for mappings"
	# What is left is chunks, one hypercall for one of them at the most
	[ "$hypercalls" -le "$chunks" ] ||
		wrong "more hypercalls were made than chunks granted and revoked"
fi
say "refused DMAs              $refused"
say "wrong bytes               $bad"
[ "$refused" = 0 ] || wrong "DMAs were refused"
[ "$bad" = 0 ] || wrong "bytes were wrong"
[ "$(head -n 1 /sys/kernel/debug/pv_iommu/check)" = ok ] ||
	wrong "allocator: $(head -n 1 /sys/kernel/debug/pv_iommu/check)"
[ $failures = 0 ]
