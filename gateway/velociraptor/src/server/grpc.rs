//! The calls over gRPC.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt as _, TryStreamExt as _};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use velociraptor_proto::proto;
use velociraptor_proto::proto::api_client::ApiClient;
use vfs::Timestamp;

use super::{CallError, CallResult, Facts, Server, channel};
use crate::config::ApiConfig;

/// A VFS client over one shared connection.
#[derive(Clone)]
pub(crate) struct Grpc {
    api: ApiClient<Channel>,
    address: String,
}

/// For calls that answer from the server's memory.
const SHORT: Duration = Duration::from_secs(15);
/// For calls that read tables and files, and that start flows.
const LONG: Duration = Duration::from_secs(60);
/// Answers of one query that are kept.
const MAX_QUERY_MESSAGES: usize = 10_000;

impl Grpc {
    /// Prepares the connection; it is made by the first call.
    pub(crate) fn new(config: &ApiConfig) -> Result<Grpc, String> {
        let api = ApiClient::new(channel::channel(config)?)
            .max_decoding_message_size(config.receive_limit())
            .max_encoding_message_size(4 << 20);
        Ok(Grpc { api, address: config.api_connection_string.trim().to_owned() })
    }
}

/// Gives `message` a deadline, here and on the server.
fn with_deadline<T>(message: T, deadline: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(deadline);
    request
}

/// The answer to a call that is waited for: the deadline covers the whole answer, not only its beginning.
async fn answer<T>(
    call: impl Future<Output = Result<tonic::Response<T>, Status>>,
    deadline: Duration,
) -> CallResult<T> {
    match tokio::time::timeout(deadline + Duration::from_secs(1), call).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(status.into()),
        Err(_) => Err(CallError::TimedOut),
    }
}

/// Calls once, and once more if the connection broke under it. Only for calls that change nothing.
macro_rules! read {
    ($self:ident . $method:ident ( $message:expr, $deadline:expr )) => {{
        let message = $message;
        let mut api = $self.api.clone();
        match answer(api.$method(with_deadline(message.clone(), $deadline)), $deadline).await {
            Err(CallError::Unreachable(_)) => answer(api.$method(with_deadline(message, $deadline)), $deadline).await,
            first => first,
        }
    }};
}

/// Calls once.
macro_rules! write {
    ($self:ident . $method:ident ( $message:expr )) => {{
        let mut api = $self.api.clone();
        answer(api.$method(with_deadline($message, LONG)), LONG).await
    }};
}

#[async_trait]
impl Server for Grpc {
    async fn collect(&self, request: proto::ArtifactCollectorArgs) -> CallResult<String> {
        let answer = write!(self.collect_artifact(request))?;
        if answer.flow_id.is_empty() {
            return Err(CallError::Failed("it started no flow".into()));
        }
        Ok(answer.flow_id)
    }

    async fn flow(&self, client_id: &str, flow_id: &str) -> CallResult<proto::ArtifactCollectorContext> {
        let request = proto::ApiFlowRequest {
            client_id: client_id.to_owned(),
            flow_id: flow_id.to_owned(),
            include_full_request: true,
            ..Default::default()
        };
        let answer = read!(self.get_flow_details(request, SHORT))?;
        answer.context.ok_or(CallError::NotFound)
    }

    async fn cancel(&self, client_id: &str, flow_id: &str) -> CallResult<()> {
        let request = proto::ApiFlowRequest {
            client_id: client_id.to_owned(),
            flow_id: flow_id.to_owned(),
            ..Default::default()
        };
        write!(self.cancel_flow(request)).map(|_| ())
    }

    async fn table(&self, request: proto::GetTableRequest) -> CallResult<proto::GetTableResponse> {
        read!(self.get_table(request, LONG))
    }

    async fn flows(&self, request: proto::GetTableRequest) -> CallResult<proto::GetTableResponse> {
        read!(self.get_client_flows(request, LONG))
    }

    async fn directory(&self, request: proto::GetTableRequest) -> CallResult<proto::GetTableResponse> {
        read!(self.vfs_list_directory_files(request, LONG))
    }

    async fn directory_record(&self, client_id: &str, components: Vec<String>) -> CallResult<proto::VfsListResponse> {
        let request =
            proto::VfsListRequest { client_id: client_id.to_owned(), vfs_components: components, ..Default::default() };
        read!(self.vfs_stat_directory(request, SHORT))
    }

    async fn buffer(&self, org: &str, components: &[String], offset: u64, length: u32) -> CallResult<Bytes> {
        // An empty client id and the full list: with a client id the server looks for a result file instead (§5.4).
        let request = proto::VfsFileBuffer {
            offset,
            length,
            components: components.to_vec(),
            org_id: if org == "root" { String::new() } else { org.to_owned() },
            ..Default::default()
        };
        Ok(read!(self.vfs_get_buffer(request, LONG))?.data)
    }

    async fn clients(&self, _org: &str, offset: u64, limit: u64) -> CallResult<proto::SearchClientsResponse> {
        let request = proto::SearchClientsRequest { offset, limit, query: "all".into(), ..Default::default() };
        read!(self.list_clients(request, LONG))
    }

    async fn client(&self, client_id: &str, lightweight: bool) -> CallResult<proto::ApiClient> {
        let request = proto::GetClientRequest { client_id: client_id.to_owned(), lightweight, update_mru: false };
        read!(self.get_client(request, SHORT))
    }

    async fn user(&self, _org: &str) -> CallResult<proto::ApiUser> {
        read!(self.get_user_ui_traits((), SHORT))
    }

    async fn artifacts(&self, _org: &str, names: &[&str]) -> CallResult<Vec<String>> {
        let request = proto::GetArtifactsRequest {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            fields: Some(proto::FieldSelector { name: true, ..Default::default() }),
            ..Default::default()
        };
        let answer = read!(self.get_artifacts(request, LONG))?;
        Ok(answer.items.into_iter().map(|item| item.name).collect())
    }

    async fn install(&self, yaml: &str) -> CallResult<()> {
        let request = proto::SetArtifactRequest { artifact: yaml.to_owned(), ..Default::default() };
        let answer = write!(self.set_artifact_file(request))?;
        if answer.error {
            return Err(CallError::Failed(super::failure::without_paths(&answer.error_message)));
        }
        Ok(())
    }

    async fn facts(&self) -> CallResult<Facts> {
        let query = "SELECT config.version.version AS Version FROM scope()";
        let request = proto::VqlCollectorArgs {
            query: vec![proto::VqlRequest { vql: query.to_owned(), name: "raptorgate".into() }],
            max_row: 1000,
            max_wait: 1,
            timeout: SHORT.as_secs(),
            ..Default::default()
        };
        let mut api = self.api.clone();
        let answers = api.query(with_deadline(request, SHORT)).await?.into_inner();
        let answers: Vec<proto::VqlResponse> = answers.take(MAX_QUERY_MESSAGES).try_collect().await?;
        let stamped = answers.iter().map(|answer| answer.timestamp).find(|time| *time != 0);
        let version = answers.iter().find_map(|answer| version(&answer.response));
        Ok(Facts { version, time: stamped.map(Timestamp::from_micros) })
    }

    fn completions(&self) -> BoxStream<'static, CallResult<Bytes>> {
        let mut api = self.api.clone();
        let request = proto::EventRequest {
            queue: "System.Flow.Completion".into(),
            watcher_name: "raptorgate".into(),
            ..Default::default()
        };
        // The server sends no headers before the first event, so the call itself must not be waited for here.
        let events = async move { Ok::<_, Status>(api.watch_event(request).await?.into_inner()) };
        futures_util::stream::once(events).try_flatten().map(|event| Ok(Bytes::from(event?.jsonl))).boxed()
    }

    async fn health(&self) -> CallResult<()> {
        let mut api = self.api.clone();
        let request = with_deadline(proto::HealthCheckRequest::default(), SHORT);
        match tokio::time::timeout(SHORT, api.check(request)).await {
            Ok(Ok(_)) => Ok(()),
            // Older than `Check`: it answered.
            Ok(Err(status)) if status.code() == Code::Unimplemented => Ok(()),
            Ok(Err(status)) => Err(status.into()),
            Err(_) => Err(CallError::TimedOut),
        }
    }

    fn advice(&self, error: &CallError) -> String {
        super::advice::advice(&self.address, error)
    }
}

/// The version in the rows of an answer.
fn version(rows: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Row {
        #[serde(rename = "Version")]
        version: Option<String>,
    }
    let rows: Vec<Row> = serde_json::from_str(rows).unwrap_or_default();
    rows.into_iter().find_map(|row| row.version).filter(|version| !version.is_empty())
}
