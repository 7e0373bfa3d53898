# Reads, loses the endpoint, reads again: what was read before must be there, the rest must be refused at once.
set -e
mkdir -p /mnt
mount -t nfs -o "$OPTIONS" "$HOST:$EXPORT" /mnt
forget() { sync; echo 3 >/proc/sys/vm/drop_caches; }
pause() { echo "@$1"; read -r _; }
sum() { sha256sum | cut -d' ' -f1; }
refused() { # COMMAND...: must fail within 15 s, with an error and not with silence
    local words status=0
    words=$(timeout 15 "$@" 2>&1) || status=$?
    [ $status != 124 ] || words="hangs"
    [ $status != 0 ] || words="succeeded: $words"
    echo "refused: $*: ${words##*$'\n'}"
}

ls /mnt >/tmp/root
ls /mnt/documents >/tmp/documents
[ "$(cat /mnt/documents/report.txt | sum)" = "$SUM" ]
pause cached

forget
ls /mnt | cmp - /tmp/root
ls /mnt/documents | cmp - /tmp/documents
[ "$(cat /mnt/documents/report.txt | sum)" = "$SUM" ]
refused ls /mnt/far
refused ls /mnt/far/away/down
refused cat /mnt/readme.txt
pause away

# It is back: noticed by whoever asks again.
tries=0
until timeout 60 cat /mnt/far/away/down/here.txt 2>/dev/null; do
    tries=$((tries + 1))
    [ $tries -lt 100 ]
    sleep 1
done
cat /mnt/readme.txt
umount /mnt
