//! Publishing a listing: into the store first, then into memory, then the waiters wake (D33).

use std::sync::Arc;

use crate::backend::{Fetched, Listed, Observation};
use crate::content::{as_listed, record_collected, version_of_found};
use crate::error::{Error, Result};
use crate::path::EndpointPath;
use crate::snapshot::{Rows, Snapshot};
use crate::store::{ListingRecord, Place};
use crate::tree::{Directory, Loaded, State, blocking};
use crate::vfs::Inner;

impl Inner {
    /// Makes `listed` the current listing of `directory`, unless what we have is a later observation.
    pub(crate) async fn publish(self: &Arc<Self>, directory: &Arc<Directory>, listed: Listed) -> Result<()> {
        match self.publish_rows(directory, listed.rows, listed.observation, false).await? {
            Some(loaded) => self.take_collected(directory, &loaded, listed.collected).await,
            None => Ok(()),
        }
    }

    /// Makes `rows` the current listing of `directory`; `None` if what we have is a later observation. `settled`: they cannot change.
    pub(crate) async fn publish_rows(
        self: &Arc<Self>,
        directory: &Arc<Directory>,
        rows: Rows,
        observation: Observation,
        settled: bool,
    ) -> Result<Option<Arc<Loaded>>> {
        let _turn = directory.publishing.lock().await;
        let before = self.tree.load(directory).await.unwrap_or(None);
        let state = State::clone(&directory.state());
        if state.listing.as_ref().is_some_and(|listing| listing.observation.seen > observation.seen) {
            return Ok(None);
        }
        // What claims to be of the future must not stand in the way of what comes.
        let observation = Observation { seen: observation.seen.min(self.clock.now()), ..observation };
        let entries = u32::try_from(rows.len()).unwrap_or(u32::MAX);
        let listing = Some(ListingRecord { observation, entries, settled });
        if let Some(before) = &before
            && before.generation == state.generation
            && *before.snapshot.rows() == rows
        {
            // Nothing changed: clients' caches and cookies stay good.
            self.save_state(directory, State { listing, failure: None, ..state }).await?;
            return Ok(Some(before.clone()));
        }
        let state = State { generation: next_generation(state.generation), listing, failure: None };
        let record = directory.record(&state);
        let store = self.store.clone();
        let keys = self.keys.clone();
        let key = directory.key();
        let generation = state.generation;
        let snapshot = blocking(move || {
            store.publish(key, &record, &rows.encode())?;
            Ok(Snapshot::seal(rows, key.own, &keys))
        })
        .await?;
        let loaded = Arc::new(Loaded { generation, snapshot });
        self.tree.count_in(loaded.snapshot.memory());
        let freed = directory.publish(state, loaded.clone());
        self.tree.count_out(freed);
        self.tree.sweep_if_needed(key);
        Ok(Some(loaded))
    }

    /// Remembers what is known of a directory without a new listing.
    pub(crate) async fn save_state(self: &Arc<Self>, directory: &Arc<Directory>, state: State) -> Result<()> {
        let record = directory.record(&state);
        let key = directory.key();
        let store = self.store.clone();
        directory.set_state(state);
        blocking(move || store.put_directories(&[(key, record)])).await
    }

    /// The directory at `path`, which lies below `base` at `base_path`.
    pub(super) async fn directory_below(
        self: &Arc<Self>,
        base: &Arc<Directory>,
        base_path: &EndpointPath,
        path: &EndpointPath,
    ) -> Result<Arc<Directory>> {
        let below =
            path.components.strip_prefix(&*base_path.components).filter(|_| path.accessor == base_path.accessor);
        let Some(below) = below else {
            return Err(Error::backend("a listing came for a directory that was not asked for"));
        };
        let mut directory = base.clone();
        let mut place = base_path.clone();
        for name in below {
            place = place.child(name)?;
            let own = self.keys.child(directory.node.own, name, 0);
            directory =
                self.tree.known(directory.node.export, directory.node.own, own, Place::Endpoint(place.clone())).await?;
        }
        Ok(directory)
    }

    /// What the server already holds of the files in a listing (D9).
    async fn take_collected(
        self: &Arc<Self>,
        directory: &Arc<Directory>,
        loaded: &Arc<Loaded>,
        collected: Vec<(u32, Fetched)>,
    ) -> Result<()> {
        for (ordinal, fetched) in collected {
            let (Some(entry), Ok(content)) = (loaded.snapshot.entry(ordinal), fetched.content) else {
                continue;
            };
            let version = version_of_found(&entry, &content, &fetched.observation);
            let listed = as_listed(&entry, version);
            let fetched = (content, fetched.observation);
            record_collected(self, directory, entry.identity, version, listed, fetched, None).await?;
        }
        Ok(())
    }
}

/// Generations count up and stay below 2^31, so that cookies stay below 2^63 (D28).
fn next_generation(generation: u32) -> u32 {
    if generation >= (1 << 31) - 1 { 1 } else { generation + 1 }
}
