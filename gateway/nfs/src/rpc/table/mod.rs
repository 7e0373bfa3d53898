//! The table of connections: caps per peer and for all, and who makes room at a cap (D34).

mod report;
mod slot;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::peer::Peer;
use crate::config::Limits;

pub use report::{ConnectionReport, ConnectionTotals};
use slot::Counters;
pub(crate) use slot::Slot;

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
    handshakes: AtomicU64,
    handshakes_refused: AtomicU64,
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
            handshakes: AtomicU64::new(0),
            handshakes_refused: AtomicU64::new(0),
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

    fn lock(&self) -> MutexGuard<'_, Connections> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
