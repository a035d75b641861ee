# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What the scripts share. Sourced, after `set -euo pipefail`.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# shellcheck source=scripts/versions
. "$top/scripts/versions"

# All output goes below BUILD. What is downloaded is kept in CACHE, which may
# be shared by several clones.
BUILD=${BUILD:-$top/build}
CACHE=${CACHE:-$BUILD/cache}
mkdir -p "$BUILD" "$CACHE"
BUILD=$(cd "$BUILD" && pwd)
CACHE=$(cd "$CACHE" && pwd)

# What this machine prefers must not leak into what is built
export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
umask 022

say() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
}

die() {
	say "error: $*"
	exit 1
}

# logged LOG WHAT CMD...: run CMD with its output in LOG; a line every 20 s
# shows that it is alive, and its end is shown when it fails
logged() {
	local log=$1 what=$2 start=$SECONDS next pid rc=0
	shift 2
	mkdir -p "$(dirname "$log")"
	say "$what"
	"$@" >"$log" 2>&1 </dev/null &
	pid=$!
	next=20
	while kill -0 "$pid" 2>/dev/null; do
		sleep 0.2
		if [ $((SECONDS - start)) -ge "$next" ]; then
			say "$what: $((SECONDS - start)) s: $(tail -n 1 "$log" |
				tr '\r\t' '  ' | cut -c 1-70)"
			next=$((next + 20))
		fi
	done
	wait "$pid" || rc=$?
	if [ "$rc" != 0 ]; then
		tail -n 30 "$log" | cut -c 1-400 >&2
		die "$what failed with status $rc; all of it: $log"
	fi
	[ $((SECONDS - start)) -lt 5 ] || say "$what: done in $((SECONDS - start)) s"
}

# hash_of WORD|FILE|DIRECTORY...: one digest of the arguments, and of the names
# and contents of those that are files or directories
hash_of() {
	local arg
	for arg; do
		if [ -d "$arg" ]; then
			(cd "$arg" && find . -type f ! -name '*.pyc' -print0 |
				sort -z | xargs -0r sha256sum)
		elif [ -f "$arg" ]; then
			sha256sum <"$arg"
		else
			printf '%s\n' "$arg"
		fi
	done | sha256sum | cut -c 1-16
}

# stamped STAMP HASH: is the thing whose stamp file this is up to date?
stamped() {
	[ -f "$1" ] && [ "$(cat "$1")" = "$2" ]
}

# One build at a time in one build directory
lock_build() {
	exec 9>"$BUILD/lock-$1"
	flock 9
}

# suite_of KERNEL: the suite that it comes from
suite_of() {
	local suite
	suite=$(awk -v k="$1" '$1 == k { print $2 }' <<<"$KERNELS")
	[ -n "$suite" ] || die "KERNEL=$1 is not known; known are:" \
		"$(awk '{ printf "%s ", $1 }' <<<"$KERNELS")"
	printf '%s\n' "$suite"
}

# source_of KERNEL: the version whose source it is built from. A kernel that the
# project builds itself has another's.
source_of() {
	if [ -e "$top/tools/testing/qemu/config/$1.config" ]; then
		printf '%s\n' "$SOURCE_KERNEL"
	else
		printf '%s\n' "$1"
	fi
}

# linux_source KERNEL: names the distribution's package of that kernel's source, after
# it has fetched it
linux_source() {
	local version package
	version=$(source_of "$1")
	package=linux-source-$version
	mkdir -p "$CACHE/source"
	(
		# Not the lock of one build: others want it, too
		flock 8
		[ -d "$CACHE/source/$package" ] ||
			logged "$BUILD/log/source-fetch.log" "fetching $package" \
				download_source "$version" "$CACHE/source/$package"
	) 8>"$CACHE/source/lock" || return
	printf '%s\n' "$package"
}

download_source() {
	rm -rf "$2.new"
	mkdir -p "$2.new"
	cd "$2.new" || return
	"$top/scripts/apt-private" "$(suite_of "$1")" apt-get -q download "${2##*/}"
	mv "$2.new" "$2"
}

# unpack_source PACKAGE TAR-ARGUMENT...: some files of it, in an empty directory that
# the arguments name by -C
unpack_source() {
	local package=$1
	shift
	dpkg --fsys-tarfile "$CACHE/source/$package"/*.deb |
		tar -x -O "./usr/src/$package.tar.xz" | tar -x -J "$@"
}

# fetch_qemu SUITE: the distribution's source package of QEMU, as it is there
fetch_qemu() {
	[ -d "$CACHE/qemu/$1" ] ||
		logged "$BUILD/log/qemu-fetch.log" \
			"fetching QEMU's source of $1" download_qemu "$1"
}

download_qemu() {
	local series version=
	series=$(awk -v s="$1" '$1 == s { print $2 }' <<<"$QEMU_VERSIONS")
	if [ -n "$series" ]; then
		version=$("$top/scripts/apt-private" "$1" apt-cache showsrc qemu |
			awk -v series="$series." '
				$1 == "Version:" {
					upstream = $2
					sub(/^[0-9]+:/, "", upstream)
					if (index(upstream, series) == 1)
						print $2
				}' | sort -V | tail -n 1)
		[ -n "$version" ] || die "$1 has QEMU $series no more"
	fi
	mkdir -p "$CACHE/qemu/$1.new"
	cd "$CACHE/qemu/$1.new" || return
	"$top/scripts/apt-private" "$1" apt-get -q source --download-only \
		"qemu${version:+=$version}"
	mv "$CACHE/qemu/$1.new" "$CACHE/qemu/$1"
}

# qemu_dsc SUITE: the file that describes it
qemu_dsc() {
	find "$CACHE/qemu/$1" -name 'qemu_*.dsc'
}

# with_compiler KERNEL COMMAND...: runs it with a compiler that suits the kernel
with_compiler() {
	local suite kernel
	kernel=$(source_of "$1")
	shift
	suite=$(awk -v k="$kernel" '$1 == k { print $3 }' <<<"$KERNELS")
	if [ -n "$suite" ]; then
		"$top/scripts/in-suite" "$suite" "$@"
	else
		"$@"
	fi
}

# unpack_kernel DIRECTORY: makes vmlinux of its vmlinuz. QEMU starts that by its PVH
# entry, and the guest need not unpack it, which under TCG is half of its boot. What is
# packed otherwise, or has no such entry, stays as it is.
unpack_kernel() {
	local at tool magic file=$1/vmlinuz
	while read -r tool magic; do
		at=$(LC_ALL=C grep -aobP -m 1 "$magic" "$file" | head -n 1) || continue
		at=${at%%:*}
		# There is more behind it than the packer knows of
		tail -c "+$((at + 1))" "$file" | "$tool" -dcq >"$1/vmlinux.new" 2>/dev/null || :
		if readelf -n "$1/vmlinux.new" 2>/dev/null |
				grep 'Xen.*0x00000012' >/dev/null; then
			mv "$1/vmlinux.new" "$1/vmlinux"
			return 0
		fi
	done <<-END
		xz \xfd7zXZ\x00
		zstd \x28\xb5\x2f\xfd
	END
	rm -f "$1/vmlinux.new"
	ln -sfn vmlinuz "$1/vmlinux"
}

# make_modules KERNEL DIRECTORY [MAKE-ARGUMENT...]: builds the modules there. No
# type information: the headers of some kernels have it made with a program that
# need not be here, and nothing uses it.
make_modules() {
	local kernel=$1 dir=$2
	shift 2
	with_compiler "$kernel" make --no-print-directory -j "$(nproc)" \
		-C "$BUILD/kernel/$kernel/headers" M="$dir" \
		CONFIG_DEBUG_INFO_BTF_MODULES= "$@" modules
}

# need PACKAGE...: installs those of the packages that this machine lacks
need() {
	local package missing=()
	for package; do
		[ "$(dpkg-query -W -f '${db:Status-Status}' "$package" \
			2>/dev/null)" = installed ] || missing+=("$package")
	done
	[ ${#missing[@]} != 0 ] || return 0
	say "packages that are missing: ${missing[*]}"
	[ "$(id -u)" = 0 ] ||
		die "not root: apt-get install --no-install-recommends ${missing[*]}"
	# An index that could not be read anew can still be good enough
	if [ -z "$(find "$BUILD/apt-updated" -mmin -60 2>/dev/null)" ]; then
		logged "$BUILD/log/apt-update.log" "reading the package index" \
			sh -c 'apt-get -q update || echo "continuing all the same"'
		touch "$BUILD/apt-updated"
	fi
	DEBIAN_FRONTEND=noninteractive logged "$BUILD/log/apt-install.log" \
		"installing ${#missing[@]} packages" \
		apt-get -q -y -o DPkg::Lock::Timeout=600 install \
		--no-install-recommends "${missing[@]}"
}
