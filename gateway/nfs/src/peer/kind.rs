//! The kinds of peers and what each of them gets.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use vfs::Profile;

/// The client at the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PeerKind {
    /// It has shown no sign; treated as Linux.
    #[default]
    Unknown,
    /// The Linux kernel's client.
    Linux,
    /// The macOS kernel's client.
    Macos,
    /// Windows' Client for NFS.
    Windows,
}

/// What a reply to a peer has to respect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Habits {
    /// It notices changes of a directory by mtime alone: mtime carries the change stamp too (D4).
    pub compares_modified: bool,
    /// It does not know JUKEBOX: an I/O error is said instead.
    pub fails_on_later: bool,
}

/// How a kind is treated.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy {
    /// It bears no longer silence than this.
    bears: Duration,
    /// How names are spelled.
    pub profile: Profile,
    /// What replies have to respect.
    pub habits: Habits,
}

/// macOS shows "not responding" after 30 s without any reply; a first JUKEBOX before that is passed over in silence
/// (docs/nfs-clients.md §3.2).
const MACOS_BEARS: Duration = Duration::from_secs(20);

impl Policy {
    pub(crate) fn of(kind: PeerKind) -> Policy {
        let linux = Policy { bears: Duration::MAX, profile: Profile::Posix, habits: Habits::default() };
        match kind {
            PeerKind::Unknown | PeerKind::Linux => linux,
            // It compares nothing but mtime (its nfsnode.h, NFS_CHANGED).
            PeerKind::Macos => {
                Policy { bears: MACOS_BEARS, habits: Habits { compares_modified: true, ..linux.habits }, ..linux }
            }
            // ctime alone: mtime would lose digits below 100 ns anyway.
            PeerKind::Windows => {
                Policy { profile: Profile::Windows, habits: Habits { fails_on_later: true, ..linux.habits }, ..linux }
            }
        }
    }

    /// How long a call of such a peer is held, where the configuration says `configured`.
    pub(crate) fn hold(&self, configured: Duration) -> Duration {
        configured.min(self.bears)
    }
}

const NAMES: [(PeerKind, &str); 4] = [
    (PeerKind::Unknown, "unknown"),
    (PeerKind::Linux, "linux"),
    (PeerKind::Macos, "macos"),
    (PeerKind::Windows, "windows"),
];

impl fmt::Display for PeerKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.iter().find(|(kind, _)| kind == self).map_or("unknown", |(_, name)| name);
        formatter.write_str(name)
    }
}

impl FromStr for PeerKind {
    type Err = ();

    fn from_str(text: &str) -> Result<PeerKind, ()> {
        NAMES.iter().find(|(_, name)| *name == text).map(|(kind, _)| *kind).ok_or(())
    }
}
