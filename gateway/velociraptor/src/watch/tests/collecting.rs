//! Collecting flows of a real server (`tests/fixtures`).

use futures_util::StreamExt as _;
use velociraptor_proto::proto::artifact_collector_context::State;
use vfs::backend::{Cause, Failure, Outcome};

use super::{FLOW, Stage, finished, pass, path, table};
use crate::artifacts;
use crate::flow::Kind;
use crate::server::fake::{fixture, flow};

/// The real flow that collected `name`, as if this process had started it.
async fn collect(name: &str) -> super::Seen {
    let stage = Stage::new();
    let file = path(&["srv", "evidence", "files", name]);
    let context = flow(&format!("flow_download_{name}"));
    let job = vfs::backend::Job { endpoint: super::endpoint(), id: context.session_id.as_str().into() };
    stage.shared.started(&job, crate::flow::Task { kind: Kind::Fetch { file }, by: "alice".into() });
    stage.server.set_table(&job.id, artifacts::DOWNLOAD_FILE, fixture(&format!("table_download_{name}")));
    stage.server.set_table(&job.id, "uploads", fixture(&format!("uploads_{name}")));
    stage.server.set_flow(context);
    stage.watch(&job).await
}

#[tokio::test(start_paused = true)]
async fn a_collected_file_has_its_size_and_its_place() {
    let seen = collect("k1").await;
    let fetched = &seen.fetched[0];
    assert_eq!(fetched.file, path(&["srv", "evidence", "files", "k1"]));
    let content = fetched.content.as_ref().unwrap();
    assert_eq!((content.size, content.sparse, content.sha256_endpoint.as_deref()), (1_024, false, None));
    let place = [
        "clients",
        "C.834f277e797daf83",
        "collections",
        "F.DC2PDSN7DS64U",
        "uploads",
        "auto",
        "srv",
        "evidence",
        "files",
    ];
    assert_eq!(content.location.components[..9], place);
    assert_eq!(seen.outcome, finished(None));
}

#[tokio::test(start_paused = true)]
async fn what_is_no_file_is_told_by_the_endpoints_words() {
    for name in ["directory", "fifo"] {
        let seen = collect(name).await;
        let complaint = seen.fetched[0].content.as_ref().unwrap_err();
        assert_eq!(complaint.cause, Cause::Unsupported, "{complaint:?}");
        assert_eq!(seen.outcome, finished(None));
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_of_which_nothing_was_said_is_not_proven_absent() {
    let seen = collect("missing").await;
    assert_eq!(seen.fetched[0].content.as_ref().unwrap_err().cause, Cause::Unknown);
}

#[tokio::test(start_paused = true)]
async fn a_part_of_a_file_is_no_file() {
    let stage = Stage::new();
    let job = stage.start(Kind::Fetch { file: path(&["srv", "evidence", "files", "m10.bin"]) });
    let mut context = flow("flow_overlimit");
    context.session_id = FLOW.into();
    stage.server.set_flow(context);
    stage.server.set_table(FLOW, "uploads", fixture("uploads_overlimit"));
    let seen = stage.watch(&job).await;
    assert!(seen.fetched.is_empty());
    assert!(matches!(seen.outcome, Some(Outcome::Failed { failure: Failure::Limit, .. })), "{:?}", seen.outcome);
}

const UPLOADS: [&str; 6] = ["Type", "_Components", "file_size", "_accessor", "_client_components", "uploaded_size"];

fn upload(kind: &str, accessor: &str, name: &[&str], file_size: u64, uploaded: u64) -> serde_json::Value {
    let place = [&["clients", "C", "collections", "F", "uploads", accessor], name].concat();
    serde_json::json!([kind, place, file_size, accessor, name, uploaded])
}

#[tokio::test(start_paused = true)]
async fn a_sparse_file_is_as_long_as_the_endpoint_says() {
    let stage = Stage::new();
    let job = stage.start(Kind::Fetch { file: path(&["s"]) });
    let rows = vec![upload("", "auto", &["s"], 4_000, 128), upload("idx", "auto", &["s"], 4_000, 128)];
    stage.server.set_table(FLOW, "uploads", table(&UPLOADS, rows));
    let said = vec![serde_json::json!([4_096, 128, null, ["s"]])];
    stage.server.set_table(
        FLOW,
        artifacts::DOWNLOAD_FILE,
        table(&["Size", "StoredSize", "Error", "_Components"], said),
    );
    stage.set_state(State::Finished, &[artifacts::DOWNLOAD_FILE]);
    let seen = stage.watch(&job).await;
    let content = seen.fetched[0].content.as_ref().unwrap();
    assert_eq!((content.size, content.sparse), (4_096, true));
}

#[tokio::test(start_paused = true)]
async fn bytes_that_did_not_arrive_are_missed() {
    let stage = Stage::new();
    let job = stage.start(Kind::Fetch { file: path(&["s"]) });
    stage.server.set_table(FLOW, "uploads", table(&UPLOADS, vec![upload("", "auto", &["s"], 4_000, 3_000)]));
    let said = vec![serde_json::json!([4_000, ["s"]])];
    stage.server.set_table(FLOW, artifacts::DOWNLOAD_FILE, table(&["Size", "_Components"], said));
    stage.set_state(State::Finished, &[artifacts::DOWNLOAD_FILE]);
    let seen = stage.watch(&job).await;
    let complaint = seen.fetched[0].content.as_ref().unwrap_err();
    assert!(complaint.message.contains("3000 of 4000"), "{complaint:?}");
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_comes_late_into_the_table_is_waited_for() {
    let stage = Stage::new();
    let job = stage.start(Kind::Fetch { file: path(&["s"]) });
    stage.set_state(State::Finished, &[]);
    stage.server.flows.lock().unwrap().get_mut(FLOW).unwrap().total_uploaded_files = 1;
    let late = async {
        tokio::time::sleep(std::time::Duration::from_millis(450)).await;
        stage.server.set_table(FLOW, "uploads", table(&UPLOADS, vec![upload("", "auto", &["s"], 7, 7)]));
    };
    let (seen, ()) = tokio::join!(stage.watch(&job), late);
    assert_eq!(seen.fetched[0].content.as_ref().unwrap().size, 7);
}

#[tokio::test(start_paused = true)]
async fn many_files_in_one_flow_come_with_the_endpoints_hashes() {
    let stage = Stage::new();
    let files = ["a", "b", "c", "d"].map(|name| path(&[name]));
    let job = stage.start(Kind::FetchMany { files: files.to_vec() });
    let rows = vec![upload("", "auto", &["d"], 4, 4), upload("", "auto", &["a"], 1, 1)];
    stage.server.set_table(FLOW, "uploads", table(&UPLOADS, rows));
    let hash = "432ff6d46f53f1cd9f011bcc38090b85a88855c910bc66273d176aa1a0fc8ff6";
    let said = vec![
        serde_json::json!([["a"], 1, {"Size": 1, "sha256": hash}]),
        serde_json::json!([["b"], 2, {"Error": "open /b: permission denied"}]),
        serde_json::json!([["d"], 4, {"Size": 4, "sha256": "short"}]),
    ];
    stage.server.set_table(FLOW, artifacts::FETCH_MANY.name, table(&["File", "Size", "Upload"], said));
    stage.set_state(State::Finished, &[artifacts::FETCH_MANY.name]);
    let seen = stage.watch(&job).await;
    let found: Vec<_> = seen
        .fetched
        .iter()
        .map(|fetched| match &fetched.content {
            Ok(content) => (fetched.file.name().unwrap(), Ok((content.size, content.sha256_endpoint.as_deref()))),
            Err(complaint) => (fetched.file.name().unwrap(), Err(complaint.cause)),
        })
        .collect();
    let expected =
        [("a", Ok((1, Some(hash)))), ("b", Err(Cause::Denied)), ("c", Err(Cause::Unknown)), ("d", Ok((4, None)))];
    assert_eq!(found, expected);
}

#[tokio::test(start_paused = true)]
async fn the_first_of_many_files_are_told_while_the_others_are_on_their_way() {
    let stage = Stage::new();
    let files = ["a", "b", "c"].map(|name| path(&[name]));
    let job = stage.start(Kind::FetchMany { files: files.to_vec() });
    // Of `b` the endpoint counted more than has arrived, of `c` it has said nothing yet.
    let rows = [("a", 3), ("b", 2), ("c", 1)].map(|(name, bytes)| upload("", "auto", &[name], bytes, bytes));
    stage.server.set_table(FLOW, "uploads", table(&UPLOADS, rows.to_vec()));
    let said = |name: &str, size: u64| serde_json::json!([[name], size, {"Size": size}]);
    let columns = ["File", "Size", "Upload"];
    stage.server.set_table(FLOW, artifacts::FETCH_MANY.name, table(&columns, vec![said("a", 3), said("b", 9)]));
    stage.set_state(State::InProgress, &[artifacts::FETCH_MANY.name]);
    let mut events = stage.shared.watch(&job);
    let mut seen = super::Seen::default();
    let early = async {
        while let Some(event) = events.next().await {
            seen.add(event);
        }
    };
    assert!(tokio::time::timeout(std::time::Duration::from_secs(5), early).await.is_err(), "the flow still runs");
    let names = |seen: &super::Seen| -> Vec<_> {
        let name = |fetched: &vfs::backend::Fetched| (fetched.file.name().unwrap().to_owned(), fetched.content.is_ok());
        seen.fetched.iter().map(name).collect()
    };
    assert_eq!(names(&seen), [("a".to_owned(), true)]);
    let all = vec![said("a", 3), said("b", 9), said("c", 1)];
    stage.server.set_table(FLOW, artifacts::FETCH_MANY.name, table(&columns, all));
    stage.set_state(State::Finished, &[artifacts::FETCH_MANY.name]);
    while let Some(event) = events.next().await {
        seen.add(event);
    }
    assert_eq!(names(&seen), [("a".to_owned(), true), ("b".to_owned(), false), ("c".to_owned(), true)]);
}

#[tokio::test(start_paused = true)]
async fn each_range_is_a_content_of_its_own() {
    const BEFORE: (u64, &str) = (4_096, "2026-11-24T13:21:57.182183236Z");
    for (after, words) in [
        (Some(BEFORE), None),
        (Some((4_097, BEFORE.1)), Some("changed")),
        (Some((4_096, "2026-11-24T13:21:58Z")), Some("changed")),
        (None, Some("install-artifacts")),
    ] {
        let stage = Stage::new();
        let ranges = vec![(0, 10), (4_090, 10), (9_999, 10)];
        let job = stage.start(Kind::Ranges { file: path(&["f"]), ranges });
        let rows = vec![upload("", "scope", &["range-4090-10"], 6, 6), upload("", "scope", &["range-0-10"], 10, 10)];
        stage.server.set_table(FLOW, "uploads", table(&UPLOADS, rows));
        let mut sources = Vec::new();
        for (source, state) in [(artifacts::READ_RANGES_STAT, Some(BEFORE)), (artifacts::READ_RANGES_AFTER, after)] {
            if let Some((size, modified)) = state {
                let row = serde_json::json!(["/f", size, modified]);
                stage.server.set_table(FLOW, source, table(&["OSPath", "Size", "Mtime"], vec![row]));
                sources.push(source);
            }
        }
        stage.set_state(State::Finished, &sources);
        let seen = stage.watch(&job).await;
        assert_eq!(seen.fetched.len(), 3);
        match words {
            None => {
                let sizes: Vec<_> =
                    seen.fetched.iter().map(|range| range.content.as_ref().ok().map(|content| content.size)).collect();
                assert_eq!(sizes, [Some(10), Some(6), None]);
                let offsets: Vec<_> = seen.fetched.iter().map(|range| range.range.unwrap().offset).collect();
                assert_eq!(offsets, [0, 4_090, 9_999]);
                assert!(seen.fetched.iter().all(|range| range.range.unwrap().state.size == BEFORE.0));
            }
            Some(words) => {
                let told = |range: &vfs::backend::Fetched| range.content.as_ref().unwrap_err().message.contains(words);
                assert!(seen.fetched.iter().take(2).all(told), "{:?}", seen.fetched);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_running_upload_shows_how_far_it_is() {
    let stage = Stage::new();
    let job = stage.start(Kind::Fetch { file: path(&["big"]) });
    stage.set_state(State::InProgress, &[]);
    let ending = async {
        pass(20).await;
        stage.server.set_table(FLOW, "uploads", table(&UPLOADS, vec![upload("", "auto", &["big"], 5 << 19, 5 << 19)]));
        stage.set_state(State::Finished, &[]);
        stage.server.tell_end(FLOW);
    };
    let (seen, ()) = tokio::join!(stage.watch(&job), ending);
    let bytes: Vec<_> = seen.progress.iter().map(|(_, bytes)| *bytes).collect();
    assert!(bytes.is_sorted() && bytes.last().is_some_and(|last| (2_000_000..=5 << 19).contains(last)), "{bytes:?}");
    assert!(stage.server.calls("buffer") < 300, "at most eight calls a second");
    assert_eq!(seen.fetched.len(), 1);
}
