#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: direct mappings by 2 MiB: what devices see beside them, what goes first, when, and no exits
# VM: edu-cached
# Modes: direct
# Timeout: 240
. ./lib.sh

# Longer than a case takes before it waits for it: each DMA of edu is 100 ms
echo 20 >/sys/module/pv_iommu/parameters/direct_cache_idle
run_cases cached/around cached/oldest cached/full cached/idle cached/large

# A request for each 2 MiB, and none for a thousand maps and unmaps of what is in them
edu=$(devices_of pviommu_test | head -n 1)
before=$(stat_of "$edu" hypercalls)
run_cases cached/again
asked=$(($(stat_of "$edu" hypercalls) - before))
echo "$asked requests for 1,000 maps and unmaps in 4 times 2 MiB"
[ "$asked" = 4 ] || fail "$asked requests"

limit=$(host_property direct-limit)
host_set direct-limit $((4 << 20))
run_cases cached/limit
host_set direct-limit "$limit"
