//! `.raptorgate`: reachable everywhere, listed nowhere (D20).

use std::time::Duration;

use vfs::ErrorKind;
use vfs::testing::vfs;

use crate::{CLIENT, content, find, fixture, know, names, path};

#[tokio::test(start_paused = true)]
async fn every_directory_tells_where_it_comes_from() {
    let (_, vfs) = fixture().await;
    assert!(!names(&vfs, &path("etc")).await.unwrap().contains(&".raptorgate".to_owned()));
    let text = String::from_utf8(content(&vfs, &path("etc/.raptorgate/dir.json")).await.unwrap()).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["listing"]["state"], "listed");
    assert_eq!(json["listing"]["entries"], 4);
    assert_eq!(json["listing"]["observation"]["by"], "tester");
    let why = String::from_utf8(content(&vfs, &path("etc/.raptorgate/why.txt")).await.unwrap()).unwrap();
    assert!(why.contains("4 entries") && why.contains("online"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn every_entry_has_a_file_with_all_that_is_known_of_it() {
    let (_, vfs) = fixture().await;
    content(&vfs, &path("etc/hosts")).await.unwrap();
    let text = content(&vfs, &path("etc/.raptorgate/file/hosts.json")).await.unwrap();
    let json: serde_json::Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(json["times"]["modified"], "2020-01-01T00:00:00.123456789Z");
    assert_eq!(json["copies"][0]["size"], 20);
    let link: serde_json::Value =
        serde_json::from_slice(&content(&vfs, &path("etc/.raptorgate/file/mtab.json")).await.unwrap()).unwrap();
    assert_eq!(link["link"], "/proc/self/mounts");
    let missing = find(&vfs, &path("etc/.raptorgate/file/nothing.json")).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::Absent);
}

#[tokio::test(start_paused = true)]
async fn whole_contents_are_hashed_and_the_hash_stands_in_provenance() {
    let (_, vfs) = fixture().await;
    content(&vfs, &path("etc/passwd")).await.unwrap();
    // The hash is made behind the reader's back, on a blocking thread.
    for _ in 0..1000 {
        tokio::time::sleep(Duration::from_secs(3)).await;
        let text = content(&vfs, &path("etc/.raptorgate/file/passwd.json")).await.unwrap();
        let json: serde_json::Value = serde_json::from_slice(&text).unwrap();
        if let Some(sha256) = json["copies"][0]["digests"]["sha256"].as_str() {
            assert_eq!(sha256, "7cf1f940025c27c78e5e4a707519f0e06178702e6dc16722f3d48e13f5e60d9e");
            assert_eq!(json["copies"][0]["digests"]["length"], 11);
            return;
        }
    }
    panic!("the content was never hashed");
}

#[tokio::test(start_paused = true)]
async fn reading_refresh_refreshes() {
    let (backend, vfs) = fixture().await;
    names(&vfs, &path("empty")).await.unwrap();
    backend.add_file(CLIENT, "auto", &["empty", "new"], "x");
    tokio::time::advance(Duration::from_secs(60)).await;
    assert!(names(&vfs, &path("empty")).await.unwrap().is_empty());
    content(&vfs, &path("empty/.raptorgate/refresh")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(names(&vfs, &path("empty")).await.unwrap(), ["new"]);
}

#[tokio::test(start_paused = true)]
async fn a_real_entry_of_that_name_wins() {
    let backend = crate::backend();
    backend.add_file(CLIENT, "auto", &["own", ".raptorgate"], "mine");
    let vfs = vfs(&backend);
    know(&vfs).await;
    // Before the directory is listed nothing is known of the real one.
    assert!(content(&vfs, &path("own/.raptorgate/why.txt")).await.is_ok());
    assert_eq!(names(&vfs, &path("own")).await.unwrap(), [".raptorgate"]);
    assert_eq!(content(&vfs, &path("own/.raptorgate")).await.unwrap(), b"mine");
}

#[tokio::test(start_paused = true)]
async fn the_body_file_has_every_cached_entry() {
    let (_, vfs) = fixture().await;
    names(&vfs, &path("etc")).await.unwrap();
    names(&vfs, &path("etc/ssh")).await.unwrap(); // came with the same job, a moment later
    let text = String::from_utf8(content(&vfs, &format!("/{CLIENT}/.raptorgate/bodyfile")).await.unwrap()).unwrap();
    assert!(text.contains(&format!("/{CLIENT}/auto/etc/hosts|")), "{text}");
    assert!(text.starts_with("# cached listings of 3 directories"), "{text}");
}
