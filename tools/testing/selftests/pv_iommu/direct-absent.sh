#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: a host without direct-limit=: who never syncs is attached, and its log says what is wrong
# VM: edu-direct
# Modes: window bounce
# Timeout: 120
. ./lib.sh

dev=0000:00:10.0

# told DEVICE: how often the log has it of the device since boot, with the remedy
told() {
	dmesg | grep -c "$1: pv_iommu: its driver may map memory once and never sync it, and would see old data, .*; give the host device direct-limit="
}

load_cases
need_attached $dev
[ "$(host_property direct-limit)" = 0 ] || fail "the host offers direct mappings"
[ "$(told $dev)" = 1 ] || fail "$dev is told $(told $dev) times"
[ "$(told 0000:00:11.0)" = 0 ] || fail "so is a device whose driver syncs"
dmesg | grep -q "$dev: pv_iommu: attached ($(pv_mode))" || fail "it is not just $(pv_mode)"

# Served as any other device, and not told again; what must not be copied is refused
run_cases single sg sync attrs
[ "$(told $dev)" = 1 ] || fail "$dev is told $(told $dev) times after mappings"
