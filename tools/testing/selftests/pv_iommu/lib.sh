# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
#
# For tests that run in a guest. Sourced; the guest's sh is bash or busybox.
#
# A test ends with 0, or by fail or skip, whose words are its last line.

pv_driver=/sys/bus/pci/drivers/pv_iommu
pv_debug=/sys/kernel/debug/pv_iommu
pvt_debug=/sys/kernel/debug/pviommu_test

fail() {
	echo "FAIL: $*"
	exit 1
}

skip() {
	echo "$*"
	exit 4
}

# need_isolation: skips the test where all devices share a domain (ISOLATION=off)
need_isolation() {
	[ "$ISOLATION" != off ] || skip "with isolation=off all devices share one domain"
}

# How much longer than expected anything may take here: the runner says it
FACTOR=${FACTOR:-1}

# wait_for SECONDS COMMAND...: until it succeeds. Longer, if the command takes long: it
# is tried ten times for each second.
wait_for() {
	local left
	left=$(($1 * 10 * FACTOR))
	shift
	until "$@"; do
		left=$((left - 1))
		[ $left -gt 0 ] || return 1
		sleep 0.1
	done
}

# The host device's directory in sysfs, or nothing
host_dir() {
	local dir
	for dir in "$pv_driver"/*:*; do
		[ ! -d "$dir" ] || echo "$dir"
	done
}

host_there() {
	[ -n "$(host_dir)" ]
}

# host_stat NAME: one of the host device's figures
host_stat() {
	cat "$(host_dir)/$1"
}

# stat_of DEVICE NAME: one of an attached device's
stat_of() {
	cat "/sys/bus/pci/devices/$1/pv_iommu/$2"
}

# The mode in which pv-iommu serves devices: window, bounce, or nothing
pv_mode() {
	[ -z "$(host_dir)" ] || host_stat mode
}

# driven_by DRIVER: it has a device
driven_by() {
	[ -n "$(devices_of "$1")" ]
}

# devices_of DRIVER: the PCI devices that it drives, one a line
devices_of() {
	local dir
	for dir in "/sys/bus/pci/drivers/$1"/*:*; do
		[ ! -d "$dir" ] || basename "$dir"
	done
}

# need_device DRIVER WHAT: sets $dev to the first device that it drives, or
# skips the test
need_device() {
	dev=$(devices_of "$1" | head -n 1)
	[ -n "$dev" ] || skip "this VM has no $2"
}

# built_in DEVICE: its driver is no module in this kernel, so it was there before
# pv_iommu, which is one. For test and user alike such a device is not served.
built_in() {
	[ -e /sys/module/pv_iommu/initstate ] &&
		[ ! -e "/sys/bus/pci/devices/$1/driver/module/initstate" ] &&
		[ ! -d "/sys/bus/pci/devices/$1/pv_iommu" ]
}

# part_of_kernel: pv_iommu is no module in this kernel. Not asked of sysfs, which does not
# have its driver while it is off
part_of_kernel() {
	grep -qs '/pv_iommu\.ko$' "/lib/modules/$(uname -r)/modules.builtin"
}

# need_attached DEVICE...: they are served by pv-iommu, all of them
need_attached() {
	local dev
	for dev; do
		! built_in "$dev" ||
			skip "the driver of $dev is built into this kernel, and comes before pv_iommu"
		[ "$(stat_of "$dev" mode)" = "$(pv_mode)" ] ||
			fail "$dev is not attached"
	done
}

# disk_of DEVICE: the name of the disk behind a PCI device
disk_of() {
	local dir
	for dir in /sys/block/*; do
		case $(readlink -f "$dir/device") in
		*/$1/*)
			case $dir in
			*/sr*) ;;
			*) basename "$dir"; return ;;
			esac
			;;
		esac
	done
	return 1
}

# need_disk DRIVER WHAT: sets $dev and $disk, or skips the test
need_disk() {
	need_device "$1" "$2"
	wait_for 20 disk_of "$dev" >/dev/null || fail "$2: there is no disk"
	need_attached "$dev"
	# shellcheck disable=SC2034 # for the caller
	disk=$(disk_of "$dev")
}

# disks_there NUMBER: sets $devices to all that are attached, and $disks to the disks
# behind them, and says whether these are so many. Drivers may be at it still
disks_there() {
	local dir disk
	devices=
	disks=
	for dir in /sys/bus/pci/devices/*/pv_iommu; do
		dir=$(basename "${dir%/pv_iommu}")
		devices="$devices $dir"
		disk=$(disk_of "$dir") && disks="$disks $disk"
	done
	[ "$(echo "$disks" | wc -w)" = "$1" ]
}

# allocator_whole [BYTES]: the window's allocator finds nothing wrong with
# itself, and of the window not more than BYTES are in use
allocator_whole() {
	local verdict
	verdict=$(head -n 1 $pv_debug/check)
	[ "$verdict" = ok ] || fail "allocator: $verdict"
	[ -z "$1" ] || [ "$(host_stat window_used)" -le "$1" ] ||
		fail "window: $(host_stat window_used) bytes in use, before: $1"
}

# kernel_memory: kB that the kernel holds in slabs, per-CPU areas and vmalloc
kernel_memory() {
	awk '/^(SUnreclaim|Percpu|VmallocUsed):/ { sum += $2 } END { print sum }' \
		/proc/meminfo
}

# has_kasan: whether this kernel checks each access, and takes its time
has_kasan() {
	zcat /proc/config.gz 2>/dev/null | grep -q '^CONFIG_KASAN='
}

# kernel_memory_grew BEFORE LIMIT ROUNDS: says by how much, and fails the test if
# it is LIMIT kB or more. KASAN holds back for a while what was freed: there
# kmemleak, which has the last word in each guest, says whether it is lost.
kernel_memory_grew() {
	local after
	after=$(kernel_memory)
	echo "kernel memory: $1 kB before, $after kB after $3 rounds"
	! has_kasan || return 0
	[ $((after - $1)) -lt "$2" ] ||
		fail "kernel memory grew by $((after - $1)) kB in $3 rounds"
}

# host_property NAME: one of the host device's properties in QEMU
host_property() {
	host qmp qom-get '{"path":"/machine/peripheral/iommu0",' \
		"\"property\":\"$1\"}" || fail "no property $1"
}

# host_set NAME VALUE: the same, to set it
host_set() {
	host qmp qom-set '{"path":"/machine/peripheral/iommu0",' \
		"\"property\":\"$1\",\"value\":$2}" >/dev/null ||
		fail "cannot set $1=$2"
}

# window_stat NAME: a figure of the allocator
window_stat() {
	sed -n "s/^$1 //p" $pv_debug/window
}

# cpu_busy: nanoseconds in which the CPU was not idle; in a guest whose instructions
# are counted, and that has one CPU, that is how many there were
cpu_busy() {
	awk '/^now at/ { n = $3 } /(idle|iowait)_sleeptime/ { n -= $3 }
		END { printf "%.0f", n }' /proc/timer_list
}

# dmesg_of_test: since this test began
dmesg_of_test() {
	dmesg | awk -v begin="pvtest: begin $TEST_NAME" '
		index($0, begin) { text = "" ; next }
		{ text = text $0 "\n" }
		END { printf "%s", text }'
}

# said TEXT: has dmesg it, since this test began?
said() {
	dmesg_of_test | grep -q "$1"
}

# said_once TEXT: and that in one line
said_once() {
	local count
	count=$(dmesg_of_test | grep -c "$1")
	[ "$count" = 1 ] || fail "the log has it $count times: $1"
}

# failures_of DEVICE: what it was refused so far; 0 where nobody counts
failures_of() {
	stat_of "$1" failures 2>/dev/null || echo 0
}

# load_cases: pviommu_test.ko, told who serves its devices
load_cases() {
	local mode
	[ -d $pvt_debug ] || modprobe pviommu_test || fail "no pviommu_test"
	mode=$(pv_mode)
	[ "$mode" = window ] || [ "$mode" = bounce ] ||
		fail "pv_iommu does not say in which mode it is: $mode"
	# the VM has one, so it has been refused
	[ -n "$(devices_of pviommu_test)" ] || fail "no edu device is bound"
	# shellcheck disable=SC2046 # one word each
	need_attached $(devices_of pviommu_test)
	echo "$mode" >/sys/module/pviommu_test/parameters/mode
}

# ktap_of GROUP[/CASE]...: runs them, and prints their KTAP, which is in /tmp/ktap, too;
# fails the test if one fails
ktap_of() {
	local group
	rm -f /tmp/ktap
	for group; do
		echo "$group" 2>/dev/null >$pvt_debug/run
		cat $pvt_debug/log >>/tmp/ktap
	done
	cat /tmp/ktap
	# the case, and what it said last
	! grep -q '^not ok' /tmp/ktap || fail "$(awk '
		/^# / { said = $0 }
		/^(ok|KTAP)/ { said = "" }
		/^not ok/ { print $4 ":", said; exit }' /tmp/ktap)"
}

# need_domains NUMBER: the test's devices, three, are in so many
need_domains() {
	local domains edu
	domains=$(for edu in $(devices_of pviommu_test); do stat_of "$edu" domain; done |
		sort -u | wc -l)
	[ "$domains" = "$1" ] || fail "three devices are in $domains domains"
}

# run_cases GROUP[/CASE]...: prints their KTAP; fails the test if one fails, or
# leaves something behind in the window; skips it if none of them could run
run_cases() {
	local used
	load_cases
	used=$(host_stat window_used)
	ktap_of "$@"
	grep -q '^ok' /tmp/ktap || fail "no case has run"
	allocator_whole "$used"
	# a group of which no case could run has shown nothing
	grep '^ok' /tmp/ktap | grep -qv SKIP ||
		skip "$(sed -n 's/.*# SKIP //p' /tmp/ktap | tail -n 1)"
}

# run_stress STEPS: at random, with another seed for each run, unless one is asked
# for ($SEED, $STEPS): the log says which
run_stress() {
	load_cases
	echo "${SEED:-$(od -A n -N 4 -t u4 /dev/urandom | tr -d ' ')}" \
		>/sys/module/pviommu_test/parameters/seed
	echo "${STEPS:-$1}" >/sys/module/pviommu_test/parameters/steps
	run_cases stress
}

# fio_verify FILE NAME=VALUE...: write and verify with fio; fails the test on
# any error. Defaults: 4 KiB blocks, random, 16 at a time, 16 MiB. What is
# written is where it belongs (%o) and a number that no other call has: with
# checksums, a block whose write was lost would verify too, when an earlier call
# has left its own there
fio_verify() {
	local file log pattern
	file=$1
	pattern=%o0x$(cut -c 1-8 /proc/sys/kernel/random/uuid)
	log=/tmp/fio-${file##*/}.log
	shift
	set -- --filename="$file" --name=job --ioengine=libaio --direct=1 \
		--rw=randwrite --bs=4k --iodepth=16 --size=16M --randrepeat=1 \
		--verify=pattern --verify_pattern="$pattern" --do_verify=1 \
		--verify_fatal=1 --group_reporting "$@"
	fio "$@" >"$log" 2>&1 || {
		tail -n 25 "$log"
		fail "fio on $file: $(grep -m 1 -E 'verify failed|err=' "$log")"
	}
	grep -E 'err= *[1-9]' "$log" && fail "fio on $file has errors"
	return 0
}

# busy DISK: I/O is on its way
busy() {
	grep -q '[1-9]' "/sys/block/$1/inflight"
}

# load_endless DISK: sets $fio to the process that reads and writes it until it is
# ended or meets an error, and waits until it does
load_endless() {
	fio --name=load --filename="/dev/$1" --ioengine=libaio --direct=1 \
		--rw=randrw --bsrange=4k-128k --iodepth=16 --time_based \
		--runtime=600 >/tmp/fio-load 2>&1 &
	fio=$!
	wait_for 20 busy "$1" || fail "no load"
}

# What load_start has fio do
load_words="--bsrange=512-128k --blockalign=512 --size=4M"

# load_run NAME COMMAND...: in the background, again and again, until load_stop or until
# it fails
load_run() {
	local name
	name=$1
	shift
	rm -f "/tmp/load-stop-$name"
	: >"/tmp/load-$name"
	while [ ! -e "/tmp/load-stop-$name" ]; do
		"$@"
		echo verified
	done >"/tmp/load-$name" 2>&1 &
	echo $! >"/tmp/load-pid-$name"
}

# load_start DISK...: fio writes and verifies them, one round after the other,
# in the background
load_start() {
	local disk
	rm -f /tmp/load-*
	for disk; do
		# shellcheck disable=SC2086 # one word each
		load_run "$disk" fio_verify "/dev/$disk" $load_words
	done
}

# load_failed FILE: fails the test with what fio printed there
load_failed() {
	grep -v verified "$1"
	fail "${1#/tmp/load-}: $(tail -n 1 "$1")"
}

# load_goes_on: each has had a round that began before now, and has ended well
load_goes_on() {
	local file before pid
	for file in /tmp/load-pid-*; do
		file=/tmp/load-${file#/tmp/load-pid-}
		pid=$(cat "/tmp/load-pid-${file#/tmp/load-}")
		before=$(grep -c verified "$file")
		until [ "$(grep -c verified "$file")" -gt "$before" ]; do
			kill -0 "$pid" 2>/dev/null || load_failed "$file"
			sleep 0.2
		done
	done
}

# load_stop [NAME...]: all, or these, after the rounds that have begun; fails the test if
# any has failed
load_stop() {
	local file name
	[ $# != 0 ] || for file in /tmp/load-pid-*; do
		set -- "$@" "${file#/tmp/load-pid-}"
	done
	for name; do
		touch "/tmp/load-stop-$name"
	done
	for name; do
		wait "$(cat "/tmp/load-pid-$name")" || load_failed "/tmp/load-$name"
		rm "/tmp/load-pid-$name"
	done
}
