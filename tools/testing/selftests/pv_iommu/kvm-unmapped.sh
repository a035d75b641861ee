#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Test: more is granted than may be locked: no disk with holes is plugged, and no log is filled
# VM: kvm-groups
# Modes: none
# Timeout: 300

. ./kvm-groups-lib.sh

host_setup
assign_all

# A user who may lock 6 of the window's 32 MiB. Behind one conventional bridge, an
# emulated disk, for which nothing is locked, and an assigned one reach the same chunks.
LIMIT=$((6 * 1024))
L2_MEMLOCK=$LIMIT
way_window ""
# For that user, too
chmod o+r "$(disk_of host0)"
mapfile -t words < <(host_disk on | tr ' ' '\n')
l2_start -device "pcie-pci-bridge,id=conv,bus=pcie.0" \
	"${words[@]:0:3}" "${words[3]},bus=conv,addr=1"
l2_ready
must "until [ -e /dev/vda ]; do sleep 0.1; done"

# busy: reads that want more of the window than may be locked, until idle
busy() {
	must "rm -f /run/stop; for i in 1 2 3 4 5 6 7 8; do (while [ ! -e /run/stop ]; do dd if=/dev/vda of=/dev/null bs=4M count=8 iflag=direct; done; echo x >>/run/stopped) >/dev/null 2>&1 & done"
}

idle() {
	must "touch /run/stop; until [ \$(cat /run/stopped | wc -l) = 8 ]; do sleep 0.1; done; rm /run/stopped"
}

granted_more() {
	[ "$(granted)" -gt "$1" ]
}

said() {
	grep -cE "VFIO_MAP_DMA failed|vfio_(container_)?dma_map\(" $L2/qemu.log
}

busy
wait_for 60 granted_more $((LIMIT + 2048)) || fail "no more than $(granted) kB are granted"
answer=$(plug nvme3 '"bus":"conv","addr":"4"') &&
	fail "plugged, with $(status VmLck) kB locked and $(granted) kB granted"
grep -o '"desc": "[^"]*' <<<"$answer"
grep -q "cannot be mapped" <<<"$answer" || fail "refused for another reason: $answer"
[ "$(status VmLck)" = 0 ] || fail "$(status VmLck) kB locked for no device"

# Each page that could not be pinned was a failure of its own. The guest goes on.
[ "$(said)" -ge 1 ] && [ "$(said)" -le 2 ] || fail "$(said) lines of it"
idle
l2_stop
