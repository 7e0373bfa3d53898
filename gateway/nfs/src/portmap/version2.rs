//! Portmapper version 2 (RFC 1833 §3).

use super::address;
use super::may_register;
use super::registry::{Entry, Protocol, Registry, netid};
use crate::rpc::{Decoder, Refusal, Reply, Request};
use std::net::{Ipv4Addr, SocketAddr};

/// `mapping`: program, version, protocol, port.
struct Asked {
    program: u32,
    version: u32,
    protocol: u32,
    port: u32,
}

impl Asked {
    fn read(arguments: &mut Decoder<'_>) -> Result<Asked, Refusal> {
        Ok(Asked {
            program: arguments.u32()?,
            version: arguments.u32()?,
            protocol: arguments.u32()?,
            port: arguments.u32()?,
        })
    }
}

pub(super) fn call(
    registry: &Registry,
    request: &Request<'_>,
    arguments: &mut Decoder<'_>,
    reply: &mut Reply,
) -> Result<(), Refusal> {
    match request.procedure {
        0 => {}
        1 => {
            let asked = Asked::read(arguments)?;
            let done = may_register(request) && set(registry, &asked);
            reply.boolean(done);
        }
        2 => {
            let asked = Asked::read(arguments)?;
            let done = may_register(request) && registry.unset(asked.program, asked.version, None);
            reply.boolean(done);
        }
        3 => {
            let asked = Asked::read(arguments)?;
            let port = Protocol::from_number(asked.protocol)
                .map_or(0, |protocol| registry.port(asked.program, asked.version, protocol));
            reply.u32(u32::from(port));
        }
        4 => dump(registry, request, reply),
        _ => return Err(Refusal::ProcedureUnavailable),
    }
    Ok(())
}

fn set(registry: &Registry, asked: &Asked) -> bool {
    let (Some(protocol), Ok(port)) = (Protocol::from_number(asked.protocol), u16::try_from(asked.port)) else {
        return false;
    };
    registry.set(Entry {
        program: asked.program,
        version: asked.version,
        netid: netid(protocol, false).to_owned(),
        address: address::universal(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))),
        owner: "superuser".to_owned(),
    })
}

fn dump(registry: &Registry, request: &Request<'_>, reply: &mut Reply) {
    for entry in registry.entries(request.peer) {
        let protocol = match entry.netid.as_str() {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            _ => continue,
        };
        let Some(address) = address::socket(&entry.address) else { continue };
        reply.boolean(true);
        for word in [entry.program, entry.version, protocol as u32, u32::from(address.port())] {
            reply.u32(word);
        }
    }
    reply.boolean(false);
}
