# The gateway and its client on one machine, as an analyst has them: a mount of localhost without options, once where nobody has
# port 111 and once beside rpcbind; and the programs that people run on a mount. Every check writes one line to /out/checks.
mkdir -p /mnt /out /tmp/copy
export HOME=/tmp PATH=/with/usr/bin:$PATH
check() { # NAME WANTED GOT
    if [ "$2" = "$3" ]; then echo "ok $1"; else printf 'not ok %s: wanted [%.600s], got [%.600s]\n' "$1" "$2" "$3"; fi >>/out/checks
}
succeeds() { # NAME COMMAND...: within 60 s
    local name=$1 words status; shift
    words=$(timeout 60 "$@" 2>&1); status=$?
    check "$name" 0 "$status$([ $status = 0 ] || echo " $words")"
}
forget() { sync; echo 3 >/proc/sys/vm/drop_caches; }

# ------------------------------------------------------------------------------------------------------------ the endpoint
T=/tmp/tree
mkdir -p $T/documents $T/many $T/repository
echo "read me" >$T/readme.txt
head -c 3000001 /dev/urandom >$T/large.bin
for n in $(seq 40); do echo "file $n" >$T/many/$n; done
touch -d '2001-02-03 04:05:06.123456789' $T/documents/old
touch -d '2031-02-03 04:05:06.000000001' $T/documents/new
touch -d '2020-01-01' $T/documents/middle
ln -s ../readme.txt $T/documents/link
sqlite3 $T/numbers.db 'create table n(x integer); with recursive c(x) as (select 1 union all select x+1 from c where x<5000) insert into n select x from c;'
python3 - $T/wal.db <<'END'
import os, sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute("pragma journal_mode=wal")
db.execute("create table n(x)")
db.executemany("insert into n values (?)", [(x,) for x in range(100)])
db.commit()
os._exit(0) # the log stays, as on a machine that runs
END
git -C $T/repository init -q --template=
mkdir $T/repository/src; for n in $(seq 15 18); do echo "int needle_$n;" >$T/repository/src/$n.c; done
git -C $T/repository add .
git -C $T/repository -c user.name=n -c user.email=e commit -qm "all of it"
chmod -R a+rX $T
stat -c '%X %x %y %z %s %h' $T/readme.txt | cut -d' ' -f2- >/tmp/times

# ------------------------------------------------------------------------------------------------------- the gateway's start
start() {
    : >/tmp/ready
    /share/raptorgate demo --artifacts --json --state /tmp/state --root $T --flows-per-hour 5000 >/tmp/ready 2>>/tmp/log 8<&- 9<&- &
    GATEWAY=$!
    local n=0
    until grep -q client_id /tmp/ready; do
        n=$((n + 1)); [ $n -lt 300 ] || { tail -n 30 /tmp/log >&2; exit 1; }
        sleep 0.1
    done
    CLIENT=$(python3 -c 'import json,sys
for line in open("/tmp/ready"):
    if line.startswith("{"):
        print(next(c["client_id"] for c in json.loads(line)["clients"] if c["root"] == "/tmp/tree"))')
}

mounted() { # WHERE: the mount without options, its locks, its end
    succeeds "$1: mount" mount -t nfs localhost:/$CLIENT /mnt
    check "$1: list" "$(ls $T)" "$(ls /mnt/auto)"
    check "$1: read" "read me" "$(cat /mnt/auto/readme.txt)"
    check "$1: locks are not switched off" 0 "$(grep -c 'local_lock=[^n]' /proc/mounts)"
    succeeds "$1: flock" flock -s /mnt/auto/readme.txt true
    succeeds "$1: fcntl" python3 -c 'import fcntl
file = open("/mnt/auto/readme.txt", "rb")
fcntl.lockf(file, fcntl.LOCK_SH)
fcntl.lockf(file, fcntl.LOCK_UN)'
    succeeds "$1: showmount" showmount -e localhost
    succeeds "$1: rpcinfo" rpcinfo -p localhost
    [ -n "$2" ] || succeeds "$1: umount" umount /mnt
}

# The gateway's own verb, with the kernel's own client: the endpoint, a directory of it, and their end.
by_the_verb() { # WHERE
    succeeds "$1: raptorgate mount" /share/raptorgate mount --state /tmp/state $CLIENT /tmp/verb
    check "$1: raptorgate mount: read" "read me" "$(cat /tmp/verb/auto/readme.txt)"
    for option in ro nosuid nodev noexec; do
        check "$1: raptorgate mount: $option" 1 "$(grep ' /tmp/verb ' /proc/mounts | cut -d' ' -f4 | tr , '\n' | grep -c "^$option\$")"
    done
    succeeds "$1: raptorgate mount: a directory" /share/raptorgate mount --state /tmp/state $CLIENT/auto/many "/tmp/a directory"
    check "$1: raptorgate mount: a directory: read" "file 7" "$(cat "/tmp/a directory/7")"
    succeeds "$1: raptorgate umount: a directory" /share/raptorgate umount --state /tmp/state "/tmp/a directory"
    check "$1: raptorgate umount: one went" "/tmp/verb" "$(awk '$3 == "nfs" {print $2}' /proc/mounts)"
    succeeds "$1: raptorgate umount" /share/raptorgate umount --state /tmp/state $CLIENT
    check "$1: raptorgate umount: none is left" "" "$(awk '$3 == "nfs" {print $2}' /proc/mounts)"
}

start
by_the_verb "own portmapper"
mounted "own portmapper"
# Over IPv6.
if [ -e /proc/net/if_inet6 ]; then
    succeeds "::1: mount" mount -t nfs "[::1]:/$CLIENT" /mnt
    check "::1: read" "read me" "$(cat /mnt/auto/readme.txt)"
    succeeds "::1: umount" umount /mnt
fi
kill $GATEWAY; wait $GATEWAY
check "ends well" 0 $?
rpcbind -w 2>/dev/null
until rpcinfo -p 127.0.0.1 >/dev/null 2>&1; do sleep 0.1; done
start
mounted "rpcbind" stays
check "rpcbind knows NFS" "100003" "$(rpcinfo -p localhost | awk '$1 == 100003 {print $1; exit}')"

# ------------------------------------------------------------------------------------------------------------- the programs
M=/mnt/auto
check "stat: access, modification, change, size, links" "$(cat /tmp/times)" "$(stat -c '%X %x %y %z %s %h' $M/readme.txt | cut -d' ' -f2-)"
check "stat: no birth in NFSv3" "0" "$(stat -c %W $M/readme.txt)"
check "stat -f" "nfs" "$(stat -f -c %T $M)"
check "df" "localhost:/$CLIENT /mnt" "$(df --output=source,target $M | tail -n1 | tr -s ' ')"
check "find -newer" "./documents/new" "$(cd $M && find ./documents -type f -newer documents/middle)"
check "find ! -newer" "./documents/middle ./documents/old" "$(cd $M && find ./documents -type f ! -newer documents/middle | sort | tr '\n' ' ' | sed 's/ $//')"
check "find -size" "./large.bin" "$(cd $M && find . -size +2M)"
check "du -b" "$(cd $T && du -ab --apparent-size many | grep -c /)" "$(cd $M && du -ab --apparent-size many | grep -c /)"
tar -C $M -cf - documents many readme.txt large.bin | tar -C /tmp/copy -xf -
check "tar" "" "$(cd $T && for f in documents many readme.txt large.bin; do diff -r $f /tmp/copy/$f; done 2>&1)"
check "tar: times" "$(stat -c %y $T/documents/old | cut -c1-19)" "$(stat -c %y /tmp/copy/documents/old | cut -c1-19)"
rm -rf /tmp/copy/*
succeeds "rsync" rsync -rlt $M/ /tmp/copy/
check "rsync: again moves nothing" "" "$(rsync -rltcni --omit-dir-times $M/ /tmp/copy/ 2>&1)"
check "rsync: the same as on the endpoint" "" "$(rsync -rltcni --omit-dir-times --delete $T/ /tmp/copy/ 2>&1)"
check "git grep" "src/17.c:int needle_17;" "$(cd $M/repository && git -c safe.directory='*' grep needle_17)"
check "git log" "all of it" "$(cd $M/repository && git -c safe.directory='*' log --format=%s)"
check "git diff" "" "$(cd $M/repository && git -c safe.directory='*' -c core.fileMode=false diff HEAD 2>&1)"
check "SQLite" "12502500" "$(sqlite3 -readonly $M/numbers.db 'select sum(x) from n')"
check "SQLite: integrity" "ok" "$(sqlite3 -readonly $M/numbers.db 'pragma integrity_check')"
check "SQLite: a log beside it" "100" "$(cp $M/wal.db* /tmp/copy/ && sqlite3 /tmp/copy/wal.db 'select count(*) from n')"
forget
check "mmap" "$(sha256sum <$T/large.bin)" "$(python3 -c 'import hashlib, mmap, sys
with open(sys.argv[1], "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as view:
    for at in range(len(view) - 1, 0, -99991): view[at] # from the end, page by page
    print(hashlib.sha256(view).hexdigest() + "  -")' $M/large.bin)"
forget
check "direct I/O" "$(sha256sum <$T/large.bin)" "$(dd if=$M/large.bin iflag=direct bs=64k status=none | sha256sum)"
check "lseek and pread" "$(dd if=$T/large.bin bs=1 skip=2999990 count=100 status=none | od -c)" "$(dd if=$M/large.bin bs=1 skip=2999990 count=100 status=none | od -c)"
exec 9<$M/readme.txt
check "lsof" "$M/readme.txt" "$(lsof -w -a -p $$ -d 9 -Fn 2>/dev/null | sed -n 's/^n//p' | cut -d' ' -f1)"
check "lsof +D" 1 "$(lsof -w -a -p $$ +d $M 2>/dev/null | grep -c ' 9r')"
exec 9<&-
check "flock: two readers" "both" "$(flock -s $M/readme.txt timeout 20 flock -s $M/readme.txt echo both)"
check "fcntl: two readers, a range" "both" "$(timeout 60 python3 -c 'import fcntl, os, sys
one = open(sys.argv[1], "rb")
fcntl.lockf(one, fcntl.LOCK_SH | fcntl.LOCK_NB, 4, 0)
if os.fork() == 0:
    other = open(sys.argv[1], "rb")
    fcntl.lockf(other, fcntl.LOCK_SH | fcntl.LOCK_NB, 6, 2)
    os._exit(0)
print("both" if os.wait()[1] == 0 else "one")' $M/readme.txt 2>&1)"
check "pathconf" "255 1" "$(python3 -c 'import os; print(os.pathconf("/mnt/auto", "PC_NAME_MAX"), os.pathconf("/mnt/auto", "PC_NO_TRUNC"))')"
check "name of 255 bytes" "absent" "$(n=$(printf 'x%.0s' $(seq 255)); [ -e $M/$n ] || echo absent)"
check "name of 256 bytes" "File name too long" "$(n=$(printf 'x%.0s' $(seq 256)); LC_ALL=C stat $M/$n 2>&1 | sed 's/.*: //')"
check "writing" "Read-only file system" "$(LC_ALL=C touch $M/new 2>&1 | sed 's/.*: //')"

# ------------------------------------------------------------------------------------- the gateway dies under the mount
exec 8<$M/large.bin
head -c 100000 <&8 >/tmp/part
kill -9 $GATEWAY; wait $GATEWAY 2>/dev/null
forget
cat $M/readme.txt >/tmp/during 2>&1 &
READER=$!
start
wait $READER
check "killed: a read that waited" "read me" "$(cat /tmp/during)"
cat <&8 >>/tmp/part; exec 8<&-
check "killed: an open file" "$(sha256sum <$T/large.bin)" "$(sha256sum </tmp/part)"
succeeds "killed: a lock afterwards" flock -s $M/readme.txt true
succeeds "umount" umount /mnt
check "dmesg" "" "$(dmesg | grep -i -e 'not responding' -e 'nfs:.*error' -e stale -e oops -e 'bad cookie' -e 'directory loop')"
kill $GATEWAY; wait $GATEWAY
check "rpcbind forgets" "" "$(rpcinfo -p localhost | awk '$1 == 100003 || $1 == 100005')"
echo end >>/out/checks
tail -n 40 /tmp/log >/out/log
exit 0
