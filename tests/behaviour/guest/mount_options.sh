# Mounts from another machine, in every way that the documents name. Every check writes one line to /out/checks.
mkdir -p /mnt /out /tmp/copy
check() { # NAME WANTED GOT
    if [ "$2" = "$3" ]; then echo "ok $1"; else printf 'not ok %s: wanted [%.600s], got [%.600s]\n' "$1" "$2" "$3"; fi >>/out/checks
}
succeeds() { # NAME COMMAND...: within 60 s
    local name=$1 words status; shift
    words=$(timeout 60 "$@" 2>&1); status=$?
    check "$name" 0 "$status$([ $status = 0 ] || echo " $words")"
}
all_of_it() { # NAME SOURCE OPTIONS: mounts, reads, unmounts
    succeeds "$1: mount" mount -t nfs ${3:+-o "$3"} "$2" /mnt
    check "$1: list" "documents empty pictures readme.txt" "$(cd /mnt && echo *)"
    check "$1: names further down" "1" "$(find /mnt/documents -name one.txt | wc -l)"
    check "$1: content" "$LARGE  -" "$(sha256sum </mnt/pictures/large.bin)"
    check "$1: flock" "locked" "$(timeout 20 flock -s /mnt/readme.txt echo locked 2>&1)"
    succeeds "$1: umount" umount /mnt
}

for options in '' nconnect=4 soft ro sync noac ro,nosuid,nodev,noexec rsize=4096 nordirplus \
    lookupcache=none noresvport nconnect=4,soft,ro,sync,noac; do
    all_of_it "options '$options'" "$HOST:/$CLIENT/auto" "$options"
done
if [ -n "$HOST6" ]; then
    for options in '' nconnect=4; do all_of_it "IPv6 '$options'" "[$HOST6]:/$CLIENT/auto" "$options"; done
    succeeds "IPv6: showmount" showmount -e "$HOST6"
    # rpcinfo of Debian knows no literal: a name leads there.
    echo "$HOST6 host6" >>/etc/hosts
    succeeds "IPv6: rpcinfo" rpcinfo host6
else
    echo "ok IPv6: none here" >>/out/checks
fi

succeeds "four connections: mount" mount -t nfs -o nconnect=4 "$HOST:/$CLIENT/auto" /mnt
for n in 1 2 3 4 5 6 7 8; do dd if=/mnt/pictures/large.bin of=/dev/null iflag=direct bs=64k status=none & done; wait
check "four connections" 4 "$(grep -c 'xprt:.tcp' /proc/self/mountstats)"
succeeds "four connections: umount" umount /mnt

# ---------------------------------------------------------------------------------------------------------- places
all_of_it "/by-name" "$HOST:/by-name/$HOSTNAME_OF_CLIENT/auto" ''
succeeds "subpath: mount" mount -t nfs "$HOST:/$CLIENT/auto/documents/letters" /mnt
check "subpath: list" "one.txt" "$(ls /mnt)"
succeeds "subpath: umount" umount /mnt
succeeds "drive: mount" mount -t nfs "$HOST:/$WINDOWS/auto/C:/Users" /mnt
check "drive: there are users" "yes" "$([ -n "$(ls /mnt)" ] && echo yes)"
succeeds "drive: umount" umount /mnt
check "a file is no mount" "refused" "$(timeout 60 mount -t nfs "$HOST:/$CLIENT/auto/readme.txt" /mnt 2>/dev/null || echo refused)"
check "an unknown endpoint" "refused" "$(timeout 60 mount -t nfs "$HOST:/C.0000000000000000" /mnt 2>/dev/null || echo refused)"

succeeds "/: mount" mount -t nfs "$HOST:/" /mnt
check "/: list" "$(echo by-name; for c in $CLIENTS; do echo $c; done | sort)" "$(ls /mnt | (echo by-name; grep -v by-name) )"
check "/: through by-name" "read me" "$(cat "/mnt/by-name/$HOSTNAME_OF_CLIENT/auto/readme.txt")"
check "/: through the id" "read me" "$(cat "/mnt/$CLIENT/auto/readme.txt")"
ls "/mnt/$WINDOWS/auto" >/dev/null
# Each endpoint is a file system of its own: for stat, for df, for find -xdev.
check "/: three devices" 3 "$(stat -c %d /mnt "/mnt/$CLIENT/auto" "/mnt/$WINDOWS/auto" | sort -u | wc -l)"
check "/: three file system ids" 3 "$(awk '/^v3/ {print $4}' /proc/fs/nfsfs/volumes | sort -u | wc -l)"
check "/: df" "/mnt/$CLIENT" "$(df --output=target "/mnt/$CLIENT/auto" | tail -n1)"
check "/: stat -f" "nfs" "$(stat -f -c %T "/mnt/$CLIENT/auto")"
check "/: find -xdev stays" 0 "$(find /mnt -xdev -path "/mnt/$CLIENT/*" | wc -l)"
check "/: find goes on" 1 "$(find "/mnt/$CLIENT/auto/documents" -name one.txt | wc -l)"
succeeds "/: umount" umount -l /mnt
succeeds "/frozen" mount -t nfs "$HOST:/frozen/$CLIENT/auto" /mnt
check "/frozen: read" "read me" "$(cat /mnt/readme.txt)"
succeeds "/frozen: umount" umount /mnt

# ------------------------------------------------------------------------------------------ names that ignore case
handle() { # PATH: the handle that the server gave
    python3 -c 'import ctypes, os, sys
class Handle(ctypes.Structure):
    _fields_ = [("bytes", ctypes.c_uint), ("type", ctypes.c_int), ("handle", ctypes.c_ubyte * 128)]
handle, mount = Handle(128, 0), ctypes.c_int()
if ctypes.CDLL(None, use_errno=True).name_to_handle_at(-100, os.fsencode(sys.argv[1]), ctypes.byref(handle), ctypes.byref(mount), 0):
    sys.exit(os.strerror(ctypes.get_errno()))
print(bytes(handle.handle[:handle.bytes]).hex())' "$1" 2>&1
}
succeeds "case: mount" mount -t nfs "$HOST:/$WINDOWS" /mnt
listed=$(ls /mnt/auto/C: | grep -ix windows)
check "case: listed once" "Windows" "$listed"
check "case: any spelling" "$(ls "/mnt/auto/C:/$listed")" "$(ls /mnt/auto/C:/windows)"
check "case: one inode" 1 "$(stat -c %i /mnt/auto/C:/{Windows,windows,WINDOWS,wInDoWs} | sort -u | wc -l)"
one=$(handle /mnt/auto/C:/Windows)
check "case: a handle of 64 bytes and more" "yes" "$([ ${#one} -ge 128 ] && echo yes)"
check "case: one handle" "$one" "$(handle /mnt/auto/C:/windows)"
check "case: the drive, too" "$(stat -c %i /mnt/auto/C:)" "$(stat -c %i /mnt/auto/c:)"
check "case: absent is absent" "absent" "$([ -e /mnt/auto/C:/windowz ] || echo absent)"
check "case: pathconf" 255 "$(python3 -c 'import os; print(os.pathconf("/mnt/auto/C:/windows", "PC_NAME_MAX"))')"
succeeds "case: umount" umount /mnt
succeeds "case kept: mount" mount -t nfs "$HOST:/$CLIENT/auto" /mnt
check "case kept" "absent" "$([ -e /mnt/README.TXT ] || echo absent)"
succeeds "case kept: umount" umount /mnt

# ------------------------------------------------------------------------------------------- showmount and rpcinfo
check "showmount -e" "$(echo /; for c in $CLIENTS; do echo "/$c"; done | sort)" "$(showmount -e --no-headers "$HOST" | awk '{print $1}' | sort)"
check "showmount -a" "yes" "$(showmount -a --no-headers "$HOST" >/dev/null && echo yes)"
for service in 100003/3/tcp 100005/3/tcp 100005/3/udp 100021/4/tcp 100021/4/udp; do
    check "rpcinfo -p: $service" 1 "$(rpcinfo -p "$HOST" | awk -v s=$service '$1 "/" $2 "/" $3 == s' | sort -u | wc -l)"
done
check "rpcinfo: NFS answers" "program 100003 version 3 ready and waiting" "$(rpcinfo -T tcp "$HOST" 100003 3)"
check "rpcinfo: no NFSv4" "refused" "$(rpcinfo -T tcp "$HOST" 100003 4 >/dev/null 2>&1 || echo refused)"
check "vers=4" "refused" "$(timeout 60 mount -t nfs -o vers=4 "$HOST:/$CLIENT" /mnt 2>/dev/null || echo refused)"

# ---------------------------------------------------------------------------------- /etc/fstab and the automounter
sed "s/gateway\.example/$HOST/; s/C\.8d7b4a1f20c3e596/$CLIENT/; s/WORKSTATION-7/$HOSTNAME_OF_CLIENT/" /share/fstab.example >/etc/fstab
targets=$(awk '!/^#/ && NF {print $2}' /etc/fstab)
check "fstab: lines" "yes" "$([ "$(echo "$targets" | wc -l)" -ge 3 ] && echo yes)"
for target in $targets; do
    mkdir -p "$target"
    succeeds "fstab: mount $target" mount "$target"
    check "fstab: list $target" "yes" "$([ -n "$(ls "$target")" ] && echo yes)"
    succeeds "fstab: umount $target" umount "$target"
done

modprobe autofs4
cp /share/autofs/auto.raptorgate /etc/auto.raptorgate; chmod 755 /etc/auto.raptorgate
sed -i "s/^GATEWAY=.*/GATEWAY=$HOST/" /etc/auto.raptorgate
cp /share/autofs/raptorgate.autofs /etc/auto.master
echo 'automount: files' >>/etc/nsswitch.conf
printf '[ autofs ]\nlogging = verbose\n' >/etc/autofs.conf
mkdir -p /run/autofs /var/run /etc/default
# The kernel knows the automounter by its process group, which a script started by init does not have.
setsid automount -f /etc/auto.master >/tmp/automount 2>&1 &
AUTOMOUNT=$!
n=0; until grep -q ' /velociraptor autofs' /proc/mounts; do n=$((n + 1)); [ $n -lt 100 ] || break; sleep 0.1; done
[ $n -lt 100 ] || cat /tmp/automount >&2
check "autofs: by id" "read me" "$(timeout 60 cat "/velociraptor/$CLIENT/auto/readme.txt" 2>&1)"
check "autofs: by name" "read me" "$(timeout 60 cat "/velociraptor/$HOSTNAME_OF_CLIENT/auto/readme.txt" 2>&1)"
check "autofs: safe for the workstation" "ro nodev noexec nosuid" "$(for o in ro nodev noexec nosuid; do grep " /velociraptor/$CLIENT nfs [^ ]*\b$o\b" /proc/mounts >/dev/null && echo $o; done | tr '\n' ' ' | sed 's/ $//')"
check "autofs: what does not exist" "absent" "$(timeout 60 ls /velociraptor/C.0000000000000000 2>/dev/null || echo absent)"
check "autofs: names that programs try" "absent" "$(timeout 5 ls -d /velociraptor/.git 2>/dev/null || echo absent)"
kill $AUTOMOUNT; wait $AUTOMOUNT
check "autofs: ends" 0 "$(grep -c velociraptor /proc/mounts)"
cp /tmp/automount /out/automount

check "dmesg" "" "$(dmesg | grep -i -e 'not responding' -e 'nfs:.*error' -e stale -e oops -e 'bad cookie' -e 'directory loop')"
echo end >>/out/checks
