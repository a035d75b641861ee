#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Test: no IOMMU: what a device writes to a chunk after it was revoked is not there when it is granted
# VM: noiommu
# Modes: none
# Timeout: 60
#
# No guest runs: this is QEMU's qtest, and what a guest would do stands here.

. ./noiommu-lib.sh

REGS=0xfe000000
BLOCK=0x200000
# ATTACH in window mode, GRANT, REVOKE; the device of QEMU that is attached
ATTACH=1
GRANT=7
REVOKE=8
RID=0x20

host_setup
devdax 0
rm -rf $L2
mkdir -p $L2
mkfifo $L2/in $L2/out
# QEMU opens them itself: it makes what it has non-blocking
exec 5<>$L2/in 6<>$L2/out
/host/lib/ld-linux-x86-64.so.2 --library-path /host/lib \
	/host/bin/qemu-system-x86_64 -L /host/firmware -nodefaults \
	-no-user-config -display none -vga none -accel qtest -qtest stdio \
	-machine q35,sata=off,smbus=off -m "64M,maxmem=2G" \
	-object "$(backend win0 "$(dax_size 0)" /dev/dax0.0)" \
	-device pv-iommu-pci,memdev=win0,host-phys=on,boot-bypass=off,addr=3 \
	-device edu,addr=4 <$L2/in >$L2/out 2>$L2/qemu.log &
L2_PID=$!

# tell COMMAND...: of qtest; its answer in $line, without the OK
tell() {
	printf '%s\n' "$*" >&5
	while hear 6 20; do
		case $line in
		OK*)	line=${line#OK}; line=${line# }; return ;;
		IRQ*)	;;
		*)	break ;;
		esac
	done
	fail "qtest: $*: $line"
}

# config OFFSET VALUE: of pv-iommu-pci
config() {
	tell outl 0xcf8 $((0x80001800 + $1))
	tell outl 0xcfc "$2"
}

# request OPCODE FIRST: for chunk FIRST, one of them, and domain 1; it must be done
request() {
	tell memset $BLOCK 4096 0
	tell writew $BLOCK "$1"
	tell writew $((BLOCK + 2)) $RID
	[ "$1" != $ATTACH ] || tell writel $((BLOCK + 4)) 1
	tell writel $((BLOCK + 8)) 0xffffffff
	tell writel $((BLOCK + 0x44)) 1
	if [ "$1" != $ATTACH ]; then
		tell writel $((BLOCK + 0x48)) "$2"
		tell writel $((BLOCK + 0x4c)) 1
	fi
	tell writel $((REGS + 0x60)) $((BLOCK >> 12))
	tell readl $((BLOCK + 8))
	[ $((line)) = 0 ] || fail "request $1 for chunk $2: status $line"
}

# reg OFFSET: of 64 bits, in $value
reg() {
	local low
	tell readl $((REGS + $1))
	low=$line
	tell readl $((REGS + $1 + 4))
	value=$((line << 32 | low))
}

config 0x10 $REGS
config 4 2
# Features: window, chunks
tell writel $((REGS + 0x18)) 1
tell writel $((REGS + 0x10)) 5
tell writel $((REGS + 0x18)) 2
reg 0x18
[ $((value & 2)) = 2 ] || fail "not enabled"
reg 0x20
window=$value
reg 0x30
dma=$value
reg 0x68
chunk=$value
echo "window at $(printf '%#x' "$window"), in this host at $(printf '%#x' "$dma"), chunks of $chunk bytes"

request $ATTACH
request $GRANT 0
tell readl "$window"
[ $((line)) = 0 ] || fail "a chunk holds $line when it is granted first"
tell writel "$window" 0x600d600d
request $REVOKE 0

# The device has not heard of it
tell writel $((window + chunk)) 0x5ec2e75
edu_reads $((dma + chunk))
edu_writes $((dma + 64))
tell readl $((window + 64))
[ $((line)) = $((0x5ec2e75)) ] || fail "control: the device writes nothing: $line"

request $GRANT 0
for offset in 0 64; do
	tell readl $((window + offset))
	[ $((line)) = 0 ] || fail "granted again, the chunk holds $line at $offset"
done
echo "granted again, the chunk reads as zero"
