#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: DMA attributes
# VM: edu
# Timeout: 60
. ./lib.sh

run_cases attrs
