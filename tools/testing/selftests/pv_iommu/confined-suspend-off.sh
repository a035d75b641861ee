#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: the same with boot-bypass=off, and with one that has no driver
# VM: confined-off
# Timeout: 240
. ./lib.sh
. ./drive-lib.sh
. ./suspend-lib.sh

suspend_driven "$(edu 0)" "$(edu 1)"
