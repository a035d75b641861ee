#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: single mappings in all directions, sizes 1 to 4096, odd offsets
# VM: edu
# Timeout: 120
. ./lib.sh

run_cases single
