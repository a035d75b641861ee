#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: alignment, boundaries, segment and mapping sizes
# VM: edu
# Timeout: 120
. ./lib.sh

run_cases limits
