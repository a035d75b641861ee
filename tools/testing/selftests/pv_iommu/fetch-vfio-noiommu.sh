#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# fetch-vfio-noiommu.sh KERNEL
#
# Builds the kernel's own module vfio with CONFIG_VFIO_NOIOMMU, from the
# distribution's source package of KERNEL, as BUILD/vfio-noiommu/KERNEL/vfio.ko.
# Debian's kernels have that option unset. It is fetched when it is needed and no
# part of this repository. A kernel that has VFIO built in gets none.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../../../../scripts/lib.sh"

[ $# = 1 ] || die "usage: fetch-vfio-noiommu.sh KERNEL"
kernel=$1
dir=$BUILD/vfio-noiommu/$kernel

lock_build "vfio-noiommu-$kernel"
want=$(hash_of "$0" "$(source_of "$kernel")" "$(cat "$BUILD/kernel/$kernel/release")")
! stamped "$dir/done" "$want" || exit 0

need dpkg-dev xz-utils gcc libc6-dev make

# The module alone: the others of the folder are used as they are
unpack() {
	rm -rf "$dir"
	mkdir -p "$dir"
	unpack_source "$package" -C "$dir" --strip-components=3 --wildcards \
		--no-wildcards-match-slash \
		'*/drivers/vfio/*.[ch]' '*/drivers/vfio/Makefile'
	sed -i '/^obj-/d' "$dir/Makefile"
	echo 'obj-m += vfio.o' >>"$dir/Makefile"
}

# The option is asked for in the Makefile, and by IS_ENABLED() in the code
build() {
	! grep -q '^CONFIG_VFIO=m' "$BUILD/kernel/$kernel/headers/.config" ||
		make_modules "$kernel" "$dir" CONFIG_VFIO_NOIOMMU=y \
			KCFLAGS=-DCONFIG_VFIO_NOIOMMU=1
}

package=$(linux_source "$kernel")
logged "$BUILD/log/vfio-noiommu-unpack.log" "unpacking vfio" unpack
logged "$BUILD/log/vfio-noiommu-$kernel.log" \
	"building vfio without an IOMMU for Linux $kernel" build
printf '%s\n' "$want" >"$dir/done"
