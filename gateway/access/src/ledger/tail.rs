//! Finding the end of a ledger: the last good line, and what a killed process or a power failure left behind it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use super::line::{self, Line, MAX_LINE};

/// Only so much of the end is read at a start.
const TAIL: u64 = 8 << 20;

/// The end of a ledger.
pub(super) struct Tail {
    /// The last good line, `None` if there is none.
    pub(super) last: Option<Line>,
    /// Where it ends.
    pub(super) good: u64,
    /// What follows it.
    pub(super) torn: Vec<u8>,
    /// Good lines among the last ones, oldest first.
    pub(super) recent: Vec<Line>,
}

/// Reads the end of `file`.
pub(super) fn read(file: &mut File) -> io::Result<Tail> {
    let length = file.seek(SeekFrom::End(0))?;
    let start = length.saturating_sub(TAIL + MAX_LINE as u64);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(length - start).read_to_end(&mut bytes)?;
    // Unless it begins at the beginning, what is before the first end of line is half a line.
    let mut offset =
        if start == 0 { 0 } else { bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1) };
    let mut good = offset;
    let mut recent = Vec::new();
    while let Some(end) = bytes.get(offset..).and_then(|rest| rest.iter().position(|byte| *byte == b'\n')) {
        if let Some(line) = bytes.get(offset..offset + end).and_then(line::open) {
            recent.push(line);
            good = offset + end + 1;
        }
        offset += end + 1;
    }
    let torn = bytes.split_off(good);
    Ok(Tail { last: recent.last().cloned(), good: start + good as u64, torn, recent })
}
