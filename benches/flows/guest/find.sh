# Walks a tree, and tells when the first names came and when all were there.
set -e
mkdir -p /mnt
walk() { # NAME
    mount -t nfs -o "$OPTIONS" "$HOST:$EXPORT" /mnt
    echo "@mounted"
    read -r _
    # find writes into a pipe by 4 KiB: that many names are the first ones.
    find /mnt/walked | { read -r _; read -r _; echo "@first"; echo "@found $(($(wc -l) + 2))"; }
    umount /mnt
}
walk
read -r _
walk
