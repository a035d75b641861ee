#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: a DMA outside the window changes nothing, sees nothing, is counted
# VM: edu
# Timeout: 60
. ./lib.sh

run_cases wild
