//! Which addresses and ports can be had on this machine.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use crate::configuration::Listen;

/// The addresses of `listeners`, without those of the IPv6 loopback where this machine has none.
pub fn usable(listeners: &[Listen]) -> Vec<SocketAddr> {
    let possible = |address: &SocketAddr| {
        let missing = [io::ErrorKind::AddrNotAvailable, io::ErrorKind::Unsupported];
        let bound = TcpListener::bind((address.ip(), 0));
        !bound.is_err_and(|error| missing.contains(&error.kind()) || error.raw_os_error() == Some(NO_SUCH_FAMILY))
    };
    let addresses = listeners.iter().flat_map(|listen| {
        let implied = matches!(listen, Listen::Loopback(_));
        listen.addresses().into_iter().filter(move |address| !implied || address.is_ipv4() || possible(address))
    });
    addresses.collect()
}

/// EAFNOSUPPORT, which has no name in `io::ErrorKind`.
const NO_SUCH_FAMILY: i32 = 97;

/// A port of the loopback for the service called `name` of a demo: the one it had before, so that mounts survive a restart, else
/// `usual`, else a free one.
///
/// # Errors
/// If none is to be had.
pub fn choose(state: &Path, name: &str, usual: u16) -> io::Result<Listen> {
    let memory = state.join(format!("{name}-port"));
    let remembered = std::fs::read_to_string(&memory).ok().and_then(|text| text.trim().parse().ok());
    let candidates = remembered.into_iter().chain([usual, 0]);
    let mut refusal = io::Error::other("no port to try");
    for port in candidates {
        match free(Listen::Loopback(port)) {
            Ok(port) => {
                if port != usual && remembered != Some(port) {
                    tracing::warn!(port, "port {usual} is not to be had ({refusal}): {name} takes another");
                    std::fs::create_dir_all(state)?;
                    std::fs::write(&memory, format!("{port}\n"))?;
                }
                return Ok(Listen::Loopback(port));
            }
            Err(error) => refusal = error,
        }
    }
    Err(refusal)
}

/// The port, if it can be listened on (0: any free one). IPv6 may be missing.
fn free(listen: Listen) -> io::Result<u16> {
    let mut port = listen.port();
    for address in listen.with_port(port).addresses() {
        let listener = TcpListener::bind((address.ip(), port));
        match listener {
            Ok(listener) => port = listener.local_addr()?.port(),
            Err(error) if address.is_ipv6() && error.kind() != io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(error),
        }
    }
    Ok(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_replaced_and_the_replacement_is_kept() {
        let state = tempfile::tempdir().unwrap();
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let usual = taken.local_addr().unwrap().port();
        let chosen = choose(state.path(), "nfs", usual).unwrap();
        assert_ne!(chosen.port(), usual);
        drop(taken);
        assert_eq!(choose(state.path(), "nfs", usual).unwrap(), chosen);
        assert_eq!(choose(state.path(), "webdav", usual).unwrap().port(), usual);
    }
}
