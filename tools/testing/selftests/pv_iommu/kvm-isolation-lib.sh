# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# For the tests that have one assigned device reach for another's memory, stopped by
# the IOMMU of their host: an edu, and an NVMe disk. Sourced.

. ./kvm-lib.sh

need_isolation

# Set by a test whose host does not log such faults
SILENT=

# A load that needs many a chunk, more than those in which the disk's driver keeps
# something for good
LOAD=${FIO_JOB/iodepth=8/iodepth=64}
LOAD=${LOAD/4k-64k/64k-256k}
LOAD=${LOAD/16M/64M}

# rings ARGUMENT...: the program that pokes registers, in L2
rings() {
	must "/q/bin/rings $*"
}

# number NAME COMMAND...: sets it to what that prints, which is a number, and not 0
number() {
	local name=$1 said
	shift
	said=$("$@") || fail "$said"
	[[ $said =~ ^(0x[0-9a-f]+|[0-9]+)$ ]] && [ $((said)) != 0 ] || fail "$name: $said"
	printf -v "$name" %d "$((said))"
}

# bar_of DEVICE: where its registers are
bar_of() {
	must "awk 'NR == 1 { print \$1 }' $1/resource"
}

# edu REGISTER VALUE
edu_set() {
	rings mmio $((edu_bar + $1)) 1 "$2"
}

# edu_dma FROM TO COMMAND: half a page; done when the bit that starts it is clear
edu_dma() {
	edu_set 0x80 "$1"
	edu_set 0x88 "$2"
	edu_set 0x90 2048
	edu_set 0x98 "$3"
	wait_for 20 edu_idle || fail "edu does not get done"
}

edu_idle() {
	local command
	command=$(rings peek $((edu_bar + 0x98))) || fail "$command"
	[ $((command & 1)) = 0 ]
}

# edu_reads ADDRESS, edu_writes ADDRESS: from and to its own memory
edu_reads() {
	edu_dma "$1" $((0x40000)) 1
}

edu_writes() {
	edu_dma $((0x40000)) "$1" 3
}

# holds ADDRESS: a sum of half a page of the window, as L2's processor sees it
holds() {
	must "/q/bin/rings dump $((phys + $1 - dma)) 2048 >/run/held && md5sum </run/held"
}

# faults ADDRESS: how many this host has logged
faults() {
	dmesg | grep -cE "(DMAR:.*fault addr |IO_PAGE_FAULT.*address=)$(printf '0x%x' "$1")[] ]"
}

faulted() {
	[ "$(faults "$1")" -gt "$before" ]
}

# refused WHAT ADDRESS COMMAND: edu's DMA there is a fault in this host's log, if its
# IOMMU says so: QEMU's AMD-Vi refuses in silence where there is no entry at all
refused() {
	local before again
	before=$(faults "$2")
	"$3" "$2"
	if [ -n "$SILENT" ]; then
		echo "$1: $3 done, no fault expected"
		return
	fi
	# Linux logs some of them in five seconds, and no more
	for ((again = 0; again < 2; again++)); do
		! wait_for 2 faulted "$2" || break
		sleep 6
		"$3" "$2"
	done
	wait_for 10 faulted "$2" ||
		fail "$1: $3: no fault at $(printf '0x%x' "$2"): $(dmesg | tail -n 3)"
	echo "$1: $3 refused: $(dmesg | grep -iE 'DMAR:.*fault addr|IO_PAGE_FAULT' | tail -n 1)"
}

# beyond_reach WHAT ADDRESS: edu neither writes nor sees what is there
beyond_reach() {
	local sum
	sum=$(holds "$2")
	refused "$1" "$2" edu_writes
	[ "$(holds "$2")" = "$sum" ] || fail "$1: edu has changed it"
	refused "$1" "$2" edu_reads
	# What it has read it writes to where it may
	edu_writes "$own"
	[ "$(holds "$own")" != "$sum" ] || [ "$sum" = "$zeroes" ] ||
		fail "$1: edu has seen it"
}

# edu_up: L2 has its programs, and the driver of edu. Sets $edu, $edu_bar, and what
# DMA addresses mean
edu_up() {
	local bdf
	must "until [ -e /dev/vda ]; do sleep 0.1; done; mkdir -p /q; mount -t ext4 -o ro /dev/vda /q"
	must "[ -d /sys/bus/pci/drivers/pviommu_test ] || modprobe pviommu_test"
	bdf=$(must "cd /sys/bus/pci/drivers/pviommu_test; echo *:*")
	edu=/sys/bus/pci/devices/$bdf
	number edu_bar bar_of "$edu"
	number phys window phys
	number dma window dma
	number chunk window chunk
	ask zeroes "head -c 2048 /dev/zero | md5sum"
}

# edu_own: sets $own to a place in the chunk in which its driver has something mapped:
# another may have gone back. The control: there it does as it is told
edu_own() {
	own=$(must "sed -n 's/^${edu##*/} //p' /sys/kernel/debug/pviommu_test/scratch")
	[ -n "$own" ] || fail "edu's driver has nothing mapped"
	own=$((dma + (own - dma) / chunk * chunk + chunk / 2))
	rings poke $((phys + own - dma)) 1 0x79797979
	[ "$(holds $own)" != "$zeroes" ] || fail "L2 cannot write to the window"
	edu_writes $own
	[ "$(holds $own)" = "$zeroes" ] || fail "control: edu does not write at all"
}

# queue_of DEVICE: sets $queue to where the driver of that disk has put the queue of
# administrative commands; its page's second half is nobody's
queue_of() {
	local bar sum
	number bar bar_of "$1"
	number queue rings peek $((bar + 0x28))
	sum=$(holds "$queue")
	[ "${#sum}" = "${#zeroes}" ] && [ "$sum" != "$zeroes" ] ||
		fail "the disk's queue is empty: $sum"
}

# two_devices PROPERTIES: an L2 with both
two_devices() {
	# Its processor reaches the window and the registers past their drivers
	L2_APPEND=iomem=relaxed
	way_window "$1"
	# shellcheck disable=SC2046 # words
	l2_start $(host_disk on) -device "$(vfio $NVME nvme0)" \
		-device "$(vfio $EDU edu0)"
	l2_ready
	edu_up
	must "until [ -e /dev/nvme0n1 ]; do sleep 0.1; done"
	must "[ -d /sys/kernel/tracing/events ] || mount -t tracefs tracefs /sys/kernel/tracing; for e in grant revoke; do echo 1 >/sys/kernel/tracing/events/pv_iommu/pviommu_\$e/enable; done"
	nvme=$(must "readlink -f /sys/block/nvme0n1/device/device")
	queue_of "$nvme"
}

domain_of() {
	must "cat $1/pv_iommu/domain"
}

disk_granted() {
	must "cat $nvme/pv_iommu/domain_granted"
}

# both_locked: what is locked is what is granted to the two, and not what the emulated
# device beside them has
both_locked() {
	both=$(($(disk_granted) + $(must "cat $edu/pv_iommu/domain_granted")))
	[ $((both / 1024)) = "$(status VmLck)" ]
}

# given_back: sets $gone to a chunk that was the disk's, and that nobody has had since,
# as L2's trace says
given_back() {
	local domain
	domain=$(domain_of "$nvme")
	gone=$(must "grep -E 'pviommu_(grant|revoke):' /sys/kernel/tracing/trace" |
		awk -v domain="$domain" '
		{
			for (i = 1; i <= NF; i++) {
				split($i, a, "=")
				field[a[1]] = a[2]
			}
			first = field["first"]
		}
		/revoke:/ && field["domain"] == domain { gone = first }
		/grant:/ && first <= gone && gone < first + field["count"] { gone = "" }
		END { print gone }')
	[ -n "$gone" ]
}

# isolation_holds: edu gets at nothing of the disk's, and nothing that is nobody's
isolation_holds() {
	local flows gone
	two_devices ""
	[ "$(domain_of "$edu")" != "$(domain_of "$nvme")" ] ||
		fail "both are in domain $(domain_of "$edu")"
	edu_own

	sleep 5
	wait_for 10 both_locked ||
		fail "$(status VmLck) kB locked, the two have $both bytes"
	beyond_reach "coherent memory" "$queue"

	must "echo >/sys/kernel/tracing/trace; echo 1 >/sys/kernel/tracing/events/pv_iommu/pviommu_map/enable; rm -f /run/end; ($LOAD >/run/fio 2>&1; echo \$? >/run/end) >/dev/null 2>&1 &"
	must "until grep -q 'pviommu_map:.*rid=${nvme##*/0000:} ' /sys/kernel/tracing/trace; do sleep 0.1; done; echo 0 >/sys/kernel/tracing/events/pv_iommu/pviommu_map/enable"
	flows=$(must "sed -n 's/.*pviommu_map: rid=${nvme##*/0000:} dma=\\(0x[0-9a-f]*\\) .*/\\1/p' /sys/kernel/tracing/trace | tail -n 1")
	flows=$((flows & ~4095))
	refused "a mapping under load" $flows edu_writes
	refused "a mapping under load" $flows edu_reads
	edu_writes "$own"
	[ "$(holds "$own")" = "$zeroes" ] || fail "a mapping under load: edu has seen it"
	must "until [ -s /run/end ]; do sleep 0.2; done; [ \$(cat /run/end) = 0 ] || { cat /run/fio; false; }"

	wait_for 20 given_back ||
		fail "no chunk was given back, the disk has $(disk_granted) bytes"
	beyond_reach "a chunk that was given back" $((dma + gone * chunk))
	[ "$(holds $((dma + gone * chunk)))" = "$zeroes" ] ||
		fail "a chunk that was given back holds something"
	# They come from the top
	beyond_reach "a chunk that nobody ever had" "$dma"
	must "$FIO_JOB >/run/fio"
	l2_stop
}

# queue_copied: edu copies half of the disk's queue to the other half, whose driver has not
# changed it meanwhile
queue_copied() {
	local sum
	sum=$(holds "$queue")
	edu_reads "$queue"
	edu_writes $((queue + 2048))
	[ "$(holds $((queue + 2048)))" = "$sum" ] && [ "$(holds "$queue")" = "$sum" ]
}

# isolation_off: the control. All devices share one domain.
isolation_off() {
	local before
	two_devices ",isolation=off"
	[ "$(domain_of "$edu")" = "$(domain_of "$nvme")" ] ||
		fail "isolation=off: two domains"
	before=$(faults "$queue")
	queue_copied || { sleep 2 && queue_copied; } ||
		fail "control: edu cannot copy what the disk's driver has"
	[ "$(faults "$queue")" = "$before" ] || fail "control: a fault"
	echo "isolation=off: edu has read and written the disk's memory"
	l2_stop
}
