//! What the watchers make of a server's answers; time is paused, so waiting costs none.

mod collecting;
mod deep;
mod waiting;

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use velociraptor_proto::proto;
use velociraptor_proto::proto::artifact_collector_context::State;
use vfs::backend::{Fetched, Job, JobEvent, Listed, Outcome};
use vfs::{EndpointId, EndpointPath, SystemClock};

use super::Shared;
use crate::artifacts;
use crate::flow::{Kind, Task};
use crate::server::fake::{CLIENT, FakeServer};

pub(super) const FLOW: &str = "F.DC2PDQKDQG1RO";

pub(super) struct Stage {
    pub(super) server: Arc<FakeServer>,
    pub(super) shared: Arc<Shared>,
}

#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) delivered: bool,
    pub(super) listed: Vec<Listed>,
    pub(super) fetched: Vec<Fetched>,
    pub(super) progress: Vec<(u64, u64)>,
    pub(super) outcome: Option<Outcome>,
}

impl Seen {
    fn add(&mut self, event: JobEvent) {
        match event {
            JobEvent::Delivered => self.delivered = true,
            JobEvent::Listed(listed) => self.listed.push(listed),
            JobEvent::Fetched(fetched) => self.fetched.push(fetched),
            JobEvent::Progress { rows, bytes } => self.progress.push((rows, bytes)),
            JobEvent::Ended(outcome) => self.outcome = Some(outcome),
        }
    }
}

impl Stage {
    pub(super) fn new() -> Stage {
        let server = Arc::new(FakeServer::new());
        let shared = Arc::new(Shared::new(server.clone(), Arc::new(SystemClock), "vfsgw".into()));
        Stage { server, shared }
    }

    /// A flow that this process started.
    pub(super) fn start(&self, kind: Kind) -> Job {
        let job = Job { endpoint: endpoint(), id: Arc::from(FLOW) };
        self.shared.completions.subscribe();
        self.shared.started(&job, Task { kind, by: "alice".into() });
        self.set_state(State::Running, &[]);
        job
    }

    pub(super) fn set_state(&self, state: State, sources: &[&str]) {
        self.server.set_flow(proto::ArtifactCollectorContext {
            session_id: FLOW.into(),
            client_id: CLIENT.into(),
            state: state.into(),
            create_time: 1_795_528_426_313_270,
            artifacts_with_results: sources.iter().map(ToString::to_string).collect(),
            ..Default::default()
        });
    }

    pub(super) fn set_failed(&self, status: &str, sources: &[&str]) {
        self.set_state(State::Error, sources);
        self.server.flows.lock().unwrap().get_mut(FLOW).unwrap().status = status.into();
    }

    pub(super) async fn watch(&self, job: &Job) -> Seen {
        let mut events = self.shared.watch(job);
        let mut seen = Seen::default();
        while let Some(event) = events.next().await {
            seen.add(event);
        }
        seen
    }
}

pub(super) fn endpoint() -> EndpointId {
    EndpointId::root_org(CLIENT)
}

pub(super) fn path(components: &[&str]) -> EndpointPath {
    components.iter().fold(EndpointPath::accessor_root(endpoint(), "auto"), |path, name| path.child(name).unwrap())
}

pub(super) fn table(columns: &[&str], rows: Vec<serde_json::Value>) -> proto::GetTableResponse {
    proto::GetTableResponse {
        columns: columns.iter().map(ToString::to_string).collect(),
        rows: rows.into_iter().map(|row| proto::Row { json: row.to_string(), ..Default::default() }).collect(),
        ..Default::default()
    }
}

/// Listing rows: (components, mode), numbered from 0.
pub(super) fn listing(rows: &[(&[&str], &str)]) -> proto::GetTableResponse {
    let rows = rows
        .iter()
        .enumerate()
        .map(|(index, (components, mode))| serde_json::json!([components, components.last(), 1, mode, index]));
    table(&["_Components", "Name", "Size", "Mode", "_Idx"], rows.collect())
}

/// Stats rows: (components, start, end).
pub(super) fn stats(rows: &[(&[&str], u64, u64)]) -> proto::GetTableResponse {
    let rows = rows
        .iter()
        .map(|(components, start, end)| serde_json::json!([components, "auto", {"start_idx": start, "end_idx": end}]));
    table(&["Components", "Accessor", "Stats"], rows.collect())
}

pub(super) fn finished(complaint: Option<vfs::backend::Complaint>) -> Option<Outcome> {
    Some(Outcome::Finished { complaint })
}

pub(super) fn list(directory: EndpointPath, depth: u32) -> Kind {
    Kind::List { directory, depth }
}

pub(super) const BOTH: [&str; 2] = [artifacts::LISTING, artifacts::STATS];

pub(super) async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}
