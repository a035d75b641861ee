#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: a full window and others that keep blocks: no map or unmap takes more than 200,000 instructions with IRQs off
# VM: edu
# Modes: window
# Timeout: 120
. ./lib.sh

run_cases pressure
