#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Test: an assigned disk whose mappings are direct: no copy, and locked is what is mapped
# VM: kvm
# Modes: none
# Timeout: 600

. ./kvm-lib.sh
. ./kvm-direct-lib.sh

direct_setup

# Before the guest has anything granted
direct_start ""
[ "$(status VmLck)" = 0 ] || fail "$(status VmLck) kB locked before anything is granted"
direct_ready
wait_for 10 nothing_direct || fail "idle: $direct kB granted"
idle=$locked
[ "$idle" -gt 0 ] || fail "a disk that works, and nothing locked"

before=$(copied)
fio_begin
direct_peak 12
echo "idle $idle kB locked; under load at most $peak kB of guest RAM, in 12 looks, in each just as much locked"

balloon_halves

fio_end
[ "$(copied)" = "$before" ] || fail "$(($(copied) - before)) bytes were copied"
maps_are_direct
wait_for 10 nothing_direct || fail "after the load: $direct kB of guest RAM granted"
echo "after it $locked kB locked, no guest RAM"

reset_and_unplug
l2_stop
