# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
#
# For the tests of the window's cache attribute (kvm-cache-*.sh). Sourced.

. ./lib.sh

PAT=/sys/kernel/debug/x86/pat_memtype_list

# check_cache: what the kernel's page attributes say of the window, and that the
# module has seen it
check_cache() {
	[ -e $PAT ] || skip "this kernel has no $PAT"
	at=$(dmesg | sed -n 's/.* window of [0-9]* MiB at 0x\([0-9a-f]*\),.*/\1/p' |
		tail -n 1 | sed 's/^0*//')
	[ -n "$at" ] || fail "no window in dmesg"
	line=$(grep -i "mem 0x0*$at-" $PAT)
	echo "${line:-no entry for the window at 0x$at}"
	case $line in
	*write-back*)	;;
	*)		cat $PAT /proc/mtrr; fail "the window at 0x$at is not write-back" ;;
	esac
	! dmesg | grep 'not mapped write-back' || fail "the module warns"
	# And it works
	dd if=/dev/nvme0n1 of=/dev/null bs=1M count=16 iflag=direct ||
		fail "no I/O through it"
}
