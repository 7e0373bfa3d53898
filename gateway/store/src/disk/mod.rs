//! `DiskStore`: the trait of the VFS over the index and the content files.
//!
//! Writes are in the operating system's hands when a method returns, so a killed process loses nothing; the disk has them a few seconds
//! later ([`Options::sync_interval`]), so a power failure may lose those seconds, but never mixes old and new: every value carries a
//! checksum, and the checksum of a chunk is written after the chunk.

mod records;
mod sync;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use vfs::backend::Job;
use vfs::endpoint::Endpoint;
use vfs::error::{Error, Result};
use vfs::node::Identity;
use vfs::store::{ContentKey, DirectoryKey, DirectoryRecord, FileRecord, JobRecord, Store, Usage};

use crate::contents::{ChunkRecord, Contents};
use crate::error::{self, OpenError};
use crate::index::Index;
use crate::layout::Layout;
use crate::{envelope, key, listing};
use records::{Counters, StoredDirectory};
use sync::Syncer;

/// How a state is opened.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Memory for blocks of the index (D43), in bytes.
    pub cache_bytes: u64,
    /// Memory for writes that are not in the index's tables yet (D43), in bytes. Fixed when the state is made.
    pub write_buffer_bytes: u64,
    /// How long a write may wait until the disk itself has it.
    pub sync_interval: Duration,
}

impl Default for Options {
    fn default() -> Options {
        Options { cache_bytes: 16 << 20, write_buffer_bytes: 16 << 20, sync_interval: Duration::from_secs(5) }
    }
}

/// The store on the local disk.
pub struct DiskStore {
    // Fields are dropped in this order: the syncer, then the index, at last the lock.
    syncer: Syncer,
    index: Arc<Index>,
    contents: Contents,
    /// Held while something is read, changed and written back.
    counters: Mutex<Option<Counters>>,
    _layout: Layout,
}

impl std::fmt::Debug for DiskStore {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("DiskStore").field("state", &self._layout.state()).finish_non_exhaustive()
    }
}

impl DiskStore {
    /// Opens the state in `directory`, making it if there is none. Takes time for what was written last, not for what is kept.
    ///
    /// # Errors
    /// If another gateway uses it, if it has another format, if the index is damaged, or if the operating system refuses.
    pub fn open(directory: &Path, options: Options) -> Result<DiskStore, OpenError> {
        let layout = Layout::claim(directory)?;
        let index = Arc::new(Index::open(layout.state(), &layout.index(), options)?);
        let counters = Counters::take(&index)
            .map_err(|reason| OpenError::Damaged { state: layout.state().into(), reason: reason.to_string() })?;
        Ok(DiskStore {
            syncer: Syncer::start(index.clone(), options.sync_interval)
                .map_err(|cause| OpenError::io(directory, cause))?,
            contents: Contents::new(layout.content()),
            counters: Mutex::new(counters),
            index,
            _layout: layout,
        })
    }

    /// Makes sure that the disk itself has everything that was written.
    ///
    /// # Errors
    /// `Backend` if the disk fails.
    pub fn sync(&self) -> Result<()> {
        let synced = self.index.database.persist(fjall::PersistMode::SyncAll);
        synced.map_err(|cause| error::index("syncing the state", &cause))
    }

    fn counting(&self) -> MutexGuard<'_, Option<Counters>> {
        // A panic in the middle leaves numbers that are off by one write at most.
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stored(&self, key: DirectoryKey) -> Result<Option<StoredDirectory>> {
        let bytes = self
            .index
            .directories
            .get(key::directory(key))
            .map_err(|cause| error::index("reading a directory", &cause))?;
        bytes.map(|bytes| envelope::open(&bytes)).transpose()
    }

    fn commit(&self, doing: &str, batch: fjall::OwnedWriteBatch) -> Result<()> {
        batch.commit().map_err(|cause| error::index(doing, &cause))?;
        self.syncer.written();
        Ok(())
    }
}

impl Store for DiskStore {
    fn directory(&self, key: DirectoryKey) -> Result<Option<DirectoryRecord>> {
        Ok(self.stored(key)?.map(|stored| stored.record))
    }

    fn put_directories(&self, records: &[(DirectoryKey, DirectoryRecord)]) -> Result<()> {
        let mut counters = self.counting();
        let mut batch = self.index.database.batch();
        let mut added = std::collections::HashSet::new();
        for (key, record) in records {
            let kept = match self.stored(*key)? {
                Some(stored) => stored.generations,
                None => {
                    added.insert(*key);
                    [0, 0]
                }
            };
            let stored = StoredDirectory { generations: kept, record: record.clone() };
            batch.insert(&self.index.directories, key::directory(*key), envelope::seal(&stored)?);
        }
        self.commit("writing directories", batch)?;
        if let Some(counters) = counters.as_mut() {
            counters.add_directories(added.len() as u64);
        }
        Ok(())
    }

    fn publish(&self, key: DirectoryKey, record: &DirectoryRecord, rows: &[u8]) -> Result<()> {
        let rows = listing::compress(rows)?;
        let mut counters = self.counting();
        let mut batch = self.index.database.batch();
        let before = self.stored(key)?;
        let (generations, dropped) =
            records::next_generations(before.as_ref().map_or([0, 0], |stored| stored.generations), record.generation);
        if let Some(dropped) = dropped {
            batch.remove(&self.index.listings, key::rows(key, dropped));
        }
        let stored = StoredDirectory { generations, record: record.clone() };
        batch.insert(&self.index.directories, key::directory(key), envelope::seal(&stored)?);
        batch.insert(&self.index.listings, key::rows(key, record.generation), rows);
        self.commit("publishing a listing", batch)?;
        if let Some(counters) = counters.as_mut() {
            counters.add_directories(before.is_none().into());
        }
        Ok(())
    }

    fn rows(&self, key: DirectoryKey, generation: u32) -> Result<Option<Bytes>> {
        let bytes = self
            .index
            .listings
            .get(key::rows(key, generation))
            .map_err(|cause| error::index("reading a listing", &cause))?;
        let Some(bytes) = bytes else { return Ok(None) };
        match listing::decompress(&bytes) {
            Ok(rows) => Ok(Some(rows)),
            Err(damage) => {
                tracing::warn!(directory = ?key, generation, %damage, "a stored listing is damaged and counts as gone");
                Ok(None)
            }
        }
    }

    fn files(&self, directory: DirectoryKey) -> Result<Vec<(Identity, FileRecord)>> {
        let failed = |cause: fjall::Error| error::index("reading the files of a directory", &cause);
        let mut files = Vec::new();
        for entry in self.index.files.prefix(key::directory(directory)) {
            let (key, bytes) = entry.into_inner().map_err(failed)?;
            let own = key::parse_file(&key).ok_or_else(|| Error::backend("a key of the gateway's state is damaged"))?;
            files.push((own, envelope::open(&bytes)?));
        }
        Ok(files)
    }

    fn put_file(&self, directory: DirectoryKey, own: Identity, record: &FileRecord) -> Result<()> {
        let mut batch = self.index.database.batch();
        batch.insert(&self.index.files, key::file(directory, own), envelope::seal(record)?);
        self.commit("writing a file's record", batch)
    }

    fn each_directory(&self, export: u64, visit: &mut dyn FnMut(DirectoryKey, DirectoryRecord) -> bool) -> Result<()> {
        let mut damaged = None;
        for entry in self.index.directories.prefix(export.to_be_bytes()) {
            let (key, bytes) = entry.into_inner().map_err(|cause| error::index("reading directories", &cause))?;
            match (key::parse_directory(&key), envelope::open::<StoredDirectory>(&bytes)) {
                (Some(key), Ok(stored)) => {
                    if stored.record.listing.is_some() && !visit(key, stored.record) {
                        return Ok(());
                    }
                }
                (None, _) => damaged = Some(Error::backend("a key of the gateway's state is damaged")),
                (_, Err(error)) => damaged = Some(error),
            }
        }
        // What is readable was visited; that something is missing must still be told.
        damaged.map_or(Ok(()), Err)
    }

    fn endpoints(&self) -> Result<Vec<Endpoint>> {
        let mut endpoints = Vec::new();
        for entry in self.index.endpoints.iter() {
            let bytes = entry.value().map_err(|cause| error::index("reading endpoints", &cause))?;
            // The server names them all again within seconds: one damaged record must not stop the start.
            if let Ok(endpoint) = envelope::open(&bytes) {
                endpoints.push(endpoint);
            }
        }
        Ok(endpoints)
    }

    fn put_endpoint(&self, endpoint: &Endpoint) -> Result<()> {
        let mut batch = self.index.database.batch();
        batch.insert(&self.index.endpoints, key::endpoint(&endpoint.id), envelope::seal(endpoint)?);
        self.commit("writing an endpoint", batch)
    }

    fn put_job(&self, record: &JobRecord) -> Result<()> {
        let mut batch = self.index.database.batch();
        batch.insert(&self.index.jobs, key::job(&record.job), envelope::seal(record)?);
        self.commit("writing a job", batch)
    }

    fn remove_job(&self, job: &Job) -> Result<()> {
        let mut batch = self.index.database.batch();
        batch.remove(&self.index.jobs, key::job(job));
        self.commit("forgetting a job", batch)
    }

    fn jobs(&self) -> Result<Vec<JobRecord>> {
        let mut jobs = Vec::new();
        for entry in self.index.jobs.iter() {
            let bytes = entry.value().map_err(|cause| error::index("reading jobs", &cause))?;
            // Damage is logged where it is found.
            jobs.extend(envelope::open::<JobRecord>(&bytes).ok());
        }
        Ok(jobs)
    }

    fn chunk(&self, content: ContentKey, index: u64) -> Result<Option<Bytes>> {
        let bytes = self
            .index
            .chunks
            .get(key::chunk(content, index))
            .map_err(|cause| error::index("reading a chunk's checksum", &cause))?;
        let Some(bytes) = bytes else { return Ok(None) };
        let Some(record) = ChunkRecord::from_bytes(&bytes) else {
            tracing::warn!(?content, index, "the checksum of a chunk is damaged, so the chunk is fetched again");
            return Ok(None);
        };
        self.contents.read(content, index, record)
    }

    fn put_chunk(&self, content: ContentKey, index: u64, bytes: &[u8]) -> Result<()> {
        let record = self.contents.write(content, index, bytes)?;
        let key = key::chunk(content, index);
        let mut counters = self.counting();
        if let Some(counters) = counters.as_mut() {
            let before = self.index.chunks.get(key);
            let before = before.map_err(|cause| error::index("reading a chunk's checksum", &cause))?;
            let before = before.and_then(|bytes| ChunkRecord::from_bytes(&bytes));
            counters.replace_content(before.map_or(0, ChunkRecord::length), record.length());
        }
        let mut batch = self.index.database.batch();
        batch.insert(&self.index.chunks, key, record.to_bytes());
        self.commit("writing a chunk's checksum", batch)
    }

    fn chunk_count(&self, content: ContentKey) -> Result<u64> {
        let mut count = 0;
        for entry in self.index.chunks.prefix(content.0.to_be_bytes()) {
            entry.key().map_err(|cause| error::index("counting chunks", &cause))?;
            count += 1;
        }
        Ok(count)
    }

    fn usage(&self) -> Result<Usage> {
        let mut counters = self.counting();
        let counted = match *counters {
            Some(counted) => counted,
            None => *counters.insert(Counters::count(&self.index)?),
        };
        drop(counters);
        let listing_bytes = self.index.database.disk_space();
        let listing_bytes = listing_bytes.map_err(|cause| error::index("measuring the state", &cause))?;
        Ok(Usage { directories: counted.directories, listing_bytes, content_bytes: counted.content_bytes })
    }
}

impl Drop for DiskStore {
    fn drop(&mut self) {
        if let Some(counters) = *self.counting() {
            // If it fails, they are counted again; the failure was logged.
            let _ = counters.leave(&self.index);
            self.syncer.written();
        }
    }
}

#[cfg(test)]
mod tests;
