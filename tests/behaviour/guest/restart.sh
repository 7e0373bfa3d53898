# Holds a mount and an open file while the server ends and starts again.
set -e
mkdir -p /mnt
mount -t nfs -o "$OPTIONS" "$HOST:$EXPORT" /mnt
# The page cache of the client must not answer in place of the server.
forget() { sync; echo 3 >/proc/sys/vm/drop_caches; }
pause() { echo "@$1"; read -r _; }
whole() { sha256sum | cut -d' ' -f1; }

exec 5</mnt/pictures/large.bin
dd bs=65536 count=1 status=none <&5 >/tmp/head
ls /mnt/documents /mnt/documents/letters >/tmp/before
cat /mnt/documents/report.txt | whole >/tmp/report
cd /mnt/documents
pause mounted

check() {
    forget
    ls . letters | sed 's,^letters:$,/mnt/documents/letters:,; s,^\.:$,/mnt/documents:,' >/tmp/after
    cmp /tmp/before /tmp/after
    [ "$(cat report.txt | whole)" = "$(cat /tmp/report)" ]
    # The open file: what is left of it now, and all of it by its name.
    [ "$(cat /mnt/pictures/large.bin | whole)" = "$SUM" ]
    dd bs=65536 count=1 status=none <&5 >>/tmp/head
}
check
pause read
check
pause read
check
cat <&5 >>/tmp/head
[ "$(whole </tmp/head)" = "$SUM" ]
pause "read offline"
exec 5<&-
cd /
umount /mnt
