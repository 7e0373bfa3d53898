//! The one error type: what went wrong, in a word that every front end translates with one table.

use std::sync::Arc;
use std::time::Duration;

/// Result of an operation on the VFS.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, and a sentence for the person who reads it.
///
/// The message is lower case, names no path of the server's own disk, and says what can be done.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("{message}")]
pub struct Error {
    kind: ErrorKind,
    message: Arc<str>,
    /// See [`Error::is_passing`].
    passing: bool,
}

/// The kinds of failure. Each front end maps every kind to exactly one code of its protocol (SEMANTICS "Errors").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Proven not to exist: a fresh listing of the parent does not have the name.
    Absent,
    /// The endpoint, the server or a rule refuses.
    Denied,
    /// The endpoint is not connected and what was asked for is not cached.
    Offline,
    /// The content was never collected and may not be collected for this call.
    Uncollected,
    /// Not ready yet; worth asking again after about this long.
    Later {
        /// How long the caller should wait before it asks again.
        after: Duration,
    },
    /// Larger than may be collected automatically.
    TooBig,
    /// A budget of the principal or the endpoint is spent.
    Budget,
    /// The endpoint's file changed, so the missing rest of this version cannot be had any more.
    Changed,
    /// The handle names something that is gone for good.
    Stale,
    /// The server, the endpoint or the local store failed.
    Backend,
    /// The request makes no sense (bad handle, bad name, bad argument).
    Invalid,
    /// A directory operation on something that is none.
    NotDirectory,
    /// A file operation on a directory.
    IsDirectory,
    /// READLINK of something that is no symbolic link, or READ of something that has no content.
    Unsupported,
    /// The mount is read-only.
    ReadOnly,
    /// A name is longer than any accessor can have.
    NameTooLong,
}

impl Error {
    /// An error of `kind` with the sentence `message`.
    pub fn new(kind: ErrorKind, message: impl Into<Arc<str>>) -> Error {
        Error { kind, message: message.into(), passing: false }
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The sentence for the person who reads it.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// "Not ready yet", worth asking again after `after`.
    pub fn later(after: Duration, message: impl Into<Arc<str>>) -> Error {
        Error::new(ErrorKind::Later { after }, message)
    }

    /// Proven absent.
    pub fn absent(message: impl Into<Arc<str>>) -> Error {
        Error::new(ErrorKind::Absent, message)
    }

    /// The endpoint is not connected.
    pub fn offline(message: impl Into<Arc<str>>) -> Error {
        Error::new(ErrorKind::Offline, message)
    }

    /// The server, the endpoint or the store failed.
    pub fn backend(message: impl Into<Arc<str>>) -> Error {
        Error::new(ErrorKind::Backend, message)
    }

    /// The server could not be reached, or the connection broke: as [`Error::backend`], and asking again may help by itself.
    pub fn unreachable(message: impl Into<Arc<str>>) -> Error {
        Error { passing: true, ..Error::backend(message) }
    }

    /// Whether asking again may help without anybody doing anything.
    pub fn is_passing(&self) -> bool {
        self.passing
    }

    /// The request makes no sense.
    pub fn invalid(message: impl Into<Arc<str>>) -> Error {
        Error::new(ErrorKind::Invalid, message)
    }

    /// The handle's object is gone.
    pub fn stale(message: impl Into<Arc<str>>) -> Error {
        Error::new(ErrorKind::Stale, message)
    }
}
