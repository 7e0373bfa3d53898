//! `GetTable` and `GetClientFlows` (§4.5 (d), §5.3).

use tonic::Status;
use velociraptor_proto::proto::{ColumnType, GetTableRequest, GetTableResponse};

use crate::server::receive::FlowJson;
use crate::server::refusal;
use crate::server::table::Slice;
use crate::service::rows::{Page, encode};
use crate::service::{Caller, Service};
use crate::tree::entry::{string_array, write_string};

/// `rows: 0` means so many.
pub(super) const DEFAULT_ROWS: u64 = 2000;

/// The page size that a request asks for.
pub(super) fn page_size(request: &GetTableRequest) -> u64 {
    if request.rows == 0 { DEFAULT_ROWS } else { request.rows }
}

impl Service {
    /// Unknown flows and artifacts, and flows without rows yet, are no errors: no rows, `total_rows` −1 (§1.8).
    pub(super) async fn table(&self, caller: &Caller, request: &GetTableRequest) -> Result<GetTableResponse, Status> {
        caller.must_read()?;
        let nothing = GetTableResponse { total_rows: -1, ..GetTableResponse::default() };
        let source = match request.r#type.as_str() {
            "log" => "log",
            "uploads" => "uploads",
            _ => request.artifact.as_str(),
        };
        let (slice, total) = {
            let mut inner = self.deployment.lock();
            let Some(table) = inner.flow(&request.client_id, &request.flow_id).and_then(|flow| flow.table(source))
            else {
                return Ok(nothing);
            };
            let (first, end) = match request.end_idx {
                0 => (request.start_idx, table.len()),
                end => (request.start_idx, end.min(table.len())),
            };
            let start = first.saturating_add(request.start_row).min(end);
            let count = page_size(request).min(end.saturating_sub(start));
            (table.slice(start, count), end.saturating_sub(first))
        };
        let page = read(slice).await?;
        let switches = self.deployment.faults.lock().clone();
        let (columns, rows) = encode(page, request.start_row / page_size(request), &switches);
        Ok(GetTableResponse {
            columns,
            rows,
            total_rows: i64::try_from(total).unwrap_or(i64::MAX),
            ..GetTableResponse::default()
        })
    }

    /// All flows of a client, newest first (§6.6).
    pub(super) fn client_flows(&self, caller: &Caller, request: &GetTableRequest) -> Result<GetTableResponse, Status> {
        caller.must(caller.permissions.read_results, "User is not allowed to view flows.")?;
        let now = self.deployment.clock.micros();
        let inner = self.deployment.lock();
        let flows = inner.clients.get(&request.client_id).map(|client| (client, &client.flows));
        let total = flows.map_or(0, |(_, flows)| flows.len());
        let mut rows = Vec::new();
        let skip = usize::try_from(request.start_row).unwrap_or(usize::MAX);
        let count = usize::try_from(page_size(request)).unwrap_or(usize::MAX);
        let page = flows.into_iter().flat_map(|(client, flows)| flows.values().rev().map(move |flow| (client, flow)));
        for (client, flow) in page.skip(skip).take(count) {
            let context = super::flows::seen(flow, &client.profile.timing, now);
            let asked = context.request.clone().unwrap_or_default();
            let mut row = format!("[\"{}\",", context.state().as_str_name());
            write_string(&mut row, &context.session_id);
            row.push_str(&format!(
                ",{},{},{},",
                string_array(&asked.artifacts),
                context.create_time,
                context.active_time
            ));
            write_string(&mut row, &asked.creator);
            let flow_json = serde_json::to_string(&FlowJson::of(&context)).unwrap_or_default();
            row.push_str(&format!(
                ",{},{},{flow_json},{},{}]",
                context.total_uploaded_bytes,
                context.total_collected_rows,
                asked.urgent,
                string_array(&context.artifacts_with_results)
            ));
            rows.push(row);
        }
        drop(inner);
        let columns = [
            "State",
            "FlowId",
            "Artifacts",
            "Created",
            "Last Active",
            "Creator",
            "Mb",
            "Rows",
            "_Flow",
            "_Urgent",
            "_ArtifactsWithResults",
        ];
        let columns: Vec<String> = columns.iter().map(ToString::to_string).collect();
        let switches = self.deployment.faults.lock().clone();
        let (_, rows) = encode(Page { columns: columns.clone(), rows }, 0, &switches);
        let column_types = [("Created", "timestamp"), ("Last Active", "timestamp"), ("Mb", "mb"), ("Rows", "number")]
            .iter()
            .map(|(name, kind)| ColumnType {
                name: (*name).to_string(),
                r#type: (*kind).to_string(),
                ..ColumnType::default()
            })
            .collect();
        Ok(GetTableResponse {
            columns,
            rows,
            total_rows: i64::try_from(total).unwrap_or(i64::MAX),
            column_types,
            ..GetTableResponse::default()
        })
    }
}

/// Reads a slice away from the threads that serve calls.
pub(super) async fn read(slice: Slice) -> Result<Page, Status> {
    tokio::task::spawn_blocking(move || slice.read().map(|rows| Page { columns: slice.columns, rows }))
        .await
        .map_err(refusal::disk)?
        .map_err(refusal::disk)
}
