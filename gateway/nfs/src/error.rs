//! Why a server does not start.

use std::io;
use std::net::SocketAddr;

/// Why a server does not start. The text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is nothing to listen on.
    #[error("no address to listen on is configured for NFS")]
    NoAddress,
    /// TLS is demanded and cannot be done.
    #[error("{0}")]
    Requirement(&'static str),
    /// A file of TLS cannot be used.
    #[error(transparent)]
    Tls(#[from] access::TlsError),
    /// An address cannot be listened on.
    #[error("cannot listen on {address} for {purpose}: {source}{}", advice(source))]
    Listen {
        /// Which.
        address: SocketAddr,
        /// For what.
        purpose: &'static str,
        /// Why.
        source: io::Error,
    },
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "; another program listens there: stop it, or choose another port",
        io::ErrorKind::PermissionDenied => "; ports below 1024 are for root: choose another port",
        io::ErrorKind::AddrNotAvailable => "; this machine has no such address",
        _ => "",
    }
}
