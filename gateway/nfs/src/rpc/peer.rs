//! The other end of a connection, or the sender of a datagram.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Semaphore;
use vfs::{Call, Principal};

use crate::peer::{PeerKind, Policies};

/// How a call came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    /// Over a connection.
    Tcp,
    /// As a datagram.
    Udp,
}

/// What protects a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Security {
    /// Nothing.
    Plain,
    /// TLS; who is at the other end is not known.
    Encrypted,
    /// TLS, and the client has shown a certificate of our CA.
    Certified,
}

/// Who is at the other end, and how it is to be treated.
#[derive(Debug)]
pub(crate) struct Peer {
    /// Its address; IPv4 stays IPv4 behind a dual-stack socket.
    pub address: SocketAddr,
    /// Our address, as the peer used it (unspecified for datagrams to a wildcard socket).
    pub local: SocketAddr,
    pub transport: Transport,
    pub security: Security,
    /// Which client it is.
    pub kind: PeerKind,
    /// What every question to the VFS carries.
    pub call: Arc<Call>,
    /// KiB of READ that may be waited for at a time.
    pub reading: Arc<Semaphore>,
    /// The log knows that this peer was refused for want of TLS.
    complained: AtomicBool,
}

impl Peer {
    pub(crate) fn new(address: SocketAddr, local: SocketAddr, transport: Transport, policies: &Policies) -> Peer {
        let address = canonical(address);
        let kind = PeerKind::default();
        Peer {
            address,
            local: canonical(local),
            transport,
            security: Security::Plain,
            kind,
            call: Arc::new(policies.call(kind, address.ip())),
            reading: Arc::new(Semaphore::new(policies.reading_kib())),
            complained: AtomicBool::new(false),
        }
    }

    /// The same peer after a handshake: the certificate that it has shown says for whom it asks.
    pub(crate) fn over_tls(&self, certified: Option<Principal>) -> Peer {
        let security = if certified.is_some() { Security::Certified } else { Security::Encrypted };
        let principal = certified.unwrap_or_else(|| self.call.principal.clone());
        Peer {
            address: self.address,
            local: self.local,
            transport: self.transport,
            security,
            kind: self.kind,
            call: Arc::new(Call { principal, ..Call::clone(&self.call) }),
            reading: self.reading.clone(),
            complained: AtomicBool::new(false),
        }
    }

    /// TLS can begin on a connection that has none yet.
    pub(crate) fn may_start_tls(&self) -> bool {
        self.transport == Transport::Tcp && self.security == Security::Plain
    }

    /// True once: one line in the log is enough.
    pub(crate) fn complains(&self) -> bool {
        !self.complained.swap(true, Ordering::Relaxed)
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
