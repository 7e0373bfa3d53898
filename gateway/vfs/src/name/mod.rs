//! How a component is spelled for a class of client: reversible, tested by property.
//!
//! A character that the client cannot have in a name is shown as its full-width look-alike (`/` as `／`); a character that already
//! is such a look-alike is preceded by `‛`, and so is `‛` itself where it would be read as one.

mod codec;

use std::borrow::Cow;

/// A class of clients, by what their names may contain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Profile {
    /// Only `/` and NUL cannot be in a name; longer than 255 bytes cannot be listed by the Linux client.
    #[default]
    Posix,
    /// What Windows refuses in names too: `< > : " \ | ? *`, control characters, trailing dots and spaces, reserved devices.
    /// It ignores case, so names that differ in nothing else are told apart ([`crate::snapshot::Snapshot::spelled`]).
    Windows,
    /// As [`Profile::Posix`], but the client asks for every name with its accents taken apart (NFD), however it was listed.
    Mac,
}

impl Profile {
    /// The spelling of a raw component.
    pub fn spell(self, component: &str) -> Cow<'_, str> {
        codec::spell(self, component)
    }

    /// The raw component of a spelling.
    pub fn read(self, spelled: &str) -> Cow<'_, str> {
        codec::read(self, spelled)
    }
}
