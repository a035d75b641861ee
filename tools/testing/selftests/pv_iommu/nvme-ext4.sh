#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test: NVMe: discard, a file system, files, and the file system whole after
# VM: main
# Timeout: 180
. ./lib.sh

need_disk nvme "NVMe disk"
umount /mnt 2>/dev/null
blkdiscard "/dev/$disk" || fail "blkdiscard"
mkfs.ext4 -q -F "/dev/$disk" 256M || fail "mkfs.ext4"
mount -t ext4 "/dev/$disk" /mnt || fail "mount"
for i in 1 2 3 4; do
	dd if=/dev/urandom of=/mnt/file$i bs=1M count=$((i * 4)) 2>/dev/null ||
		fail "dd to file$i"
done
cp -a /bin /mnt/
(cd /mnt && find . -type f -exec sha256sum {} + >/tmp/sums)
fio_verify /mnt/fio --bsrange=4k-256k --size=24M
sync
umount /mnt || fail "umount"
echo 3 >/proc/sys/vm/drop_caches
fsck.ext4 -f -n "/dev/$disk" >/tmp/fsck.log 2>&1 || {
	cat /tmp/fsck.log
	fail "fsck.ext4 finds faults"
}
mount -t ext4 -o ro,noload "/dev/$disk" /mnt || fail "second mount"
(cd /mnt && sha256sum -c /tmp/sums >/tmp/check.log 2>&1) ||
	fail "$(grep -v ': OK' /tmp/check.log | head -n 1)"
umount /mnt
blkdiscard "/dev/$disk" || fail "second blkdiscard"
[ "$(head -c 1048576 "/dev/$disk" | tr -d '\0' | wc -c)" = 0 ] ||
	fail "what was discarded is still there"
allocator_whole
