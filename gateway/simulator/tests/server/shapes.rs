//! Answers have the shape of those recorded from the measured server: members, columns, value types, state numbers.

use std::os::unix::fs::symlink;

use raptorgate_simulator::Timing;
use serde_json::Value;
use tokio_stream::StreamExt;
use velociraptor_proto::proto::{
    ApiFlowRequest, ArtifactCollectorContext, EventRequest, GetTableRequest, GetTableResponse, VfsListRequest,
    VfsRefreshDirectoryRequest,
};

use crate::rig::{DOWNLOAD, LISTING, Rig, STATS, fixture};

async fn start() -> Rig {
    Rig::with(Timing::instant(), |root| {
        std::fs::create_dir_all(root.join("srv/evidence/small")).unwrap();
        std::fs::create_dir_all(root.join("srv/evidence/files/adir")).unwrap();
        for number in 0..11 {
            std::fs::write(root.join(format!("srv/evidence/small/f{number}.txt")), vec![b'x'; number * 100]).unwrap();
        }
        symlink("/nonexistent/x", root.join("srv/evidence/small/dangling")).unwrap();
        std::fs::write(root.join("srv/evidence/files/k1.bin"), vec![1; 1024]).unwrap();
    })
    .await
}

/// The JSON kind of a value.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Columns are equal and in the same order, and the first row has the same kinds of values.
fn assert_same_table(table: &GetTableResponse, name: &str) {
    let recorded = &fixture(name)["responses"][0];
    let columns: Vec<String> = serde_json::from_value(recorded["columns"].clone()).unwrap_or_default();
    assert_eq!(table.columns, columns, "{name}");
    let kinds = |json: &str| -> Vec<&'static str> {
        serde_json::from_str::<Vec<Value>>(json).unwrap().iter().map(kind).collect()
    };
    if let Some(row) = recorded["rows"].get(0) {
        assert_eq!(kinds(&table.rows[0].json), kinds(row["json"].as_str().unwrap()), "{name}");
    } else {
        assert!(table.rows.is_empty(), "{name}");
        assert_eq!(table.total_rows.to_string(), recorded["total_rows"].as_str().unwrap_or("0"), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_have_the_recorded_columns_and_kinds() {
    let mut rig = start().await;
    let flow = rig.list(&["srv", "evidence", "small"]).await;
    assert_same_table(&rig.table(&flow.session_id, LISTING).await, "table_listing");
    assert_same_table(&rig.table(&flow.session_id, STATS).await, "table_stats");
    assert_same_table(&rig.typed_table(&flow.session_id, "log").await, "table_log");
    let flow = rig.download(&["srv", "evidence", "files", "k1.bin"]).await;
    assert_same_table(&rig.table(&flow.session_id, DOWNLOAD).await, "table_download_k1");
    assert_same_table(&rig.typed_table(&flow.session_id, "uploads").await, "uploads_k1");
    let flow = rig.download(&["srv", "evidence", "files", "adir"]).await;
    assert_same_table(&rig.table(&flow.session_id, DOWNLOAD).await, "table_download_directory");
    let flow = rig.download(&["srv", "evidence", "files", "nope"]).await;
    assert_same_table(&rig.table(&flow.session_id, DOWNLOAD).await, "table_download_missing");
    assert_same_table(&rig.typed_table(&flow.session_id, "uploads").await, "uploads_missing");
    assert_same_table(&rig.typed_table("F.AAAAAAAAAAAAA", "log").await, "table_unknown_flow");
}

#[tokio::test(flavor = "multi_thread")]
async fn directory_files_have_the_recorded_columns_download_states_and_data() {
    let mut rig = start().await;
    rig.list(&["srv", "evidence", "small"]).await;
    rig.list(&["srv", "evidence", "files"]).await;
    rig.download(&["srv", "evidence", "files", "adir"]).await;
    rig.download(&["srv", "evidence", "files", "k1.bin"]).await;
    let files = async |rig: &mut Rig, last: &str| {
        let request = GetTableRequest {
            client_id: rig.client_id.clone(),
            vfs_components: ["auto", "srv", "evidence", last].map(String::from).to_vec(),
            ..GetTableRequest::default()
        };
        rig.api.vfs_list_directory_files(request).await.unwrap().into_inner()
    };
    let small = files(&mut rig, "small").await;
    let recorded = &fixture("listfiles_small")["responses"][0];
    assert_eq!(small.columns, serde_json::from_value::<Vec<String>>(recorded["columns"].clone()).unwrap());
    let link = small.rows.iter().find(|row| row.json.contains("dangling")).unwrap();
    let row: Vec<Value> = serde_json::from_str(&link.json).unwrap();
    assert_eq!((&row[6], &row[7], &row[4]["Link"]), (&14.into(), &"Lrwxrwxrwx".into(), &"/nonexistent/x".into()));
    // `_Data` has sorted keys here, unlike in `GetTable`.
    let data = &link.json[link.json.find("{\"DevMajor\"").unwrap()..];
    assert!(data.find("DevMinor").unwrap() < data.find("\"Link\"").unwrap());

    let downloads = files(&mut rig, "files").await;
    let recorded = fixture("listfiles_downloads");
    for (name, ours) in [("adir", "\"adir\""), ("k1.bin", "\"k1.bin\"")] {
        let members = |json: &str| -> Vec<String> {
            // The members in their order on the wire.
            let object = &json[1..=json.find('}').unwrap()];
            let parsed: Value = serde_json::from_str(object).unwrap();
            let mut names: Vec<(usize, String)> = parsed
                .as_object()
                .unwrap()
                .keys()
                .map(|key| (object.find(&format!("\"{key}\":")).unwrap(), key.clone()))
                .collect();
            names.sort();
            names.into_iter().map(|(_, name)| name).collect()
        };
        let theirs = recorded["responses"][0]["rows"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["json"].as_str().unwrap())
            .find(|json| json.contains(&format!("\"name\":\"{name}\"")))
            .unwrap();
        let ours = downloads.rows.iter().find(|row| row.json.contains(&format!("\"name\":{ours}"))).unwrap();
        assert_eq!(members(&ours.json), members(theirs), "{name}");
    }
}

/// The members of a context that are set, as the recorded JSON names them.
fn members(context: &ArtifactCollectorContext) -> Vec<&'static str> {
    let mut names = Vec::new();
    let mut note = |set: bool, name: &'static str| {
        if set {
            names.push(name);
        }
    };
    note(!context.backtrace.is_empty(), "backtrace");
    note(context.create_time > 0, "create_time");
    note(context.request.is_some(), "request");
    note(!context.session_id.is_empty(), "session_id");
    note(context.state > 0, "state");
    note(!context.status.is_empty(), "status");
    note(context.active_time > 0, "active_time");
    note(context.start_time > 0, "start_time");
    note(!context.artifacts_with_results.is_empty(), "artifacts_with_results");
    note(context.total_uploaded_files > 0, "total_uploaded_files");
    note(context.total_expected_uploaded_bytes > 0, "total_expected_uploaded_bytes");
    note(context.total_uploaded_bytes > 0, "total_uploaded_bytes");
    note(!context.client_id.is_empty(), "client_id");
    note(context.total_collected_rows > 0, "total_collected_rows");
    note(context.execution_duration > 0, "execution_duration");
    note(context.outstanding_requests > 0, "outstanding_requests");
    note(context.total_logs > 0, "total_logs");
    note(!context.query_stats.is_empty(), "query_stats");
    note(context.total_requests > 0, "total_requests");
    note(context.inflight_time > 0, "inflight_time");
    names.sort_unstable();
    names
}

fn recorded_members(name: &str) -> Vec<String> {
    let mut names: Vec<String> =
        fixture(name)["responses"][0]["context"].as_object().unwrap().keys().cloned().collect();
    names.sort_unstable();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn flow_contexts_have_the_recorded_members() {
    let mut rig = start().await;
    let listed = rig.list(&["srv", "evidence", "small"]).await;
    assert_eq!(members(&listed), recorded_members("flow_finished"));
    assert_eq!((listed.total_collected_rows, listed.total_requests, listed.query_stats.len()), (13, 3, 3));
    let recorded = fixture("flow_finished");
    let sources = &recorded["responses"][0]["context"]["artifacts_with_results"];
    assert_eq!(serde_json::to_value(&listed.artifacts_with_results).unwrap(), *sources);
    assert!(listed.request.as_ref().unwrap().specs.is_empty());
    let full = ApiFlowRequest {
        client_id: rig.client_id.clone(),
        flow_id: listed.session_id.clone(),
        include_full_request: true,
        ..ApiFlowRequest::default()
    };
    let full = rig.api.get_flow_details(full).await.unwrap().into_inner().context.unwrap();
    assert_eq!(full.request.unwrap().specs.len(), 1);

    let missing = rig.list(&["srv", "nope"]).await;
    assert_eq!(members(&missing), recorded_members("flow_list_missing"));
    let download = rig.download(&["srv", "evidence", "files", "k1.bin"]).await;
    assert_eq!(members(&download), recorded_members("flow_download_k1"));
    let absent = rig.download(&["srv", "evidence", "files", "nope"]).await;
    assert_eq!(members(&absent), recorded_members("flow_download_missing"));
    let directory = rig.download(&["srv", "evidence", "files", "adir"]).await;
    assert_eq!(members(&directory), recorded_members("flow_download_directory"));
    rig.handle.lose_next_flows(1);
    let lost = rig.list(&["srv"]).await;
    assert_eq!(members(&lost), recorded_members("flow_lost"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_has_the_recorded_parameters_and_record() {
    let mut rig = start().await;
    let components: Vec<String> = ["auto", "srv", "evidence", "small"].map(String::from).to_vec();
    let request = VfsRefreshDirectoryRequest {
        client_id: rig.client_id.clone(),
        vfs_components: components.clone(),
        ..VfsRefreshDirectoryRequest::default()
    };
    let started = rig.api.vfs_refresh_directory(request).await.unwrap().into_inner();
    let recorded = fixture("refresh_ok");
    let theirs = &recorded["responses"][0]["request"]["specs"][0]["parameters"]["env"];
    let env = started.request.unwrap().specs[0].parameters.clone().unwrap().env;
    let ours: Vec<Value> = env.iter().map(|item| serde_json::json!({"key": item.key, "value": item.value})).collect();
    assert_eq!(Value::Array(ours), *theirs);
    rig.wait(&started.flow_id).await;
    let stat =
        VfsListRequest { client_id: rig.client_id.clone(), vfs_components: components, ..VfsListRequest::default() };
    let record = rig.record(&stat, &started.flow_id).await;
    let recorded = &fixture("stat_listed")["responses"][0];
    assert_eq!(record.artifact, recorded["artifact"].as_str().unwrap());
    assert_eq!((record.total_rows, record.start_idx, record.end_idx), (12, 0, 12));
    assert!((1_700_000_000..10_000_000_000).contains(&record.timestamp), "seconds");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_completion_event_has_the_recorded_members() {
    let mut rig = start().await;
    let request = EventRequest { queue: "System.Flow.Completion".to_string(), ..EventRequest::default() };
    let mut stream = rig.api.watch_event(request).await.unwrap().into_inner();
    rig.list(&["srv", "evidence", "small"]).await;
    let event = stream.next().await.unwrap().unwrap();
    let ours: Value = serde_json::from_slice(&event.jsonl).unwrap();
    let recorded = fixture("watchevent_completion");
    let theirs = &recorded["responses"][0]["jsonl_parsed"];
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<std::collections::BTreeSet<_>>();
    assert_eq!(keys(&ours), keys(theirs));
    assert_eq!(keys(&ours["Flow"]), keys(&theirs["Flow"]));
    assert_eq!(ours["Flow"]["state"], theirs["Flow"]["state"]);
    assert_eq!(event.source, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_top_level_is_the_recorded_text() {
    let mut rig = start().await;
    let request = VfsListRequest { client_id: rig.client_id.clone(), ..VfsListRequest::default() };
    let root = rig.api.vfs_list_directory(request).await.unwrap().into_inner();
    assert_eq!(root.response, fixture("list_root")["responses"][0]["Response"].as_str().unwrap());
}
