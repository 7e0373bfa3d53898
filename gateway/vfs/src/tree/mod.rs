//! The tree in memory: directories by identity, loaded from the store when they are needed, dropped when memory runs short.

mod bucket;
mod directory;
mod endpoints;
mod link;
mod own;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use dashmap::DashMap;

pub use bucket::Budget;
pub(crate) use directory::{Directory, Loaded, State};
pub(crate) use endpoints::{Delivering, EndpointEntry, Endpoints, Round};
pub(crate) use link::safe_target;
pub(crate) use own::{
    BY_NAME, COLLECTED, FROZEN_ROOT, ORG, REACHABLE_ACCESSORS, accessor_rows, by_name_rows, org_rows, orgs, orgs_rows,
    root_rows,
};

use crate::attributes::FileType;
use crate::error::{Error, Result};
use crate::node::{Identity, Keys, Node, NodeKind};
use crate::path::EndpointPath;
use crate::snapshot::{Rows, Snapshot};
use crate::store::{DirectoryKey, DirectoryRecord, Place, Store};
use crate::uploads::job_place;

/// All directories that are in memory, and the way to those that are not.
pub(crate) struct Tree {
    keys: Keys,
    store: Arc<dyn Store>,
    directories: DashMap<DirectoryKey, Arc<Directory>>,
    /// Bytes of snapshots in memory, and how many may be.
    bytes: AtomicUsize,
    limit: usize,
    /// Counts accesses; what was used last stays longest.
    tick: AtomicU32,
}

/// Identity-only directories beyond this number are forgotten when memory is swept.
const DIRECTORIES_KEPT: usize = 20_000;
const STAMPED_CHILDREN: usize = 1_000;

impl Tree {
    pub(crate) fn new(keys: Keys, store: Arc<dyn Store>, limit: usize) -> Tree {
        Tree { keys, store, directories: DashMap::new(), bytes: AtomicUsize::new(0), limit, tick: AtomicU32::new(0) }
    }

    /// The directory if it is in memory.
    pub(crate) fn in_memory(&self, key: DirectoryKey) -> Option<Arc<Directory>> {
        let directory = self.directories.get(&at_root(key))?.clone();
        directory.touch(self.tick.fetch_add(1, Ordering::Relaxed));
        Some(directory)
    }

    /// The directory that a directory's node names: from memory, its own record, or its parent's listing.
    pub(crate) async fn resolve(self: &Arc<Tree>, node: &Node) -> Result<Arc<Directory>> {
        let key = DirectoryKey { export: node.export, own: node.own };
        if let Some(directory) = self.in_memory(key) {
            return Ok(directory);
        }
        if let Some(directory) = self.from_record(key).await? {
            return Ok(directory);
        }
        let parent = self.resolve_key(DirectoryKey { export: node.export, own: node.parent }).await?;
        let loaded = self.load(&parent).await?.ok_or_else(gone)?;
        if let Some(entry) = loaded.snapshot.by_identity(node.own) {
            if let Some(place) = job_place(&parent.place, &entry.row) {
                return Ok(self.insert(node.export, node.parent, node.own, place));
            }
            return self.child(&parent, entry.row.name(), node.own);
        }
        if let Place::Accessors(_) = &parent.place {
            let reachable =
                REACHABLE_ACCESSORS.iter().find(|name| self.keys.child(parent.node.own, name, 0) == node.own);
            if let Some(name) = reachable {
                return self.child(&parent, name, node.own);
            }
        }
        Err(gone())
    }

    /// The directory with this key: from memory or its own record.
    pub(crate) async fn resolve_key(self: &Arc<Tree>, key: DirectoryKey) -> Result<Arc<Directory>> {
        let key = at_root(key);
        if let Some(directory) = self.in_memory(key) {
            return Ok(directory);
        }
        self.from_record(key).await?.ok_or_else(gone)
    }

    /// The child directory `name` of a directory of an endpoint, or the root of its accessor `name`.
    pub(crate) fn child(&self, parent: &Arc<Directory>, name: &str, own: Identity) -> Result<Arc<Directory>> {
        let place = child_place(&parent.place, name)?;
        Ok(self.insert(parent.node.export, parent.node.own, own, place))
    }

    /// The directory at `place`, made if it is not in memory.
    pub(crate) fn insert(&self, export: u64, parent: Identity, own: Identity, place: Place) -> Arc<Directory> {
        let key = DirectoryKey { export, own };
        let made = || {
            let node = Node { kind: NodeKind::Directory, export, parent, own, version: 0, session: 0, view: 0 };
            Arc::new(Directory::new(node, place, State::default()))
        };
        self.directories.entry(key).or_insert_with(made).clone()
    }

    /// As [`Tree::insert`], but what the store remembers of it counts.
    pub(crate) async fn known(
        self: &Arc<Tree>,
        export: u64,
        parent: Identity,
        own: Identity,
        place: Place,
    ) -> Result<Arc<Directory>> {
        let key = DirectoryKey { export, own };
        if let Some(directory) = self.in_memory(key) {
            return Ok(directory);
        }
        match self.from_record(key).await? {
            Some(directory) => Ok(directory),
            None => Ok(self.insert(export, parent, own, place)),
        }
    }

    /// The current listing in memory, read from the store if need be; `None` if the directory was never listed.
    pub(crate) async fn load(self: &Arc<Tree>, directory: &Arc<Directory>) -> Result<Option<Arc<Loaded>>> {
        if let Some(loaded) = directory.loaded() {
            return Ok(Some(loaded));
        }
        let generation = directory.state().generation;
        if generation == 0 {
            return Ok(None);
        }
        let Some(snapshot) = self.read_rows(directory, generation).await? else {
            return Err(Error::backend("a listing is missing from the local store; refresh the directory"));
        };
        let store = self.store.clone();
        let key = directory.key();
        let below = sub_directories(&snapshot);
        let (files, known) = blocking(move || {
            let record =
                |own| Ok(store.directory(DirectoryKey { export: key.export, own })?.map(|record| (own, record)));
            let known: Result<Vec<_>> = below.into_iter().filter_map(|own| record(own).transpose()).collect();
            Ok((store.files(key)?, known?))
        })
        .await?;
        for (own, record) in known {
            self.insert_record(DirectoryKey { export: key.export, own }, record);
        }
        let loaded = Arc::new(Loaded { generation, snapshot });
        self.count_in(loaded.snapshot.memory());
        directory.set_loaded(loaded.clone(), files);
        self.sweep_if_needed(directory.key());
        Ok(Some(loaded))
    }

    /// An earlier generation, from the pinned ones or from the store; `None` if it is gone.
    pub(crate) async fn load_generation(
        self: &Arc<Tree>,
        directory: &Arc<Directory>,
        generation: u32,
    ) -> Result<Option<Arc<Loaded>>> {
        if let Some(loaded) = directory.generation_in_memory(generation) {
            return Ok(Some(loaded));
        }
        if directory.state().generation == generation {
            return self.load(directory).await;
        }
        let Some(snapshot) = self.read_rows(directory, generation).await? else {
            return Ok(None);
        };
        let loaded = Arc::new(Loaded { generation, snapshot });
        directory.pin(loaded.clone());
        Ok(Some(loaded))
    }

    /// Counts a snapshot that came into memory.
    pub(crate) fn count_in(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts a snapshot that left memory.
    pub(crate) fn count_out(&self, bytes: usize) {
        let _ = self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| Some(now.saturating_sub(bytes)));
    }

    /// Drops what was used least lately when snapshots take more memory than they may. `latest`, which has just come, stays even if it is
    /// larger than all that may stay: whoever looks at a huge directory looks at it page by page.
    pub(crate) fn sweep_if_needed(&self, latest: DirectoryKey) {
        if self.bytes.load(Ordering::Relaxed) <= self.limit && self.directories.len() <= DIRECTORIES_KEPT * 2 {
            return;
        }
        let now = self.tick.load(Ordering::Relaxed);
        let mut by_age: Vec<(u32, DirectoryKey)> =
            self.directories.iter().map(|entry| (now.wrapping_sub(entry.last_used()), *entry.key())).collect();
        by_age.sort_unstable_by_key(|(age, _)| std::cmp::Reverse(*age));
        let latest_bytes = self.directories.get(&latest).and_then(|directory| directory.loaded());
        let goal = self.limit / 4 * 3 + latest_bytes.map_or(0, |loaded| loaded.snapshot.memory());
        for (_, key) in &by_age {
            if self.bytes.load(Ordering::Relaxed) <= goal {
                break;
            }
            if *key != latest
                && let Some(directory) = self.directories.get(key)
                && let Some(freed) = directory.unload()
            {
                self.count_out(freed);
            }
        }
        let surplus = self.directories.len().saturating_sub(DIRECTORIES_KEPT);
        for (_, key) in by_age.iter().take(surplus) {
            self.directories.remove_if(key, |_, directory| directory.is_idle() && Arc::strong_count(directory) == 1);
        }
    }

    async fn from_record(self: &Arc<Tree>, key: DirectoryKey) -> Result<Option<Arc<Directory>>> {
        let store = self.store.clone();
        let Some(record) = blocking(move || store.directory(key)).await? else {
            return Ok(None);
        };
        Ok(Some(self.insert_record(key, record)))
    }

    fn insert_record(&self, key: DirectoryKey, record: DirectoryRecord) -> Arc<Directory> {
        let made = || {
            let node = Node {
                kind: NodeKind::Directory,
                export: key.export,
                parent: record.parent.0,
                own: key.own,
                version: 0,
                session: 0,
                view: 0,
            };
            let state = State { generation: record.generation, listing: record.listing, failure: record.failure };
            Arc::new(Directory::new(node, record.place, state))
        };
        self.directories.entry(key).or_insert_with(made).clone()
    }

    async fn read_rows(self: &Arc<Tree>, directory: &Arc<Directory>, generation: u32) -> Result<Option<Snapshot>> {
        let store = self.store.clone();
        let keys = self.keys.clone();
        let key = directory.key();
        blocking(move || {
            let Some(bytes) = store.rows(key, generation)? else {
                return Ok(None);
            };
            let rows = Rows::decode(&bytes).map_err(|error| {
                tracing::error!(directory = ?key, %error, "a stored listing cannot be read");
                Error::backend("a listing in the local store is damaged; refresh the directory")
            })?;
            Ok(Some(Snapshot::seal(rows, key.own, &keys)))
        })
        .await
    }
}

/// The directory above an endpoint's own is `/`, whose export is 0.
fn at_root(key: DirectoryKey) -> DirectoryKey {
    if key.own == Identity::ROOT { DirectoryKey { export: 0, own: Identity::ROOT } } else { key }
}

/// The place of a child directory.
pub(crate) fn child_place(parent: &Place, name: &str) -> Result<Place> {
    match parent {
        Place::Endpoint(path) => Ok(Place::Endpoint(path.child(name)?)),
        Place::Accessors(endpoint) if name == COLLECTED => Ok(Place::Collected(endpoint.clone())),
        Place::Uploads(place) => Ok(Place::Uploads(place.child(name))),
        Place::Accessors(endpoint) => Ok(Place::Endpoint(EndpointPath::accessor_root(endpoint.clone(), name))),
        _ => Err(gone()),
    }
}

/// The sub-directories whose change stamps a listing shows: their records come into memory with it. In very wide directories they
/// do not; there a stamp may be missing until the sub-directory is visited.
fn sub_directories(snapshot: &Snapshot) -> Vec<Identity> {
    let directories = snapshot.entries().filter(|entry| entry.row.file_type() == FileType::Directory);
    directories.take(STAMPED_CHILDREN).map(|entry| entry.identity).collect()
}

/// Runs something that waits for the disk where it holds nobody up.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Error::backend(format!("the local store could not be asked: {error}"))),
    }
}

/// The handle's object is not in any listing that we know of.
pub(crate) fn gone() -> Error {
    Error::stale("this is no longer in the listing of its directory")
}
