//! Counters per procedure: calls, failures by status, latency, held calls, bytes. Nothing here allocates or locks on a call's way.

mod failure;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::rpc::{ConnectionTotals, Reply};
pub(crate) use failure::Failure;

/// Upper bounds of the buckets of latency, in microseconds; one more bucket takes the rest.
pub const LATENCY_BUCKETS_MICROS: [u64; 11] =
    [10, 100, 1_000, 10_000, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000, 30_000_000, 60_000_000];
const BUCKETS: usize = LATENCY_BUCKETS_MICROS.len() + 1;

/// Counters since the start.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Metrics {
    /// Of connections.
    pub connections: ConnectionTotals,
    /// Of every procedure of every program.
    pub procedures: Vec<ProcedureMetrics>,
}

/// One procedure, as metrics pages show it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ProcedureMetrics {
    /// `nfs`, `mount`, `portmap`, `nlm`, `nsm`.
    pub program: &'static str,
    /// The procedure's name.
    pub procedure: &'static str,
    /// Calls answered (or deliberately not answered).
    pub calls: u64,
    /// Of these, how many did not succeed.
    pub failed: u64,
    /// The same by what was said; only what occurred.
    pub failures: Vec<(&'static str, u64)>,
    /// How many were held. The others were answered at once, from memory.
    pub held: u64,
    /// Bytes of answers.
    pub sent: u64,
    /// Time from a call's turn to its answer: counts by [`LATENCY_BUCKETS_MICROS`].
    pub latency: [u64; BUCKETS],
    /// The sum of all these times, in microseconds.
    pub latency_micros: u64,
}

/// The procedures of one program.
#[derive(Debug)]
pub(crate) struct Procedures {
    program: &'static str,
    names: &'static [&'static str],
    counters: Vec<Counter>,
}

#[derive(Debug, Default)]
struct Counter {
    failures: [AtomicU64; failure::COUNT],
    held: AtomicU64,
    sent: AtomicU64,
    /// Every call is in one of these: their sum is the number of calls.
    latency: [AtomicU64; BUCKETS],
    latency_nanos: AtomicU64,
}

/// Measures one call after the other with one look at the clock for each.
#[derive(Debug, Default)]
pub(crate) struct Laps {
    last: Option<Instant>,
}

impl Laps {
    /// The next call begins, unless it began where the last one ended.
    #[inline]
    pub(crate) fn begin(&mut self) {
        if self.last.is_none() {
            self.last = Some(Instant::now());
        }
    }

    /// Time since the last call ended, or since the first one began.
    #[inline]
    fn lap(&mut self) -> Duration {
        let now = Instant::now();
        self.last.replace(now).map_or(Duration::ZERO, |last| now - last)
    }
}

impl Procedures {
    pub(crate) fn new(program: &'static str, names: &'static [&'static str]) -> Procedures {
        Procedures { program, names, counters: names.iter().map(|_| Counter::default()).collect() }
    }

    /// The name of a procedure, for logs.
    pub(crate) fn name(&self, procedure: u32) -> &'static str {
        self.names.get(procedure as usize).copied().unwrap_or("unknown")
    }

    /// Counts a call that was answered at once.
    #[inline]
    pub(crate) fn answered(&self, procedure: u32, reply: &Reply, laps: &mut Laps) {
        self.count(procedure, reply.failure(), reply.bytes(), laps.lap());
    }

    /// Counts a call that got no results.
    pub(crate) fn refused(&self, procedure: u32, failure: Failure, laps: &mut Laps) {
        self.count(procedure, Some(failure), 0, laps.lap());
    }

    /// Counts a call that was held, and what came of it.
    pub(crate) fn waited(&self, procedure: u32, reply: Option<&Reply>, wait: Duration) {
        if let Some(counter) = self.counters.get(procedure as usize) {
            counter.held.fetch_add(1, Ordering::Relaxed);
        }
        let (failure, bytes) = match reply {
            Some(reply) => (reply.failure(), reply.bytes()),
            None => (Some(Failure::Unanswered), 0),
        };
        self.count(procedure, failure, bytes, wait);
    }

    #[inline]
    fn count(&self, procedure: u32, failure: Option<Failure>, sent: usize, took: Duration) {
        let Some(counter) = self.counters.get(procedure as usize) else { return };
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = LATENCY_BUCKETS_MICROS.iter().position(|bound| micros <= *bound).unwrap_or(BUCKETS - 1);
        if let Some(bucket) = counter.latency.get(bucket) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        counter.latency_nanos.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        counter.sent.fetch_add(sent as u64, Ordering::Relaxed);
        if let Some(count) = failure.and_then(|failure| counter.failures.get(failure.index())) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn report(&self) -> Vec<ProcedureMetrics> {
        let report = |(name, counter): (&&'static str, &Counter)| {
            let latency = counter.latency.each_ref().map(|bucket| bucket.load(Ordering::Relaxed));
            let failures = counter.failures.iter().map(|count| count.load(Ordering::Relaxed));
            let failures: Vec<_> = failure::names().zip(failures).filter(|(_, count)| *count > 0).collect();
            ProcedureMetrics {
                program: self.program,
                procedure: name,
                calls: latency.iter().sum(),
                failed: failures.iter().map(|(_, count)| count).sum(),
                failures,
                held: counter.held.load(Ordering::Relaxed),
                sent: counter.sent.load(Ordering::Relaxed),
                latency,
                latency_micros: counter.latency_nanos.load(Ordering::Relaxed) / 1_000,
            }
        };
        self.names.iter().zip(&self.counters).map(report).collect()
    }
}
