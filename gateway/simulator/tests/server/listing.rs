//! Listings of a real directory: flows, tables, records (§4).

use std::os::unix::fs::symlink;
use std::time::Duration;

use crate::rig;
use crate::rig::{LISTING, Rig, STATS, column, rows};
use raptorgate_simulator::Timing;
use velociraptor_proto::proto::artifact_collector_context::State;
use velociraptor_proto::proto::{GetTableRequest, VfsListRequest, VfsRefreshDirectoryRequest};

fn small_tree(root: &std::path::Path) {
    std::fs::create_dir_all(root.join("srv/small/sub")).unwrap();
    std::fs::write(root.join("srv/small/f1.txt"), b"hello").unwrap();
    symlink("/nonexistent/x", root.join("srv/small/dangling")).unwrap();
    std::fs::create_dir(root.join("srv/empty")).unwrap();
}

async fn start() -> Rig {
    Rig::with(Timing::instant(), small_tree).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_flow_ends_finished_with_rows_and_one_stats_row_per_directory() {
    let mut rig = start().await;
    let context = rig.list(&["srv", "small"]).await;
    assert_eq!(context.state(), State::Finished, "{}", context.status);
    assert_eq!(context.artifacts_with_results, [LISTING, STATS]);
    assert_eq!(context.total_collected_rows, 4);
    let listing = rig.table(&context.session_id, LISTING).await;
    assert_eq!(listing.total_rows, 3);
    let mut names: Vec<String> =
        column(&listing, "Name").iter().map(|name| name.as_str().unwrap().to_string()).collect();
    names.sort();
    assert_eq!(names, ["dangling", "f1.txt", "sub"]);
    let stats = rig.table(&context.session_id, STATS).await;
    assert_eq!(rows(&stats)[0][2], serde_json::json!({"start_idx": 0, "end_idx": 3}));
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_come_before_their_stats_and_sub_directories_afterwards() {
    let mut rig = start().await;
    let flow = rig.run(rig::LIST, &[("Components", "[]"), ("Accessor", "auto"), ("Depth", "10")]).await;
    let stats = rig.table(&flow.session_id, STATS).await;
    let listing = rig.table(&flow.session_id, LISTING).await;
    assert_eq!(stats.total_rows, 5);
    let mut expected_start = 0;
    for row in rows(&stats) {
        assert_eq!(row[2]["start_idx"], expected_start);
        expected_start = row[2]["end_idx"].as_u64().unwrap();
    }
    assert_eq!(expected_start, u64::try_from(listing.total_rows).unwrap());
    assert_eq!(rows(&stats)[0][0], serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_refresh_overwrites_a_good_record_only_if_it_had_a_path() {
    let mut rig = start().await;
    let components: Vec<String> = ["auto", "srv", "small"].map(String::from).to_vec();
    let refresh = VfsRefreshDirectoryRequest {
        client_id: rig.client_id.clone(),
        vfs_components: components.clone(),
        ..VfsRefreshDirectoryRequest::default()
    };
    let stat =
        VfsListRequest { client_id: rig.client_id.clone(), vfs_components: components, ..VfsListRequest::default() };
    let first = rig.api.vfs_refresh_directory(refresh.clone()).await.unwrap().into_inner();
    rig.wait(&first.flow_id).await;
    let record = rig.record(&stat, &first.flow_id).await;
    assert_eq!((record.total_rows, record.artifact.as_str()), (3, LISTING));

    rig.handle.vanish(&rig.client_id, &["srv", "small"]).unwrap();
    let without_path = rig.list(&["srv", "small"]).await;
    assert_eq!(without_path.state(), State::Finished);
    assert!(without_path.artifacts_with_results.is_empty());
    let record = rig.api.vfs_stat_directory(stat.clone()).await.unwrap().into_inner();
    assert_eq!(record.flow_id, first.flow_id);

    let with_path = rig.api.vfs_refresh_directory(refresh).await.unwrap().into_inner();
    rig.wait(&with_path.flow_id).await;
    let record = rig.record(&stat, &with_path.flow_id).await;
    assert_eq!((record.total_rows, record.artifact.as_str()), (0, ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reason_of_a_failed_listing_stands_in_its_log_until_lines_get_lost() {
    let mut rig = start().await;
    let reason = |table: &velociraptor_proto::proto::GetTableResponse| {
        column(table, "message")
            .iter()
            .any(|line| line.as_str().unwrap().starts_with("vfs_ls: lstat /srv/nope: no such file or directory"))
    };
    let flow = rig.list(&["srv", "nope"]).await;
    let log = rig.typed_table(&flow.session_id, "log").await;
    assert!(reason(&log));
    assert_eq!(u64::try_from(log.total_rows).unwrap(), flow.total_logs);

    rig.handle.lose_log_lines(1.0);
    let flow = rig.list(&["srv", "nope"]).await;
    let log = rig.typed_table(&flow.session_id, "log").await;
    assert!(!reason(&log));
    assert!(u64::try_from(log.total_rows).unwrap() < flow.total_logs);
    assert!(flow.artifacts_with_results.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn never_listed_empty_and_listed_directories_can_be_told_apart() {
    let mut rig = start().await;
    rig.list(&["srv", "empty"]).await;
    rig.list(&["srv", "small"]).await;
    let client_id = rig.client_id.clone();
    let mut files = async |path: &[&str]| {
        let request = GetTableRequest {
            client_id: client_id.clone(),
            vfs_components: path.iter().map(ToString::to_string).collect(),
            ..GetTableRequest::default()
        };
        rig.api.vfs_list_directory_files(request).await.unwrap().into_inner()
    };
    let never = files(&["auto", "srv", "never"]).await;
    assert_eq!(never, velociraptor_proto::proto::GetTableResponse::default());
    let empty = files(&["auto", "srv", "empty"]).await;
    assert_eq!((empty.total_rows, empty.columns.len(), empty.rows.len()), (-1, 0, 0));
    let listed = files(&["auto", "srv", "small"]).await;
    assert_eq!(listed.columns[0], "Download");
    assert_eq!(listed.total_rows, 3);
    assert!(rows(&listed).iter().all(|row| row[0] == "" && row.len() == 13));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_record_can_be_late() {
    let mut rig = start().await;
    rig.handle.late_records(Some(Duration::from_millis(300)));
    rig.list(&["srv", "small"]).await;
    let stat = VfsListRequest {
        client_id: rig.client_id.clone(),
        vfs_components: ["auto", "srv", "small"].map(String::from).to_vec(),
        ..VfsListRequest::default()
    };
    let early = rig.api.vfs_stat_directory(stat.clone()).await.unwrap().into_inner();
    assert_eq!(early.flow_id, "");
    for _ in 0..500 {
        if !rig.api.vfs_stat_directory(stat.clone()).await.unwrap().into_inner().flow_id.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the record never came");
}

#[tokio::test(flavor = "multi_thread")]
async fn dot_dot_in_components_is_passed_to_the_endpoint() {
    let mut rig = start().await;
    let flow = rig.list(&["srv", "small", "..", "small"]).await;
    assert_eq!(rig.table(&flow.session_id, LISTING).await.total_rows, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_regular_file_lists_as_an_empty_directory_with_stats() {
    let mut rig = start().await;
    let flow = rig.list(&["srv", "small", "f1.txt"]).await;
    assert_eq!(flow.artifacts_with_results, [STATS]);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_a_table_follow_start_row_and_index_ranges() {
    let mut rig = Rig::with(Timing::instant(), |root| {
        for number in 0..25 {
            std::fs::write(root.join(format!("f{number:02}")), b"x").unwrap();
        }
    })
    .await;
    let flow = rig.list(&[]).await;
    let request = GetTableRequest {
        client_id: rig.client_id.clone(),
        flow_id: flow.session_id.clone(),
        artifact: LISTING.to_string(),
        rows: 10,
        start_row: 20,
        ..GetTableRequest::default()
    };
    let page = rig.api.get_table(request.clone()).await.unwrap().into_inner();
    assert_eq!(column(&page, "_Idx"), [20, 21, 22, 23, 24]);
    let range = GetTableRequest { start_idx: 3, end_idx: 6, start_row: 1, ..request.clone() };
    let page = rig.api.get_table(range).await.unwrap().into_inner();
    assert_eq!((page.total_rows, column(&page, "_Idx")), (3, vec![4.into(), 5.into()]));
    let past = GetTableRequest { start_row: 25, ..request };
    let page = rig.api.get_table(past).await.unwrap().into_inner();
    assert_eq!((page.total_rows, page.columns.len(), page.rows.len()), (25, 0, 0));
}
