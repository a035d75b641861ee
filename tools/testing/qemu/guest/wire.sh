# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
#
# Two network cards on one wire, each in a namespace of its own (a, b), so that
# what they send each other goes over the wire. Sourced; wire_send wants lib.sh.

WIRE_A=10.9.8.1
WIRE_B=10.9.8.2

# netdev_of DRIVER: an interface that it drives
netdev_of() {
	local dir
	for dir in /sys/class/net/*; do
		[ "$(basename "$(readlink "$dir/device/driver")")" = "$1" ] &&
			basename "$dir" && return
	done
	return 1
}

# wire_up INTERFACE INTERFACE: who has which address is not asked over the wire. A
# question that comes while e1000e resumes, with the link up and its ring not filled
# yet, ends what it receives: QEMU and the driver disagree where the ring begins.
wire_up() {
	local mac_a mac_b
	mac_a=$(cat "/sys/class/net/$1/address")
	mac_b=$(cat "/sys/class/net/$2/address")
	ip netns add a
	ip netns add b
	ip link set "$1" netns a
	ip link set "$2" netns b
	ip -n a addr add $WIRE_A/24 dev "$1"
	ip -n b addr add $WIRE_B/24 dev "$2"
	ip -n a link set "$1" up
	ip -n b link set "$2" up
	ip -n a neigh add $WIRE_B lladdr "$mac_b" dev "$1"
	ip -n b neigh add $WIRE_A lladdr "$mac_a" dev "$2"
}

# wire_works: one end reaches the other
wire_works() {
	ip netns exec a ping -c 1 -W 1 $WIRE_B >/dev/null 2>&1
}

# wire_listens NAMESPACE: somebody waits for what comes to port 5000 (hex 1388)
wire_listens() {
	ip netns exec "$1" grep -qs ':1388 .* 0A ' /proc/net/tcp /proc/net/tcp6
}

# wire_send FROM TO ADDRESS SECONDS: /tmp/sent goes over the wire to TO, which has
# that address, and arrives as /tmp/got; if it does, in that time
wire_send() {
	rm -f /tmp/got /tmp/silent
	# An input that never ends: at the end of its input nc hangs up
	mkfifo /tmp/silent
	ip netns exec "$2" timeout $(($4 * FACTOR)) nc -l -p 5000 <>/tmp/silent >/tmp/got &
	wait_for 20 wire_listens "$2"
	ip netns exec "$1" timeout $(($4 * FACTOR)) nc "$3" 5000 </tmp/sent >/dev/null
	wait $!
}

# wire_down: gives the interfaces back
wire_down() {
	ip netns del a
	ip netns del b
}
