# What a flow uploaded, through the kernel: listed, read whole, and never written.
set -e
mkdir -p /mnt /out
mount -t nfs -o "$OPTIONS" "$HOST:$EXPORT" /mnt
(cd /mnt/collected && echo *) >/out/folders
cd "/mnt/collected/$FOLDER"
find . -type f -printf '%P\0' | LC_ALL=C sort -z | xargs -0 sha256sum >/out/sums
touch auto/case/new 2>/out/refused && exit 1
cd /
umount /mnt
