//! Which ranges leave in the next delivery: what readers wait for, and more the longer they go straight on.

use std::collections::BTreeSet;
use std::ops::Range;

/// Chunks that come with a first look, or with one somewhere else.
const FIRST: u64 = 2;
/// Chunks that come at once for a reader who has gone straight on for long.
const LARGEST: u64 = 64;
/// Chunks of one range: the endpoint holds a range in memory.
const LONGEST: u64 = 8;
/// Chunks of one delivery, whoever waits.
const DELIVERY: u64 = 128;

/// How a version of a file is being read.
#[derive(Debug)]
pub(super) struct Reader {
    /// The chunk after the last that was planned.
    next: u64,
    /// Chunks planned at a time.
    window: u64,
    /// Deliveries so far.
    deliveries: u32,
}

impl Reader {
    pub(super) fn new() -> Reader {
        Reader { next: 0, window: 1, deliveries: 0 }
    }

    /// Deliveries so far.
    pub(super) fn deliveries(&self) -> u32 {
        self.deliveries
    }

    /// Whether a reader who wants `chunk` goes straight on.
    pub(super) fn goes_on(&self, chunk: u64) -> bool {
        (self.next..self.next + self.window).contains(&chunk)
    }

    /// The chunk that one who went straight on to `chunk` will need next, if little of what was planned is left.
    pub(super) fn soon(&self, chunk: u64) -> Option<u64> {
        let left = self.next.checked_sub(chunk + 1)?;
        (self.deliveries > 1 && self.window > FIRST && left <= self.window / 2).then_some(self.next)
    }

    /// The ranges of chunks that the next delivery brings, of a file of `count` chunks. What does not fit is asked for again.
    pub(super) fn plan(
        &mut self,
        wanted: &BTreeSet<u64>,
        count: u64,
        is_held: impl Fn(u64) -> bool,
    ) -> Vec<Range<u64>> {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        let mut total = 0;
        for &chunk in wanted {
            let planned = ranges.iter().any(|range| range.contains(&chunk));
            if chunk >= count || planned || is_held(chunk) || total >= DELIVERY {
                continue;
            }
            self.window = if self.goes_on(chunk) { (self.window * 2).min(LARGEST) } else { FIRST };
            let farthest = count.min(chunk + self.window.min(DELIVERY - total));
            let end = (chunk + 1..farthest).find(|next| is_held(*next)).unwrap_or(farthest);
            total += end - chunk;
            self.next = end;
            ranges.extend((chunk..end).step_by(LONGEST as usize).map(|start| start..end.min(start + LONGEST)));
        }
        self.deliveries += 1;
        ranges
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plan(reader: &mut Reader, wanted: &[u64], count: u64) -> Vec<(u64, u64)> {
        let ranges = reader.plan(&wanted.iter().copied().collect(), count, |_| false);
        ranges.into_iter().map(|range| (range.start, range.end)).collect()
    }

    #[test]
    fn a_look_is_small_and_a_reader_who_goes_on_gets_more_each_time() {
        let mut reader = Reader::new();
        assert_eq!(plan(&mut reader, &[0], 10_000), [(0, 2)]);
        assert_eq!(plan(&mut reader, &[2], 10_000), [(2, 6)]);
        assert_eq!(plan(&mut reader, &[6], 10_000), [(6, 14)]);
        assert_eq!(plan(&mut reader, &[14], 10_000), [(14, 22), (22, 30)]);
        assert_eq!((reader.soon(15), reader.soon(25), reader.soon(40)), (None, Some(30), None));
        assert_eq!(plan(&mut reader, &[9_999], 10_000), [(9_999, 10_000)], "the end");
        assert_eq!(
            plan(&mut reader, &[500, 3_000], 10_000),
            [(500, 502), (3_000, 3_002)],
            "several places leave together"
        );
    }

    proptest! {
        #[test]
        fn what_is_planned_is_wanted_missing_and_bounded(
            batches in proptest::collection::vec(proptest::collection::btree_set(0u64..300, 1..40), 1..20), count in 1u64..300,
        ) {
            let (mut reader, mut held) = (Reader::new(), BTreeSet::new());
            for wanted in batches {
                let ranges = reader.plan(&wanted, count, |chunk| held.contains(&chunk));
                let mut total = 0;
                for range in ranges {
                    prop_assert!(range.start < range.end && range.end <= count && range.end - range.start <= LONGEST);
                    total += range.end - range.start;
                    for chunk in range {
                        prop_assert!(held.insert(chunk), "{chunk} twice");
                    }
                }
                prop_assert!(total <= DELIVERY);
                let missing = wanted.iter().any(|chunk| *chunk < count && !held.contains(chunk));
                prop_assert!(!missing || total == DELIVERY, "all that is wanted comes, unless it is too much at once");
            }
        }
    }
}
