#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: the same with a window of 1 GiB
# VM: kdump-large
# Boots: 2
# Timeout: 400
. ./lib.sh
. ./net-lib.sh
. ./again-lib.sh
. ./drive-lib.sh
. ./kexec-lib.sh
. ./kdump-lib.sh

kdump
