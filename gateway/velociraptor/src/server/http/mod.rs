//! The calls over the GUI's HTTP API, for servers whose API port cannot be reached (docs/velociraptor-api.md §10).
//!
//! The same calls in other clothes, but nobody tells of ended flows: they are polled.

mod answer;
mod connection;
mod exchange;
mod query;
mod refusal;
mod request;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt as _};
use serde_json::json;
use velociraptor_proto::proto;
use vfs::{EndpointId, Timestamp};

use super::{CallError, CallResult, Facts, Server};
use crate::gui_config::GuiConfig;
use answer::parse;
use exchange::Exchange;
use query::{Query, escape};

/// A VFS client of the GUI.
pub(crate) struct Gui {
    exchange: Exchange,
}

/// Says who we are: what everybody may ask.
const WHO: &str = "GetUserUITraits";
/// For calls that answer from the server's memory.
const SHORT: Duration = Duration::from_secs(15);
/// For calls that read tables and files, and that start flows.
const LONG: Duration = Duration::from_secs(60);
/// The server breaks off a longer range after this many bytes.
const MAX_RANGE: u32 = 1 << 20;

impl Gui {
    /// Prepares the connections; they are made by the calls.
    pub(crate) fn new(config: &GuiConfig) -> Result<Gui, String> {
        Ok(Gui { exchange: Exchange::new(config)? })
    }

    /// Who we are somewhere, and what time it is there.
    async fn anywhere(&self, org: &str) -> CallResult<(proto::ApiUser, Option<Timestamp>)> {
        let answer = self.exchange.get(org, WHO, &Query::default(), SHORT).await?;
        Ok((parse::<answer::User, _>(answer.json()?)?, answer.date()))
    }

    /// Who we are in an organisation. A user without rights there is silently moved to another one, whose answers must not be taken
    /// for those of the first.
    async fn who(&self, org: &str) -> CallResult<proto::ApiUser> {
        let (user, _) = self.anywhere(org).await?;
        let actual = user.interface_traits.as_ref().map_or("", |traits| traits.org.as_str());
        if matches!(actual, "") || actual == org {
            return Ok(user);
        }
        Err(CallError::Misconfigured(format!(
            "the user {name} has no rights in the organisation {org} of the server, only in others such as {actual}: grant them with \
             `velociraptor --config server.config.yaml acl grant {name} --role investigator --org {org}` on the server",
            name = user.username
        )))
    }
}

/// The organisation of a client.
fn org_of(client_id: &str) -> Arc<str> {
    EndpointId::of_client_id(client_id).org
}

#[async_trait]
impl Server for Gui {
    async fn collect(&self, request: proto::ArtifactCollectorArgs) -> CallResult<String> {
        let answer = self
            .exchange
            .post(&org_of(&request.client_id), "CollectArtifact", &request::collect(&request)?, LONG)
            .await?;
        let started: proto::ArtifactCollectorResponse = parse::<answer::Started, _>(answer.json()?)?;
        if started.flow_id.is_empty() {
            return Err(CallError::Failed("it started no flow".into()));
        }
        Ok(started.flow_id)
    }

    async fn flow(&self, client_id: &str, flow_id: &str) -> CallResult<proto::ArtifactCollectorContext> {
        let query =
            Query::default().with("client_id", client_id).with("flow_id", flow_id).flag("include_full_request", true);
        let answer = self.exchange.get(&org_of(client_id), "GetFlowDetails", &query, SHORT).await?;
        let details: proto::FlowDetails = parse::<answer::Details, _>(answer.json()?)?;
        details.context.ok_or(CallError::NotFound)
    }

    async fn cancel(&self, client_id: &str, flow_id: &str) -> CallResult<()> {
        let request = json!({ "client_id": client_id, "flow_id": flow_id });
        self.exchange.post(&org_of(client_id), "CancelFlow", &request, LONG).await?.json().map(|_| ())
    }

    async fn table(&self, request: proto::GetTableRequest) -> CallResult<proto::GetTableResponse> {
        let answer =
            self.exchange.get(&org_of(&request.client_id), "GetTable", &request::table(&request)?, LONG).await?;
        parse::<answer::Table, _>(answer.json()?)
    }

    async fn flows(&self, request: proto::GetTableRequest) -> CallResult<proto::GetTableResponse> {
        let answer =
            self.exchange.get(&org_of(&request.client_id), "GetClientFlows", &request::table(&request)?, LONG).await?;
        parse::<answer::Table, _>(answer.json()?)
    }

    async fn directory(&self, request: proto::GetTableRequest) -> CallResult<proto::GetTableResponse> {
        let answer = self
            .exchange
            .get(&org_of(&request.client_id), "VFSListDirectoryFiles", &request::table(&request)?, LONG)
            .await?;
        parse::<answer::Table, _>(answer.json()?)
    }

    async fn directory_record(&self, client_id: &str, components: Vec<String>) -> CallResult<proto::VfsListResponse> {
        let query = Query::default().with("client_id", client_id).all("vfs_components", &components);
        let answer = self.exchange.get(&org_of(client_id), "VFSStatDirectory", &query, SHORT).await?;
        parse::<answer::Record, _>(answer.json()?)
    }

    async fn buffer(&self, org: &str, components: &[String], offset: u64, length: u32) -> CallResult<Bytes> {
        // A length of 0 would be the whole file, and a longer one than the server likes is cut off.
        let length = length.min(MAX_RANGE);
        if length == 0 {
            return Ok(Bytes::new());
        }
        let query = Query::default()
            .all("fs_components", components)
            .with("org_id", if org == "root" { "" } else { org })
            .number("offset", offset)
            .number("length", length.into())
            .flag("padding", true);
        let bytes = self.exchange.get(org, "DownloadVFSFile", &query, LONG).await?.file()?;
        if bytes.len() > length as usize {
            return Err(CallError::Failed("it gives more of a file than it was asked for".into()));
        }
        Ok(bytes)
    }

    async fn orgs(&self) -> CallResult<Vec<String>> {
        let (user, _) = self.anywhere("root").await?;
        Ok(user.orgs.into_iter().map(|org| if org.id.is_empty() { "root".to_owned() } else { org.id }).collect())
    }

    fn reaches(&self, _org: &str) -> bool {
        true
    }

    async fn clients(&self, org: &str, offset: u64, limit: u64) -> CallResult<proto::SearchClientsResponse> {
        if offset == 0 {
            self.who(org).await?;
        }
        let query = Query::default().with("query", "all").number("offset", offset).number("limit", limit);
        let answer = self.exchange.get(org, "SearchClients", &query, LONG).await?;
        parse::<answer::Clients, _>(answer.json()?)
    }

    async fn client(&self, client_id: &str, lightweight: bool) -> CallResult<proto::ApiClient> {
        let mut path = "GetClient/".to_owned();
        escape(client_id, &mut path);
        let answer = self
            .exchange
            .get(&org_of(client_id), &path, &Query::default().flag("lightweight", lightweight), SHORT)
            .await?;
        parse::<answer::Client, _>(answer.json()?)
    }

    async fn user(&self, org: &str) -> CallResult<proto::ApiUser> {
        self.who(org).await
    }

    async fn artifacts(&self, org: &str, names: &[&str]) -> CallResult<Vec<String>> {
        let request = json!({ "names": names, "fields": { "name": true } });
        let answer = self.exchange.post(org, "GetArtifacts", &request, LONG).await?;
        let found: proto::ArtifactDescriptors = parse::<answer::Artifacts, _>(answer.json()?)?;
        Ok(found.items.into_iter().map(|item| item.name).collect())
    }

    async fn install(&self, yaml: &str) -> CallResult<()> {
        let answer = self.exchange.post("root", "SetArtifactFile", &json!({ "artifact": yaml }), LONG).await?;
        let answer: proto::SetArtifactResponse = parse::<answer::Installed, _>(answer.json()?)?;
        if answer.error {
            return Err(CallError::Failed(super::failure::without_paths(&answer.error_message)));
        }
        Ok(())
    }

    async fn facts(&self) -> CallResult<Facts> {
        // Only a query tells the version.
        Ok(Facts { version: None, time: self.anywhere("root").await?.1 })
    }

    fn completions(&self) -> BoxStream<'static, CallResult<Bytes>> {
        futures_util::stream::iter([Err(CallError::Unsupported)]).boxed()
    }

    fn tells_ends(&self) -> bool {
        false
    }

    async fn health(&self) -> CallResult<()> {
        self.anywhere("root").await.map(|_| ())
    }

    fn advice(&self, error: &CallError) -> String {
        self.exchange.refusals().advice(error)
    }
}
