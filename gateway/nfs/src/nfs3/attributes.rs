//! `fattr3`: attributes as they go over the wire, safe for the machine that mounts (D1).

use nfsserve::nfs::ftype3;
use vfs::attributes::{OWNER, stamped};
use vfs::{Attributes, FileType, Timestamp};

use crate::peer::Habits;

/// The largest offset that both sides can express.
pub(crate) const MAX_FILE_SIZE: u64 = i64::MAX as u64;
/// Bytes of a `fattr3`.
pub(super) const FATTR3: usize = 84;

/// The encoded attributes, for a client with these habits; the size has to be known.
#[inline]
pub(super) fn fattr3(attributes: &Attributes, size: u64, habits: Habits) -> [u8; FATTR3] {
    let mut out = [0; FATTR3];
    put32(&mut out, 0, wire_type(attributes.file_type) as u32);
    put32(&mut out, 4, attributes.mode & 0o777);
    // One link means "not known" to tools that would count sub-directories by it.
    put32(&mut out, 8, 1);
    put32(&mut out, 12, OWNER);
    put32(&mut out, 16, OWNER);
    put64(&mut out, 20, size);
    // Not less than the size: tools take missing blocks for holes and skip the content.
    put64(&mut out, 28, size);
    // Bytes 36..44 are specdata3: device numbers are always 0:0.
    put64(&mut out, 44, attributes.fsid);
    put64(&mut out, 52, attributes.file_id);
    put_time(&mut out, 60, attributes.accessed);
    put_time(&mut out, 68, shown_modified(attributes, habits));
    put_time(&mut out, 76, attributes.changed);
    out
}

/// mtime as it is; of a directory with the change stamp of ctime, for clients that look at nothing else (D4).
fn shown_modified(attributes: &Attributes, habits: Habits) -> Option<Timestamp> {
    match (attributes.file_type, attributes.changed) {
        (FileType::Directory, Some(changed)) if habits.compares_modified => {
            Some(stamped(attributes.modified, changed.nanos))
        }
        _ => attributes.modified,
    }
}

/// FIFOs are shown as sockets: opening a FIFO would block the reader (D1).
fn wire_type(file_type: FileType) -> ftype3 {
    match file_type {
        FileType::Directory => ftype3::NF3DIR,
        FileType::Regular | FileType::Irregular => ftype3::NF3REG,
        FileType::Symlink => ftype3::NF3LNK,
        FileType::CharacterDevice => ftype3::NF3CHR,
        FileType::BlockDevice => ftype3::NF3BLK,
        FileType::Fifo | FileType::Socket => ftype3::NF3SOCK,
    }
}

/// `nfstime3` counts seconds in 32 bits without sign: earlier and later times are clamped to its ends. Unknown times are 0.
fn put_time(out: &mut [u8; FATTR3], at: usize, time: Option<Timestamp>) {
    let (seconds, nanos) = match time {
        None => (0, 0),
        Some(time) => match u32::try_from(time.seconds) {
            Ok(seconds) => (seconds, time.nanos),
            Err(_) if time.seconds < 0 => (0, stamp(time)),
            Err(_) => (u32::MAX, 999_999_900 + stamp(time)),
        },
    };
    put32(out, at, seconds);
    put32(out, at + 4, nanos);
}

/// A clamped time keeps what lives below 100 ns: the change stamp that tells kernels of a refresh (D4).
fn stamp(time: Timestamp) -> u32 {
    time.nanos % 100
}

#[inline]
fn put32(out: &mut [u8; FATTR3], at: usize, value: u32) {
    out[at..at + 4].copy_from_slice(&value.to_be_bytes());
}

#[inline]
fn put64(out: &mut [u8; FATTR3], at: usize, value: u64) {
    out[at..at + 8].copy_from_slice(&value.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(file_type: FileType) -> Attributes {
        Attributes {
            file_type,
            mode: 0o4755,
            size: Some(5),
            fsid: 7,
            file_id: 8,
            accessed: Some(Timestamp::new(-5, 123_456_789)),
            modified: Some(Timestamp::new(4_294_967_295, 999_999_999)),
            changed: Some(Timestamp::new(253_402_300_799, 999_999_907)),
            born: None,
            collected: false,
        }
    }

    fn word(bytes: &[u8; FATTR3], at: usize) -> u32 {
        u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
    }

    #[test]
    fn nothing_that_acts_on_the_mounting_machine_goes_out() {
        for (file_type, wire) in [
            (FileType::Fifo, 6),
            (FileType::Socket, 6),
            (FileType::CharacterDevice, 4),
            (FileType::BlockDevice, 3),
            (FileType::Irregular, 1),
            (FileType::Symlink, 5),
            (FileType::Directory, 2),
        ] {
            let bytes = fattr3(&attributes(file_type), 5, Habits::default());
            assert_eq!(word(&bytes, 0), wire, "{file_type:?}");
            assert_eq!(word(&bytes, 4), 0o755, "setuid is cleared");
            assert_eq!((word(&bytes, 12), word(&bytes, 16)), (65_534, 65_534));
            assert_eq!((word(&bytes, 36), word(&bytes, 40)), (0, 0), "device numbers");
        }
    }

    #[test]
    fn times_beyond_the_wire_are_clamped_and_keep_the_change_stamp() {
        let bytes = fattr3(&attributes(FileType::Regular), 5, Habits::default());
        assert_eq!((word(&bytes, 60), word(&bytes, 64)), (0, 89));
        assert_eq!((word(&bytes, 68), word(&bytes, 72)), (u32::MAX, 999_999_999));
        assert_eq!((word(&bytes, 76), word(&bytes, 80)), (u32::MAX, 999_999_907));
        let unknown = fattr3(&Attributes { modified: None, ..attributes(FileType::Regular) }, 5, Habits::default());
        assert_eq!((word(&unknown, 68), word(&unknown, 72)), (0, 0));
    }

    #[test]
    fn a_client_that_looks_at_mtime_alone_sees_the_change_stamp_there_on_directories_only() {
        let habits = Habits { compares_modified: true, ..Habits::default() };
        let modified = Some(Timestamp::new(1_700_000_000, 123_456_789));
        let stamped = |file_type| fattr3(&Attributes { modified, ..attributes(file_type) }, 5, habits);
        assert_eq!(word(&stamped(FileType::Directory), 72), 123_456_707);
        assert_eq!(word(&stamped(FileType::Regular), 72), 123_456_789);
        let plain = fattr3(&Attributes { modified, ..attributes(FileType::Directory) }, 5, Habits::default());
        assert_eq!(word(&plain, 72), 123_456_789);
    }
}
