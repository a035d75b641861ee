#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: DMA memory read and written from user space
# VM: edu
# Timeout: 60
. ./lib.sh

run_cases mmap
