#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: four network cards map rings of 4096 buffers and idle: the disk attached last goes on, at half its speed at least
# VM: pressure-nics
# Modes: window
# Timeout: 240
. ./lib.sh

# The disk goes on by its domain's share
need_isolation

# fio_cost BYTES: instructions that it takes to write and verify so much
fio_cost() {
	local before
	before=$(cpu_busy)
	fio_verify "/dev/$disk" --bs=128k --iodepth=32 --size="$1" >&2
	echo $(($(cpu_busy) - before))
}

# fio_speed: sets $cost to instructions for 64 MiB, without those of fio's start
fio_speed() {
	local start
	start=$(fio_cost 4M) || fail "fio"
	cost=$(fio_cost 68M) || fail "fio"
	cost=$((cost - start))
	echo "$1: $cost instructions for 64 MiB"
}

need_disk nvme "NVMe disk"
nvme=$dev
cards=
for dev in $(devices_of e1000e); do
	need_attached "$dev"
	cards="$cards $dev"
done
[ "$(echo "$cards" | wc -w)" = 4 ] || fail "not four cards: $cards"

fio_cost 4M >/dev/null
fio_speed "before"
alone=$cost

# The disk comes after the cards have taken what they can
echo "$nvme" >/sys/bus/pci/drivers/nvme/unbind || fail "unbind"
for dev in $cards; do
	name=$(ls "/sys/bus/pci/devices/$dev/net")
	ethtool -G "$name" rx 4096 || fail "$name: no ring of 4096"
	ip link set "$name" up || fail "$name: not up"
done
is_taken() {
	[ "$(host_stat window_granted)" -ge $(($(host_stat window_size) / 2)) ]
}
wait_for 30 is_taken || fail "the cards have $(host_stat window_granted) bytes only"
sleep 5
cat $pv_debug/domains

echo "$nvme" >/sys/bus/pci/drivers/nvme/bind || fail "bind"
# Not need_disk, which would find that this VM has none
wait_for 20 disk_of "$nvme" >/dev/null || fail "the disk that came last gets no memory"
need_attached "$nvme"
disk=$(disk_of "$nvme")
fio_cost 4M >/dev/null
failed=$(failures_of "$nvme") maps=$(stat_of "$nvme" maps)
fio_speed "with the cards' rings"
failed=$(($(failures_of "$nvme") - failed)) maps=$(($(stat_of "$nvme" maps) - maps))
echo "$failed of $maps maps failed, and were tried again"
cat $pv_debug/domains
used=0
for dev in $cards; do
	used=$((used + $(stat_of "$dev" domain_used)))
done
# Otherwise the disk had all that it wanted, and this has shown nothing
[ $used -ge $(($(host_stat window_size) / 2)) ] ||
	fail "the cards have mapped $used bytes only"
# It does not wait for room instead of working, which costs no instructions
[ $((failed * 100)) -le $maps ] || fail "$failed of $maps maps failed"
[ "$cost" -le $((alone * 2)) ] ||
	fail "$cost instructions for 64 MiB, alone it took $alone"
for dev in $cards; do
	ip link set "$(ls "/sys/bus/pci/devices/$dev/net")" down
done
allocator_whole
