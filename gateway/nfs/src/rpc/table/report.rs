//! What status pages and metrics tell of the connections.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Counters, Table};
use crate::peer::PeerKind;
use crate::rpc::peer::{Peer, Security};

/// One connection, as status pages show it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ConnectionReport {
    /// The client's address.
    pub peer: SocketAddr,
    /// Our address, as the client used it.
    pub local: SocketAddr,
    /// Which client it is taken for.
    pub kind: PeerKind,
    /// Why: what it did on the wire, or which rule says so.
    pub why: String,
    /// In whose name its calls are made.
    pub principal: String,
    /// What is spoken.
    pub protocol: &'static str,
    /// What its address has mounted and not unmounted since the start, as far as it told.
    pub mounted: Vec<String>,
    /// Since when, RFC 3339.
    pub since: String,
    /// Protected by TLS.
    pub tls: bool,
    /// Calls so far.
    pub calls: u64,
    /// Calls that are waiting for an endpoint.
    pub held: usize,
    /// Bytes from it.
    pub received: u64,
    /// Bytes to it.
    pub sent: u64,
}

/// Totals over all connections since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct ConnectionTotals {
    /// Open now.
    pub open: usize,
    /// Calls held now.
    pub held: usize,
    /// Bytes of answers that clients have not taken yet.
    pub queued: usize,
    /// Connections taken.
    pub accepted: u64,
    /// Connections refused because of a cap.
    pub refused: u64,
    /// TLS handshakes that succeeded.
    pub handshakes: u64,
    /// TLS handshakes that did not.
    pub handshakes_refused: u64,
    /// Connections that never called, closed at a cap to make room.
    pub evicted: u64,
    /// Bytes from clients.
    pub received: u64,
    /// Bytes to clients.
    pub sent: u64,
}

impl Table {
    /// All connections, oldest first; `mounted` says what an address has mounted.
    pub(crate) fn report(&self, mounted: impl Fn(IpAddr) -> Vec<String>) -> Vec<ConnectionReport> {
        let mut slots: Vec<_> = self.lock().slots.iter().map(|(id, place)| (*id, place.counters.clone())).collect();
        slots.sort_unstable_by_key(|(id, _)| *id);
        let report = |counters: &Counters, peer: &Peer| ConnectionReport {
            peer: peer.address,
            local: peer.local,
            kind: peer.treatment().kind,
            why: peer.treatment().why.clone().into_owned(),
            principal: peer.call().principal.name().to_owned(),
            protocol: if peer.security == Security::Plain { "NFS over TCP" } else { "NFS over TLS" },
            tls: peer.security != Security::Plain,
            mounted: mounted(peer.address.ip()),
            since: counters.since.to_rfc3339(),
            calls: counters.calls.load(Ordering::Relaxed),
            held: counters.held.load(Ordering::Relaxed),
            received: counters.received.load(Ordering::Relaxed),
            sent: counters.sent.load(Ordering::Relaxed),
        };
        let now = |counters: &Counters| report(counters, counters.over_tls.get().unwrap_or(&counters.peer));
        slots.iter().map(|(_, counters)| now(counters)).collect()
    }

    pub(crate) fn totals(&self) -> ConnectionTotals {
        let connections = self.lock();
        let sum = |ended: &AtomicU64, of: fn(&Counters) -> &AtomicU64| {
            let open = connections.slots.values().map(|place| of(&place.counters).load(Ordering::Relaxed));
            ended.load(Ordering::Relaxed) + open.sum::<u64>()
        };
        ConnectionTotals {
            open: connections.slots.len(),
            held: self.held.load(Ordering::Relaxed),
            queued: self.queued.load(Ordering::Relaxed),
            accepted: self.accepted.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            handshakes: self.handshakes.load(Ordering::Relaxed),
            handshakes_refused: self.handshakes_refused.load(Ordering::Relaxed),
            evicted: self.evicted.load(Ordering::Relaxed),
            received: sum(&self.received, |counters| &counters.received),
            sent: sum(&self.sent, |counters| &counters.sent),
        }
    }
}
