#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: the guest migrates to the QEMU of another release and back while disks work
# VM: migrate-builds
# Timeout: 240
. ./lib.sh

builds=$(host builds) || fail "$builds"
# shellcheck disable=SC2086 # one word each
set -- $builds
[ $# -gt 1 ] || skip "QEMU of $1 is the only one that is built: make qemu QEMU=..."

wait_for 20 disks_there 3 || fail "three disks are wanted, there are: $disks"
refused=$(host_stat refused_dmas)
# shellcheck disable=SC2086 # one word each
load_start $disks
load_goes_on
here=$1
shift
for there; do
	for suite in "$there" "$here"; do
		stopped=$(host migrate "$suite") || fail "to $suite: $stopped"
		echo "to QEMU of $suite: stood still for $stopped ms"
		load_goes_on
	done
done
load_stop
[ "$(host_stat refused_dmas)" = "$refused" ] || fail "DMAs were refused"
# shellcheck disable=SC2086 # one word each
for dev in $devices; do
	[ "$(stat_of "$dev" failures)" = 0 ] || fail "$dev: mappings failed"
done
allocator_whole
