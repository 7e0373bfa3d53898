//! The `Store` trait: what survives a restart. Implemented by the room `store` and by `testing::MemoryStore`.
//!
//! All methods block for a short time (a point read, a batch write); the VFS calls those that move megabytes from blocking threads.
//! Directory identities are never evicted (D33): without them a handle cannot be resolved.

use std::sync::Arc;

use bytes::Bytes;

use crate::backend::{Cause, ContentLocation, Job, Observation};
pub use crate::collected::{Collected, Digests, FileAsListed, FileRecord, HeldRange, InRanges};
use crate::endpoint::{Endpoint, EndpointId};
use crate::error::Result;
use crate::node::Identity;
use crate::path::EndpointPath;
use crate::timestamp::Timestamp;

/// Contents are kept in chunks of this many bytes; only the last chunk of a content is shorter.
pub const CHUNK_BYTES: usize = 1 << 20;

/// Key of a directory: export and `H(own)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DirectoryKey {
    /// Export, 0 above the endpoints.
    pub export: u64,
    /// Identity.
    pub own: Identity,
}

/// What is kept of a directory.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DirectoryRecord {
    /// Identity of the directory that holds it, as 32 hex digits.
    pub parent: IdentityText,
    /// Where it is; how it can be listed again.
    pub place: Place,
    /// Number of the current listing; 0: never listed. Counts up, never repeats.
    pub generation: u32,
    /// When and by which job the current listing was seen.
    pub listing: Option<ListingRecord>,
    /// The last attempt failed, if it came after the current listing.
    pub failure: Option<FailureRecord>,
}

/// An identity as text, for records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdentityText(pub Identity);

impl serde::Serialize for IdentityText {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:032x}", self.0.0))
    }
}

impl<'de> serde::Deserialize<'de> for IdentityText {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        let value = u128::from_str_radix(&text, 16).map_err(serde::de::Error::custom)?;
        Ok(IdentityText(Identity(value)))
    }
}

/// What a directory is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// `/`: the endpoints. Never stored.
    Root,
    /// `/by-name`: the endpoints by host name. Never stored.
    ByName,
    /// A directory of an endpoint (an accessor's root included).
    Endpoint(EndpointPath),
    /// `/C.xxxx`: the accessors.
    Accessors(EndpointId),
    /// `/C.xxxx/collected`: the jobs that uploaded something, whoever started them (D9).
    Collected(EndpointId),
    /// A directory of what one job uploaded.
    Uploads(UploadsPlace),
    /// `.raptorgate` of the directory with this identity.
    Meta {
        /// The directory that it tells about.
        of: IdentityText,
    },
    /// `.raptorgate/file` of the directory with this identity.
    MetaFiles {
        /// The directory that it tells about.
        of: IdentityText,
    },
    /// `/org`: the organisations that have endpoints. Never stored.
    Orgs,
    /// `/org/ID`: the endpoints of an organisation. Never stored.
    Org(Arc<str>),
}

/// Where a directory of a job's uploads is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct UploadsPlace {
    /// The job.
    pub job: Job,
    /// Name of the job's directory in `collected`.
    pub name: Arc<str>,
    /// Names below it: the accessor, then its components, as the tree has them.
    pub below: Vec<Arc<str>>,
    /// Where the server keeps the job's uploads; those of this directory are there under the same names, if nothing else is said.
    #[serde(default)]
    pub stored: Option<ContentLocation>,
}

impl Place {
    /// Its listings are kept in the store: it is none of those that the gateway makes up from what it knows.
    pub fn is_kept(&self) -> bool {
        matches!(self, Place::Endpoint(_) | Place::Collected(_) | Place::Uploads(_))
    }

    /// It is made from the server's list of endpoints.
    pub(crate) fn lists_endpoints(&self) -> bool {
        matches!(self, Place::Root | Place::ByName | Place::Orgs | Place::Org(_))
    }
}

impl UploadsPlace {
    /// The sub-directory `name`.
    pub fn child(&self, name: &str) -> UploadsPlace {
        let mut child = self.clone();
        child.below.push(name.into());
        child
    }
}

impl std::fmt::Display for UploadsPlace {
    /// For people and the ledger only: never parsed.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "/{}/collected/{}", self.job.endpoint, self.name)?;
        self.below.iter().try_for_each(|name| write!(formatter, "/{name}"))
    }
}

/// The current listing of a directory.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ListingRecord {
    /// When and by which job.
    pub observation: Observation,
    /// Number of entries.
    pub entries: u32,
    /// What it lists cannot change any more (uploads of a job that is long over).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub settled: bool,
}

/// A failed attempt to list.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FailureRecord {
    /// When.
    pub at: Timestamp,
    /// Which job, if one was started.
    pub job: Option<Arc<str>>,
    /// What sort.
    pub cause: Cause,
    /// In words.
    pub message: Arc<str>,
}

/// A job that was queued and whose end was not seen yet.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct JobRecord {
    /// The job.
    pub job: Job,
    /// What was asked for: a directory, or a file.
    pub path: EndpointPath,
    /// It lists `path`, which is a directory.
    pub lists: bool,
    /// By whom.
    pub principal: String,
    /// If the endpoint has not taken it by then, it is taken back (D17).
    pub start_by: Timestamp,
    /// It stays until then even if nobody waits for it.
    #[serde(default)]
    pub kept: bool,
    /// It was queued for an endpoint that is away, and waits for its return.
    #[serde(default)]
    pub for_return: Option<ForReturn>,
}

/// What it takes to queue a job again that waits for the return of its endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ForReturn {
    /// Further levels of a listing.
    pub depth: u32,
    /// Bytes uploaded at most by a collection.
    pub max_upload_bytes: u64,
    /// So often it was lost on its way.
    pub lost: u32,
}

/// Key of a content in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContentKey(pub u128);

/// How much the store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Usage {
    /// Directories known by identity.
    pub directories: u64,
    /// Bytes of listings and records on disk.
    pub listing_bytes: u64,
    /// Bytes of contents on disk.
    pub content_bytes: u64,
}

/// What survives a restart.
pub trait Store: Send + Sync + 'static {
    /// The record of a directory.
    ///
    /// # Errors
    /// `Backend` if the disk fails or the record is damaged.
    fn directory(&self, key: DirectoryKey) -> Result<Option<DirectoryRecord>>;

    /// Writes records of directories, all or none.
    ///
    /// # Errors
    /// `Backend` if the disk fails.
    fn put_directories(&self, records: &[(DirectoryKey, DirectoryRecord)]) -> Result<()>;

    /// Publishes a listing: the record and its rows ([`crate::snapshot::Rows::encode`]) of `record.generation`, both or none (D33).
    /// The generation before stays readable; older ones go.
    ///
    /// # Errors
    /// `Backend` if the disk fails.
    fn publish(&self, key: DirectoryKey, record: &DirectoryRecord, rows: &[u8]) -> Result<()>;

    /// The encoded rows of one generation of a directory, `None` if they are gone.
    ///
    /// # Errors
    /// `Backend` if the disk fails.
    fn rows(&self, key: DirectoryKey, generation: u32) -> Result<Option<Bytes>>;

    /// The file records of a directory.
    ///
    /// # Errors
    /// `Backend` if the disk fails.
    fn files(&self, directory: DirectoryKey) -> Result<Vec<(Identity, FileRecord)>>;

    /// Writes the record of one file of a directory.
    ///
    /// # Errors
    /// `Backend` if the disk fails.
    fn put_file(&self, directory: DirectoryKey, own: Identity, record: &FileRecord) -> Result<()>;

    /// All directories of an endpoint with a listing, for `bodyfile` and searches. Calls `visit` until it returns false.
    ///
    /// # Errors
    /// `Backend` if the disk fails.
    fn each_directory(&self, export: u64, visit: &mut dyn FnMut(DirectoryKey, DirectoryRecord) -> bool) -> Result<()>;

    /// The endpoints known when the gateway last ran.
    ///
    /// # Errors
    /// `Backend` if the disk fails.
    fn endpoints(&self) -> Result<Vec<Endpoint>>;

    /// Writes an endpoint.
    ///
    /// # Errors
    /// `Backend` if the disk fails.
    fn put_endpoint(&self, endpoint: &Endpoint) -> Result<()>;

    /// Remembers a job.
    ///
    /// # Errors
    /// `Backend` if the disk fails.
    fn put_job(&self, record: &JobRecord) -> Result<()>;

    /// Forgets a job; one that is not known is no error.
    ///
    /// # Errors
    /// `Backend` if the disk fails.
    fn remove_job(&self, job: &Job) -> Result<()>;

    /// The jobs that are remembered. A damaged record is logged and left out: the server ends its flow by itself.
    ///
    /// # Errors
    /// `Backend` if the disk fails.
    fn jobs(&self) -> Result<Vec<JobRecord>>;

    /// One chunk of a content, verified by its checksum; `None` if it is not here. Never bytes that were not written whole.
    ///
    /// # Errors
    /// `Backend` if the disk fails. A damaged chunk is `None` and logged.
    fn chunk(&self, content: ContentKey, index: u64) -> Result<Option<Bytes>>;

    /// Writes one chunk of a content.
    ///
    /// # Errors
    /// `Backend` if the disk fails or is full.
    fn put_chunk(&self, content: ContentKey, index: u64, bytes: &[u8]) -> Result<()>;

    /// How many chunks of a content are here.
    ///
    /// # Errors
    /// `Backend` if the disk fails.
    fn chunk_count(&self, content: ContentKey) -> Result<u64>;

    /// How much the store holds.
    ///
    /// # Errors
    /// `Backend` if the disk fails.
    fn usage(&self) -> Result<Usage>;
}
