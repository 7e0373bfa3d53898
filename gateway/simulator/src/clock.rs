//! The simulator's only clock: wall time at start, moved on by tokio's time (so paused tests move it too).

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Wall-clock time as the simulated server tells it.
#[derive(Clone, Debug)]
pub struct Clock {
    wall: Duration,
    origin: tokio::time::Instant,
    /// Seconds before the right time, for all clones.
    skew: Arc<AtomicI64>,
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
        Self { wall, origin: tokio::time::Instant::now(), skew: Arc::default() }
    }

    /// Time since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn now(&self) -> Duration {
        let right = self.wall.saturating_add(self.elapsed());
        let skew = self.skew.load(Ordering::Relaxed);
        let seconds = Duration::from_secs(skew.unsigned_abs());
        if skew < 0 { right.saturating_sub(seconds) } else { right.saturating_add(seconds) }
    }

    /// The clock of another machine, which goes right whatever is done to this one.
    #[must_use]
    pub(crate) fn apart(&self) -> Self {
        Self { skew: Arc::default(), ..self.clone() }
    }

    /// Sets the clock wrong by so many seconds.
    pub(crate) fn skew(&self, seconds: i64) {
        self.skew.store(seconds, Ordering::Relaxed);
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
