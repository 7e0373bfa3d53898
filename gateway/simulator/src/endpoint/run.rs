//! One task on the endpoint: the artifacts of a flow, its limits, its logs and its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use velociraptor_proto::proto::velo_status::ReturnedStatus;
use velociraptor_proto::proto::{ArtifactCollectorArgs, VeloStatus};

use crate::endpoint::{Endpoint, download, kape, list, many, ranges};
use crate::seeded;
use crate::server::artifacts::{DOWNLOAD_FILE, FETCH_MANY, LIST_DIRECTORY, LIST_MANY, READ_RANGES, TRIAGE};
use crate::server::clients::Task;
use crate::server::faults::Fate;
use crate::server::receive::Body;
use crate::server::vfs::parameter;
use crate::tree::entry::write_string;

/// Timeout of a flow that names none.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(600);
/// Bytes of a row that compresses like a listing, per byte on the wire.
const ROW_COMPRESSION: u64 = 8;

/// Why an artifact stopped before its end.
#[derive(Debug)]
pub(super) enum Stop {
    /// The server said so: nothing more is sent but what is queued.
    Cancelled,
    /// A limit or a fault: the text becomes the flow's status.
    Failed(String),
}

/// A flow that runs on the endpoint.
pub(super) struct Run {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) task: Task,
    started: Instant,
    started_micros: u64,
    last_progress: std::sync::Mutex<Instant>,
    uploaded: AtomicU64,
    rows: AtomicU64,
    /// It ends in ERROR after so many rows.
    breaks: Option<(u64, String)>,
}

/// What one query of an artifact has to report.
#[derive(Debug, Default, Clone)]
pub(super) struct Query {
    pub(super) source: String,
    pub(super) rows: u64,
    pub(super) logs: Vec<String>,
    pub(super) uploaded_files: u64,
    pub(super) uploaded_bytes: u64,
    pub(super) expected_bytes: u64,
}

impl Query {
    pub(super) fn new(source: &str) -> Self {
        Self { source: source.to_string(), ..Self::default() }
    }
}

/// Runs a delivered task to its end.
pub(super) async fn run(endpoint: Arc<Endpoint>, task: Task) {
    let mut breaks = None;
    match endpoint.deployment.faults.fate() {
        Fate::Runs => {}
        Fate::Lost => return lose(endpoint, task).await,
        Fate::Stalls => return,
        Fate::Breaks(rows, text) => breaks = Some((rows, text)),
        Fate::Fails(text) => {
            let run = Run::new(endpoint, task);
            let queries = [Query::new("")];
            run.finish(&queries, Some(text));
            return;
        }
    }
    let _slot = if task.request.urgent { None } else { endpoint.slots.acquire().await.ok() };
    let run = Run { breaks, ..Run::new(Arc::clone(&endpoint), task) };
    let mut queries = Vec::new();
    run.endpoint.send(&run.task.flow_id, 200, Body::Progress(run.stats(&[Query::new("")], None)));
    let artifacts = run.task.request.artifacts.clone();
    let mut failure = None;
    for artifact in &artifacts {
        let result = match artifact.as_str() {
            LIST_DIRECTORY => list::list_directory(&run, &mut queries).await,
            DOWNLOAD_FILE => download::download_file(&run, &mut queries).await,
            READ_RANGES => ranges::read_ranges(&run, &mut queries).await,
            LIST_MANY => many::list_many(&run, &mut queries).await,
            FETCH_MANY => many::fetch_many(&run, &mut queries).await,
            TRIAGE => kape::triage(&run, &mut queries).await,
            other => {
                run.work().await;
                let mut query = Query::new(other);
                query.logs.push(run.log_line("INFO", &format!("Collection {other} is done after 1ms\n")));
                queries.push(query);
                Ok(())
            }
        };
        match result {
            Ok(()) => {}
            Err(Stop::Cancelled) => break,
            Err(Stop::Failed(text)) => {
                failure = Some(text);
                break;
            }
        }
    }
    run.finish(&queries, failure);
}

/// The task never reached the endpoint. The server asks about it a minute or two later.
pub(super) async fn lose(endpoint: Arc<Endpoint>, task: Task) {
    let spread = u64::try_from(endpoint.timing.lost_spread.as_millis()).unwrap_or_default();
    let more = seeded::hash(endpoint.seed, task.flow_id.as_bytes()) % spread.max(1);
    tokio::time::sleep(endpoint.timing.lost_after + Duration::from_millis(more)).await;
    endpoint.deployment.lose(&endpoint.client_id, &task.flow_id);
}

impl Run {
    fn new(endpoint: Arc<Endpoint>, task: Task) -> Self {
        let started_micros = endpoint.deployment.clock.micros();
        let started = Instant::now();
        Self {
            endpoint,
            task,
            started,
            started_micros,
            last_progress: std::sync::Mutex::new(started),
            uploaded: AtomicU64::new(0),
            rows: AtomicU64::new(0),
            breaks: None,
        }
    }

    pub(super) fn request(&self) -> &ArtifactCollectorArgs {
        &self.task.request
    }

    /// A parameter of `artifact`, or its default.
    pub(super) fn parameter(&self, artifact: &str, key: &str, default: &str) -> String {
        parameter(self.request(), artifact, key).unwrap_or_else(|| default.to_string())
    }

    /// A parameter that is a JSON list of path components.
    pub(super) fn components(&self, artifact: &str) -> Vec<String> {
        serde_json::from_str(&self.parameter(artifact, "Components", "[]")).unwrap_or_default()
    }

    /// The endpoint's own work before the first row.
    pub(super) async fn work(&self) {
        tokio::time::sleep(self.endpoint.timing.run_cost).await;
    }

    /// A log line as the log table has it.
    pub(super) fn log_line(&self, level: &str, message: &str) -> String {
        let mut line = format!("[{},\"{level}\",", self.endpoint.deployment.clock.seconds());
        write_string(&mut line, message);
        line.push(']');
        line
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Sends rows of a source, and counts them against `max_rows`.
    pub(super) fn send_rows(&self, query: &mut Query, columns: &[&str], mut rows: Vec<String>) -> Result<(), Stop> {
        let left =
            self.breaks.as_ref().map(|(limit, text)| (limit.saturating_sub(self.rows.load(Ordering::Relaxed)), text));
        let broken = left.filter(|(left, _)| (rows.len() as u64) >= *left);
        if let Some((left, _)) = broken {
            rows.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        }
        let stop = broken.map(|(_, text)| Stop::Failed(text.clone()));
        if rows.is_empty() {
            return stop.map_or(Ok(()), Err);
        }
        let count = rows.len() as u64;
        let limit = self.request().max_rows;
        let total = self.rows.fetch_add(count, Ordering::Relaxed) + count;
        query.rows += count;
        let wire = rows.iter().map(|row| row.len() as u64).sum::<u64>() / ROW_COMPRESSION;
        let body = Body::Rows { source: query.source.clone(), columns: crate::server::receive::strings(columns), rows };
        self.endpoint.send(&self.task.flow_id, wire, body);
        if limit > 0 && total > limit {
            return Err(Stop::Failed(format!(
                "Rows {total} exceeded limit {limit} for flow {}. Cancelling.",
                self.task.flow_id
            )));
        }
        stop.map_or(Ok(()), Err)
    }

    /// Adds uploaded bytes; an error is the text of the exceeded limit (§5.1).
    pub(super) fn count_upload(&self, bytes: u64) -> Result<(), Stop> {
        let total = self.uploaded.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let limit = self.request().max_upload_bytes;
        if limit > 0 && total > limit {
            return Err(Stop::Failed(format!(
                "Upload bytes {total} exceeded limit {limit} for flow {}. Cancelling.",
                self.task.flow_id
            )));
        }
        Ok(())
    }

    /// Called often: ends the work when it was cancelled or has lasted too long, and reports progress now and then.
    pub(super) fn check(&self, queries: &[Query]) -> Result<(), Stop> {
        if self.task.cancelled.load(Ordering::Relaxed) {
            return Err(Stop::Cancelled);
        }
        let timeout = match self.request().timeout {
            0 => DEFAULT_TIMEOUT,
            seconds => Duration::from_secs(seconds),
        };
        if self.started.elapsed() > timeout {
            return Err(Stop::Failed(format!("Query timed out after {} seconds", timeout.as_secs())));
        }
        let mut last = self.last_progress.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if last.elapsed() >= self.endpoint.timing.progress {
            *last = Instant::now();
            let stats = self.stats(queries, None);
            self.endpoint.send(&self.task.flow_id, 200, Body::Progress(stats));
        }
        Ok(())
    }

    /// Sends logs and the final status.
    fn finish(&self, queries: &[Query], failure: Option<String>) {
        let logs: Vec<String> = queries.iter().flat_map(|query| query.logs.iter().cloned()).collect();
        let kept = self.lose_lines(logs);
        if !kept.is_empty() {
            let wire = kept.iter().map(|line| line.len() as u64).sum::<u64>() / ROW_COMPRESSION;
            self.endpoint.send(&self.task.flow_id, wire, Body::Log(kept));
        }
        let stats = self.stats(queries, failure.or(Some(String::new())));
        self.endpoint.send(&self.task.flow_id, 300, Body::Status(stats));
    }

    /// Some flows lose the middle of their log, where the reason of a failure stands (§4.8).
    fn lose_lines(&self, mut lines: Vec<String>) -> Vec<String> {
        let share =
            self.endpoint.deployment.faults.lock().lost_log_share.unwrap_or(self.endpoint.timing.lost_log_share);
        let mut random = seeded::Random::new(seeded::hash(self.endpoint.seed, self.task.flow_id.as_bytes()));
        if share > 0.0 && random.chance(share) {
            let first = lines.len() / 2;
            lines.truncate(first + 1);
            lines.pop();
        }
        lines
    }

    /// Statuses of all queries. `end` is `None` while they run, else the text of a failure or an empty one.
    fn stats(&self, queries: &[Query], end: Option<String>) -> Vec<VeloStatus> {
        let now = self.endpoint.deployment.clock.micros();
        let duration = i64::try_from(self.elapsed().as_nanos()).unwrap_or(i64::MAX);
        let to_wire = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let mut stats: Vec<VeloStatus> = queries
            .iter()
            .map(|query| VeloStatus {
                status: match end {
                    None => ReturnedStatus::Progress.into(),
                    Some(_) => ReturnedStatus::Ok.into(),
                },
                duration,
                names_with_response: if query.rows > 0 { vec![query.source.clone()] } else { Vec::new() },
                log_rows: to_wire(query.logs.len() as u64),
                result_rows: to_wire(query.rows),
                uploaded_files: to_wire(query.uploaded_files),
                uploaded_bytes: to_wire(query.uploaded_bytes),
                expected_uploaded_bytes: to_wire(query.expected_bytes),
                last_active: now,
                first_active: self.started_micros,
                ..VeloStatus::default()
            })
            .collect();
        if let (Some(text), Some(last)) = (end.filter(|text| !text.is_empty()), stats.last_mut()) {
            last.status = ReturnedStatus::GenericError.into();
            last.error_message = text;
            last.backtrace = "goroutine 1 [running]:\n(simulated)".to_string();
        }
        stats
    }
}
