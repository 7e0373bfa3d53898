//! Switches that make the server or its endpoints misbehave, as the measured ones sometimes do.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The switches. All off is a server on a good day.
#[derive(Clone, Debug, Default)]
pub(crate) struct Switches {
    /// From FINISHED to the directory's record, instead of the timing's own cost.
    pub(crate) late_records: Option<Duration>,
    /// Share of flows that lose lines of their log; `None` takes the timing's.
    pub(crate) lost_log_share: Option<f64>,
    /// Flows that will end in ERROR, with this text.
    pub(crate) failing: Option<(u32, String)>,
    /// Flows that will end in ERROR with this text after so many rows.
    pub(crate) breaking: Option<(u32, u64, String)>,
    /// Flows whose task will get lost on the way.
    pub(crate) losing: u32,
    /// Flows that will be delivered and never end.
    pub(crate) stalling: u32,
    /// Answers above this size are refused with ResourceExhausted.
    pub(crate) message_limit: Option<usize>,
    /// Rows are encoded as servers before 0.74 did.
    pub(crate) old_rows: bool,
    /// Each directory's listing has a row without a name.
    pub(crate) nameless_rows: bool,
    /// Pages differ in their columns, and rows are shorter than the columns.
    pub(crate) uneven_columns: bool,
    /// `VFSGetBuffer` returns less than asked wherever a run or a block of 64 KiB ends.
    pub(crate) short_reads: bool,
    /// Listings tell sizes of files that are so much larger, or smaller, than they are.
    pub(crate) size_error: i64,
}

/// What a flow was chosen to suffer when it was delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Runs,
    Fails(String),
    /// After so many rows.
    Breaks(u64, String),
    Lost,
    Stalls,
}

/// The switches behind their lock.
#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<Switches>);

impl Faults {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Switches> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decides what happens to the next delivered flow, and counts it.
    pub(crate) fn fate(&self) -> Fate {
        let mut switches = self.lock();
        if switches.losing > 0 {
            switches.losing -= 1;
            return Fate::Lost;
        }
        if switches.stalling > 0 {
            switches.stalling -= 1;
            return Fate::Stalls;
        }
        if let Some((left, rows, text)) = switches.breaking.as_mut() {
            let fate = Fate::Breaks(*rows, text.clone());
            *left = left.saturating_sub(1);
            if *left == 0 {
                switches.breaking = None;
            }
            return fate;
        }
        if let Some((left, text)) = switches.failing.as_mut() {
            let text = text.clone();
            *left = left.saturating_sub(1);
            if *left == 0 {
                switches.failing = None;
            }
            return Fate::Fails(text);
        }
        Fate::Runs
    }
}
