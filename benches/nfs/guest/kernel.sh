# The work of people and programs on a mount, on each server in turn: once to fill the server's cache, then RUNS times with a client
# that knows nothing yet. Prints `@SERVER {"work":milliseconds,…}`.
set -e
mkdir -p /mnt
now() { date +%s%N; }
work() { # NAME COMMAND...
    name=$1 from=$(now)
    shift
    "$@" >/tmp/out
    [ -s /tmp/out ]
    line="$line\"$name\":$((($(now) - from) / 1000000)),"
}
cat_all() { find /mnt/small -type f -print0 | xargs -0 cat; }
all() { # SERVER EXPORT PORT MOUNT_PORT
    mount -t nfs -o "ro,vers=3,tcp,nolock,port=$3,mountport=$4" "$HOST:$2" /mnt
    line=
    work ls ls -l /mnt/small
    work find find /mnt/tree
    work sha256sum sha256sum /mnt/large
    work cat cat_all
    umount /mnt
    if [ "$5" = told ]; then echo "@$1 {${line%,}}"; fi
}
for run in $(seq 0 "$RUNS"); do
    told=told
    if [ "$run" = 0 ]; then told=; fi
    all raptorgate "/$CLIENT/auto" 2049 2049 $told
    all nfs-ganesha /export 12049 12048 $told
done
