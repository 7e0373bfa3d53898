# NFS over TLS: tlshd does the handshakes for the kernel. Mounts by every way that PLAIN, TLS and MTLS (hosts' ports) allow.
set -e
mkdir -p /mnt /out /certs
printf '%s' "$CA" >/certs/ca.pem
printf '%s' "$CERTIFICATE" >/certs/client.pem
printf '%s' "$KEY" >/certs/client.key
chmod 600 /certs/client.key
cat >/etc/tlshd.conf <<END
[debug]
loglevel=1
tls=1
[authenticate.client]
x509.truststore= /certs/ca.pem
x509.certificate= /certs/client.pem
x509.private_key= /certs/client.key
END
for module in tls gcm ctr ghash-generic; do modprobe -q $module || true; done
tlshd -c /etc/tlshd.conf -s >/out/tlshd 2>&1 &
sleep 0.5

for protection in tls mtls; do
    if mount -t nfs -o "ro,$OPTIONS,xprtsec=$protection" "$HOST:/$CLIENT" /mnt 2>/out/complaint-$protection; then
        sed -n 's/.* .mnt .*[ ,]\(xprtsec=[^, ]*\).*/\1/p' /proc/mounts >/out/mounted-$protection
        (cd /mnt/auto && echo *) >/out/list-$protection
        sha256sum </mnt/auto/pictures/large.bin >/out/sum-$protection
        umount /mnt
    fi
done
if mount -t nfs -o "ro,$OPTIONS" "$HOST:/$CLIENT" /mnt 2>/out/complaint-none; then
    echo mounted >/out/mounted-none
    umount /mnt
fi
grep -v '[[:space:]]0$' /proc/net/tls_stat >/out/kernel || true
