//! rpcbind versions 3 and 4 (RFC 1833 §2): universal addresses instead of ports.

use vfs::{Clock, SystemClock};

use super::may_register;
use super::registry::{Entry, Protocol, Registry, netid};
use crate::rpc::{Decoder, Refusal, Reply, Request, Transport};

const NETID_LIMIT: usize = 32;
const ADDRESS_LIMIT: usize = 128;
const OWNER_LIMIT: usize = 128;
/// `NC_TPI_CLTS` and `NC_TPI_COTS_ORD`.
const DATAGRAMS: u32 = 1;
const ORDERED_STREAM: u32 = 3;

pub(super) fn call(
    registry: &Registry,
    request: &Request<'_>,
    arguments: &mut Decoder<'_>,
    reply: &mut Reply,
) -> Result<(), Refusal> {
    match (request.procedure, request.version) {
        (0, _) => {}
        (1, _) => {
            let asked = read(arguments)?;
            let done = may_register(request) && registry.set(asked);
            reply.boolean(done);
        }
        (2, _) => {
            let asked = read(arguments)?;
            let netid = (!asked.netid.is_empty()).then_some(asked.netid.as_str());
            let done = may_register(request) && registry.unset(asked.program, asked.version, netid);
            reply.boolean(done);
        }
        // GETADDR of both versions, GETVERSADDR of version 4.
        (3, _) | (9, 4) => {
            let asked = read(arguments)?;
            let netid = known_netid(&asked.netid).unwrap_or_else(|| own_netid(request));
            reply.opaque(registry.address(asked.program, asked.version, netid, request.peer).as_bytes());
        }
        (4, _) => {
            for entry in registry.entries(request.peer) {
                reply.boolean(true);
                put(reply, &entry);
            }
            reply.boolean(false);
        }
        (6, _) => reply.u32(u32::try_from(SystemClock.now().seconds).unwrap_or(u32::MAX)),
        (11, 4) => {
            let asked = read(arguments)?;
            for entry in registry.entries(request.peer) {
                if (entry.program, entry.version) == (asked.program, asked.version) {
                    reply.boolean(true);
                    put_way(reply, &entry);
                }
            }
            reply.boolean(false);
        }
        _ => return Err(Refusal::ProcedureUnavailable),
    }
    Ok(())
}

fn read(arguments: &mut Decoder<'_>) -> Result<Entry, Refusal> {
    Ok(Entry {
        program: arguments.u32()?,
        version: arguments.u32()?,
        netid: arguments.text(NETID_LIMIT)?.to_owned(),
        address: arguments.text(ADDRESS_LIMIT)?.to_owned(),
        owner: arguments.text(OWNER_LIMIT)?.to_owned(),
    })
}

fn put(reply: &mut Reply, entry: &Entry) {
    reply.u32(entry.program);
    reply.u32(entry.version);
    for text in [&entry.netid, &entry.address, &entry.owner] {
        reply.opaque(text.as_bytes());
    }
}

/// `rpcb_entry`: address, netid, semantics, family, protocol.
fn put_way(reply: &mut Reply, entry: &Entry) {
    let is_v6 = entry.netid.ends_with('6');
    let is_tcp = entry.netid.starts_with("tcp");
    reply.opaque(entry.address.as_bytes());
    reply.opaque(entry.netid.as_bytes());
    reply.u32(if is_tcp { ORDERED_STREAM } else { DATAGRAMS });
    reply.opaque(if is_v6 { b"inet6" } else { b"inet" });
    reply.opaque(if is_tcp { b"tcp" } else { b"udp" });
}

fn known_netid(asked: &str) -> Option<&'static str> {
    ["tcp", "udp", "tcp6", "udp6"].into_iter().find(|known| *known == asked)
}

/// The transport that the question itself came over.
fn own_netid(request: &Request<'_>) -> &'static str {
    let protocol = match request.peer.transport {
        Transport::Tcp => Protocol::Tcp,
        Transport::Udp => Protocol::Udp,
    };
    netid(protocol, request.peer.address.is_ipv6())
}
