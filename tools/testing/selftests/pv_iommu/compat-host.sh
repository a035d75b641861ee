#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: a host that knows no chunks: all of the window is granted at attach, to all devices; all cases pass
# VM: edu-old-host
# Timeout: 240
. ./lib.sh

load_cases
[ $(($(host_stat features) & 4)) = 0 ] || fail "chunks were agreed on: $(host_stat features)"
for dev in $(devices_of pviommu_test); do
	stat_of "$dev" domain
done >/tmp/domains
[ "$(sort -u /tmp/domains | wc -l)" = 1 ] ||
	fail "more than one domain: $(tr '\n' ' ' </tmp/domains)"
[ "$(host_stat window_limit)" = "$(host_stat window_size)" ] ||
	fail "of $(host_stat window_size) bytes $(host_stat window_limit) may be used"
# in bookkeeping alone: no request is made for them
echo Y >/sys/module/pviommu_test/parameters/shared
# Chunks are bookkeeping here: no request is made for them
before=$(host_stat hypercalls)
run_cases isolation
[ "$(host_stat hypercalls)" = "$before" ] || [ "$(pv_mode)" = bounce ] ||
	fail "$(($(host_stat hypercalls) - before)) requests to a host that knows no chunks"
run_cases coherent single sg sync attrs limits masks context pages mmap pool full wild
