//! A server in memory, for tests of what the driver does with its answers: time can be paused.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use tokio::sync::broadcast;
use velociraptor_proto::proto;

use super::{CallError, CallResult, Facts, Server};

/// Tables by flow and by source or type.
type Tables = HashMap<(String, String), proto::GetTableResponse>;

/// The state is set by the test.
pub(crate) struct FakeServer {
    pub(crate) flows: Mutex<HashMap<String, proto::ArtifactCollectorContext>>,
    tables: Mutex<Tables>,
    pub(crate) record: Mutex<proto::VfsListResponse>,
    pub(crate) clients: Mutex<Vec<proto::ApiClient>>,
    events: broadcast::Sender<Bytes>,
    /// The right ANY_QUERY.
    pub(crate) may_watch: AtomicBool,
    /// All calls fail as if there were no connection.
    pub(crate) down: AtomicBool,
    /// Longer pages are too long.
    pub(crate) most_rows: AtomicU64,
    calls: Mutex<Vec<&'static str>>,
    pub(crate) collected: Mutex<Vec<proto::ArtifactCollectorArgs>>,
}

pub(crate) const CLIENT: &str = "C.834f277e797daf83";
/// The key under which the directory's own table is kept.
pub(crate) const DIRECTORY: &str = "DIRECTORY";
/// The key under which the list of flows is kept.
pub(crate) const FLOWS: &str = "FLOWS";

impl FakeServer {
    pub(crate) fn new() -> FakeServer {
        FakeServer {
            flows: Mutex::default(),
            tables: Mutex::default(),
            record: Mutex::default(),
            clients: Mutex::default(),
            events: broadcast::channel(16).0,
            may_watch: AtomicBool::new(true),
            down: AtomicBool::new(false),
            most_rows: AtomicU64::new(u64::MAX),
            calls: Mutex::default(),
            collected: Mutex::default(),
        }
    }

    pub(crate) fn set_flow(&self, context: proto::ArtifactCollectorContext) {
        self.flows.lock().unwrap().insert(context.session_id.clone(), context);
    }

    pub(crate) fn set_table(&self, flow_id: &str, source: &str, table: proto::GetTableResponse) {
        self.tables.lock().unwrap().insert((flow_id.into(), source.into()), table);
    }

    /// Tells everybody that the flow is over, as `System.Flow.Completion` does.
    pub(crate) fn tell_end(&self, flow_id: &str) {
        let context = self.flows.lock().unwrap()[flow_id].clone();
        let event = serde_json::json!({
            "FlowId": flow_id, "ClientId": CLIENT,
            "Flow": {
                "state": context.state, "status": context.status, "start_time": context.start_time,
                "active_time": context.active_time, "artifacts_with_results": context.artifacts_with_results,
                "total_uploaded_files": context.total_uploaded_files, "total_collected_rows": context.total_collected_rows,
            },
        });
        self.events.send(Bytes::from(event.to_string())).expect("somebody listens");
    }

    /// How often a call was made.
    pub(crate) fn calls(&self, name: &str) -> usize {
        self.calls.lock().unwrap().iter().filter(|call| **call == name).count()
    }

    fn called(&self, name: &'static str) -> CallResult<()> {
        self.calls.lock().unwrap().push(name);
        if self.down.load(Ordering::Relaxed) {
            return Err(CallError::Unreachable("connection refused".into()));
        }
        Ok(())
    }

    fn page(&self, key: (String, String), request: &proto::GetTableRequest) -> CallResult<proto::GetTableResponse> {
        let tables = self.tables.lock().unwrap();
        let Some(table) = tables.get(&key) else {
            return Ok(proto::GetTableResponse { total_rows: -1, ..Default::default() });
        };
        let start = usize::try_from(request.start_row).unwrap();
        let rows: Vec<_> =
            table.rows.iter().skip(start).take(usize::try_from(request.rows).unwrap()).cloned().collect();
        if rows.len() as u64 > self.most_rows.load(Ordering::Relaxed) {
            return Err(CallError::TooLong);
        }
        Ok(proto::GetTableResponse {
            columns: table.columns.clone(),
            total_rows: i64::try_from(table.rows.len()).unwrap(),
            rows,
            ..Default::default()
        })
    }
}

#[async_trait]
impl Server for FakeServer {
    async fn collect(&self, request: proto::ArtifactCollectorArgs) -> CallResult<String> {
        self.called("collect")?;
        let mut collected = self.collected.lock().unwrap();
        if !request.client_id.starts_with(CLIENT) {
            return Err(CallError::NotFound);
        }
        collected.push(request);
        Ok(format!("F.{:013}", collected.len()))
    }

    async fn flow(&self, _client_id: &str, flow_id: &str) -> CallResult<proto::ArtifactCollectorContext> {
        self.called("flow")?;
        self.flows.lock().unwrap().get(flow_id).cloned().ok_or(CallError::NotFound)
    }

    async fn cancel(&self, _client_id: &str, flow_id: &str) -> CallResult<()> {
        self.called("cancel")?;
        if let Some(flow) = self.flows.lock().unwrap().get_mut(flow_id) {
            flow.state = 3;
            flow.status = "Cancelled by test".into();
        }
        Ok(())
    }

    async fn table(&self, request: proto::GetTableRequest) -> CallResult<proto::GetTableResponse> {
        self.called("table")?;
        let source = if request.artifact.is_empty() { &request.r#type } else { &request.artifact };
        self.page((request.flow_id.clone(), source.clone()), &request)
    }

    async fn flows(&self, request: proto::GetTableRequest) -> CallResult<proto::GetTableResponse> {
        self.called("flows")?;
        self.page((FLOWS.into(), FLOWS.into()), &request)
    }

    async fn directory(&self, request: proto::GetTableRequest) -> CallResult<proto::GetTableResponse> {
        self.called("directory")?;
        self.page((DIRECTORY.into(), DIRECTORY.into()), &request)
    }

    async fn directory_record(&self, _client_id: &str, _components: Vec<String>) -> CallResult<proto::VfsListResponse> {
        self.called("record")?;
        Ok(self.record.lock().unwrap().clone())
    }

    async fn buffer(&self, _org: &str, components: &[String], offset: u64, length: u32) -> CallResult<Bytes> {
        self.called("buffer")?;
        // The content: 2.5 MiB, of which each call gives at most 600,000 bytes.
        if components.last().is_none_or(|name| name == "absent") {
            return Err(CallError::NotFound);
        }
        let end = (5 << 19).min(offset + u64::from(length.min(600_000)));
        #[allow(clippy::cast_possible_truncation)] // a pattern
        Ok((offset..end.max(offset)).map(|at| (at % 251) as u8).collect())
    }

    async fn clients(&self, _org: &str, offset: u64, limit: u64) -> CallResult<proto::SearchClientsResponse> {
        self.called("clients")?;
        let clients = self.clients.lock().unwrap();
        let skip = usize::try_from(offset).unwrap();
        let items = clients.iter().skip(skip).take(usize::try_from(limit).unwrap() + 1).cloned().collect();
        Ok(proto::SearchClientsResponse { items, total: clients.len() as u64, ..Default::default() })
    }

    async fn client(&self, client_id: &str, _lightweight: bool) -> CallResult<proto::ApiClient> {
        self.called("client")?;
        let clients = self.clients.lock().unwrap();
        Ok(clients.iter().find(|client| client.client_id == client_id).cloned().unwrap_or_default())
    }

    async fn user(&self, _org: &str) -> CallResult<proto::ApiUser> {
        self.called("user")?;
        Ok(proto::ApiUser::default())
    }

    async fn artifacts(&self, _org: &str, _names: &[&str]) -> CallResult<Vec<String>> {
        self.called("artifacts")?;
        Ok(Vec::new())
    }

    async fn install(&self, _yaml: &str) -> CallResult<()> {
        self.called("install")
    }

    async fn facts(&self) -> CallResult<Facts> {
        self.called("facts")?;
        Ok(Facts::default())
    }

    fn completions(&self) -> BoxStream<'static, CallResult<Bytes>> {
        if let Err(error) = self.called("completions") {
            return futures_util::stream::iter([Err(error)]).boxed();
        }
        if !self.may_watch.load(Ordering::Relaxed) {
            return futures_util::stream::iter([Err(CallError::Denied("no".into()))]).boxed();
        }
        let events = self.events.subscribe();
        futures_util::stream::unfold(events, |mut events| async move {
            events.recv().await.ok().map(|event| (Ok(event), events))
        })
        .boxed()
    }

    async fn health(&self) -> CallResult<()> {
        self.called("health")
    }

    fn advice(&self, error: &CallError) -> String {
        error.to_string()
    }
}

/// A message of a real server (`tests/fixtures`).
pub(crate) fn fixture<T: prost::Message + Default>(name: &str) -> T {
    let path = format!("{}/tests/fixtures/{name}.bin", env!("CARGO_MANIFEST_DIR"));
    T::decode(std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}")).as_slice()).unwrap()
}

/// The context of a flow of a real server.
pub(crate) fn flow(name: &str) -> proto::ArtifactCollectorContext {
    fixture::<proto::FlowDetails>(name).context.unwrap()
}
