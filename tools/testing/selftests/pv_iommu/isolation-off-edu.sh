#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: isolation=off: what any backend owes, and what pv-iommu promises, all cases
# VM: edu-shared
# Timeout: 240
. ./lib.sh

run_cases coherent single sg sync attrs limits masks context pages mmap pool full wild
