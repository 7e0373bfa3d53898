# Looks into a file that is too large to be collected by opening it.
set -e
mkdir -p /mnt
mount -t nfs -o "$OPTIONS" "$HOST:$EXPORT" /mnt
pause() { echo "@$1"; read -r _; }
sum() { sha256sum | cut -d' ' -f1; }
stat -c %s /mnt/large/disk.img
pause ready
head -c 65536 /mnt/large/disk.img | sum
pause head
tail -c 70000 /mnt/large/disk.img | sum
dd if=/mnt/large/disk.img bs=4096 skip=393216 count=16 2>/dev/null | sum
pause looked
umount /mnt
mount -t nfs -o "$OPTIONS" "$HOST:$EXPORT" /mnt
head -c 65536 /mnt/large/disk.img | sum
pause again
umount /mnt
