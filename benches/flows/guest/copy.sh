# Lists a directory of small files, copies it, and tells how many there are and their sum; then once more after a remount.
set -e
mkdir -p /mnt /copy
mount -t tmpfs none /copy
copy() { # TO
    mount -t nfs -o "$OPTIONS" "$HOST:$EXPORT" /mnt
    ls -l "/mnt/$FOLDER" >/dev/null
    if [ -n "$2" ]; then echo "@$2"; fi
    read -r _
    cp -r "/mnt/$FOLDER" "/copy/$1"
    echo "@copied $(ls "/copy/$1" | wc -l)"
    echo "@sum $(cat "/copy/$1"/* | sha256sum | cut -d' ' -f1)"
    umount /mnt
}
copy first listed
copy second
