//! Who asks, through which protocol, and why: what every call carries (rooms other than `access` only pass it on).

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::endpoint::EndpointId;
use crate::error::Result;
use crate::name::Profile;
use crate::timestamp::Timestamp;

/// Somebody who may ask. Made by `access`; opaque to everybody else.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Principal {
    name: Arc<str>,
}

impl Principal {
    /// A principal of this name.
    pub fn new(name: impl Into<Arc<str>>) -> Principal {
        Principal { name: name.into() }
    }

    /// The name as it stands in the ledger and in the flow's request.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Why a flow was started, in words for the audit: protocol, call and path.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Reason(pub Arc<str>);

/// The way a call came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// NFSv3.
    Nfs,
    /// WebDAV and plain HTTP GET.
    Webdav,
    /// The browser pages.
    Browser,
    /// The JSON API and the program's verbs.
    Api,
    /// The gateway itself (refresh in the background, read-ahead).
    Gateway,
}

/// How far a caller is known to read, so that what he needs comes in as few deliveries as possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    /// Not known: what he asks for, and more as he goes on.
    Parts,
    /// On to this offset.
    UpTo(u64),
    /// All of the file: it is collected whole, or refused.
    Whole,
}

/// One call of one client: who asks, from where, and how long that client bears silence.
#[derive(Debug, Clone)]
pub struct Call {
    /// Who asks.
    pub principal: Principal,
    /// Where the call came in.
    pub protocol: Protocol,
    /// Address of the peer, if it came over IP.
    pub peer: Option<IpAddr>,
    /// How long the answer may be held back before `Later` is the better answer.
    pub hold: Duration,
    /// How names are spelled for this client.
    pub profile: Profile,
    /// Explicit wish of a person (`collect`, a button): size caps of automatic collection do not apply.
    pub explicit: bool,
    /// It comes through `/frozen`: what is known answers, whatever its age; nothing is looked at again (D11).
    pub frozen: bool,
    /// How far this caller is known to read.
    pub reads: Reads,
}

impl Call {
    /// A call by `principal` through `protocol`, with a hold budget, not explicit.
    pub fn new(principal: Principal, protocol: Protocol, hold: Duration) -> Call {
        Call {
            principal,
            protocol,
            peer: None,
            hold,
            profile: Profile::Posix,
            explicit: false,
            frozen: false,
            reads: Reads::Parts,
        }
    }
}

/// What a demand would cost the endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spend {
    /// One listing flow.
    Listing,
    /// A collection of this many bytes (as listed).
    Collection {
        /// Bytes, as the listing says.
        bytes: u64,
    },
}

/// Judges whether a demand may spend flows and bytes of an endpoint. Implemented by `access`.
#[async_trait]
pub trait Admission: Send + Sync + 'static {
    /// Whether `call` may spend `spend` on `endpoint` for `path`.
    ///
    /// # Errors
    /// `Denied` or `Budget`, with the reason.
    async fn admit(&self, call: &Call, endpoint: &EndpointId, path: &str, spend: &Spend) -> Result<()>;

    /// What [`Admission::admit`] would say to so many collections of so many bytes together. Spends nothing and records nothing.
    ///
    /// # Errors
    /// As [`Admission::admit`].
    async fn would_admit(&self, call: &Call, endpoint: &EndpointId, flows: u64, bytes: u64) -> Result<()>;
}

/// Something that happened and belongs into the ledger.
#[derive(Debug, Clone, serde::Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A flow was started.
    FlowStarted {
        /// When.
        at: Timestamp,
        /// For whom.
        principal: Arc<str>,
        /// Which endpoint.
        endpoint: Arc<str>,
        /// The job (flow id).
        job: Arc<str>,
        /// Why.
        reason: Arc<str>,
    },
    /// A flow was taken back.
    FlowCancelled {
        /// When.
        at: Timestamp,
        /// Which endpoint.
        endpoint: Arc<str>,
        /// The job (flow id).
        job: Arc<str>,
        /// Why, and by whom if somebody did it.
        reason: Arc<str>,
    },
    /// A demand was refused.
    Refused {
        /// When.
        at: Timestamp,
        /// To whom.
        principal: Arc<str>,
        /// Which endpoint.
        endpoint: Arc<str>,
        /// Which path.
        path: Arc<str>,
        /// Why.
        reason: Arc<str>,
    },
    /// A file's content was opened for reading (coalesced per version and principal).
    Read {
        /// When the first read of this run came.
        at: Timestamp,
        /// By whom.
        principal: Arc<str>,
        /// Through which protocol.
        protocol: Protocol,
        /// From which address.
        peer: Option<IpAddr>,
        /// Which endpoint.
        endpoint: Arc<str>,
        /// Which path.
        path: Arc<str>,
        /// The flow whose upload was served.
        flow: Arc<str>,
    },
}

/// Takes events for the ledger. Implemented by `access`.
pub trait Recorder: Send + Sync + 'static {
    /// Records `event`. Must not block on the disk.
    fn record(&self, event: Event);
}
