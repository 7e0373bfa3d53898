//! Zip with stored members, their checksums behind them, and the 64-bit records everywhere: one way to write whatever the size.

use vfs::Timestamp;

use super::Member;
use crate::dates;

/// A zip that is being written.
#[derive(Default)]
pub(super) struct Zip {
    /// Bytes so far.
    at: u64,
    directory: Vec<u8>,
    members: u64,
    open: Option<Open>,
}

struct Open {
    path: String,
    offset: u64,
    size: u64,
    checksum: crc32fast::Hasher,
    modified: Option<Timestamp>,
    is_directory: bool,
}

/// Version 4.5: 64-bit records.
const VERSION: u16 = 45;
/// Checksum and sizes stand behind the content; names are UTF-8.
const FLAGS: u16 = 0x0808;
const NAMES: u16 = 0x0800;
/// Made on Unix, so that the mode is read.
const MADE_BY: u16 = 3 << 8 | VERSION;

impl Zip {
    pub(super) fn begin(&mut self, out: &mut Vec<u8>, member: &Member<'_>) {
        let path = if member.is_directory { format!("{}/", member.path) } else { member.path.to_owned() };
        let start = out.len();
        let (time, date) = dates::dos(member.modified);
        four(out, 0x0403_4b50);
        two(out, VERSION);
        two(out, if member.is_directory { NAMES } else { FLAGS });
        two(out, 0);
        two(out, time);
        two(out, date);
        four(out, 0);
        let (size, extra) = if member.is_directory { (0, 0) } else { (u32::MAX, 20) };
        four(out, size);
        four(out, size);
        two(out, length(&path));
        two(out, extra);
        out.extend_from_slice(path.as_bytes());
        if !member.is_directory {
            // That it is there says that the sizes behind the content have eight bytes.
            two(out, 1);
            two(out, 16);
            eight(out, 0);
            eight(out, 0);
        }
        self.open = Some(Open {
            path,
            offset: self.at,
            size: 0,
            checksum: crc32fast::Hasher::new(),
            modified: member.modified,
            is_directory: member.is_directory,
        });
        self.at += (out.len() - start) as u64;
    }

    pub(super) fn content(&mut self, bytes: &[u8]) {
        if let Some(open) = &mut self.open {
            open.checksum.update(bytes);
            open.size += bytes.len() as u64;
            self.at += bytes.len() as u64;
        }
    }

    pub(super) fn end(&mut self, out: &mut Vec<u8>) {
        let Some(open) = self.open.take() else { return };
        let checksum = open.checksum.finalize();
        let start = out.len();
        if !open.is_directory {
            four(out, 0x0807_4b50);
            four(out, checksum);
            eight(out, open.size);
            eight(out, open.size);
        }
        self.at += (out.len() - start) as u64;
        self.members += 1;
        let (time, date) = dates::dos(open.modified);
        let entry = &mut self.directory;
        four(entry, 0x0201_4b50);
        two(entry, MADE_BY);
        two(entry, VERSION);
        two(entry, if open.is_directory { NAMES } else { FLAGS });
        two(entry, 0);
        two(entry, time);
        two(entry, date);
        four(entry, checksum);
        four(entry, u32::MAX);
        four(entry, u32::MAX);
        two(entry, length(&open.path));
        let stamp = open.modified.and_then(|time| i32::try_from(time.seconds).ok());
        two(entry, 28 + if stamp.is_some() { 9 } else { 0 });
        two(entry, 0);
        two(entry, 0);
        two(entry, 0);
        let (mode, dos_attributes) = if open.is_directory { (0o40_555, 0x10) } else { (0o100_444, 0) };
        four(entry, mode << 16 | dos_attributes);
        four(entry, u32::MAX);
        entry.extend_from_slice(open.path.as_bytes());
        two(entry, 1);
        two(entry, 24);
        eight(entry, open.size);
        eight(entry, open.size);
        eight(entry, open.offset);
        if let Some(seconds) = stamp {
            // "UT": the time of last modification in UTC.
            two(entry, 0x5455);
            two(entry, 5);
            entry.push(1);
            entry.extend_from_slice(&seconds.to_le_bytes());
        }
    }

    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        let (start, size) = (self.at, self.directory.len() as u64);
        out.append(&mut self.directory);
        four(out, 0x0606_4b50);
        eight(out, 44);
        two(out, MADE_BY);
        two(out, VERSION);
        four(out, 0);
        four(out, 0);
        eight(out, self.members);
        eight(out, self.members);
        eight(out, size);
        eight(out, start);
        four(out, 0x0706_4b50);
        four(out, 0);
        eight(out, start + size);
        four(out, 1);
        four(out, 0x0605_4b50);
        two(out, 0);
        two(out, 0);
        two(out, u16::MAX);
        two(out, u16::MAX);
        four(out, u32::MAX);
        four(out, u32::MAX);
        two(out, 0);
    }
}

/// Paths on endpoints are shorter; one that is not ends here, and the manifest has all of it.
fn length(path: &str) -> u16 {
    u16::try_from(path.len()).unwrap_or(u16::MAX)
}

fn two(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn four(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn eight(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}
