#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# fetch-map-benchmark.sh KERNEL
#
# Builds the kernel's own DMA selftest, kernel/dma/map_benchmark.c and the
# program that drives it, from the distribution's source package of KERNEL, in
# BUILD/module/KERNEL/map_benchmark/. Debian's kernels come without it. It is
# fetched when it is needed and no part of this repository.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../../../../scripts/lib.sh"

[ $# = 1 ] || die "usage: fetch-map-benchmark.sh KERNEL"
kernel=$1
dir=$BUILD/module/$kernel/map_benchmark

lock_build "map-benchmark-$kernel"
want=$(hash_of "$0" "$(source_of "$kernel")" "$(cat "$BUILD/kernel/$kernel/release")")
! stamped "$dir/done" "$want" || exit 0

need dpkg-dev xz-utils gcc libc6-dev make

# The header and the program have moved between kernels
unpack() {
	rm -rf "$dir"
	mkdir -p "$dir/include/linux"
	unpack_source "$package" -C "$dir" --strip-components=1 --wildcards \
		'*/kernel/dma/map_benchmark.c' \
		'*/include/*map_benchmark.h' \
		'*/dma_map_benchmark.c'
	find "$dir" -name map_benchmark.h -exec mv {} "$dir/include/linux/" \;
	find "$dir" -mindepth 2 -name '*map_benchmark.c' -exec mv {} "$dir/" \;
	# Only for a node that the caller names, and not exported to modules
	sed -i 's/kthread_bind_mask(/set_cpus_allowed_ptr(/' "$dir/map_benchmark.c"
	# Nobody builds it as a module any more, so later ones do not say it
	grep -q MODULE_LICENSE "$dir/map_benchmark.c" ||
		echo 'MODULE_LICENSE("GPL");' >>"$dir/map_benchmark.c"
	cat >"$dir/Makefile" <<-'END'
		obj-m += map_benchmark.o
		ccflags-y += -I$(src)/include
	END
}

build() {
	gcc -static -O2 -I "$dir/include" -o "$dir/dma_map_benchmark" \
		"$dir/dma_map_benchmark.c"
	# The driver may be there already, and there can be only one
	grep -q '^CONFIG_DMA_MAP_BENCHMARK=y' \
		"$BUILD/kernel/$kernel/headers/.config" ||
		make_modules "$kernel" "$dir"
}

package=$(linux_source "$kernel")
logged "$BUILD/log/map-benchmark-unpack.log" "unpacking map_benchmark" unpack
logged "$BUILD/log/map-benchmark-$kernel.log" \
	"building map_benchmark for Linux $kernel" build
printf '%s\n' "$want" >"$dir/done"
