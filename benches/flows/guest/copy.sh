# Lists a directory of small files, copies it, and tells how many there are and their sum.
set -e
mkdir -p /mnt /copy
mount -t tmpfs none /copy
mount -t nfs -o "$OPTIONS" "$HOST:$EXPORT" /mnt
ls -l "/mnt/$FOLDER" >/dev/null
echo "@listed"
read -r _
cp -r "/mnt/$FOLDER" /copy/copy
echo "@copied $(ls /copy/copy | wc -l)"
cd /copy/copy
echo "@sum $(cat * | sha256sum | cut -d' ' -f1)"
cd /
umount /mnt
