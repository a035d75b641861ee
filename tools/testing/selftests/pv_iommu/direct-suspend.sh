#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: suspend to idle and to RAM with direct mappings, of which the host forgets all
# VM: main-direct
# Modes: direct
# Timeout: 240

. ./suspend.sh
[ "$(stat_of "$nvme" maps_direct)" -gt 0 ] || fail "no mapping of $nvme was direct"
echo "$(stat_of "$nvme" maps_direct) of $(stat_of "$nvme" maps) maps of $nvme were direct"
