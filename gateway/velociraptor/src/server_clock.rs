//! The server's clock, which may go wrong: its times are told as ours, so that an hour's difference is not an hour's age, and an endpoint
//! that is there is not offline.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use vfs::Timestamp;

use crate::server::Server;
use vfs::Clock;

/// Milliseconds that are no difference: calls take time, and flow ids tell whole seconds.
const TOLERANCE: i64 = 3_000;
/// The server is asked for its time at most so often.
const ASK_EVERY: Duration = Duration::from_secs(15);

/// How far the server's clock is before ours, as far as is known.
#[derive(Debug, Default)]
pub(crate) struct ServerClock {
    /// Milliseconds.
    ahead: AtomicI64,
    asked: Mutex<Option<Instant>>,
}

impl ServerClock {
    /// It was `theirs` there when it was `ours` here.
    pub(crate) fn learn(&self, theirs: Timestamp, ours: Timestamp) {
        let difference = millis(theirs).saturating_sub(millis(ours));
        let difference = if difference.abs() < TOLERANCE { 0 } else { difference };
        let before = self.ahead.load(Ordering::Relaxed);
        if difference.saturating_sub(before).abs() >= TOLERANCE || difference == 0 && before != 0 {
            self.ahead.store(difference, Ordering::Relaxed);
            tracing::warn!(
                seconds = difference / 1_000,
                "the server's clock differs from ours; its times are corrected"
            );
        }
    }

    /// A time of the server as a time of ours.
    pub(crate) fn ours(&self, theirs: Timestamp) -> Timestamp {
        let ahead = self.ahead.load(Ordering::Relaxed);
        if ahead == 0 {
            return theirs;
        }
        let total = millis(theirs).saturating_sub(ahead);
        let below = theirs.nanos % 1_000_000;
        let part = u32::try_from(total.rem_euclid(1_000)).unwrap_or(0) * 1_000_000;
        Timestamp::new(total.div_euclid(1_000), part + below)
    }

    /// Asks the server what time it is there, unless it was asked just now or does not tell.
    pub(crate) async fn ask(&self, server: &dyn Server, clock: &dyn Clock) {
        {
            let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
            if asked.is_some_and(|asked| asked.elapsed() < ASK_EVERY) {
                return;
            }
            *asked = Some(Instant::now());
        }
        let before = clock.now();
        if let Ok(facts) = server.facts().await
            && let Some(theirs) = facts.time
        {
            // It was told some time between the question and the answer.
            let half = clock.now().since(before) / 2;
            self.learn(theirs, before.plus(half));
        }
    }
}

fn millis(time: Timestamp) -> i64 {
    time.seconds.saturating_mul(1_000).saturating_add(i64::from(time.nanos / 1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn small_differences_are_none_and_large_ones_are_taken_off() {
        let clock = ServerClock::default();
        let now = Timestamp::new(1_000_000, 250_000_001);
        clock.learn(now.plus(Duration::from_millis(2_900)), now);
        assert_eq!(clock.ours(now), now);
        clock.learn(now.plus(Duration::from_secs(3_600)), now);
        assert_eq!(clock.ours(now.plus(Duration::from_secs(3_600))), now);
        clock.learn(now, now.plus(Duration::from_secs(60)));
        assert_eq!(clock.ours(now), now.plus(Duration::from_secs(60)));
        clock.learn(now, now);
        assert_eq!(clock.ours(now), now);
    }

    proptest! {
        #[test]
        fn what_is_learned_is_taken_off_exactly(
            seconds in -10_000_000_000i64..20_000_000_000, nanos in 0u32..1_000_000_000, ahead in -100_000_000i64..100_000_000, extreme in any::<i64>(),
        ) {
            let clock = ServerClock::default();
            let ours = Timestamp::new(seconds, nanos);
            let theirs = Timestamp::new(seconds + ahead, nanos);
            clock.learn(theirs, ours);
            if ahead.abs() >= 3 {
                prop_assert_eq!(clock.ours(theirs), ours);
            }
            clock.ours(Timestamp { seconds: extreme, nanos: 0 });
        }
    }
}
