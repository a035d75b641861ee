#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: who never syncs and cannot be direct for its mask is told so, once, with cause and remedy
# VM: edu-direct
# Modes: direct
# Timeout: 120
. ./lib.sh

dev=0000:00:10.0

# told: what dmesg has of it since this test began
told() {
	dmesg_of_test | grep "$dev: pv_iommu: direct mappings are bounced instead"
}

load_cases
# Of a test before this one it may know already. Both, so that they are in order again
for what in unbind bind; do
	for one in $dev 0000:00:11.0; do
		echo "$one" >/sys/bus/pci/drivers/pviommu_test/"$what" || fail "$what $one"
	done
done

run_cases direct/nosync direct/neighbours
[ -z "$(told)" ] || fail "told without a reason: $(told)"
run_cases direct/unreached
[ "$(told | wc -l)" = 1 ] || fail "told $(told | wc -l) times"
case $(told) in
*": its mask, 0xfffffff, does not reach guest RAM at 0x"*"; have its driver set a larger mask, or "*) ;;
*) fail "not cause and remedy: $(told)" ;;
esac
run_cases direct/unreached
[ "$(told | wc -l)" = 1 ] || fail "told again"
