#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: a warning of the DMA path leaves by a network card that needs that path
# VM: main
# Modes: bounce
# Timeout: 120
. ./lib.sh
. ./net-lib.sh

NOP=1

modprobe -q -n netconsole || skip "this kernel has no netconsole"
need_disk nvme "NVMe disk"
card=$(card 52:54:00:00:00:10)
need_attached "$(pci_of "$card")"
ip link set "$card" up
ip addr add 192.0.2.1/24 dev "$card"
wait_for 20 grep -q 1 "/sys/class/net/$card/carrier" || fail "no link"
# Nobody is there to hear it, but it is sent
modprobe netconsole "netconsole=@192.0.2.1/$card,6666@192.0.2.2/52:54:00:00:00:11" ||
	fail "modprobe netconsole"
sent=$(cat "/sys/class/net/$card/statistics/tx_packets")

# The host says of each unmap that rides with another request that it failed
host_set x-error-ops $NOP
host_set x-error-rate 1
dd if=/dev/zero of="/dev/$disk" bs=64k count=64 oflag=direct 2>/dev/null ||
	fail "dd"
host_set x-error-rate 0
said "host refused .* of the unmaps" || fail "the log says nothing of the unmaps"
after=$(cat "/sys/class/net/$card/statistics/tx_packets")
[ "$after" -gt "$sent" ] || fail "the card has sent nothing of the log"
rmmod netconsole || fail "rmmod netconsole"
ip link set "$card" down
ip addr del 192.0.2.1/24 dev "$card" 2>/dev/null
fio_verify "/dev/$disk" --size=4M
