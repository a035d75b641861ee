#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: direct mappings where the host copies what is not direct
# VM: edu-direct-copied
# Modes: bounce
# Timeout: 240
. ./lib.sh

run_cases direct/nosync direct/shared direct/lists direct/mixed direct/budget direct/others
run_cases single sg sync
dmesg | grep -q '00:10\.0: pv_iommu: attached (bounce, direct)' || fail "edu0 is not direct"
