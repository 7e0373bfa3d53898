//! What the index keeps beside the VFS's own records: which generations of a directory's rows are there, and how much there is of all.

use vfs::error::Result;
use vfs::store::DirectoryRecord;

use crate::contents::ChunkRecord;
use crate::error;
use crate::index::Index;

/// A directory's record with the generations whose rows are kept: the current one and the one before, 0 for none (D28, D33).
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(crate) struct StoredDirectory {
    pub(crate) generations: [u32; 2],
    pub(crate) record: DirectoryRecord,
}

/// The generations to keep when `published` joins `kept`, and the one whose rows go.
pub(crate) fn next_generations(kept: [u32; 2], published: u32) -> ([u32; 2], Option<u32>) {
    let [current, before] = kept;
    if published == current {
        return (kept, None);
    }
    let dropped = Some(before).filter(|dropped| *dropped != 0 && *dropped != published);
    ([published, current], dropped)
}

/// Totals that `usage` tells.
///
/// They are kept in memory and written at a clean end only: a counter in every batch would double what a start has to replay.
/// After a kill nobody knows them until somebody asks; then they are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counters {
    pub(crate) directories: u64,
    pub(crate) content_bytes: u64,
}

const CLEAN_END: &str = "counters at a clean end";

impl Counters {
    /// The counters of the last clean end, if nothing happened since. From now on something has.
    pub(crate) fn take(index: &Index) -> Result<Option<Counters>> {
        let failed = |cause: fjall::Error| error::index("reading the counters", &cause);
        let Some(bytes) = index.counters.get(CLEAN_END).map_err(failed)? else {
            return Ok(None);
        };
        index.counters.remove(CLEAN_END).map_err(failed)?;
        Ok(Counters::from_bytes(&bytes))
    }

    /// Counts. Reads the key of every directory and the record of every chunk.
    pub(crate) fn count(index: &Index) -> Result<Counters> {
        let failed = |cause: fjall::Error| error::index("counting what the state holds", &cause);
        let mut counters = Counters { directories: 0, content_bytes: 0 };
        for entry in index.directories.iter() {
            entry.key().map_err(failed)?;
            counters.directories += 1;
        }
        for entry in index.chunks.iter() {
            let bytes = entry.value().map_err(failed)?;
            counters.content_bytes += ChunkRecord::from_bytes(&bytes).map_or(0, ChunkRecord::length);
        }
        Ok(counters)
    }

    /// Writes the counters for the next start.
    pub(crate) fn leave(self, index: &Index) -> Result<()> {
        let left = index.counters.insert(CLEAN_END, self.to_bytes());
        left.map_err(|cause| error::index("writing the counters", &cause))
    }

    fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.directories.to_le_bytes());
        bytes[8..].copy_from_slice(&self.content_bytes.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Counters> {
        let (directories, rest) = bytes.split_first_chunk::<8>()?;
        let content_bytes = u64::from_le_bytes(rest.try_into().ok()?);
        Some(Counters { directories: u64::from_le_bytes(*directories), content_bytes })
    }

    pub(crate) fn add_directories(&mut self, added: u64) {
        self.directories = self.directories.saturating_add(added);
    }

    pub(crate) fn replace_content(&mut self, before: u64, now: u64) {
        self.content_bytes = self.content_bytes.saturating_sub(before).saturating_add(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_generations_are_kept() {
        assert_eq!(next_generations([0, 0], 1), ([1, 0], None));
        assert_eq!(next_generations([1, 0], 2), ([2, 1], None));
        assert_eq!(next_generations([2, 1], 5), ([5, 2], Some(1)));
        assert_eq!(next_generations([5, 2], 5), ([5, 2], None));
    }
}
