//! The VFS calls: directory records, their rows with download states, and the two calls that start flows (§4, §5.1).

use tonic::Status;
use velociraptor_proto::proto::{
    ArtifactCollectorArgs, ArtifactCollectorResponse, ArtifactParameters, ArtifactSpec, GetTableRequest,
    GetTableResponse, StartFlowResponse, VfsListRequest, VfsListResponse, VfsRefreshDirectoryRequest,
    VfsStatDownloadRequest, VqlEnv,
};

use crate::config::System;
use crate::server::artifacts::{DOWNLOAD_FILE, LIST_DIRECTORY};
use crate::server::record::Download;
use crate::server::vfs::LISTING;
use crate::service::rows::encode;
use crate::service::tables::{DEFAULT_ROWS, page_size, read};
use crate::service::{Caller, Service};
use crate::tree::entry::string_array;
use crate::tree::{unix_path, windows_path};

impl Service {
    /// Never fails for a missing record.
    pub(super) fn stat_directory(&self, caller: &Caller, request: &VfsListRequest) -> Result<VfsListResponse, Status> {
        caller.must_read()?;
        let inner = self.deployment.lock();
        let Some(client) = inner.clients.get(&request.client_id) else {
            return Ok(VfsListResponse::default());
        };
        let download_version = client.records.download_version(&request.vfs_components);
        let Some(record) = client.records.get(&request.vfs_components) else {
            return Ok(VfsListResponse { download_version, ..VfsListResponse::default() });
        };
        Ok(VfsListResponse {
            timestamp: record.timestamp,
            total_rows: record.end_idx - record.start_idx,
            client_id: request.client_id.clone(),
            flow_id: record.flow_id.clone(),
            start_idx: record.start_idx,
            end_idx: record.end_idx,
            artifact: record.artifact.clone(),
            download_version,
            ..VfsListResponse::default()
        })
    }

    /// For trees: only directories, at most about 2000.
    pub(super) fn list_directory(&self, caller: &Caller, request: &VfsListRequest) -> Result<VfsListResponse, Status> {
        caller.must_read()?;
        if request.vfs_components.is_empty() {
            let response = "\n   [\n    {\"Mode\": \"drwxrwxrwx\", \"Name\": \"auto\"},\n    \
                            {\"Mode\": \"drwxrwxrwx\", \"Name\": \"ntfs\"},\n    \
                            {\"Mode\": \"drwxrwxrwx\", \"Name\": \"registry\"}\n   ]";
            return Ok(VfsListResponse { response: response.to_string(), ..VfsListResponse::default() });
        }
        let mut answer = self.stat_directory(caller, request)?;
        answer.download_version = 0;
        let slice = {
            let mut inner = self.deployment.lock();
            inner.flow(&request.client_id, &answer.flow_id).and_then(|flow| {
                let table = flow.table(LISTING)?;
                Some(table.slice(answer.start_idx, answer.end_idx - answer.start_idx))
            })
        };
        let Some(slice) = slice else {
            return Ok(answer);
        };
        let rows = slice.read().map_err(crate::server::refusal::disk)?;
        let mut objects = Vec::new();
        for row in rows {
            let cells: Vec<serde_json::Value> = serde_json::from_str(&row).unwrap_or_default();
            let object: serde_json::Map<String, serde_json::Value> = slice.columns.iter().cloned().zip(cells).collect();
            let is_directory =
                object.get("Mode").and_then(|mode| mode.as_str()).is_some_and(|mode| mode.starts_with('d'));
            if is_directory {
                objects.push(serde_json::Value::Object(object));
            }
            if objects.len() as u64 >= DEFAULT_ROWS {
                break;
            }
        }
        answer.columns = slice.columns;
        answer.response = serde_json::Value::Array(objects).to_string();
        Ok(answer)
    }

    /// The rows of a record, each with its download state in front; a nameless row is passed through without (§4.5).
    pub(super) async fn list_directory_files(
        &self,
        caller: &Caller,
        request: &GetTableRequest,
    ) -> Result<GetTableResponse, Status> {
        caller.must_read()?;
        let (slice, total, downloads) = {
            let mut inner = self.deployment.lock();
            let Some(client) = inner.clients.get_mut(&request.client_id) else {
                return Ok(GetTableResponse::default());
            };
            let Some(record) = client.records.get(&request.vfs_components).cloned() else {
                return Ok(GetTableResponse::default());
            };
            let downloads = client.records.downloads(&request.vfs_components);
            let total = record.end_idx - record.start_idx;
            let nothing = GetTableResponse { total_rows: -1, ..GetTableResponse::default() };
            if total == 0 {
                return Ok(nothing);
            }
            let Some(table) = client.flows.get_mut(&record.flow_id).and_then(|flow| flow.table(&record.artifact))
            else {
                return Ok(nothing);
            };
            let start = record.start_idx.saturating_add(request.start_row).min(record.end_idx);
            let count = page_size(request).min(record.end_idx - start);
            (table.slice(start, count), total, downloads)
        };
        let mut page = read(slice).await?;
        let name_place = page.columns.iter().position(|column| column == "Name");
        let data_place = page.columns.iter().position(|column| column == "_Data");
        for row in &mut page.rows {
            *row = with_download(row, name_place, data_place, &downloads);
        }
        page.columns.insert(0, "Download".to_string());
        let switches = self.deployment.faults.lock().clone();
        let (columns, rows) = encode(page, request.start_row / page_size(request), &switches);
        Ok(GetTableResponse {
            columns,
            rows,
            total_rows: i64::try_from(total).unwrap_or(i64::MAX),
            ..GetTableResponse::default()
        })
    }

    /// A collection of the stock listing artifact, with `Path` (§4.3).
    pub(super) async fn refresh_directory(
        &self,
        caller: &Caller,
        request: &VfsRefreshDirectoryRequest,
    ) -> Result<ArtifactCollectorResponse, Status> {
        // A COLLECT_BASIC user is refused even if the artifact is basic (§1.7).
        caller.must(caller.permissions.collect_client, "User is not allowed to launch flows.")?;
        let system = self.deployment.system_of(&request.client_id);
        let request = refresh(system, &request.client_id, &request.vfs_components, request.depth);
        self.collect(caller, &request).await
    }

    /// A collection of the stock download artifact, and an `in_flight` row in the directory's log (§5.1).
    pub(super) async fn download_file(
        &self,
        caller: &Caller,
        request: &VfsStatDownloadRequest,
    ) -> Result<StartFlowResponse, Status> {
        let env = [("Components", string_array(&request.components)), ("Accessor", request.accessor.clone())];
        let asked = collection(&request.client_id, DOWNLOAD_FILE, &env);
        let started = self.collect(caller, &asked).await?;
        if let Some((name, parent)) = request.components.split_last() {
            let directory: Vec<String> =
                std::iter::once(request.accessor.clone()).chain(parent.iter().cloned()).collect();
            let mtime = self.deployment.clock.micros();
            let mut inner = self.deployment.lock();
            // A quick flow may have ended by now; its outcome must stay the last row.
            if let Some(client) = inner.clients.get_mut(&request.client_id)
                && !client.records.knows_download(&directory, &started.flow_id)
            {
                let download = Download {
                    name: name.clone(),
                    mtime,
                    flow_id: started.flow_id.clone(),
                    in_flight: true,
                    ..Download::default()
                };
                client.records.log_download(directory, download);
            }
        }
        Ok(StartFlowResponse { flow_id: started.flow_id })
    }
}

/// The collection that the GUI starts for a directory.
pub(crate) fn refresh(system: System, client_id: &str, vfs_components: &[String], depth: u64) -> ArtifactCollectorArgs {
    let (accessor, components) = match vfs_components.split_first() {
        Some((accessor, components)) => (accessor.clone(), components),
        None => (String::new(), [].as_slice()),
    };
    let path = if system == System::Windows {
        windows_path(components)
    } else if components.is_empty() {
        String::new()
    } else {
        unix_path(components)
    };
    let env = [
        ("Path", path),
        ("Components", string_array(components)),
        ("Accessor", accessor),
        ("Depth", depth.to_string()),
    ];
    collection(client_id, LIST_DIRECTORY, &env)
}

/// An urgent collection of one artifact.
fn collection(client_id: &str, artifact: &str, env: &[(&str, String)]) -> ArtifactCollectorArgs {
    let env = env
        .iter()
        .map(|(key, value)| VqlEnv { key: (*key).to_string(), value: value.clone(), ..VqlEnv::default() })
        .collect();
    ArtifactCollectorArgs {
        client_id: client_id.to_string(),
        artifacts: vec![artifact.to_string()],
        specs: vec![ArtifactSpec {
            artifact: artifact.to_string(),
            parameters: Some(ArtifactParameters { env }),
            ..ArtifactSpec::default()
        }],
        urgent: true,
        ..ArtifactCollectorArgs::default()
    }
}

/// A listing's row as `VFSListDirectoryFiles` sends it: download state first, `_Data` with sorted keys.
fn with_download(
    row: &str,
    name_place: Option<usize>,
    data_place: Option<usize>,
    downloads: &std::collections::HashMap<String, Download>,
) -> String {
    let Ok(cells) = serde_json::from_str::<Vec<&serde_json::value::RawValue>>(row) else {
        return row.to_string();
    };
    let name: String = name_place
        .and_then(|place| cells.get(place))
        .and_then(|cell| serde_json::from_str(cell.get()).ok())
        .unwrap_or_default();
    if name.is_empty() {
        return row.to_string();
    }
    let mut text = String::with_capacity(row.len() + 16);
    text.push('[');
    match downloads.get(&name).and_then(|download| serde_json::to_string(download).ok()) {
        Some(download) => text.push_str(&download),
        None => text.push_str("\"\""),
    }
    for (place, cell) in cells.iter().enumerate() {
        text.push(',');
        if Some(place) == data_place {
            text.push_str(&sorted_keys(cell.get()));
        } else {
            text.push_str(cell.get());
        }
    }
    text.push(']');
    text
}

fn sorted_keys(object: &str) -> String {
    match serde_json::from_str::<std::collections::BTreeMap<String, Box<serde_json::value::RawValue>>>(object) {
        Ok(sorted) => serde_json::to_string(&sorted).unwrap_or_else(|_| object.to_string()),
        Err(_) => object.to_string(),
    }
}
