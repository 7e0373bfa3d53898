//! The local copy of content: written behind the readers' backs, in the order in which it came, a bounded number of chunks late.
//! What was not written when the program ends is fetched once more.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::chunks::chunk_count;
use super::held::Held;
use crate::error::Result;
use crate::store::{ContentKey, Store};
use crate::tree::blocking;
use crate::vfs::Inner;

/// Chunks that wait to be written at most; whoever brings another one waits for the disk.
const LATE: usize = 16;
/// Contents whose number of chunks is remembered at most.
const COUNTED: usize = 1_000;

/// Chunks on their way to the local store.
pub(crate) struct Behind {
    queue: Mutex<Queue>,
    room: Arc<Semaphore>,
}

#[derive(Default)]
struct Queue {
    chunks: VecDeque<Unwritten>,
    /// A task takes from the queue.
    is_served: bool,
    /// Chunks in the store of contents that are being written; a guess that the store confirms.
    present: HashMap<ContentKey, u64>,
}

struct Unwritten {
    held: Held,
    index: u64,
    bytes: Bytes,
    _room: OwnedSemaphorePermit,
}

impl Behind {
    pub(crate) fn new() -> Behind {
        Behind { queue: Mutex::default(), room: Arc::new(Semaphore::new(LATE)) }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Option<Unwritten> {
        let mut queue = self.lock();
        let next = queue.chunks.pop_front();
        queue.is_served = next.is_some();
        next
    }

    /// Whether all chunks of a content are in the store, after one more was written.
    fn completes(&self, store: &dyn Store, content: ContentKey, of: u64) -> Result<bool> {
        let guess = self.lock().present.get(&content).copied();
        let mut present = match guess {
            Some(before) => before + 1,
            None => store.chunk_count(content)?,
        };
        if guess.is_some() && present >= of {
            present = store.chunk_count(content)?;
        }
        let mut queue = self.lock();
        if present == of {
            queue.present.remove(&content);
        } else {
            if queue.present.len() >= COUNTED {
                queue.present.clear();
            }
            queue.present.insert(content, present);
        }
        Ok(present == of)
    }
}

impl Inner {
    /// Has a chunk that was fetched written to the local store. Waits only if the disk is much slower than the server.
    pub(crate) async fn write_behind(self: &Arc<Self>, held: &Held, index: u64, bytes: Bytes) {
        let Ok(room) = self.behind.room.clone().acquire_owned().await else { return };
        let begins = {
            let mut queue = self.behind.lock();
            queue.chunks.push_back(Unwritten { held: held.clone(), index, bytes, _room: room });
            !std::mem::replace(&mut queue.is_served, true)
        };
        if begins {
            tokio::spawn(write_all(self.clone()));
        }
    }
}

/// Writes until nothing is left. One task: several would only wait for each other at the file.
async fn write_all(inner: Arc<Inner>) {
    while let Some(Unwritten { held, index, bytes, _room }) = inner.behind.next() {
        let content = held.content();
        let chunks = held.whole().map(|copy| chunk_count(copy.size));
        let writer = inner.clone();
        let written = blocking(move || {
            writer.store.put_chunk(content, index, &bytes)?;
            chunks.map_or(Ok(false), |of| writer.behind.completes(&*writer.store, content, of))
        })
        .await;
        match (written, held.whole()) {
            (Ok(true), Some(copy)) => inner.digest_in_background(copy, content),
            (Ok(_), _) => {}
            (Err(error), _) => {
                tracing::error!(%error, "content could not be written to the local store; it is served from the server")
            }
        }
    }
}
