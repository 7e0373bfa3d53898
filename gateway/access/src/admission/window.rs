//! What was spent in the last hour or day, in slots, and when enough of it is forgotten.

use std::collections::VecDeque;

/// Slots of a window: spending is forgotten within this fraction of the span.
const SLOTS: i64 = 60;

/// A sliding window over whole seconds.
#[derive(Debug)]
pub(super) struct Window {
    span: i64,
    /// Start of the slot, and what was spent in it; oldest first.
    slots: VecDeque<(i64, u64)>,
}

impl Window {
    /// A window of `span` seconds.
    pub(super) fn new(span: i64) -> Window {
        Window { span: span.max(1), slots: VecDeque::new() }
    }

    fn slot(&self) -> i64 {
        (self.span / SLOTS).max(1)
    }

    fn forget(&mut self, now: i64) {
        while self.slots.front().is_some_and(|(start, _)| now.saturating_sub(*start) >= self.span) {
            self.slots.pop_front();
        }
    }

    fn spent(&self) -> u64 {
        self.slots.iter().fold(0, |sum, (_, amount)| sum.saturating_add(*amount))
    }

    /// Seconds until `amount` more fits below `limit`: 0 now, `None` never.
    pub(super) fn wait(&mut self, now: i64, amount: u64, limit: u64) -> Option<i64> {
        self.forget(now);
        let room = limit.checked_sub(amount)?;
        let mut spent = self.spent();
        if spent <= room {
            return Some(0);
        }
        for (start, amount) in &self.slots {
            spent = spent.saturating_sub(*amount);
            if spent <= room {
                return Some(start.saturating_add(self.span).saturating_sub(now).max(1));
            }
        }
        None
    }

    /// Adds what was spent.
    pub(super) fn spend(&mut self, now: i64, amount: u64) {
        self.forget(now);
        let start = now - now.rem_euclid(self.slot());
        match self.slots.back_mut() {
            Some((last, sum)) if *last >= start => *sum = sum.saturating_add(amount),
            _ => self.slots.push_back((start, amount)),
        }
    }

    /// Nothing is remembered any more.
    pub(super) fn is_idle(&mut self, now: i64) -> bool {
        self.forget(now);
        self.slots.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_wait_ends_when_enough_is_forgotten() {
        let mut window = Window::new(3600);
        window.spend(0, 60);
        window.spend(600, 40);
        assert_eq!(window.wait(700, 0, 100), Some(0));
        assert_eq!(window.wait(700, 50, 100), Some(2900));
        assert_eq!(window.wait(700, 70, 100), Some(3500));
        assert_eq!(window.wait(700, 101, 100), None);
        assert_eq!(window.wait(3600, 50, 100), Some(0));
        assert!(window.is_idle(4200));
    }

    proptest! {
        #[test]
        fn after_the_wait_it_fits_and_the_limit_is_never_passed(spends in proptest::collection::vec((0i64..300, 1u64..50), 1..200)) {
            let (limit, span) = (200, 3600);
            let mut window = Window::new(span);
            let mut now = 0;
            let mut all = Vec::new();
            for (pause, amount) in spends {
                now += pause;
                now += window.wait(now, amount, limit).unwrap();
                prop_assert_eq!(window.wait(now, amount, limit), Some(0));
                window.spend(now, amount);
                all.push((now, amount));
                let recent = all.iter().filter(|(at, _)| now - at < span - span / SLOTS);
                prop_assert!(recent.map(|(_, amount)| amount).sum::<u64>() <= limit);
                prop_assert!(window.slots.len() <= 61);
            }
        }
    }
}
