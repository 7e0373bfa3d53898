//! The embedded store: its keyspaces, how much memory they may take, and opening it whatever happened to it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions};

use crate::disk::Options;
use crate::error::OpenError;

/// Compactions and flushes; the second keeps flushes from waiting behind a compaction.
const WORKERS: usize = 2;
/// Journals are replayed at every start, so they are kept as short as the embedded store allows.
const JOURNAL_BYTES: u64 = 64 << 20;
const OPEN_FILES: usize = 256;
/// Listings above this stay out of the tables, so that compactions do not carry them around.
const SEPARATE_BYTES: u32 = 2 << 10;

/// The embedded store.
pub(crate) struct Index {
    pub(crate) database: Database,
    /// `key::directory` -> envelope of `StoredDirectory`.
    pub(crate) directories: Keyspace,
    /// `key::rows` -> `listing::compress`.
    pub(crate) listings: Keyspace,
    /// `key::file` -> envelope of `FileRecord`.
    pub(crate) files: Keyspace,
    /// `key::endpoint` -> envelope of `Endpoint`.
    pub(crate) endpoints: Keyspace,
    /// `key::job` -> envelope of `JobRecord`.
    pub(crate) jobs: Keyspace,
    /// `key::chunk` -> `ChunkRecord`.
    pub(crate) chunks: Keyspace,
    /// The counters of a clean end, or nothing.
    pub(crate) counters: Keyspace,
}

impl Index {
    /// Opens the index, or makes an empty one.
    pub(crate) fn open(state: &Path, path: &Path, options: Options) -> Result<Index, OpenError> {
        // A damaged index makes the embedded store panic in places; that must end in a sentence.
        let opened = catch_unwind(AssertUnwindSafe(|| Index::try_open(path, options)));
        let damaged = |reason: String| OpenError::Damaged { state: state.into(), reason };
        match opened {
            Ok(Ok(index)) => Ok(index),
            Ok(Err(fjall::Error::Io(cause))) => Err(OpenError::io(path, cause)),
            Ok(Err(cause)) => Err(damaged(format!("{cause:?}"))),
            Err(_) => Err(damaged("its own records contradict each other".into())),
        }
    }

    fn try_open(path: &Path, options: Options) -> fjall::Result<Index> {
        let database = Database::builder(path)
            .cache_size(options.cache_bytes)
            .max_cached_files(Some(OPEN_FILES))
            .max_journaling_size(JOURNAL_BYTES)
            .journal_compression(fjall::CompressionType::None)
            .worker_threads(WORKERS)
            .open()?;
        let sixteenth = options.write_buffer_bytes / 16;
        let records = |share: u64| KeyspaceCreateOptions::default().max_memtable_size(sixteenth.saturating_mul(share));
        let separated = KvSeparationOptions::default()
            .separation_threshold(SEPARATE_BYTES)
            .compression(fjall::CompressionType::None);
        Ok(Index {
            directories: database.keyspace("directories", || records(4))?,
            listings: database.keyspace("listings", || records(6).with_kv_separation(Some(separated)))?,
            files: database.keyspace("files", || records(3))?,
            endpoints: database.keyspace("endpoints", || records(1))?,
            jobs: database.keyspace("jobs", || records(1))?,
            chunks: database.keyspace("chunks", || records(1))?,
            counters: database.keyspace("counters", || records(1))?,
            database,
        })
    }
}
