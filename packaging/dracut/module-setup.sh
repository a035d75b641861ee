#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Puts pv_iommu into the initial RAM disk and loads it before udev loads the
# drivers of the disks.

# Called by dracut: not for a kernel without the module
check() {
	# shellcheck disable=SC2154 # dracut's variable
	modinfo -k "$kernel" pv_iommu >/dev/null 2>&1
}

depends() {
	return 0
}

installkernel() {
	hostonly='' instmods pv_iommu
}

install() {
	inst_multiple -o /lib/modprobe.d/pv-iommu.conf /etc/modprobe.d/pv-iommu.conf
	# Earlier than what force_drivers in a configuration file does
	# shellcheck disable=SC2154 # dracut's variable
	inst_simple "$moddir/pv-iommu-early" /sbin/pv-iommu-early
	inst_hook pre-udev 01 "$moddir/pre-udev.sh"
}
