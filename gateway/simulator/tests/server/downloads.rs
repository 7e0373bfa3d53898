//! Downloads and the file store (§5).

use std::os::unix::fs::symlink;

use raptorgate_simulator::Timing;
use tonic::Code;
use velociraptor_proto::proto::artifact_collector_context::State;
use velociraptor_proto::proto::{GetTableRequest, VfsFileBuffer, VfsStatDownloadRequest};

use crate::rig::{DOWNLOAD, Rig, collection, column, rows};

fn fill(root: &std::path::Path) {
    std::fs::create_dir_all(root.join("d/adir")).unwrap();
    std::fs::write(root.join("d/k1.bin"), (0..1024u32).map(|n| n as u8).collect::<Vec<_>>()).unwrap();
    std::fs::write(root.join("d/empty"), b"").unwrap();
    std::fs::write(root.join("d/m10.bin"), vec![7u8; 10 << 20]).unwrap();
    symlink("k1.bin", root.join("d/link")).unwrap();
    symlink("/nowhere/x", root.join("d/dangling")).unwrap();
}

async fn start() -> Rig {
    Rig::with(Timing::instant(), fill).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_downloaded_file_reads_back_exactly_and_ends_with_empty_data() {
    let mut rig = start().await;
    let flow = rig.download(&["d", "k1.bin"]).await;
    assert_eq!((flow.state(), flow.total_uploaded_files, flow.total_uploaded_bytes), (State::Finished, 1, 1024));
    let path = rig.store_path(&flow.session_id, "auto", &["d", "k1.bin"]);
    let data = rig.buffer(path.clone(), 0, 4096).await.unwrap();
    assert_eq!(data, std::fs::read(rig.root.path().join("d/k1.bin")).unwrap());
    assert_eq!(rig.buffer(path.clone(), 1000, 64).await.unwrap().len(), 24);
    assert!(rig.buffer(path, 1024, 64).await.unwrap().is_empty());
    let uploads = rig.typed_table(&flow.session_id, "uploads").await;
    assert_eq!(column(&uploads, "uploaded_size"), [1024]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absent_file_is_a_finished_flow_without_rows_and_stays_in_flight() {
    let mut rig = start().await;
    rig.list(&["d"]).await;
    let request = VfsStatDownloadRequest {
        client_id: rig.client_id.clone(),
        accessor: "auto".to_string(),
        components: ["d", "k1.bin"].map(String::from).to_vec(),
    };
    rig.handle.vanish(&rig.client_id, &["d", "k1.bin"]).unwrap();
    let flow_id = rig.api.vfs_download_file(request).await.unwrap().into_inner().flow_id;
    let flow = rig.wait(&flow_id).await;
    assert_eq!((flow.state(), flow.total_collected_rows, flow.total_uploaded_files), (State::Finished, 0, 0));
    assert_eq!(rig.table(&flow_id, DOWNLOAD).await.total_rows, -1);
    let download = download_state(&mut rig, "k1.bin").await;
    assert_eq!(download["in_flight"], true);
    assert_eq!(download["flow_id"], flow_id);
}

async fn download_state(rig: &mut Rig, name: &str) -> serde_json::Value {
    let request = GetTableRequest {
        client_id: rig.client_id.clone(),
        vfs_components: ["auto", "d"].map(String::from).to_vec(),
        ..GetTableRequest::default()
    };
    let listed = rig.api.vfs_list_directory_files(request).await.unwrap().into_inner();
    let place = listed.columns.iter().position(|column| column == "Name").unwrap();
    rows(&listed).into_iter().find(|row| row[place] == name).unwrap()[0].clone()
}

/// The same when the server has written it, which it does a little after the flow's end.
async fn state_of_downloaded(rig: &mut Rig, name: &str) -> serde_json::Value {
    for _ in 0..1_000 {
        let state = download_state(rig, name).await;
        if state.get("flow_id").is_some() && state.get("in_flight").is_none() {
            return state;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("{name} has no download state");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_download_state_of_a_file_stands_in_its_directory() {
    let mut rig = start().await;
    rig.list(&["d"]).await;
    let flow = rig.download(&["d", "k1.bin"]).await;
    let state = state_of_downloaded(&mut rig, "k1.bin").await;
    assert_eq!((state["size"].as_u64(), state["flow_id"].as_str()), (Some(1024), Some(flow.session_id.as_str())));
    assert_eq!(state["components"].as_array().unwrap().len(), 8);
    assert!(state.get("in_flight").is_none() && state.get("SHA256").is_none());
    rig.download(&["d", "adir"]).await;
    let state = state_of_downloaded(&mut rig, "adir").await;
    assert_eq!(state["error"], "invalid argument: Directories not supported");
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_opening_stand_in_the_row() {
    let mut rig = start().await;
    rig.handle.deny(&rig.client_id, &["d", "m10.bin"]).unwrap();
    for (path, error) in [
        (["d", "adir"], "invalid argument: Directories not supported"),
        (["d", "m10.bin"], "open /d/m10.bin: permission denied"),
        (["d", "dangling"], "lstat /nowhere: no such file or directory"),
    ] {
        let flow = rig.download(&path).await;
        assert_eq!((flow.state(), flow.total_uploaded_files), (State::Finished, 0));
        let table = rig.table(&flow.session_id, DOWNLOAD).await;
        assert_eq!(column(&table, "Error"), [error]);
        assert_eq!(column(&table, "Size"), [0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_uploads_table_tells_the_size_of_the_content_not_of_the_link() {
    let mut rig = start().await;
    let flow = rig.download(&["d", "link"]).await;
    let uploads = rig.typed_table(&flow.session_id, "uploads").await;
    assert_eq!((column(&uploads, "file_size"), column(&uploads, "uploaded_size")), (vec![6.into()], vec![1024.into()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_file_is_uploaded_and_reads_as_empty() {
    let mut rig = start().await;
    let flow = rig.download(&["d", "empty"]).await;
    assert_eq!(flow.total_uploaded_files, 1);
    let table = rig.table(&flow.session_id, DOWNLOAD).await;
    assert_eq!((column(&table, "Size"), column(&table, "StoredSize")), (vec![0.into()], vec![serde_json::Value::Null]));
    let path = rig.store_path(&flow.session_id, "auto", &["d", "empty"]);
    assert!(rig.buffer(path, 0, 10).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exceeded_limit_leaves_a_part_and_no_row_in_the_uploads_table() {
    let mut rig = start().await;
    let mut request =
        collection(&rig.client_id, DOWNLOAD, &[("Components", r#"["d","m10.bin"]"#), ("Accessor", "auto")]);
    request.max_upload_bytes = 3 << 20;
    let flow_id = rig.api.collect_artifact(request).await.unwrap().into_inner().flow_id;
    let flow = rig.wait(&flow_id).await;
    assert_eq!(flow.state(), State::Error);
    assert_eq!(flow.status, format!("Upload bytes 4194304 exceeded limit 3145728 for flow {flow_id}. Cancelling."));
    assert_eq!((flow.total_uploaded_files, flow.total_uploaded_bytes), (1, 4 << 20));
    assert_eq!(rig.typed_table(&flow_id, "uploads").await.total_rows, -1);
    let path = rig.store_path(&flow_id, "auto", &["d", "m10.bin"]);
    assert_eq!(rig.buffer(path, 0, 8 << 20).await.unwrap().len(), 3 << 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn get_buffer_answers_directories_absent_files_and_forbidden_paths_as_measured() {
    let mut rig = start().await;
    let flow = rig.download(&["d", "k1.bin"]).await;
    let directory = rig.store_path(&flow.session_id, "auto", &["d"]);
    assert!(rig.buffer(directory, 0, 64).await.unwrap().is_empty());
    let absent = rig.store_path(&flow.session_id, "auto", &["d", "nope"]);
    assert_eq!(rig.buffer(absent, 0, 64).await.unwrap_err().code(), Code::NotFound);
    let denied = rig.buffer(vec!["users".to_string(), "x".to_string()], 0, 64).await.unwrap_err();
    assert_eq!((denied.code(), denied.message()), (Code::PermissionDenied, "No access to filesystem path"));
    let none = rig.buffer(Vec::new(), 0, 64).await.unwrap_err();
    assert_eq!((none.code(), none.message()), (Code::InvalidArgument, "Invalid pathspec"));
    let request = VfsFileBuffer {
        client_id: rig.client_id.clone(),
        components: rig.store_path(&flow.session_id, "auto", &["d", "k1.bin"]),
        length: 64,
        ..VfsFileBuffer::default()
    };
    assert_eq!(rig.api.vfs_get_buffer(request).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_of_a_running_upload_can_be_read_as_far_as_they_have_come() {
    let timing = Timing { upload_fast: Some(4 << 20), upload_slow: Some(4 << 20), ..Timing::instant() };
    let mut rig = Rig::with(timing, |root| {
        let noise: Vec<u8> = (0..4u64 << 20).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect();
        std::fs::write(root.join("big"), noise).unwrap();
    })
    .await;
    let flow_id = rig.start_flow(DOWNLOAD, &[("Components", r#"["big"]"#), ("Accessor", "auto")]).await;
    let path = rig.store_path(&flow_id, "auto", &["big"]);
    let mut partial = 0;
    for _ in 0..2000 {
        match rig.buffer(path.clone(), 0, 4 << 20).await {
            Ok(data) if !data.is_empty() => {
                partial = data.len();
                break;
            }
            Ok(_) => panic!("an upload is visible before its first bytes"),
            Err(status) => assert_eq!(status.code(), Code::NotFound),
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert!(partial > 0 && partial < 4 << 20, "{partial}");
    assert_eq!(rig.typed_table(&flow_id, "uploads").await.total_rows, -1);
    assert_eq!(rig.details(&flow_id).await.state(), State::InProgress);
    rig.wait(&flow_id).await;
    assert_eq!(rig.buffer(path, 0, 8 << 20).await.unwrap(), std::fs::read(rig.root.path().join("big")).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recursive_download_takes_every_regular_file_below() {
    let mut rig = start().await;
    let flow = rig.run(DOWNLOAD, &[("Components", r#"["d"]"#), ("Accessor", "auto"), ("Recursively", "Y")]).await;
    assert_eq!(flow.total_uploaded_files, 3);
}
