# One file does not come: everything else on the mount goes on, the kernel does not complain, and whoever waits can stop.
set -e
mkdir -p /mnt
mount -t nfs -o "$OPTIONS" "$HOST:$EXPORT" /mnt
pause() { echo "@$1"; read -r _; }
complaints() { dmesg | grep -ci -e 'not responding' -e 'nfs:.*error' -e 'timed out' || true; }
# How often the server said "later": the 25th of the mount's events.
jukeboxes() { awk '/mounted on .mnt / {here = 1} here && /events:/ {print $26; exit}' /proc/self/mountstats; }
alive() { kill -0 "$1" 2>/dev/null && echo waits || echo ended; }
interrupt() { # PID: as ^C does; says how many seconds it took, or that it did not help
    local n=0
    kill -INT "$1"
    while kill -0 "$1" 2>/dev/null; do
        n=$((n + 1)); [ $n -lt 50 ] || { echo "cannot be stopped"; return; }
        sleep 0.1
    done
    echo stopped
}
ls /mnt /mnt/documents >/dev/null
pause listed

# A shell's background job ignores ^C: told otherwise.
env --default-signal=INT cat /mnt/readme.txt & FIRST=$!
env --default-signal=INT cat /mnt/readme.txt & SECOND=$!
sleep 1
echo "during: $(alive $FIRST) $(alive $SECOND)"
pause waits
# The same mount, the same connection.
[ "$(timeout 20 cat /mnt/documents/report.txt | sha256sum | cut -d' ' -f1)" = "$SUM" ] && echo "another file: right"
[ "$(timeout 20 ls /mnt/documents/letters)" = one.txt ] && echo "another directory: right"
timeout 5 stat /mnt/readme.txt >/dev/null && echo "its attributes: told"
echo "during: $(alive $FIRST) $(alive $SECOND), complaints $(complaints), later $(jukeboxes)"
echo "^C while it is held: $(interrupt $SECOND)"
n=0; until [ "$(jukeboxes)" -gt 0 ]; do n=$((n + 1)); [ $n -lt 60 ]; sleep 1; done
echo "after: $(alive $FIRST), complaints $(complaints)"
echo "^C after later: $(interrupt $FIRST)"
timeout 5 ls /mnt >/dev/null && echo "the mount: good"
umount /mnt
