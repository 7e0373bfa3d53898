//! The custom artifacts for ranges, many directories and many files (§8.1).

use raptorgate_simulator::{Permissions, Timing};
use serde_json::json;
use tonic::Code;
use velociraptor_proto::proto::artifact_collector_context::State;
use velociraptor_proto::proto::{GetArtifactsRequest, SetArtifactRequest, VfsFileBuffer, set_artifact_request};

use crate::rig::{Rig, collection, column, connect, fixture, rows};

const RANGES: &str = "Custom.Raptorgate.ReadRanges";
const LIST_MANY: &str = "Custom.Raptorgate.ListMany";
const FETCH_MANY: &str = "Custom.Raptorgate.FetchMany";

async fn start(artifact: &str) -> Rig {
    let rig = Rig::with(Timing::instant(), |root| {
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        std::fs::create_dir(root.join("empty")).unwrap();
        let bytes: Vec<u8> = (0..1 << 20u32).map(|n| (n % 251) as u8).collect();
        std::fs::write(root.join("a/file"), bytes).unwrap();
        std::fs::write(root.join("a/b/small"), b"small").unwrap();
    })
    .await;
    rig.handle.install_artifact(&format!("name: {artifact}\ntype: CLIENT\n")).unwrap();
    rig
}

#[tokio::test(flavor = "multi_thread")]
async fn an_artifact_is_unknown_until_somebody_with_the_right_installs_it() {
    let mut rig = Rig::start().await;
    let request = collection(&rig.client_id, LIST_MANY, &[]);
    let refused = rig.api.collect_artifact(request.clone()).await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::Unavailable, "Unknown artifact Custom.Raptorgate.ListMany"));
    let set = SetArtifactRequest {
        artifact: format!("name: {LIST_MANY}\ntype: CLIENT\n"),
        op: set_artifact_request::Operation::Set.into(),
        ..SetArtifactRequest::default()
    };
    let refused = rig.api.set_artifact_file(set.clone()).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let admin = rig.simulator.add_api_user("admin", Permissions::administrator()).unwrap();
    let mut admin = connect(&admin).await;
    let bad = SetArtifactRequest { artifact: "name: [".to_string(), ..set.clone() };
    assert_eq!(admin.set_artifact_file(bad).await.unwrap_err().code(), Code::Unavailable);
    admin.set_artifact_file(set).await.unwrap();
    let known = GetArtifactsRequest { names: vec![LIST_MANY.to_string()], ..GetArtifactsRequest::default() };
    assert_eq!(rig.api.get_artifacts(known).await.unwrap().into_inner().items.len(), 1);
    rig.api.collect_artifact(request).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_basic_artifact_can_be_started_with_collect_basic_alone() {
    let mut rig = start(LIST_MANY).await;
    let path = rig.simulator.add_api_user("least", Permissions::basic()).unwrap();
    let mut least = connect(&path).await;
    let request = collection(&rig.client_id, LIST_MANY, &[]);
    assert_eq!(least.collect_artifact(request.clone()).await.unwrap_err().code(), Code::PermissionDenied);
    rig.handle.set_basic(LIST_MANY, true).unwrap();
    let flow_id = least.collect_artifact(request).await.unwrap().into_inner().flow_id;
    assert_eq!(rig.wait(&flow_id).await.state(), State::Finished);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_directories_come_in_one_flow_and_a_failed_one_has_no_stats_row() {
    let mut rig = start(LIST_MANY).await;
    let flow = rig
        .run(LIST_MANY, &[("Dirs", r#"[{"Dir":["a"]},{"Dir":["nope"]},{"Dir":["empty"]}]"#), ("Accessor", "auto")])
        .await;
    let table = rig.table(&flow.session_id, "Custom.Raptorgate.ListMany/Listing").await;
    let directories = column(&table, "Dir");
    let stats = column(&table, "Stats");
    let closed: Vec<_> = directories.iter().zip(&stats).filter(|(_, stats)| !stats.is_null()).collect();
    assert_eq!(
        closed,
        [
            (&json!(["a"]), &json!({"start_idx": 0, "end_idx": 2})),
            (&json!(["empty"]), &json!({"start_idx": 0, "end_idx": 0})),
        ]
    );
    assert_eq!(table.total_rows, 4);
    assert_eq!(rig.handle.counters().flows_of(LIST_MANY), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_files_come_in_one_flow_with_their_hashes() {
    let mut rig = start(FETCH_MANY).await;
    let files = r#"[{"File":["a","b","small"]},{"File":["nope"]},{"File":["a","file"]}]"#;
    let flow = rig.run(FETCH_MANY, &[("Files", files), ("Accessor", "auto")]).await;
    let table = rig.table(&flow.session_id, FETCH_MANY).await;
    let uploads = column(&table, "Upload");
    assert_eq!(uploads.len(), 2);
    assert_eq!(uploads[0]["sha256"], sha256(b"small"));
    assert_eq!(uploads[1]["Size"], 1 << 20);
    let path = rig.store_path(&flow.session_id, "auto", &["a", "b", "small"]);
    assert_eq!(rig.buffer(path, 0, 100).await.unwrap(), b"small");
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_tell_short_reads_over_base64_and_scope() {
    let mut rig = start(RANGES).await;
    let ranges = r#"[{"Offset":10,"Length":5},{"Offset":1048570,"Length":100}]"#;
    let file = ("Components", r#"["a","file"]"#);
    let flow = rig.run(RANGES, &[file, ("Ranges", ranges), ("Transport", "scope")]).await;
    let data = rig.table(&flow.session_id, "Custom.Raptorgate.ReadRanges/Data").await;
    assert_eq!(
        (column(&data, "Offset"), column(&data, "Got")),
        (vec![10.into(), 1_048_570.into()], vec![5.into(), 6.into()])
    );
    let path = rig.store_path(&flow.session_id, "scope", &["range-10-5"]);
    assert_eq!(rig.buffer(path, 0, 100).await.unwrap(), [10, 11, 12, 13, 14]);

    let flow = rig.run(RANGES, &[file, ("Ranges", ranges), ("Transport", "base64")]).await;
    let data = rig.table(&flow.session_id, "Custom.Raptorgate.ReadRanges/Data").await;
    assert_eq!(column(&data, "Data")[0], "CgsMDQ4=");

    let flow = rig.run(RANGES, &[("Components", r#"["nope"]"#), ("Ranges", ranges), ("Transport", "scope")]).await;
    assert_eq!((flow.state(), flow.total_collected_rows), (State::Finished, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn sparse_ranges_keep_their_offsets_and_are_padded_past_the_end() {
    let mut rig = start(RANGES).await;
    let ranges = r#"[{"Offset":100,"Length":64},{"Offset":1048560,"Length":64}]"#;
    let flow = rig.run(RANGES, &[("Components", r#"["a","file"]"#), ("Ranges", ranges), ("Transport", "sparse")]).await;
    let path = rig.store_path(&flow.session_id, "sparse", &["ranges"]);
    let expanded = rig.buffer(path.clone(), 98, 4).await.unwrap();
    assert_eq!(expanded, [0, 0, 100, 101]);
    let tail = rig.buffer(path.clone(), 1_048_570, 100).await.unwrap();
    assert_eq!(tail.len(), 54);
    assert!(tail[6..].iter().all(|byte| *byte == 0), "what lies past the end reads as zeros");
    let packed =
        VfsFileBuffer { components: path.clone(), length: 200, padding: Some(false), ..VfsFileBuffer::default() };
    assert_eq!(rig.api.vfs_get_buffer(packed).await.unwrap().into_inner().data.len(), 128);
    let mut index = path;
    *index.last_mut().unwrap() = "ranges.idx".to_string();
    let index: serde_json::Value = serde_json::from_slice(&rig.buffer(index, 0, 4096).await.unwrap()).unwrap();
    assert_eq!(index["ranges"][1], json!({"original_offset": 100, "file_length": 64, "length": 64}));
    let uploads = rig.typed_table(&flow.session_id, "uploads").await;
    let recorded = fixture("uploads_sparse");
    assert_eq!(
        uploads.columns,
        serde_json::from_value::<Vec<String>>(recorded["responses"][0]["columns"].clone()).unwrap()
    );
    assert_eq!(column(&uploads, "Type"), ["", "idx"]);
    assert_eq!(rows(&uploads)[0][5], 1_048_624);
}
