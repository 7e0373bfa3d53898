//! The simulator's only clock: wall time at start, moved on by tokio's time (so paused tests move it too).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Wall-clock time as the simulated server tells it.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    wall: Duration,
    origin: tokio::time::Instant,
}

impl Clock {
    /// A clock that starts at the machine's present time.
    #[allow(clippy::disallowed_methods)] // the one place of this room that asks the machine
    #[must_use]
    pub fn system() -> Self {
        Self::starting_at(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
    }

    /// A clock that starts `wall` after 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn starting_at(wall: Duration) -> Self {
        Self { wall, origin: tokio::time::Instant::now() }
    }

    /// Time since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.wall.saturating_add(self.elapsed())
    }

    /// Time since the clock was made.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.origin.elapsed()
    }

    /// Microseconds since 1970, as flow contexts carry them.
    #[must_use]
    pub fn micros(&self) -> u64 {
        u64::try_from(self.now().as_micros()).unwrap_or(u64::MAX)
    }

    /// Seconds since 1970, as directory records carry them.
    #[must_use]
    pub fn seconds(&self) -> u64 {
        self.now().as_secs()
    }
}
