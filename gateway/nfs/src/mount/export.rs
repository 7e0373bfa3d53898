//! EXPORT: what can be mounted.

use vfs::Vfs;

use crate::rpc::{Reply, Transport};

/// A reply in a datagram ends before this; over TCP the list is complete.
const DATAGRAM_ROOM: usize = 32 << 10;

/// `exports`: `/` and every endpoint, open to everybody whom the server answers.
pub(super) fn put(vfs: &Vfs, transport: Transport, reply: &mut Reply) {
    put_export(reply, "/");
    for status in vfs.endpoints() {
        if transport == Transport::Udp && reply.results() > DATAGRAM_ROOM {
            break;
        }
        put_export(reply, &format!("/{}", status.endpoint.id.client_id));
    }
    reply.boolean(false);
}

fn put_export(reply: &mut Reply, path: &str) {
    reply.boolean(true);
    reply.opaque(path.as_bytes());
    reply.boolean(false); // no groups: no restriction
}
