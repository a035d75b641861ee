#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Test: devices assigned by iommufd beside one by a legacy container: what each has pinned, and reaches
# VM: kvm-groups
# Modes: none
# Timeout: 400

. ./kvm-groups-lib.sh
. ./kvm-isolation-lib.sh

# Which L2's RAM has, and no chunk; edu has 28 address bits
WILD=$((0x1000000))

# lacks WHAT: by the modules that were built for it, it would not
lacks() {
	! ls /host/vfio-iommufd/*.ko >/dev/null 2>&1 ||
		fail "with the modules that were built for it: $1"
	skip "this kernel has $1: make test QEMU=trixie KERNEL=6.12"
}

# vfio_setup: VFIO with iommufd, by modules that were built for it where the kernel's own
# have no such option. Those of before go, with what they drive.
vfio_setup() {
	local objects
	[ -n "$(ls -A /sys/kernel/iommu_groups)" ] ||
		skip "this host has no IOMMU"
	objects=$(/host/lib/ld-linux-x86-64.so.2 --library-path /host/lib \
		/host/bin/qemu-system-x86_64 -object help) || fail "QEMU: $objects"
	grep -q iommufd <<<"$objects" ||
		skip "this QEMU has no iommufd: make test QEMU=trixie KERNEL=6.12"
	modprobe -q iommufd
	if [ ! -e /dev/iommu ]; then
		modprobe -q -r vfio_pci vfio_iommu_type1
		modprobe -q irqbypass
		vfio_built iommufd iommufd_driver iommufd vfio vfio_iommu_type1 \
			vfio-pci-core vfio-pci
	fi
	modprobe -a vfio_pci vfio_iommu_type1 || fail "no modules for VFIO"
	[ -c /dev/iommu ] || lacks "no iommufd"
}

# grants NAME: sets it to what the device of the legacy container has been granted, and
# those by iommufd, as L2 says
grants() {
	ask "$1" "cat $legacy/pv_iommu/domain_granted; cat $devices | awk '{ n += \$1 } END { print n }'"
}

# accounts_agree: what legacy containers have locked is what their device has been
# granted, and what iommufd has pinned is what its devices have been. Grants come and go
# meanwhile: two that agree, around what is locked.
accounts_agree() {
	local before granted
	for _ in 1 2 3 4 5 6 7 8; do
		grants before
		locked=$(status VmLck)
		pinned=$(status VmPin)
		grants granted
		[ "$before" != "$granted" ] || break
	done
	# shellcheck disable=SC2086 # two words
	set -- $granted
	allowed="$(($1 / 1024)) and $(($2 / 1024))"
	[ "$before" = "$granted" ] && [ "$locked and $pinned" = "$allowed" ]
}

# must_agree WHEN
must_agree() {
	wait_for 20 accounts_agree ||
		fail "$1: $locked kB locked, $pinned kB pinned; kB that are granted: $allowed"
	echo "$1: $locked kB locked by the legacy container, $pinned kB pinned by iommufd"
}

# both_grow: the same with more than when nothing was to be done
both_grow() {
	accounts_agree && [ "$locked" -gt "$idle_locked" ] && [ "$pinned" -gt "$idle_pinned" ]
}

# all_let_go: nothing is locked or pinned
all_let_go() {
	[ "$(status VmLck)" = 0 ] && [ "$(status VmPin)" = 0 ]
}

# by_iommufd NUMBER: so many devices are, and the rest is not
by_iommufd() {
	local files fd
	files=$(for fd in /proc/"$L2_PID"/fd/*; do readlink "$fd"; done)
	[ "$(grep -c '^/dev/vfio/devices/' <<<"$files")" = "$1" ] &&
		grep -q '^/dev/iommu$' <<<"$files" &&
		grep -q '^/dev/vfio/[0-9]' <<<"$files" ||
		fail "not what the test is about: $files"
}

host_setup
assign "${HOST[nvme0]}"
assign "${HOST[nvme3]}"
assign $EDU
[ -d /dev/vfio/devices ] || lacks "no VFIO_DEVICE_CDEV"

L2_APPEND=iomem=relaxed
way_window ""
L2_DISKS=()
given nvme0 bus=port0,iommufd=iommufd0
given nvme3 bus=pcie.0
# edu as it is given to who may not open it: as a descriptor, and nothing else
cdev=$(echo /sys/bus/pci/devices/$EDU/vfio-dev/vfio*)
exec 9<>"/dev/vfio/devices/${cdev##*/}" || fail "no descriptor of edu: $cdev"
edu_group=$(basename "$(readlink /sys/bus/pci/devices/$EDU/iommu_group)")
# shellcheck disable=SC2046 # words
l2_start $(host_disk on) -object iommufd,id=iommufd0 \
	-device pcie-root-port,id=port0,slot=1,chassis=1 "${L2_DISKS[@]}" \
	-device vfio-pci,fd=9,id=edu0,iommufd=iommufd0
exec 9>&-
# What it shares with others of its group is a matter of the host's, whoever opened it
tree=$(qmp human-monitor-command '"command-line":"info mtree"') || fail "$tree"
grep -q "pv-iommu-vfio-$edu_group\\b" <<<"$tree" ||
	fail "edu by descriptor is not in the space of its group, $edu_group: $(grep -o 'pv-iommu-vfio-[0-9]*' <<<"$tree" | sort -u)"
all_let_go || fail "before anything is granted: $(status VmLck) kB locked, $(status VmPin) kB pinned"
by_iommufd 2
l2_ready
edu_up
works nvme0 nvme3
legacy=$(pci nvme3) || fail "$legacy"
cdev=$(pci nvme0) || fail "$cdev"
devices="$cdev/pv_iommu/domain_granted $edu/pv_iommu/domain_granted"
must_agree "at the start"
[ "$locked" -gt 0 ] && [ "$pinned" -gt 0 ] || fail "disks that work, and nothing pinned"

idle_locked=$locked idle_pinned=$pinned
# More than the chunks in which the disks' drivers keep something for good
FIO_JOB=${LOAD/64M/8M}
load_begin nvme0 nvme3
wait_for 90 both_grow ||
	fail "under load: $locked kB locked, $pinned kB pinned; kB that are granted: $allowed"
echo "under load: $locked kB locked by the legacy container, $pinned kB pinned by iommufd"
[ $((locked + pinned)) -le $((L2_WINDOW * 1024)) ] ||
	fail "the window is $((L2_WINDOW * 1024)) kB"
load_end nvme0 nvme3
must_agree "after it"

# edu is by iommufd: it reaches its own, which is the control, and what nobody has not,
# nor what another has, in the same iommufd or past it
edu_own
refused "L2's memory" $WILD edu_writes
refused "L2's memory" $WILD edu_reads
for disk in "$cdev" "$legacy"; do
	queue_of "$disk"
	beyond_reach "the queue of ${disk##*/}" "$queue"
done
works nvme0 nvme3

# Out of it, and into it again
unplug nvme0
devices="$edu/pv_iommu/domain_granted"
must_agree "unplugged"
plug nvme0 '"bus":"port0","iommufd":"iommufd0"' >/dev/null || fail "device_add nvme0"
works nvme0
by_iommufd 2
cdev=$(pci nvme0) || fail "$cdev"
devices="$cdev/pv_iommu/domain_granted $devices"
must_agree "plugged in again"

# A reset ends all grants, in the middle of I/O
l2_reboots yes
load_begin nvme0 nvme3
qmp stop >/dev/null && qmp system_reset >/dev/null || fail "system_reset"
wait_for 10 all_let_go ||
	fail "after a reset: $(status VmLck) kB locked, $(status VmPin) kB pinned"
! grep -E "IOMMU_IOAS|vfio_container_dma" $L2/qemu.log || fail "QEMU could not map or unmap"
l2_kill
