//! What the deployment was asked to do, counted so that tests can say "one flow".

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

/// Counts since start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Calls by RPC name.
    pub calls: BTreeMap<String, u64>,
    /// Flows started, by client id, then by artifact.
    pub flows: BTreeMap<String, BTreeMap<String, u64>>,
    /// Deliveries of tasks, by client id: each cost a receive token.
    pub deliveries: BTreeMap<String, u64>,
    /// Rows that endpoints have sent, by client id.
    pub rows: BTreeMap<String, u64>,
    /// Bytes that endpoints have uploaded, by client id.
    pub uploaded_bytes: BTreeMap<String, u64>,
}

impl Counts {
    /// Flows of one artifact on all endpoints.
    #[must_use]
    pub fn flows_of(&self, artifact: &str) -> u64 {
        self.flows.values().filter_map(|by_artifact| by_artifact.get(artifact)).sum()
    }

    /// All flows of one endpoint.
    #[must_use]
    pub fn flows_on(&self, client_id: &str) -> u64 {
        self.flows.get(client_id).map_or(0, |by_artifact| by_artifact.values().sum())
    }

    /// All flows.
    #[must_use]
    pub fn all_flows(&self) -> u64 {
        self.flows.values().flat_map(BTreeMap::values).sum()
    }

    /// Calls of one RPC.
    #[must_use]
    pub fn calls_of(&self, rpc: &str) -> u64 {
        self.calls.get(rpc).copied().unwrap_or(0)
    }
}

/// The counts behind their lock.
#[derive(Debug, Default)]
pub(crate) struct Counters(Mutex<Counts>);

impl Counters {
    pub(crate) fn snapshot(&self) -> Counts {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn call(&self, rpc: &str) {
        self.change(|counts| *counts.calls.entry(rpc.to_string()).or_default() += 1);
    }

    pub(crate) fn flow(&self, client_id: &str, artifact: &str) {
        self.change(|counts| {
            let by_artifact = counts.flows.entry(client_id.to_string()).or_default();
            *by_artifact.entry(artifact.to_string()).or_default() += 1;
        });
    }

    pub(crate) fn delivery(&self, client_id: &str) {
        self.change(|counts| *counts.deliveries.entry(client_id.to_string()).or_default() += 1);
    }

    pub(crate) fn rows(&self, client_id: &str, rows: u64) {
        self.change(|counts| *counts.rows.entry(client_id.to_string()).or_default() += rows);
    }

    pub(crate) fn uploaded(&self, client_id: &str, bytes: u64) {
        self.change(|counts| *counts.uploaded_bytes.entry(client_id.to_string()).or_default() += bytes);
    }

    fn change(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
