#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: eleven devices write at random over all that they reach and try everywhere else: what disks and cards transfer stays right
# VM: hostile
# Timeout: 120
. ./lib.sh
. ./net-lib.sh

need_isolation

# A tenth of a second each
ROUNDS=${ROUNDS:-40}

# scribble CASE: in the background
scribble() {
	echo "${SEED:-$(od -A n -N 4 -t u4 /dev/urandom | tr -d ' ')}" \
		>/sys/module/pviommu_test/parameters/seed
	echo "$ROUNDS" >/sys/module/pviommu_test/parameters/steps
	echo "seed $(cat /sys/module/pviommu_test/parameters/seed)"
	(ktap_of "hostile/$1") &
	wild=$!
}

load_cases
edus=$(devices_of pviommu_test | wc -l)
wait_for 20 disks_there 2 || fail "not two disks: $disks"
wire_cards 52:54:00:00:00:10 52:54:00:00:00:11
need_wire

# shellcheck disable=SC2086 # one word each
load_start $disks
load_goes_on
scribble scribble
how="$edus devices gone wild"
transfers=0
while kill -0 $wild 2>/dev/null; do
	transfer a b "$WIRE_B"
	transfer b a "$WIRE_A"
	transfers=$((transfers + 2))
done
wait $wild || exit 1
load_goes_on
load_stop
echo "$transfers transfers, $(cat /tmp/load-* | grep -c verified) rounds of verified I/O"

# In bounce mode they share the arena: bytes may be others', and nothing more happens
if [ "$(pv_mode)" = bounce ]; then
	loads=
	for disk in $disks; do
		load_endless "$disk"
		loads="$loads $fio"
	done
	scribble arena
	wait $wild || exit 1
	# shellcheck disable=SC2086
	kill $loads
	# shellcheck disable=SC2086
	wait $loads
fi
for disk in $disks; do
	fio_verify "/dev/$disk" --size=4M
done
transfer a b "$WIRE_B"
wire_gone 52:54:00:00:00:10
! said 'nvme.*\(invalid\|timeout\|reset\|Abort\)' || fail "the NVMe disk was not well"
for dev in $devices; do
	[ "$(failures_of "$dev")" = 0 ] || fail "$dev: mappings failed"
done
allocator_whole
