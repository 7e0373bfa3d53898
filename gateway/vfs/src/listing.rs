//! A listing as front ends read it: a pinned snapshot, with attributes, handles, spelled names and cookies.

use std::borrow::Cow;
use std::sync::Arc;

use crate::attributes::{Attributes, FileType};
use crate::name::Profile;
use crate::node::{Identity, Node};
use crate::snapshot::Row;
use crate::standing::Standing;
use crate::timestamp::Timestamp;
use crate::tree::{Directory, Loaded, State};
use crate::vfs::Inner;

/// Where entries' cookies begin: 0 is the start, 1 and 2 are `.` and `..`.
pub const FIRST_COOKIE: u64 = 3;

/// One generation of one directory, pinned while it is being read.
#[derive(Clone)]
pub struct Listing {
    inner: Arc<Inner>,
    directory: Arc<Directory>,
    loaded: Arc<Loaded>,
    /// What was known of the directory when it was opened.
    state: Arc<State>,
    /// The directory as it was asked for: its session and view go on to the entries.
    node: Node,
    now: Timestamp,
}

/// Splits a cookie into generation and ordinal of the *next* entry (D28).
/// Cookies 0, 1 and 2 (start, after `.`, after `..`) have no generation.
pub fn split_cookie(cookie: u64) -> Option<(u32, u32)> {
    let generation = u32::try_from(cookie >> 32).ok()?;
    let ordinal = (cookie & u64::from(u32::MAX)).checked_sub(FIRST_COOKIE)?;
    Some((generation, u32::try_from(ordinal).ok()?.checked_add(1)?))
}

impl std::fmt::Debug for Listing {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Listing").field("generation", &self.generation()).field("len", &self.len()).finish()
    }
}

impl Listing {
    pub(crate) fn new(inner: Arc<Inner>, directory: Arc<Directory>, loaded: Arc<Loaded>) -> Listing {
        let (now, state) = (inner.clock.now(), directory.state().clone());
        Listing { node: directory.node, inner, directory, loaded, state, now }
    }

    pub(crate) fn seen_from(mut self, node: &Node) -> Listing {
        self.node = *node;
        self
    }

    /// Number of entries.
    pub fn len(&self) -> u32 {
        self.loaded.snapshot.len()
    }

    /// No entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of this listing in its directory's history.
    pub fn generation(&self) -> u32 {
        self.loaded.generation
    }

    /// The directory itself.
    pub fn directory(&self) -> Node {
        self.node
    }

    /// The name of the entry at `ordinal`, spelled for `profile`. Empty past the end.
    pub fn name(&self, ordinal: u32, profile: Profile) -> Cow<'_, str> {
        match self.loaded.snapshot.entry(ordinal) {
            Some(entry) => self.loaded.snapshot.spelled(&entry, profile),
            None => Cow::Borrowed(""),
        }
    }

    /// The entry at `ordinal` as an object, with its attributes.
    pub fn entry(&self, ordinal: u32) -> Option<(Node, Attributes)> {
        let entry = self.loaded.snapshot.entry(ordinal)?;
        let found = self.inner.found_at(&self.directory, &self.state, &entry, self.now, self.node.is_frozen());
        let found = self.node.leads_to(found).ok()?;
        Some((found.node, found.attributes))
    }

    /// The raw target of the link at `ordinal`, as the endpoint says.
    pub fn raw_link(&self, ordinal: u32) -> Option<&str> {
        self.loaded.snapshot.rows().row(ordinal)?.link()
    }

    /// The entry at `ordinal` exactly as the endpoint said it: real mode, unaltered times.
    pub fn row(&self, ordinal: u32) -> Option<Row<'_>> {
        self.loaded.snapshot.rows().row(ordinal)
    }

    /// When the entry at `ordinal`, whose attributes these are, was changed: without the stamp that a directory's change time carries (D4).
    pub fn changed(&self, ordinal: u32, attributes: &Attributes) -> Option<Timestamp> {
        let is_stamped = attributes.file_type == FileType::Directory;
        if is_stamped { self.row(ordinal)?.times().changed } else { attributes.changed }
    }

    /// Where the entry with this identity stands.
    pub fn find(&self, own: Identity) -> Option<u32> {
        Some(self.loaded.snapshot.by_identity(own)?.ordinal)
    }

    /// How the content of the entry at `ordinal` stands; `node` as [`Listing::entry`] gives it.
    pub fn standing(&self, ordinal: u32, node: &Node) -> Standing {
        match self.loaded.snapshot.entry(ordinal) {
            Some(entry) => self.inner.standing(&self.directory, &entry, node),
            None => Standing::NoContent,
        }
    }

    /// Cookie of the entry at `ordinal`: generation << 32 | ordinal + 3, below 2^63 (D28).
    pub fn cookie(&self, ordinal: u32) -> u64 {
        (u64::from(self.generation()) << 32) | (u64::from(ordinal) + FIRST_COOKIE)
    }

    /// When the endpoint was seen so; `None` for the gateway's own directories.
    pub fn seen(&self) -> Option<Timestamp> {
        self.directory.state().listing.as_ref().map(|listing| listing.observation.seen)
    }
}
