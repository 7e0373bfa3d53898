//! READ: from the version that the handle names, and from no other (D6).

use std::sync::Arc;

use bytes::Bytes;

use super::caps::automatic;
use super::chunks::chunk_count;
use super::together::SMALL;
use super::{Current, Held, attributes, held_attributes};
use crate::attributes::{Attributes, file_system_id, listed_version};
use crate::error::{Error, ErrorKind, Result};
use crate::node::{Node, NodeKind};
use crate::principal::{Call, Event, Reads};
use crate::snapshot::Entry;
use crate::store::{CHUNK_BYTES, DirectoryKey, Place};
use crate::tree::{Directory, gone};
use crate::vfs::{Data, Inner};

/// What READ of a node serves.
enum Source {
    /// Content that came with the listing.
    Inline(Bytes),
    /// Collected content, whole or in ranges.
    Held(Held),
    /// Nothing to fetch: listed as empty.
    Empty,
    /// Has to be collected first.
    Uncollected,
}

/// Deliveries that one READ waits for at most: each brings something that it lacked.
const ROUNDS: u32 = 16;
/// Bytes that come at once for who is known to read on.
const MORE: u64 = 64 << 20;

impl Inner {
    /// Content from memory.
    pub(crate) fn read_now(
        self: &Arc<Self>,
        node: &Node,
        offset: u64,
        length: u32,
        call: &Call,
    ) -> Option<Result<Data>> {
        if node.kind != NodeKind::File {
            return None;
        }
        let directory = self.tree.in_memory(DirectoryKey { export: node.export, own: node.parent })?;
        let loaded = directory.loaded_guard();
        let entry = loaded.as_ref()?.snapshot.by_identity(node.own);
        match source(&directory, entry.as_ref(), node).ok()? {
            (Source::Held(held), attributes) => {
                let content = held.content();
                let mut segments = Vec::with_capacity(2);
                for piece in pieces(held.size(), offset, length) {
                    held.locate(piece.chunk)?;
                    segments.push(self.chunks.now(content, piece.chunk)?.slice(piece.from..piece.to));
                    self.read_ahead(&held, piece.chunk);
                    if held.ranges().is_some() {
                        self.ranges_ahead(&directory, node, &held, piece.chunk, call);
                    }
                }
                if offset == 0 && held.size() <= SMALL {
                    self.reads_on(&directory, node, call);
                }
                self.note_read(&directory, &held, call);
                let eof = offset.saturating_add(u64::from(length)) >= held.size();
                Some(Ok(Data { segments, eof, attributes }))
            }
            (Source::Inline(bytes), attributes) => Some(Ok(whole(&bytes, offset, length, attributes))),
            (Source::Empty, attributes) => Some(Ok(whole(&Bytes::new(), offset, length, attributes))),
            (Source::Uncollected, _) => None,
        }
    }

    /// Content, collecting the file if need be.
    pub(crate) async fn read_file(
        self: &Arc<Self>,
        node: &Node,
        offset: u64,
        length: u32,
        call: &Call,
    ) -> Result<Data> {
        match tokio::time::timeout(call.hold, self.read_unbounded(node, offset, length, call)).await {
            Ok(result) => result,
            Err(_) => Err(Error::later(crate::flight::RETRY_AFTER, "the file is still being collected; ask again")),
        }
    }

    async fn read_unbounded(self: &Arc<Self>, node: &Node, offset: u64, length: u32, call: &Call) -> Result<Data> {
        let directory = self.tree.resolve_key(DirectoryKey { export: node.export, own: node.parent }).await?;
        let loaded = self.tree.load(&directory).await?.ok_or_else(gone)?;
        let entry = loaded.snapshot.by_identity(node.own);
        for _ in 0..ROUNDS {
            let source = match source(&directory, entry.as_ref(), node) {
                Ok(source) => source,
                // It left the listing while it is being collected: what comes is its content (D5).
                Err(error) => match directory.collection((node.own, node.version)) {
                    Some(running) => {
                        running.wait(call.hold).await?;
                        continue;
                    }
                    None => return Err(error),
                },
            };
            match source {
                (Source::Inline(bytes), attributes) => return Ok(whole(&bytes, offset, length, attributes)),
                (Source::Empty, attributes) => return Ok(whole(&Bytes::new(), offset, length, attributes)),
                (Source::Held(held), attributes) => {
                    let mut missing = pieces(held.size(), offset, length).map(|piece| piece.chunk);
                    if missing.all(|chunk| held.locate(chunk).is_some()) {
                        if offset == 0 && held.size() <= SMALL {
                            self.reads_on(&directory, node, call);
                        }
                        return self.read_held(&directory, node, &held, attributes, (offset, length), call).await;
                    }
                    self.collect_for_read(&directory, node, held.size(), (offset, length), call).await?;
                }
                (Source::Uncollected, _) if directory.is_uploads() => self.take_upload(&directory, node).await?,
                (Source::Uncollected, attributes) => {
                    let size = attributes.size.unwrap_or(0);
                    self.collect_for_read(&directory, node, size, (offset, length), call).await?;
                }
            }
        }
        Err(Error::backend("the file was collected, but its content is not there; try again"))
    }

    /// Collects what a READ lacks: the whole file, or the chunks where it reads.
    async fn collect_for_read(
        self: &Arc<Self>,
        directory: &Arc<Directory>,
        node: &Node,
        size: u64,
        (offset, length): (u64, u32),
        call: &Call,
    ) -> Result<()> {
        let demand = self.demand_of(directory, node, call).await?;
        let by_ranges = self.goes_by_ranges(&demand).await?;
        let is_too_big = automatic(&self.settings, &demand.path).is_none_or(|cap| demand.listed.size > cap);
        // What would not be collected whole for a reader may have been by others.
        if (by_ranges || is_too_big) && !call.explicit && self.was_uploaded(&demand).await {
            return Ok(());
        }
        let flight = if by_ranges {
            let end = offset.saturating_add(length.into()).max(match call.reads {
                Reads::UpTo(end) => end.min(offset.saturating_add(MORE)),
                Reads::Parts | Reads::Whole => 0,
            });
            let length = u32::try_from(end - offset).unwrap_or(length);
            self.demand_ranges(&demand, pieces(size, offset, length).map(|piece| piece.chunk))?
        } else {
            self.demand_collection(directory, node, call).await?
        };
        flight.wait(call.hold).await
    }

    async fn read_held(
        self: &Arc<Self>,
        directory: &Arc<Directory>,
        node: &Node,
        held: &Held,
        attributes: Attributes,
        (offset, length): (u64, u32),
        call: &Call,
    ) -> Result<Data> {
        self.owners.insert(held.content(), (directory.key(), node.own));
        let mut segments = Vec::with_capacity(2);
        for piece in pieces(held.size(), offset, length) {
            self.read_ahead(held, piece.chunk);
            let chunk = self.chunk(held, piece.chunk).await?;
            segments.push(chunk.slice(piece.from..piece.to));
            if held.ranges().is_some() {
                self.ranges_ahead(directory, node, held, piece.chunk, call);
            }
        }
        self.note_read(directory, held, call);
        let eof = offset.saturating_add(u64::from(length)) >= held.size();
        Ok(Data { segments, eof, attributes })
    }

    /// One event in the ledger for each run of reads of one content by one principal.
    fn note_read(&self, directory: &Directory, held: &Held, call: &Call) {
        if !self.reads.is_new(call.principal.name(), held.content(), self.clock.now()) {
            return;
        }
        let (endpoint, place) = match &directory.place {
            Place::Endpoint(place) => (&place.endpoint, place.to_string()),
            Place::Uploads(place) => (&place.job.endpoint, place.to_string()),
            _ => return,
        };
        let name = held.listed().map_or("", |listed| &listed.name);
        self.recorder.record(Event::Read {
            at: self.clock.now(),
            principal: call.principal.name().into(),
            protocol: call.protocol,
            peer: call.peer,
            endpoint: endpoint.client_id.clone(),
            path: format!("{place}/{name}").into(),
            flow: held.observation().map(|observation| observation.job.clone()).unwrap_or_default(),
        });
    }
}

/// Where the content of the version that `node` names comes from. `entry` is `None` if it left the listing: what was collected of it
/// stays with its readers (D5).
fn source(directory: &Directory, entry: Option<&Entry<'_>>, node: &Node) -> Result<(Source, Attributes)> {
    match node.kind {
        NodeKind::Directory => {
            return Err(Error::new(ErrorKind::IsDirectory, "a directory has no content"));
        }
        NodeKind::Link | NodeKind::Special | NodeKind::Meta => {
            return Err(Error::new(ErrorKind::Unsupported, "only regular files have content"));
        }
        NodeKind::File => {}
    }
    if let Some(held) = Held::of(directory, node) {
        let attributes = held_attributes(entry, node, &held);
        return Ok((Source::Held(held), attributes));
    }
    let entry = entry.ok_or_else(gone)?;
    let row = &entry.row;
    let fsid = file_system_id(node.export, node.session);
    if node.version != listed_version(row.size(), row.times().modified) {
        return Err(Error::stale("the file changed on the endpoint, and this version was never collected"));
    }
    let size = match row.inline() {
        Some(inline) => Some(inline.len() as u64),
        None => (!row.size_unknown()).then_some(row.size()),
    };
    let current = Current { is_whole: directory.is_uploads(), ..Current::listed(node.version, size) };
    let attributes = attributes(entry, fsid, &current, None);
    let source = match row.inline() {
        Some(inline) => Source::Inline(Bytes::copy_from_slice(inline)),
        None if size == Some(0) => Source::Empty,
        None => Source::Uncollected,
    };
    Ok((source, attributes))
}

fn whole(bytes: &Bytes, offset: u64, length: u32, attributes: Attributes) -> Data {
    let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
    let end = start.saturating_add(length as usize).min(bytes.len());
    let segments = if start < end { vec![bytes.slice(start..end)] } else { Vec::new() };
    Data { segments, eof: end == bytes.len(), attributes }
}

/// A part of one chunk.
struct Piece {
    chunk: u64,
    from: usize,
    to: usize,
}

/// The parts of chunks that cover `length` bytes at `offset` of a content of `size` bytes.
fn pieces(size: u64, offset: u64, length: u32) -> impl Iterator<Item = Piece> {
    let end = offset.saturating_add(u64::from(length)).min(size);
    let chunk_bytes = CHUNK_BYTES as u64;
    let chunks = if offset < end { offset / chunk_bytes..chunk_count(end) } else { 0..0 };
    #[allow(clippy::cast_possible_truncation)] // both are at most CHUNK_BYTES
    chunks.map(move |chunk| {
        let start = chunk * chunk_bytes;
        Piece { chunk, from: offset.saturating_sub(start) as usize, to: (end - start).min(chunk_bytes) as usize }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pieces_cover_exactly_what_was_asked_for(size in 0u64..5 << 20, offset in 0u64..6 << 20, length in 0u32..3 << 20) {
            let mut at = offset;
            for piece in pieces(size, offset, length) {
                prop_assert!(piece.from < piece.to && piece.to <= CHUNK_BYTES);
                prop_assert_eq!(piece.chunk * CHUNK_BYTES as u64 + piece.from as u64, at);
                at += (piece.to - piece.from) as u64;
            }
            prop_assert_eq!(at, offset.max((offset + u64::from(length)).min(size)));
        }
    }
}
