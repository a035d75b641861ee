#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: a crash under load; the crash kernel, of 192 MiB, saves memory to the NVMe disk
# VM: kdump
# Boots: 2
# Timeout: 400
. ./lib.sh
. ./net-lib.sh
. ./again-lib.sh
. ./drive-lib.sh
. ./kexec-lib.sh
. ./kdump-lib.sh

kdump
