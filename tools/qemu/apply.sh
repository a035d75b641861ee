#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Put the pv-iommu device into an unpacked QEMU source tree.
#
# usage: apply.sh QEMU_SOURCE
#
# Copies the device, its spec page, its qtest, the interface header and the
# list of devices, and applies the series that ties them to QEMU's own files.
# Running it again brings the tree up to date; files that did not change keep
# their time stamps, so that only what must be is compiled again.
#
set -eu

if [ $# -ne 1 ] || ! [ -f "$1/VERSION" ] || ! [ -d "$1/hw/misc" ]; then
	echo "usage: $0 QEMU_SOURCE" >&2
	echo "QEMU_SOURCE is the top directory of an unpacked QEMU source" >&2
	exit 2
fi

src=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
state=$src/.pv-iommu
series=$here/patches/series

# A QEMU whose own files differ too much has a series of its own
version=$(cut -d. -f1-2 "$src/VERSION")
if [ -f "$series-$version" ]; then
	series=$series-$version
fi

put()
{
	if ! cmp -s "$1" "$2"; then
		mkdir -p "$(dirname "$2")"
		cp "$1" "$2"
		echo "apply.sh: ${2#"$src"/}"
	fi
}

patches()
{
	sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$1"
}

# Take back what an earlier run applied, when it is not what is wanted now
refresh_series()
{
	new=$(mktemp -d "$src/.pv-iommu.XXXXXX")
	cp "$series" "$new/series"
	for p in $(patches "$series"); do
		cp "$here/patches/$p" "$new/"
	done

	if [ -d "$state" ] && diff -r "$state" "$new" >/dev/null; then
		rm -r "$new"
		return
	fi

	if [ -d "$state" ]; then
		for p in $(patches "$state/series" | tac); do
			patch -d "$src" -p1 -R -s -f --no-backup-if-mismatch \
				-i "$state/$p"
		done
		rm -r "$state"
	fi

	# Dry-run is no help for a series: each patch may build on the last one
	for p in $(patches "$new/series"); do
		patch -d "$src" -p1 -N -s -f --no-backup-if-mismatch \
			-i "$new/$p"
		echo "apply.sh: applied $p"
	done
	mv "$new" "$state"
}

for dir in hw include docs tests; do
	if [ -d "$here/$dir" ]; then
		(cd "$here" && find "$dir" -type f) | while read -r f; do
			put "$here/$f" "$src/$f"
		done
	fi
done
put "$top/include/uapi/linux/pv_iommu.h" \
	"$src/include/standard-headers/linux/pv_iommu.h"

# The list of devices, and what older versions do not have
devices=$(mktemp "$src/.pv-iommu.mak.XXXXXX")
cp "$here/pv-iommu.mak" "$devices"
if grep -q '^config IGB_PCI_EXPRESS' "$src/hw/net/Kconfig"; then
	echo CONFIG_IGB_PCI_EXPRESS=y >>"$devices"
fi
if grep -q '^config IOMMUFD' "$src/backends/Kconfig"; then
	echo CONFIG_IOMMUFD=y >>"$devices"
fi
# NVMe does not link without it, and in 10.2 does not select it
if grep -q '^config SPDM_SOCKET' "$src/backends/Kconfig" &&
	! grep -q 'select SPDM_SOCKET' "$src/hw/nvme/Kconfig"; then
	echo CONFIG_SPDM_SOCKET=y >>"$devices"
fi
put "$devices" "$src/configs/devices/x86_64-softmmu/pv-iommu.mak"
rm "$devices"
refresh_series
