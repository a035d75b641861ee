#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: the guest migrates with direct mappings, while fio verifies disks and cards talk
# VM: migrate-direct
# Modes: direct
# Timeout: 240

. ./migrate.sh
for dev in $served; do
	echo "$(stat_of "$dev" maps_direct) of $(stat_of "$dev" maps) maps of $dev were direct"
	# What a card maps may all be parts of pages
	disk_of "$dev" >/dev/null || continue
	[ "$(stat_of "$dev" maps_direct)" -gt 0 ] || fail "no mapping of $dev was direct"
done
