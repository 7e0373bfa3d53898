//! Binding sockets: both families, wildcard addresses, addresses that this machine lacks.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UdpSocket};

use crate::error::Error;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;

/// Sockets that are bound and not served yet.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    pub streams: Vec<TcpListener>,
    pub datagrams: Vec<UdpSocket>,
}

impl Sockets {
    /// Where the streams listen.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.streams.iter().filter_map(|socket| socket.local_addr().ok()).collect()
    }
}

/// Listens for connections.
///
/// # Errors
/// [`Error::Listen`] for an address in use and the like; an address that this machine lacks is skipped if another one works.
pub(super) fn streams(addresses: &[SocketAddr], purpose: &'static str) -> Result<Sockets, Error> {
    let streams = bind_each(addresses, purpose, |address| {
        let socket = open(address, Type::STREAM, Protocol::TCP, addresses)?;
        socket.listen(BACKLOG)?;
        TcpListener::from_std(socket.into())
    })?;
    Ok(Sockets { streams, datagrams: Vec::new() })
}

/// Listens for datagrams.
///
/// # Errors
/// As [`streams`].
pub(super) fn datagrams(addresses: &[SocketAddr], purpose: &'static str) -> Result<Sockets, Error> {
    let datagrams = bind_each(addresses, purpose, |address| {
        UdpSocket::from_std(open(address, Type::DGRAM, Protocol::UDP, addresses)?.into())
    })?;
    Ok(Sockets { streams: Vec::new(), datagrams })
}

/// Listens for both at the same ports.
///
/// # Errors
/// As [`streams`].
pub(super) fn both(addresses: &[SocketAddr], purpose: &'static str) -> Result<Sockets, Error> {
    let mut sockets = streams(addresses, purpose)?;
    sockets.datagrams = datagrams(&sockets.addresses(), purpose)?.datagrams;
    Ok(sockets)
}

fn bind_each<T>(
    addresses: &[SocketAddr],
    purpose: &'static str,
    bind: impl Fn(SocketAddr) -> io::Result<T>,
) -> Result<Vec<T>, Error> {
    let mut bound = Vec::new();
    let mut lacking = None;
    for address in addresses {
        let any_v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
        let attempt = match bind(*address) {
            // `[::]` on a machine without IPv6 means every address that there is.
            Err(error) if is_lacking(&error) && address.ip() == Ipv6Addr::UNSPECIFIED => bind(any_v4),
            attempt => attempt,
        };
        match attempt {
            Ok(socket) => bound.push(socket),
            Err(source) => {
                let is_lacking = is_lacking(&source);
                let error = Error::Listen { address: *address, purpose, source };
                if !is_lacking {
                    return Err(error);
                }
                lacking = Some(error);
            }
        }
    }
    match lacking {
        Some(error) if bound.is_empty() => Err(error),
        Some(error) => {
            tracing::info!(%error, "listening on the other addresses only");
            Ok(bound)
        }
        None if bound.is_empty() => Err(Error::NoAddress),
        None => Ok(bound),
    }
}

fn open(address: SocketAddr, kind: Type, protocol: Protocol, all: &[SocketAddr]) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        // `[::]` takes IPv4 too, unless somebody asks for an IPv4 address of that port by name.
        let has_v4 = all.iter().any(|other| other.is_ipv4() && other.port() == address.port());
        socket.set_only_v6(has_v4 || !address.ip().is_unspecified())?;
    }
    if kind == Type::STREAM {
        socket.set_reuse_address(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// The machine has no such family or address (IPv6 switched off).
fn is_lacking(error: &io::Error) -> bool {
    const EAFNOSUPPORT: i32 = 97;
    error.kind() == io::ErrorKind::AddrNotAvailable
        || (cfg!(target_os = "linux") && error.raw_os_error() == Some(EAFNOSUPPORT))
}
