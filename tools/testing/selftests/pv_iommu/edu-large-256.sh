#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: 96 MiB of coherent memory of a window of 256 MiB; one driver's appetite leaves enough to others
# VM: edu-256
# Modes: window
# Timeout: 120
. ./lib.sh

run_cases large
# The host had addresses to choose from
said "alike to $((256 << 20)) bytes" || fail "aligned alike to less than the window's size"
