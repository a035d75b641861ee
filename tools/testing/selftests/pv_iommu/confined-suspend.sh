#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: a device in mid-transfer through suspends to RAM and to idle, and not attached again
# VM: confined
# Timeout: 400
. ./lib.sh
. ./drive-lib.sh
. ./suspend-lib.sh

suspend_driven "$(edu 0)"
idle_driven "$(edu 0)"
unattached_driven "$(edu 0)"
