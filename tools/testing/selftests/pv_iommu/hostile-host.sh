#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: a host whose registers, answers and request blocks lie at random (x-hostile=): devices may fail, the kernel does not
# VM: hostile-host
# Modes: none
# Timeout: 240
#
# By hand, for as long as one likes: SET='SEEDS=5+6+7 SECONDS_EACH=60', and a TIMEOUT_FACTOR
. ./lib.sh

# The seed says how often it lies, too, by its remainder of 5: one time in 2 (0) to 32 (4)
SEEDS=$(echo "${SEEDS:-2+4}" | tr + ' ')
# Seconds at work for each, and how often the module is loaded
SECONDS_EACH=${SECONDS_EACH:-1}
PROBES=${PROBES:-6}

lie() {
	host_set x-hostile "$1"
}

# drivers COMMAND [DEVICE,DRIVER...]: bind, or unbind, those, or all
drivers() {
	local dev how
	how=$1
	shift
	# shellcheck disable=SC2086 # one word each
	[ $# -gt 0 ] || set -- $all
	for dev; do
		[ ! -e "/sys/bus/pci/drivers/${dev#*,}/${dev%,*}" ] ||
			[ "$how" = unbind ] || continue
		echo "${dev%,*}" >"/sys/bus/pci/drivers/${dev#*,}/$how" 2>/dev/null
	done
}

# at_work: until the file is there, whatever comes of it
at_work() {
	while [ ! -e /tmp/enough ]; do
		"$@"
	done >/dev/null 2>&1 &
	pids="$pids $!"
}

read_write() {
	local disk
	disk=$(disk_of "$nvme") || { sleep 0.1; return; }
	# A disk that is gone is not to be made as a file
	fio --name=load --filename="/dev/$disk" --allow_file_create=0 --direct=1 \
		--ioengine=libaio --iodepth=8 --rw=randrw --bsrange=4k-128k --size=4M
}

# The cases are not told the mode: they would believe what the registers say
map_unmap() {
	echo stress/random >$pvt_debug/run || sleep 0.1
}

send() {
	local net
	for net in "/sys/bus/pci/devices/$card/net/"*; do
		net=${net##*/}
		ip link set "$net" up || continue
		ip addr add 10.9.8.1/24 dev "$net"
		ping -c 20 -i 0.02 -W 1 -s 8000 10.9.8.2
	done
	sleep 0.1
}

# idle: who works has ended
idle() {
	touch /tmp/enough
	# shellcheck disable=SC2086 # one word each
	wait $pids
	rm -f /tmp/enough
	pids=
}

work() {
	pids=
	at_work read_write
	at_work map_unmap
	at_work send
}

# lied SEED: it has, since it was asked last
lied() {
	local now
	now=$(host_property x-lies)
	echo "seed $1, $mode: $((now - lies)) lies: $2"
	[ "$now" -gt "$lies" ] || fail "seed $1: the host was honest"
	lies=$now
}

# honest: all is well with a host that does not lie, whatever it did before
honest() {
	modprobe pv_iommu "mode=$mode" || fail "seed $1: no pv_iommu"
	drivers bind
	need_device nvme "NVMe disk"
	wait_for 30 disk_of "$dev" >/dev/null || fail "seed $1: no disk any more"
	need_disk nvme "NVMe disk"
	wait_for 20 test -b "/dev/$disk" || fail "no /dev/$disk"
	fio_verify "/dev/$disk" --size=1M
	# shellcheck disable=SC2046 # one word each
	need_attached $(devices_of pviommu_test)
}

modprobe pv_iommu || fail "modprobe"
modprobe nvme_core || fail "modprobe"
# What the command line says is for an idle machine
for one in io admin; do
	echo $((2 * FACTOR)) >/sys/module/nvme_core/parameters/${one}_timeout
done
modprobe -a nvme e1000e || fail "modprobe"
modprobe pviommu_test || fail "no pviommu_test"
wait_for 20 driven_by nvme
need_device nvme "NVMe disk"
nvme=$dev
need_device e1000e "network card"
card=$dev
all="$nvme,nvme $card,e1000e"
for dev in $(devices_of pviommu_test); do
	all="$all $dev,pviommu_test"
done
echo 300 >/sys/module/pviommu_test/parameters/steps
lies=0

for seed in $SEEDS; do
	for mode in window bounce; do
		# With devices at work, whose drivers come and go; but for the cases,
		# which rely on theirs
		drivers unbind
		rmmod pv_iommu || fail "rmmod"
		honest "$seed"
		work
		lie "$seed"
		sleep "$SECONDS_EACH"
		for n in 1 2 3; do
			drivers unbind "$nvme,nvme" "$card,e1000e"
			drivers bind
		done
		idle
		drivers unbind
		lie 0
		lied "$seed" "at work"
		drivers unbind
		rmmod pv_iommu || fail "seed $seed: rmmod"

		# From the start
		lie "$seed"
		n=0
		loaded=0
		while [ $n -lt "$PROBES" ]; do
			n=$((n + 1))
			modprobe pv_iommu "mode=$mode" || fail "seed $seed: modprobe"
			if [ -n "$(host_dir)" ]; then
				loaded=$((loaded + 1))
				drivers bind
				map_unmap 2>/dev/null
				drivers unbind
			fi
			rmmod pv_iommu || fail "seed $seed: rmmod, round $n"
		done
		lie 0
		lied "$seed" "loaded $n times, $loaded found a host"
		honest "$seed"
	done
done
