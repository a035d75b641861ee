#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: devices that reach 24 to 64 bits, also while others are busy
# VM: edu
# Timeout: 60
. ./lib.sh

run_cases masks
