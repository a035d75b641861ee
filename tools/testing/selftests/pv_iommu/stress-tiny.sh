#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: the same in a window of 2 MiB, which is full most of the time
# VM: tiny
# Timeout: 240
. ./lib.sh

run_stress 8000
