# Mounts, and writes down the whole tree: names, types, sizes, times, modes, owners, links; and the sums of all files.
set -e
mkdir -p /mnt /out
mount -t nfs ${OPTIONS:+-o "$OPTIONS"} "$HOST:$EXPORT" /mnt
cd "/mnt$FOLDER"
find . -mindepth 1 -printf '%P\0%y\0%s\0%T@\0%m\0%U:%G\0%l\0' >/out/objects
if [ -z "$NO_CONTENT" ]; then
    find . -type f -not -path './many/*' -print0 | xargs -0 -r sha256sum -z >/out/sums
    # Sizes and times are those of what was read (D5, D7): written down again after reading.
    find . -mindepth 1 -printf '%P\0%y\0%s\0%T@\0%m\0%U:%G\0%l\0' >/out/objects-after
fi
cd /
umount /mnt
