//! The table of connections: caps per peer and for all, counters, and how many calls are being held (D34).

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::Instant;
use vfs::{Clock, SystemClock, Timestamp};

use super::peer::Peer;
use crate::config::Limits;
use crate::peer::PeerKind;

/// No call that can be answered with more than a refusal is longer.
const SMALL_CALL: usize = 4 << 10;
/// A flood of connections is told of once in this time.
const COMPLAINT: Duration = Duration::from_secs(1);

/// Everything that is connected.
#[derive(Debug)]
pub(crate) struct Table {
    limits: Limits,
    connections: Mutex<Connections>,
    held: AtomicUsize,
    /// Bytes of records that have not arrived whole.
    unfinished: AtomicUsize,
    /// Bytes of replies that clients have not taken yet.
    queued: AtomicUsize,
    accepted: AtomicU64,
    refused: AtomicU64,
    evicted: AtomicU64,
    /// Bytes of connections that have ended.
    received: AtomicU64,
    sent: AtomicU64,
}

#[derive(Debug, Default)]
struct Connections {
    next: u64,
    slots: HashMap<u64, Place>,
    per_peer: HashMap<IpAddr, usize>,
    /// Those that have not sent one whole call yet, oldest first.
    silent: BTreeMap<u64, IpAddr>,
    complained: Option<Instant>,
}

#[derive(Debug)]
struct Place {
    counters: Arc<Counters>,
    /// What serves the connection.
    task: Option<AbortHandle>,
}

impl Connections {
    fn count_of(&self, ip: IpAddr) -> usize {
        self.per_peer.get(&ip).copied().unwrap_or(0)
    }

    /// Gives a place back. It may have been taken away before.
    fn remove(&mut self, id: u64, ip: IpAddr) {
        self.silent.remove(&id);
        if self.slots.remove(&id).is_none() {
            return;
        }
        if let Some(count) = self.per_peer.get_mut(&ip) {
            *count -= 1;
            if *count == 0 {
                self.per_peer.remove(&ip);
            }
        }
    }

    /// Closes the oldest connection (of `peer`, if one is given) that has never called. Whoever means it calls at once.
    fn evict(&mut self, peer: Option<IpAddr>) -> bool {
        let evictable = |id: &u64| self.slots.get(id).and_then(|place| place.task.clone());
        let mut oldest = self.silent.iter().filter(|(_, ip)| peer.is_none_or(|peer| peer == **ip));
        let Some((id, ip, task)) = oldest.find_map(|(id, ip)| Some((*id, *ip, evictable(id)?))) else { return false };
        task.abort();
        self.remove(id, ip);
        true
    }
}

/// Counters of one connection.
#[derive(Debug)]
pub(crate) struct Counters {
    peer: Arc<Peer>,
    since: Timestamp,
    pub calls: AtomicU64,
    pub held: AtomicUsize,
    unfinished: AtomicUsize,
    queued: AtomicUsize,
    pub received: AtomicU64,
    pub sent: AtomicU64,
}

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
    /// Connections that never called, closed at a cap to make room.
    pub evicted: u64,
    /// Bytes from clients.
    pub received: u64,
    /// Bytes to clients.
    pub sent: u64,
}

impl Counters {
    fn new(peer: Arc<Peer>) -> Counters {
        Counters {
            peer,
            since: SystemClock.now(),
            calls: AtomicU64::new(0),
            held: AtomicUsize::new(0),
            unfinished: AtomicUsize::new(0),
            queued: AtomicUsize::new(0),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
        }
    }
}

impl Table {
    pub(crate) fn new(limits: Limits) -> Arc<Table> {
        Arc::new(Table {
            limits,
            connections: Mutex::default(),
            held: AtomicUsize::new(0),
            unfinished: AtomicUsize::new(0),
            queued: AtomicUsize::new(0),
            accepted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
        })
    }

    /// A place for a connection from `peer`; `None` if there are too many. At a cap, one that has never called makes room.
    pub(crate) fn admit(self: &Arc<Table>, peer: &Arc<Peer>) -> Option<Slot> {
        let mut connections = self.lock();
        let ip = peer.address.ip();
        let is_full = |connections: &Connections| {
            let at_peer_cap = connections.count_of(ip) >= self.limits.connections_per_peer;
            (at_peer_cap || connections.slots.len() >= self.limits.connections).then_some(at_peer_cap)
        };
        while let Some(at_peer_cap) = is_full(&connections) {
            if !connections.evict(at_peer_cap.then_some(ip)) {
                self.refused.fetch_add(1, Ordering::Relaxed);
                return None;
            }
            self.evicted.fetch_add(1, Ordering::Relaxed);
        }
        self.accepted.fetch_add(1, Ordering::Relaxed);
        let id = connections.next;
        connections.next += 1;
        let counters = Arc::new(Counters::new(peer.clone()));
        *connections.per_peer.entry(ip).or_default() += 1;
        connections.silent.insert(id, ip);
        connections.slots.insert(id, Place { counters: counters.clone(), task: None });
        Some(Slot { table: self.clone(), id: Some((id, ip)), counters })
    }

    /// From now on the connection at this place can be closed to make room, until it calls.
    pub(crate) fn can_be_evicted(&self, place: Option<u64>, task: AbortHandle) {
        let mut connections = self.lock();
        if let Some(place) = place.and_then(|id| connections.slots.get_mut(&id)) {
            place.task = Some(task);
        }
    }

    /// Whether it is time to tell of refused connections again.
    pub(crate) fn may_complain(&self) -> bool {
        let mut connections = self.lock();
        let now = Instant::now();
        let may = connections.complained.is_none_or(|last| now - last >= COMPLAINT);
        if may {
            connections.complained = Some(now);
        }
        may
    }

    /// A place for all datagrams of one socket; not a connection, so not in the table.
    pub(crate) fn datagrams(self: &Arc<Table>, peer: Peer) -> Slot {
        let counters = Arc::new(Counters::new(Arc::new(peer)));
        Slot { table: self.clone(), id: None, counters }
    }

    /// All connections, oldest first; `mounted` says what an address has mounted.
    pub(crate) fn report(&self, mounted: impl Fn(IpAddr) -> Vec<String>) -> Vec<ConnectionReport> {
        let mut slots: Vec<_> = self.lock().slots.iter().map(|(id, place)| (*id, place.counters.clone())).collect();
        slots.sort_unstable_by_key(|(id, _)| *id);
        let report = |counters: &Counters| ConnectionReport {
            peer: counters.peer.address,
            local: counters.peer.local,
            kind: counters.peer.treatment().kind,
            why: counters.peer.treatment().why.clone().into_owned(),
            principal: counters.peer.call().principal.name().to_owned(),
            protocol: "NFS over TCP",
            mounted: mounted(counters.peer.address.ip()),
            since: counters.since.to_rfc3339(),
            calls: counters.calls.load(Ordering::Relaxed),
            held: counters.held.load(Ordering::Relaxed),
            received: counters.received.load(Ordering::Relaxed),
            sent: counters.sent.load(Ordering::Relaxed),
        };
        slots.iter().map(|(_, counters)| report(counters)).collect()
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
            evicted: self.evicted.load(Ordering::Relaxed),
            received: sum(&self.received, |counters| &counters.received),
            sent: sum(&self.sent, |counters| &counters.sent),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Connections> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place in the table; dropping it gives the place back.
#[derive(Debug)]
pub(crate) struct Slot {
    table: Arc<Table>,
    id: Option<(u64, IpAddr)>,
    counters: Arc<Counters>,
}

impl Slot {
    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Where it is in the table.
    pub(crate) fn place(&self) -> Option<u64> {
        self.id.map(|(id, _)| id)
    }

    /// It has called: it is nobody's to evict any more.
    pub(crate) fn called(&self) {
        if let Some((id, _)) = self.id {
            self.table.lock().silent.remove(&id);
        }
    }

    /// Notes how many bytes of replies wait for the socket.
    #[inline]
    pub(crate) fn note_queued(&self, bytes: usize) {
        if self.counters.queued.load(Ordering::Relaxed) != bytes {
            let before = self.counters.queued.swap(bytes, Ordering::Relaxed);
            self.table.queued.fetch_add(bytes, Ordering::Relaxed);
            self.table.queued.fetch_sub(before, Ordering::Relaxed);
        }
    }

    /// Whether the replies that wait for all sockets together are too many.
    #[inline]
    pub(crate) fn is_pressed(&self) -> bool {
        self.table.queued.load(Ordering::Relaxed) > self.table.limits.queued_bytes_total
    }

    /// Whether one more call may be held (D34). Past the caps the answer is `Later` at once.
    pub(crate) fn may_hold(&self) -> bool {
        self.counters.held.load(Ordering::Relaxed) < self.table.limits.held_per_connection
            && self.table.held.load(Ordering::Relaxed) < self.table.limits.held
    }

    /// Notes how many bytes of a record are here whose rest is not. False: all connections together have too many, and this one is
    /// not among those that send small calls.
    pub(crate) fn may_keep_unfinished(&self, bytes: usize) -> bool {
        let before = self.counters.unfinished.swap(bytes, Ordering::Relaxed);
        let others = self.table.unfinished.fetch_add(bytes, Ordering::Relaxed).saturating_sub(before);
        self.table.unfinished.fetch_sub(before, Ordering::Relaxed);
        bytes <= SMALL_CALL || others + bytes <= self.table.limits.unfinished_bytes
    }

    /// Counts a held call until the guard is dropped.
    pub(crate) fn hold(&self) -> Held {
        self.counters.held.fetch_add(1, Ordering::Relaxed);
        self.table.held.fetch_add(1, Ordering::Relaxed);
        Held { table: self.table.clone(), counters: self.counters.clone() }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.table.unfinished.fetch_sub(self.counters.unfinished.load(Ordering::Relaxed), Ordering::Relaxed);
        self.note_queued(0);
        let Some((id, ip)) = self.id else { return };
        let mut connections = self.table.lock();
        self.table.received.fetch_add(self.counters.received.load(Ordering::Relaxed), Ordering::Relaxed);
        self.table.sent.fetch_add(self.counters.sent.load(Ordering::Relaxed), Ordering::Relaxed);
        connections.remove(id, ip);
    }
}

/// One call that is being held.
#[derive(Debug)]
pub(crate) struct Held {
    table: Arc<Table>,
    counters: Arc<Counters>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.counters.held.fetch_sub(1, Ordering::Relaxed);
        self.table.held.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::Policies;
    use crate::rpc::Transport;

    fn peer(address: &str) -> Arc<Peer> {
        let (address, local) = (address.parse().unwrap(), "127.0.0.1:2049".parse().unwrap());
        Arc::new(Peer::new(address, local, Transport::Tcp, &Policies::default()))
    }

    #[test]
    fn a_peer_at_its_cap_does_not_keep_others_out() {
        let table = Table::new(Limits { connections: 3, connections_per_peer: 2, ..Limits::default() });
        let first = table.admit(&peer("192.0.2.1:1")).unwrap();
        let _second = table.admit(&peer("192.0.2.1:2")).unwrap();
        assert!(table.admit(&peer("192.0.2.1:3")).is_none());
        let _other = table.admit(&peer("192.0.2.2:1")).unwrap();
        assert!(table.admit(&peer("192.0.2.3:1")).is_none());
        drop(first);
        assert!(table.admit(&peer("192.0.2.1:3")).is_some());
        assert_eq!((table.totals().accepted, table.totals().refused), (4, 2));
    }

    #[tokio::test]
    async fn at_a_cap_the_oldest_that_never_called_makes_room_and_those_that_called_stay() {
        let table = Table::new(Limits { connections: 4, connections_per_peer: 3, ..Limits::default() });
        let admit = |address: &str| {
            let slot = table.admit(&peer(address))?;
            let task = tokio::spawn(std::future::pending::<()>());
            table.can_be_evicted(slot.place(), task.abort_handle());
            Some((slot, task))
        };
        let (caller, _task) = admit("192.0.2.1:1").unwrap();
        caller.called();
        let (_second, second) = admit("192.0.2.1:2").unwrap();
        let (_third, third) = admit("192.0.2.1:3").unwrap();
        let (fourth, _task) = admit("192.0.2.1:4").unwrap();
        assert!(second.await.unwrap_err().is_cancelled() && !third.is_finished());
        fourth.called();
        let (_other, other) = admit("192.0.2.2:1").unwrap();
        // All places are taken: the oldest of anybody goes.
        let (_another, _task) = admit("192.0.2.3:1").unwrap();
        assert!(third.await.unwrap_err().is_cancelled() && !other.is_finished());
        let totals = table.totals();
        assert_eq!((totals.open, totals.evicted, totals.refused), (4, 2, 0));
    }

    #[test]
    fn those_that_called_are_not_evicted_for_anybody() {
        let table = Table::new(Limits { connections: 1, ..Limits::default() });
        let slot = table.admit(&peer("192.0.2.1:1")).unwrap();
        slot.called();
        assert!(table.admit(&peer("192.0.2.2:1")).is_none());
        assert!(table.may_complain() && !table.may_complain());
    }

    #[test]
    fn what_waits_for_all_sockets_is_added_up_and_given_back() {
        let table = Table::new(Limits { queued_bytes_total: 100, ..Limits::default() });
        let (one, two) = (table.admit(&peer("192.0.2.1:1")).unwrap(), table.admit(&peer("192.0.2.1:2")).unwrap());
        one.note_queued(60);
        two.note_queued(60);
        assert!(one.is_pressed() && table.totals().queued == 120);
        one.note_queued(10);
        assert!(!two.is_pressed());
        drop(two);
        assert_eq!(table.totals().queued, 10);
    }

    #[test]
    fn unfinished_records_are_bounded_for_all_together_but_small_calls_always_pass() {
        let table = Table::new(Limits { unfinished_bytes: 100_000, ..Limits::default() });
        let (one, two) = (table.admit(&peer("192.0.2.1:1")).unwrap(), table.admit(&peer("192.0.2.2:1")).unwrap());
        assert!(one.may_keep_unfinished(60_000) && one.may_keep_unfinished(64_000));
        assert!(!two.may_keep_unfinished(60_000));
        assert!(two.may_keep_unfinished(4_000));
        drop(one);
        assert!(two.may_keep_unfinished(60_000) && two.may_keep_unfinished(0));
        assert_eq!(table.unfinished.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn held_calls_are_capped_per_connection_and_for_all() {
        let table = Table::new(Limits { held: 3, held_per_connection: 2, ..Limits::default() });
        let (one, two) = (table.admit(&peer("192.0.2.1:1")).unwrap(), table.admit(&peer("192.0.2.1:2")).unwrap());
        let first = one.hold();
        let _second = one.hold();
        assert!(!one.may_hold());
        assert!(two.may_hold());
        let _third = two.hold();
        assert!(!two.may_hold());
        drop(first);
        assert!(one.may_hold() && two.may_hold());
    }
}
