#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# bench-io.sh WHAT: real I/O for the benchmark (tools/testing/qemu/benchio.py).
# Prints KiB per second, and for how many nanoseconds per KiB the CPU was busy.

# shellcheck source=wire.sh
. /guest/wire.sh

setup() {
	local a b
	coldplug
	for _ in $(seq 100); do
		a=$(netdev_of e1000e)
		b=$(netdev_of virtio_net)
		[ -b /dev/nvme0n1 ] && [ -n "$a" ] && [ -n "$b" ] && break
		sleep 0.2
	done
	mkfifo /run/silent
	wire_up "$a" "$b"
	for _ in $(seq 60); do
		wire_works && break
	done
	# So that reads find what was written
	dd if=/dev/urandom of=/dev/nvme0n1 bs=1M count=64 oflag=direct 2>/dev/null &&
		echo ok
}

# Nanoseconds in which the CPU was not idle: with instructions counted, and one
# CPU, that is how many there were
busy() {
	awk '/^now at/ { n = $3 } /(idle|iowait)_sleeptime/ { n -= $3 }
		END { printf "%.0f", n }' /proc/timer_list
}

# cost COMMAND...: microseconds, and nanoseconds not idle
cost() {
	local begin before
	before=$(busy)
	begin=${EPOCHREALTIME/./}
	"$@" >/dev/null || return
	echo $((${EPOCHREALTIME/./} - begin)) $(($(busy) - before))
}

# moved MIB COMMAND...: what COMMAND takes to move so much, beyond what it takes
# to move 1 MiB, which is mostly its start
moved() {
	local mib=$1 us ns us_one ns_one
	shift
	read -r us_one ns_one <<<"$(cost "$@" 1)"
	read -r us ns <<<"$(cost "$@" "$mib")"
	echo $(((mib - 1) * 1024 * 1000000 / (us - us_one))) \
		$(((ns - ns_one) / (mib - 1) / 1024))
}

# disk RW BLOCK MIB
disk() {
	fio --name=bench --filename=/dev/nvme0n1 --direct=1 --size=64M --rw="$1" \
		--bs="$2" --io_size="$3M" --ioengine=libaio --iodepth=16 --randseed=1
}

# net FROM TO ADDRESS MIB
net() {
	# An input that never ends: at the end of its input nc hangs up
	ip netns exec "$2" nc -l -p 5000 <>/run/silent | wc -c >/run/got &
	sleep 0.5
	dd if=/dev/zero bs=64k count=$(($4 * 16)) 2>/dev/null |
		ip netns exec "$1" nc "$3" 5000 >/dev/null
	wait $!
	[ "$(cat /run/got)" = $(($4 << 20)) ]
}

case $1 in
setup)		setup ;;
randread)	moved 33 disk randread 4k ;;
write)		moved 193 disk write 128k ;;
net-in)		moved 25 net b a $WIRE_A ;;
net-out)	moved 25 net a b $WIRE_B ;;
esac
