#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Test: of two assigned devices none reaches the other's chunks: AMD-Vi refuses it
# VM: kvm-amd
# Modes: none
# Timeout: 240

. ./kvm-isolation-lib.sh

# shellcheck disable=SC2034 # for the library
SILENT=yes
host_setup
dmesg | grep -m 1 'AMD-Vi: Interrupt remapping enabled' ||
	fail "no AMD-Vi: $(ls /sys/class/iommu)"
assign $NVME
assign $EDU
isolation_holds
isolation_off
