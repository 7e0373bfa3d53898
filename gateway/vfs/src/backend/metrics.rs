//! What is asked of the server, how often it fails and how long it takes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::Instant;

use super::layer::{Layer, Method};
use crate::error::Result;

/// Counts calls and their times since the start. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Metrics(Arc<[Counters; Method::ALL.len()]>);

#[derive(Debug, Default)]
struct Counters {
    failures: AtomicU64,
    slowest: AtomicU64,
    /// Calls by the power of two that their microseconds lie below.
    times: [AtomicU64; TIMES],
}

/// The last class is for all that take longer than half an hour.
const TIMES: usize = 32;

/// The figures of one kind of call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Figures {
    /// How many have ended.
    pub calls: u64,
    /// How many of them failed.
    pub failures: u64,
    /// Half of them took at most so many microseconds, to the next power of two.
    pub median_micros: u64,
    /// So did 99 of 100.
    pub most_micros: u64,
    /// The slowest one.
    pub slowest_micros: u64,
}

impl Metrics {
    /// What was counted so far, by [`Method::name`].
    pub fn figures(&self) -> BTreeMap<&'static str, Figures> {
        Method::ALL.iter().map(|method| (method.name(), self.0[*method as usize].figures())).collect()
    }
}

impl Counters {
    fn count(&self, took: Duration, failed: bool) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let class = (u64::BITS - micros.leading_zeros()) as usize;
        self.times[class.min(TIMES - 1)].fetch_add(1, Relaxed);
        self.slowest.fetch_max(micros, Relaxed);
        self.failures.fetch_add(failed.into(), Relaxed);
    }

    fn figures(&self) -> Figures {
        let times = self.times.each_ref().map(|count| count.load(Relaxed));
        let calls: u64 = times.iter().sum();
        let slowest_micros = self.slowest.load(Relaxed);
        let below = |rank: u64| {
            let mut seen = 0;
            let class = times.iter().position(|count| {
                seen += count;
                seen >= rank.max(1)
            });
            class.map_or(0, |class| (1u64 << class).min(slowest_micros))
        };
        Figures {
            calls,
            failures: self.failures.load(Relaxed),
            median_micros: below(calls.div_ceil(2)),
            most_micros: below((calls * 99).div_ceil(100)),
            slowest_micros,
        }
    }
}

impl Layer for Metrics {
    async fn around<T, F>(&self, method: Method, call: impl Fn() -> F + Send + Sync) -> Result<T>
    where
        T: Send,
        F: Future<Output = Result<T>> + Send,
    {
        let began = Instant::now();
        let answer = call().await;
        self.0[method as usize].count(began.elapsed(), answer.is_err());
        answer
    }
}
