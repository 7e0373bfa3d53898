//! What GETATTR and PROPFIND say of an object: safe for the workstation (D1), true for the evidence (D4).

use crate::node::NodeKind;
use crate::timestamp::Timestamp;

/// The type of an entry as the endpoint has it. Real types stay visible in provenance; the wire sees [`Attributes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum FileType {
    /// Directory, drive, registry key.
    Directory = 1,
    /// Regular file, registry value, stream.
    Regular = 2,
    /// Symbolic link, junction.
    Symlink = 3,
    /// Character device.
    CharacterDevice = 4,
    /// Block device.
    BlockDevice = 5,
    /// Named pipe.
    Fifo = 6,
    /// Socket.
    Socket = 7,
    /// Anything else (Go's `?`: some reparse points).
    Irregular = 8,
}

impl FileType {
    /// From the number that snapshots store.
    pub fn from_byte(byte: u8) -> Option<FileType> {
        Some(match byte {
            1 => FileType::Directory,
            2 => FileType::Regular,
            3 => FileType::Symlink,
            4 => FileType::CharacterDevice,
            5 => FileType::BlockDevice,
            6 => FileType::Fifo,
            7 => FileType::Socket,
            8 => FileType::Irregular,
            _ => return None,
        })
    }

    /// The sort of node that stands for it.
    pub fn node_kind(self) -> NodeKind {
        match self {
            FileType::Directory => NodeKind::Directory,
            FileType::Regular => NodeKind::File,
            FileType::Symlink => NodeKind::Link,
            _ => NodeKind::Special,
        }
    }
}

/// Attributes of an object as both protocols show them.
///
/// Owner and group are always 65534, device numbers always 0:0, setuid, setgid and sticky never set (D1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    /// The type as the endpoint has it. NFS shows FIFOs as sockets, and devices with specdata 0:0.
    pub file_type: FileType,
    /// Permission bits: 0555 for directories, 0444 for files, 0777 for links.
    pub mode: u32,
    /// Size in bytes of what the next READ would serve (D5). `None`: only reading tells (D7).
    pub size: Option<u64>,
    /// File system id: one per endpoint.
    pub fsid: u64,
    /// File id, unique within the endpoint.
    pub file_id: u64,
    /// Last access, as listed.
    pub accessed: Option<Timestamp>,
    /// Last modification, as listed.
    pub modified: Option<Timestamp>,
    /// Last change, as listed; the last two nanosecond digits carry the change stamp (D4).
    pub changed: Option<Timestamp>,
    /// Creation, as listed.
    pub born: Option<Timestamp>,
    /// The content that READ serves was collected (or needs no collection).
    pub collected: bool,
}

/// Owner and group of everything (D1).
pub const OWNER: u32 = 65_534;
/// Mode of directories (D1).
pub const DIRECTORY_MODE: u32 = 0o555;
/// Mode of files (D1).
pub const FILE_MODE: u32 = 0o444;
/// Mode of symbolic links.
pub const LINK_MODE: u32 = 0o777;

/// Puts the change stamp into the last two nanosecond digits (D4).
pub fn stamped(time: Option<Timestamp>, stamp: u32) -> Timestamp {
    let time = time.unwrap_or_default();
    Timestamp { seconds: time.seconds, nanos: time.nanos - time.nanos % 100 + stamp % 100 }
}

/// The version of a file as D6 has it: from size and mtime as listed, never 0.
pub fn listed_version(size: u64, modified: Option<Timestamp>) -> u32 {
    let mut bytes = [0; 20];
    bytes[..8].copy_from_slice(&size.to_le_bytes());
    let time = modified.unwrap_or(Timestamp { seconds: i64::MIN, nanos: 0 });
    bytes[8..16].copy_from_slice(&time.seconds.to_le_bytes());
    bytes[16..].copy_from_slice(&time.nanos.to_le_bytes());
    #[allow(clippy::cast_possible_truncation)] // 32 bits tell the versions of one file apart
    let version = xxhash_rust::xxh3::xxh3_64(&bytes) as u32;
    version.max(1)
}

/// The file system id of an endpoint: never 0.
pub fn file_system_id(export: u64, session: u64) -> u64 {
    (export ^ session.rotate_left(17)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stamp_lives_only_below_100_ns() {
        let time = Timestamp::new(-3, 123_456_789);
        assert_eq!(stamped(Some(time), 305), Timestamp::new(-3, 123_456_705));
        assert_eq!(stamped(None, 7), Timestamp::new(0, 7));
    }

    #[test]
    fn versions_differ_by_size_and_by_time() {
        let time = Some(Timestamp::new(5, 0));
        assert_eq!(listed_version(1, time), listed_version(1, time));
        assert_ne!(listed_version(1, time), listed_version(2, time));
        assert_ne!(listed_version(1, time), listed_version(1, None));
    }
}
