#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: the DMA API's contract where whole pages are direct
# VM: edu-direct
# Modes: direct
# Timeout: 240
. ./lib.sh

edu0=0000:00:10.0
run_cases single sg sync attrs limits masks context pages mmap pool coherent
[ "$(stat_of $edu0 maps_direct)" -gt 0 ] || fail "nothing was direct"
