#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Test: the window is write-back: SeaBIOS
# VM: main
# Modes: window

. ./cache-lib.sh
check_cache
