#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: the guest migrates with direct mappings and boot-bypass=off, under the same load
# VM: migrate-direct
# Modes: direct
# Timeout: 240

# Behind boot-bypass=off. SeaBIOS would wait for AHCI's, as it reaches no memory.
DISKS=2
. ./migrate.sh
for dev in $served; do
	echo "$(stat_of "$dev" maps_direct) of $(stat_of "$dev" maps) maps of $dev were direct"
	# What a card maps may all be parts of pages
	disk_of "$dev" >/dev/null || continue
	[ "$(stat_of "$dev" maps_direct)" -gt 0 ] || fail "no mapping of $dev was direct"
done
