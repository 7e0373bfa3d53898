//! The children of a directory, encoded frame by frame while they are sent: memory stays flat however many there are.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use vfs::{Attributes, Found, Listing, Node, NodeKind, Profile};

use crate::body::Frames;
use crate::link;
use crate::propfind::encode::{Encoder, Resource};
use crate::propfind::property::CLOSING;

/// Bytes after which a frame is sent.
const FRAME: usize = 48 * 1024;

/// Bytes of an entry without any property, name or place.
const EMPTY: u64 = 96;

/// What is left to be sent of one answer.
pub(crate) struct Children {
    itself: Found,
    listing: Listing,
    encoder: Encoder,
    parent: Arc<[u8]>,
    name: String,
    profile: Profile,
    next: u32,
    stage: Stage,
}

enum Stage {
    Itself,
    Entries,
    Done,
}

impl Children {
    /// The answer for a directory at `parent` (an encoded href), called `name`, and its children.
    pub(crate) fn new(
        itself: Found,
        listing: Listing,
        encoder: Encoder,
        parent: String,
        name: String,
        profile: Profile,
    ) -> Children {
        let parent = parent.into_bytes().into();
        Children { itself, listing, encoder, parent, name, profile, next: 0, stage: Stage::Itself }
    }

    /// All frames, the opening included unless it was sent already.
    pub(crate) fn frames(self, opened: bool) -> Frames {
        let opening = if opened { Vec::new() } else { self.encoder.selection().opening() };
        Box::pin(stream::try_unfold((self, opening), |(mut children, opening)| async move {
            let frame = children.frame(opening)?;
            Ok(frame.map(|frame| (frame, (children, Vec::new()))))
        }))
    }

    /// Bytes of the whole answer, or more than `limit` if it is larger.
    pub(crate) fn length_up_to(&mut self, limit: u64) -> u64 {
        let mut total = (self.encoder.selection().opening().len() + CLOSING.len()) as u64;
        let at_least = u64::from(self.listing.len()) * (EMPTY + self.parent.len() as u64);
        if total + at_least > limit {
            return total + at_least;
        }
        let mut out = Vec::with_capacity(1024);
        self.write_itself(&mut out);
        for ordinal in 0..self.listing.len() {
            total += out.len() as u64;
            out.clear();
            if total > limit {
                return total;
            }
            if let Some((node, attributes)) = self.listing.entry(ordinal) {
                self.write_entry(&mut out, ordinal, &node, &attributes);
            }
        }
        total + out.len() as u64
    }

    fn frame(&mut self, mut out: Vec<u8>) -> io::Result<Option<Bytes>> {
        if matches!(self.stage, Stage::Done) {
            return Ok(None);
        }
        out.reserve_exact(FRAME + FRAME / 8);
        if matches!(self.stage, Stage::Itself) {
            self.write_itself(&mut out);
            self.stage = Stage::Entries;
        }
        while out.len() < FRAME {
            if self.next >= self.listing.len() {
                out.extend_from_slice(CLOSING);
                self.stage = Stage::Done;
                break;
            }
            let ordinal = self.next;
            self.next += 1;
            let (node, attributes) = self
                .listing
                .entry(ordinal)
                .ok_or_else(|| io::Error::other("an entry of the listing cannot be read"))?;
            self.write_entry(&mut out, ordinal, &node, &attributes);
        }
        Ok(Some(out.into()))
    }

    fn write_itself(&mut self, out: &mut Vec<u8>) {
        let Found { node, attributes } = &self.itself;
        self.encoder.write(out, &self.parent, true, &Resource { node, attributes, name: &self.name, link: None });
    }

    fn write_entry(&mut self, out: &mut Vec<u8>, ordinal: u32, node: &Node, attributes: &Attributes) {
        let name = self.listing.name(ordinal, self.profile);
        let link = if node.kind == NodeKind::Link { self.listing.raw_link(ordinal) } else { None };
        let attributes = link.map_or(*attributes, |link| link::described(attributes, link));
        self.encoder.write(out, &self.parent, false, &Resource { node, attributes: &attributes, name: &name, link });
    }
}
