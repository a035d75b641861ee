#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: the same with boot-bypass=on
# VM: again-bypass
# Boots: 3
# Timeout: 360
. ./lib.sh
. ./again-lib.sh
. ./kexec-lib.sh

kexec_late
