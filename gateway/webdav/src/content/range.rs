//! The `Range` header (RFC 9110 §14.2).

/// What a Range header asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Everything: no header, or one that may be ignored (another unit, malformed, abusive).
    Whole,
    /// One range, not yet compared with the length.
    One(Range),
    /// Several ranges, not yet compared with the length.
    Several(Vec<Range>),
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
/// Bytes between two parts of an answer, about.
const GAP: u64 = 128;

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
        _ => Asked::Several(parsed),
    }
}

/// Offset and number of bytes of several ranges in a content of `length` bytes: in order, and together wherever they overlap or are
/// closer to each other than the words between them would be long. So they are never more than the content.
pub(crate) fn together(ranges: &[Range], length: u64) -> Vec<(u64, u64)> {
    let mut found: Vec<(u64, u64)> = ranges.iter().filter_map(|range| range.within(length)).collect();
    found.sort_unstable();
    let mut together: Vec<(u64, u64)> = Vec::with_capacity(found.len());
    for (offset, count) in found {
        match together.last_mut() {
            Some((start, before)) if offset <= *start + *before + GAP => {
                *before = (offset + count - *start).max(*before);
            }
            _ => together.push((offset, count)),
        }
    }
    together
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
            "bytes=99999999999999999999-",
        ] {
            assert_eq!(parse(Some(header)), Asked::Whole, "{header}");
        }
        assert_eq!(parse(Some(&format!("bytes={}0-", "0-,".repeat(1_000)))), Asked::Whole);
        assert_eq!(parse(None), Asked::Whole);
        let Asked::Several(ranges) = parse(Some("bytes=0-1,500-509, -3")) else { panic!("three ranges") };
        assert_eq!(together(&ranges, 10_000), [(0, 2), (500, 10), (9_997, 3)]);
        assert_eq!(together(&ranges, 501), [(0, 2), (498, 3)]);
        assert_eq!(together(&ranges, 0), []);
    }

    #[test]
    fn ranges_that_touch_each_other_become_one() {
        let together_of = |header: &str| match parse(Some(header)) {
            Asked::Several(ranges) => together(&ranges, 1_000),
            other => panic!("{header}: {other:?}"),
        };
        assert_eq!(together_of("bytes=0-, 0-"), [(0, 1_000)]);
        assert_eq!(together_of("bytes=300-400,0-9,350-500,5-6"), [(0, 10), (300, 201)]);
        assert_eq!(together_of("bytes=0-9,20-29"), [(0, 30)]);
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

        #[test]
        fn several_ranges_are_never_more_than_the_content(header in "bytes=([0-9]{0,3}-[0-9]{0,3},){1,15}0-1", length in 0..2_000_u64) {
            if let Asked::Several(ranges) = parse(Some(&header)) {
                let together = together(&ranges, length);
                let mut end = 0;
                for (offset, count) in &together {
                    prop_assert!(*count > 0 && *offset >= end);
                    end = offset + count;
                }
                prop_assert!(end <= length);
                for range in ranges.iter().filter_map(|range| range.within(length)) {
                    prop_assert!(together.iter().any(|(offset, count)| *offset <= range.0 && range.0 + range.1 <= offset + count));
                }
            }
        }
    }
}
