#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: each allocation of an attach fails once: an error, and no leak
# VM: edu
# Timeout: 300
. ./lib.sh

[ -e /proc/self/fail-nth ] || skip "this kernel injects no faults (KERNEL=debug)"

load_cases
dev=$(devices_of pviommu_test | tail -n 1)
driver=/sys/bus/pci/drivers/pviommu_test
used=$(host_stat window_used)

# Those that may sleep, too; and no word of each
echo N >/sys/kernel/debug/failslab/ignore-gfp-wait
echo 0 >/sys/kernel/debug/failslab/verbose

echo "$dev" >$driver/unbind || fail "unbind $dev"
# Enabled for good: the kernel's ACPI code, which the driver would call to do so,
# uses what it has freed when it is hit (7.3, by KASAN)
echo 1 >"/sys/bus/pci/devices/$dev/enable" || fail "enable $dev"
n=0 failed=0 left=0
# Done when an attach has fewer allocations than are let through
while [ "$left" = 0 ]; do
	n=$((n + 1))
	[ $n -le 500 ] || fail "the 500th allocation in one attach"
	{
		# A program of its own would be the one that is hit
		echo $n >/proc/self/fail-nth
		echo "$dev" >$driver/bind
		read -r left </proc/self/fail-nth
		echo 0 >/proc/self/fail-nth
	} 2>/dev/null
	if [ -e $driver/"$dev" ]; then
		# Unharmed, or without something that it can do without
		[ "$(stat_of "$dev" mode)" = "$(pv_mode)" ] ||
			fail "allocation $n: bound, and not attached"
		echo "$dev" >$driver/unbind || fail "allocation $n: unbind"
	else
		failed=$((failed + 1))
	fi
done
echo "$failed of $n allocations made the attach fail"
[ $failed -gt 0 ] || fail "none made it fail"

# And now that all is well again
echo 0 >"/sys/bus/pci/devices/$dev/enable" || fail "disable $dev"
echo "$dev" >$driver/bind || fail "bind $dev"
need_attached "$dev"
allocator_whole
[ "$(host_stat window_used)" = "$used" ] ||
	fail "window: $(host_stat window_used) bytes in use, before: $used"
run_cases single/bidirectional
