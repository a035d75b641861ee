#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Test: assigned disks behind all kinds of bridges, two functions of one group, plugged under load
# VM: kvm-groups
# Modes: none
# Timeout: 400

. ./kvm-groups-lib.sh

need_isolation
host_setup
assign_all

way_window ""
L2_DISKS=(-device "pcie-root-port,id=port0,slot=1,chassis=1"
	-device "pcie-root-port,id=port1,slot=2,chassis=2"
	-device "pcie-pci-bridge,id=conv,bus=pcie.0"
	-device "pci-bridge,id=conv2,chassis_nr=9,bus=conv,addr=2"
	-device "pxb-pcie,id=pxb,bus_nr=64,bus=pcie.0"
	-device "pcie-root-port,id=pxbport,slot=3,chassis=3,bus=pxb")
given nvme0 bus=port0
given nvme1 bus=port1,addr=0.0,multifunction=on
given nvme2 bus=port1,addr=0.1
given nvme3 bus=conv,addr=1
given nvme4 bus=conv2,addr=1
given nvme5 bus=pxbport
l2_start "${L2_DISKS[@]}"
l2_ready

# What shares a requester ID or a group shares a domain, and nothing else does
domain() {
	must "cat $(pci "$1")/pv_iommu/domain"
}

works nvme0 nvme1 nvme2 nvme3 nvme4 nvme5
domains=$(for name in nvme0 nvme1 nvme2 nvme3 nvme4 nvme5; do domain $name; done)
mapfile -t d <<<"$domains"
[ "${d[1]}" = "${d[2]}" ] || fail "two functions of one group in two domains: $domains"
[ "${d[3]}" = "${d[4]}" ] || fail "two domains behind one bridge: $domains"
[ "$(sort -u <<<"$domains" | wc -l)" = 4 ] || fail "not four domains: $domains"
locked_is_granted || fail "what is locked is not what is granted"
echo "six disks in four domains: $locked kB locked"

# A group of which one is here and one behind the other bridge cannot be: said, and
# nothing comes of it
unplug nvme1 nvme2
plug nvme2 '"bus":"port1","addr":"0.1"' >/dev/null || fail "device_add nvme2"
answer=$(plug nvme1 '"bus":"conv","addr":"4"') &&
	fail "one group in two address spaces, and VFIO takes it"
grep -o '"desc": "[^"]*' <<<"$answer"
plug nvme1 '"bus":"port1","addr":"0.0","multifunction":true' >/dev/null ||
	fail "device_add nvme1"
works nvme1 nvme2

load_begin nvme0 nvme1 nvme2 nvme3 nvme4 nvme5
unplug nvme1 nvme2
unplug nvme0
load_runs nvme3 nvme4 nvme5
locked_is_granted || fail "unplugged: what is locked is not what is granted"
echo "three of six unplugged under load: $locked kB locked"
plug nvme0 '"bus":"port0"' >/dev/null || fail "device_add nvme0"
plug nvme2 '"bus":"port1","addr":"0.1"' >/dev/null || fail "device_add nvme2"
plug nvme1 '"bus":"port1","addr":"0.0","multifunction":true' >/dev/null ||
	fail "device_add nvme1"
works nvme0 nvme1 nvme2
load_end nvme3 nvme4 nvme5
locked_is_granted || fail "plugged: what is locked is not what is granted"
echo "six disks again: $locked kB locked"
l2_stop
