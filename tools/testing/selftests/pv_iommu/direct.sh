#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: direct mappings: no copy, no sync, and just what is mapped is granted; one device keeps it
# VM: edu-direct
# Modes: direct
# Timeout: 120
. ./lib.sh

edu0=0000:00:10.0
edu1=0000:00:11.0
run_cases direct
[ "$(failures_of $edu0)" -gt 0 ] || fail "no failure was counted"
said "bytes refused: the host grants no more guest RAM" || fail "nobody was told of a full limit"
dmesg | grep -q '00:10\.0: pv_iommu: attached (window, direct)' || fail "edu0 is not direct"
dmesg | grep -q '00:11\.0: pv_iommu: attached (window)' || fail "edu1 is direct"

# One device alone is told to keep what is around its mappings, without direct_cache=
cache=/sys/bus/pci/devices/$edu0/pv_iommu/direct_cache
[ "$(cat $cache)" = 0 ] || fail "at first direct_cache is $(cat $cache)"
! echo 1 2>/dev/null >$cache || fail "it may keep what there is no room for"
echo 8 >$cache && [ "$(cat $cache)" = 8 ] || fail "direct_cache is $(cat $cache)"
for what in unbind bind; do
	echo $edu1 >/sys/bus/pci/drivers/pviommu_test/$what || fail "$what edu1"
done
[ "$(cat /sys/bus/pci/devices/$edu1/pv_iommu/direct_cache)" = 0 ] ||
	fail "one that comes keeps what is around its mappings, too"
run_cases cached/alone
[ "$(host_stat direct_cached)" = $((2 << 20)) ] || fail "$(host_stat direct_cached) bytes kept"
echo 0 >$cache || fail "direct_cache=0"
[ "$(host_stat direct_cached)" = 0 ] && [ "$(host_stat direct_granted)" = 0 ] ||
	fail "direct_cache=0: $(host_stat direct_cached) bytes kept, $(host_stat direct_granted) granted"
