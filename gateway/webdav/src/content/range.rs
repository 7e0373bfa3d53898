//! The `Range` header (RFC 9110 §14.2).

/// What a Range header asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Everything: no header, or one that may be ignored (another unit, malformed, abusive).
    Whole,
    /// One range, not yet compared with the length.
    One(Range),
    /// Several ranges.
    Several,
}

/// One range as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Range {
    /// From an offset to the last byte wanted, or to the end.
    From {
        /// First byte.
        first: u64,
        /// Last byte, included.
        last: Option<u64>,
    },
    /// So many bytes at the end.
    Last(u64),
}

/// Ranges at most: `bytes=0-,0-,…` would send a file a thousand times (docs/webdav-clients.md §1.4).
const MAX_RANGES: usize = 16;

/// Reads a header.
pub(crate) fn parse(header: Option<&str>) -> Asked {
    let Some(ranges) = header.and_then(|header| header.trim().strip_prefix("bytes=")) else { return Asked::Whole };
    let mut parsed = Vec::new();
    for part in ranges.split(',') {
        match parse_one(part.trim()) {
            Some(range) if parsed.len() < MAX_RANGES => parsed.push(range),
            _ => return Asked::Whole,
        }
    }
    match parsed.as_slice() {
        [] => Asked::Whole,
        [one] => Asked::One(*one),
        several if overlap(several) => Asked::Whole,
        _ => Asked::Several,
    }
}

/// Ranges that overlap, or that are not in order, are ignored: together they may be many times the file.
fn overlap(ranges: &[Range]) -> bool {
    let mut end: Option<u64> = None;
    for (index, range) in ranges.iter().enumerate() {
        let is_last = index + 1 == ranges.len();
        match *range {
            Range::From { first, last } if end.is_none_or(|end| first > end) => match last {
                Some(last) => end = Some(last),
                None if is_last => {}
                None => return true,
            },
            Range::Last(_) if is_last => {}
            _ => return true,
        }
    }
    false
}

fn parse_one(text: &str) -> Option<Range> {
    let (first, last) = text.split_once('-')?;
    let number =
        |text: &str| text.bytes().all(|digit| digit.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten();
    if first.is_empty() {
        return number(last).map(Range::Last);
    }
    let first = number(first)?;
    let last = if last.is_empty() { None } else { Some(number(last)?) };
    last.is_none_or(|last| last >= first).then_some(Range::From { first, last })
}

impl Range {
    /// Offset and number of bytes in a content of `length` bytes; `None` if none of them exists.
    pub(crate) fn within(self, length: u64) -> Option<(u64, u64)> {
        match self {
            Range::From { first, .. } if first >= length => None,
            Range::From { first, last } => {
                let end = last.map_or(length, |last| last.saturating_add(1).min(length));
                Some((first, end - first))
            }
            Range::Last(0) => None,
            Range::Last(_) if length == 0 => None,
            Range::Last(count) => {
                let count = count.min(length);
                Some((length - count, count))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn headers_that_cannot_be_honoured_give_the_whole() {
        for header in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=5-4",
            "items=0-1",
            "bytes=0-1,",
            "bytes=+1-2",
            "bytes=0-, 0-",
            "bytes=0-5,3-9",
            "bytes=5-9,0-1",
            "bytes=99999999999999999999-",
        ] {
            assert_eq!(parse(Some(header)), Asked::Whole, "{header}");
        }
        assert_eq!(parse(Some(&format!("bytes={}0-", "0-,".repeat(1_000)))), Asked::Whole);
        assert_eq!(parse(None), Asked::Whole);
        assert_eq!(parse(Some("bytes=0-1,5-9, -3")), Asked::Several);
    }

    #[test]
    fn single_ranges_are_read_and_cut_to_the_length() {
        let within = |header: &str, length| match parse(Some(header)) {
            Asked::One(range) => range.within(length),
            other => panic!("{header}: {other:?}"),
        };
        assert_eq!(within("bytes=0-0", 10), Some((0, 1)));
        assert_eq!(within("bytes=3-", 10), Some((3, 7)));
        assert_eq!(within("bytes=3-99", 10), Some((3, 7)));
        assert_eq!(within("bytes=-3", 10), Some((7, 3)));
        assert_eq!(within("bytes=-99", 10), Some((0, 10)));
        assert_eq!(within("bytes=10-", 10), None);
        assert_eq!(within("bytes=-0", 10), None);
        assert_eq!(within("bytes=0-", 0), None);
        assert_eq!(within("bytes=0-18446744073709551615", 10), Some((0, 10)));
    }

    proptest! {
        #[test]
        fn no_range_leaves_the_content(header in "bytes=[0-9,-]{0,40}", length: u64) {
            if let Asked::One(range) = parse(Some(&header))
                && let Some((offset, count)) = range.within(length)
            {
                prop_assert!(count > 0 && offset.checked_add(count).unwrap() <= length);
            }
        }
    }
}
