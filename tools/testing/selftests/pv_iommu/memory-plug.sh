#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: memory is plugged beside the window, used for DMA, and unplugged meanwhile
# VM: memory
# Timeout: 240
. ./lib.sh

mib=1048576
pages=$((mib / 4096))

total() {
	sed -n 's/^MemTotal: *\([0-9]*\) kB$/\1/p' /proc/meminfo
}

grown() {
	[ $((($(total) - before) / 1024)) -ge "$1" ]
}

shrunk() {
	[ "$(total)" -le "$before" ]
}

# Pages of the plugged memory, which is all that is movable, that somebody has
used_there() {
	awk '$1 == "Node" { here = $4 == "Movable" }
		here && $1 == "pages" { free += $3 }
		here && $1 == "present" { present += $2 }
		END { print present - free }' /proc/zoneinfo
}

# What is in a file, by way of the page cache: the pages that the disk writes to
# are movable
cached_sum() {
	echo 3 >/proc/sys/vm/drop_caches
	md5sum <$file
}

read_on() {
	while [ ! -e /tmp/read-stop ]; do
		[ "$(cached_sum)" = "$sum" ] || echo "what was read is wrong"
		echo read
	done >/tmp/read 2>&1
}

# use_it MIB: as much more is there, and DMA goes to it
use_it() {
	wait_for 30 grown "$1" ||
		fail "$2: $(total) kB of memory, and $before before it"
	[ "$(cached_sum)" = "$sum" ] || fail "$2: what was read is wrong"
	[ "$(used_there)" -gt $((96 * pages)) ] ||
		fail "$2: $(used_there) of its pages are in use"
	echo "$2: $((($(total) - before) / 1024)) MiB, $(used_there) pages in use"
}

# while_read COMMAND...: between two rounds of reading
while_read() {
	rm -f /tmp/read-stop
	read_on &
	reader=$!
	wait_for 30 grep -q read /tmp/read || fail "nothing is read"
	"$@" || fail "$*"
	wait_for 60 shrunk || fail "$*: still $(total) kB of memory, before: $before"
	load_goes_on
	: >/tmp/read-stop
	wait $reader
	! grep -m 1 wrong /tmp/read || fail "while $*"
	rm /tmp/read
}

backend() {
	host qmp object-add '{"qom-type": "memory-backend-ram", "id": "'"$1"'", "size": '$(($2 * mib))'}' \
		>/dev/null || fail "backend $1"
}

wait_for 20 disks_there 2 || fail "two disks are wanted, there are: $disks"
# shellcheck disable=SC2086 # one word each
set -- $disks
mkfs.ext4 -q -F "/dev/$2" || fail "mkfs.ext4"
mount -t ext4 "/dev/$2" /mnt || fail "mount"
file=/mnt/file
dd if=/dev/urandom of=$file bs=1M count=128 conv=fsync 2>/dev/null ||
	fail "dd"
sum=$(dd if=$file bs=1M iflag=direct 2>/dev/null | md5sum)
refused=$(host_stat refused_dmas)
before=$(total)
load_start "$1"
load_goes_on

# A slot is used again: what the host does then is the same in both modes
rounds="1 2"
[ "$(pv_mode)" = window ] || rounds=1
for round in $rounds; do
	backend dimm0-mem 1024
	host plug pc-dimm id=dimm0 memdev=dimm0-mem || fail "pc-dimm"
	use_it 1000 "pc-dimm, round $round"
	while_read host unplug dimm0
	host qmp object-del '{"id": "dimm0-mem"}' >/dev/null || fail "backend"
done

modprobe virtio_mem || fail "no virtio_mem"
backend vmem0-mem 512
host plug virtio-mem-pci id=vmem0 bus=port0 memdev=vmem0-mem \
	requested-size=512M iommu_platform=on || fail "virtio-mem-pci"
use_it 500 virtio-mem
while_read host qmp qom-set '{"path": "/machine/peripheral/vmem0", "property": "requested-size", "value": 0}'

load_stop
umount /mnt || fail "umount"
[ "$(host_stat refused_dmas)" = "$refused" ] || fail "DMAs were refused"
allocator_whole
