//! The pace of whoever asks: a program asks right after the answer, a person does not.

use std::time::Duration;

use crate::timestamp::Timestamp;

/// Whoever needs longer than this from one answer to the next question is a person.
const PACE: Duration = Duration::from_secs(1);

/// Questions that wait for their answer, and when the last answer was given.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    waiting: u32,
    answered: Timestamp,
}

impl Pace {
    /// Nobody waits.
    pub(crate) fn new(now: Timestamp) -> Pace {
        Pace { waiting: 0, answered: now }
    }

    /// Whether a question now comes right after the answer to another, or beside one.
    pub(crate) fn goes_on(&self, now: Timestamp) -> bool {
        self.waiting > 0 || now.since(self.answered) <= PACE
    }

    /// Somebody waits.
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting > 0
    }

    /// A question was asked.
    pub(crate) fn ask(&mut self) {
        self.waiting += 1;
    }

    /// A question was answered.
    pub(crate) fn answer(&mut self, now: Timestamp) {
        self.waiting = self.waiting.saturating_sub(1);
        self.answered = now;
    }

    /// A question was answered at once.
    pub(crate) fn answer_at_once(&mut self, now: Timestamp) {
        if self.goes_on(now) {
            self.answered = now;
        }
    }
}
