#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Test: of two assigned devices none reaches the other's chunks: VT-d refuses it
# VM: kvm
# Modes: none
# Timeout: 240

. ./kvm-isolation-lib.sh

host_setup
assign $NVME
assign $EDU
isolation_holds
isolation_off
