#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: the DMA API's contract where what is around direct mappings stays granted
# VM: edu-cached
# Modes: direct
# Timeout: 240
. ./direct-contract.sh

[ "$(host_stat direct_cached)" -gt 0 ] || fail "nothing was kept"
allocator_whole
