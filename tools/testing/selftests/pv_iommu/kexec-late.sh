#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: kexec into a kernel that loads pv_iommu after other drivers: no DMA until then
# VM: again
# Boots: 3
# Timeout: 360
. ./lib.sh
. ./again-lib.sh
. ./kexec-lib.sh

kexec_late
