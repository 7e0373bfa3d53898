# A large directory: at first, again, and with the attributes of every entry.
set -e
mkdir -p /mnt /out
mount -t nfs -o "$OPTIONS" "$HOST:$EXPORT" /mnt
now() { cut -d' ' -f1 /proc/uptime; }
timed() { # NAME COMMAND...
    local name=$1 from; shift
    from=$(now)
    "$@"
    echo "$name $(busybox awk -v a="$from" -v b="$(now)" 'BEGIN {print b - a}') s" >>/out/seconds
}
ls -U /mnt >/dev/null
timed first ls -U "/mnt/$FOLDER" >/out/first
timed again ls -U "/mnt/$FOLDER" >/out/again
long() { ls -Ul "/mnt/$FOLDER" | busybox awk 'NR > 1 {print $NF}'; }
timed long long >/out/long
umount /mnt
