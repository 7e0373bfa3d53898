//! Where a READDIR or READDIRPLUS goes on: cookies, generations, and the entries `.` and `..` (D28).
//!
//! Any cookie that was ever given out works, for ever, and the verifier never changes: clients ask again from earlier cookies than
//! they have received, and some show an error to people when a cookie is refused (docs/nfs-clients.md §3.1, §5).

use std::sync::Arc;

use vfs::listing::split_cookie;
use vfs::{Attributes, Call, Listing, Node, Profile};

use super::Shared;
use super::results::{POST_OP_ATTR, put_attributes, put_failure, put_ok};
use crate::rpc::Reply;
use nfsserve::nfs::nfsstat3;

/// The cookie verifier, always.
pub(super) const VERIFIER: [u8; 8] = *b"raptorg3";
/// Status is not counted by the limits; attributes, verifier, the end of the list and `eof` are.
const FRAME: usize = POST_OP_ATTR + VERIFIER.len() + 4 + 4;
const STATUS: usize = 4;
const DOTS: [(&str, u64); 2] = [(".", 1), ("..", 2)];

/// Where a reader goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// At the beginning, after so many of `.` and `..`.
    Dots(usize),
    /// At this entry of this generation.
    Entry { generation: u32, ordinal: u32 },
}

impl Place {
    /// The place that follows the entry with this cookie. A cookie that nobody gave out is the beginning.
    pub(super) fn after(cookie: u64) -> Place {
        match cookie {
            1 => Place::Dots(1),
            2 => Place::Dots(2),
            _ => split_cookie(cookie)
                .map_or(Place::Dots(0), |(generation, ordinal)| Place::Entry { generation, ordinal }),
        }
    }

    /// The listing to go on in, if it is in memory.
    pub(super) fn open_now(self, shared: &Shared, directory: &Node, call: &Call) -> Option<vfs::Result<Listing>> {
        match self {
            Place::Dots(_) => shared.vfs.list_now(directory, call),
            Place::Entry { generation, .. } => shared.vfs.list_at_now(directory, generation),
        }
    }

    /// The listing to go on in.
    pub(super) async fn open(self, shared: Arc<Shared>, directory: Node, call: Arc<Call>) -> vfs::Result<Listing> {
        match self {
            Place::Dots(_) => shared.vfs.list(&directory, &call).await,
            Place::Entry { generation, .. } => shared.vfs.list_at(&directory, generation, &call).await,
        }
    }

    /// The same place in `listing`: its beginning if the reader's own generation is truly gone. A name that is seen twice is
    /// visible; one that is lost is a lie.
    fn within(self, listing: &Listing) -> (usize, u32) {
        match self {
            Place::Dots(dots) => (dots, 0),
            Place::Entry { generation, ordinal } if generation == listing.generation() => (DOTS.len(), ordinal),
            Place::Entry { .. } => (0, 0),
        }
    }
}

/// One entry to encode.
pub(super) struct Entry<'a> {
    pub file_id: u64,
    pub name: &'a str,
    pub cookie: u64,
    /// The object, for READDIRPLUS; `..` tells nothing of itself.
    pub object: Option<(Node, Attributes)>,
}

impl Entry<'_> {
    /// Bytes of the entry without attributes and handle: "another follows", file id, name, cookie.
    pub(super) fn plain_bytes(&self) -> usize {
        4 + 8 + 4 + self.name.len().next_multiple_of(4) + 8
    }

    /// Encodes that part.
    #[inline]
    pub(super) fn put_plain(&self, reply: &mut Reply) {
        reply.u32(1);
        reply.u64(self.file_id);
        reply.opaque(self.name.as_bytes());
        reply.u64(self.cookie);
    }
}

/// How many bytes a reply may have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// Everything but the status.
    pub total: usize,
    /// Names, file ids and cookies alone. At least one entry is given, since clients that ask for less could not go on.
    pub plain: usize,
}

/// Encodes a page of `listing` from `place` on: as many entries as there is room for, none of them asked for in vain.
///
/// `bytes` and `put` are the size of an entry and its encoding.
pub(super) fn put_page(
    shared: &Shared,
    reply: &mut Reply,
    (listing, place): (&Listing, Place),
    room: Room,
    profile: Profile,
    bytes: impl Fn(&Entry<'_>) -> usize,
    put: impl Fn(&mut Reply, &Entry<'_>),
) {
    let (mut dots, mut ordinal) = place.within(listing);
    let directory = listing.directory();
    let attributes = shared.shown(&directory);
    put_ok(reply);
    put_attributes(reply, attributes.as_ref());
    reply.raw(&VERIFIER);
    let (mut used, mut plain, mut count) = (FRAME, 0, 0u32);
    let mut add = |reply: &mut Reply, entry: &Entry<'_>| {
        let (more, more_plain) = (bytes(entry), entry.plain_bytes());
        if used + more > room.total || (count > 0 && plain + more_plain > room.plain) {
            return false;
        }
        put(reply, entry);
        used += more;
        plain += more_plain;
        count += 1;
        true
    };
    let mut is_full = false;
    while let (Some((name, cookie)), false) = (DOTS.get(dots).copied(), is_full) {
        let (file_id, object) = match cookie {
            1 => (directory.file_id(), attributes.map(|attributes| (directory, attributes))),
            _ => (directory.parent_file_id(), None),
        };
        is_full = !add(reply, &Entry { file_id, name, cookie, object });
        dots += usize::from(!is_full);
    }
    while !is_full && ordinal < listing.len() {
        let Some((node, attributes)) = listing.entry(ordinal) else { break };
        let name = listing.name(ordinal, profile);
        let entry = Entry {
            file_id: attributes.file_id,
            name: &name,
            cookie: listing.cookie(ordinal),
            object: Some((node, attributes)),
        };
        is_full = !add(reply, &entry);
        ordinal += u32::from(!is_full);
    }
    if is_full && count == 0 {
        reply.truncate(0);
        put_failure(reply, nfsstat3::NFS3ERR_TOOSMALL);
        put_attributes(reply, attributes.as_ref());
        return;
    }
    reply.boolean(false);
    reply.boolean(!is_full);
    debug_assert!(reply.results() <= room.total.max(FRAME) + STATUS);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cookie_names_a_place() {
        assert_eq!(Place::after(0), Place::Dots(0));
        assert_eq!(Place::after(1), Place::Dots(1));
        assert_eq!(Place::after(2), Place::Dots(2));
        assert_eq!(Place::after((7 << 32) | 3), Place::Entry { generation: 7, ordinal: 1 });
        assert_eq!(Place::after(7 << 32), Place::Dots(0));
        for cookie in [u64::MAX, i64::MAX as u64, u64::from(u32::MAX)] {
            let _ = Place::after(cookie);
        }
    }
}
