//! A store in memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::backend::Job;
use crate::endpoint::Endpoint;
use crate::error::Result;
use crate::node::Identity;
use crate::store::{ContentKey, DirectoryKey, DirectoryRecord, FileRecord, JobRecord, Store, Usage};

/// Survives the VFS over it, not the process.
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Mutex<State>,
}

#[derive(Debug, Clone, Default)]
struct State {
    directories: BTreeMap<DirectoryKey, DirectoryRecord>,
    rows: HashMap<(DirectoryKey, u32), Bytes>,
    files: BTreeMap<(DirectoryKey, Identity), FileRecord>,
    endpoints: BTreeMap<String, Endpoint>,
    jobs: HashMap<Job, JobRecord>,
    chunks: BTreeMap<(ContentKey, u64), Bytes>,
}

impl MemoryStore {
    /// What a new process finds after this one was killed: all that was written by now, and nothing that the one before still writes.
    pub fn after_a_kill(&self) -> Arc<MemoryStore> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Arc::new(MemoryStore { state: Mutex::new(state) })
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> Result<T> {
        Ok(work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Store for MemoryStore {
    fn directory(&self, key: DirectoryKey) -> Result<Option<DirectoryRecord>> {
        self.with(|state| state.directories.get(&key).cloned())
    }

    fn put_directories(&self, records: &[(DirectoryKey, DirectoryRecord)]) -> Result<()> {
        self.with(|state| state.directories.extend(records.iter().cloned()))
    }

    fn publish(&self, key: DirectoryKey, record: &DirectoryRecord, rows: &[u8]) -> Result<()> {
        self.with(|state| {
            state.directories.insert(key, record.clone());
            state.rows.insert((key, record.generation), Bytes::copy_from_slice(rows));
            let oldest = record.generation.saturating_sub(1);
            state.rows.retain(|(other, generation), _| *other != key || *generation >= oldest);
        })
    }

    fn rows(&self, key: DirectoryKey, generation: u32) -> Result<Option<Bytes>> {
        self.with(|state| state.rows.get(&(key, generation)).cloned())
    }

    fn files(&self, directory: DirectoryKey) -> Result<Vec<(Identity, FileRecord)>> {
        self.with(|state| {
            let all = (directory, Identity(0))..=(directory, Identity(u128::MAX));
            state.files.range(all).map(|((_, own), record)| (*own, record.clone())).collect()
        })
    }

    fn put_file(&self, directory: DirectoryKey, own: Identity, record: &FileRecord) -> Result<()> {
        self.with(|state| {
            state.files.insert((directory, own), record.clone());
        })
    }

    fn each_directory(&self, export: u64, visit: &mut dyn FnMut(DirectoryKey, DirectoryRecord) -> bool) -> Result<()> {
        let listed: Vec<_> = self.with(|state| {
            let of_export =
                state.directories.iter().filter(|(key, record)| key.export == export && record.listing.is_some());
            of_export.map(|(key, record)| (*key, record.clone())).collect()
        })?;
        for (key, record) in listed {
            if !visit(key, record) {
                break;
            }
        }
        Ok(())
    }

    fn endpoints(&self) -> Result<Vec<Endpoint>> {
        self.with(|state| state.endpoints.values().cloned().collect())
    }

    fn put_endpoint(&self, endpoint: &Endpoint) -> Result<()> {
        self.with(|state| {
            state.endpoints.insert(format!("{}/{}", endpoint.id.org, endpoint.id.client_id), endpoint.clone());
        })
    }

    fn put_job(&self, record: &JobRecord) -> Result<()> {
        self.with(|state| {
            state.jobs.insert(record.job.clone(), record.clone());
        })
    }

    fn remove_job(&self, job: &Job) -> Result<()> {
        self.with(|state| {
            state.jobs.remove(job);
        })
    }

    fn jobs(&self) -> Result<Vec<JobRecord>> {
        self.with(|state| state.jobs.values().cloned().collect())
    }

    fn chunk(&self, content: ContentKey, index: u64) -> Result<Option<Bytes>> {
        self.with(|state| state.chunks.get(&(content, index)).cloned())
    }

    fn put_chunk(&self, content: ContentKey, index: u64, bytes: &[u8]) -> Result<()> {
        self.with(|state| {
            state.chunks.insert((content, index), Bytes::copy_from_slice(bytes));
        })
    }

    fn chunk_count(&self, content: ContentKey) -> Result<u64> {
        self.with(|state| state.chunks.range((content, 0)..=(content, u64::MAX)).count() as u64)
    }

    fn usage(&self) -> Result<Usage> {
        self.with(|state| Usage {
            directories: state.directories.len() as u64,
            listing_bytes: state.rows.values().map(|rows| rows.len() as u64).sum(),
            content_bytes: state.chunks.values().map(|chunk| chunk.len() as u64).sum(),
        })
    }
}
