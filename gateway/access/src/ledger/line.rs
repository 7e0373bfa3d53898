//! One line of the ledger: a number, the hash of the line before, what happened, and its own hash over all of that.

use sha2::{Digest, Sha256};

/// What stands for the hash before the first line.
pub(super) const BEGINNING: &str = "0000000000000000000000000000000000000000000000000000000000000000";
const SEAL: &str = ",\"sha256\":\"";
const END: &str = "\"}";
const HASH: usize = 64;
/// No line is longer.
pub(super) const MAX_LINE: usize = 1 << 20;

/// A line whose own hash is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) number: u64,
    pub(super) previous: String,
    pub(super) hash: String,
    pub(super) event: serde_json::Value,
}

#[derive(serde::Deserialize)]
struct Body {
    #[serde(rename = "n")]
    number: u64,
    prev: String,
    event: serde_json::Value,
}

/// The line (without its end of line) with this number, after the line with the hash `previous`; and its hash.
pub(super) fn seal(number: u64, previous: &str, event: &str) -> (String, String) {
    let mut line = format!("{{\"n\":{number},\"prev\":\"{previous}\",\"event\":{event}");
    let hash = hex(&Sha256::digest(&line));
    line.push_str(SEAL);
    line.push_str(&hash);
    line.push_str(END);
    (line, hash)
}

/// Reads a line; `None` if it is none or its hash is wrong.
pub(super) fn open(line: &[u8]) -> Option<Line> {
    let line = std::str::from_utf8(line).ok().filter(|line| line.len() <= MAX_LINE)?;
    let split = line.len().checked_sub(SEAL.len() + HASH + END.len())?;
    let (body, seal) = line.split_at_checked(split)?;
    let hash = seal.strip_prefix(SEAL)?.strip_suffix(END)?;
    if hex(&Sha256::digest(body)) != hash {
        return None;
    }
    let Body { number, prev, event } = serde_json::from_str(&format!("{body}}}")).ok()?;
    Some(Line { number, previous: prev, hash: hash.into(), event })
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(digit.into(), 16).unwrap_or('0'));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_sealed_line_opens_and_an_altered_one_does_not(number: u64, text in "\\PC{0,30}", position: prop::sample::Index, change in 1u8..) {
            let event = serde_json::json!({ "path": text });
            let (line, hash) = seal(number, BEGINNING, &event.to_string());
            let expected = Line { number, previous: BEGINNING.into(), hash, event };
            prop_assert_eq!(open(line.as_bytes()), Some(expected));
            let mut bytes = line.into_bytes();
            let position = position.index(bytes.len());
            bytes[position] ^= change;
            prop_assert_eq!(open(&bytes), None);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(open(&bytes), None);
        }
    }
}
