#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: the same with boot-bypass=off
# VM: confined-again-off
# Boots: 3
# Timeout: 360
. ./lib.sh
. ./again-lib.sh
. ./drive-lib.sh
. ./kexec-lib.sh

kexec_driven
