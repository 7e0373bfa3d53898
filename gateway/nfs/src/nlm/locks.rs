//! The table of locks: POSIX record locks per file, in memory, bounded.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use vfs::node::Identity;

use super::wire::Status;

/// Locks of all files.
const LOCKS: usize = 65_536;
/// Locks of one file.
const LOCKS_PER_FILE: usize = 4_096;
/// Requests that were taken back and are remembered.
const CANCELLED: usize = 4_096;

/// A file, whatever version of it a handle names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct File {
    pub export: u64,
    pub own: Identity,
}

/// Who holds or wants a lock: a process of a client.
#[derive(Debug, Clone, Eq)]
pub(super) struct Owner {
    pub peer: IpAddr,
    pub caller: Box<[u8]>,
    /// The client's name for the owner; only shown to whom it is in the way of.
    pub object: Box<[u8]>,
    pub process: u32,
}

impl PartialEq for Owner {
    fn eq(&self, other: &Owner) -> bool {
        (self.process, self.peer, &self.caller) == (other.process, other.peer, &other.caller)
    }
}

/// Bytes from `first` to `last`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    first: u64,
    last: u64,
}

impl Range {
    /// Length 0 means "to the end, wherever it will be".
    pub(super) fn new(offset: u64, length: u64) -> Range {
        let last = if length == 0 { u64::MAX } else { offset.saturating_add(length - 1) };
        Range { first: offset, last }
    }

    /// The same with 32 bits, where the largest end stands for the end of the file too.
    pub(super) fn new_32(offset: u32, length: u32) -> Range {
        let range = Range::new(u64::from(offset), u64::from(length));
        Range { last: if range.last >= u64::from(u32::MAX) { u64::MAX } else { range.last }, ..range }
    }

    /// As the wire has it.
    pub(super) fn offset_and_length(self) -> (u64, u64) {
        (self.first, if self.last == u64::MAX { 0 } else { self.last - self.first + 1 })
    }

    fn overlaps(self, other: Range) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// What is left of `self` without `other`.
    fn without(self, other: Range) -> impl Iterator<Item = Range> {
        let before =
            (self.first < other.first).then(|| Range { first: self.first, last: self.last.min(other.first - 1) });
        let after = (self.last > other.last).then(|| Range { first: self.first.max(other.last + 1), last: self.last });
        let both = [before, after];
        both.into_iter().flatten()
    }
}

/// A lock that is held or wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lock {
    pub owner: Owner,
    pub is_exclusive: bool,
    pub range: Range,
}

impl Lock {
    fn conflicts_with(&self, other: &Lock) -> bool {
        self.owner != other.owner && (self.is_exclusive || other.is_exclusive) && self.range.overlaps(other.range)
    }
}

/// All locks.
#[derive(Debug, Default)]
pub(crate) struct Locks {
    table: Mutex<Table>,
    /// Something was released or cancelled.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Table {
    files: HashMap<File, Vec<Lock>>,
    count: usize,
    /// Requests that were taken back, with the number of each such event.
    cancelled: VecDeque<(u64, File, Owner, Range)>,
    cancellations: u64,
}

impl Locks {
    /// A lock that is in the way of `wanted`.
    pub(super) fn conflict(&self, file: File, wanted: &Lock) -> Option<Lock> {
        self.lock().files.get(&file)?.iter().find(|held| held.conflicts_with(wanted)).cloned()
    }

    /// Takes a lock, replacing what the owner had in its range. [`Status::Denied`]: somebody else is in the way.
    pub(super) fn acquire(&self, file: File, wanted: Lock) -> Status {
        let mut table = self.lock();
        let held = table.files.get(&file).map_or(0, Vec::len);
        if table.files.get(&file).is_some_and(|held| held.iter().any(|held| held.conflicts_with(&wanted))) {
            return Status::Denied;
        }
        if table.count >= LOCKS || held >= LOCKS_PER_FILE {
            return Status::NoLocks;
        }
        table.cut(file, &wanted.owner, wanted.range);
        table.files.entry(file).or_default().push(wanted);
        table.count += 1;
        drop(table);
        // An exclusive lock that became a shared one lets others in.
        self.changed.notify_waiters();
        Status::Granted
    }

    /// As [`Locks::acquire`], waiting for whoever is in the way; [`Status::Blocked`] if that lasts too long.
    pub(super) async fn acquire_within(&self, file: File, wanted: Lock, patience: Duration) -> Status {
        let end = Instant::now() + patience;
        // A repetition of the same request may be waiting too: a cancellation ends both.
        let since = self.lock().cancellations;
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if self.lock().is_cancelled(since, file, &wanted) {
                return Status::Denied;
            }
            match self.acquire(file, wanted.clone()) {
                Status::Denied => {}
                status => return status,
            }
            if tokio::time::timeout_at(end, changed).await.is_err() {
                return Status::Blocked;
            }
        }
    }

    /// Takes a waiting request back.
    pub(super) fn cancel(&self, file: File, owner: &Owner, range: Range) {
        let mut table = self.lock();
        if table.cancelled.len() >= CANCELLED {
            table.cancelled.pop_front();
        }
        table.cancellations += 1;
        let number = table.cancellations;
        table.cancelled.push_back((number, file, owner.clone(), range));
        drop(table);
        self.changed.notify_waiters();
    }

    /// Releases what `owner` holds in `range`.
    pub(super) fn release(&self, file: File, owner: &Owner, range: Range) {
        self.lock().cut(file, owner, range);
        self.changed.notify_waiters();
    }

    /// Releases everything that the client called `caller` at `peer` holds: it restarted.
    pub(crate) fn forget(&self, peer: IpAddr, caller: &[u8]) {
        let mut table = self.lock();
        table.files.retain(|_, locks| {
            locks.retain(|lock| lock.owner.peer != peer || *lock.owner.caller != *caller);
            !locks.is_empty()
        });
        table.count = table.files.values().map(Vec::len).sum();
        drop(table);
        self.changed.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Takes `range` out of the owner's locks.
    fn cut(&mut self, file: File, owner: &Owner, range: Range) {
        let Some(locks) = self.files.get_mut(&file) else { return };
        let before = locks.len();
        let mut rests = Vec::new();
        locks.retain(|lock| {
            let is_hit = lock.owner == *owner && lock.range.overlaps(range);
            if is_hit {
                rests.extend(lock.range.without(range).map(|rest| Lock { range: rest, ..lock.clone() }));
            }
            !is_hit
        });
        locks.append(&mut rests);
        let after = locks.len();
        if locks.is_empty() {
            self.files.remove(&file);
        }
        self.count = (self.count + after).saturating_sub(before);
    }

    /// Whether a request that began after `since` cancellations was taken back.
    fn is_cancelled(&self, since: u64, file: File, wanted: &Lock) -> bool {
        let later = self.cancelled.iter().rev().take_while(|(number, ..)| *number > since);
        later.into_iter().any(|(_, at, by, what)| *at == file && *by == wanted.owner && *what == wanted.range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FILE: File = File { export: 1, own: Identity(2) };

    fn lock(process: u32, is_exclusive: bool, offset: u64, length: u64) -> Lock {
        let owner =
            Owner { peer: "192.0.2.1".parse().unwrap(), caller: (*b"host").into(), object: Box::default(), process };
        Lock { owner, is_exclusive, range: Range::new(offset, length) }
    }

    #[test]
    fn exclusive_locks_of_others_are_in_the_way_and_shared_ones_only_of_exclusive_ones() {
        let locks = Locks::default();
        assert_eq!(locks.acquire(FILE, lock(1, false, 0, 0)), Status::Granted);
        assert_eq!(locks.acquire(FILE, lock(2, false, 5, 5)), Status::Granted);
        assert_eq!(locks.acquire(FILE, lock(3, true, 9, 1)), Status::Denied);
        assert_eq!(locks.conflict(FILE, &lock(3, true, 100, 1)).unwrap().owner.process, 1);
        locks.release(FILE, &lock(1, false, 0, 0).owner, Range::new(0, 0));
        assert_eq!(locks.acquire(FILE, lock(3, true, 10, 1)), Status::Granted);
    }

    #[test]
    fn unlocking_the_middle_leaves_both_ends() {
        let locks = Locks::default();
        assert_eq!(locks.acquire(FILE, lock(1, true, 0, 100)), Status::Granted);
        locks.release(FILE, &lock(1, true, 0, 0).owner, Range::new(40, 20));
        assert_eq!(locks.acquire(FILE, lock(2, true, 40, 20)), Status::Granted);
        assert_eq!(locks.acquire(FILE, lock(2, true, 39, 1)), Status::Denied);
        assert_eq!(locks.acquire(FILE, lock(2, true, 60, 1)), Status::Denied);
    }

    #[test]
    fn a_client_that_restarted_holds_nothing() {
        let locks = Locks::default();
        assert_eq!(locks.acquire(FILE, lock(1, true, 0, 0)), Status::Granted);
        locks.forget("192.0.2.9".parse().unwrap(), b"host");
        assert!(locks.conflict(FILE, &lock(2, true, 0, 0)).is_some());
        locks.forget("192.0.2.1".parse().unwrap(), b"host");
        assert!(locks.conflict(FILE, &lock(2, true, 0, 0)).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiter_gets_the_lock_when_it_is_released() {
        let locks = std::sync::Arc::new(Locks::default());
        assert_eq!(locks.acquire(FILE, lock(1, true, 0, 0)), Status::Granted);
        let waiter = tokio::spawn({
            let locks = locks.clone();
            async move { locks.acquire_within(FILE, lock(2, true, 0, 0), Duration::from_secs(8)).await }
        });
        tokio::task::yield_now().await;
        locks.release(FILE, &lock(1, true, 0, 0).owner, Range::new(0, 0));
        assert_eq!(waiter.await.unwrap(), Status::Granted);
        assert_eq!(locks.acquire_within(FILE, lock(3, true, 0, 0), Duration::from_secs(8)).await, Status::Blocked);
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancelled_waiter_never_gets_the_lock() {
        let locks = std::sync::Arc::new(Locks::default());
        assert_eq!(locks.acquire(FILE, lock(1, true, 0, 0)), Status::Granted);
        let waiter = tokio::spawn({
            let locks = locks.clone();
            async move { locks.acquire_within(FILE, lock(2, true, 0, 0), Duration::from_secs(8)).await }
        });
        tokio::task::yield_now().await;
        locks.cancel(FILE, &lock(2, true, 0, 0).owner, Range::new(0, 0));
        locks.release(FILE, &lock(1, true, 0, 0).owner, Range::new(0, 0));
        assert_eq!(waiter.await.unwrap(), Status::Denied);
        assert!(locks.conflict(FILE, &lock(3, true, 0, 0)).is_none());
    }

    proptest! {
        /// Against a model that keeps the holder of every byte.
        #[test]
        fn the_table_agrees_with_a_map_of_bytes(steps in proptest::collection::vec((1u32..4, 0u64..24, 1u64..12, any::<bool>()), 1..60)) {
            let locks = Locks::default();
            let mut bytes = [0u32; 40];
            for (process, offset, length, is_locking) in steps {
                let wanted = lock(process, true, offset, length);
                let range = offset as usize..(offset + length) as usize;
                if is_locking {
                    let is_free = bytes[range.clone()].iter().all(|holder| *holder == 0 || *holder == process);
                    prop_assert_eq!(locks.acquire(FILE, wanted) == Status::Granted, is_free);
                    if is_free { bytes[range].fill(process) }
                } else {
                    locks.release(FILE, &wanted.owner, wanted.range);
                    for holder in &mut bytes[range] {
                        if *holder == process { *holder = 0 }
                    }
                }
                for (byte, holder) in bytes.iter().enumerate() {
                    let found = locks.conflict(FILE, &lock(9, true, byte as u64, 1)).map_or(0, |lock| lock.owner.process);
                    prop_assert_eq!(found, *holder);
                }
            }
            let table = locks.lock();
            prop_assert_eq!(table.count, table.files.values().map(Vec::len).sum::<usize>());
        }
    }
}
