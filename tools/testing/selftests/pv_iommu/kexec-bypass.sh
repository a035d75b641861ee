#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: kexec with boot-bypass=on into a kernel that loads pv_iommu again, under load
# VM: again-bypass
# Boots: 2
# Timeout: 360
. ./lib.sh
. ./again-lib.sh
. ./kexec-lib.sh

kexec_again
