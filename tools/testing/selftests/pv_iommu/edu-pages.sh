#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: dma_alloc_pages, noncontiguous and noncoherent memory, get_sgtable
# VM: edu
# Timeout: 60
. ./lib.sh

run_cases pages
