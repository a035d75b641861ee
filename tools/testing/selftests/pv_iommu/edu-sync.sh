#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: syncs of all of a mapping and of parts of it
# VM: edu
# Timeout: 60
. ./lib.sh

run_cases sync
