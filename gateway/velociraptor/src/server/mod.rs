//! What the driver asks of a Velociraptor server: a private trait, so that the transport is one choice in one place.
//!
//! [`Grpc`] is the API port, [`Gui`] the HTTP API of the GUI for servers whose API port cannot be reached (D38).

mod advice;
mod channel;
mod failure;
#[cfg(test)]
pub(crate) mod fake;
mod grpc;
mod http;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use velociraptor_proto::proto;
use vfs::Timestamp;

pub(crate) use failure::CallError;
pub(crate) use grpc::Grpc;
pub(crate) use http::Gui;

/// Result of one call.
pub(crate) type CallResult<T> = Result<T, CallError>;

/// What the server says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Its version.
    pub(crate) version: Option<String>,
    /// What time it is there.
    pub(crate) time: Option<Timestamp>,
}

/// The calls, in the server's own words. Every call has a deadline.
#[async_trait]
pub(crate) trait Server: Send + Sync + 'static {
    /// Starts a flow; its id (§6.1).
    async fn collect(&self, request: proto::ArtifactCollectorArgs) -> CallResult<String>;
    /// State of a flow, with the whole request (§6.2).
    async fn flow(&self, client_id: &str, flow_id: &str) -> CallResult<proto::ArtifactCollectorContext>;
    /// Takes a flow back (§6.4).
    async fn cancel(&self, client_id: &str, flow_id: &str) -> CallResult<()>;
    /// A page of a flow's table (§4.5 (d), §5.3).
    async fn table(&self, request: proto::GetTableRequest) -> CallResult<proto::GetTableResponse>;
    /// A page of the flows of a client, of all users and hunts (§6.6).
    async fn flows(&self, request: proto::GetTableRequest) -> CallResult<proto::GetTableResponse>;
    /// A page of a directory as the server's VFS has it, with download states (§4.5 (b)).
    async fn directory(&self, request: proto::GetTableRequest) -> CallResult<proto::GetTableResponse>;
    /// The record of a directory; the first component is the accessor (§4.5 (a)).
    async fn directory_record(&self, client_id: &str, components: Vec<String>) -> CallResult<proto::VfsListResponse>;
    /// Bytes of a file of the server's file store; empty at or past its end (§5.4).
    async fn buffer(&self, org: &str, components: &[String], offset: u64, length: u32) -> CallResult<Bytes>;
    /// Organisations that we may ask this way (§11).
    async fn orgs(&self) -> CallResult<Vec<String>> {
        Ok(vec!["root".to_owned()])
    }
    /// Whether endpoints of an organisation can be asked this way.
    fn reaches(&self, org: &str) -> bool {
        org == "root"
    }
    /// A page of the clients of an organisation (§9).
    async fn clients(&self, org: &str, offset: u64, limit: u64) -> CallResult<proto::SearchClientsResponse>;
    /// One client; asks whether it is connected right now unless `lightweight` (§7.2).
    async fn client(&self, client_id: &str, lightweight: bool) -> CallResult<proto::ApiClient>;
    /// Who we are in an organisation (§1.5).
    async fn user(&self, org: &str) -> CallResult<proto::ApiUser>;
    /// Which of the artifacts `names` an organisation has.
    async fn artifacts(&self, org: &str, names: &[&str]) -> CallResult<Vec<String>>;
    /// Installs an artifact from its definition.
    async fn install(&self, yaml: &str) -> CallResult<()>;
    /// Version and clock, as far as we may know them.
    async fn facts(&self) -> CallResult<Facts>;
    /// Ends of flows, for as long as the server sends them (§6.3): one JSON object each.
    fn completions(&self) -> BoxStream<'static, CallResult<Bytes>>;
    /// Whether [`Server::completions`] can give anything: else flows are polled.
    fn tells_ends(&self) -> bool {
        true
    }
    /// Whether the server answers at all and takes us for somebody.
    async fn health(&self) -> CallResult<()>;
    /// What a user has to do about the failure of [`Server::health`] or [`Server::user`]: one sentence.
    fn advice(&self, error: &CallError) -> String;
}
