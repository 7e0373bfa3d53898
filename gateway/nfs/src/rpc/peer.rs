//! The other end of a connection, or the sender of a datagram.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::Semaphore;
use vfs::Call;

use crate::peer::{PeerKind, Policies};

/// How a call came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    /// Over a connection.
    Tcp,
    /// As a datagram.
    Udp,
}

/// Who is at the other end, and how it is to be treated.
#[derive(Debug)]
pub(crate) struct Peer {
    /// Its address; IPv4 stays IPv4 behind a dual-stack socket.
    pub address: SocketAddr,
    /// Our address, as the peer used it (unspecified for datagrams to a wildcard socket).
    pub local: SocketAddr,
    pub transport: Transport,
    /// Which client it is.
    pub kind: PeerKind,
    /// What every question to the VFS carries.
    pub call: Arc<Call>,
    /// KiB of READ that may be waited for at a time.
    pub reading: Arc<Semaphore>,
}

impl Peer {
    pub(crate) fn new(address: SocketAddr, local: SocketAddr, transport: Transport, policies: &Policies) -> Peer {
        let address = canonical(address);
        let kind = PeerKind::default();
        Peer {
            address,
            local: canonical(local),
            transport,
            kind,
            call: Arc::new(policies.call(kind, address.ip())),
            reading: Arc::new(Semaphore::new(policies.reading_kib())),
        }
    }

    pub(crate) fn is_loopback(&self) -> bool {
        self.address.ip().is_loopback()
    }

    /// Only privileged processes and kernels send from these.
    pub(crate) fn has_reserved_port(&self) -> bool {
        (1..1024).contains(&self.address.port())
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
