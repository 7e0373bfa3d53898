//! The table: our own programs, which nobody can change, and what local kernels register.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::address;
use crate::rpc::Peer;

/// Entries that others may register.
const FOREIGN: usize = 256;

/// A transport protocol, by its IP number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Protocol {
    Tcp = 6,
    Udp = 17,
}

impl Protocol {
    /// By IP protocol number.
    pub(super) fn from_number(number: u32) -> Option<Protocol> {
        match number {
            6 => Some(Protocol::Tcp),
            17 => Some(Protocol::Udp),
            _ => None,
        }
    }
}

/// Which families a socket takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Families {
    pub v4: bool,
    pub v6: bool,
}

/// One program of this server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mapping {
    pub program: u32,
    pub version: u32,
    pub protocol: Protocol,
    pub port: u16,
    pub families: Families,
}

/// What rpcbind's procedures pass around (`rpcb`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub program: u32,
    pub version: u32,
    pub netid: String,
    pub address: String,
    pub owner: String,
}

/// The table.
#[derive(Debug)]
pub(crate) struct Registry {
    own: Vec<Mapping>,
    foreign: Mutex<Vec<Entry>>,
}

impl Registry {
    pub(crate) fn new(own: Vec<Mapping>) -> Registry {
        Registry { own, foreign: Mutex::default() }
    }

    pub(crate) fn own(&self) -> &[Mapping] {
        &self.own
    }

    /// The port of a program over IPv4; 0 if there is none.
    pub(super) fn port(&self, program: u32, version: u32, protocol: Protocol) -> u16 {
        let own = self.own.iter().find(|own| {
            own.program == program && own.version == version && own.protocol == protocol && own.families.v4
        });
        if let Some(own) = own {
            return own.port;
        }
        let netid = netid(protocol, false);
        let foreign = self.lock();
        let entry =
            foreign.iter().find(|entry| entry.program == program && entry.version == version && entry.netid == netid);
        entry.and_then(|entry| address::socket(&entry.address)).map_or(0, |address| address.port())
    }

    /// The universal address of a program, as `peer` can reach it; empty if there is none.
    pub(super) fn address(&self, program: u32, version: u32, netid: &str, peer: &Peer) -> String {
        let entries = self.entries(peer);
        let entry = entries
            .into_iter()
            .find(|entry| entry.program == program && entry.version == version && entry.netid == netid);
        entry.map(|entry| entry.address).unwrap_or_default()
    }

    /// Everything, as `peer` can reach it; our own first.
    pub(super) fn entries(&self, peer: &Peer) -> Vec<Entry> {
        let mut entries = Vec::new();
        let local = [reachable(peer, false), reachable(peer, true)];
        for own in &self.own {
            for (is_v6, local) in [false, true].into_iter().zip(local) {
                if (is_v6 && own.families.v6) || (!is_v6 && own.families.v4) {
                    entries.push(Entry {
                        program: own.program,
                        version: own.version,
                        netid: netid(own.protocol, is_v6).to_owned(),
                        address: address::universal(SocketAddr::new(local, own.port)),
                        owner: "raptorgate".to_owned(),
                    });
                }
            }
        }
        entries.extend(self.lock().iter().cloned());
        entries
    }

    /// Registers a program of somebody else. A kernel that mounts from its own machine registers its lock manager: it may, but what
    /// clients are told about the lock manager stays ours.
    pub(super) fn set(&self, entry: Entry) -> bool {
        let mut foreign = self.lock();
        let is_known = foreign
            .iter()
            .any(|known| (known.program, known.version, &known.netid) == (entry.program, entry.version, &entry.netid));
        if is_known || foreign.len() >= FOREIGN {
            return false;
        }
        foreign.push(entry);
        true
    }

    /// Removes what others registered of a program, for one netid or for all of them.
    pub(super) fn unset(&self, program: u32, version: u32, netid: Option<&str>) -> bool {
        let mut foreign = self.lock();
        let before = foreign.len();
        foreign.retain(|known| {
            known.program != program || known.version != version || netid.is_some_and(|netid| netid != known.netid)
        });
        foreign.len() < before
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.foreign.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name of a transport in rpcbind.
pub(super) fn netid(protocol: Protocol, is_v6: bool) -> &'static str {
    match (protocol, is_v6) {
        (Protocol::Tcp, false) => "tcp",
        (Protocol::Udp, false) => "udp",
        (Protocol::Tcp, true) => "tcp6",
        (Protocol::Udp, true) => "udp6",
    }
}

/// The address of ours that the peer used or, of the family that it asks for, the one from which it can be reached.
fn reachable(peer: &Peer, is_v6: bool) -> IpAddr {
    let local = peer.local.ip();
    if local.is_ipv6() == is_v6 && !local.is_unspecified() {
        return local;
    }
    let any: IpAddr = if is_v6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    if peer.address.is_ipv6() == is_v6 {
        return source_towards(peer.address, any).unwrap_or(any);
    }
    match (is_v6, peer.is_loopback()) {
        (false, true) => Ipv4Addr::LOCALHOST.into(),
        (true, true) => Ipv6Addr::LOCALHOST.into(),
        _ => any,
    }
}

/// The address that packets to `peer` carry: connecting a datagram socket only asks the routing table.
fn source_towards(peer: SocketAddr, any: IpAddr) -> Option<IpAddr> {
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(peer).ok()?;
    Some(socket.local_addr().ok()?.ip())
}
