#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: the same with boot-bypass=off, where devices never reach it
# VM: confined-off
# Modes: none
# Timeout: 240
. ./lib.sh
. ./drive-lib.sh
. ./confined-lib.sh

mode=window
to pviommu_test
for dev in "$second" "$third"; do
	to none "$dev"
done
closed "power-on" "$first" "$second" "$third"
drive "$first" "$second" "$third"
module_back || fail "modprobe"
driven "first enable" none
# the third has no driver, and the second is excluded
closed "first enable" "$first" "$second" "$third"
direct_events
plug_events
all_modes
closed "at the end" "$second" "$third"
