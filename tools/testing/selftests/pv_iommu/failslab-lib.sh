# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
#
# For the tests that have allocations fail (failslab*.sh), those of one task: the
# Nth that it makes, as /proc/PID/fail-nth counts. Sourced after lib.sh.

[ -e /proc/self/fail-nth ] || skip "this kernel injects no faults (KERNEL=debug)"

# text_of_module NAME: first address of its code, and the first after it
text_of_module() {
	grep -i " t .*\[$1\]$" /proc/kallsyms | sort | awk '
		NR == 1 { first = $1 }
		{ last = $1 }
		# the page in which the last function begins: no other module is there
		END { print "0x" first, "0x" substr(last, 1, 13) "fff" }'
}

# text_of_function NAME: the same of a function
text_of_function() {
	grep -i ' t ' /proc/kallsyms | sort | awk -v name="$1" '
		found	{ print "0x" found, "0x" $1; exit }
		$3 == name	{ found = $1 }'
}

# fail_in FIRST END NOT-FIRST NOT-END: what is called from there fails, but not
# what is called from the second place on the way
fail_in() {
	local dir
	[ $# = 4 ] || fail "there is no such code: $*"
	for dir in /sys/kernel/debug/failslab /sys/kernel/debug/fail_page_alloc; do
		echo "$1" >$dir/require-start || fail "no filter in $dir"
		echo "$2" >$dir/require-end
		echo "$3" >$dir/reject-start
		echo "$4" >$dir/reject-end
		# Those that may sleep, too
		echo N >$dir/ignore-gfp-wait
		# Not a word: some of those who allocate are told to say none
		echo 0 >$dir/verbose
		echo 1000000 >$dir/times
	done
}

# failures_left: how many there may yet be; less by one for each that there was
failures_left() {
	cat /sys/kernel/debug/fail*/times | awk '{ sum += $1 } END { print sum }'
}
