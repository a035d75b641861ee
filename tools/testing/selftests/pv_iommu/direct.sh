#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: direct mappings: nothing is copied or synced, and just what is mapped is granted
# VM: edu-direct
# Modes: direct
# Timeout: 120
. ./lib.sh

run_cases direct
dmesg | grep -q '00:10\.0: pv_iommu: attached (window, direct)' || fail "edu0 is not direct"
dmesg | grep -q '00:11\.0: pv_iommu: attached (window)' || fail "edu1 is direct"
