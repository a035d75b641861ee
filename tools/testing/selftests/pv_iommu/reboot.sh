#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: the guest reboots, and is reset by its host, under load; all is well after
# VM: again
# Boots: 3
# Timeout: 240
. ./lib.sh
. ./again-lib.sh

boot_number
healthy
case $boot in
0)	leave reboot -f ;;
1)	leave host reset ;;
2)	mark finished ;;
esac
