//! Switches: what a server or an endpoint does on a bad day (§15).

use std::time::Duration;

use tokio_stream::StreamExt;
use tonic::Code;
use velociraptor_proto::proto::artifact_collector_context::State;
use velociraptor_proto::proto::{ApiFlowRequest, EventRequest, GetTableRequest, VfsListRequest};

use crate::rig::{LIST, LISTING, Rig, column, connect, rows};

async fn three_files() -> Rig {
    Rig::with(raptorgate_simulator::Timing::instant(), |root| {
        for name in ["123", "b", "c"] {
            std::fs::write(root.join(name), name).unwrap();
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn flows_of_an_offline_endpoint_stay_running_until_it_returns() {
    let mut rig = Rig::start().await;
    rig.handle.set_online(&rig.client_id, false).unwrap();
    let flow_id = rig.start_flow(LIST, &[("Components", "[]")]).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(rig.details(&flow_id).await.state(), State::Running);
    rig.handle.set_online(&rig.client_id, true).unwrap();
    assert_eq!(rig.wait(&flow_id).await.state(), State::Finished);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_flow_of_an_offline_endpoint_never_runs() {
    let mut rig = Rig::start().await;
    rig.handle.set_online(&rig.client_id, false).unwrap();
    let flow_id = rig.start_flow(LIST, &[("Components", "[]")]).await;
    let cancel =
        ApiFlowRequest { client_id: rig.client_id.clone(), flow_id: flow_id.clone(), ..ApiFlowRequest::default() };
    rig.api.cancel_flow(cancel).await.unwrap();
    let context = rig.details(&flow_id).await;
    assert_eq!((context.state(), context.status.as_str()), (State::Error, "Cancelled by raptorgate"));
    rig.handle.set_online(&rig.client_id, true).unwrap();
    rig.list(&[]).await;
    assert_eq!(rig.table(&flow_id, LISTING).await.total_rows, -1);
    assert_eq!(rig.handle.counters().deliveries[&rig.client_id], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn flows_can_fail_get_lost_or_never_end() {
    let mut rig = Rig::start().await;
    rig.handle.fail_next_flows(1, "it broke");
    let failed = rig.list(&[]).await;
    assert_eq!((failed.state(), failed.status.as_str()), (State::Error, "it broke"));
    rig.handle.lose_next_flows(1);
    let lost = rig.list(&[]).await;
    assert_eq!((lost.state(), lost.status.as_str()), (State::Error, "Flow not known - maybe the client crashed?"));
    rig.handle.stall_next_flows(1);
    let stalled = rig.start_flow(LIST, &[("Components", "[]")]).await;
    assert_eq!(rig.list(&[]).await.state(), State::Finished);
    assert_eq!(rig.details(&stalled).await.state(), State::Waiting);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_completion_event_comes_with_numbers_and_streams_can_be_dropped() {
    let mut rig = Rig::start().await;
    let request = EventRequest { queue: "System.Flow.Completion".to_string(), ..EventRequest::default() };
    let mut stream = rig.api.watch_event(request).await.unwrap().into_inner();
    let flow = rig.list(&[]).await;
    let event = tokio::time::timeout(Duration::from_secs(10), stream.next()).await.unwrap().unwrap().unwrap();
    let event: serde_json::Value = serde_json::from_slice(&event.jsonl).unwrap();
    assert_eq!((event["FlowId"].as_str(), event["Flow"]["state"].as_u64()), (Some(flow.session_id.as_str()), Some(2)));
    assert!(event["Flow"].get("request").is_none());
    rig.handle.drop_event_streams();
    let end = tokio::time::timeout(Duration::from_secs(10), stream.next()).await.unwrap();
    assert!(end.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_above_the_limit_are_resource_exhausted() {
    let mut rig = three_files().await;
    let flow = rig.list(&[]).await;
    rig.handle.limit_messages(Some(600));
    let mut request = GetTableRequest {
        client_id: rig.client_id.clone(),
        flow_id: flow.session_id,
        artifact: LISTING.to_string(),
        ..GetTableRequest::default()
    };
    assert_eq!(rig.api.get_table(request.clone()).await.unwrap_err().code(), Code::ResourceExhausted);
    request.rows = 1;
    assert_eq!(rig.api.get_table(request).await.unwrap().into_inner().rows.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn old_servers_send_cells_and_mark_ambiguous_strings() {
    let mut rig = three_files().await;
    let flow = rig.list(&[]).await;
    rig.handle.old_rows(true);
    let table = rig.table(&flow.session_id, LISTING).await;
    let name = table.columns.iter().position(|column| column == "Name").unwrap();
    #[allow(deprecated)]
    let mut names: Vec<String> = table.rows.iter().map(|row| row.cell[name].clone()).collect();
    names.sort();
    assert_eq!(names, [" 123", "b", "c"]);
    assert!(table.rows.iter().all(|row| row.json.is_empty()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nameless_row_has_no_download_in_front() {
    let mut rig = three_files().await;
    rig.handle.nameless_rows(true);
    rig.list(&[]).await;
    let request = GetTableRequest {
        client_id: rig.client_id.clone(),
        vfs_components: vec!["auto".to_string()],
        ..GetTableRequest::default()
    };
    let listed = rig.api.vfs_list_directory_files(request).await.unwrap().into_inner();
    let lengths: Vec<usize> = rows(&listed).iter().map(Vec::len).collect();
    assert_eq!(lengths, [12, 13, 13, 13]);
    assert_eq!(listed.columns.len(), 13);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_can_differ_in_columns_and_rows_be_shorter_than_them() {
    let mut rig = three_files().await;
    let flow = rig.list(&[]).await;
    rig.handle.uneven_columns(true);
    let mut request = GetTableRequest {
        client_id: rig.client_id.clone(),
        flow_id: flow.session_id,
        artifact: LISTING.to_string(),
        rows: 2,
        ..GetTableRequest::default()
    };
    let first = rig.api.get_table(request.clone()).await.unwrap().into_inner();
    request.start_row = 2;
    let second = rig.api.get_table(request).await.unwrap().into_inner();
    assert_ne!(first.columns, second.columns);
    assert!(rows(&first).iter().any(|row| row.len() < first.columns.len()));
}

#[tokio::test(flavor = "multi_thread")]
async fn denied_and_vanished_paths_change_listings_while_the_server_runs() {
    let mut rig = three_files().await;
    rig.handle.vanish(&rig.client_id, &["b"]).unwrap();
    let flow = rig.list(&[]).await;
    let mut names = column(&rig.table(&flow.session_id, LISTING).await, "Name");
    names.sort_by_key(ToString::to_string);
    assert_eq!(names, ["123", "c"]);
    rig.handle.restore(&rig.client_id, &["b"]).unwrap();
    let flow = rig.list(&[]).await;
    assert_eq!(rig.table(&flow.session_id, LISTING).await.total_rows, 3);
    rig.handle.deny(&rig.client_id, &[]).unwrap();
    let flow = rig.list(&[]).await;
    assert!(flow.artifacts_with_results.is_empty());
    assert!(rig.handle.deny("C.none", &[]).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_restart_cuts_connections_and_takes_new_ones_afterwards() {
    let mut rig = Rig::start().await;
    let config = rig.simulator.api_config().to_path_buf();
    let request = EventRequest { queue: "System.Flow.Completion".to_string(), ..EventRequest::default() };
    let mut stream = rig.api.watch_event(request).await.unwrap().into_inner();
    rig.handle.restart_server(Duration::from_millis(100));
    let end = tokio::time::timeout(Duration::from_secs(10), stream.next()).await.unwrap();
    assert!(!matches!(end, Some(Ok(_))));
    for _ in 0..200 {
        if crate::rig::try_connect(&config, true).await.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    rig.api = connect(&config).await;
    assert_eq!(rig.list(&[]).await.state(), State::Finished);
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_tell_calls_flows_and_deliveries() {
    let mut rig = three_files().await;
    rig.list(&[]).await;
    let counts = rig.handle.counters();
    assert_eq!((counts.flows_of(LIST), counts.flows_on(&rig.client_id), counts.all_flows()), (1, 1, 1));
    assert_eq!(counts.calls_of("CollectArtifact"), 1);
    assert_eq!((counts.deliveries[&rig.client_id], counts.rows[&rig.client_id]), (1, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn short_reads_add_up_to_the_whole_file() {
    let mut rig = Rig::with(raptorgate_simulator::Timing::instant(), |root| {
        std::fs::write(root.join("file"), vec![5; 200_000]).unwrap();
    })
    .await;
    let flow = rig.download(&["file"]).await;
    rig.handle.short_reads(true);
    let path = rig.store_path(&flow.session_id, "auto", &["file"]);
    let mut whole = Vec::new();
    let mut calls = 0;
    loop {
        let part = rig.buffer(path.clone(), whole.len() as u64, 1 << 20).await.unwrap();
        calls += 1;
        if part.is_empty() {
            break;
        }
        whole.extend(part);
    }
    assert_eq!((whole, calls), (vec![5; 200_000], 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_can_break_off_after_some_rows() {
    let mut rig = three_files().await;
    rig.handle.break_next_flows(1, 2, "it broke");
    let broken = rig.list(&[]).await;
    assert_eq!((broken.state(), broken.status.as_str()), (State::Error, "it broke"));
    assert_eq!(rig.table(&broken.session_id, LISTING).await.total_rows, 2);
    assert_eq!(rig.list(&[]).await.state(), State::Finished);
}

#[tokio::test(flavor = "multi_thread")]
async fn listings_can_be_wrong_about_sizes() {
    let mut rig = three_files().await;
    rig.handle.lie_about_sizes(100);
    let flow = rig.list(&[]).await;
    let mut sizes = column(&rig.table(&flow.session_id, LISTING).await, "Size");
    sizes.sort_by_key(serde_json::Value::as_u64);
    assert_eq!(sizes, [101, 101, 103]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_colleagues_failed_refresh_overwrites_the_record() {
    let mut rig = Rig::with(raptorgate_simulator::Timing::instant(), |root| {
        std::fs::create_dir(root.join("below")).unwrap();
        std::fs::write(root.join("below/file"), "").unwrap();
    })
    .await;
    let below = ["below".to_string()];
    let record = VfsListRequest {
        client_id: rig.client_id.clone(),
        vfs_components: vec!["auto".to_string(), "below".to_string()],
        ..VfsListRequest::default()
    };
    let mut rows = Vec::new();
    for vanished in [false, true] {
        if vanished {
            rig.handle.vanish(&rig.client_id, &["below"]).unwrap();
        }
        let flow = rig.handle.refresh(&rig.client_id, &below).unwrap();
        rig.wait(&flow).await;
        assert_eq!(rig.handle.has_ended(&rig.client_id, &flow), Some(true));
        for _ in 0..200 {
            let answer = rig.api.vfs_stat_directory(record.clone()).await.unwrap().into_inner();
            if answer.flow_id == flow {
                rows.push((answer.total_rows, answer.artifact.is_empty()));
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    assert_eq!(rows, [(1, false), (0, true)]);
    assert_eq!(rig.handle.has_ended(&rig.client_id, "F.NONE"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_servers_clock_can_be_wrong() {
    let mut rig = Rig::start().await;
    let right = rig.list(&[]).await.create_time;
    rig.handle.skew_clock(-3600);
    let early = rig.list(&[]).await.create_time;
    rig.handle.skew_clock(3600);
    let late = rig.list(&[]).await.create_time;
    let hour = 3600 * 1_000_000;
    assert!((early + hour).abs_diff(right) < hour / 2, "{early} {right}");
    assert!(late.abs_diff(right + hour) < hour / 2, "{late} {right}");
}
