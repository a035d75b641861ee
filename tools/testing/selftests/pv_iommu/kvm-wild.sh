#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Test: the host's IOMMU stops an assigned device's DMA outside the window
# VM: kvm
# Modes: none
# Timeout: 240

. ./kvm-lib.sh

# Memory that L2's kernel leaves alone, below the 28 bits that edu reaches
TARGET=0x8000000

host_setup
assign $EDU
L2_APPEND="memmap=1M\$$TARGET iomem=relaxed"

# wild: in L2, edu writes 2 KiB of its own to TARGET; prints whether the memory
# is as before
wild() {
	must "d=\$(dirname \$(grep -l 0x1234 /sys/bus/pci/devices/*/vendor)); printf '\\006\\000' | dd of=\$d/config bs=1 seek=4 conv=notrunc 2>/dev/null; awk 'NR == 1 { print \$1 }' \$d/resource >/run/bar"
	must "yes | head -c 4096 >/run/yes; dd if=/run/yes of=/dev/mem bs=4096 seek=$((TARGET / 4096)) conv=notrunc 2>/dev/null"
	must "dd if=/dev/mem bs=4096 skip=$((TARGET / 4096)) count=1 2>/dev/null | cmp - /run/yes"
	must "mkdir -p /q; mount -t ext4 -o ro /dev/vda /q; b=\$(cat /run/bar); for rv in 80:0x40000 88:$TARGET 90:2048 98:3; do /q/bin/rings mmio \$((b + 0x\${rv%%:*})) 1 \${rv#*:}; done"
	must "sleep 2"
	l2 "dd if=/dev/mem bs=4096 skip=$((TARGET / 4096)) count=1 2>/dev/null | cmp - /run/yes"
}

faults() {
	dmesg | grep -c 'DMAR:.*fault addr 0x8000000'
}

faulted() {
	[ "$(faults)" -gt "$before" ]
}

# The control: edu can, when the whole guest is mapped for it
way_vfio
# shellcheck disable=SC2046 # words
l2_start $(host_disk off) -device "$(vfio $EDU edu0)"
l2_ready
before=$(faults)
wild && fail "control: edu did not write at all"
[ "$(faults)" = "$before" ] || fail "control: a fault"
l2_stop

way_window ""
# shellcheck disable=SC2046 # words
l2_start $(host_disk on) -device "$(vfio $EDU edu0)"
l2_ready
wild || fail "a DMA outside the window changed memory"
wait_for 10 faulted || fail "no fault in the host's log: $(dmesg | tail -n 3)"
dmesg | grep 'DMAR:.*fault addr' | tail -n 1
# And the guest goes on
must "true"
l2_stop
