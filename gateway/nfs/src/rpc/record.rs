//! Record marking (RFC 5531 §11): messages out of a stream of bytes.

use bytes::{Buf, BytesMut};

const LAST_FRAGMENT: u32 = 1 << 31;
/// Fragments of one record; more is not a client but an attack on memory or time.
const MAX_FRAGMENTS: u32 = 128;

/// A record, or the number of its fragments, exceeds the limit. The stream cannot be understood any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a record is longer than the limit")]
pub(crate) struct TooLarge;

/// Takes whole records out of the bytes that arrived.
///
/// Memory is used only for bytes that have really arrived: a header that announces 2 GiB costs nothing and ends the connection.
#[derive(Debug)]
pub(crate) struct Records {
    input: BytesMut,
    /// Bytes at the front of `input` that belong to records already taken.
    taken: usize,
    /// Fragments of a record that came in several.
    assembled: Vec<u8>,
    fragments: u32,
    limit: usize,
}

impl Records {
    /// No bytes yet; records may have at most `limit` bytes.
    pub(crate) fn new(limit: usize) -> Records {
        Records { input: BytesMut::new(), taken: 0, assembled: Vec::new(), fragments: 0, limit }
    }

    /// Where arriving bytes are to be appended. Forgets the records that were taken.
    pub(crate) fn input(&mut self) -> &mut BytesMut {
        self.input.advance(self.taken);
        self.taken = 0;
        &mut self.input
    }

    /// Whether a part of a record is waiting for its rest.
    pub(crate) fn is_partial(&self) -> bool {
        self.taken < self.input.len() || self.fragments > 0
    }

    /// Bytes of a record whose rest has not arrived.
    pub(crate) fn unfinished(&self) -> usize {
        let assembled = if self.fragments > 0 { self.assembled.len() } else { 0 };
        self.input.len() - self.taken + assembled
    }

    /// Gives memory back while nothing is expected soon.
    pub(crate) fn release(&mut self, keep: usize) {
        if !self.is_partial() && self.input.capacity() > keep {
            self.input = BytesMut::new();
            self.taken = 0;
        }
        if self.fragments == 0 && self.assembled.capacity() > 0 {
            self.assembled = Vec::new();
        }
    }

    /// The next whole record, if it has arrived.
    ///
    /// # Errors
    /// [`TooLarge`], as soon as a header announces it.
    #[inline]
    pub(crate) fn next_record(&mut self) -> Result<Option<&[u8]>, TooLarge> {
        loop {
            let bytes = self.input.get(self.taken..).unwrap_or_default();
            let Some((marker, rest)) = bytes.split_first_chunk::<4>() else { return Ok(None) };
            let marker = u32::from_be_bytes(*marker);
            let is_last = marker & LAST_FRAGMENT != 0;
            let length = (marker & !LAST_FRAGMENT) as usize;
            let already = if self.fragments == 0 { 0 } else { self.assembled.len() };
            if length > self.limit - already.min(self.limit) || self.fragments >= MAX_FRAGMENTS {
                return Err(TooLarge);
            }
            if rest.len() < length {
                return Ok(None);
            }
            let start = self.taken + 4;
            self.taken = start + length;
            if self.fragments == 0 && is_last {
                return Ok(self.input.get(start..start + length));
            }
            if self.fragments == 0 {
                self.assembled.clear();
            }
            self.assembled.extend_from_slice(self.input.get(start..start + length).unwrap_or_default());
            self.fragments += 1;
            if is_last {
                self.fragments = 0;
                return Ok(Some(&self.assembled));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn framed(record: &[u8], cuts: &[usize]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut rest = record;
        for cut in cuts {
            let (fragment, after) = rest.split_at((*cut).min(rest.len()));
            out.extend(u32::try_from(fragment.len()).unwrap().to_be_bytes());
            out.extend(fragment);
            rest = after;
        }
        out.extend((u32::try_from(rest.len()).unwrap() | LAST_FRAGMENT).to_be_bytes());
        out.extend(rest);
        out
    }

    #[test]
    fn a_header_of_two_gibibytes_ends_the_stream_and_costs_nothing() {
        for marker in [0x7fff_ffffu32, 0xffff_ffff, 0x0001_0001] {
            let mut records = Records::new(65_536);
            records.input().extend_from_slice(&marker.to_be_bytes());
            assert_eq!(records.next_record(), Err(TooLarge));
            assert!(records.input().capacity() < 4096);
        }
    }

    #[test]
    fn fragments_together_may_not_exceed_the_limit_and_empty_ones_end_too() {
        let mut records = Records::new(100);
        records.input().extend_from_slice(&framed(&[1; 101], &[60]));
        assert_eq!(records.next_record(), Err(TooLarge));
        let mut records = Records::new(100);
        for _ in 0..MAX_FRAGMENTS + 1 {
            records.input().extend_from_slice(&[0; 4]);
        }
        assert_eq!(records.next_record(), Err(TooLarge));
    }

    proptest! {
        #[test]
        fn records_come_out_as_they_went_in_however_the_stream_is_cut(
            sent in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..300), proptest::collection::vec(0usize..100, 0..5)), 0..6),
            pieces in proptest::collection::vec(1usize..50, 1..200),
        ) {
            let stream: Vec<u8> = sent.iter().flat_map(|(record, cuts)| framed(record, cuts)).collect();
            let mut records = Records::new(65_536);
            let mut received = Vec::new();
            let mut rest = &stream[..];
            let mut pieces = pieces.iter().cycle();
            while !rest.is_empty() {
                let (piece, after) = rest.split_at((*pieces.next().unwrap()).min(rest.len()));
                records.input().extend_from_slice(piece);
                rest = after;
                while let Some(record) = records.next_record().unwrap() {
                    received.push(record.to_vec());
                }
                records.release(0);
            }
            let sent: Vec<Vec<u8>> = sent.into_iter().map(|(record, _)| record).collect();
            prop_assert_eq!(received, sent);
            prop_assert!(!records.is_partial());
        }

        #[test]
        fn arbitrary_bytes_end_or_wait_but_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let mut records = Records::new(512);
            records.input().extend_from_slice(&bytes);
            while let Ok(Some(record)) = records.next_record() {
                prop_assert!(record.len() <= 512);
            }
        }
    }
}
