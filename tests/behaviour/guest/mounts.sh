# Mounts with no options at all, in every way that the printed commands name.
set -e
mkdir -p /mnt /out
list() { (cd "$1" && echo *); }

mount -t nfs "$HOST:/$CLIENT" /mnt
list /mnt/auto >/out/plain
cat /mnt/auto/readme.txt >/out/whole
sed -n 's/.* .mnt .*[ ,]\(vers=[^,]*\).*/\1/p' /proc/mounts >/out/version
timeout 20 flock -s /mnt/auto/readme.txt echo locked >/out/flock
umount /mnt

mount -t nfs "$HOST:/$CLIENT/auto/documents/letters" /mnt
list /mnt >/out/subpath
umount /mnt

mount -t nfs "$HOST:/" /mnt
list "/mnt/by-name/$HOSTNAME_OF_CLIENT/auto" >/out/by-name
umount /mnt

if timeout 60 mount -t nfs "$HOST:/C.0000000000000000" /mnt 2>/out/refusal; then
    echo mounted >/out/unknown
else
    echo refused >/out/unknown
fi
rpcinfo -p "$HOST" >/out/services
