//! Counters per procedure: calls, failures, and how long held calls waited.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::rpc::ConnectionTotals;

/// Upper bounds of the buckets of waiting times, in milliseconds; one more bucket takes the rest.
pub const WAIT_BUCKETS_MS: [u64; 8] = [1, 10, 100, 1_000, 3_000, 10_000, 30_000, 60_000];

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
    /// Of these, how many were held. The others were answered at once, from memory.
    pub held: u64,
    /// How long held calls waited: counts by [`WAIT_BUCKETS_MS`].
    pub waits: [u64; WAIT_BUCKETS_MS.len() + 1],
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
    calls: AtomicU64,
    failed: AtomicU64,
    waits: [AtomicU64; WAIT_BUCKETS_MS.len() + 1],
}

impl Procedures {
    pub(crate) fn new(program: &'static str, names: &'static [&'static str]) -> Procedures {
        Procedures { program, names, counters: names.iter().map(|_| Counter::default()).collect() }
    }

    /// Counts a call that was answered at once.
    #[inline]
    pub(crate) fn answered(&self, procedure: u32, failed: bool) {
        let Some(counter) = self.counters.get(procedure as usize) else { return };
        counter.calls.fetch_add(1, Ordering::Relaxed);
        if failed {
            counter.failed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a call that was held.
    pub(crate) fn waited(&self, procedure: u32, failed: bool, wait: Duration) {
        self.answered(procedure, failed);
        let Some(counter) = self.counters.get(procedure as usize) else { return };
        let bucket = WAIT_BUCKETS_MS
            .iter()
            .position(|bound| wait <= Duration::from_millis(*bound))
            .unwrap_or(WAIT_BUCKETS_MS.len());
        if let Some(bucket) = counter.waits.get(bucket) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn report(&self) -> Vec<ProcedureMetrics> {
        let report = |(name, counter): (&&'static str, &Counter)| {
            let waits = counter.waits.each_ref().map(|bucket| bucket.load(Ordering::Relaxed));
            ProcedureMetrics {
                program: self.program,
                procedure: name,
                calls: counter.calls.load(Ordering::Relaxed),
                failed: counter.failed.load(Ordering::Relaxed),
                held: waits.iter().sum(),
                waits,
            }
        };
        self.names.iter().zip(&self.counters).map(report).collect()
    }
}
