//! Clients as the server sees them: their record, their queue of tasks, and whether they are connected.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};
use velociraptor_proto::proto::artifact_collector_context::State;
use velociraptor_proto::proto::{AgentInformation, ApiClient, ArtifactCollectorArgs, Uname};

use crate::clock::Clock;
use crate::config::System;
use crate::disk;
use crate::error::Error;
use crate::identity::ids::FlowIds;
use crate::seeded;
use crate::server::flow::Flow;
use crate::server::record::Records;
use crate::timing::{Timing, Transport};

/// Version of the simulated clients and server.
pub(crate) const VERSION: &str = "0.77.2";

/// A task on its way to an endpoint.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) flow_id: String,
    pub(crate) request: ArtifactCollectorArgs,
    pub(crate) cancelled: Arc<AtomicBool>,
}

/// What never changes about a client.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    pub(crate) client_id: String,
    pub(crate) hostname: String,
    pub(crate) system: System,
    pub(crate) root: Option<PathBuf>,
    pub(crate) timing: Timing,
}

/// One client.
pub(crate) struct Client {
    pub(crate) profile: Profile,
    pub(crate) labels: Vec<String>,
    /// Microseconds since 1970 of the last message from it.
    pub(crate) last_seen: u64,
    /// Whether a connection is open right now.
    pub(crate) connected: bool,
    /// The switch: whether the endpoint can reach the server.
    pub(crate) online: watch::Sender<bool>,
    /// After a broken connection the endpoint stays away until then (microseconds since 1970).
    pub(crate) away_until: u64,
    /// Tasks that nobody has fetched.
    pub(crate) queue: VecDeque<Task>,
    /// Wakes the endpoint's connection when tasks are queued.
    pub(crate) wake: Arc<Notify>,
    pub(crate) flows: BTreeMap<String, Flow>,
    pub(crate) records: Records,
    folder: PathBuf,
    kept: Kept,
}

/// What a restart must not forget.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Kept {
    first_seen: u64,
    last_seen: u64,
    labels: Vec<String>,
}

impl Client {
    /// Opens a client's state, or enrols it. Returns whether it is new.
    pub(crate) fn open(
        folder: &Path,
        profile: Profile,
        labels: &[String],
        clock: &Clock,
        ids: &mut FlowIds,
    ) -> Result<(Self, bool), Error> {
        disk::make_folder(&folder.join("flows"))?;
        let kept_path = folder.join("client.json");
        let kept: Option<Kept> = disk::read_json(&kept_path)?;
        let is_new = kept.is_none();
        let kept = kept.unwrap_or_else(|| Kept {
            first_seen: clock.seconds(),
            last_seen: clock.micros(),
            labels: labels.to_vec(),
        });
        disk::write_json(&kept_path, &kept)?;
        let mut flows = BTreeMap::new();
        let flows_folder = folder.join("flows");
        for entry in std::fs::read_dir(&flows_folder).map_err(Error::state(&flows_folder))? {
            let entry = entry.map_err(Error::state(&flows_folder))?;
            if let Some(flow) = Flow::open(&entry.path())? {
                ids.seen(flow.id());
                flows.insert(flow.id().to_string(), flow);
            }
        }
        let client = Self {
            profile,
            labels: kept.labels.clone(),
            last_seen: kept.last_seen,
            connected: false,
            online: watch::channel(false).0,
            away_until: 0,
            queue: VecDeque::new(),
            wake: Arc::default(),
            flows,
            records: Records::open(&folder.join("vfs.jsonl"))?,
            folder: folder.to_path_buf(),
            kept,
        };
        Ok((client, is_new))
    }

    pub(crate) fn flow_folder(&self, flow_id: &str) -> PathBuf {
        self.folder.join("flows").join(flow_id)
    }

    /// Writes down labels and the last sign of life.
    pub(crate) fn save(&mut self) -> Result<(), Error> {
        self.kept.labels = self.labels.clone();
        self.kept.last_seen = self.last_seen;
        disk::write_json(&self.folder.join("client.json"), &self.kept)
    }

    /// Queues again what no endpoint has fetched; returns flows that were delivered and are lost with the process
    /// that ran them.
    pub(crate) fn resume(&mut self) -> Vec<String> {
        let mut lost = Vec::new();
        for flow in self.flows.values() {
            match flow.state() {
                State::Running => self.queue.push_back(Task {
                    flow_id: flow.id().to_string(),
                    request: flow.context.request.clone().unwrap_or_default(),
                    cancelled: Arc::clone(&flow.cancelled),
                }),
                State::Finished | State::Error => {}
                _ => lost.push(flow.id().to_string()),
            }
        }
        lost
    }

    /// Whether the server would call it connected: an open long poll, or an open websocket.
    pub(crate) fn is_connected(&self, now: u64) -> bool {
        let reachable = *self.online.borrow() && now >= self.away_until;
        reachable && (self.connected || self.profile.timing.transport == Transport::Wss)
    }

    /// The client's record. `probe` asks the notifier, which sets `last_seen_at` to now if it is connected (§7.2).
    pub(crate) fn describe(&mut self, probe: bool, now: u64) -> ApiClient {
        if probe && self.is_connected(now) {
            self.last_seen = now;
        }
        let seed = seeded::hash(1, self.profile.client_id.as_bytes());
        let in_flight = self
            .flows
            .values()
            .filter(|flow| !flow.has_ended() && flow.state() != State::Running)
            .map(|flow| (flow.id().to_string(), i64::try_from(flow.context.inflight_time).unwrap_or_default()))
            .collect();
        let release = match self.profile.system {
            System::Windows => "Microsoft Windows 11 Enterprise10.0.22631",
            System::Linux => "debian12",
            System::Darwin => "darwin23.1",
        };
        ApiClient {
            client_id: self.profile.client_id.clone(),
            agent_information: Some(AgentInformation {
                version: VERSION.to_string(),
                name: "velociraptor".to_string(),
                ..AgentInformation::default()
            }),
            os_info: Some(Uname {
                system: self.profile.system.word().to_string(),
                hostname: self.profile.hostname.clone(),
                release: release.to_string(),
                machine: "amd64".to_string(),
                fqdn: format!("{}.example.test", self.profile.hostname),
                mac_addresses: vec![format!(
                    "02:00:{:02x}:{:02x}:{:02x}:{:02x}",
                    seed >> 24 & 0xff,
                    seed >> 16 & 0xff,
                    seed >> 8 & 0xff,
                    seed & 0xff
                )],
            }),
            first_seen_at: self.kept.first_seen,
            last_seen_at: self.last_seen,
            last_ip: format!("127.0.0.1:{}", 32_768 + seed % 28_000),
            labels: self.labels.clone(),
            last_interrogate_artifact_name: "Generic.Client.Info/BasicInformation".to_string(),
            in_flight_flows: in_flight,
            ..ApiClient::default()
        }
    }
}
