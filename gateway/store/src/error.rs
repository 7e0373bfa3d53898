//! Why a state cannot be opened, and how failures of the disk are told to the VFS.

use std::io;
use std::path::{Path, PathBuf};

/// Why a state directory cannot be used. Each text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another gateway holds the lock.
    #[error("the state {} is in use by another gateway{}: stop it or choose another --state", state.display(), process(*pid))]
    InUse {
        /// The state directory.
        state: PathBuf,
        /// The process that holds it, if it could be read.
        pid: Option<u32>,
    },
    /// Written by a version that this one does not understand.
    #[error("the state {} has the format {found:?}; this version reads {expected:?}: use the version that wrote it, or another --state", state.display())]
    Format {
        /// The state directory.
        state: PathBuf,
        /// What stands in `format`.
        found: String,
        /// What this version writes.
        expected: &'static str,
    },
    /// The index cannot be read.
    #[error("the index in {} is damaged ({reason}): move the state directory away and start again; the server still has all evidence", state.display())]
    Damaged {
        /// The state directory.
        state: PathBuf,
        /// What the embedded store says.
        reason: String,
    },
    /// The secret is no secret.
    #[error("{} {reason}", path.display())]
    Secret {
        /// The file.
        path: PathBuf,
        /// What is wrong with it and what to do.
        reason: String,
    },
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// What was touched.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
}

fn process(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
}

impl OpenError {
    pub(crate) fn io(path: &Path, source: io::Error) -> OpenError {
        OpenError::Io { path: path.into(), source }
    }
}

/// A failed read or write of a file, for the VFS. The path stays in the log: it is the gateway's own disk.
pub(crate) fn disk(doing: &str, path: &Path, error: &io::Error) -> vfs::Error {
    tracing::error!(path = %path.display(), %error, "{doing} failed");
    if error.kind() == io::ErrorKind::StorageFull {
        return vfs::Error::backend(FULL);
    }
    vfs::Error::backend(format!("the gateway's own disk failed: {error}"))
}

/// A failed operation of the index, for the VFS.
pub(crate) fn index(doing: &str, error: &fjall::Error) -> vfs::Error {
    tracing::error!(?error, "{doing} failed");
    match error {
        fjall::Error::Io(cause) if cause.kind() == io::ErrorKind::StorageFull => vfs::Error::backend(FULL),
        fjall::Error::Poisoned => vfs::Error::backend(
            "the gateway's state accepts no more writes since one failed: make sure its disk works and has space, then restart the gateway",
        ),
        _ => vfs::Error::backend("the gateway's own state could not be read or written: see its log"),
    }
}

const FULL: &str = "the disk that holds the gateway's state is full: free space there";
