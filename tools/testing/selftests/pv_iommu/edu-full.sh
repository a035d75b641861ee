#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: no room left: the right errors and messages, and all of it back later
# VM: edu
# Timeout: 120
. ./lib.sh

# messages: how often the log has said that there was no room
messages() {
	dmesg | grep -c 'no room for'
}

run_cases full

# messages are limited to some in five seconds: those of before must be over
sleep 6
before=$(messages)
run_cases full/no_warn
[ "$(messages)" = "$before" ] || fail "a message in spite of DMA_ATTR_NO_WARN"
run_cases full/warns
[ "$(messages)" -gt "$before" ] || fail "no message that there was no room"
