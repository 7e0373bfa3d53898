# What the portmapper of the host knows.
mkdir -p /out
rpcinfo -p "$HOST" >/out/services
