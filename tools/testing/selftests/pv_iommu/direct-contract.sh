#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: the DMA API's contract where whole pages are direct
# VM: edu-direct
# Modes: direct
# Timeout: 240
. ./lib.sh

run_cases single sg sync attrs limits context pages mmap pool coherent
