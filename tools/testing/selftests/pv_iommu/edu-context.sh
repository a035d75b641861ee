#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: mapping with interrupts off, in interrupts and in timers
# VM: edu
# Timeout: 60
. ./lib.sh

run_cases context
