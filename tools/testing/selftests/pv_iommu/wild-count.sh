#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: sysfs counts refused DMAs, and only those
# VM: edu
. ./lib.sh

load_cases
before=$(host_stat refused_dmas)
run_cases single/bidirectional coherent/device
[ "$(host_stat refused_dmas)" = "$before" ] || fail "DMAs in the window were refused"
run_cases wild/write
[ "$(host_stat refused_dmas)" -gt "$before" ] || fail "a refused DMA is not counted"
