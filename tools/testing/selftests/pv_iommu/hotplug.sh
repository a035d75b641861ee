#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: an NVMe disk is pulled out under load and plugged in again, round by round
# VM: hotplug
# Timeout: 240
. ./lib.sh
. ./hotplug-lib.sh

# What the firmware tried before there was pv_iommu does not count
refused=$(host_stat refused_dmas)

how="at start"
nvme_there
idle=
for round in 1 2 3; do
	how="round $round"
	fio_verify "/dev/$disk" --size=4M
	nvme_pull
	# what is in use without it is the same each time
	allocator_whole "${idle:=$(host_stat window_used)}"
	nvme_plug
	fio_verify "/dev/$disk" --size=4M
done
refused=$(($(host_stat refused_dmas) - refused))
[ $refused = 0 ] || fail "$refused DMAs were refused"
