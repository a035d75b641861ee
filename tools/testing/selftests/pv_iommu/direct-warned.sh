#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: who never syncs and cannot be direct for its mask is told so, once, with cause and remedy
# VM: edu-direct
# Modes: direct
# Timeout: 120
. ./lib.sh

dev=0000:00:10.0

# told WHAT: what dmesg has of it since this test began
told() {
	dmesg_of_test | grep "$dev: pv_iommu: direct mappings are $1"
}

# told_why WHAT: that is one line, with cause and remedy
told_why() {
	[ "$(told "$1" | wc -l)" = 1 ] || fail "$1: told $(told "$1" | wc -l) times"
	case $(told "$1") in
	*": its mask, 0xfffffff, does not reach guest RAM at 0x"*"; have its driver set a larger mask, or "*) ;;
	*) fail "not cause and remedy: $(told "$1")" ;;
	esac
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
told_why bounced
run_cases direct/unreached
told_why bounced

# What must be coherent is refused, and told why: nothing else is said of it. A kernel may
# know of no such thing.
failures=$(failures_of $dev)
run_cases direct/unreached direct/coherent_unreached
if ! grep -q '^ok .*coherent_unreached # SKIP' /tmp/ktap; then
	told_why refused
	[ "$(failures_of $dev)" -gt "$failures" ] || fail "no failure was counted"
	! said "$dev: pv_iommu: mapping of .* refused: error" || fail "it is said again, without a reason"
fi
