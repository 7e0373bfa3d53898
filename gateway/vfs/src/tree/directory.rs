//! One directory in memory: its place, what is known of its listing, the listing itself while it is hot, and who waits for a new one.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, ArcSwapOption};

use crate::flight::Flight;
use crate::node::{Identity, Node};
use crate::snapshot::Snapshot;
use crate::store::{DirectoryKey, DirectoryRecord, FailureRecord, FileRecord, IdentityText, ListingRecord, Place};

/// A snapshot and its place in the directory's history.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub generation: u32,
    pub snapshot: Snapshot,
}

/// What is known of a directory's listing. Changes as a whole.
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    pub generation: u32,
    pub listing: Option<ListingRecord>,
    pub failure: Option<FailureRecord>,
}

type Files = HashMap<Identity, Arc<FileRecord>>;

/// A directory.
pub(crate) struct Directory {
    pub node: Node,
    pub place: Place,
    state: ArcSwap<State>,
    loaded: ArcSwapOption<Loaded>,
    /// Collected versions of the files in it; loaded and dropped together with the listing.
    files: ArcSwap<Files>,
    /// Serialises changes of `state`, `loaded` and `files`.
    writer: Mutex<()>,
    /// Earlier generations that readers still go through.
    pinned: Mutex<VecDeque<Arc<Loaded>>>,
    /// A listing of this directory that is under way.
    flight: Mutex<Option<Arc<Flight>>>,
    /// Collections of files in it that are under way.
    collections: Mutex<HashMap<(Identity, u32), Arc<Flight>>>,
    last_used: AtomicU32,
    /// One listing is published at a time.
    pub publishing: tokio::sync::Mutex<()>,
    /// One file's record is changed at a time.
    pub recording: tokio::sync::Mutex<()>,
}

/// How many earlier generations stay in memory.
const PINNED: usize = 3;

impl Directory {
    pub(crate) fn new(node: Node, place: Place, state: State) -> Directory {
        Directory {
            node,
            place,
            state: ArcSwap::from_pointee(state),
            loaded: ArcSwapOption::empty(),
            files: ArcSwap::from_pointee(Files::new()),
            writer: Mutex::new(()),
            pinned: Mutex::new(VecDeque::new()),
            flight: Mutex::new(None),
            collections: Mutex::new(HashMap::new()),
            last_used: AtomicU32::new(0),
            publishing: tokio::sync::Mutex::new(()),
            recording: tokio::sync::Mutex::new(()),
        }
    }

    pub(crate) fn key(&self) -> DirectoryKey {
        DirectoryKey { export: self.node.export, own: self.node.own }
    }

    /// The server holds the content of every file in it: nothing is ever collected for a reader.
    pub(crate) fn is_uploads(&self) -> bool {
        matches!(self.place, Place::Uploads(_))
    }

    pub(crate) fn touch(&self, tick: u32) {
        self.last_used.store(tick, Ordering::Relaxed);
    }

    pub(crate) fn last_used(&self) -> u32 {
        self.last_used.load(Ordering::Relaxed)
    }

    pub(crate) fn state(&self) -> arc_swap::Guard<Arc<State>> {
        self.state.load()
    }

    /// What is known of the listing `loaded`; `None` if another one has become current. Rows of one listing must never be judged by the
    /// age of another.
    pub(crate) fn state_of(&self, loaded: &Loaded) -> Option<arc_swap::Guard<Arc<State>>> {
        Some(self.state()).filter(|state| state.generation == loaded.generation)
    }

    /// The current listing, if it is in memory.
    pub(crate) fn loaded(&self) -> Option<Arc<Loaded>> {
        self.loaded.load_full()
    }

    /// As [`Directory::loaded`], without counting a reference.
    pub(crate) fn loaded_guard(&self) -> arc_swap::Guard<Option<Arc<Loaded>>> {
        self.loaded.load()
    }

    /// Collected versions of the file `own`, if the listing is in memory.
    pub(crate) fn file(&self, own: Identity) -> Option<Arc<FileRecord>> {
        self.files.load().get(&own).cloned()
    }

    /// What the store should remember.
    pub(crate) fn record(&self, state: &State) -> DirectoryRecord {
        DirectoryRecord {
            parent: IdentityText(self.node.parent),
            place: self.place.clone(),
            generation: state.generation,
            listing: state.listing.clone(),
            failure: state.failure.clone(),
        }
    }

    /// Brings the current listing into memory.
    pub(crate) fn set_loaded(&self, loaded: Arc<Loaded>, files: Vec<(Identity, FileRecord)>) {
        let _writer = lock(&self.writer);
        if self.state.load().generation == loaded.generation {
            let mut map: Files = files.into_iter().map(|(own, record)| (own, Arc::new(record))).collect();
            // What was collected while the store was being read is newer.
            map.extend(self.files.load().iter().map(|(own, record)| (*own, record.clone())));
            self.files.store(Arc::new(map));
            self.loaded.store(Some(loaded));
        }
    }

    /// Makes a new listing the current one; returns the bytes of the one before. The store has it already (D33).
    pub(crate) fn publish(&self, state: State, loaded: Arc<Loaded>) -> usize {
        let _writer = lock(&self.writer);
        let before = self.loaded.swap(Some(loaded));
        self.state.store(Arc::new(state));
        let freed = before.as_ref().map_or(0, |loaded| loaded.snapshot.memory());
        if let Some(before) = before {
            self.pin(before);
        }
        freed
    }

    /// Changes what is known without a new listing (a failure).
    pub(crate) fn set_state(&self, state: State) {
        let _writer = lock(&self.writer);
        self.state.store(Arc::new(state));
    }

    /// Remembers what was collected of one file.
    pub(crate) fn set_file(&self, own: Identity, record: FileRecord) {
        let _writer = lock(&self.writer);
        let mut files = Files::clone(&self.files.load());
        files.insert(own, Arc::new(record));
        self.files.store(Arc::new(files));
    }

    /// Keeps an earlier generation for readers who are in the middle of it.
    pub(crate) fn pin(&self, loaded: Arc<Loaded>) {
        let mut pinned = lock(&self.pinned);
        if pinned.iter().any(|other| other.generation == loaded.generation) {
            return;
        }
        pinned.push_back(loaded);
        while pinned.len() > PINNED {
            pinned.pop_front();
        }
    }

    /// A generation that is in memory.
    pub(crate) fn generation_in_memory(&self, generation: u32) -> Option<Arc<Loaded>> {
        if let Some(loaded) = self.loaded()
            && loaded.generation == generation
        {
            return Some(loaded);
        }
        lock(&self.pinned).iter().find(|loaded| loaded.generation == generation).cloned()
    }

    /// Drops the listing from memory; the bytes that this frees. The gateway's own directories stay.
    pub(crate) fn unload(&self) -> Option<usize> {
        if !self.place.is_kept() {
            return None;
        }
        // Whoever changes a file's record counts on the records in memory.
        let _nobody_records = self.recording.try_lock().ok()?;
        let _writer = lock(&self.writer);
        lock(&self.pinned).clear();
        let before = self.loaded.swap(None)?;
        self.files.store(Arc::new(Files::new()));
        Some(before.snapshot.memory())
    }

    /// Nothing of it is in memory but its identity, and nobody waits.
    pub(crate) fn is_idle(&self) -> bool {
        self.place.is_kept()
            && self.loaded.load().is_none()
            && lock(&self.flight).is_none()
            && lock(&self.collections).is_empty()
    }

    /// The listing under way, or the one that `start` makes.
    pub(crate) fn join_flight(&self, start: impl FnOnce() -> Arc<Flight>) -> (Arc<Flight>, bool) {
        let mut flight = lock(&self.flight);
        match &*flight {
            Some(running) if !running.has_ended() => (running.clone(), false),
            _ => {
                let started = start();
                *flight = Some(started.clone());
                (started, true)
            }
        }
    }

    /// Whether a listing is under way.
    pub(crate) fn is_being_listed(&self) -> bool {
        lock(&self.flight).as_ref().is_some_and(|flight| !flight.has_ended())
    }

    /// The listing under way, for somebody who only looks.
    pub(crate) fn flight_seen(&self) -> Option<Arc<Flight>> {
        lock(&self.flight).as_ref().filter(|flight| !flight.has_ended()).cloned()
    }

    /// Lets go of a listing that ended.
    pub(crate) fn end_flight(&self, ended: &Arc<Flight>) {
        let mut flight = lock(&self.flight);
        if flight.as_ref().is_some_and(|running| Arc::ptr_eq(running, ended)) {
            *flight = None;
        }
    }

    /// The collection of this version under way, or the one that `start` makes.
    pub(crate) fn join_collection(
        &self,
        file: (Identity, u32),
        start: impl FnOnce() -> Arc<Flight>,
    ) -> (Arc<Flight>, bool) {
        let mut collections = lock(&self.collections);
        match collections.get(&file) {
            Some(running) if !running.has_ended() => {
                running.want();
                (running.clone(), false)
            }
            _ => {
                let started = start();
                collections.insert(file, started.clone());
                (started, true)
            }
        }
    }

    /// Lets go of a collection that ended.
    pub(crate) fn end_collection(&self, file: (Identity, u32)) {
        lock(&self.collections).remove(&file);
    }

    /// Lets go of a collection that did not come, unless somebody joined it: then false.
    pub(crate) fn abandon_collection(&self, file: (Identity, u32)) -> bool {
        let mut collections = lock(&self.collections);
        let wanted = collections.get(&file).is_some_and(|flight| flight.is_wanted());
        if !wanted {
            collections.remove(&file);
        }
        !wanted
    }

    /// The collection of this version that is under way, for somebody who only looks.
    pub(crate) fn collection_seen(&self, file: (Identity, u32)) -> Option<Arc<Flight>> {
        lock(&self.collections).get(&file).filter(|running| !running.has_ended()).cloned()
    }

    /// The collection of this version that is under way, for somebody who wants it.
    pub(crate) fn collection(&self, file: (Identity, u32)) -> Option<Arc<Flight>> {
        let collections = lock(&self.collections);
        let running = collections.get(&file).filter(|running| !running.has_ended())?;
        running.want();
        Some(running.clone())
    }
}

/// A lock whose holder panicked protects nothing that could be half-changed here.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
