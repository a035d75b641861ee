#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: scatterlists of 1 to 1024 entries
# VM: edu
# Timeout: 120
. ./lib.sh

run_cases sg
