#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: a 28-bit device is served while 64-bit ones hold most of an arena of 512 MiB
# VM: wide-arena
# Modes: bounce
# Timeout: 60
. ./lib.sh

run_cases masks
