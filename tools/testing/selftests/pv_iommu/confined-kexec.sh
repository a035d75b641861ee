#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: devices in mid-transfer through kexec, and a pv_iommu that comes late
# VM: confined-again
# Boots: 3
# Timeout: 360
. ./lib.sh
. ./again-lib.sh
. ./drive-lib.sh
. ./kexec-lib.sh

kexec_driven
