//! What can stop the simulator from starting, in words that say what to do.

use std::path::{Path, PathBuf};

/// Why the simulator could not start or could not do what its handle was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder under the state directory could not be read or written.
    #[error("cannot use {path}: {source}; check that the state directory is writable and not full", path = path.display())]
    State {
        /// The file or folder.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// A file under the state directory is not what the simulator wrote.
    #[error("{path} is damaged ({reason}); remove it to start afresh", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The listening address is taken or not ours.
    #[error("cannot listen on {address}: {source}; choose another address or port 0")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// The reason.
        source: std::io::Error,
    },
    /// A certificate or key could not be made.
    #[error("cannot make a certificate: {0}")]
    Certificate(String),
    /// The configuration contradicts itself.
    #[error("bad simulator configuration: {0}")]
    Configuration(String),
}

impl Error {
    pub(crate) fn state(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        |source| Self::State { path: path.to_path_buf(), source }
    }

    pub(crate) fn damaged(path: &Path, reason: impl std::fmt::Display) -> Self {
        Self::Damaged { path: path.to_path_buf(), reason: reason.to_string() }
    }
}
