#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: a display of which memory is mapped once: each pixel that was drawn is in its picture
# VM: direct-gpu
# Modes: direct
# Timeout: 240
. ./lib.sh

ROUNDS=3

there() {
	[ -c /dev/fb0 ]
}

modprobe virtio_gpu || skip "this kernel has no driver for the display"
wait_for 20 there || fail "there is no frame buffer"
dev=$(devices_of virtio-pci | head -n 1)
need_attached "$dev"
said_so=$(dmesg | grep "$dev: pv_iommu: attached")
case $said_so in
*direct\)*) ;;
*) fail "it is not direct: $said_so" ;;
esac

# A processing accelerator, by its class
accel=$(grep -l '^0x1200' /sys/bus/pci/devices/*/class | grep -o '0000:[^/]*')
[ -n "$accel" ] || fail "there is no accelerator"
dmesg | grep -q "$accel: pv_iommu: attached (.*direct)" || fail "the accelerator $accel is not direct"

# Nobody else draws
for console in /sys/class/vtconsole/vtcon*; do
	grep -q "frame buffer" "$console/name" && echo 0 >"$console/bind"
done
size=$(cat /sys/class/graphics/fb0/virtual_size)
width=${size%,*} height=${size#*,}
[ "$(cat /sys/class/graphics/fb0/stride)" = $((4 * width)) ] || fail "lines are not $width pixels"
bytes=$((4 * width * height))
[ "$(host_stat direct_granted)" -ge $bytes ] ||
	fail "$(host_stat direct_granted) bytes granted, a picture has $bytes"
maps=$(stat_of "$dev" maps_direct)

# picture SEED: pixels of three digits and an X, each row another than the one before
picture() {
	awk -v n=$((width * height)) -v seed="$1" 'BEGIN {
		for (i = 0; i < n; i++)
			printf "%03dX", (i * 7 + int(i / 1000) * seed + seed) % 1000
	}' /dev/null
}

shown() {
	[ "$(host picture gpu0)" = "$want" ]
}

for seed in $(seq 1 $ROUNDS); do
	picture "$seed" >/tmp/picture
	want="$width $height $(sha256sum </tmp/picture | cut -d ' ' -f 1)"
	! shown || fail "picture $seed is there before it is drawn"
	cat /tmp/picture >/dev/fb0
	wait_for 20 shown || fail "picture $seed: the host has $(host picture gpu0), drawn is $want"
done
echo "$ROUNDS pictures of $width x $height, each pixel as it was drawn;" \
	"$(host_stat direct_granted) bytes granted, $(($(stat_of "$dev" maps_direct) - maps)) maps meanwhile"
