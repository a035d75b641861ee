#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: dma pools and managed allocations
# VM: edu
# Timeout: 60
. ./lib.sh

run_cases pool
