//! The VFS service: what the server writes down when a listing or a download has ended (§4.4, §4.8, §5.2).

use std::sync::Arc;
use std::time::Duration;

use velociraptor_proto::proto::ArtifactCollectorArgs;

use crate::server::artifacts::{DOWNLOAD_FILE, LIST_DIRECTORY};
use crate::server::deployment::Deployment;
use crate::server::record::{Download, Record};

/// Source of listings, and the `artifact` of a good record.
pub(crate) const LISTING: &str = "System.VFS.ListDirectory/Listing";
/// Source of directory boundaries.
pub(crate) const STATS: &str = "System.VFS.ListDirectory/Stats";

/// The value of a parameter in the first spec of `artifact`: further specs of it are not looked at (§4.3).
pub(crate) fn parameter(request: &ArtifactCollectorArgs, artifact: &str, key: &str) -> Option<String> {
    let spec = request.specs.iter().find(|spec| spec.artifact == artifact)?;
    let env = &spec.parameters.as_ref()?.env;
    env.iter().find(|item| item.key == key).map(|item| item.value.clone())
}

impl Deployment {
    /// The service writes in the background: a record may be late by the switch or by its cost.
    pub(crate) fn publish_later(self: &Arc<Self>, client_id: &str, flow_id: &str) {
        let (cost, listings) = {
            let mut inner = self.lock();
            let Some(client) = inner.clients.get_mut(client_id) else {
                return;
            };
            let cost = client.profile.timing.record_cost;
            let Some(flow) = client.flows.get_mut(flow_id) else {
                return;
            };
            let directories = flow.table(STATS).map_or(1, |table| table.len().max(1));
            (cost, directories)
        };
        let late = self.faults.lock().late_records;
        let delay = late.unwrap_or_else(|| {
            cost.saturating_mul(u32::try_from(listings).unwrap_or(u32::MAX)).min(Duration::from_secs(10))
        });
        if delay.is_zero() {
            self.publish(client_id, flow_id);
            return;
        }
        let (this, client_id, flow_id) = (Arc::clone(self), client_id.to_string(), flow_id.to_string());
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            this.publish(&client_id, &flow_id);
        });
    }

    fn publish(&self, client_id: &str, flow_id: &str) {
        let artifacts = {
            let mut inner = self.lock();
            let Some(flow) = inner.flow(client_id, flow_id).filter(|_| !self.is_closed()) else {
                return;
            };
            flow.context.request.as_ref().map(|request| request.artifacts.clone()).unwrap_or_default()
        };
        if artifacts.iter().any(|name| name == LIST_DIRECTORY) {
            self.publish_listing(client_id, flow_id);
        }
        if artifacts.iter().any(|name| name == DOWNLOAD_FILE) {
            self.publish_downloads(client_id, flow_id);
        }
    }

    fn publish_listing(&self, client_id: &str, flow_id: &str) {
        let timestamp = self.clock.seconds();
        let slice = {
            let mut inner = self.lock();
            inner.flow(client_id, flow_id).and_then(|flow| flow.table(STATS).map(|table| table.slice(0, u64::MAX)))
        };
        let rows = slice.and_then(|slice| slice.read().ok()).unwrap_or_default();
        let mut inner = self.lock();
        let Some(client) = inner.clients.get_mut(client_id) else {
            return;
        };
        for row in &rows {
            let Some((directory, start_idx, end_idx)) = parse_stats(row) else {
                continue;
            };
            let record =
                Record { timestamp, flow_id: flow_id.to_string(), artifact: LISTING.to_string(), start_idx, end_idx };
            client.records.set(directory, record);
        }
        if !rows.is_empty() {
            return;
        }
        // A failed listing overwrites a good record, unless the request had no `Path` to name it by (§4.8).
        let request = client.flows.get(flow_id).and_then(|flow| flow.context.request.clone()).unwrap_or_default();
        let path = parameter(&request, LIST_DIRECTORY, "Path").unwrap_or_default();
        if path.is_empty() {
            return;
        }
        let accessor = parameter(&request, LIST_DIRECTORY, "Accessor").unwrap_or_else(|| "auto".to_string());
        let components = parameter(&request, LIST_DIRECTORY, "Components")
            .and_then(|text| serde_json::from_str::<Vec<String>>(&text).ok())
            .filter(|components| !components.is_empty())
            .unwrap_or_else(|| split_path(&path));
        if components.is_empty() {
            return;
        }
        let directory = std::iter::once(accessor).chain(components).collect();
        let record = Record { timestamp, flow_id: flow_id.to_string(), ..Record::default() };
        client.records.set(directory, record);
    }

    fn publish_downloads(&self, client_id: &str, flow_id: &str) {
        let now = self.clock.seconds().saturating_mul(1_000_000);
        let slice = {
            let mut inner = self.lock();
            inner
                .flow(client_id, flow_id)
                .and_then(|flow| flow.table(DOWNLOAD_FILE).map(|table| table.slice(0, u64::MAX)))
        };
        let rows = slice.and_then(|slice| slice.read().ok()).unwrap_or_default();
        let mut inner = self.lock();
        let Some(client) = inner.clients.get_mut(client_id) else {
            return;
        };
        for row in &rows {
            let Some(result) = parse_download(row) else {
                continue;
            };
            let Some((name, parent)) = result.components.split_last() else {
                continue;
            };
            let mut stored = vec![result.accessor.clone()];
            stored.extend(result.components.iter().cloned());
            let object = client
                .flows
                .get(flow_id)
                .and_then(|flow| flow.objects.iter().find(|object| object.components == stored && object.complete));
            let mut download =
                Download { name: name.clone(), mtime: now, flow_id: flow_id.to_string(), ..Download::default() };
            match object {
                Some(object) => {
                    download.size = result.size;
                    download.sparse = object.runs.is_some();
                    download.components = ["clients", client_id, "collections", flow_id, "uploads"]
                        .iter()
                        .map(ToString::to_string)
                        .chain(stored)
                        .collect();
                }
                None => {
                    download.error =
                        result.error.filter(|text| !text.is_empty()).unwrap_or("file does not exist".to_string());
                }
            }
            let directory = std::iter::once(result.accessor).chain(parent.iter().cloned()).collect();
            client.records.log_download(directory, download);
        }
    }
}

fn parse_stats(row: &str) -> Option<(Vec<String>, u64, u64)> {
    let (components, accessor, stats): (Vec<String>, String, serde_json::Value) = serde_json::from_str(row).ok()?;
    let index = |key: &str| stats.get(key).and_then(serde_json::Value::as_u64);
    let directory = std::iter::once(accessor).chain(components).collect();
    Some((directory, index("start_idx")?, index("end_idx")?))
}

struct DownloadRow {
    accessor: String,
    size: u64,
    error: Option<String>,
    components: Vec<String>,
}

fn parse_download(row: &str) -> Option<DownloadRow> {
    let cells: Vec<serde_json::Value> = serde_json::from_str(row).ok()?;
    let text = |place: usize| cells.get(place).and_then(serde_json::Value::as_str).map(str::to_string);
    Some(DownloadRow {
        accessor: text(1)?,
        size: cells.get(2).and_then(serde_json::Value::as_u64).unwrap_or_default(),
        error: text(6),
        components: serde_json::from_value(cells.get(7)?.clone()).ok()?,
    })
}

/// Splits a path as the server does: by either separator, without empty parts, `.` and `..` (§4.1).
pub(crate) fn split_path(path: &str) -> Vec<String> {
    path.split(['/', '\\'])
        .filter(|part| !part.is_empty() && *part != "." && *part != "..")
        .map(str::to_string)
        .collect()
}
