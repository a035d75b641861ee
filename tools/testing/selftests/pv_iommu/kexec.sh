#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: kexec into another kernel, which loads pv_iommu again, under load
# VM: again
# Boots: 2
# Timeout: 240
. ./lib.sh
. ./again-lib.sh
. ./kexec-lib.sh

kexec_again
