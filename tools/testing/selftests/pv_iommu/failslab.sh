#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: each allocation of an attach fails once: an error, and no leak
# VM: edu
# Timeout: 300
. ./lib.sh
. ./failslab-lib.sh

load_cases
dev=$(devices_of pviommu_test | tail -n 1)
driver=/sys/bus/pci/drivers/pviommu_test
used=$(host_stat window_used)

# Of the driver core's allocations and of the test driver's, none; nor of those
# that kmemleak makes for itself, and can do without
# shellcheck disable=SC2046 # two words each
fail_in $(text_of_module pv_iommu) $(text_of_function __create_object)

echo "$dev" >$driver/unbind || fail "unbind $dev"
n=0 failed=0 left=0
# Done when an attach has fewer allocations than are let through
while [ "$left" = 0 ]; do
	n=$((n + 1))
	[ $n -le 100 ] || fail "the 100th allocation in one attach"
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
echo "an attach allocates $((n - 1)) times; $failed of these made it fail"
[ $failed -gt 0 ] || fail "none made it fail"

# And now that all is well again
echo "$dev" >$driver/bind || fail "bind $dev"
need_attached "$dev"
allocator_whole
[ "$(host_stat window_used)" = "$used" ] ||
	fail "window: $(host_stat window_used) bytes in use, before: $used"
run_cases single/bidirectional
