#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: a device in mid-transfer, and a host that cannot be enabled when the guest wakes
# VM: confined-old-host
# Modes: window
# Timeout: 240
. ./lib.sh
. ./drive-lib.sh
. ./suspend-lib.sh

suspend_refused "$(edu 0)"
