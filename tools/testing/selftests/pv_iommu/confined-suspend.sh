#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: a device in mid-transfer through a suspend to RAM
# VM: confined
# Timeout: 240
. ./lib.sh
. ./drive-lib.sh
. ./suspend-lib.sh

suspend_driven "$(edu 0)"
