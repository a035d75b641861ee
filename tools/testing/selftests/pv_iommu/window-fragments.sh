#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: mappings of 4 MiB succeed while 100,000 of random sizes come and go
# VM: fragment
# Modes: window
# Timeout: 300
. ./lib.sh

modprobe -r pviommu_test
modprobe pviommu_bench || fail "no pviommu_bench"
need_device pviommu_bench "edu device"
need_attached "$dev"
bench=/sys/kernel/debug/pviommu_bench
window=$(($(host_stat window_size) >> 20))
share=$(($(sed -n 's/^share //p' $pv_debug/window) >> 20))
# One for each of the others, and for one that is yet to come
others=$(sed 1d $pv_debug/domains | wc -l)

# figure NAME: one of the result's
figure() {
	tr ' ' '\n' <$bench/result | sed -n "s/^$1=//p"
}

# All but the shares of others
mine=$((window - share * others))

# fragment PERCENT: with that much of what the device may have in use throughout
fragment() {
	echo "frag $1 $mine 50000" >$bench/run || fail "frag $1"
	cat $bench/result
	[ "$(figure failures)" = 0 ] ||
		fail "$1% in use: $(figure failures) small mappings failed"
	[ "$(figure tried)" = 500 ] || fail "only $(figure tried) were tried"
	# But what is less than 4 MiB at the ends
	[ "$(figure at_end)" -ge $((mine / 4 - 1)) ] ||
		fail "the empty window takes $(figure at_end) mappings of 4 MiB"
}

for percent in 10 25 35; do
	fragment $percent
	[ "$(figure mapped)" = "$(figure tried)" ] ||
		fail "$percent% in use: $(figure mapped) of $(figure tried) large mappings succeeded"
done
# Blocks are powers of two, so more than half of it is taken now, at random: not every large mapping can succeed, but none of the rest may suffer
fragment 45
rmmod pviommu_bench
allocator_whole
