#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: devices of 24, 28 and 32 bits below a window at 4 GiB: coherent memory where the mask reaches
# VM: low
# Modes: bounce none
# Timeout: 90
#
# Without a mode, each device has its own, by its mask: auto, as the module's default.
. ./lib.sh

# coherent: how much of the arena's start is allocated
coherent() {
	window_stat coherent_used
}

# The window for who reaches it, unless it is not wanted
if [ -z "$(pv_mode)" ]; then
	modprobe pv_iommu || fail "modprobe pv_iommu"
	modprobe nvme || fail "modprobe nvme"
	[ "$(pv_mode)" = window ] || fail "mode=auto took $(pv_mode)"
	wait_for 20 driven_by nvme || fail "no NVMe device"
fi
need_disk nvme "NVMe device"
# The firmware has tried the disk
refused=$(host_stat refused_dmas)

modprobe pviommu_test || fail "no pviommu_test"
devices=$(devices_of pviommu_test)
[ -n "$devices" ] || fail "no edu device is bound"
dev=$(echo "$devices" | head -n 1)
[ "$(stat_of "$dev" mode)" = bounce ] || fail "edu: $(stat_of "$dev" mode) mode"
echo bounce >/sys/module/pviommu_test/parameters/mode
[ "$(window_stat coherent_size)" = $((3 << 20)) ] ||
	fail "$(window_stat coherent_size) bytes are shared"
# What the test's own driver has: a page for each
before=$(coherent)
[ "$before" = $(($(echo "$devices" | wc -l) * 4096)) ] ||
	fail "the drivers have $before bytes of coherent memory"

run() {
	ktap_of "$@"
	grep '^ok' /tmp/ktap | grep -qv SKIP || fail "no case of $* has run"
}

run coherent masks mmap pages
[ "$(coherent)" = "$before" ] || fail "$(coherent) bytes are left, before: $before"

# Left behind by a driver, and freed when the device has another
run kept/take
[ "$(coherent)" = $((before + 16384)) ] || fail "nothing was taken"
for one in $devices; do
	echo "$one" >/sys/bus/pci/drivers/pviommu_test/unbind || fail "unbind"
done
said "$dev.*pieces of coherent memory still" || fail "the driver has left nothing"
[ "$(coherent)" = 16384 ] || fail "$(coherent) bytes are kept"
for one in $devices; do
	echo "$one" >/sys/bus/pci/drivers/pviommu_test/bind || fail "bind"
done
run kept/sync kept/free
[ "$(coherent)" = "$before" ] || fail "$(coherent) bytes are left, before: $before"

fio_verify "/dev/$disk" --size=4M
[ "$(host_stat refused_dmas)" = "$refused" ] ||
	fail "$(host_stat refused_dmas) DMAs were refused, before: $refused"
allocator_whole
