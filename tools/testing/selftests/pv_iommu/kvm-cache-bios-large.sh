#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Test: the window is write-back: SeaBIOS, a window of 1 GiB and memory above 4 GiB
# VM: bios-large
# Modes: window

. ./cache-lib.sh
check_cache
