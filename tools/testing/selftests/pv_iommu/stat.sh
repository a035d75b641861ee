#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: pv-iommu-stat agrees with sysfs, live and as JSON, also on what is granted
# VM: main
# Timeout: 120
. ./lib.sh

need_disk nvme "NVMe disk"
host_names="window_size window_used window_high_water window_granted window_limit
	chunk_size direct_granted direct_limit direct_cached hypercalls refused_dmas"
names="maps maps_direct unmaps syncs bytes_to_device bytes_from_device failures hypercalls
	domain domain_granted domain_granted_max domain_used domain_grants
	domain_grants_late domain_revokes"

served() {
	local dir
	for dir in /sys/bus/pci/devices/*/pv_iommu; do
		[ ! -d "$dir" ] || basename "${dir%/pv_iommu}"
	done
}

# by_sysfs, by_json: one line for each value: whose it is, its name, the value
by_sysfs() {
	local name device
	for name in $host_names; do
		echo "host $name $(host_stat "$name")"
	done
	for device in $(served); do
		for name in $names; do
			echo "$device $name $(stat_of "$device" "$name")"
		done
	done
}

by_json() {
	pv-iommu-stat --json >/tmp/json || fail "pv-iommu-stat --json ends with $?"
	tr -d ' ",' </tmp/json | awk -F: -v all="$host_names $names" '
		BEGIN {
			whose = "host"
			for (n = split(all, names, /[ \t\n]+/); n; n--)
				known[names[n]] = 1
		}
		$1 == "device" { whose = substr($0, 8) }
		$1 in known { print whose, $1, $2 }'
}

# by_table: the same, of what the table shows as it is now, in its own figures
by_table() {
	pv-iommu-stat >/tmp/table || fail "pv-iommu-stat ends with $?"
	awk 'NR == 1 {
			for (i = 1; i < NF; i++)
				if ($i == "granted")
					print "host granted", $(i + 1), "of", $(i + 3)
		}
		$1 == "direct:" { print "direct granted", $3, "of", $5, "kept", $10 }
		NR > 3 && NF { print $1, "domain", $3, "granted", $4 }' /tmp/table
}

mib() {
	awk -v bytes="$1" 'BEGIN { printf "%.1f", bytes / 1048576 }'
}

by_sysfs_table() {
	local device
	echo "host granted $(mib "$(host_stat window_granted)") of" \
		"$(mib "$(host_stat window_limit)")"
	echo "direct granted $(mib "$(host_stat direct_granted)") of" \
		"$(mib "$(host_stat direct_limit)") kept $(mib "$(host_stat direct_cached)")"
	for device in $(served); do
		echo "$device domain $(stat_of "$device" domain) granted" \
			"$(mib "$(stat_of "$device" domain_granted)")"
	done
}

# same TRIES THIS THAT: that says what this says before and after
same() {
	local left="$1"
	while :; do
		"$2" >/tmp/before
		"$3" >/tmp/said
		"$2" >/tmp/after
		! cmp -s /tmp/before /tmp/after || break
		left=$((left - 1))
		[ $left -gt 0 ] || fail "sysfs does not come to rest"
		sleep 1
	done
	cmp /tmp/before /tmp/said ||
		fail "$3: $(diff /tmp/before /tmp/said | grep -m 2 '^[-+][^-+]' | tr '\n' ' ')"
}

# each of the domains counts once, and all of them together are the window's, in what
# sysfs has said twice: in a third look a chunk may have gone back
adds_up() {
	awk '
		$2 == "domain" { domain = $3 }
		$2 == "domain_granted" && !(domain in seen) { seen[domain] = 1; sum += $3 }
		$2 == "window_granted" { all = $3 }
		END { print sum, all }' /tmp/before >/tmp/sums
	read -r sum all </tmp/sums
}

agree() {
	same 30 by_sysfs by_json
	adds_up
	same 30 by_sysfs_table by_table
	[ "$sum" = "$all" ] || fail "$1: domains have $sum bytes, the window $all"
	echo "$1: $(head -n 1 /tmp/table)"
}

agree "at rest"

# Live: reads of 64 KiB and nothing else between the first report and the second
pv-iommu-stat $((3 * FACTOR)) 2 >/tmp/live &
stat=$!
wait_for 20 grep -q '^$' /tmp/live || fail "there is no first report"
maps=$(stat_of "$dev" maps)
bytes=$(stat_of "$dev" bytes_from_device)
dd if="/dev/$disk" of=/dev/null bs=64k count=256 iflag=direct 2>/dev/null ||
	fail "dd"
maps=$(($(stat_of "$dev" maps) - maps))
bytes=$(($(stat_of "$dev" bytes_from_device) - bytes))
wait $stat || fail "pv-iommu-stat 3 2 ends with $?"
cat /tmp/live
awk -v dev="$dev" '/^$/ { n++ } n == 1 && $1 == dev' /tmp/live >/tmp/row
read -r _ driver _ _ maps_s direct_s unmaps_s _ _ from_s fail_s _ </tmp/row
[ "$driver" = nvme ] || fail "driver: $driver"
[ "$direct_s" = 0.0 ] || fail "direct/s: $direct_s, which the host does not offer"
[ "$fail_s" = 0.0 ] || fail "fail/s: $fail_s"
awk -v maps=$maps -v bytes=$bytes -v maps_s="$maps_s" -v unmaps_s="$unmaps_s" \
	-v from_s="$from_s" 'BEGIN {
		want = bytes / maps / 1048576
		exit !(maps_s > 0 && unmaps_s / maps_s > 0.8 && unmaps_s / maps_s < 1.25 &&
		       from_s / maps_s > 0.8 * want && from_s / maps_s < 1.25 * want)
	}' || fail "$bytes bytes in $maps maps, but $from_s MiB/s in $maps_s maps/s"

# 4096 buffers that stay mapped: what is granted grows, and is shown. In bounce mode
# they are not in the window.
[ "$(pv_mode)" = window ] || exit 0
need_device e1000e "network card of that kind"
need_attached "$dev"
before=$(stat_of "$dev" domain_granted)
card=$(ls "/sys/bus/pci/devices/$dev/net")
ip link set "$card" up || fail "$card does not go up"
ethtool -G "$card" rx 4096 || fail "$card has no ring of 4096"
[ "$(stat_of "$dev" domain_granted)" -ge $((before + 4096 * 2048)) ] ||
	fail "4096 buffers are mapped, and the domain has $(stat_of "$dev" domain_granted) bytes, before: $before"
agree "with a long ring"
ip link set "$card" down
