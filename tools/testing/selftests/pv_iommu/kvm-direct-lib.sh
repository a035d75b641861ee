# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034,SC2154
#
# For kvm-direct*.sh: L2's disk has its mappings direct. Behind kvm-lib.sh. Sourced.

# kB of guest RAM that devices may have
DIRECT_LIMIT=65536
# What L2 calls its disk, a model of which there is no other
DIRECT_DISK=1b36:0010

# Registers of pv-iommu, see its specification
REG_GRANTED=0x78
REG_DIRECT=0xa0

direct_setup() {
	host_setup
	swap_on
	assign $NVME
	# Half of it has to do for the kernel, its initramfs and fio
	L2_MEM=512
	L2_MACHINE=q35,memory-backend=ram0
}

# direct_start WORDS: L2, with these in its command line in addition
direct_start() {
	L2_APPEND="pv_iommu.direct=$DIRECT_DISK $1"
	way_window ",direct-limit=${DIRECT_LIMIT}K"
	l2_start -object "memory-backend-ram,id=ram0,size=${L2_MEM}M,prealloc=on" \
		-device "virtio-balloon-pci,id=balloon0,disable-legacy=on" \
		-device pcie-root-port,id=port0,slot=1 \
		-device "$(vfio $NVME nvme0),bus=port0"
}

# direct_ready: L2 is up, and its disk served as it should be
direct_ready() {
	l2_ready
	must "until [ -e /dev/nvme0n1 ]; do sleep 0.1; done"
	must "dmesg | grep -q 'nvme.*pv_iommu: attached (window, direct)'" ||
		fail "L2's disk is not direct"
	REGS=$(bar 0)
}

# reg OFFSET: kB that a register of L2's pv-iommu has in bytes
reg() {
	qmp human-monitor-command "\"command-line\":\"xp /2wx $((0x$REGS + $1))\"" |
		sed 's/.*: \(0x[0-9a-f]*\) \(0x[0-9a-f]*\).*/\2 \1/' |
		{ read -r high low; echo $(((high << 32 | low) / 1024)); }
}

# look: while L2 stands still, $direct kB of its RAM are granted, and $locked are
# locked: these, and what is granted of the window
look() {
	local window
	qmp stop >/dev/null || fail "stop"
	locked=$(status VmLck)
	direct=$(reg $REG_DIRECT)
	window=$(reg $REG_GRANTED)
	qmp cont >/dev/null || fail "cont"
	[ "$locked" = $((direct + window)) ] ||
		fail "$locked kB locked, granted: $direct of RAM and $window of the window"
	[ "$direct" -le $DIRECT_LIMIT ] ||
		fail "$direct kB granted, allowed are $DIRECT_LIMIT"
}

# direct_peak TIMES: look until RAM was granted in so many looks; the most is in $peak.
# Between looks that see none, L2 has time to come to it: a look costs this host more
# than what L2 gets between two of them.
direct_peak() {
	local left=$1 end=$((SECONDS + 60 * FACTOR))
	peak=0
	while [ "$left" -gt 0 ]; do
		[ $SECONDS -lt $end ] || fail "under load nothing is granted; $peak kB at most"
		look
		if [ "$direct" = 0 ]; then
			sleep 0.5
		else
			left=$((left - 1))
		fi
		[ "$direct" -le "$peak" ] || peak=$direct
	done
}

nothing_direct() {
	look
	[ "$direct" = 0 ]
}

# disk_stat NAME...: the sum of these figures of L2's disk
disk_stat() {
	must "cd /sys/block/nvme0n1/device/device/pv_iommu; cat $*" |
		awk '{ n += $1 } END { print n + 0 }'
}

copied() {
	disk_stat bytes_to_device bytes_from_device
}

# maps_are_direct: nearly all of them: what is smaller than a page is not
maps_are_direct() {
	local all direct
	all=$(disk_stat maps) direct=$(disk_stat maps_direct)
	[ "$direct" -gt 0 ] && [ $((all - direct)) -le $((all / 20)) ] ||
		fail "$direct of $all maps are direct"
	[ "$(disk_stat failures)" = 0 ] || fail "$(disk_stat failures) maps failed"
	echo "$direct of $all maps are direct"
}

# kept: kB that the balloon was not given, as they were granted just then
kept() {
	qmp qom-get '"path":"/machine/peripheral/iommu0","property":"discards-refused"' |
		sed -n 's/.*"return": *\([0-9]*\).*/\1/p' |
		{ read -r bytes; echo $((bytes / 1024)); }
}

# given_back: QEMU has half of the guest no more, but for 16 MiB that it may need meanwhile
# for itself, for what the balloon was not given, and for what has come back since: with a
# grant of 2 MiB ($WIDE, kB) around a page, all of it is in memory. These are half of
# that half at most.
given_back() {
	local kept
	wide=$((($(disk_stat hypercalls_map) - asked) * ${WIDE:-0}))
	kept=$(($(kept) - before + wide))
	[ $kept -le $((L2_MEM * 256)) ] || kept=$((L2_MEM * 256))
	[ "$(status VmRSS)" -lt $((rss - (L2_MEM / 2 - 16) * 1024 + kept)) ]
}

# balloon_halves: L2 gives half of its memory back, and has it again. Of that half, no more
# than half may be kept
balloon_halves() {
	local rss before kept asked wide
	rss=$(status VmRSS) before=$(kept) asked=$(disk_stat hypercalls_map)
	qmp balloon "\"value\":$((L2_MEM * 512 * 1024))" >/dev/null || fail "no balloon"
	wait_for 180 given_back ||
		fail "QEMU had $rss kB and has $(status VmRSS) kB; $(($(kept) - before)) kB were kept, $wide kB granted since"
	look
	kept=$(($(kept) - before))
	echo "inflated to half: QEMU had $rss kB, has $(status VmRSS) kB; $direct kB of RAM granted, $kept kB kept, $wide kB granted since"
	[ "$kept" -le $((L2_MEM * 256)) ] || fail "$kept kB were kept"
	qmp balloon "\"value\":$((L2_MEM * 1024 * 1024))" >/dev/null || fail "no deflate"
	must "until [ \$(awk '\$1 == \"MemTotal:\" { print \$2 }' /proc/meminfo) -gt $((L2_MEM * 1024 * 3 / 4)) ]; do sleep 0.2; done"
}

# direct_swaps: two fifths of L2 in swap while fio verifies, and no byte is wrong
direct_swaps() {
	way=direct
	must "mount -o remount,size=80% /tmp; dd if=/dev/urandom of=/tmp/some bs=64k count=64 2>/dev/null; for i in \$(seq 24); do cat /tmp/some; done >/tmp/fill; md5sum /tmp/fill >/run/sum"
	swap_under_fio 384
	[ "$direct_wrong" = none ] || fail "wrong: $direct_wrong"
	[ "$direct_swapped" -ge $((L2_MEM * 1024 * 4 / 10)) ] ||
		fail "$direct_swapped kB swapped out"
	echo "$direct_swapped kB of L2 in swap under fio; wrong bytes: none"
	must "rm /tmp/fill /tmp/some"
}

# reset_and_unplug: both end all grants, in the middle of I/O
reset_and_unplug() {
	l2_reboots yes
	fio_begin
	direct_peak 6
	qmp stop >/dev/null && qmp system_reset >/dev/null || fail "system_reset"
	wait_for 10 locked_at_most 0 || fail "$(status VmLck) kB locked after a reset"
	qmp cont >/dev/null || fail "cont"
	direct_ready
	must "${FIO_JOB/16M/4M} >/run/fio"
	echo "reset with up to $peak kB granted: nothing is locked; L2 came up again"

	fio_begin
	direct_peak 6
	rm -f $L2/events
	qmp device_del '"id":"nvme0"' >/dev/null || fail "device_del"
	wait_for 30 unplugged || fail "L2 keeps its disk"
	[ "$(status VmLck)" = 0 ] || fail "unplugged: $(status VmLck) kB locked"
	echo "unplugged with up to $peak kB granted: nothing is locked"
	l2_reboots no
}
