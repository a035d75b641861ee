#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# fetch-vfio.sh noiommu|iommufd KERNEL
#
# Builds the kernel's own modules for VFIO with an option that Debian's kernels have
# unset, from the distribution's source package of KERNEL, in BUILD/vfio-WHICH/KERNEL/:
#
#	noiommu	vfio.ko with CONFIG_VFIO_NOIOMMU; the others are used as they are
#	iommufd	iommufd.ko, and all that vfio-pci needs with CONFIG_IOMMUFD
#
# They are fetched when they are needed and no part of this repository. A kernel that
# has no such option, or has it set, or VFIO built in, gets none.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../../../../scripts/lib.sh"

[ $# = 2 ] || die "usage: fetch-vfio.sh noiommu|iommufd KERNEL"
which=$1
kernel=$2
dir=$BUILD/vfio-$which/$kernel

lock_build "vfio-$which-$kernel"
want=$(hash_of "$0" "$(source_of "$kernel")" "$(cat "$BUILD/kernel/$kernel/release")")
! stamped "$dir/done" "$want" || exit 0

need dpkg-dev xz-utils gcc libc6-dev make

# folder NAME OBJECT...: of these objects are modules made, and of no others
folder() {
	local makefile=$dir/drivers/$1/Makefile
	shift
	sed -i '/^obj-/d' "$makefile"
	echo "obj-m += $*" >>"$makefile"
}

unpack() {
	unpack_source "$package" -C "$dir" --strip-components=1 --wildcards \
		--no-wildcards-match-slash "${files[@]/#/*/}"
	"prepare_$which"
}

prepare_noiommu() {
	folder vfio vfio.o
	echo 'obj-m += drivers/vfio/' >"$dir/Makefile"
}

prepare_iommufd() {
	local iommufd=$dir/drivers/iommu/iommufd
	folder vfio vfio.o vfio_iommu_type1.o pci/
	folder vfio/pci vfio-pci-core.o vfio-pci.o
	# What newer kernels have as a module of its own
	if [ -e "$iommufd/driver.c" ]; then
		folder iommu/iommufd iommufd.o iommufd_driver.o
	else
		folder iommu/iommufd iommufd.o
	fi
	# The part of the kernel's library that nothing else asks for
	sed -e '/^INTERVAL_TREE_DEFINE/,/^#ifdef CONFIG_INTERVAL_TREE_SPAN_ITER/d' \
		-e '/^EXPORT_SYMBOL/d' -e '/^#endif/d' "$dir/lib/interval_tree.c" \
		>"$iommufd/interval_tree.c"
	echo 'iommufd-y += interval_tree.o' >>"$iommufd/Makefile"
	echo 'obj-m += drivers/iommu/iommufd/ drivers/vfio/' >"$dir/Makefile"
}

# The options are asked for in Makefiles, and by IS_ENABLED() in the code
build() {
	local option defines=
	for option in "${options[@]}"; do
		case $option in
		*=m)	defines="$defines -D${option%=m}_MODULE=1" ;;
		*=y)	defines="$defines -D${option%=y}=1" ;;
		esac
	done
	make_modules "$kernel" "$dir" "${options[@]}" KCFLAGS="$defines"
	find "$dir/drivers" -name '*.ko' -exec mv -t "$dir" {} +
}

case $which in
noiommu)
	unset=CONFIG_VFIO_NOIOMMU
	options=(CONFIG_VFIO_NOIOMMU=y)
	files=('drivers/vfio/*.[ch]' 'drivers/vfio/Makefile')
	;;
iommufd)
	unset=CONFIG_IOMMUFD
	# The core of drivers is newer than 6.12
	options=(CONFIG_IOMMUFD=m CONFIG_IOMMUFD_DRIVER_CORE=y
		CONFIG_VFIO_DEVICE_CDEV=y CONFIG_INTERVAL_TREE_SPAN_ITER=y)
	files=('drivers/vfio/*.[ch]' 'drivers/vfio/Makefile'
		'drivers/vfio/pci/*.[ch]' 'drivers/vfio/pci/Makefile'
		'drivers/iommu/iommufd/*.[ch]' 'drivers/iommu/iommufd/Makefile'
		'drivers/iommu/iommu-priv.h' 'lib/interval_tree.c')
	;;
*)	die "$which: no such modules" ;;
esac

config=$BUILD/kernel/$kernel/headers/.config
rm -rf "$dir"
mkdir -p "$dir"
if grep -q '^CONFIG_VFIO=m' "$config" && grep -q "^# $unset is not set" "$config"; then
	package=$(linux_source "$kernel")
	logged "$BUILD/log/vfio-$which-unpack.log" "unpacking vfio" unpack
	logged "$BUILD/log/vfio-$which-$kernel.log" \
		"building vfio ($which) for Linux $kernel" build
fi
printf '%s\n' "$want" >"$dir/done"
