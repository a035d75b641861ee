#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: a full window and others that keep blocks: no map or unmap takes more than 200,000 instructions with IRQs off
# VM: edu
# Modes: window
# Timeout: 120
. ./lib.sh

run_cases pressure

# One CPU, which does nothing else meanwhile: what was not there the map path has had
# granted, with IRQs off
late=0
for dev in $(devices_of pviommu_test); do
	late=$((late + $(stat_of "$dev" domain_grants_late)))
done
echo "$late grants in the map path"
[ "$late" -gt 0 ] || fail "no grant came from the map path"
