//! Switches of a running deployment: what an operator of the demo or a test changes while it runs.

use std::time::Duration;

use crate::seeded;
use crate::server::artifacts::DOWNLOAD_FILE;
use crate::server::clients::Client;
use crate::server::counters::Counts;
use crate::simulator::Shared;
use crate::tree::overlay::Trouble;
use std::sync::Arc;
use velociraptor_proto::proto::artifact_collector_context::State;

/// A cloneable handle to a running simulator.
#[derive(Clone)]
pub struct Handle {
    pub(crate) shared: Arc<Shared>,
}

/// A client as the deployment knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientSummary {
    /// `C.` and 16 hex digits.
    pub client_id: String,
    /// Its host name.
    pub hostname: String,
    /// `windows`, `linux` or `darwin`.
    pub os: String,
    /// The real directory that it shows, if it shows one.
    pub root: Option<std::path::PathBuf>,
    /// Whether it is switched on.
    pub online: bool,
}

/// A client that the deployment does not have.
#[derive(Debug, thiserror::Error)]
#[error("no client {0} in this deployment; `clients` lists them")]
pub struct UnknownClient(pub String);

impl Handle {
    /// All clients.
    #[must_use]
    pub fn clients(&self) -> Vec<ClientSummary> {
        let inner = self.shared.deployment.lock();
        inner.clients.values().map(summary).collect()
    }

    /// Connects an endpoint.
    pub fn set_online(&self, client_id: &str, online: bool) -> Result<(), UnknownClient> {
        let mut inner = self.shared.deployment.lock();
        let client = inner.clients.get_mut(client_id).ok_or_else(|| UnknownClient(client_id.to_string()))?;
        client.online.send_replace(online);
        client.away_until = 0;
        if let Err(error) = client.save() {
            tracing::error!(%error, "a client's state cannot be written");
        }
        Ok(())
    }

    /// Makes a path of an endpoint unreadable; its parent still lists it.
    pub fn deny(&self, client_id: &str, path: &[&str]) -> Result<(), UnknownClient> {
        self.trouble(client_id, path, Some(Trouble::Denied))
    }

    /// Makes a file of an endpoint be held by another process.
    pub fn lock_file(&self, client_id: &str, path: &[&str]) -> Result<(), UnknownClient> {
        self.trouble(client_id, path, Some(Trouble::Locked))
    }

    /// Removes a path, and all below it, from an endpoint.
    pub fn vanish(&self, client_id: &str, path: &[&str]) -> Result<(), UnknownClient> {
        self.trouble(client_id, path, Some(Trouble::Vanished))
    }

    /// Takes back what [`Handle::deny`], [`Handle::lock_file`] or [`Handle::vanish`] did to a path.
    pub fn restore(&self, client_id: &str, path: &[&str]) -> Result<(), UnknownClient> {
        self.trouble(client_id, path, None)
    }

    /// From FINISHED to the directory's record; `None` goes back to the timing's own cost.
    pub fn late_records(&self, delay: Option<Duration>) {
        self.shared.deployment.faults.lock().late_records = delay;
    }

    /// Share of flows that lose lines of their log, from 0 to 1.
    pub fn lose_log_lines(&self, share: f64) {
        self.shared.deployment.faults.lock().lost_log_share = Some(share.clamp(0.0, 1.0));
    }

    /// The next `count` delivered flows end in ERROR with this text.
    pub fn fail_next_flows(&self, count: u32, text: &str) {
        self.shared.deployment.faults.lock().failing = (count > 0).then(|| (count, text.to_string()));
    }

    /// The next `count` delivered flows end in ERROR with this text when they have sent so many rows.
    pub fn break_next_flows(&self, count: u32, rows: u64, text: &str) {
        self.shared.deployment.faults.lock().breaking = (count > 0).then(|| (count, rows, text.to_string()));
    }

    /// The tasks of the next `count` delivered flows get lost (§7.3).
    pub fn lose_next_flows(&self, count: u32) {
        self.shared.deployment.faults.lock().losing = count;
    }

    /// The next `count` delivered flows never end.
    pub fn stall_next_flows(&self, count: u32) {
        self.shared.deployment.faults.lock().stalling = count;
    }

    /// Answers larger than this many bytes are refused with ResourceExhausted.
    pub fn limit_messages(&self, limit: Option<usize>) {
        self.shared.deployment.faults.lock().message_limit = limit;
    }

    /// Rows are encoded as servers before 0.74 did.
    pub fn old_rows(&self, on: bool) {
        self.shared.deployment.faults.lock().old_rows = on;
    }

    /// Listings made from now on have a row without a name in each directory.
    pub fn nameless_rows(&self, on: bool) {
        self.shared.deployment.faults.lock().nameless_rows = on;
    }

    /// Pages of one table differ in their columns, and some rows are shorter than the columns.
    pub fn uneven_columns(&self, on: bool) {
        self.shared.deployment.faults.lock().uneven_columns = on;
    }

    /// `VFSGetBuffer` gives less than asked at the ends of runs and of blocks.
    pub fn short_reads(&self, on: bool) {
        self.shared.deployment.faults.lock().short_reads = on;
    }

    /// Listings made from now on tell sizes of files that are wrong by so many bytes.
    pub fn lie_about_sizes(&self, bytes: i64) {
        self.shared.deployment.faults.lock().size_error = bytes;
    }

    /// The server's clock goes so many seconds before the machine's, or behind it.
    pub fn skew_clock(&self, seconds: i64) {
        self.shared.deployment.clock.skew(seconds);
    }

    /// A colleague lists a directory in the GUI: a failure overwrites the server's record of it (§4.8). Gives the flow's id;
    /// the error is the server's text.
    pub fn refresh(&self, client_id: &str, path: &[String]) -> Result<String, String> {
        let components: Vec<String> = std::iter::once("auto".to_string()).chain(path.iter().cloned()).collect();
        let system = self.shared.deployment.system_of(client_id);
        let request = crate::service::vfs::refresh(system, client_id, &components, 0);
        let permissions = crate::Permissions { collect_client: true, ..crate::Permissions::default() };
        let started = self.shared.deployment.collect("colleague", permissions, &request);
        started.map(|started| started.flow_id).map_err(|status| status.message().to_string())
    }

    /// A colleague collects a file, or a directory and all below it, in the GUI. Gives the flow's id; the error is the server's text.
    pub fn download(&self, client_id: &str, path: &[String]) -> Result<String, String> {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let recursively = [("Recursively", "Y".to_string())];
        let request = crate::history::request(client_id, DOWNLOAD_FILE, &path, &recursively);
        let permissions = crate::Permissions { collect_client: true, ..crate::Permissions::default() };
        let started = self.shared.deployment.collect("colleague", permissions, &request);
        started.map(|started| started.flow_id).map_err(|status| status.message().to_string())
    }

    /// Whether a flow is over; `None` if there is none of this id.
    #[must_use]
    pub fn has_ended(&self, client_id: &str, flow_id: &str) -> Option<bool> {
        let mut inner = self.shared.deployment.lock();
        let state = inner.flow(client_id, flow_id)?.context.state();
        Some(matches!(state, State::Finished | State::Error))
    }

    /// Makes all tokens against forged requests invalid that the GUI has given out.
    pub fn forget_gui_tokens(&self) {
        if let Some(gui) = &self.shared.gui {
            gui.forget_tokens();
        }
    }

    /// Ends all `WatchEvent` streams and event queries; events in between are gone.
    pub fn drop_event_streams(&self) {
        self.shared.deployment.streams.send_modify(|epoch| *epoch += 1);
    }

    /// Cuts all connections and takes none for `down`. Endpoints come back after their back-off (§7).
    pub fn restart_server(&self, down: Duration) {
        self.drop_event_streams();
        self.shared.connections.restart(down);
        let now = self.shared.deployment.clock.micros();
        let mut inner = self.shared.deployment.lock();
        for client in inner.clients.values_mut() {
            let max_poll = client.profile.timing.max_poll;
            if max_poll.is_zero() {
                continue;
            }
            // Twice max_poll and a random part of 30 s, as measured.
            let random = seeded::hash(now, client.profile.client_id.as_bytes()) % 30_000_000;
            let away = down.saturating_add(max_poll * 2).as_micros();
            client.away_until = now + u64::try_from(away).unwrap_or(u64::MAX / 2) + random;
            client.connected = false;
            client.wake.notify_waiters();
        }
    }

    /// Removes a user's record: its certificate stays valid and is nobody's (§1.5).
    pub fn remove_user(&self, name: &str) -> Result<(), crate::Error> {
        self.shared.deployment.lock().users.remove(name)
    }

    /// Installs an artifact as `SetArtifactFile` does. The error is the server's text.
    pub fn install_artifact(&self, yaml: &str) -> Result<(), String> {
        let definition = crate::server::artifacts::Artifacts::parse(yaml)?;
        let mut inner = self.shared.deployment.lock();
        inner.artifacts.install(definition).map_err(|error| error.to_string())
    }

    /// Marks an artifact as basic: COLLECT_BASIC suffices to start it.
    pub fn set_basic(&self, artifact: &str, basic: bool) -> Result<bool, crate::Error> {
        self.shared.deployment.lock().artifacts.set_basic(artifact, basic)
    }

    /// What was asked of the deployment since its start.
    #[must_use]
    pub fn counters(&self) -> Counts {
        self.shared.deployment.counters.snapshot()
    }

    fn trouble(&self, client_id: &str, path: &[&str], trouble: Option<Trouble>) -> Result<(), UnknownClient> {
        let troubles = self.shared.troubles.get(client_id).ok_or_else(|| UnknownClient(client_id.to_string()))?;
        troubles.set(path.iter().map(ToString::to_string).collect(), trouble);
        Ok(())
    }
}

pub(crate) fn summary(client: &Client) -> ClientSummary {
    ClientSummary {
        client_id: client.profile.client_id.clone(),
        hostname: client.profile.hostname.clone(),
        os: client.profile.system.word().to_string(),
        root: client.profile.root.clone(),
        online: *client.online.borrow(),
    }
}
