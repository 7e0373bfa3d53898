# What a hostile endpoint could do to the machine that mounts it, on a mount without any protecting option.
mkdir -p /mnt /out
mount -t nfs -o "$OPTIONS" "$HOST:$EXPORT" /mnt || exit 1
cd "/mnt$FOLDER" || exit 1

stat -c '%a %F' setuid pipe >/out/both || exit 1
sed -n 1p /out/both >/out/setuid
sed -n 2p /out/both >/out/pipe
stat -c '%a %F %t:%T' memory >/out/memory
stat -c '%a %F %t:%T' disk >/out/disk
for link in absolute climbing inside; do
    readlink $link >/out/$link
done
cat absolute >/out/absolute.content
cat climbing >/out/climbing.content

# Each of these must fail, and at once: a pipe that hangs is a failure, too.
fails() { # NAME COMMAND...
    local name=$1; shift
    timeout 10 "$@" >/dev/null 2>&1
    case $? in 0) echo succeeded ;; 124) echo hung ;; *) echo failed ;; esac >/out/$name
}
fails memory.read dd if=memory of=/dev/null bs=16 count=1
fails disk.read dd if=disk of=/dev/null bs=512 count=1
fails pipe.read cat pipe
fails setuid.run ./setuid

chmod 777 setuid 2>/out/chmod
{
    touch new
    : >>setuid
    mkdir folder
    rm -f setuid
    mv setuid moved
    ln setuid hard
    ln -s setuid soft
    cat /out/chmod >&2
} 2>/out/writes
cd /
umount /mnt
