//! Recomputing the chain of a whole ledger.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use super::LedgerError;
use super::line::{self, BEGINNING, MAX_LINE};

/// A ledger whose chain is whole.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Verified {
    /// Number of lines.
    pub lines: u64,
    /// Hash of the last line: who wrote it down elsewhere can tell later that nothing before it was changed.
    pub head: String,
    /// Half a line stands at the end: the gateway is writing, or was killed while it was.
    pub unfinished: bool,
}

/// Recomputes every hash of the ledger at `path`.
///
/// # Errors
/// `Broken` with the first line that does not fit, `Io` if the file cannot be read.
pub fn verify(path: &Path) -> Result<Verified, LedgerError> {
    let failed = |source| LedgerError::Io { path: path.into(), source };
    let mut reader = BufReader::new(File::open(path).map_err(failed)?);
    let mut verified = Verified { lines: 0, head: BEGINNING.into(), unfinished: false };
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        let limit = MAX_LINE as u64 + 1;
        reader.by_ref().take(limit).read_until(b'\n', &mut bytes).map_err(failed)?;
        if bytes.is_empty() {
            return Ok(verified);
        }
        let number = verified.lines + 1;
        let broken = |reason: &str| LedgerError::Broken { path: path.into(), line: number, reason: reason.into() };
        if bytes.pop_if(|byte| *byte == b'\n').is_none() {
            if bytes.len() > MAX_LINE {
                return Err(broken("it is longer than any line that a gateway writes"));
            }
            verified.unfinished = true;
            return Ok(verified);
        }
        let line = line::open(&bytes).ok_or_else(|| broken("its hash does not fit its text"))?;
        if line.number != number {
            return Err(broken(&format!("it bears the number {}: lines were removed or added", line.number)));
        }
        if line.previous != verified.head {
            return Err(broken("it does not follow the line before it: that one was changed"));
        }
        verified.lines = number;
        verified.head = line.hash;
    }
}
