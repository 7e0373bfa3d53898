//! One delivery of ranges: queued, followed, judged, and kept if every byte of it is of the one state that the version has.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::super::collect::{ATTEMPTS, Demand};
use super::super::follower::Step;
use super::super::update_file;
use crate::backend::{Cause, Complaint, Failure, Fetched, Job, Limits, Outcome, Work};
use crate::error::{Error, ErrorKind, Result};
use crate::flight::Flight;
use crate::planner::while_wanted;
use crate::principal::Spend;
use crate::store::{CHUNK_BYTES, HeldRange, InRanges};
use crate::vfs::Inner;

/// Time on the endpoint.
const TIMEOUT: Duration = Duration::from_secs(600);

impl Inner {
    /// Collects `ranges` (of chunks) of the file.
    pub(super) async fn deliver_ranges(
        self: &Arc<Self>,
        demand: &Demand,
        flight: &Arc<Flight>,
        ranges: &[Range<u64>],
    ) -> Result<()> {
        if !demand.entry.is_online(&*self.backend, &*self.clock, self.settings.offline_after).await? {
            return Err(demand.entry.offline_error());
        }
        let bytes = |chunks: u64| chunks.saturating_mul(CHUNK_BYTES as u64);
        let total = ranges.iter().map(|range| bytes(range.end - range.start)).sum();
        let path = demand.path.to_string();
        self.admission.admit(&demand.call, &demand.path.endpoint, &path, &Spend::Collection { bytes: total }).await?;
        let _permit = while_wanted(&[flight], demand.entry.flows.acquire()).await?;
        let asked: Vec<_> = ranges.iter().map(|range| (bytes(range.start), bytes(range.end - range.start))).collect();
        let limits =
            Limits { timeout: TIMEOUT, max_rows: 0, max_upload_bytes: total.saturating_mul(2), cpu_percent: 0 };
        for _ in 0..ATTEMPTS {
            let work = Work::Ranges { file: demand.path.clone(), ranges: asked.clone() };
            let job = self
                .submit(&demand.call, (&demand.entry, &[flight]), &demand.path, work, "read parts of", limits)
                .await?;
            if let Some(fetched) = self.follow_ranges(demand, &job, flight).await? {
                return self.keep(demand, fetched).await;
            }
            tracing::warn!(path = %demand.path, flow = %job.id, "the task was lost on its way to the endpoint; queued again");
        }
        Err(Error::backend("the task was lost on its way to the endpoint several times; try again later"))
    }

    /// Waits for the ranges; `None` if the task never ran.
    async fn follow_ranges(
        self: &Arc<Self>,
        demand: &Demand,
        job: &Job,
        flight: &Arc<Flight>,
    ) -> Result<Option<Vec<Fetched>>> {
        let mut follower = self.follower(job.clone(), vec![demand.path.clone()], &demand.entry);
        let mut fetched = Vec::new();
        loop {
            match self.next_step(&mut follower, flight, &[]).await? {
                Step::Fetched(range) => fetched.push(*range),
                Step::Ended(Outcome::Failed { failure: Failure::Lost, .. }) => return Ok(None),
                Step::Ended(Outcome::Failed { message, .. }) if fetched.is_empty() => {
                    return Err(Error::backend(format!("reading parts of {} failed: {message}", demand.path)));
                }
                Step::Ended(_) => return Ok(Some(fetched)),
            }
        }
    }

    /// Remembers the ranges that came, in the store first. What is short, or of another state of the file, is not kept.
    async fn keep(self: &Arc<Self>, demand: &Demand, fetched: Vec<Fetched>) -> Result<()> {
        let mut ranges = Vec::with_capacity(fetched.len());
        let mut state = None;
        for Fetched { content, observation, range, .. } in fetched {
            let content = content.map_err(|complaint| self.refused(demand, &complaint))?;
            let Some(range) = range else {
                return Err(Error::backend("a range came without the state of its file; it is not used"));
            };
            let expected = range.state.size.saturating_sub(range.offset).min(range.length);
            if content.size != expected {
                return Err(Error::backend(format!(
                    "the endpoint read {} of {expected} bytes at offset {} of {}; they are not used",
                    content.size, range.offset, demand.path
                )));
            }
            if *state.get_or_insert(range.state) != range.state {
                return Err(self.changed(demand));
            }
            ranges.push(HeldRange {
                offset: range.offset,
                length: content.size,
                location: content.location,
                observation,
                sha256_endpoint: content.sha256_endpoint,
            });
        }
        let Some(state) = state else {
            let complaint =
                Complaint { cause: Cause::Unknown, message: "the endpoint did not say anything about it".into() };
            return Err(self.refused(demand, &complaint));
        };
        let version = demand.node.version;
        let fresh = InRanges { version, listed: demand.listed.clone(), state, held: Vec::new() };
        let mut same = true;
        update_file(self, &demand.directory, demand.node.own, |record| {
            let index = record.in_ranges.iter().position(|held| held.version == version).unwrap_or_else(|| {
                record.in_ranges.push(fresh);
                record.in_ranges.len() - 1
            });
            let Some(held) = record.in_ranges.get_mut(index) else { return false };
            same = held.state == state;
            if same {
                ranges.into_iter().for_each(|range| {
                    held.add(range);
                });
            }
            same
        })
        .await?;
        if same { Ok(()) } else { Err(self.changed(demand)) }
    }

    /// The file is not any more what the version was: a new listing gives its readers a new version.
    pub(in super::super) fn changed(self: &Arc<Self>, demand: &Demand) -> Error {
        let _joined = self.look_anew(&demand.directory, &demand.call);
        Error::new(
            ErrorKind::Changed,
            format!(
                "{} changed on the endpoint while it was read in parts; what was read before stays as it was, the rest cannot be had: open it anew,                  or use `raptorgate collect`",
                demand.path
            ),
        )
    }
}
