#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: threads on every CPU map, sync and unmap at random, checked by a model
# VM: stress
# Timeout: 240
. ./lib.sh

run_stress 20000
