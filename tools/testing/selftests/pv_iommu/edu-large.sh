#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: 40 MiB of coherent memory of a window of 64 MiB; one driver's appetite leaves enough to others
# VM: edu
# Timeout: 120
. ./lib.sh

load_cases
run_cases large/aligned large/greedy

# Each device has a share that is kept for it, used or not. With two there are 40 MiB
# for one; the board's own disk controller, and the third device, have theirs as well.
others=
for dev in $(devices_of ahci) $(devices_of pviommu_test | tail -n 1); do
	driver=$(readlink -f "/sys/bus/pci/devices/$dev/driver")
	echo "$dev" >"$driver/unbind" || fail "unbind"
	others="$others $driver/bind=$dev"
done
run_cases large/one
for dev in $others; do
	echo "${dev#*=}" >"${dev%=*}" || fail "bind"
done
