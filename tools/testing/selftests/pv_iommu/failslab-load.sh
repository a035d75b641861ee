#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: each allocation of the module's probe fails once: an error, no host device, no leak
# VM: bypass
# Modes: none
# Timeout: 600
. ./lib.sh
. ./failslab-lib.sh

rmmod nvme pv_iommu 2>/dev/null
# Loads once, so that its files are in the page cache, and says where it is
modprobe pv_iommu || fail "modprobe pv_iommu"
host=$(basename "$(host_dir)")
rmmod pv_iommu || fail "rmmod"

# Enabled for good: the kernel's ACPI code, which the probe would call to do so,
# uses what it has freed when it is hit (7.3, by KASAN)
echo 1 >"/sys/bus/pci/devices/$host/enable" || fail "enable $host"

# The kernel warns when it fails to add memory
# shellcheck disable=SC2046 # two words each
fail_in $(text_of_function pci_device_probe) $(text_of_function arch_add_memory)
path=$(modprobe --show-depends pv_iommu | sed -n 's/^insmod \([^ ]*\).*/\1/p' | tail -n 1)
[ -n "$path" ] || fail "no pv_iommu.ko"

n=0 failed=0 before=0
# Done when a probe has fewer allocations than are let through
while [ "$before" != "$(failures_left)" ]; do
	n=$((n + 1))
	[ $n -le 300 ] || fail "the 300th allocation in one probe"
	before=$(failures_left)
	# The task that is counted for becomes insmod
	bash -c "echo $n >/proc/self/fail-nth; exec insmod $path" ||
		fail "allocation $n: the module does not load"
	[ -n "$(host_dir)" ] || failed=$((failed + 1))
	rmmod pv_iommu || fail "allocation $n: rmmod"
done
echo "a probe allocates $((n - 1)) times; $failed of these made it fail"
[ $failed -gt 0 ] || fail "none made it fail"

# And now that all is well again
echo 0 >"/sys/bus/pci/devices/$host/enable" || fail "disable $host"
modprobe pv_iommu || fail "modprobe pv_iommu"
modprobe nvme || fail "modprobe nvme"
wait_for 20 driven_by nvme || fail "no NVMe device"
need_disk nvme "NVMe disk"
need_attached "$dev"
fio_verify "/dev/$disk" --size=4M
allocator_whole

# leaves things as they were
rmmod nvme
rmmod pv_iommu || fail "rmmod"
