//! What others uploaded stands in for files of the live tree (D9, D27), and only where it is what is listed.

use std::sync::Arc;

use bytes::Bytes;
use vfs::backend::JobSummary;
use vfs::testing::{FakeBackend, FakeEntry, MemoryStore, call, vfs, vfs_with};
use vfs::{ErrorKind, Settings, Timestamp};

use crate::{CLIENT, content, find, know, names, path, read_all};

/// As long as the file itself, so that the bytes tell where they are from.
const THEIRS: &[u8] = b"127.0.0.1 COLLEAGUE\n";
const OURS: &[u8] = b"127.0.0.1 localhost\n";

/// A job that was started some seconds before the test began.
fn job(id: &str, ago: i64) -> JobSummary {
    let at = |seconds: i64| Timestamp::new(1_767_225_600 - seconds, 0);
    JobSummary {
        id: id.into(),
        named: vec!["Triage.Targets".to_owned()],
        by: "colleague".into(),
        started: at(ago),
        ended: Some(at(ago - 10)),
        failed: None,
        files: 1,
        bytes: 20,
    }
}

fn with(uploads: &[(&str, &[&str], &'static [u8])]) -> Arc<FakeBackend> {
    let backend = crate::backend();
    let uploads: Vec<_> =
        uploads.iter().map(|(accessor, path, bytes)| (*accessor, *path, Bytes::from_static(bytes))).collect();
    backend.put_job(CLIENT, job("F.THEIRS", 3_600), &uploads);
    backend
}

#[tokio::test(start_paused = true)]
async fn what_a_colleague_uploaded_is_not_collected_again() {
    for accessor in ["auto", "file"] {
        let backend = with(&[(accessor, &["etc", "hosts"], THEIRS)]);
        let vfs = vfs(&backend);
        know(&vfs).await;
        let file = find(&vfs, &path("etc/hosts")).await.unwrap().node;
        assert_eq!(read_all(&vfs, &file).await.unwrap(), THEIRS);
        assert_eq!(backend.fetches(), 0);
        let said = vfs.provenance(&file).await.unwrap();
        assert_eq!(said["copies"][0]["observation"]["job"], "F.THEIRS");
        assert_eq!(said["copies"][0]["observation"]["by"], "colleague");
        // The file beside it was not uploaded.
        assert_eq!(content(&vfs, &path("etc/passwd")).await.unwrap(), b"root:x:0:0\n");
        assert_eq!(backend.fetches(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_there_while_the_endpoint_is_away() {
    let backend = with(&[("auto", &["etc", "hosts"], THEIRS)]);
    let vfs = vfs(&backend);
    know(&vfs).await;
    names(&vfs, &path("etc")).await.unwrap();
    backend.set_online(CLIENT, false);
    tokio::time::sleep(std::time::Duration::from_secs(600)).await;
    assert_eq!(content(&vfs, &path("etc/hosts")).await.unwrap(), THEIRS);
    assert_eq!(backend.fetches(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_may_be_of_another_state_or_file_does_not_stand_in() {
    // Another size, another accessor, another spelling, a directory above it.
    let backend = with(&[
        ("auto", &["etc", "hosts"], b"127.0.0.1"),
        ("ntfs", &["etc", "hosts"], THEIRS),
        ("auto", &["etc", "HOSTS"], THEIRS),
        ("auto", &["other", "etc", "hosts"], THEIRS),
    ]);
    // Written while that job ran, or after it.
    let mut written = FakeEntry::new(vfs::FileType::Regular);
    (written.modified, written.content, written.size) =
        (Some(Timestamp::new(1_767_225_600 - 3_600, 0)), Bytes::from_static(OURS), OURS.len() as u64);
    backend.add_entry(CLIENT, "auto", &["var", "hosts"], written);
    backend.put_job(CLIENT, job("F.LATER", 3_600), &[("auto", &["var", "hosts"], Bytes::from_static(THEIRS))]);
    let vfs = vfs(&backend);
    know(&vfs).await;
    assert_eq!(content(&vfs, &path("etc/hosts")).await.unwrap(), OURS);
    assert_eq!(content(&vfs, &path("var/hosts")).await.unwrap(), OURS);
    assert_eq!(backend.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_newest_upload_stands_in() {
    let backend = with(&[("auto", &["etc", "hosts"], THEIRS)]);
    backend.put_job(
        CLIENT,
        job("F.NEWER", 1_800),
        &[("auto", &["etc", "hosts"], Bytes::from_static(b"127.0.0.1 newcomer!\n"))],
    );
    let vfs = vfs(&backend);
    know(&vfs).await;
    assert_eq!(content(&vfs, &path("etc/hosts")).await.unwrap(), b"127.0.0.1 newcomer!\n");
}

#[tokio::test(start_paused = true)]
async fn a_set_comes_from_one_job_or_is_collected() {
    let hive = |backend: &FakeBackend| {
        backend.add_file(CLIENT, "auto", &["config", "SYSTEM"], "hive now");
        backend.add_file(CLIENT, "auto", &["config", "SYSTEM.LOG1"], "log now!");
    };
    // The log was not uploaded by the same job.
    let backend = with(&[("auto", &["config", "SYSTEM"], b"hive old")]);
    backend.put_job(
        CLIENT,
        job("F.LOG", 1_800),
        &[("auto", &["config", "SYSTEM.LOG1"], Bytes::from_static(b"log old!"))],
    );
    hive(&backend);
    let gateway = vfs(&backend);
    know(&gateway).await;
    assert_eq!(content(&gateway, &path("config/SYSTEM")).await.unwrap(), b"hive now");
    assert_eq!(content(&gateway, &path("config/SYSTEM.LOG1")).await.unwrap(), b"log now!");

    let backend =
        with(&[("auto", &["config", "SYSTEM"], b"hive old"), ("auto", &["config", "SYSTEM.LOG1"], b"log old!")]);
    hive(&backend);
    let gateway = vfs(&backend);
    know(&gateway).await;
    assert_eq!(content(&gateway, &path("config/SYSTEM.LOG1")).await.unwrap(), b"log old!");
    assert_eq!(content(&gateway, &path("config/SYSTEM")).await.unwrap(), b"hive old");
    assert_eq!(backend.fetches(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_too_big_to_be_collected_for_a_reader_is_served_if_others_did() {
    let backend = with(&[("auto", &["etc", "hosts"], THEIRS)]);
    for (cap, ranges) in [(10, false), (u64::MAX, true)] {
        backend.set_ranges(ranges);
        let settings = Settings { automatic_collection_bytes: cap, ranges_above: 10, ..Settings::default() };
        let vfs = vfs_with(&backend, &Arc::new(MemoryStore::default()), settings);
        know(&vfs).await;
        assert_eq!(content(&vfs, &path("etc/hosts")).await.unwrap(), THEIRS);
        let refused = content(&vfs, &path("etc/passwd")).await;
        assert!(ranges || refused.unwrap_err().kind() == ErrorKind::TooBig);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_cannot_be_asked_for_uploads_keeps_nobody_from_collecting() {
    let backend = with(&[("auto", &["etc", "hosts"], THEIRS)]);
    let vfs = vfs(&backend);
    know(&vfs).await;
    backend.set_unreachable(true);
    assert_eq!(content(&vfs, &path("etc/hosts")).await.unwrap(), OURS);
}

#[tokio::test(start_paused = true)]
async fn own_jobs_are_not_asked_for() {
    let backend = crate::backend();
    let vfs = vfs(&backend);
    know(&vfs).await;
    content(&vfs, &path("etc/hosts")).await.unwrap();
    let id = find(&vfs, &path("etc/hosts")).await.unwrap().node;
    let said = vfs.provenance(&id).await.unwrap();
    let own = said["copies"][0]["observation"]["job"].as_str().unwrap().to_owned();
    backend.put_job(CLIENT, job(&own, 60), &[("auto", &["etc", "hosts"], Bytes::from_static(OURS))]);
    tokio::time::sleep(std::time::Duration::from_secs(10)).await;
    let (_, before) = backend.job_and_upload_pages();
    content(&vfs, &path("etc/passwd")).await.unwrap();
    assert_eq!(backend.job_and_upload_pages().1, before);
}

#[tokio::test(start_paused = true)]
async fn nothing_stands_in_for_a_set_of_which_a_part_was_read_in_ranges() {
    let backend = with(&[]);
    backend.set_ranges(true);
    backend.add_file(CLIENT, "auto", &["config", "SYSTEM"], "hive now");
    backend.add_file(CLIENT, "auto", &["config", "SYSTEM.LOG1"], vec![1; 8 << 20]);
    let settings = Settings { ranges_above: 1 << 20, ..Settings::default() };
    let vfs = vfs_with(&backend, &Arc::new(MemoryStore::default()), settings);
    know(&vfs).await;
    let log = find(&vfs, &path("config/SYSTEM.LOG1")).await.unwrap().node;
    assert_eq!(vfs.read(&log, 0, 4, &call()).await.unwrap().segments[0], [1; 4][..]);
    backend.put_job(
        CLIENT,
        job("F.SET", 1_800),
        &[
            ("auto", &["config", "SYSTEM"], Bytes::from_static(b"hive old")),
            ("auto", &["config", "SYSTEM.LOG1"], Bytes::from(vec![2; 8 << 20])),
        ],
    );
    tokio::time::sleep(std::time::Duration::from_secs(10)).await;
    assert_eq!(content(&vfs, &path("config/SYSTEM")).await.unwrap(), b"hive now");
    assert_eq!(vfs.read(&log, 0, 4, &call()).await.unwrap().segments[0], [1; 4][..]);
}
