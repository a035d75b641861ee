#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: isolation=off: a device reaches what others have, as in version 1; not what nobody has
# VM: edu-shared
# Timeout: 120
. ./lib.sh

load_cases
need_domains 1
echo Y >/sys/module/pviommu_test/parameters/shared
run_cases isolation
