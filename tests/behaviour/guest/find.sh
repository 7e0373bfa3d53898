# Walks an uncached tree once.
set -e
mkdir -p /mnt
mount -t nfs -o "$OPTIONS" "$HOST:$EXPORT" /mnt
pause() { echo "@$1"; read -r _; }
pause "found $(find /mnt/walked | wc -l) objects"
umount /mnt
