#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Test: the window is write-back: OVMF
# VM: uefi
# Modes: window

. ./cache-lib.sh
check_cache
