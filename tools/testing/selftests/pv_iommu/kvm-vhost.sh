#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Test: the kernel's vhost-net behind pv-iommu: traffic both ways, wild descriptors, detach, reset, migration
# VM: kvm-emulated
# Modes: none
# Timeout: 300

. ./kvm-lib.sh

HERE=10.9.7.1
HERE_MAC=02:00:0a:09:07:01
THERE=10.9.7.2
MIB=2

# What is looked at, in bytes
HELD=256
# A descriptor's flags, behind its length
VRING_DESC_F_WRITE=2

# Memory that L2's kernel leaves alone, at no DMA address of the window or the arena
TARGET=0x8000000

host_setup
modprobe -a tun vhost_net || fail "no modules for vhost-net"
wait_for 10 test -c /dev/vhost-net || fail "no /dev/vhost-net"
dd if=/dev/urandom of=/tmp/sent bs=1M count=$MIB 2>/dev/null
sum=$(sha256sum </tmp/sent)

# card_up: L2's has an address, and this host's end of the wire
card_up() {
	must "until d=\$(ls -d /sys/bus/pci/drivers/virtio-pci/*/virtio*/net/* 2>/dev/null); do sleep 0.1; done; ip link set \${d##*/} up; ip addr replace $THERE/24 dev \${d##*/}; dirname \$(dirname \$(dirname \$d)) >/run/card"
	# A new tap has a new address, and L2 that migrates knows the one of before
	ip link set tap0 address $HERE_MAC up
	ip addr replace $HERE/24 dev tap0
	[ "$(cat /proc/[0-9]*/comm /proc/[0-9]*/task/[0-9]*/comm 2>/dev/null | grep -c "^vhost-$L2_PID")" -gt 0 ] ||
		fail "no thread of vhost's: the network is QEMU's own"
	must "[ \$(cat \$(cat /run/card)/pv_iommu/mode) = window ]"
}

listens() {
	grep -qs ':1388 .* 0A ' /proc/net/tcp /proc/net/tcp6
}

# traffic WHEN: what is sent arrives, from L2 and to L2
traffic() {
	rm -f /tmp/got /tmp/silent
	mkfifo /tmp/silent
	timeout $((60 * FACTOR)) nc -l -p 5000 <>/tmp/silent >/tmp/got &
	wait_for 10 listens || fail "nobody listens here"
	must "[ -s /tmp/sent ] || dd if=/dev/urandom of=/tmp/sent bs=1M count=$MIB 2>/dev/null; timeout $((60 * FACTOR)) nc $HERE 5000 </tmp/sent"
	wait $!
	[ "$(sha256sum </tmp/got)" = "$(must "sha256sum </tmp/sent")" ] ||
		fail "$1: of what L2 sent, $(wc -c </tmp/got) bytes arrived, or wrong ones"

	must "rm -f /tmp/got /tmp/silent /run/over; mkfifo /tmp/silent; (timeout $((60 * FACTOR)) nc -l -p 5000 <>/tmp/silent >/tmp/got; touch /run/over) >/dev/null 2>&1 & until grep -qs ':1388 .* 0A ' /proc/net/tcp /proc/net/tcp6; do sleep 0.1; done"
	timeout $((60 * FACTOR)) nc $THERE 5000 </tmp/sent
	must "until [ -e /run/over ]; do sleep 0.1; done"
	[ "$(must "sha256sum </tmp/got")" = "$sum" ] ||
		fail "$1: of what this host sent, $(must "wc -c </tmp/got") bytes arrived, or wrong ones"
	echo "$1: $MIB MiB from L2 and $MIB MiB to it"
}

# find_ring: sets $ring and $used to the DMA addresses of the card's receive queue: its
# descriptors, $count of 16 bytes, and its used ring. How many is QEMU's choice: some
# versions make each queue as large as there may be, whatever rx_queue_size= says.
find_ring() {
	local answer
	answer=$(qmp x-query-virtio-queue-status '"path":"/machine/peripheral/net0/virtio-backend","queue":0') ||
		fail "the card's receive queue: $answer"
	ring=$(sed -n 's/.*"vring-desc": \([0-9]*\).*/\1/p' <<<"$answer")
	used=$(sed -n 's/.*"vring-used": \([0-9]*\).*/\1/p' <<<"$answer")
	count=$(sed -n 's/.*"vring-num": \([0-9]*\).*/\1/p' <<<"$answer")
	[ "${ring:-0}" -ge $dma ] && [ "${used:-0}" -ge $((ring + ${count:-0} * 16)) ] &&
		[ "${count:-0}" -gt 0 ] ||
		fail "the card's receive queue is not in the window: $answer"
}

# look_at ADDRESS: sets $held to a sum of what is there in L2's memory
look_at() {
	ask held "/q/bin/rings dump $1 $HELD >/run/held && md5sum </run/held"
	[ -n "$held" ] || fail "no sum of L2's memory at $1"
}

# count_frames: sets $frames to how far they have come
count_frames() {
	local taken card
	ask taken "/q/bin/rings dump $((phys + used - dma)) 4 | od -A n -t u2"
	ask card "cat \$(cat /run/card)/virtio*/net/*/statistics/rx_packets"
	frames="$(cat /sys/class/net/tap0/statistics/tx_packets) sent, used->idx ${taken##* }, $card received"
}

# received_at DMA PHYSICAL: all receive descriptors point there, to no more than is looked
# at, as what lies behind may not be granted; and frames come for them, one after the other.
# Succeeds if that changes the memory. Sets $frames.
received_at() {
	local before frames_before
	look_at "$2"
	before=$held
	count_frames
	frames_before=$frames
	must "/q/bin/rings poke $((phys + ring - dma)) $count $1 16 && /q/bin/rings poke $((phys + ring - dma + 8)) $count $((VRING_DESC_F_WRITE << 32 | HELD)) 16"
	for _ in 1 2 3 4 5 6 7 8; do
		ping -c 1 -W 1 $THERE >/dev/null
		look_at "$2"
		[ "$held" = "$before" ] || return 0
	done
	count_frames
	frames="$frames_before; then $frames"
	return 1
}

# again: the driver lets go of the card, and takes it
again() {
	must "p=\$(cat /run/card); p=\${p##*/}; echo \$p >/sys/bus/pci/drivers/virtio-pci/unbind; echo \$p >/sys/bus/pci/drivers/virtio-pci/bind"
	card_up
}

# migration STATUS: has it come to this?
migration() {
	qmp query-migrate | grep -q "\"status\": \"$1\""
}

running() {
	qmp query-status | grep -q '"status": "running"'
}

# start ARGUMENT...: L2 with a disk and the card
start() {
	# shellcheck disable=SC2046 # words
	l2_start $(host_disk on) \
		-netdev tap,id=tap0,ifname=tap0,script=no,downscript=no,vhost=on \
		-device virtio-net-pci,id=net0,netdev=tap0,romfile=,disable-legacy=on,iommu_platform=on \
		"$@"
}

# migrates: L2 goes on in another QEMU. No more than this leaves in a second until there
# has been traffic, so that it is on its way then.
migrates() {
	local answer
	qmp migrate-set-parameters '"max-bandwidth":65536' || fail "no limit for migration"
	answer=$(qmp migrate '"uri":"exec:cat >/tmp/stream"') || fail "it does not migrate: $answer"
	traffic "while it migrates"
	migration active || fail "it was not on its way then: $(qmp query-migrate)"
	qmp migrate-set-parameters '"max-bandwidth":1073741824' || fail "no limit for migration"
	wait_for 60 migration completed || fail "it does not end: $(qmp query-migrate)"
	qmp quit
	l2_ended "QEMU does not end"
	start -incoming "exec:cat /tmp/stream"
	wait_for 60 running || fail "it does not go on: $(qmp query-status)"
	rm /tmp/stream
	card_up
	traffic "after migration"
}

L2_APPEND="memmap=1M\$$TARGET iomem=relaxed"
way_window ""
start
l2_ready
must "until [ -e /dev/vda ]; do sleep 0.1; done; mkdir -p /q; mount -t ext4 -o ro /dev/vda /q"
card_up
traffic "at the start"

phys=$(window phys) || fail "$phys"
dma=$(window dma) || fail "$dma"
phys=$((phys)) dma=$((dma))
again
traffic "detached and attached"

find_ring
! received_at $TARGET $TARGET || fail "vhost has written to memory that was never granted"
grep "Fail to lookup the translated address" $L2/qemu.log ||
	fail "nobody has asked for what the descriptors say: $frames: $(cat $L2/qemu.log)"
again
traffic "after wild descriptors"

# The control: what is behind the queue's used ring in its page is nobody's, and is
# reached. It comes last: the card's driver has frames then that never came to its
# buffers, and 7.3's does not get over that
find_ring
end=$((used + 6 + count * 8))
free=$(((end + HELD - 1) / HELD * HELD))
[ $((free + HELD)) -le $(((end + 4095) / 4096 * 4096)) ] ||
	fail "no room behind the used ring, $count descriptors, at $used"
received_at $free $((phys + free - dma)) || {
	ip -s link show tap0
	l2 "ip -s link"
	fail "control: frames do not go where descriptors say: $frames"
}

l2_reboots yes
l2_tell "reboot -f"
l2_ready
card_up
traffic "after a reboot"
l2_reboots no
migrates
l2_stop
