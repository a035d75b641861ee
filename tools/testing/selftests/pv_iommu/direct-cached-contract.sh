#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: the DMA API's contract where what is around direct mappings stays granted
# VM: edu-cached
# Modes: direct
# Timeout: 240
. ./lib.sh

edu0=0000:00:10.0
run_cases single sg sync attrs limits masks context pages mmap pool coherent
[ "$(stat_of $edu0 maps_direct)" -gt 0 ] || fail "nothing was direct"
[ "$(host_stat direct_cached)" -gt 0 ] || fail "nothing was kept"
allocator_whole
