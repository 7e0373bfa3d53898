//! A listing as front ends read it: a pinned snapshot, with attributes, handles, spelled names and cookies.

use std::borrow::Cow;

use crate::attributes::Attributes;
use crate::name::Profile;
use crate::node::Node;
use crate::timestamp::Timestamp;

/// Where entries' cookies begin: 0 is the start, 1 and 2 are `.` and `..`.
pub const FIRST_COOKIE: u64 = 3;

/// One generation of one directory, pinned while it is being read.
#[derive(Clone)]
pub struct Listing {}

/// Splits a cookie into generation and ordinal of the *next* entry (D28).
/// Cookies 0, 1 and 2 (start, after `.`, after `..`) have no generation.
pub fn split_cookie(cookie: u64) -> Option<(u32, u32)> {
    let generation = u32::try_from(cookie >> 32).ok()?;
    let ordinal = (cookie & u64::from(u32::MAX)).checked_sub(FIRST_COOKIE)?;
    Some((generation, u32::try_from(ordinal).ok()?.checked_add(1)?))
}

impl Listing {
    /// Number of entries.
    pub fn len(&self) -> u32 {
        todo!()
    }

    /// No entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of this listing in its directory's history.
    pub fn generation(&self) -> u32 {
        todo!()
    }

    /// The directory itself.
    pub fn directory(&self) -> (Node, Attributes) {
        todo!()
    }

    /// The name of the entry at `ordinal`, spelled for `profile`.
    pub fn name(&self, _ordinal: u32, _profile: Profile) -> Cow<'_, str> {
        todo!()
    }

    /// The entry at `ordinal` as an object, with its attributes.
    pub fn entry(&self, _ordinal: u32) -> Option<(Node, Attributes)> {
        todo!()
    }

    /// Cookie of the entry at `ordinal`: generation << 32 | ordinal + 3, below 2^63 (D28).
    pub fn cookie(&self, ordinal: u32) -> u64 {
        (u64::from(self.generation()) << 32) | (u64::from(ordinal) + FIRST_COOKIE)
    }

    /// When the endpoint was seen so; `None` for the gateway's own directories.
    pub fn seen(&self) -> Option<Timestamp> {
        todo!()
    }
}
