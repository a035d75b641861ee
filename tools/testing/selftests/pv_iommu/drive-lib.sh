# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
#
# For tests in which the host drives edu devices (tools/testing/qemu/witness.py), so
# that they are in mid-transfer whatever becomes of the guest. They write to a page
# that the kernel was told to leave alone, whose number is one of the DMA addresses
# that they use as well. Sourced after lib.sh.

# page_for MODE: its number is one of the window's, or of the arena's, DMA addresses,
# as the profile's memmap= says
page_for() {
	case $1 in
	bounce)	echo 0x5f00000 ;;
	*)	echo 0x3f00000 ;;
	esac
}

# edu N: the PCI address of the Nth one, from 0
edu() {
	grep -l 0x11e8 /sys/bus/pci/devices/*/device | sort |
		sed -n "s,.*devices/\(.*\)/device,\1,p" | sed -n "$(($1 + 1))p"
}

# bar DEVICE: where its registers are
bar() {
	head -n 1 "/sys/bus/pci/devices/$1/resource" | cut -d ' ' -f 1
}

# config_of DEVICE: where its configuration space is mapped
config_of() {
	local base bus slot
	base=$(sed -n 's/^ *\([0-9a-f]*\)-.*PCI \(MMCONFIG\|ECAM\) 0000.*/\1/p' \
		/proc/iomem | head -n 1)
	[ -n "$base" ] || fail "nobody knows where PCI configuration is"
	bus=${1#*:}
	slot=${bus#*:}
	echo $((0x$base + (0x${bus%%:*} << 20) + (0x${slot%.*} << 15) +
		(${slot#*.} << 12)))
}

# host_registers: sets $control and $granted to what the host device has in its registers
host_registers() {
	local dir answer
	dir=$(dirname "$(grep -l 0x10f0 /sys/bus/pci/devices/*/device)")
	answer=$(host registers "$(config_of "$(basename "$dir")")") || fail "$answer"
	eval "$answer"
	echo "host device: $answer"
}

# drive DEVICE...: has them write to the page, and to what their drivers have mapped,
# until driven
drive() {
	local dev mapped words
	own_pages=
	words=
	for dev; do
		mapped=$(sed -n "s/^$dev //p" $pvt_debug/held $pvt_debug/scratch \
			2>/dev/null | head -n 1)
		words="$words $(config_of "$dev"),$(bar "$dev"),${mapped:-0}"
	done
	# shellcheck disable=SC2086 # one word each
	host drive "$(page_for "${mode:-$(pv_mode)}")" $words || fail "drive"
}

# drive_all DEVICE...: the same of those that reach all of memory: each writes to a page of
# its own, behind that one, and to nothing else
drive_all() {
	local dev page own words
	page=$(page_for "${mode:-$(pv_mode)}")
	own=$((page))
	own_pages=1
	words=
	for dev; do
		own=$((own + 4096))
		words="$words $(config_of "$dev"),$(bar "$dev"),$own,$own"
	done
	# shellcheck disable=SC2086 # one word each
	host drive "$page" $words || fail "drive"
}

# drive_two: the first edu, whose driver has something mapped, and the second, which
# has no driver
drive_two() {
	local second
	second=$(edu 1)
	[ -d $pvt_debug ] || modprobe pviommu_test || fail "no pviommu_test"
	[ ! -e "/sys/bus/pci/devices/$second/driver" ] ||
		echo "$second" >"/sys/bus/pci/devices/$second/driver/unbind"
	need_attached "$(edu 0)"
	drive "$(edu 0)" "$second"
}

# driven EVENT WHAT: no write has come through to the page. Those to what is mapped
# have, and do still (open); or have ceased to, and the devices have gone on (shut); or
# have until the machine was reset (reset), and do so again (again), or do not, though the
# devices do go on (lost); or nothing was mapped (none)
driven() {
	local writes arrived again shut since reset answer
	answer=$(host driven) || fail "$1: $answer"
	eval "$answer"
	echo "$1: $answer"
	# Who has pages of their own writes to those
	[ -n "$own_pages" ] || [ "$writes" -gt 2 ] || fail "$1: no device was at work"
	[ "$2" = none ] || [ "$arrived" -gt 2 ] || fail "$1: nothing was reached before"
	case $2 in
	none)	[ "$reset" = 0 ] ;;
	open)	[ "$shut" = 0 ] && [ "$reset" = 0 ] ;;
	shut)	[ "$shut" = 1 ] && [ "$since" -gt 2 ] && [ "$reset" = 0 ] ;;
	reset)	[ "$reset" = 1 ] && [ "$again" = 0 ] ;;
	lost)	[ "$reset" = 1 ] && [ "$again" = 0 ] && [ "$shut" = 1 ] && [ "$since" -gt 2 ] ;;
	again)	[ "$reset" = 1 ] && [ "$shut" = 0 ] && [ "$again" -gt 2 ] ;;
	esac || fail "$1: not $2"
}

# reg DEVICE OFFSET [VALUE]: a register of an edu device
reg() {
	# shellcheck disable=SC2086 # none, if there is no value
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

dma_done() {
	[ $(($(reg "$1" 0x98) & 1)) = 0 ]
}

# reaches DEVICE [OFFSET]: does a write of its to the page arrive, or to one behind it?
# While others are driven it has to be another
reaches() {
	local page
	page=$(page_for "${mode:-$(pv_mode)}")
	page=$((page + ${2:-0}))
	devmem "$page" 32 0x6b6c4261
	master "$1"
	reg "$1" 0x80 0x40000
	reg "$1" 0x88 "$page"
	reg "$1" 0x90 64
	reg "$1" 0x98 3
	wait_for 10 dma_done "$1" || fail "$1: no end of a DMA"
	[ $(($(devmem "$page" 32))) != $((0x6b6c4261)) ]
}

# apart: sets $apart to the device that the profile has pv_iommu not attach, which has
# no driver from here on
apart() {
	local dir
	apart=$(sed -n 's/.*pv_iommu.devices=!\([^ ]*\).*/\1/p' /proc/cmdline)
	dir=/sys/bus/pci/devices/$apart
	echo none >"$dir/driver_override"
	[ ! -e "$dir/driver" ] || echo "$apart" >"$dir/driver/unbind"
}

# still_apart EVENT: by then it has all of memory, or, with boot-bypass=off, none. Also while
# others are driven
still_apart() {
	if [ ! -c /dev/mem ]; then
		echo "$1: $apart: not looked at, as this kernel has no /dev/mem"
	elif [ "$(host_property boot-bypass)" = true ]; then
		reaches "$apart" 0xf000 || fail "$1: $apart is exempt, and has lost its memory"
		echo "$1: $apart is exempt, and reaches memory"
	else
		! reaches "$apart" 0xf000 || fail "$1: $apart reaches memory"
		echo "$1: $apart reaches nothing"
	fi
}
