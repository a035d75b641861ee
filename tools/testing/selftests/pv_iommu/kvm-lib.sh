# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034
#
# For the tests whose guest is a host itself (kvm-*.sh): a guest in the guest,
# called L2, run by this project's QEMU on KVM. Sourced.
#
# What L2 answers comes over a serial port of its own, and each wait has an end.

L2=/run/l2
NVME=0000:00:10.0
EDU=0000:00:11.0
CG=/sys/fs/cgroup/l2
TRACE=/sys/kernel/tracing

# How much longer than expected anything may take here: the runner says it
FACTOR=${FACTOR:-1}

# Settings of the next L2
L2_MEM=256		# MiB
L2_WINDOW=32		# MiB
L2_CPUS=1		# each costs exits, and this host has one
L2_APPEND=		# kernel command line, in addition
L2_MACHINE=q35		# and its properties
L2_MEMLOCK=		# kB; run by a user without privileges
# TCG's SVM does not intercept what XSAVE needs: guests warn at boot. Without it
# there is no AVX, but GHASH of Linux 7.3 looks for that alone.
L2_CPU=host,-xsave,-avx,-avx2,-fma,-f16c
L2_PID=

fail() {
	local status=1
	echo "FAILED: $*"
	[ ! -e "$L2/console" ] || tail -n 40 "$L2/console" | tr -d '\r'
	[ ! -s "$L2/qemu.log" ] || tail -n 5 "$L2/qemu.log"
	# The last events: those of before, and those that nobody has read yet
	if [ -e $L2/qmp.out ]; then
		timeout 1 cat <&8 >>$L2/events
		tail -n 5 $L2/events
	fi
	# L2 had no say in it: status 5 asks the runner for a second attempt
	if grep kvm_exit: $TRACE/trace; then
		set -- "$*: a triple fault of L2"
		status=5
	fi
	echo "$*"
	exit $status
}

skip() {
	echo "$*"
	exit 4
}

# need_isolation: skips the test where all devices share a domain (ISOLATION=off)
need_isolation() {
	[ "$ISOLATION" != off ] || skip "with isolation=off all devices share one domain"
}

# host_setup: make this guest a host
host_setup() {
	local module=kvm_intel
	# Exits by their numbers, as exits() wants them
	declare -gA REASON=([intr]=1 [hlt]=12 [io]=30 [msr]="31 32" [npf]="48 49")
	local shutdown=2
	if grep -qw svm /proc/cpuinfo; then
		module=kvm_amd
		shutdown=0x7f
		REASON=([intr]=0x60 [hlt]=0x78 [io]=0x7b [msr]=0x7c [npf]=0x400)
	fi
	# Those that the project builds say so, and have no use for it
	[ ! -e /proc/config.gz ] || zcat /proc/config.gz | grep -q '^CONFIG_KVM=' ||
		skip "this kernel is configured without KVM"
	# Debian's 7.3 has it built in, and no list of what it has
	modprobe -q virtio_pci
	modprobe -a virtio_blk ext4 || fail "no modules for the disk with QEMU"
	modprobe -q $module || skip "$module does not load: no nested KVM"
	# All that the trace has is triple faults; what counts exits does without it
	echo >$TRACE/trace
	echo "exit_reason == $shutdown" >$TRACE/events/kvm/kvm_exit/filter
	echo 1 >$TRACE/events/kvm/kvm_exit/enable
	[ -c /dev/kvm ] || skip "no /dev/kvm: no nested KVM"
	if ! grep -q " /host " /proc/mounts; then
		mkdir -p /host
		wait_for 10 disk_there host0
		mount -t ext4 -o ro "$(disk_of host0)" /host ||
			fail "no disk with QEMU"
	fi
	vfio_setup
	if ! grep -q " /sys/fs/cgroup " /proc/mounts; then
		mount -t cgroup2 cgroup /sys/fs/cgroup || fail "no cgroup"
	fi
	echo +memory >/sys/fs/cgroup/cgroup.subtree_control
	mkdir -p $CG
	# What L2 gives back by the balloon would come back with the 2 MiB around it
	echo 0 >/sys/kernel/mm/transparent_hugepage/khugepaged/max_ptes_none
	# Of a test before that failed
	echo max >$CG/memory.max
	trap l2_kill EXIT
}

# vfio_built WHICH MODULE...: loads modules that were built as the kernel's own lack an
# option (fetch-vfio.sh), those that there are
vfio_built() {
	local dir=/host/vfio-$1 module
	shift
	[ ! -e "$dir/failed" ] || fail "$(cat "$dir/failed")"
	for module; do
		[ ! -e "$dir/$module.ko" ] || insmod "$dir/$module.ko" ||
			fail "$module does not load"
	done
}

# vfio_setup: VFIO behind an IOMMU; noiommu-lib.sh has another
vfio_setup() {
	modprobe -a vfio_pci vfio_iommu_type1 || fail "no modules for VFIO"
	[ -n "$(ls -A /sys/kernel/iommu_groups)" ] ||
		skip "this host has no IOMMU"
}

# disk_of SERIAL: the block device of that virtio disk
disk_of() {
	local d
	for d in /sys/block/vd*; do
		[ "$(cat "$d/serial")" != "$1" ] || echo "/dev/${d##*/}"
	done
}

disk_there() {
	[ -b "$(disk_of "$1")" ]
}

# wait_for SECONDS COMMAND...: until the command succeeds
wait_for() {
	local end=$((SECONDS + $1 * FACTOR))
	shift
	until "$@"; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.1
	done
}

# assign BDF: from whatever driver to VFIO
assign() {
	local dev=/sys/bus/pci/devices/$1
	echo vfio-pci >"$dev/driver_override"
	[ ! -e "$dev/driver" ] || echo "$1" >"$dev/driver/unbind"
	echo "$1" >/sys/bus/pci/drivers_probe
	[ -e "/sys/bus/pci/drivers/vfio-pci/$1" ] || fail "$1 not on vfio-pci"
	[ -e "$dev/iommu_group" ] || fail "$1 has no IOMMU group"
}

# The three ways to give L2 a device: words for QEMU's command line in $L2_WAY
way_vfio() {
	L2_WAY=()
}

way_viommu() {
	L2_MACHINE=q35,kernel-irqchip=split
	L2_APPEND="$L2_APPEND intel_iommu=on"
	L2_WAY=(-device "intel-iommu,caching-mode=on,intremap=on")
}

# way_window [PROPERTIES]
# shellcheck disable=SC2120
way_window() {
	L2_WAY=(-object "memory-backend-ram,id=win0,size=${L2_WINDOW}M"
		-device "pv-iommu-pci,id=iommu0,memdev=win0,boot-bypass=off${ISOLATION:+,isolation=$ISOLATION}$1")
}

# vfio BDF ID: a device for L2
vfio() {
	echo "vfio-pci,host=$1,id=$2"
}

# Runs in the subshell that becomes QEMU
l2_exec() {
	local loader=/host/lib/ld-linux-x86-64.so.2
	set -- --library-path /host/lib /host/bin/qemu-system-x86_64 \
		-L /host/firmware "$@"
	echo "$BASHPID" >$CG/cgroup.procs
	[ -n "$L2_MEMLOCK" ] || exec $loader "$@"
	ulimit -l "$L2_MEMLOCK"
	chown -R 1000 $L2 /dev/kvm /dev/vfio
	grep -qs ^vm: /etc/passwd || echo vm:x:1000:1000::/:/bin/sh >>/etc/passwd
	# Without -b it becomes the program, after it has become the user
	exec start-stop-daemon -S -c vm -x $loader -- "$@"
}

# l2_start QEMU-ARGUMENT...
# pci=lastbus: L2 would ask for a device at 8192 places where no bus is, in two exits each
l2_start() {
	local max=$((L2_MEM + L2_WINDOW))
	[ -z "$L2_PID" ] || fail "there is an L2 already"
	rm -rf $L2
	mkdir -p $L2
	mkfifo $L2/ctl.in $L2/ctl.out $L2/qmp.in $L2/qmp.out
	exec 5<>$L2/ctl.in 6<>$L2/ctl.out 7<>$L2/qmp.in 8<>$L2/qmp.out
	: >$L2/console
	L2_BEGIN=$(uptime_cs)
	(l2_exec -nodefaults -no-user-config -display none -vga none \
		-machine "$L2_MACHINE" -machine sata=off,smbus=off -boot strict=on \
		-accel kvm -cpu "$L2_CPU" -smp $L2_CPUS \
		-no-reboot -m "${L2_MEM}M,maxmem=${max}M" \
		-kernel /host/vmlinux -initrd /host/initrd \
		-append "console=ttyS0 maxcpus=1 no_timer_check mitigations=off pci=lastbus=0 panic=-1 panic_on_warn=1 oops=panic quiet loglevel=5 pvtest.run=remote initramfs_options=size=75% $L2_APPEND" \
		-chardev "file,id=console,path=$L2/console" \
		-serial chardev:console \
		-chardev "pipe,id=ctl,path=$L2/ctl" -serial chardev:ctl \
		-chardev "pipe,id=qmp,path=$L2/qmp" \
		-mon chardev=qmp,mode=control \
		"${L2_WAY[@]}" "$@") >$L2/qemu.log 2>&1 &
	L2_PID=$!
	local line
	hear 8 20 || fail "QEMU does not start"
	qmp qmp_capabilities >/dev/null
}

# uptime_cs: hundredths of a second since this guest came up
uptime_cs() {
	local up
	read -r up _ </proc/uptime
	echo "${up/./}"
}

# hear FD SECONDS: a line of an answer, in $line; not from the dead
hear() {
	local end=$((SECONDS + $2 * FACTOR)) part=
	while ! IFS= read -r -t 1 -u "$1" line; do
		part=$part$line
		kill -0 "$L2_PID" 2>/dev/null || return 1
		[ $SECONDS -lt $end ] || return 1
	done
	line=$part${line%$'\r'}
}

# l2_ready: wait until L2 is up
l2_ready() {
	local line
	while hear 6 90; do
		[ "${line%% *}" != ready ] || return 0
	done
	fail "L2 does not come up"
}

# l2 COMMAND: a line of shell for L2; its output, its status
l2() {
	l2_tell "$1"
	l2_answer
}

l2_tell() {
	printf '%s\n' "$1" >&5
}

l2_answer() {
	local line
	while hear 6 "${L2_TIMEOUT:-120}"; do
		case $line in
		"done "*)	return "${line#done }" ;;
		"out "*)	printf '%s\n' "${line#out }" ;;
		out)		echo ;;
		"ready"*)	return 254 ;;
		esac
	done
	return 255
}

# must COMMAND: the same, and it must succeed
must() {
	local out
	out=$(l2 "$1") || fail "in L2: $1: status $?: $out"
	[ -z "$out" ] || printf '%s\n' "$out"
}

# ask NAME COMMAND: the same, its output in the variable NAME. In $(must ...) it is the
# subshell alone that a failure ends
ask() {
	local answer
	answer=$(l2 "$2") || fail "in L2: $2: status $?: $answer"
	printf -v "$1" %s "$answer"
}

# qmp COMMAND [ARGUMENTS]: prints the answer
qmp() {
	local line
	printf '{"execute":"%s","arguments":{%s}}\n' "$1" "$2" >&7
	while hear 8 30; do
		case $line in
		*'"return"'*)	printf '%s\n' "$line"; return 0 ;;
		*'"error"'*)	printf '%s\n' "$line"; return 1 ;;
		*'"event"'*)	printf '%s\n' "$line" >>$L2/events ;;
		esac
	done
	fail "QEMU's monitor is silent"
}

asleep() {
	qmp query-status | grep -q '"suspended"'
}

# l2_sleep STATE: L2 sleeps, and is woken: from RAM by QEMU, from idle, of which
# QEMU does not know, by the power button. Woken too early, it does not sleep.
l2_sleep() {
	local seconds=2 count=/sys/power/wakeup_count
	while :; do
		l2_tell "count=\$(cat $count) && echo \$count >$count && echo $1 >/sys/power/state"
		if [ "$1" = mem ]; then
			wait_for 60 asleep || fail "L2 does not sleep"
			qmp system_wakeup >/dev/null || fail "system_wakeup"
		else
			sleep $seconds
			qmp system_powerdown >/dev/null || fail "system_powerdown"
		fi
		l2_answer && return
		seconds=$((seconds * 2))
		[ $seconds -le 64 ] || fail "L2 does not sleep: $1"
	done
}

# l2_reboots [yes|no]: a reset or reboot is wanted. Otherwise it ends QEMU, so that
# a guest that panics is seen.
l2_reboots() {
	local action=reset
	[ "$1" = yes ] || action=shutdown
	qmp set-action "\"reboot\":\"$action\"" >/dev/null || fail "set-action"
}

# l2_stop: power off, as a guest does
l2_stop() {
	l2_tell "sync; poweroff -f"
	l2_ended "L2 does not power off"
}

# l2_ended WHY: its QEMU ends, by what it was told, or the test does by WHY
l2_ended() {
	wait_for 30 gone || fail "$1"
	wait "$L2_PID"
	L2_PID=
}

gone() {
	! kill -0 "$L2_PID" 2>/dev/null
}

l2_kill() {
	[ -n "$L2_PID" ] || return 0
	kill -9 "$L2_PID" 2>/dev/null
	wait "$L2_PID" 2>/dev/null
	L2_PID=
}

# status NAME: kB of VmLck, VmSwap, ... of QEMU
status() {
	awk -v n="$1:" '$1 == n { print $2 }' "/proc/$L2_PID/status"
}

# granted: kB of the window that L2 has had granted, as L2 says
granted() {
	echo $(($(must "cat $PV/window_granted") / 1024))
}

# locked_is_granted: what QEMU has locked is what is granted, neither more nor less.
# Grants come and go meanwhile: two that agree, around what is locked. Sets $locked.
locked_is_granted() {
	local before after try
	for try in 1 2 3 4 5 6 7 8; do
		before=$(granted)
		locked=$(status VmLck)
		after=$(granted)
		[ "$before" != "$after" ] || break
	done
	[ "$locked" = "$before" ] && [ "$before" = "$after" ] && return
	echo "$locked kB locked, $before and $after kB granted"
	return 1
}

# window_rss: kB of the window that QEMU has in memory; no other of its mappings is
# of that size
window_rss() {
	awk -v size=$((L2_WINDOW * 1024)) '
		$1 == "Size:" { window = $2 == size }
		$1 == "Rss:" && window { n += $2 }
		END { print n + 0 }' "/proc/$L2_PID/smaps"
}

# locked_at_most KB
locked_at_most() {
	[ "$(status VmLck)" -le "$1" ]
}

# host_disk IOMMU_PLATFORM: words for QEMU's command line: the disk that QEMU is on,
# with the program that pokes registers
host_disk() {
	echo "-drive if=none,id=q,format=raw,readonly=on,file=$(disk_of host0)"
	echo "-device virtio-blk-pci,drive=q,disable-legacy=on,iommu_platform=$1"
}

# guest_locked: all of L2 is, but for the legacy hole. While its firmware moves
# that about, it is less for moments.
guest_locked() {
	[ "$(status VmLck)" -ge $(((L2_MEM - 1) * 1024)) ]
}

# swap_on: use the disk that is meant for it
swap_on() {
	local disk
	disk=$(disk_of swap0)
	! grep -q "^$disk " /proc/swaps || return 0
	# To what is no spinning disk, Linux swaps huge pages in one piece
	echo 0 >"/sys/block/${disk##*/}/queue/rotational"
	mkswap "$disk" >/dev/null && swapon "$disk" || fail "no swap space"
}

# press MIB: have that much of QEMU's memory swapped out, if it can be
press() {
	echo "${1}M" >$CG/memory.reclaim 2>/dev/null
	return 0
}

# guest_swap: kB of L2's own memory in swap; what QEMU needs besides does not
# count
guest_swap() {
	awk -v min=$((L2_MEM * 1024)) '
		$1 == "Size:" { guest = $2 >= min }
		$1 == "Swap:" && guest { n += $2 }
		END { print n + 0 }' "/proc/$L2_PID/smaps"
}

# set_result NAME VALUE: what a column of a table has to say, in the variable WAY_NAME
# shellcheck disable=SC2154 # the test's
set_result() {
	declare -g "${way}_$1=$2"
}

# window NAME: what L2 says of its window
window() {
	must "awk '\$1 == \"$1\" { print \$2 }' /sys/kernel/debug/pv_iommu/window"
}

# chunks_moved: how many chunks L2 has had granted and has given back so far; a request
# for each at the most
chunks_moved() {
	must "cat /sys/kernel/debug/pv_iommu/window" |
		awk '$1 == "grants" || $1 == "revokes" { n += $2 } END { print n + 0 }'
}

# l2_fill: memory that L2 uses, and this host may want for others
l2_fill() {
	must "mount -o remount,size=80% /tmp; dd if=/dev/urandom of=/tmp/some bs=64k count=64 2>/dev/null; for i in 1 2 3 4 5 6 7; do cat /tmp/some; done >/tmp/fill; md5sum /tmp/fill >/run/sum"
}

# swap_under_fio [MIB]: what of it goes to swap while the job runs, if so much is asked
# for, and whether all bytes are right: the results "swapped" and "wrong". L2 has some of
# it back meanwhile: a bit more is asked for, until two fifths of L2 are out.
# shellcheck disable=SC2120 # with or without
swap_under_fio() {
	must "rm -f /run/status; ($FIO_JOB >/run/fio; echo \$? >/run/status) >/dev/null 2>&1 &"
	press "${1:-256}"
	for _ in 1 2 3 4; do
		[ "$(guest_swap)" -lt $((L2_MEM * 1024 * 4 / 10)) ] || break
		press 64
	done
	set_result swapped "$(guest_swap)"
	set_result wrong none
	l2 "until [ -e /run/status ]; do sleep 0.2; done; exit \$(cat /run/status)" ||
		set_result wrong "fio: $?"
	[ "$(l2 "md5sum /tmp/fill")" = "$(l2 "cat /run/sum")" ] ||
		set_result wrong memory
}

# show_table: what comes in, in the log and for who runs the demonstration
show_table() {
	local text
	while IFS= read -r text; do
		echo "$text"
		host note "$text" >/dev/null
	done
}

# The pv-iommu device's folder in L2's sysfs
PV='/sys/bus/pci/drivers/pv_iommu/0000:*'

# The job whose exits are counted, the same for all: 16 MiB written in pieces of
# 4 to 64 KiB at random, read back and verified. Verification ends it with an
# error at the first wrong byte, also when that is what an earlier run wrote
# there: each has a number of its own in its data.
FIO_JOB="fio --name=io --filename=/dev/nvme0n1 --ioengine=libaio --direct=1"
FIO_JOB="$FIO_JOB --rw=randwrite --bsrange=4k-64k --size=16M --iodepth=8"
FIO_JOB="$FIO_JOB --verify=pattern --verify_fatal=1 --randseed=1 --minimal"
FIO_JOB="$FIO_JOB --verify_pattern=%o0x\$(cut -c 1-8 /proc/sys/kernel/random/uuid)"

# What may be locked for a guest with a window, in kB: when it idles, and when at most 64
# times 512 KiB are on their way
IDLE_LOCKED=16384
LOADED_LOCKED=$((64 * 512 + IDLE_LOCKED))

# fio_begin: the job again and again, until fio_end or its first error
fio_begin() {
	must "rm -f /run/stop /run/end /run/runs /run/bad; (while [ ! -e /run/stop ]; do $FIO_JOB >/run/fio 2>&1 || { echo bad >/run/bad; break; }; echo x >>/run/runs; done; echo end >/run/end) >/dev/null 2>&1 &"
}

# fio_end: it has run to its end at least once, and never failed
fio_end() {
	must "until [ -e /run/runs ] || [ -e /run/bad ]; do sleep 0.2; done; touch /run/stop; until [ -e /run/end ]; do sleep 0.2; done; [ ! -e /run/bad ] || { cat /run/fio; exit 1; }"
}

# nvme_irqs: how many messages (MSI-X) of the disk have arrived in L2
nvme_irqs() {
	must "awk '/MSI.*nvme/ { for (i = 2; i <= NF && \$i ~ /^[0-9]+\$/; i++) n += \$i } END { print n + 0 }' /proc/interrupts"
}

# ios: how many the disk of L2 has done
ios() {
	must "cat /sys/block/nvme0n1/stat" | awk '{ print $1 + $5 }'
}

# What KVM did for L2, by the kernel's own histograms
exits_begin() {
	echo 'hist:keys=exit_reason' >$TRACE/events/kvm/kvm_exit/trigger
	echo 'hist:keys=gpa.hex,type' >$TRACE/events/kvm/kvm_mmio/trigger
	echo 'hist:keys=port.hex,rw' >$TRACE/events/kvm/kvm_pio/trigger
}

exits_end() {
	local e
	for e in kvm_exit kvm_mmio kvm_pio; do
		cat $TRACE/events/kvm/$e/hist >/tmp/$e
		sed -n '/^# trigger info: /{s/# trigger info: /!/;s/ \[.*//;p}' /tmp/$e \
			>$TRACE/events/kvm/$e/trigger
	done
}

# exits [REASON...]: how many, of all reasons or of these
exits() {
	local r sum=0
	[ $# != 0 ] || { hits kvm_exit exit_reason; return; }
	for r; do
		sum=$((sum + $(hits kvm_exit "exit_reason: *$((r)) ")))
	done
	echo $sum
}

# hits EVENT PATTERN: how often it was seen with what the pattern says
hits() {
	awk -v p="$2" '/hitcount:/ && $0 ~ p {
		sub(/.*hitcount: */, ""); n += $1 } END { print n + 0 }' "/tmp/$1"
}

# The doorbell's port in L2, and how often it was rung, there or in the register: writes
# to it, since who reads registers asks nothing
doorbell_find() {
	DOORBELL=$(bar 2)
	REGS=$(bar 0)
}

# bar NUMBER: where that BAR of the pv-iommu device is in L2, in hex
bar() {
	must "awk 'NR == $1 + 1 { sub(/0x0*/, \"\"); print \$1 }' $PV/resource 2>/dev/null || :"
}

doorbell_hits() {
	[ -n "$DOORBELL" ] && [ -n "$REGS" ] || fail "L2 has no doorbell"
	echo $(($(hits kvm_pio "port: *(0x)?$DOORBELL,") +
		$(hits kvm_mmio "gpa: *(0x)?${REGS%000}..., type: *2 ")))
}

# unplugged: QEMU has said so
unplugged() {
	qmp query-status >/dev/null
	grep -qs DEVICE_DELETED $L2/events
}
