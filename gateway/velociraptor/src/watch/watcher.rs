//! The life of one job: delivered, under way, over (docs/velociraptor-api.md §6.2, §6.3).

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use vfs::Timestamp;
use vfs::backend::{Failure, Job, JobEvent, Observation, Outcome};

use super::hub::Hub;
use super::probe::Probe;
use super::{Shared, fetch, listing};
use crate::events::Expected;
use crate::flow::{self, FlowState, Kind, Phase, Task};
use crate::server::{CallError, CallResult};

/// A small flow is over before reading its rows early pays.
const READ_EARLY_AFTER: Duration = Duration::from_secs(1);
/// Pause between looks for the first directory: somebody waits for it.
const FIRST_DIRECTORY_PAUSE: Duration = Duration::from_millis(200);
/// Pause between looks for what comes after it, and for the files of a flow that brings many.
const NEXT_PAUSE: Duration = Duration::from_millis(500);
/// Pause between looks at the bytes of an upload.
const PROBE_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause while the server cannot be reached.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Times that the server may answer with an error of its own before that is the answer.
const MAX_REFUSALS: u32 = 20;
/// A flow that was just started may not be known at once.
const UNKNOWN_GRACE: Duration = Duration::from_secs(3);

/// One job and those who watch it.
pub(super) struct Watcher {
    pub(super) shared: Arc<Shared>,
    pub(super) job: Job,
    pub(super) task: Arc<Task>,
    hub: Arc<Hub>,
    /// The flow was seen before it ended, so that "now" is when it ended.
    live: bool,
}

/// Watches `job` until it is over or nobody looks any more.
pub(super) async fn run(shared: Arc<Shared>, job: Job, hub: Arc<Hub>) {
    let mut expected = shared.completions.expect(&job.id);
    let known = shared.tasks.get(&job).map(|task| task.clone());
    let started_here = known.is_some();
    let outcome = match known {
        Some(task) => {
            Watcher { shared: shared.clone(), job: job.clone(), task, hub: hub.clone(), live: true }
                .live_on(&mut expected, started_here)
                .await
        }
        None => match learn(&shared, &job, &hub).await {
            Ok(Some(task)) => {
                Watcher { shared: shared.clone(), job: job.clone(), task, hub: hub.clone(), live: false }
                    .live_on(&mut expected, started_here)
                    .await
            }
            Ok(None) => None,
            Err(error) => Some(unknown(&error)),
        },
    };
    if let Some(outcome) = outcome {
        hub.tell(JobEvent::Ended(outcome)).await;
        shared.ended(&job, &hub);
    } else {
        shared.hubs.remove_if(&job, |_, current| Arc::ptr_eq(current, &hub));
    }
}

/// What a flow of an earlier process was started for; `None` if nobody looks any more.
async fn learn(shared: &Arc<Shared>, job: &Job, hub: &Hub) -> CallResult<Option<Arc<Task>>> {
    let mut pause = Duration::from_millis(200);
    while hub.is_watched() {
        match shared.server.flow(&job.endpoint.client_id, &job.id).await {
            Ok(context) => {
                let request = context.request.unwrap_or_default();
                return Ok(Some(Arc::new(Task::of(&job.endpoint, &request, &shared.user))));
            }
            Err(error) if error.is_transient() => {}
            Err(error) => return Err(error),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    Ok(None)
}

fn unknown(error: &CallError) -> Outcome {
    let message = match error {
        CallError::NotFound => Arc::from("the server does not know the flow (any more)"),
        error => Arc::from(error.to_string()),
    };
    Outcome::Failed { failure: Failure::Error, message }
}

impl Watcher {
    /// Follows the flow to its end; `None` if nobody looks any more.
    async fn live_on(&mut self, expected: &mut Expected, started_here: bool) -> Option<Outcome> {
        let begun = Instant::now();
        let mut delivered: Option<Instant> = None;
        let mut failures = 0u32;
        let mut reader = listing::Reader::new(self);
        let mut fetched = fetch::Reader::new();
        let mut probe = self.task.single_file().map(|file| Probe::new(file, &self.job.id));
        let mut next_probe = begun + READ_EARLY_AFTER;
        let mut ask_now = !started_here;
        loop {
            let mut wait = patience(begun.elapsed(), expected.stream().up, delivered.is_some(), failures);
            if (reader.is_some() || fetch::Reader::comes_bit_by_bit(self))
                && failures == 0
                && let Some(since) = delivered
            {
                let first_look = READ_EARLY_AFTER.saturating_sub(since.elapsed());
                wait = wait.min(match (first_look.is_zero(), &reader) {
                    (false, _) => first_look,
                    (true, Some(reader)) if !reader.has_told() => FIRST_DIRECTORY_PAUSE,
                    (true, _) => NEXT_PAUSE,
                });
            }
            let state = if ask_now { None } else { expected.wait(wait).await };
            ask_now = false;
            if !self.hub.is_watched() {
                return None;
            }
            let state = match state {
                Some(state) => state,
                None => match self.ask().await {
                    Ok(state) => {
                        if state.phase == Phase::Finished && started_here {
                            expected.untold();
                        }
                        state
                    }
                    Err(CallError::NotFound) if begun.elapsed() < UNKNOWN_GRACE => continue,
                    Err(error)
                        if error.is_transient() || matches!(error, CallError::Failed(_)) && failures < MAX_REFUSALS =>
                    {
                        tracing::debug!(flow = %self.job.id, %error, "the flow's state could not be asked; trying again");
                        failures = failures.saturating_add(1);
                        continue;
                    }
                    Err(error) => return Some(unknown(&error)),
                },
            };
            failures = 0;
            if delivered.is_none() && matches!(state.phase, Phase::Delivered | Phase::Finished) {
                delivered = Some(Instant::now());
                self.tell(JobEvent::Delivered).await;
            }
            if state.is_over() {
                return self.finish(reader, fetched, state).await;
            }
            self.live = true;
            let Some(since) = delivered else { continue };
            if since.elapsed() < READ_EARLY_AFTER {
                continue;
            }
            let mut bytes = state.uploaded_bytes;
            if let Some(probe) = &mut probe
                && Instant::now() >= next_probe
            {
                next_probe = Instant::now() + PROBE_PAUSE;
                // Nothing has arrived yet is no error.
                bytes = bytes.max(probe.look(&self.shared.server).await.unwrap_or(0));
            }
            if let Err(error) = fetched.read_early(self, &state).await {
                tracing::debug!(flow = %self.job.id, %error, "files could not be read early");
            }
            let mut rows = state.rows;
            if let Some(reader) = &mut reader {
                match reader.read_early(self, &state).await {
                    Ok(read) => rows = rows.max(read),
                    Err(error) => tracing::debug!(flow = %self.job.id, %error, "rows could not be read early"),
                }
            }
            self.tell(JobEvent::Progress { rows, bytes }).await;
        }
    }

    /// Reads what the flow left; tries again while the server cannot be reached.
    async fn finish(
        &self,
        mut reader: Option<listing::Reader>,
        mut fetched: fetch::Reader,
        state: FlowState,
    ) -> Option<Outcome> {
        let begun = Instant::now();
        let mut pause = Duration::from_millis(200);
        loop {
            let result = match (&mut reader, &self.task.kind) {
                (Some(reader), _) => reader.finish(self, &state).await,
                (None, Kind::Other) => Ok(ended(&state)),
                (None, _) => fetched.finish(self, &state).await,
            };
            match result {
                Ok(outcome) => {
                    let micros = begun.elapsed().as_micros();
                    tracing::debug!(flow = %self.job.id, rows = state.rows, micros, ?outcome, "the results of a flow are read");
                    return Some(outcome);
                }
                Err(error) if error.is_transient() => {
                    tracing::debug!(flow = %self.job.id, %error, "the flow's results could not be read; trying again");
                }
                Err(error) => {
                    let message = Arc::from(format!("the flow ended, but its results cannot be read: {error}"));
                    return Some(Outcome::Failed { failure: Failure::Error, message });
                }
            }
            if !self.hub.is_watched() {
                return None;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn ask(&self) -> CallResult<FlowState> {
        let context = self.shared.server.flow(&self.job.endpoint.client_id, &self.job.id).await?;
        Ok(FlowState::of(&context))
    }

    pub(super) async fn tell(&self, event: JobEvent) {
        self.hub.tell(event).await;
    }

    /// When and by which job something was seen that begins at `first_row`.
    pub(super) fn observation(&self, state: &FlowState, first_row: u64) -> Observation {
        let now = self.shared.clock.now();
        let ours = |time| self.shared.server_clock.ours(time);
        let by_id = flow::started(&self.job.id).or(state.started).unwrap_or(now);
        let started = earlier(by_id, state.started);
        let seen = if self.live { now } else { ours(state.active.unwrap_or(started)).min(now) };
        Observation { job: self.job.id.clone(), by: self.task.by.clone(), started: ours(started), seen, first_row }
    }
}

/// The server's exact time if it lies in the second that the flow's id names.
fn earlier(id: Timestamp, exact: Option<Timestamp>) -> Timestamp {
    exact.filter(|exact| exact.seconds == id.seconds).unwrap_or(id)
}

/// How a flow ended, if nothing more is known.
pub(super) fn ended(state: &FlowState) -> Outcome {
    match state.phase {
        Phase::Failed => Outcome::Failed { failure: state.failure(), message: state.status.clone() },
        _ => Outcome::Finished { complaint: None },
    }
}

/// How long to wait for an event before the server is asked.
///
/// With events the questions only look for the delivery and catch what no event tells; without, they are all there is.
fn patience(age: Duration, events: bool, delivered: bool, failures: u32) -> Duration {
    if failures > 0 {
        return Duration::from_millis(200).saturating_mul(1 << failures.min(6)).min(LONGEST_PAUSE);
    }
    let millis = match (events, age.as_secs()) {
        (true, 0) => 400,
        (true, 1..=60) => 1_000,
        (true, 61..=899) if !delivered => 5_000,
        // It waits for an endpoint that is away.
        (true, _) if !delivered => 30_000,
        (true, _) => 2_000,
        (false, 0) => 100,
        (false, 1..=2) => 200,
        (false, 3..=9) => 500,
        (false, 10..=59) => 1_000,
        (false, 900..) if !delivered => 10_000,
        (false, _) => 2_000,
    };
    Duration::from_millis(millis)
}
