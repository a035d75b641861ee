#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: coherent memory: zeroed, aligned, the right bytes through a device
# VM: edu
# Timeout: 60
. ./lib.sh

run_cases coherent
