//! The pace of whoever asks: a program asks right after the answer, a person does not.

use std::time::Duration;

use crate::timestamp::Timestamp;

/// Whoever needs longer than this from one answer to the next question is a person.
const PACE: Duration = Duration::from_secs(1);

/// Nobody reads a listing in so short a time.
const AT_ONCE: Duration = Duration::from_millis(100);

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

    /// Whether a question now comes sooner after the last answer than anybody can read it.
    pub(crate) fn goes_on_at_once(&self, now: Timestamp) -> bool {
        self.waiting == 0 && now.since(self.answered) <= AT_ONCE
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> u32 {
        self.waiting
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
