#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: isolation=off: a device reaches what others have, as in version 1; not what nobody has
# VM: edu-shared
# Timeout: 120
. ./lib.sh

load_cases
domains=$(for dev in $(devices_of pviommu_test); do stat_of "$dev" domain; done |
	sort -u | wc -l)
[ "$domains" = 1 ] || fail "three devices are in $domains domains"
echo Y >/sys/module/pviommu_test/parameters/shared
run_cases isolation
