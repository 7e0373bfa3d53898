//! The portmapper (RFC 1833): which program listens where. Version 2 (IPv4 only) and the versions 3 and 4 of rpcbind.
//!
//! What it says is true: it knows the programs of this server and those that local kernels register with it. It forwards no calls
//! (CALLIT, BCAST, INDIRECT): those have only ever served attackers.

mod address;
mod client;
mod guard;
mod registry;
mod rpcbind;
mod setup;
mod version2;

use std::sync::Arc;

pub(crate) use client::Client;
pub(crate) use registry::{Families, Mapping, Protocol, Registry};
pub use setup::PortmapStatus;
pub(crate) use setup::{Registered, register, without};

use crate::rpc::{Answer, Decoder, Refusal, Reply, Request, Service};

/// Program number.
pub(crate) const PROGRAM: u32 = 100_000;
/// Versions that are served.
pub(crate) const VERSIONS: [u32; 3] = [2, 3, 4];

const PROCEDURES: [&str; 13] = [
    "NULL",
    "SET",
    "UNSET",
    "GETPORT",
    "DUMP",
    "CALLIT",
    "GETTIME",
    "UADDR2TADDR",
    "TADDR2UADDR",
    "GETVERSADDR",
    "INDIRECT",
    "GETADDRLIST",
    "GETSTAT",
];

/// The program.
pub(crate) struct Portmap {
    registry: Arc<Registry>,
}

impl Portmap {
    pub(crate) fn new(registry: Arc<Registry>) -> Portmap {
        Portmap { registry }
    }
}

impl Service for Portmap {
    fn program(&self) -> u32 {
        PROGRAM
    }

    fn name(&self) -> &'static str {
        "portmap"
    }

    fn versions(&self) -> (u32, u32) {
        (VERSIONS[0], VERSIONS[2])
    }

    fn procedures(&self) -> &'static [&'static str] {
        &PROCEDURES
    }

    fn call(&self, request: &Request<'_>, arguments: &mut Decoder<'_>, reply: &mut Reply) -> Result<Answer, Refusal> {
        match request.version {
            2 => version2::call(&self.registry, request, arguments, reply)?,
            _ => rpcbind::call(&self.registry, request, arguments, reply)?,
        }
        Ok(Answer::Written)
    }
}

/// Whether this caller may change the table: privileged processes and the kernel of this machine.
fn may_register(request: &Request<'_>) -> bool {
    request.peer.is_loopback() && request.peer.has_reserved_port()
}
