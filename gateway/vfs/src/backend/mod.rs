//! The `Backend` trait: what the VFS asks of whoever can reach endpoints (D31). Implemented by `velociraptor` and by
//! `testing::FakeBackend`. Flows, artifacts and VQL are not known here. What is done around every call is a [`Layer`].

mod deadline;
mod layer;
mod limit;
mod metrics;
mod retry;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;

use crate::endpoint::{Endpoint, EndpointId};
use crate::error::Result;
use crate::path::EndpointPath;
use crate::principal::{Principal, Reason};
use crate::snapshot::Rows;
use crate::timestamp::Timestamp;

pub use deadline::Deadline;
pub use layer::{Layer, Layered, Method, layers};
pub use limit::Limit;
pub use metrics::{Figures, Metrics};
pub use retry::Retry;

/// Reaches endpoints through a server that queues work for them.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// Queues the works of one delivery together; one job for each, in their order. Returns as soon as they are queued.
    ///
    /// # Errors
    /// `Denied` (rights of our certificate), `Invalid` (unknown endpoint), `Backend` (server unreachable).
    async fn submit(&self, endpoint: &EndpointId, delivery: Delivery) -> Result<Vec<Job>>;

    /// What becomes of a job. The stream ends after [`JobEvent::Ended`]. Dropping it does not cancel the job.
    fn watch(&self, job: &Job) -> BoxStream<'static, JobEvent>;

    /// The listing of one directory that the server already holds, from whomever; `None` if it holds none that is good.
    ///
    /// # Errors
    /// `Backend` if the server cannot be asked.
    async fn held(&self, directory: &EndpointPath) -> Result<Option<Listed>>;

    /// Bytes of a collected file at `offset`, at most `length`. Shorter only at the end of what is stored.
    ///
    /// # Errors
    /// `Absent` if the server does not have it (any more), `Backend` otherwise.
    async fn read(&self, location: &ContentLocation, offset: u64, length: u32) -> Result<Bytes>;

    /// All jobs of an endpoint that the server remembers, from whomever, as a rule the newest first, page by page: who stops reading asks
    /// for no more. A job may come twice, none is left out. The endpoint is not asked. An error ends the stream.
    fn jobs(&self, endpoint: &EndpointId) -> BoxStream<'static, Result<JobPage>>;

    /// What a job uploaded and the server holds whole, page by page, in no certain order. The endpoint is not asked. An error ends the
    /// stream: then nothing is known of what is missing.
    fn uploads(&self, job: &Job) -> BoxStream<'static, Result<Vec<Upload>>>;

    /// Takes a job back. Cancelling one that ended is no error.
    ///
    /// # Errors
    /// `Denied` or `Backend`.
    async fn cancel(&self, job: &Job) -> Result<()>;

    /// All endpoints, then every change, for ever. Sends [`EndpointChange::Complete`] whenever one full round has been made.
    fn endpoints(&self) -> BoxStream<'static, EndpointChange>;

    /// Whether the endpoint is connected right now, as the server knows it.
    ///
    /// # Errors
    /// `Invalid` for an unknown endpoint, `Backend` if the server cannot be asked.
    async fn presence(&self, endpoint: &EndpointId) -> Result<Presence>;

    /// What can be done on this endpoint.
    ///
    /// # Errors
    /// `Backend` if the server cannot be asked.
    async fn capabilities(&self, endpoint: &EndpointId) -> Result<Capabilities>;
}

/// Works that leave for the endpoint together.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// What to do, one job each.
    pub works: Vec<Work>,
    /// For whom; goes into the server's record of the flow.
    pub principal: Principal,
    /// Why; goes into the server's record of the flow.
    pub reason: Reason,
    /// How much it may cost.
    pub limits: Limits,
}

/// One piece of work for an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// List a directory and `depth` levels below it (0: only this one).
    List {
        /// Where to start.
        directory: EndpointPath,
        /// Further levels.
        depth: u32,
    },
    /// List many directories (needs [`Capabilities::list_many`]).
    ListMany {
        /// All of one endpoint and accessor.
        directories: Vec<EndpointPath>,
    },
    /// Collect files whole.
    Fetch {
        /// All of one endpoint. More than one needs [`Capabilities::fetch_many`].
        files: Vec<EndpointPath>,
    },
    /// Collect ranges of one file (needs [`Capabilities::ranges`]).
    Ranges {
        /// The file.
        file: EndpointPath,
        /// Offset and length of each range.
        ranges: Vec<(u64, u64)>,
    },
}

/// Limits of one delivery's flows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Time on the endpoint.
    pub timeout: Duration,
    /// Rows at most; 0: the server's default.
    pub max_rows: u64,
    /// Bytes uploaded at most; 0: the server's default (1 GiB).
    pub max_upload_bytes: u64,
    /// Share of one CPU, in percent; 0: no limit.
    pub cpu_percent: u8,
}

/// A piece of work that was queued.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Job {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// The server's name for it (Velociraptor: the flow id).
    pub id: Arc<str>,
}

/// News of a job.
#[derive(Debug, Clone)]
pub enum JobEvent {
    /// The endpoint has it.
    Delivered,
    /// One whole directory was listed (D29). May come while the job still runs.
    Listed(Listed),
    /// How far it is.
    Progress {
        /// Rows so far.
        rows: u64,
        /// Bytes so far, of all files.
        bytes: u64,
    },
    /// One file was collected, or could not be.
    Fetched(Fetched),
    /// It is over. Always the last event.
    Ended(Outcome),
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// As it should. What was asked for and did not come as an event could not be read.
    Finished {
        /// The endpoint's own words for what could not be read, if they arrived (docs/velociraptor-api.md §4.8: a quarter is lost).
        complaint: Option<Complaint>,
    },
    /// Not as it should.
    Failed {
        /// What sort of failure.
        failure: Failure,
        /// In words.
        message: Arc<str>,
    },
}

/// What an endpoint said about something it could not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// Which of the known texts it is.
    pub cause: Cause,
    /// The endpoint's text.
    pub message: Arc<str>,
}

/// Why an endpoint could not read something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// "no such file or directory" and its Windows forms.
    Absent,
    /// "permission denied" and its Windows forms.
    Denied,
    /// Neither directory nor regular file, or not supported.
    Unsupported,
    /// Something else, or nothing was said.
    Unknown,
}

/// Ways for a job to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Failure {
    /// It never ran: the task was lost on the way (docs/velociraptor-api.md §7.3). Worth trying again.
    Lost,
    /// Somebody cancelled it.
    Cancelled,
    /// It ran out of time, rows or bytes.
    Limit,
    /// Everything else.
    Error,
}

/// One directory as one job saw it.
#[derive(Debug, Clone)]
pub struct Listed {
    /// The directory. For a `List` work with depth, the path as composed from the parent and the name.
    pub directory: EndpointPath,
    /// Its entries in the job's row order (D28).
    pub rows: Rows,
    /// When and by which job it was seen.
    pub observation: Observation,
    /// Files of this directory that the server already holds, by ordinal in `rows`.
    pub collected: Vec<(u32, Fetched)>,
}

/// When and by which job something was seen on the endpoint.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Observation {
    /// The job.
    pub job: Arc<str>,
    /// Who started it: our principal, or the server's creator.
    pub by: Arc<str>,
    /// When the job was started.
    pub started: Timestamp,
    /// When the endpoint was seen in this state (the job's end, or the moment its rows arrived).
    pub seen: Timestamp,
    /// Where the directory's rows begin in the job's table.
    pub first_row: u64,
}

/// One collected file.
#[derive(Debug, Clone, PartialEq)]
pub struct Fetched {
    /// The file on the endpoint.
    pub file: EndpointPath,
    /// The content, or why there is none.
    pub content: std::result::Result<FetchedContent, Complaint>,
    /// When and by which job.
    pub observation: Observation,
    /// For a [`Work::Ranges`]: which range this is, and of which state of the file.
    pub range: Option<FetchedRange>,
}

/// A range of a file, and the file's state before and after it was read, which was the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchedRange {
    /// Where it begins.
    pub offset: u64,
    /// Bytes asked for. What came may be less: up to the end of the file.
    pub length: u64,
    /// State of the file.
    pub state: FileState,
}

/// What tells two states of a file apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FileState {
    /// Bytes.
    pub size: u64,
    /// Last modification.
    pub modified: Option<Timestamp>,
}

/// Content that the server holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedContent {
    /// Bytes that reading gives: the uploaded size, for a sparse file its logical size (D7).
    pub size: u64,
    /// Where it is.
    pub location: ContentLocation,
    /// Whether the server stores it with holes.
    pub sparse: bool,
    /// SHA-256 that the endpoint computed while uploading (D8), lower-case hex.
    pub sha256_endpoint: Option<String>,
}

/// Some of an endpoint's jobs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobPage {
    /// The jobs.
    pub jobs: Vec<JobSummary>,
    /// How many the server remembers.
    pub total: u64,
}

/// A job as the server remembers it, whoever started it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct JobSummary {
    /// The server's name for it (Velociraptor: the flow id).
    pub id: Arc<str>,
    /// What was run, in the server's words (Velociraptor: the artifacts).
    pub named: Vec<String>,
    /// Who started it.
    pub by: Arc<str>,
    /// When it was started.
    pub started: Timestamp,
    /// When it ended; `None` while it is under way.
    pub ended: Option<Timestamp>,
    /// What went wrong, in the server's words, if it ended not as it should.
    pub failed: Option<Arc<str>>,
    /// Files that the endpoint says it uploaded. The server may hold fewer.
    pub files: u64,
    /// Bytes of them.
    pub bytes: u64,
}

/// One file that a job uploaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// The accessor that the endpoint read it with, or what the job called it.
    pub accessor: String,
    /// Raw components below it. Named by the job: they may be anything.
    pub components: Vec<String>,
    /// Size that the file had when the endpoint opened it, as it said. Not that of the content.
    pub opened_size: u64,
    /// The content.
    pub content: FetchedContent,
}

/// Where the server keeps a content; opaque to the VFS.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct ContentLocation {
    /// Organisation that holds it.
    pub org: Arc<str>,
    /// The server's path, as components.
    pub components: Vec<String>,
}

/// News of the set of endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndpointChange {
    /// New, or something about it changed.
    Present(Endpoint),
    /// The server does not know it any more.
    Gone(EndpointId),
    /// A full round was made: what was not named since the last one is unchanged.
    Complete,
    /// The server could not be asked. The stream goes on trying.
    Unreachable {
        /// Why.
        message: Arc<str>,
    },
}

/// Whether an endpoint is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Presence {
    /// When the server last heard of it; "now" if it holds a connection.
    pub last_seen: Option<Timestamp>,
}

/// What can be done on an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capabilities {
    /// Flows may be started at all (our certificate has the right).
    pub collect: bool,
    /// [`Work::ListMany`] works.
    pub list_many: bool,
    /// [`Work::Fetch`] works with more than one file, and gives the endpoint's hashes.
    pub fetch_many: bool,
    /// [`Work::Ranges`] works.
    pub ranges: bool,
}
