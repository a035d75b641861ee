#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: devices in mid-transfer through a reboot, and a reset by the host
# VM: confined-reboot
# Boots: 3
# Timeout: 360
. ./lib.sh
. ./again-lib.sh
. ./drive-lib.sh

reboot_driven
