# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
#
# For tests of what devices reach, by events (the table in spec.rst). The edu
# devices are told by hand what to write and where, with no driver of theirs: to a
# page of the guest's memory that the kernel was told to leave alone, and whose
# number is also a DMA address of the window. Sourced after lib.sh.

PAGE=0x3f00000		# as the profile's memmap= says
MARK=0x6b636148

[ -c /dev/mem ] || skip "this kernel has no /dev/mem"
modprobe -q pci-stub || skip "this kernel has no pci-stub"

# edu N: the PCI address of the Nth one, from 0
edu() {
	grep -l 0x11e8 /sys/bus/pci/devices/*/device | sort |
		sed -n "s,.*devices/\(.*\)/device,\1,p" | sed -n "$(($1 + 1))p"
}

# bar DEVICE: where its registers are
bar() {
	head -n 1 "/sys/bus/pci/devices/$1/resource" | cut -d ' ' -f 1
}

# reg DEVICE OFFSET [VALUE]: a register of an edu device
reg() {
	devmem $(($(bar "$1") + $2)) 32 $3
}

# master DEVICE: memory space and bus mastering on, by hand
master() {
	printf '\006\000' | dd of="/sys/bus/pci/devices/$1/config" bs=1 seek=4 \
		conv=notrunc 2>/dev/null
}

is_master() {
	[ $((0x$(od -A n -t x1 -j 4 -N 1 "/sys/bus/pci/devices/$1/config" |
		tr -d ' ') & 4)) != 0 ]
}

# dma DEVICE: starts its next write of the mark to the page
dma() {
	reg "$1" 0x80 0x40000
	reg "$1" 0x88 $PAGE
	reg "$1" 0x90 64
	reg "$1" 0x98 3
}

dma_done() {
	[ $(($(reg "$1" 0x98) & 1)) = 0 ]
}

# marked: has the page been written to?
marked() {
	[ $(($(devmem $PAGE 32))) = $((MARK)) ]
}

# arm DEVICE...: while they reach it still, they take the mark from the page
arm() {
	local dev
	for dev; do
		master "$dev"
		devmem $PAGE 32 $MARK
		reg "$dev" 0x80 $PAGE
		reg "$dev" 0x88 0x40000
		reg "$dev" 0x90 64
		reg "$dev" 0x98 1
		wait_for 10 dma_done "$dev" || fail "$dev: no end of a DMA"
	done
	devmem $PAGE 32 0
}

# reaches DEVICE: does a write of its arrive?
reaches() {
	devmem $PAGE 32 0
	master "$1"
	dma "$1"
	wait_for 10 dma_done "$1" || fail "$1: no end of a DMA"
	marked
}

# hammer DEVICE...: they write and write, from now on until hammer_stop, whatever
# happens; the page shows whether one of them ever got through
hammer() {
	local dev
	rm -f /tmp/hammer-stop
	devmem $PAGE 32 0
	for dev; do
		(
			n=0
			while [ ! -e /tmp/hammer-stop ]; do
				! dma_done "$dev" || {
					dma "$dev"
					n=$((n + 1))
					echo $n >"/tmp/hammer-$dev"
				}
				is_master "$dev" || master "$dev"
			done
		) 2>/dev/null &
		echo $! >"/tmp/hammer-pid-$dev"
	done
}

# hammer_stop EVENT: and none of it has arrived
hammer_stop() {
	local pid
	sleep 1
	touch /tmp/hammer-stop
	for pid in /tmp/hammer-pid-*; do
		wait "$(cat "$pid")"
		[ "$(cat "/tmp/hammer-${pid#/tmp/hammer-pid-}")" -gt 2 ] ||
			fail "$1: ${pid#/tmp/hammer-pid-} has not written"
		rm -f "$pid"
	done
	! marked || fail "$1: the guest's memory was written to"
	echo "$1: closed"
}

# through EVENT COMMAND...: runs it with the first device at work
through() {
	local event="$1"
	shift
	hammer "$first"
	sleep 1
	"$@" || fail "$event: $*"
	hammer_stop "$event"
}

stub() {
	echo pci-stub >"/sys/bus/pci/devices/$first/driver_override"
	echo "$first" >/sys/bus/pci/drivers/pci-stub/bind
}

unstub() {
	echo "$first" >/sys/bus/pci/drivers/pci-stub/unbind
}
