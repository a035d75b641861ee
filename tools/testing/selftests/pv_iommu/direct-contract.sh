#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: the DMA API's contract where whole pages are direct
# VM: edu-direct
# Modes: direct
# Timeout: 240
. ./lib.sh

edu0=0000:00:10.0
run_cases single sg sync attrs limits masks context pages mmap pool coherent
direct=$(stat_of $edu0 maps_direct)
[ "${direct:-0}" -gt 0 ] || fail "nothing was direct"

# The same of whole pages alone, of which none is copied; but where the device may write
# what is mapped for it to read
cache=$(stat_of $edu0 direct_cache)
case $cache in
0)
	copied() {
		local to from
		to=$(stat_of $edu0 bytes_to_device) &&
			from=$(stat_of $edu0 bytes_from_device) && echo $((to + from))
	}
	before=$(copied) && [ -n "$before" ] || fail "nobody says what was copied"
	whole=/sys/module/pviommu_test/parameters/whole
	trap 'echo 0 >$whole' EXIT
	echo 1 >$whole
	run_cases single sg sync attrs context limits/min_align limits/min_align_sg \
		limits/boundary limits/segments limits/largest
	after=$(copied) && [ -n "$after" ] || fail "nobody says what was copied"
	[ "$after" = "$before" ] || fail "$((after - before)) bytes of whole pages were copied"
	[ "$(stat_of $edu0 maps_direct)" -gt "$direct" ] || fail "no whole page was direct"
	;;
[1-9]*)	;;
*)	fail "direct_cache: $cache" ;;
esac
