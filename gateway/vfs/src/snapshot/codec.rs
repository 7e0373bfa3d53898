//! Rows as bytes for the store: versioned, checked by a checksum, bounded when read.

use super::rows::{Extra, NO_EXTRA, Record, Rows, Span};
use crate::attributes::FileType;

const MAGIC: [u8; 4] = *b"RGL1";
const HEADER: usize = 4 + 8 + 4 + 4 + 4;
const RECORD: usize = 8 + 8 + 4 * 8 + 4 * 4 + 4 + 2 + 1 + 1;
const EXTRA: usize = 4 * 8;

/// The bytes are no listing that this version wrote.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DecodeError {
    /// Too short, another format, or counts that do not fit the length.
    #[error("not a stored listing of a known format")]
    Format,
    /// The checksum does not match.
    #[error("the stored listing is damaged")]
    Checksum,
}

impl Rows {
    /// The bytes that the store keeps.
    pub fn encode(&self) -> Vec<u8> {
        let mut out =
            Vec::with_capacity(HEADER + self.records.len() * RECORD + self.extras.len() * EXTRA + self.arena.len());
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[0; 8]);
        for count in [self.records.len(), self.extras.len(), self.arena.len()] {
            out.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
        }
        for record in &self.records {
            put_span(&mut out, record.name);
            out.extend_from_slice(&record.size.to_le_bytes());
            for seconds in record.seconds {
                out.extend_from_slice(&seconds.to_le_bytes());
            }
            for nanos in record.nanos {
                out.extend_from_slice(&nanos.to_le_bytes());
            }
            out.extend_from_slice(&record.extra.to_le_bytes());
            out.extend_from_slice(&record.mode.to_le_bytes());
            out.push(record.file_type as u8);
            out.push(record.flags);
        }
        for extra in &self.extras {
            for span in [extra.shown, extra.link, extra.inline, extra.details] {
                put_span(&mut out, span);
            }
        }
        out.extend_from_slice(&self.arena);
        let checksum = xxhash_rust::xxh3::xxh3_64(&out[12..]);
        out[4..12].copy_from_slice(&checksum.to_le_bytes());
        out
    }

    /// Rows from the store's bytes.
    ///
    /// # Errors
    /// If the bytes are damaged or of another format.
    pub fn decode(bytes: &[u8]) -> Result<Rows, DecodeError> {
        let mut reader = Reader { bytes };
        if reader.take::<4>()? != MAGIC {
            return Err(DecodeError::Format);
        }
        let checksum = reader.u64()?;
        if xxhash_rust::xxh3::xxh3_64(reader.bytes) != checksum {
            return Err(DecodeError::Checksum);
        }
        let [records, extras, arena] = [reader.u32()? as usize, reader.u32()? as usize, reader.u32()? as usize];
        let expected = records
            .checked_mul(RECORD)
            .and_then(|sum| sum.checked_add(extras.checked_mul(EXTRA)?))
            .and_then(|sum| sum.checked_add(arena));
        if expected != Some(reader.bytes.len()) {
            return Err(DecodeError::Format);
        }
        let mut rows =
            Rows { records: Vec::with_capacity(records), extras: Vec::with_capacity(extras), arena: Vec::new() };
        for _ in 0..records {
            rows.records.push(reader.record(arena)?);
        }
        for _ in 0..extras {
            let mut spans = [Span::NONE; 4];
            for span in &mut spans {
                *span = reader.span(arena, true)?;
            }
            rows.extras.push(Extra { shown: spans[0], link: spans[1], inline: spans[2], details: spans[3] });
        }
        rows.arena = reader.bytes.to_vec();
        let extras_exist =
            rows.records.iter().all(|record| record.extra == NO_EXTRA || (record.extra as usize) < extras);
        let names_are_text = rows.records.iter().all(|record| std::str::from_utf8(rows.bytes(record.name)).is_ok());
        if extras_exist && names_are_text { Ok(rows) } else { Err(DecodeError::Format) }
    }
}

fn put_span(out: &mut Vec<u8>, span: Span) {
    out.extend_from_slice(&span.offset.to_le_bytes());
    out.extend_from_slice(&span.length.to_le_bytes());
}

struct Reader<'a> {
    bytes: &'a [u8],
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, tail) = self.bytes.split_first_chunk::<N>().ok_or(DecodeError::Format)?;
        self.bytes = tail;
        Ok(*head)
    }

    fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_le_bytes(self.take()?))
    }

    fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_le_bytes(self.take()?))
    }

    fn span(&mut self, arena: usize, optional: bool) -> Result<Span, DecodeError> {
        let span = Span { offset: self.u32()?, length: self.u32()? };
        let absent = optional && span == Span::NONE;
        let fits = (span.offset as usize).checked_add(span.length as usize).is_some_and(|end| end <= arena);
        if absent || fits { Ok(span) } else { Err(DecodeError::Format) }
    }

    fn record(&mut self, arena: usize) -> Result<Record, DecodeError> {
        let name = self.span(arena, false)?;
        let size = self.u64()?;
        let mut seconds = [0; 4];
        for value in &mut seconds {
            *value = i64::from_le_bytes(self.take()?);
        }
        let mut nanos = [0; 4];
        for value in &mut nanos {
            *value = self.u32()?.min(999_999_999);
        }
        let extra = self.u32()?;
        let mode = u16::from_le_bytes(self.take()?);
        let [file_type, flags] = self.take::<2>()?;
        let file_type = FileType::from_byte(file_type).ok_or(DecodeError::Format)?;
        Ok(Record { name, size, seconds, nanos, extra, mode, file_type, flags })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{EntryFields, Times};
    use crate::timestamp::Timestamp;
    use proptest::prelude::*;

    fn time() -> impl Strategy<Value = Option<Timestamp>> {
        proptest::option::of(
            (any::<i64>(), 0u32..1_000_000_000).prop_map(|(seconds, nanos)| Timestamp { seconds, nanos }),
        )
    }

    prop_compose! {
        fn row()(name in "\\PC{1,20}", shown in proptest::option::of("\\PC{1,5}"), size: u64, mode: u16, file_type in 1u8..=8,
            flags in any::<(bool, bool)>(), times in (time(), time(), time(), time()), link in proptest::option::of("\\PC{0,9}"),
            inline in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..9)), details in proptest::option::of("[{}a]{1,9}"))
            -> (String, Option<String>, u64, u16, u8, (bool, bool), Times, Option<String>, Option<Vec<u8>>, Option<String>) {
            let times = Times { modified: times.0, accessed: times.1, changed: times.2, born: times.3 };
            (name, shown, size, mode, file_type, flags, times, link, inline, details)
        }
    }

    proptest! {
        #[test]
        fn what_is_stored_is_what_was_listed(list in proptest::collection::vec(row(), 0..40)) {
            let mut rows = Rows::new();
            for (name, shown, size, mode, file_type, flags, times, link, inline, details) in &list {
                let pushed = rows.push(&EntryFields {
                    name, shown: shown.as_deref(), file_type: FileType::from_byte(*file_type).unwrap(), mode: *mode, size: *size,
                    size_unknown: flags.0, unfetchable: flags.1, times: *times, link: link.as_deref(), inline: inline.as_deref(),
                    details: details.as_deref(),
                });
                prop_assert!(pushed);
            }
            let read = Rows::decode(&rows.encode()).unwrap();
            prop_assert_eq!(read.len(), list.len());
            for (row, expected) in read.iter().zip(&list) {
                let (name, shown, size, mode, _, flags, times, link, inline, details) = expected;
                prop_assert_eq!(row.name(), name);
                prop_assert_eq!(row.shown(), shown.as_ref().unwrap_or(name));
                prop_assert_eq!((row.size(), row.mode(), row.size_unknown(), row.unfetchable()), (*size, *mode, flags.0, flags.1));
                prop_assert_eq!(row.times(), *times);
                prop_assert_eq!(row.link(), link.as_deref());
                prop_assert_eq!(row.inline(), inline.as_deref());
                prop_assert_eq!(row.details(), details.as_deref());
            }
        }

        #[test]
        fn damaged_bytes_are_refused(position in 0usize..400, value in 1u8..) {
            let mut rows = Rows::new();
            for name in ["one", "two", "three"] {
                let pushed = rows.push(&EntryFields { name, shown: None, file_type: FileType::Regular, mode: 0, size: 3, size_unknown: false,
                    unfetchable: false, times: Times::default(), link: Some("x"), inline: None, details: None });
                prop_assert!(pushed);
            }
            let mut bytes = rows.encode();
            let position = position % bytes.len();
            bytes[position] ^= value;
            prop_assert!(Rows::decode(&bytes).is_err());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(Rows::decode(&bytes).is_err());
        }
    }
}
