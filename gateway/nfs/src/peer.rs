//! Clients differ: how long they bear silence, how they spell names (D34, D35). One policy per kind of peer.

use std::net::IpAddr;
use std::time::Duration;

use vfs::{Call, Principal, Profile, Protocol};

/// The client at the other end of a connection.
///
/// Every connection begins, and for now stays, as [`PeerKind::Linux`]; telling peers apart by what they do on the wire has its
/// place here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PeerKind {
    /// The Linux kernel's client, and everything that is not known to be another.
    #[default]
    Linux,
}

/// What each kind of peer gets.
#[derive(Debug, Clone)]
pub(crate) struct Policies {
    principal: Principal,
    hold: Duration,
    reading_kib: usize,
}

impl Policies {
    /// `reading_bytes`: READ that one connection may wait for at a time.
    pub(crate) fn new(principal: Principal, hold: Duration, reading_bytes: usize) -> Policies {
        Policies { principal, hold, reading_kib: reading_bytes / 1024 }
    }

    pub(crate) fn reading_kib(&self) -> usize {
        self.reading_kib
    }

    /// The template of every question that such a peer asks the VFS.
    pub(crate) fn call(&self, kind: PeerKind, address: IpAddr) -> Call {
        let mut call = Call::new(self.principal.clone(), Protocol::Nfs, self.hold);
        call.peer = Some(address);
        call.profile = match kind {
            PeerKind::Linux => Profile::Posix,
        };
        call
    }
}

impl Default for Policies {
    fn default() -> Policies {
        Policies::new(Principal::new("local"), Duration::from_secs(45), 64 << 20)
    }
}
