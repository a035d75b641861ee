# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# For the tests of a host with many disks, of which two are functions of one device.
# Sourced. A disk's serial number is its name, in L1 and in L2.

. ./kvm-lib.sh

# nvme1 and nvme2 are the two
declare -A HOST=([nvme0]=$NVME [nvme1]=0000:00:12.0 [nvme2]=0000:00:12.1
	[nvme3]=0000:00:13.0 [nvme4]=0000:00:14.0 [nvme5]=0000:00:15.0)

assign_all() {
	local name
	for name in "${!HOST[@]}"; do
		assign "${HOST[$name]}"
	done
	[ "$(group nvme1)" = "$(group nvme2)" ] && [ "$(group nvme1)" != "$(group nvme3)" ] ||
		fail "not what the test is about: groups $(group nvme1), $(group nvme2), $(group nvme3)"
}

group() {
	basename "$(readlink "/sys/bus/pci/devices/${HOST[$1]}/iommu_group")"
}

# given NAME PROPERTIES: a disk for L2, at a place of its
given() {
	L2_DISKS+=(-device "$(vfio "${HOST[$1]}" "$1"),$2")
}

# disk NAME: what it is called in L2, when it is there
disk() {
	must "until d=\$(grep -l '^$1 *\$' /sys/block/nvme*n1/device/serial 2>/dev/null); do sleep 0.1; done; d=\${d#/sys/block/}; echo \${d%%/*}"
}

# pci NAME: its place in L2's sysfs
pci() {
	must "readlink -f /sys/block/$(disk "$1")/device/device"
}

# job NAME: words for L2's shell, of a job on that disk
job() {
	local job=${FIO_JOB/nvme0n1/$(disk "$1")}
	# Where the disk is gone, it is not to make a file of that name
	echo "${job/16M/1M} --allow_file_create=0"
}

# works NAME...: each disk gives back what was written to it
works() {
	local name
	for name; do
		must "d=/dev/$(disk "$name"); head -c 262144 /dev/urandom >/run/wrote; dd if=/run/wrote of=\$d bs=64k oflag=direct 2>/dev/null && dd if=\$d bs=64k count=4 iflag=direct 2>/dev/null | cmp - /run/wrote"
	done
}

# load_begin NAME...: jobs again and again on each disk, until load_end or an error
load_begin() {
	local name
	must "rm -rf /run/load; mkdir /run/load"
	for name; do
		must "(while [ ! -e /run/load/stop ]; do $(job "$name") >/run/load/$name.fio 2>&1 || { echo bad >/run/load/$name.bad; break; }; echo x >>/run/load/$name.runs; done; echo end >/run/load/$name.end) >/dev/null 2>&1 &"
	done
	load_runs "$@"
}

# load_runs NAME...: each of the disks gets at least one more job done
load_runs() {
	local name
	for name; do
		must "n=\$(cat /run/load/$name.runs 2>/dev/null | wc -l); until [ \$(cat /run/load/$name.runs 2>/dev/null | wc -l) -gt \$n ]; do [ ! -e /run/load/$name.bad ] || { cat /run/load/$name.fio; exit 1; }; sleep 0.2; done"
	done
}

# load_end NAME...: and no job on these has failed
load_end() {
	local name
	must "touch /run/load/stop"
	for name; do
		must "until [ -e /run/load/$name.end ]; do sleep 0.2; done; [ ! -e /run/load/$name.bad ] || { cat /run/load/$name.fio; exit 1; }"
	done
}

# let_go NAME: QEMU has said that the device is gone
let_go() {
	qmp query-status >/dev/null
	grep -qs "DEVICE_DELETED.*\"device\": \"$1\"" $L2/events
}

# unplug NAME [NAME...]: the device, with the others of its slot
unplug() {
	local name
	: >$L2/events
	qmp device_del "\"id\":\"$1\"" >/dev/null || fail "device_del $1"
	for name; do
		wait_for 60 let_go "$name" || fail "L2 keeps $name"
	done
}

# plug NAME PLACE: PLACE in JSON
plug() {
	qmp device_add "\"driver\":\"vfio-pci\",\"host\":\"${HOST[$1]}\",\"id\":\"$1\",$2"
}

# acquired: pages that were pinned for devices on this host, ever
acquired() {
	echo 1 >/proc/sys/vm/stat_refresh
	awk '$1 == "nr_foll_pin_acquired" { print $2 }' /proc/vmstat
}
