//! One connection's place in the table: its counters, and its share of what is limited for all together.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use vfs::{Clock, SystemClock, Timestamp};

use super::Table;
use crate::rpc::peer::Peer;

/// No call that can be answered with more than a refusal is longer.
const SMALL_CALL: usize = 4 << 10;

/// Counters of one connection.
#[derive(Debug)]
pub(crate) struct Counters {
    pub(super) peer: Arc<Peer>,
    pub(super) since: Timestamp,
    /// The same peer once there is TLS.
    pub(super) over_tls: OnceLock<Arc<Peer>>,
    pub calls: AtomicU64,
    pub held: AtomicUsize,
    unfinished: AtomicUsize,
    queued: AtomicUsize,
    pub received: AtomicU64,
    pub sent: AtomicU64,
}

impl Counters {
    pub(super) fn new(peer: Arc<Peer>) -> Counters {
        Counters {
            peer,
            since: SystemClock.now(),
            over_tls: OnceLock::new(),
            calls: AtomicU64::new(0),
            held: AtomicUsize::new(0),
            unfinished: AtomicUsize::new(0),
            queued: AtomicUsize::new(0),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
        }
    }
}

/// A connection's place in the table; dropping it gives the place back.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(super) table: Arc<Table>,
    pub(super) id: Option<(u64, IpAddr)>,
    pub(super) counters: Arc<Counters>,
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

    /// Notes that a TLS handshake has ended, and who the peer is now.
    pub(crate) fn shook_hands(&self, peer: &Arc<Peer>) {
        self.table.handshakes.fetch_add(1, Ordering::Relaxed);
        // There is one handshake on a connection.
        let _ = self.counters.over_tls.set(peer.clone());
    }

    /// Notes that a TLS handshake was refused.
    pub(crate) fn refused_hands(&self) {
        self.table.handshakes_refused.fetch_add(1, Ordering::Relaxed);
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
