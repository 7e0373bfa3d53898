//! The face of the room: everything a front end calls.
//!
//! Methods ending in `_now` answer from memory, never wait, never block and allocate nothing but the answer; `None` means "ask the
//! `async` form", which may wait up to `call.hold` and then says `Later`.

mod attributes;
mod inner;
mod list;
mod lookup;
mod resolve;
mod view;
mod watch;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::BoxStream;

pub(crate) use inner::Inner;

use crate::attributes::Attributes;
use crate::backend::Backend;
use crate::clock::Clock;
use crate::endpoint::{Endpoint, EndpointId};
use crate::error::Result;
use crate::freshness::Freshness;
use crate::listing::Listing;
use crate::node::{HANDLE_BYTES, Keys, Node};
use crate::principal::{Admission, Call, Event, Recorder};
use crate::settings::Settings;
use crate::store::{Store, Usage};
use crate::timestamp::Timestamp;
use crate::tree::Budget;

/// What the VFS is made of.
pub struct Parts {
    /// Reaches endpoints.
    pub backend: Arc<dyn Backend>,
    /// What survives a restart.
    pub store: Arc<dyn Store>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// What handles are made with.
    pub keys: Keys,
    /// Judges demands that cost an endpoint something.
    pub admission: Arc<dyn Admission>,
    /// Takes events for the ledger.
    pub recorder: Arc<dyn Recorder>,
    /// How to behave.
    pub settings: Settings,
}

/// The virtual file system. Cheap to clone.
#[derive(Clone)]
pub struct Vfs {
    pub(crate) inner: Arc<Inner>,
}

/// Content as READ serves it.
#[derive(Debug, Clone)]
pub struct Data {
    /// The bytes, in order, shared with the cache.
    pub segments: Vec<Bytes>,
    /// They reach the end of the content.
    pub eof: bool,
    /// Attributes of the version that was read.
    pub attributes: Attributes,
}

impl Data {
    /// Number of bytes.
    pub fn len(&self) -> usize {
        self.segments.iter().map(Bytes::len).sum()
    }

    fn seen_from(mut self, node: &Node) -> Data {
        self.attributes = node.sees(self.attributes);
        self
    }

    /// No bytes: at or past the end.
    pub fn is_empty(&self) -> bool {
        self.segments.iter().all(Bytes::is_empty)
    }
}

/// An object and what is known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// The object.
    pub node: Node,
    /// Its attributes.
    pub attributes: Attributes,
}

/// News of a refresh or a collection that somebody watches.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "progress", rename_all = "snake_case")]
pub enum Progress {
    /// Queued, waiting for the endpoint.
    Queued {
        /// The job (flow id), if one was started; `None` if it joined one or needs none.
        job: Option<Arc<str>>,
    },
    /// The endpoint has it.
    Delivered,
    /// So far.
    Running {
        /// Rows listed.
        rows: u64,
        /// Bytes collected.
        bytes: u64,
    },
    /// Done.
    Done {
        /// In words.
        message: Arc<str>,
    },
    /// Failed.
    Failed {
        /// In words.
        message: Arc<str>,
    },
}

/// An endpoint as status pages show it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct EndpointStatus {
    /// What the server says of it.
    #[serde(flatten)]
    pub endpoint: Endpoint,
    /// Connected, as far as is known.
    pub online: bool,
    /// Jobs of the gateway that are under way on it.
    pub jobs: usize,
    /// When it is expected to take work again, if work waits for that (a receive token).
    pub takes_work_at: Option<Timestamp>,
    /// What is believed of its receive tokens.
    pub budget: Budget,
}

/// One piece of work under way, or one that ended lately.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Activity {
    /// The job (flow id), once it has one.
    pub job: Option<Arc<str>>,
    /// The endpoint.
    pub endpoint: Arc<str>,
    /// What is listed or collected.
    pub path: String,
    /// `list` or `collect`.
    pub work: &'static str,
    /// For whom.
    pub principal: Arc<str>,
    /// Since when.
    pub started: Timestamp,
    /// It waits for the endpoint to take work again (a receive token), which is expected then.
    pub waits_until: Option<Timestamp>,
    /// It waits on the server until its endpoint is back, at most until then.
    pub queued_until: Option<Timestamp>,
    /// Rows so far.
    pub rows: u64,
    /// Bytes so far.
    pub bytes: u64,
    /// The end, in words; `None` while it runs.
    pub ended: Option<Arc<str>>,
}

impl Vfs {
    /// A VFS of these parts. Must be called inside a tokio runtime: it starts to follow the server's endpoints.
    ///
    /// # Errors
    /// `Backend` if the store cannot be read.
    pub fn new(parts: Parts) -> Result<Vfs> {
        Ok(Vfs { inner: Inner::start(parts)? })
    }

    /// All endpoints.
    pub fn endpoints(&self) -> Vec<EndpointStatus> {
        self.inner.endpoint_statuses()
    }

    /// Whether names below the object's endpoint ignore case; false above the endpoints.
    pub fn ignores_case(&self, node: &Node) -> bool {
        self.inner.system_of(node.export).ignores_case()
    }

    /// How much the store holds.
    ///
    /// # Errors
    /// `Backend` if the disk fails.
    pub fn usage(&self) -> Result<Usage> {
        self.inner.store.usage()
    }

    /// Work under way and work that ended lately, newest first.
    pub fn activity(&self) -> Vec<Activity> {
        self.inner.activities.list()
    }

    /// All that is known of an object, for people and tools: exact times, real mode, raw link, copies, hashes, flow, by whom (D20).
    ///
    /// # Errors
    /// `Stale` if it is gone for good.
    pub async fn provenance(&self, node: &Node) -> Result<serde_json::Value> {
        self.inner.provenance(node).await
    }

    /// The 64 bytes that name `node`, for ever.
    pub fn handle(&self, node: &Node) -> [u8; HANDLE_BYTES] {
        self.inner.keys.encode(node)
    }

    /// Verifies a handle.
    ///
    /// # Errors
    /// `Invalid` or `Stale`, see [`crate::node::Keys::decode`].
    pub fn node(&self, handle: &[u8]) -> Result<Node> {
        self.inner.keys.decode(handle)
    }

    /// What the nodes of an endpoint have as their export.
    pub fn export(&self, endpoint: &EndpointId) -> u64 {
        self.inner.keys.export(endpoint)
    }

    /// Attributes from the last known listing of any age (D35).
    pub fn attributes_now(&self, node: &Node) -> Option<Result<Attributes>> {
        Some(self.inner.attributes_now(node)?.map(|attributes| node.sees(attributes)))
    }

    /// Attributes, waiting only for a size that nothing but reading tells (D7).
    ///
    /// # Errors
    /// `Stale` if the object is gone for good.
    pub async fn attributes(&self, node: &Node, call: &Call) -> Result<Attributes> {
        self.inner.attributes(node, &node.of(call)).await.map(|attributes| node.sees(attributes))
    }

    /// The child called `name` (spelled in `call.profile`), if the answer is in memory (D35).
    pub fn lookup_now(&self, directory: &Node, name: &str, call: &Call) -> Option<Result<Found>> {
        Some(self.inner.lookup_now(directory, name, &directory.of(call))?.and_then(|found| directory.leads_to(found)))
    }

    /// The child called `name` (spelled in `call.profile`); `.` and `..` are the front end's business ([`Vfs::parent`]).
    ///
    /// # Errors
    /// `Absent` only by a fresh listing, `Later`, `Offline`, …
    pub async fn lookup(&self, directory: &Node, name: &str, call: &Call) -> Result<Found> {
        directory.leads_to(self.inner.lookup(directory, name, &directory.of(call)).await?)
    }

    /// The directory that holds `node`; `/` for `/`.
    ///
    /// # Errors
    /// `Stale` if it is gone for good.
    pub async fn parent(&self, node: &Node) -> Result<Found> {
        node.leads_to(self.inner.parent(node).await?)
    }

    /// The listing to serve, if it is in memory and needs no waiting. May start a refresh in the background.
    pub fn list_now(&self, directory: &Node, call: &Call) -> Option<Result<Listing>> {
        Some(self.inner.list_now(directory, &directory.of(call))?.map(|listing| listing.seen_from(directory)))
    }

    /// The listing to serve to a reader who begins (D35).
    ///
    /// # Errors
    /// `Later`, `Offline`, `Denied`, `NotDirectory`, …; never an empty listing for a failure.
    pub async fn list(&self, directory: &Node, call: &Call) -> Result<Listing> {
        self.inner.list_directory(directory, &directory.of(call)).await.map(|listing| listing.seen_from(directory))
    }

    /// The listing of an earlier generation, for a reader who goes on (D28). If that is truly gone, the newest, with
    /// [`Listing::generation`] telling so.
    pub fn list_at_now(&self, directory: &Node, generation: u32) -> Option<Result<Listing>> {
        Some(self.inner.list_at_now(directory, generation)?.map(|listing| listing.seen_from(directory)))
    }

    /// As [`Vfs::list_at_now`], reading from the store if need be.
    ///
    /// # Errors
    /// As [`Vfs::list`].
    pub async fn list_at(&self, directory: &Node, generation: u32, call: &Call) -> Result<Listing> {
        self.inner.list_at(directory, generation, &directory.of(call)).await.map(|listing| listing.seen_from(directory))
    }

    /// Content from memory.
    pub fn read_now(&self, file: &Node, offset: u64, length: u32, call: &Call) -> Option<Result<Data>> {
        Some(self.inner.read_now(file, offset, length, &file.of(call))?.map(|data| data.seen_from(file)))
    }

    /// Content, collecting the file if need be. Short only at the end of the content.
    ///
    /// # Errors
    /// See D19.
    pub async fn read(&self, file: &Node, offset: u64, length: u32, call: &Call) -> Result<Data> {
        self.inner.read(file, offset, length, &file.of(call)).await.map(|data| data.seen_from(file))
    }

    /// Writes a refusal by a front end into the ledger.
    pub fn record_refusal(&self, node: &Node, path: &str, call: &Call, reason: &str) {
        let Ok(endpoint) = self.inner.endpoint_of(node.export) else { return };
        self.inner.recorder.record(Event::Refused {
            at: self.inner.clock.now(),
            principal: call.principal.name().into(),
            endpoint: endpoint.endpoint().id.client_id.clone(),
            path: path.into(),
            reason: reason.into(),
        });
    }

    /// The target of a link as it is safe to serve (D1).
    ///
    /// # Errors
    /// `Unsupported` if it is none.
    pub async fn read_link(&self, link: &Node) -> Result<String> {
        self.inner.read_link(link).await
    }

    /// Walks from `/` along `names` (spelled in `call.profile`), following links on the way and, if `follow`, at the end.
    ///
    /// # Errors
    /// As [`Vfs::lookup`].
    pub async fn resolve(&self, names: &[&str], follow: bool, call: &Call) -> Result<Found> {
        self.inner.resolve(names, follow, call).await
    }

    /// What is known of a directory's listing.
    ///
    /// # Errors
    /// `NotDirectory`, `Stale`.
    pub async fn freshness(&self, directory: &Node) -> Result<Freshness> {
        self.inner.freshness(directory).await
    }

    /// Lists a directory anew, `depth` further levels too, and tells how it goes. Goes on if the stream is dropped.
    pub fn refresh(&self, directory: &Node, depth: u32, call: &Call) -> BoxStream<'static, Progress> {
        self.inner.watch_refresh(directory, depth, call)
    }

    /// Takes back the job (flow) called `job`, which is under way: whoever waits for it is told so.
    ///
    /// # Errors
    /// `Absent` if no such job of this gateway is under way, `Backend` if the server refuses.
    pub async fn cancel(&self, job: &str, call: &Call) -> Result<()> {
        self.inner.cancel(job, call).await
    }

    /// Collects a file whole and tells how it goes. Goes on if the stream is dropped.
    pub fn collect(&self, file: &Node, call: &Call) -> BoxStream<'static, Progress> {
        self.inner.watch_collect(file, call)
    }
}
