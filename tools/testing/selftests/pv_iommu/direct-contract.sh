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

# The same of whole pages alone, of which none is copied; but where the device may write
# what is mapped for it to read
if [ "$(stat_of $edu0 direct_cache)" = 0 ]; then
	copied() {
		echo $(($(stat_of $edu0 bytes_to_device) + $(stat_of $edu0 bytes_from_device)))
	}
	before=$(copied)
	whole=/sys/module/pviommu_test/parameters/whole
	trap 'echo 0 >$whole' EXIT
	echo 1 >$whole
	run_cases single sg sync attrs context limits/min_align limits/min_align_sg \
		limits/boundary limits/segments limits/largest
	[ "$(copied)" = "$before" ] ||
		fail "$(($(copied) - before)) bytes of whole pages were copied"
fi
