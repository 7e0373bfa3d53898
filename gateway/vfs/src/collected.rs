//! What is kept of a file's content: versions collected whole, and versions of which only ranges were collected.

use std::sync::Arc;

use crate::backend::{ContentLocation, FileState, Observation};
use crate::snapshot::Times;
use crate::timestamp::Timestamp;

/// What is kept of a file: its collected versions, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct FileRecord {
    /// Versions that were collected whole.
    pub collected: Vec<Collected>,
    /// Versions of which only ranges were collected.
    #[serde(default)]
    pub in_ranges: Vec<InRanges>,
}

impl FileRecord {
    /// The copy that `version` is bound to.
    pub fn copy(&self, version: u32) -> Option<&Collected> {
        self.collected.iter().find(|copy| copy.version == version)
    }

    /// The ranges that are held of `version`.
    pub fn ranges(&self, version: u32) -> Option<&InRanges> {
        self.in_ranges.iter().find(|held| held.version == version)
    }
}

/// The bytes of one version of a file (D44). A version binds to at most one of these, for ever (D6).
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Collected {
    /// The version (D6) that this was collected for.
    pub version: u32,
    /// The file as it was listed when the collection was started: what is served of a copy whose file left the listing since (D5).
    #[serde(default)]
    pub listed: FileAsListed,
    /// Bytes of content.
    pub size: u64,
    /// Where the server keeps it.
    pub location: ContentLocation,
    /// Stored with holes.
    pub sparse: bool,
    /// When and by which job.
    pub observation: Observation,
    /// The delivery that brought it together with the files that belong to it (D10): the same for all of them.
    #[serde(default)]
    pub set: Option<Arc<str>>,
    /// SHA-256 by the endpoint (D8), lower-case hex.
    pub sha256_endpoint: Option<String>,
    /// Hashes over the bytes that the gateway received whole (D8).
    pub digests: Option<Digests>,
}

/// What the listing said of a file when its collection was started.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FileAsListed {
    /// Raw component.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// The four times; `None` if the copy is known to be of another state of the file than the listed one.
    pub times: Option<Times>,
}

/// Hashes that the gateway computed over a whole content (D8), lower-case hex.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Digests {
    /// SHA-256.
    pub sha256: String,
    /// SHA-1, for look-ups.
    pub sha1: String,
    /// MD5, for look-ups.
    pub md5: String,
    /// Bytes hashed.
    pub length: u64,
    /// When.
    pub at: Timestamp,
}

/// One version of a file of which only ranges were collected, all of one state of the file: another state is another version (D6).
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct InRanges {
    /// The version (D6) that the first range was collected for.
    pub version: u32,
    /// The file as it was listed then.
    pub listed: FileAsListed,
    /// The state that all ranges are of.
    pub state: FileState,
    /// The ranges, by offset; none overlaps another.
    pub held: Vec<HeldRange>,
}

/// One collected range. Begins and ends where chunks of [`crate::store::CHUNK_BYTES`] do, or ends at the end of the file.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct HeldRange {
    /// Where it begins in the file.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
    /// Where the server keeps it.
    pub location: ContentLocation,
    /// When and by which job.
    pub observation: Observation,
    /// SHA-256 by the endpoint (D8), lower-case hex.
    pub sha256_endpoint: Option<String>,
}

impl HeldRange {
    /// Where it ends in the file.
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.length)
    }
}

impl InRanges {
    /// The range that has the byte at `offset`.
    pub fn at(&self, offset: u64) -> Option<&HeldRange> {
        let after = self.held.partition_point(|range| range.offset <= offset);
        self.held[..after].last().filter(|range| offset < range.end())
    }

    /// Adds a range, unless a part of it is held already.
    pub fn add(&mut self, range: HeldRange) -> bool {
        let place = self.held.partition_point(|held| held.offset < range.offset);
        let after_the_one_before = place == 0 || self.held[place - 1].end() <= range.offset;
        let before_the_next = self.held.get(place).is_none_or(|next| range.end() <= next.offset);
        let fits = range.length > 0 && after_the_one_before && before_the_next;
        if fits {
            self.held.insert(place, range);
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn range(offset: u64, length: u64) -> HeldRange {
        let at = Timestamp::default();
        HeldRange {
            offset,
            length,
            location: ContentLocation { org: "root".into(), components: vec![format!("{offset}+{length}")] },
            observation: Observation { job: "F.1".into(), by: "me".into(), started: at, seen: at, first_row: 0 },
            sha256_endpoint: None,
        }
    }

    proptest! {
        #[test]
        fn every_held_byte_is_found_in_exactly_one_range(ranges in proptest::collection::vec((0u64..64, 0u64..16), 0..20)) {
            let state = FileState { size: 80, modified: None };
            let mut held = InRanges { version: 1, listed: FileAsListed::default(), state, held: Vec::new() };
            let mut bytes = [false; 80];
            for (offset, length) in ranges {
                let here = offset as usize..(offset + length) as usize;
                let free = length > 0 && bytes[here.clone()].iter().all(|held| !held);
                prop_assert_eq!(held.add(range(offset, length)), free);
                if free {
                    bytes[here].fill(true);
                }
            }
            for (offset, is_held) in (0u64..).zip(bytes) {
                let found = held.at(offset);
                prop_assert_eq!(found.is_some(), is_held);
                prop_assert!(found.is_none_or(|range| range.offset <= offset && offset < range.end()));
            }
        }
    }
}
