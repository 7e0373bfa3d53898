//! `/C.xxxx/collected` (D9): what any job uploaded is there, whole, from the server alone.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use vfs::backend::JobSummary;
use vfs::testing::{FakeBackend, MemoryStore, call, vfs, vfs_with};
use vfs::{ErrorKind, Freshness, NodeKind, Settings, System, Timestamp};

use crate::{CLIENT, OFFLINE, content, find, know, names, read_all};

/// A job that ended a minute before the test began.
fn job(id: &str, files: u64) -> JobSummary {
    let ago = |seconds: i64| Timestamp::new(1_767_225_600 - seconds, 0);
    JobSummary {
        id: id.into(),
        named: vec!["Triage.Targets".to_owned()],
        by: "colleague".into(),
        started: ago(120),
        ended: Some(ago(60)),
        failed: None,
        files,
        bytes: 10,
    }
}

const LONG: &str = "collected/2025-12-31T235800Z-Triage.Targets-F.1";

fn at(client: &str, below: &str) -> String {
    format!("/{client}/{below}")
}

/// An offline endpoint on which somebody collected three files.
fn offline() -> Arc<FakeBackend> {
    let backend = crate::backend();
    backend.put_job(
        OFFLINE,
        job("F.1", 3),
        &[
            ("auto", &["home", "alice", "notes.txt"], Bytes::from_static(b"buy milk")),
            ("auto", &["home", "alice", "empty"], Bytes::new()),
            ("ntfs", &[r"\\.\C:", "$MFT"], Bytes::from(vec![7; 2_500_000])),
        ],
    );
    backend
}

#[tokio::test(start_paused = true)]
async fn uploads_of_any_job_are_a_tree_without_the_endpoint() {
    let backend = offline();
    let vfs = vfs(&backend);
    know(&vfs).await;
    assert_eq!(names(&vfs, &at(OFFLINE, "")).await.unwrap(), ["auto", "collected"]);
    assert_eq!(names(&vfs, &at(OFFLINE, "collected")).await.unwrap(), ["2025-12-31T235800Z-Triage.Targets-F.1"]);
    assert_eq!(names(&vfs, &at(OFFLINE, LONG)).await.unwrap(), ["auto", "ntfs"]);
    assert_eq!(names(&vfs, &at(OFFLINE, &format!("{LONG}/auto/home/alice"))).await.unwrap(), ["empty", "notes.txt"]);
    assert_eq!(content(&vfs, &at(OFFLINE, &format!("{LONG}/auto/home/alice/notes.txt"))).await.unwrap(), b"buy milk");
    assert_eq!(content(&vfs, &at(OFFLINE, &format!("{LONG}/auto/home/alice/empty"))).await.unwrap(), b"");
    assert_eq!(names(&vfs, &at(OFFLINE, &format!("{LONG}/ntfs"))).await.unwrap(), ["C:"]);
    assert_eq!(content(&vfs, &at(OFFLINE, &format!("{LONG}/ntfs/C:/$MFT"))).await.unwrap(), vec![7; 2_500_000]);
    let missing = find(&vfs, &at(OFFLINE, &format!("{LONG}/auto/home/bob"))).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::Absent);
    assert_eq!((backend.listings(), backend.fetches()), (0, 0));
    // An endpoint on which nothing was collected has the directory too, and it is empty.
    assert!(names(&vfs, &at(CLIENT, "collected")).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_upload_is_collected_already_and_says_where_it_is_from() {
    let backend = offline();
    let vfs = vfs(&backend);
    know(&vfs).await;
    let file = find(&vfs, &at(OFFLINE, &format!("{LONG}/auto/home/alice/notes.txt"))).await.unwrap();
    assert_eq!((file.node.kind, file.attributes.size), (NodeKind::File, Some(8)));
    assert!(file.attributes.collected && file.attributes.modified.is_none(), "no time is invented");
    let said = vfs.provenance(&file.node).await.unwrap();
    assert_eq!(said["upload"]["flow"], "F.1");
    assert_eq!(said["upload"]["accessor"], "auto");
    assert_eq!(said["upload"]["components"], serde_json::json!(["home", "alice", "notes.txt"]));
    assert_eq!(said["directory"]["listing"]["observation"]["by"], "colleague");
    read_all(&vfs, &file.node).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let said = vfs.provenance(&file.node).await.unwrap();
    assert_eq!(said["copies"][0]["digests"]["length"], 8);
    let folder = find(&vfs, &at(OFFLINE, LONG)).await.unwrap();
    assert_eq!(folder.attributes.modified, job("F.1", 3).ended);
    let said = vfs.provenance(&folder.node).await.unwrap();
    assert_eq!(said["entry"]["details"]["by"], "colleague");
    for (below, words) in [("collected", "1 flows"), (LONG, "flow F.1 (started by colleague)")] {
        let why = content(&vfs, &at(OFFLINE, &format!("{below}/.raptorgate/why.txt"))).await.unwrap();
        assert!(String::from_utf8_lossy(&why).contains(words), "{}", String::from_utf8_lossy(&why));
    }
    // What was there from the first moment on needs no flow of ours, whoever asks for it.
    assert!(matches!(vfs.freshness(&folder.node).await.unwrap(), Freshness::Listed { .. }));
    assert_eq!(backend.fetches(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_job_is_shown_when_it_has_ended_and_its_late_uploads_come_too() {
    let backend = crate::backend();
    let running = JobSummary { ended: None, ..job("F.1", 1) };
    backend.put_job(CLIENT, running, &[("auto", &["a"], Bytes::from_static(b"a"))]);
    backend.put_job(CLIENT, job("F.0", 0), &[]);
    let vfs = vfs(&backend);
    know(&vfs).await;
    assert!(names(&vfs, &at(CLIENT, "collected")).await.unwrap().is_empty(), "under way, or without uploads");
    assert_eq!(find(&vfs, &at(CLIENT, LONG)).await.unwrap_err().kind(), ErrorKind::Absent);

    tokio::time::sleep(Duration::from_secs(6)).await;
    backend.put_job(CLIENT, job("F.1", 2), &[("auto", &["a"], Bytes::from_static(b"a"))]);
    find(&vfs, &at(CLIENT, LONG)).await.expect("a miss in an old list asks the server");
    assert_eq!(names(&vfs, &at(CLIENT, &format!("{LONG}/auto"))).await.unwrap(), ["a"]);

    let both: [(&str, &[&str], Bytes); 2] =
        [("auto", &["a"], Bytes::from_static(b"a")), ("auto", &["b"], Bytes::from_static(b"b"))];
    backend.put_job(CLIENT, job("F.1", 2), &both);
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(names(&vfs, &at(CLIENT, &format!("{LONG}/auto"))).await.unwrap(), ["a", "b"]);

    // Long after its end it is as it is.
    tokio::time::sleep(Duration::from_secs(1_200)).await;
    names(&vfs, &at(CLIENT, &format!("{LONG}/auto"))).await.unwrap();
    let (_, read) = backend.job_and_upload_pages();
    tokio::time::sleep(Duration::from_secs(24 * 3_600)).await;
    assert_eq!(content(&vfs, &at(CLIENT, &format!("{LONG}/auto/b"))).await.unwrap(), b"b");
    assert_eq!(find(&vfs, &at(CLIENT, &format!("{LONG}/auto/c"))).await.unwrap_err().kind(), ErrorKind::Absent);
    assert_eq!(backend.job_and_upload_pages().1, read);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_cannot_be_read_is_an_error_and_never_empty() {
    let backend = offline();
    let vfs = vfs(&backend);
    know(&vfs).await;
    backend.set_unreachable(true);
    assert_eq!(names(&vfs, &at(OFFLINE, "collected")).await.unwrap_err().kind(), ErrorKind::Backend);
    assert_eq!(find(&vfs, &at(OFFLINE, LONG)).await.unwrap_err().kind(), ErrorKind::Backend);
    tokio::time::sleep(Duration::from_secs(20)).await;
    backend.set_unreachable(false);
    assert_eq!(names(&vfs, &at(OFFLINE, "collected")).await.unwrap().len(), 1);

    backend.set_unreachable(true);
    assert_eq!(names(&vfs, &at(OFFLINE, LONG)).await.unwrap_err().kind(), ErrorKind::Backend);
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(names(&vfs, &at(OFFLINE, "collected")).await.unwrap().len(), 1, "what is known stays good");
    let other = find(&vfs, &at(OFFLINE, "collected/other")).await.unwrap_err();
    assert_eq!(other.kind(), ErrorKind::Backend, "an old list proves nothing absent");
    let why = content(&vfs, &at(OFFLINE, "collected/.raptorgate/why.txt")).await.unwrap();
    assert!(String::from_utf8_lossy(&why).contains("the server cannot be reached"));
}

#[tokio::test(start_paused = true)]
async fn handles_and_what_was_read_outlive_a_restart_and_the_servers_memory() {
    let backend = offline();
    let store = Arc::new(MemoryStore::default());
    let file = format!("{LONG}/ntfs/C:/$MFT");
    let (handle, unread) = {
        let vfs = vfs_with(&backend, &store, Settings::default());
        know(&vfs).await;
        assert_eq!(content(&vfs, &at(OFFLINE, &file)).await.unwrap().len(), 2_500_000);
        let unread = find(&vfs, &at(OFFLINE, &format!("{LONG}/auto/home/alice/notes.txt"))).await.unwrap();
        (vfs.handle(&find(&vfs, &at(OFFLINE, &file)).await.unwrap().node), vfs.handle(&unread.node))
    };
    backend.forget_job("F.1");
    let vfs = vfs_with(&backend, &store, Settings::default());
    know(&vfs).await;
    // A handle of a file that nobody has read yet, and of one whose list the server cannot give any more.
    let node = vfs.node(&unread).unwrap();
    assert_eq!(vfs.attributes(&node, &call()).await.unwrap().size, Some(8));
    assert_eq!(read_all(&vfs, &node).await.unwrap(), b"buy milk");
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(names(&vfs, &at(OFFLINE, "collected")).await.unwrap().is_empty(), "forgotten by the server");
    let node = vfs.node(&handle).unwrap();
    assert_eq!(read_all(&vfs, &node).await.unwrap(), vec![7; 2_500_000]);
    let folder = vfs.parent(&node).await.unwrap();
    assert_eq!(vfs.lookup(&folder.node, "$MFT", &call()).await.unwrap().attributes.size, Some(2_500_000));
}

#[tokio::test(start_paused = true)]
async fn of_many_jobs_only_what_is_new_is_read_again() {
    let backend = crate::backend();
    let put = |number: i64, ended: bool| {
        let id = format!("F.{number:05}");
        let job = job(&id, 1);
        let started = Timestamp::new(1_600_000_000 + number, 0);
        let job = JobSummary { started, ended: ended.then_some(started), ..job };
        let path = number.to_string();
        backend.put_job(CLIENT, job, &[("auto", &[path.as_str()], Bytes::from(id))]);
    };
    for number in 0..2_000 {
        put(number, number != 1_995);
    }
    let vfs = vfs(&backend);
    know(&vfs).await;
    let all = names(&vfs, &at(CLIENT, "collected")).await.unwrap();
    assert_eq!(all.len(), 1_999);
    assert!(all.is_sorted());
    let (whole, _) = backend.job_and_upload_pages();
    assert_eq!(whole, 200);
    for number in 2_000..2_003 {
        put(number, true);
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert_eq!(names(&vfs, &at(CLIENT, "collected")).await.unwrap().len(), usize::try_from(number).unwrap());
    }
    put(1_995, true);
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(names(&vfs, &at(CLIENT, "collected")).await.unwrap().len(), 2_003);
    assert_eq!(backend.job_and_upload_pages().0, whole + 4);
    // What the server forgets is missed at once, and the list is read to its end.
    backend.forget_job("F.00007");
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(names(&vfs, &at(CLIENT, "collected")).await.unwrap().len(), 2_002);
}

#[tokio::test(start_paused = true)]
async fn a_new_job_changes_the_stamp_that_kernels_look_at() {
    let backend = crate::backend();
    let vfs = vfs(&backend);
    know(&vfs).await;
    let folder = find(&vfs, &at(CLIENT, "collected")).await.unwrap().node;
    vfs.list(&folder, &call()).await.unwrap();
    let before = vfs.attributes(&folder, &call()).await.unwrap().changed;
    backend.put_job(CLIENT, job("F.1", 1), &[("auto", &["a"], Bytes::from_static(b"a"))]);
    tokio::time::sleep(Duration::from_secs(6)).await;
    vfs.attributes(&folder, &call()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_ne!(vfs.attributes(&folder, &call()).await.unwrap().changed, before);
}

#[tokio::test(start_paused = true)]
async fn a_hundred_thousand_uploads_of_one_job_are_exactly_those() {
    let backend = crate::backend();
    let paths: Vec<[String; 3]> =
        (0..100_000).map(|n| ["C:".to_owned(), format!("d{:03}", n % 500), format!("file-{n:06}")]).collect();
    let parts: Vec<[&str; 3]> = paths.iter().map(|path| path.each_ref().map(String::as_str)).collect();
    let uploads: Vec<(&str, &[&str], Bytes)> =
        parts.iter().map(|path| ("auto", &path[..], Bytes::copy_from_slice(path[2].as_bytes()))).collect();
    backend.put_job(CLIENT, job("F.1", 100_000), &uploads);
    let vfs = vfs(&backend);
    know(&vfs).await;
    let top = format!("{LONG}/auto/C:");
    let folders = names(&vfs, &at(CLIENT, &top)).await.unwrap();
    assert_eq!(folders.len(), 500);
    let mut count = 0;
    for folder in folders {
        count += names(&vfs, &at(CLIENT, &format!("{top}/{folder}"))).await.unwrap().len();
    }
    assert_eq!(count, 100_000);
    assert_eq!(content(&vfs, &at(CLIENT, &format!("{top}/d499/file-099999"))).await.unwrap(), b"file-099999");
}

#[tokio::test(start_paused = true)]
async fn below_frozen_the_list_stays_as_it_was_first_seen() {
    let backend = offline();
    let vfs = vfs(&backend);
    know(&vfs).await;
    let frozen = |below: &str| format!("frozen/{OFFLINE}/{below}");
    assert_eq!(names(&vfs, &frozen("collected")).await.unwrap().len(), 1);
    backend.put_job(OFFLINE, job("F.2", 1), &[("auto", &["x"], Bytes::from_static(b"x"))]);
    tokio::time::sleep(Duration::from_secs(7_200)).await;
    assert_eq!(names(&vfs, &frozen("collected")).await.unwrap().len(), 1);
    assert_eq!(content(&vfs, &frozen(&format!("{LONG}/auto/home/alice/notes.txt"))).await.unwrap(), b"buy milk");
    assert_eq!(names(&vfs, &at(OFFLINE, "collected")).await.unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn names_of_a_windows_endpoint_ignore_case_there_too() {
    let backend = crate::backend();
    let windows = "C.0000000000000003";
    backend.add_endpoint(windows, System::Windows, false);
    let path: &[&str] = &["C:", "Windows", "win.ini"];
    backend.put_job(windows, job("F.1", 1), &[("auto", path, Bytes::from_static(b"[fonts]"))]);
    let vfs = vfs(&backend);
    know(&vfs).await;
    assert_eq!(content(&vfs, &at(windows, &format!("{LONG}/auto/c/WINDOWS/Win.INI"))).await.unwrap(), b"[fonts]");
}
