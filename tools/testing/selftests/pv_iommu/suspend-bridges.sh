#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: suspend to RAM, after which devices behind bridges are found again
# VM: served
# Timeout: 180
. ./lib.sh
. ./suspend-lib.sh

# All but the one whose bus bypasses IOMMUs
wait_for 30 disks_there 5 || fail "five disks are wanted, there are: $disks"
# shellcheck disable=SC2086 # one word each
load_start $disks
load_goes_on
# Where devices resume in parallel, it is a race who is first; in turn, it is the host
# device, whose number is the lowest, but for what they wait for
for async in 0 1; do
	echo $async >/sys/power/pm_async
	sleep_by mem
	load_goes_on
done
load_stop
# shellcheck disable=SC2086
need_attached $devices
! said "host refused to attach again" || fail "a device was not attached again"
allocator_whole
