//! Chunks of content: in memory while they are hot, else from the local store, else from the server's file store; each fetched once
//! however many ask, and ahead of a reader who goes straight on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use dashmap::DashMap;
use tokio::sync::Semaphore;

use super::held::Held;
use crate::error::{Error, Result};
use crate::store::{CHUNK_BYTES, ContentKey};
use crate::tree::blocking;
use crate::vfs::Inner;

/// One chunk of one content.
type ChunkKey = (ContentKey, u64);

/// Chunks in memory and on their way.
pub(crate) struct Chunks {
    memory: Mutex<Memory>,
    /// Fetches under way: whoever wants the same chunk waits for the same lock.
    fetching: DashMap<ChunkKey, Arc<tokio::sync::Mutex<()>>>,
    readers: DashMap<ContentKey, Reader>,
    ahead: Arc<Semaphore>,
}

struct Memory {
    chunks: HashMap<ChunkKey, Kept>,
    bytes: usize,
    /// Bytes of chunks that were given out once.
    through: usize,
    limit: usize,
    tick: u64,
}

struct Kept {
    bytes: Bytes,
    used: u64,
    given: Given,
}

/// How often a chunk was given out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Given {
    Never,
    Once,
    Again,
}

/// Where the last read of a content was, and how far ahead of it chunks were asked for.
#[derive(Default, Clone, Copy)]
struct Reader {
    last: u64,
    window: u64,
    reached: u64,
}

/// Chunks fetched ahead of a sequential reader at most.
const WINDOW: u64 = 8;
/// Fetches ahead that run at once: the server is fastest with four (docs/velociraptor-api.md §5.4).
const FETCHES_AHEAD: usize = 4;
const READERS_KEPT: usize = 10_000;
/// Bytes that stay after they were read once: who reads straight through a large file in whole chunks does not come back, and memory that is
/// written again while the processor still has it at hand costs half of what other memory costs.
const THROUGH: usize = 4 * CHUNK_BYTES;

impl Chunks {
    pub(crate) fn new(limit: usize) -> Chunks {
        Chunks {
            memory: Mutex::new(Memory { chunks: HashMap::new(), bytes: 0, through: 0, limit, tick: 0 }),
            fetching: DashMap::new(),
            readers: DashMap::new(),
            ahead: Arc::new(Semaphore::new(FETCHES_AHEAD)),
        }
    }

    /// A chunk that is in memory.
    pub(crate) fn now(&self, content: ContentKey, index: u64) -> Option<Bytes> {
        let mut memory = self.memory();
        memory.tick += 1;
        let tick = memory.tick;
        let kept = memory.chunks.get_mut(&(content, index))?;
        kept.used = tick;
        let (before, bytes) = (kept.given, kept.bytes.clone());
        kept.given = if before == Given::Never { Given::Once } else { Given::Again };
        match before {
            Given::Never => memory.through += bytes.len(),
            Given::Once => memory.through -= bytes.len(),
            Given::Again => {}
        }
        Some(bytes)
    }

    /// Whether a chunk is in memory.
    fn has(&self, content: ContentKey, index: u64) -> bool {
        self.memory().chunks.contains_key(&(content, index))
    }

    fn keep(&self, key: ChunkKey, bytes: Bytes) {
        let mut memory = self.memory();
        memory.remove(&key);
        memory.tick += 1;
        memory.bytes += bytes.len();
        let used = memory.tick;
        memory.chunks.insert(key, Kept { bytes, used, given: Given::Never });
        while memory.through > THROUGH && memory.remove_oldest(|given| given == Given::Once) {}
        while memory.bytes > memory.limit && memory.chunks.len() > 1 && memory.remove_oldest(|_| true) {}
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a read; the chunks to fetch ahead of it.
    fn note(&self, content: ContentKey, index: u64, count: u64) -> std::ops::Range<u64> {
        if self.readers.len() > READERS_KEPT {
            self.readers.clear();
        }
        let mut reader = self.readers.entry(content).or_default();
        if index == reader.last + 1 || index == 0 && reader.window == 0 {
            reader.window = (reader.window * 2).clamp(2, WINDOW);
        } else if index.abs_diff(reader.last) > WINDOW {
            *reader = Reader { last: index, window: 0, reached: index };
        }
        // Reads of one reader arrive out of order: the furthest counts.
        reader.last = reader.last.max(index);
        let from = reader.reached.max(index) + 1;
        let to = (index + 1 + reader.window).min(count);
        reader.reached = reader.reached.max(to.saturating_sub(1));
        from..to
    }
}

impl Memory {
    fn remove(&mut self, key: &ChunkKey) {
        if let Some(kept) = self.chunks.remove(key) {
            self.bytes -= kept.bytes.len();
            if kept.given == Given::Once {
                self.through -= kept.bytes.len();
            }
        }
    }

    /// Drops the chunk of this sort that was used least lately; false if there is none.
    fn remove_oldest(&mut self, sort: impl Fn(Given) -> bool) -> bool {
        let of_sort = self.chunks.iter().filter(|(_, kept)| sort(kept.given));
        let oldest = of_sort.min_by_key(|(_, kept)| kept.used).map(|(key, _)| *key);
        oldest.inspect(|key| self.remove(key)).is_some()
    }
}

/// Number of chunks of a content.
pub(crate) fn chunk_count(size: u64) -> u64 {
    size.div_ceil(CHUNK_BYTES as u64)
}

impl Inner {
    /// A chunk of a content, from wherever it is nearest.
    pub(crate) async fn chunk(self: &Arc<Self>, held: &Held, index: u64) -> Result<Bytes> {
        let content = held.content();
        if let Some(bytes) = self.chunks.now(content, index) {
            return Ok(bytes);
        }
        let key = (content, index);
        let lock = self.chunks.fetching.entry(key).or_default().clone();
        let turn = lock.lock().await;
        let result = match self.chunks.now(content, index) {
            Some(bytes) => Ok(bytes),
            None => self.fetch_chunk(held, index).await,
        };
        drop(turn);
        self.chunks.fetching.remove_if(&key, |_, lock| Arc::strong_count(lock) <= 2);
        result
    }

    /// Starts fetching what a sequential reader will want next.
    pub(crate) fn read_ahead(self: &Arc<Self>, held: &Held, index: u64) {
        let content = held.content();
        let range = self.chunks.note(content, index, chunk_count(held.size()));
        for next in range {
            if held.locate(next).is_none() || self.chunks.has(content, next) {
                continue;
            }
            self.fetch_ahead(held, next);
        }
    }

    /// Starts fetching a chunk that somebody is expected to want.
    pub(super) fn fetch_ahead(self: &Arc<Self>, held: &Held, index: u64) {
        let (inner, held) = (self.clone(), held.clone());
        tokio::spawn(async move {
            let _permit = inner.chunks.ahead.clone().acquire_owned().await;
            if let Err(error) = inner.chunk(&held, index).await {
                tracing::debug!(%error, chunk = index, "reading ahead failed; the reader will see it when it comes there");
            }
        });
    }

    async fn fetch_chunk(self: &Arc<Self>, held: &Held, index: u64) -> Result<Bytes> {
        let content = held.content();
        let offset = index * CHUNK_BYTES as u64;
        let expected = held.size().saturating_sub(offset).min(CHUNK_BYTES as u64);
        let store = self.store.clone();
        let stored = blocking(move || store.chunk(content, index)).await?;
        if let Some(bytes) = stored.filter(|bytes| bytes.len() as u64 == expected) {
            self.chunks.keep((content, index), bytes.clone());
            return Ok(bytes);
        }
        let length = u32::try_from(expected).unwrap_or(u32::MAX);
        let Some((location, within)) = held.locate(index) else {
            return Err(Error::backend("a part of the file that was not collected was asked for"));
        };
        let bytes = self.backend.read(location, within, length).await?;
        if bytes.len() as u64 != expected {
            // The server swallows read errors (docs/velociraptor-api.md §5.4): never serve less, never fill up.
            return Err(Error::backend(format!(
                "the server gave {} of {expected} bytes at offset {offset} of a collected file; the collection is incomplete there",
                bytes.len()
            )));
        }
        self.chunks.keep((content, index), bytes.clone());
        self.write_behind(held, index, bytes.clone()).await;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequential_reader_is_read_ahead_of_and_a_random_one_is_not() {
        let chunks = Chunks::new(1 << 20);
        let content = ContentKey(1);
        assert_eq!(chunks.note(content, 0, 100), 1..3);
        assert_eq!(chunks.note(content, 1, 100), 3..6);
        assert_eq!(chunks.note(content, 2, 100), 6..11);
        assert_eq!(chunks.note(content, 60, 100), 61..61);
        assert_eq!(chunks.note(content, 20, 100).count(), 0);
        assert!(chunks.note(ContentKey(2), 0, 1).is_empty());
    }

    #[test]
    fn who_reads_straight_through_leaves_little_behind_and_pushes_nothing_out() {
        let chunks = Chunks::new(64 * CHUNK_BYTES);
        let chunk = Bytes::from(vec![0; CHUNK_BYTES]);
        chunks.keep((ContentKey(1), 0), chunk.clone());
        for _ in 0..2 {
            assert!(chunks.now(ContentKey(1), 0).is_some());
        }
        for index in 0..200 {
            chunks.keep((ContentKey(2), index), chunk.clone());
            chunks.keep((ContentKey(2), index + 1), chunk.clone());
            assert!(chunks.now(ContentKey(2), index).is_some(), "what was fetched ahead is here when it is read");
        }
        assert!(chunks.has(ContentKey(1), 0) && !chunks.has(ContentKey(2), 100));
        let memory = chunks.memory();
        let bytes: usize = memory.chunks.values().map(|kept| kept.bytes.len()).sum();
        assert!(memory.bytes == bytes && bytes <= THROUGH + 3 * CHUNK_BYTES, "{} chunks", memory.chunks.len());
    }

    #[test]
    fn memory_is_bounded_by_what_was_used_last() {
        let chunks = Chunks::new(3);
        for index in 0..3 {
            chunks.keep((ContentKey(1), index), Bytes::from_static(b"x"));
        }
        assert!(chunks.now(ContentKey(1), 0).is_some());
        chunks.keep((ContentKey(1), 3), Bytes::from_static(b"x"));
        assert!(chunks.now(ContentKey(1), 1).is_none());
        assert!(chunks.now(ContentKey(1), 0).is_some());
    }
}
