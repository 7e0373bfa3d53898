//! What the server does with an endpoint's messages: rows, logs, upload chunks and the final status (§4.4, §5.3).

use std::sync::Arc;

use serde::Serialize;
use velociraptor_proto::proto::artifact_collector_context::State;
use velociraptor_proto::proto::velo_status::ReturnedStatus;
use velociraptor_proto::proto::{ArtifactCollectorContext, VeloStatus};

use crate::server::deployment::Deployment;
use crate::server::flow::{Flow, LOG_COLUMNS, UPLOAD_COLUMNS};
use crate::tree::entry::{string_array, write_string};

/// One message of an endpoint about one flow.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) flow_id: String,
    /// Bytes on the wire, for the sender's pace.
    pub(crate) wire: u64,
    pub(crate) body: Body,
}

#[derive(Debug)]
pub(crate) enum Body {
    /// A report of a running flow.
    Progress(Vec<VeloStatus>),
    /// Result rows of one source.
    Rows { source: String, columns: Vec<String>, rows: Vec<String> },
    /// Log lines as JSON arrays.
    Log(Vec<String>),
    /// An upload has come this far.
    Chunk { object: usize, arrived: u64, bytes: u64 },
    /// An upload is complete.
    Uploaded(Box<Uploaded>),
    /// The flow's end.
    Status(Vec<VeloStatus>),
}

/// What the uploads table tells of a complete upload.
#[derive(Debug)]
pub(crate) struct Uploaded {
    pub(crate) object: usize,
    pub(crate) accessor: String,
    pub(crate) components: Vec<String>,
    pub(crate) vfs_path: String,
    pub(crate) file_size: u64,
    pub(crate) uploaded_size: u64,
    pub(crate) started: std::time::Duration,
    pub(crate) sparse: bool,
}

/// A log line that makes a flow an ERROR by default (§6.2).
fn is_error_line(line: &str) -> bool {
    let lower = line.to_lowercase();
    lower.contains("error:")
        || lower.contains("expecting a path arg type, not")
        || lower.contains("unexpected arg")
        || (lower.contains("symbol") && lower.contains("not found"))
        || (lower.contains("field") && lower.contains("is required"))
}

impl Deployment {
    /// Takes one message in.
    pub(crate) fn receive(self: &Arc<Self>, client_id: &str, message: Message) {
        let now = self.clock.micros();
        let mut inner = self.lock();
        let Some(client) = inner.clients.get_mut(client_id).filter(|_| !self.is_closed()) else {
            return;
        };
        client.last_seen = now;
        let Some(flow) = client.flows.get_mut(&message.flow_id) else {
            return;
        };
        flow.heard = now;
        let ended = flow.has_ended();
        let outcome = match message.body {
            Body::Progress(stats) => {
                if !ended {
                    flow.context.set_state(State::InProgress);
                    flow.context.outstanding_requests = stats.len().try_into().unwrap_or(1);
                }
                apply_stats(&mut flow.context, stats);
                Ok(())
            }
            Body::Rows { source, columns, rows } => {
                let count = rows.len() as u64;
                let result = flow.append(&source, &columns, &rows);
                self.counters.rows(client_id, count);
                result
            }
            Body::Log(lines) => {
                if !ended && lines.iter().any(|line| is_error_line(line)) {
                    flow.context.status = lines.iter().find(|line| is_error_line(line)).cloned().unwrap_or_default();
                }
                flow.append("log", &strings(&LOG_COLUMNS), &lines)
            }
            Body::Chunk { object, arrived, bytes } => {
                if let Some(object) = flow.objects.get_mut(object) {
                    object.arrived = arrived;
                }
                self.counters.uploaded(client_id, bytes);
                Ok(())
            }
            Body::Uploaded(uploaded) => {
                let (result, event) = finish_upload(flow, &uploaded, now / 1_000_000);
                if let Some(event) = event {
                    self.emit("System.Upload.Completion", event);
                }
                result
            }
            Body::Status(stats) => {
                apply_stats(&mut flow.context, stats);
                if ended {
                    // Cancelled meanwhile: counters go up, the state stays (§5.2).
                    let _ = flow.save();
                    flow.close();
                } else {
                    let failed = flow
                        .context
                        .query_stats
                        .iter()
                        .find(|stat| stat.status() == ReturnedStatus::GenericError)
                        .map(|stat| (stat.error_message.clone(), stat.backtrace.clone()));
                    let by_log = !flow.context.status.is_empty();
                    if let Some((text, backtrace)) = failed {
                        flow.context.status = text;
                        flow.context.backtrace = backtrace;
                        flow.context.set_state(State::Error);
                    } else {
                        flow.context.set_state(if by_log { State::Error } else { State::Finished });
                    }
                    flow.context.outstanding_requests = 0;
                    flow.context.inflight_time = 0;
                    let event = self.end_flow(flow);
                    drop(inner);
                    self.emit("System.Flow.Completion", event);
                    self.publish_later(client_id, &message.flow_id);
                    return;
                }
                Ok(())
            }
        };
        drop(inner);
        if let Err(error) = outcome {
            tracing::error!(%error, "the simulator cannot store what an endpoint sent");
        }
    }

    /// Writes an ended flow down and makes its completion event.
    pub(crate) fn end_flow(&self, flow: &mut Flow) -> String {
        for index in 0..flow.objects.len() {
            if flow.objects.get(index).is_some_and(|object| !object.complete) {
                let _ = flow.note_object(index);
            }
        }
        if let Err(error) = flow.save() {
            tracing::error!(%error, "a flow cannot be written");
        }
        flow.close();
        completion_event(&flow.context, self.clock.seconds())
    }
}

fn finish_upload(flow: &mut Flow, uploaded: &Uploaded, now: u64) -> (std::io::Result<()>, Option<String>) {
    let Some(object) = flow.objects.get_mut(uploaded.object) else {
        return (Ok(()), None);
    };
    object.arrived = uploaded.uploaded_size;
    object.complete = true;
    let mut store = vec![
        "clients".to_string(),
        flow.context.client_id.clone(),
        "collections".to_string(),
        flow.context.session_id.clone(),
        "uploads".to_string(),
    ];
    store.extend(object.components.iter().cloned());
    let components = string_array(&store);
    let row = |path: &str, kind: &str| {
        let mut row = format!("[{now},");
        write_string(&mut row, &started_text(uploaded.started));
        row.push(',');
        write_string(&mut row, path);
        row.push_str(&format!(",\"{kind}\",{components},{},", uploaded.file_size));
        write_string(&mut row, &uploaded.accessor);
        row.push_str(&format!(",{},{}]", string_array(&uploaded.components), uploaded.uploaded_size));
        row
    };
    let mut rows = vec![row(&uploaded.vfs_path, "")];
    if uploaded.sparse {
        rows.push(row(&format!("{}.idx", uploaded.vfs_path), "idx"));
    }
    let mut event = String::from("{\"Timestamp\":");
    event.push_str(&format!("{now},\"ClientId\":"));
    write_string(&mut event, &flow.context.client_id);
    event.push_str(",\"VFSPath\":");
    write_string(&mut event, &format!("fs:/{}", store.join("/")));
    event.push_str(",\"UploadName\":");
    write_string(&mut event, &uploaded.vfs_path);
    event.push_str(",\"Accessor\":");
    write_string(&mut event, &uploaded.accessor);
    event.push_str(&format!(",\"Size\":{},\"UploadedSize\":{}}}", uploaded.file_size, uploaded.uploaded_size));
    if let Err(error) = flow.note_object(uploaded.object) {
        tracing::error!(%error, "an upload cannot be written");
    }
    (flow.append("uploads", &strings(&UPLOAD_COLUMNS), &rows), Some(event))
}

/// As Go prints a time: `2026-11-24 13:53:55.040352683 +0000 UTC`.
fn started_text(started: std::time::Duration) -> String {
    let seconds = i64::try_from(started.as_secs()).unwrap_or_default();
    let stamp = crate::tree::stamp::Stamp::new(seconds, started.subsec_nanos()).to_string();
    format!("{} +0000 UTC", stamp.trim_end_matches('Z').replace('T', " "))
}

fn apply_stats(context: &mut ArtifactCollectorContext, stats: Vec<VeloStatus>) {
    let sum = |field: fn(&VeloStatus) -> i64| {
        stats.iter().map(|stat| u64::try_from(field(stat)).unwrap_or_default()).sum::<u64>()
    };
    context.total_collected_rows = sum(|stat| stat.result_rows);
    context.total_uploaded_files = sum(|stat| stat.uploaded_files);
    context.total_uploaded_bytes = sum(|stat| stat.uploaded_bytes);
    context.total_expected_uploaded_bytes = sum(|stat| stat.expected_uploaded_bytes);
    context.total_logs = sum(|stat| stat.log_rows);
    context.total_requests = stats.len().try_into().unwrap_or_default();
    context.execution_duration = stats.iter().map(|stat| stat.duration).max().unwrap_or_default();
    context.start_time = stats.iter().map(|stat| stat.first_active).min().unwrap_or_default();
    context.active_time = stats.iter().map(|stat| stat.last_active).max().unwrap_or_default();
    let mut sources: Vec<String> = stats.iter().flat_map(|stat| stat.names_with_response.clone()).collect();
    sources.sort();
    sources.dedup();
    context.artifacts_with_results = sources;
    context.query_stats = stats;
}

pub(crate) fn strings(items: &[&str]) -> Vec<String> {
    items.iter().map(ToString::to_string).collect()
}

/// The row of `System.Flow.Completion`: the context without its request; states and 64-bit values are numbers (§6.3).
fn completion_event(context: &ArtifactCollectorContext, now: u64) -> String {
    let event = CompletionEvent {
        timestamp: now,
        flow: FlowJson::of(context),
        flow_id: &context.session_id,
        client_id: &context.client_id,
        ts: now,
        source: "server",
    };
    serde_json::to_string(&event).unwrap_or_default()
}

#[derive(Serialize)]
struct CompletionEvent<'a> {
    #[serde(rename = "Timestamp")]
    timestamp: u64,
    #[serde(rename = "Flow")]
    flow: FlowJson<'a>,
    #[serde(rename = "FlowId")]
    flow_id: &'a str,
    #[serde(rename = "ClientId")]
    client_id: &'a str,
    #[serde(rename = "_ts")]
    ts: u64,
    #[serde(rename = "_Source")]
    source: &'static str,
}

/// A context as the server's JSON writes it: zero members left out.
#[derive(Serialize)]
pub(crate) struct FlowJson<'a> {
    client_id: &'a str,
    session_id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    status: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    start_time: u64,
    #[serde(skip_serializing_if = "is_zero")]
    active_time: u64,
    #[serde(skip_serializing_if = "is_zero")]
    total_uploaded_files: u64,
    #[serde(skip_serializing_if = "is_zero")]
    total_expected_uploaded_bytes: u64,
    #[serde(skip_serializing_if = "is_zero")]
    total_uploaded_bytes: u64,
    #[serde(skip_serializing_if = "is_zero")]
    total_collected_rows: u64,
    #[serde(skip_serializing_if = "is_zero")]
    total_logs: u64,
    total_requests: i64,
    execution_duration: i64,
    state: i32,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    artifacts_with_results: &'a [String],
    query_stats: Vec<StatJson<'a>>,
}

#[derive(Serialize)]
struct StatJson<'a> {
    #[serde(skip_serializing_if = "is_zero_i32")]
    status: i32,
    #[serde(skip_serializing_if = "str::is_empty")]
    error_message: &'a str,
    duration: i64,
    last_active: u64,
    first_active: u64,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    names_with_response: &'a [String],
    log_rows: i64,
    #[serde(skip_serializing_if = "is_zero_i64")]
    result_rows: i64,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde asks for a reference
fn is_zero(value: &u64) -> bool {
    *value == 0
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde asks for a reference
fn is_zero_i64(value: &i64) -> bool {
    *value == 0
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde asks for a reference
fn is_zero_i32(value: &i32) -> bool {
    *value == 0
}

impl<'a> FlowJson<'a> {
    pub(crate) fn of(context: &'a ArtifactCollectorContext) -> Self {
        Self {
            client_id: &context.client_id,
            session_id: &context.session_id,
            status: &context.status,
            start_time: context.start_time,
            active_time: context.active_time,
            total_uploaded_files: context.total_uploaded_files,
            total_expected_uploaded_bytes: context.total_expected_uploaded_bytes,
            total_uploaded_bytes: context.total_uploaded_bytes,
            total_collected_rows: context.total_collected_rows,
            total_logs: context.total_logs,
            total_requests: context.total_requests,
            execution_duration: context.execution_duration,
            state: context.state,
            artifacts_with_results: &context.artifacts_with_results,
            query_stats: context
                .query_stats
                .iter()
                .map(|stat| StatJson {
                    status: stat.status,
                    error_message: &stat.error_message,
                    duration: stat.duration,
                    last_active: stat.last_active,
                    first_active: stat.first_active,
                    names_with_response: &stat.names_with_response,
                    log_rows: stat.log_rows,
                    result_rows: stat.result_rows,
                })
                .collect(),
        }
    }
}
