# Lists and reads, then reads what the other protocol listed and read.
set -e
mkdir -p /mnt
mount -t nfs -o "$OPTIONS" "$HOST:$EXPORT" /mnt
pause() { echo "@$1"; read -r _; }
ls /mnt /mnt/pictures >/dev/null
cat /mnt/readme.txt >/dev/null
pause "listed by nfs"
ls -l /mnt/documents >/dev/null
cat /mnt/documents/report.txt >/dev/null
pause "read by nfs"
umount /mnt
