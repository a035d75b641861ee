#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: a device told to read and write what is another's is refused, and that is counted; a chunk that changes hands is empty
# VM: edu
# Timeout: 120
. ./lib.sh

need_isolation
load_cases
need_domains 3
echo N >/sys/module/pviommu_test/parameters/shared
run_cases isolation

# What devices have, by the driver's account, is what they reach
run_cases isolation/all
granted=0
for dev in $(devices_of pviommu_test); do
	granted=$((granted + $(stat_of "$dev" domain_granted)))
done
reached=$(sed -n 's/^# together //p' /tmp/ktap)
[ $((reached * $(host_stat chunk_size))) = $granted ] ||
	fail "$reached chunks are reached, $granted bytes granted to these devices"
