#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: the detector of data races reports one that is there
# VM: stress
# Modes: window
# Timeout: 120
. ./lib.sh

counters=/sys/kernel/debug/kcsan
[ -e $counters ] || skip "this kernel has no KCSAN"
load_cases
# A report would end the guest
echo 0 >/proc/sys/kernel/panic_on_warn
ktap_of race
echo 1 >/proc/sys/kernel/panic_on_warn
# What was asked for is not held against the test
dmesg -c >/tmp/dmesg
sed -n 's/.*BUG: KCSAN: //p' /tmp/dmesg >/tmp/reports
cat /tmp/reports $counters
grep -q 'data-race in .*pvt_race' /tmp/reports || fail "a data race was not reported"
! grep -v 'data-race in .*pvt_race' /tmp/reports || fail "a data race of others"
