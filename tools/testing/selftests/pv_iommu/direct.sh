#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: direct mappings: nothing is copied or synced, and just what is mapped is granted
# VM: edu-direct
# Modes: direct
# Timeout: 120
. ./lib.sh

edu0=0000:00:10.0
run_cases direct
[ "$(failures_of $edu0)" -gt 0 ] || fail "no failure was counted"
said "bytes refused: the host grants no more guest RAM" || fail "nobody was told of a full limit"
dmesg | grep -q '00:10\.0: pv_iommu: attached (window, direct)' || fail "edu0 is not direct"
dmesg | grep -q '00:11\.0: pv_iommu: attached (window)' || fail "edu1 is direct"
