#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Test: the window is write-back: OVMF, a window of 1 GiB and memory above 4 GiB
# VM: uefi-large
# Modes: window

. ./cache-lib.sh
check_cache
