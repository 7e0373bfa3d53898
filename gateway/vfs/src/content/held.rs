//! Content that is held, whole or in ranges: its size, and where each of its chunks is.

use std::sync::Arc;

use super::chunks::chunk_count;
use crate::backend::{ContentLocation, Observation};
use crate::node::Node;
use crate::store::{CHUNK_BYTES, Collected, ContentKey, FileAsListed, FileRecord, InRanges};
use crate::tree::Directory;

/// What is held of one version of a file.
#[derive(Clone)]
pub(crate) struct Held {
    record: Arc<FileRecord>,
    part: Part,
    node: Node,
}

/// Which part of the file's record it is.
#[derive(Clone, Copy)]
enum Part {
    Whole(usize),
    InRanges(usize),
}

impl Held {
    /// What is held of the version that `node` names.
    pub(crate) fn of(directory: &Directory, node: &Node) -> Option<Held> {
        let record = directory.file(node.own)?;
        let whole = record.collected.iter().position(|copy| copy.version == node.version).map(Part::Whole);
        let in_ranges = || record.in_ranges.iter().position(|held| held.version == node.version).map(Part::InRanges);
        let part = whole.or_else(in_ranges)?;
        Some(Held { record, part, node: *node })
    }

    /// Its key in the store.
    pub(crate) fn content(&self) -> ContentKey {
        self.whole().map_or_else(|| ranges_key(&self.node), content_key)
    }

    /// The copy, if it is whole.
    pub(crate) fn whole(&self) -> Option<&Collected> {
        match self.part {
            Part::Whole(index) => self.record.collected.get(index),
            Part::InRanges(_) => None,
        }
    }

    /// The ranges, if it is not whole.
    pub(crate) fn ranges(&self) -> Option<&InRanges> {
        match self.part {
            Part::Whole(_) => None,
            Part::InRanges(index) => self.record.in_ranges.get(index),
        }
    }

    /// Bytes of the content, held or not.
    pub(crate) fn size(&self) -> u64 {
        self.whole().map(|copy| copy.size).or_else(|| self.ranges().map(|held| held.state.size)).unwrap_or(0)
    }

    /// The file as it was listed when it was collected.
    pub(crate) fn listed(&self) -> Option<&FileAsListed> {
        self.whole().map(|copy| &copy.listed).or_else(|| self.ranges().map(|held| &held.listed))
    }

    /// When and by which job it was collected; of ranges, the first one.
    pub(crate) fn observation(&self) -> Option<&Observation> {
        let first = || self.ranges()?.held.first().map(|range| &range.observation);
        self.whole().map(|copy| &copy.observation).or_else(first)
    }

    /// Where the server keeps the chunk at `index`: the upload, and the offset in it. `None` if that chunk is not held.
    pub(crate) fn locate(&self, index: u64) -> Option<(&ContentLocation, u64)> {
        let offset = index.checked_mul(CHUNK_BYTES as u64)?;
        if let Some(copy) = self.whole() {
            return (index < chunk_count(copy.size)).then_some((&copy.location, offset));
        }
        let range = self.ranges()?.at(offset)?;
        Some((&range.location, offset - range.offset))
    }
}

/// The store's key of a content: a hash of where the server keeps it, which is never used twice.
fn content_key(collected: &Collected) -> ContentKey {
    let mut bytes = collected.location.org.as_bytes().to_vec();
    for component in &collected.location.components {
        bytes.push(0);
        bytes.extend_from_slice(component.as_bytes());
    }
    ContentKey(xxhash_rust::xxh3::xxh3_128(&bytes))
}

/// Ranges of one version come from many uploads and are one content: its key is that of the version.
fn ranges_key(node: &Node) -> ContentKey {
    let mut bytes = b"ranges".to_vec();
    bytes.extend_from_slice(&node.export.to_be_bytes());
    bytes.extend_from_slice(&node.own.0.to_be_bytes());
    bytes.extend_from_slice(&node.version.to_be_bytes());
    ContentKey(xxhash_rust::xxh3::xxh3_128(&bytes))
}
