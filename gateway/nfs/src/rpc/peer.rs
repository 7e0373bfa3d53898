//! The other end of a connection, or the sender of a datagram.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::sync::Semaphore;
use vfs::{Call, Principal};

use crate::peer::{Policies, Sign, Treatment};

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
    /// How it is treated until it shows what it is.
    first: Treatment,
    /// How it is treated from then on, or by rule.
    settled: OnceLock<Treatment>,
    has_been_refused: AtomicBool,
    /// KiB of READ that may be waited for at a time.
    pub reading: Arc<Semaphore>,
}

impl Peer {
    pub(crate) fn new(address: SocketAddr, local: SocketAddr, transport: Transport, policies: &Policies) -> Peer {
        let address = canonical(address);
        Peer {
            address,
            local: canonical(local),
            transport,
            security: Security::Plain,
            first: policies.at_first(address.ip()),
            settled: policies.by_rule(address.ip()).map_or_else(OnceLock::new, OnceLock::from),
            has_been_refused: AtomicBool::new(false),
            reading: Arc::new(Semaphore::new(policies.reading_kib())),
        }
    }

    /// The same peer after a handshake: the certificate that it has shown says for whom it asks.
    pub(crate) fn over_tls(&self, certified: Option<Principal>) -> Peer {
        let security = if certified.is_some() { Security::Certified } else { Security::Encrypted };
        let principal = certified.unwrap_or_else(|| self.call().principal.clone());
        let settled = self.settled.get().map(|treatment| treatment.of(&principal));
        Peer {
            address: self.address,
            local: self.local,
            transport: self.transport,
            security,
            first: self.first.of(&principal),
            settled: settled.map_or_else(OnceLock::new, OnceLock::from),
            has_been_refused: AtomicBool::new(false),
            reading: self.reading.clone(),
        }
    }

    /// TLS can begin on a connection that has none yet.
    pub(crate) fn may_start_tls(&self) -> bool {
        self.transport == Transport::Tcp && self.security == Security::Plain
    }

    /// How it is treated.
    #[inline]
    pub(crate) fn treatment(&self) -> &Treatment {
        self.settled.get().unwrap_or(&self.first)
    }

    /// What every question to the VFS carries.
    #[inline]
    pub(crate) fn call(&self) -> &Arc<Call> {
        &self.treatment().call
    }

    /// Looks for a sign of what it is, until one has been found.
    #[inline]
    pub(crate) fn look(&self, sign: impl FnOnce() -> Option<Sign>) {
        if self.settled.get().is_none()
            && let Some(sign) = sign()
        {
            // Somebody else's sign, found at the same moment, is as good.
            let _ = self.settled.set(self.first.after(sign));
        }
    }

    /// Whether this is the first time that a call of it is refused.
    pub(crate) fn is_first_refusal(&self) -> bool {
        !self.has_been_refused.swap(true, Ordering::Relaxed)
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
