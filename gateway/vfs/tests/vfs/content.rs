//! Content: collected once, served exactly, and never invented.

use std::time::Duration;

use futures_util::StreamExt;
use vfs::testing::{FakeEntry, MemoryStore, call, vfs, vfs_with};
use vfs::{EndpointId, EndpointPath, ErrorKind, FileType, Progress, Settings, Timestamp};

use crate::{CLIENT, content, find, fixture, know, names, path, read_all};

fn noise(length: usize) -> Vec<u8> {
    (0..length as u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

#[tokio::test(start_paused = true)]
async fn opening_a_file_collects_it_once() {
    let (backend, vfs) = fixture().await;
    assert_eq!(content(&vfs, &path("etc/hosts")).await.unwrap(), b"127.0.0.1 localhost\n");
    assert_eq!(content(&vfs, &path("etc/hosts")).await.unwrap(), b"127.0.0.1 localhost\n");
    assert_eq!(backend.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn every_byte_of_a_large_file_is_right_wherever_reads_begin() {
    let backend = crate::backend();
    let bytes = noise(5 * (1 << 20) + 12_345);
    backend.add_file(CLIENT, "auto", &["big"], bytes.clone());
    let vfs = vfs(&backend);
    know(&vfs).await;
    let node = find(&vfs, &path("big")).await.unwrap().node;
    let readers: Vec<_> = (0..8)
        .map(|_| {
            let vfs = vfs.clone();
            tokio::spawn(async move { read_all(&vfs, &node).await })
        })
        .collect();
    for reader in readers {
        assert!(reader.await.unwrap().unwrap() == bytes);
    }
    assert_eq!(backend.fetches(), 1);
    assert_eq!(backend.reads(), 6, "each chunk is fetched once");
    for (offset, length) in
        [(0, 1), ((1 << 20) - 1, 2), (bytes.len() - 3, 100), (bytes.len(), 10), (bytes.len() + 5, 10)]
    {
        let data = vfs.read(&node, offset as u64, length, &call()).await.unwrap();
        let read: Vec<u8> = data.segments.iter().flatten().copied().collect();
        let end = (offset + length as usize).min(bytes.len());
        assert!(read == bytes.get(offset..end).unwrap_or_default());
        assert_eq!(data.eof, offset + length as usize >= bytes.len());
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_of_another_file_are_never_taken_for_those_of_the_demanded_one() {
    let (backend, vfs) = fixture().await;
    let root = EndpointPath::accessor_root(EndpointId::root_org(CLIENT), "auto");
    backend.set_stray(root.child("etc").unwrap().child("passwd").unwrap());
    assert_eq!(content(&vfs, &path("etc/hosts")).await.unwrap(), b"127.0.0.1 localhost\n");
}

#[tokio::test(start_paused = true)]
async fn a_short_answer_of_the_server_is_an_error_and_not_a_short_file() {
    let (backend, vfs) = fixture().await;
    backend.set_short_reads(true);
    assert_eq!(content(&vfs, &path("etc/hosts")).await.unwrap_err().kind(), ErrorKind::Backend);
    backend.set_short_reads(false);
    assert_eq!(content(&vfs, &path("etc/hosts")).await.unwrap(), b"127.0.0.1 localhost\n");
    assert_eq!(backend.fetches(), 1, "the collection itself was good");
}

#[tokio::test(start_paused = true)]
async fn what_the_endpoint_refuses_is_refused_and_not_asked_again_at_once() {
    let (backend, vfs) = fixture().await;
    backend.deny(CLIENT, "auto", &["etc", "passwd"]);
    for _ in 0..3 {
        assert_eq!(content(&vfs, &path("etc/passwd")).await.unwrap_err().kind(), ErrorKind::Denied);
    }
    assert_eq!(backend.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn large_files_are_collected_only_when_somebody_says_so() {
    let backend = crate::backend();
    let mut entry = FakeEntry::new(FileType::Regular);
    entry.size = 300 << 20;
    entry.content = noise(1000).into();
    backend.add_entry(CLIENT, "auto", &["disk.img"], entry);
    let vfs = vfs(&backend);
    know(&vfs).await;
    let node = find(&vfs, &path("disk.img")).await.unwrap().node;
    assert_eq!(vfs.read(&node, 0, 10, &call()).await.unwrap_err().kind(), ErrorKind::TooBig);
    assert_eq!(backend.fetches(), 0);
    let news: Vec<Progress> = vfs.collect(&node, &call()).collect().await;
    assert!(matches!(news.last(), Some(Progress::Done { .. })), "{news:?}");
    assert_eq!(read_all(&vfs, &node).await.unwrap(), noise(1000));
}

#[tokio::test(start_paused = true)]
async fn a_slow_collection_is_later_and_goes_on() {
    let (backend, vfs) = fixture().await;
    let node = find(&vfs, &path("etc/hosts")).await.unwrap().node;
    backend.hold_jobs();
    let error = vfs.read(&node, 0, 10, &call()).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Later { .. }), "{error:?}");
    backend.release_jobs();
    assert_eq!(read_all(&vfs, &node).await.unwrap(), b"127.0.0.1 localhost\n");
    assert_eq!(backend.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_empty_file_needs_no_job() {
    let backend = crate::backend();
    backend.add_file(CLIENT, "auto", &["nothing"], "");
    let vfs = vfs(&backend);
    know(&vfs).await;
    assert!(content(&vfs, &path("nothing")).await.unwrap().is_empty());
    assert_eq!(backend.fetches(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_size_that_only_reading_tells_is_fetched_and_never_zero() {
    let backend = crate::backend();
    let cpuinfo =
        FakeEntry { size_unknown: true, content: "processor: 0\n".into(), ..FakeEntry::new(FileType::Regular) };
    backend.add_entry(CLIENT, "auto", &["proc", "cpuinfo"], cpuinfo);
    let vfs = vfs(&backend);
    know(&vfs).await;
    let found = find(&vfs, &path("proc/cpuinfo")).await.unwrap();
    assert_eq!(found.attributes.size, None);
    assert!(vfs.attributes_now(&found.node).is_none());
    assert_eq!(vfs.attributes(&found.node, &call()).await.unwrap().size, Some(13));
    assert_eq!(read_all(&vfs, &found.node).await.unwrap(), b"processor: 0\n");
    assert_eq!(backend.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn registry_values_are_served_from_their_listing() {
    let backend = crate::backend();
    let value = FakeEntry { inline: Some(b"1234\n".to_vec()), size: 4, ..FakeEntry::new(FileType::Regular) };
    backend.add_entry(CLIENT, "auto", &["Run"], value);
    let vfs = vfs(&backend);
    know(&vfs).await;
    let found = find(&vfs, &path("Run")).await.unwrap();
    assert_eq!(found.attributes.size, Some(5));
    assert_eq!(read_all(&vfs, &found.node).await.unwrap(), b"1234\n");
    assert_eq!(backend.fetches(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_handle_reads_the_version_that_it_names_and_no_other() {
    let backend = crate::backend();
    let grown = |content: &str, second: i64| FakeEntry {
        size: content.len() as u64,
        content: content.to_owned().into(),
        modified: Some(Timestamp::new(second, 0)),
        ..FakeEntry::new(FileType::Regular)
    };
    backend.add_entry(CLIENT, "auto", &["log"], grown("one", 1000));
    let vfs = vfs(&backend);
    know(&vfs).await;
    let first = find(&vfs, &path("log")).await.unwrap();
    assert_eq!(read_all(&vfs, &first.node).await.unwrap(), b"one");

    // The endpoint's file grows. Within the hour the copy stays current, after it a new version is.
    backend.add_entry(CLIENT, "auto", &["log"], grown("one two", 2000));
    let auto = find(&vfs, &path("")).await.unwrap().node;
    tokio::time::advance(Duration::from_secs(1)).await;
    let _news: Vec<Progress> = vfs.refresh(&auto, 0, &call()).collect().await;
    assert_eq!(find(&vfs, &path("log")).await.unwrap().node, first.node);
    tokio::time::advance(Duration::from_secs(3700)).await;
    let second = find(&vfs, &path("log")).await.unwrap();
    assert_ne!(second.node.version, first.node.version);
    assert_eq!(read_all(&vfs, &second.node).await.unwrap(), b"one two");
    assert_eq!(read_all(&vfs, &first.node).await.unwrap(), b"one", "the old version keeps its bytes");
    assert_eq!(vfs.attributes(&first.node, &call()).await.unwrap().size, Some(3));

    // A version that was never collected is gone once the file has changed.
    backend.add_entry(CLIENT, "auto", &["other"], grown("a", 1000));
    let _news: Vec<Progress> = vfs.refresh(&auto, 0, &call()).collect().await;
    let unread = find(&vfs, &path("other")).await.unwrap().node;
    backend.add_entry(CLIENT, "auto", &["other"], grown("bb", 2000));
    let _news: Vec<Progress> = vfs.refresh(&auto, 0, &call()).collect().await;
    assert_eq!(vfs.read(&unread, 0, 1, &call()).await.unwrap_err().kind(), ErrorKind::Stale);
}

#[tokio::test(start_paused = true)]
async fn whoever_reads_a_file_that_then_vanishes_reads_it_to_its_end() {
    let backend = crate::backend();
    let bytes = noise(3 << 20);
    let entry = FakeEntry {
        size: bytes.len() as u64,
        content: bytes.clone().into(),
        modified: Some(Timestamp::new(1000, 0)),
        ..FakeEntry::new(FileType::Regular)
    };
    backend.add_entry(CLIENT, "auto", &["evidence"], entry);
    backend.add_file(CLIENT, "auto", &["unread"], "x");
    let store = std::sync::Arc::new(MemoryStore::default());
    let vfs = vfs_with(&backend, &store, Settings::default());
    know(&vfs).await;
    let node = find(&vfs, &path("evidence")).await.unwrap().node;
    let unread = find(&vfs, &path("unread")).await.unwrap().node;
    vfs.read(&node, 0, 10, &call()).await.unwrap();
    let before = vfs.attributes(&node, &call()).await.unwrap();

    // The endpoint loses both: one is a directory of the same name now.
    backend.remove(CLIENT, "auto", &["evidence"]);
    backend.remove(CLIENT, "auto", &["unread"]);
    backend.add_directory(CLIENT, "auto", &["evidence"]);
    let auto = find(&vfs, &path("")).await.unwrap().node;
    for vanished in [false, true] {
        if vanished {
            backend.remove(CLIENT, "auto", &["evidence"]);
        }
        tokio::time::advance(Duration::from_secs(1)).await;
        let _news: Vec<Progress> = vfs.refresh(&auto, 0, &call()).collect().await;
        assert!(read_all(&vfs, &node).await.unwrap() == bytes);
        assert_eq!(vfs.attributes(&node, &call()).await.unwrap(), before);
        assert_eq!(vfs.attributes_now(&node).unwrap().unwrap(), before);
        assert_eq!(vfs.read(&unread, 0, 1, &call()).await.unwrap_err().kind(), ErrorKind::Stale);
    }
    // By its name it is gone, and after a restart with the endpoint away the handle still reads.
    assert_eq!(find(&vfs, &path("evidence")).await.unwrap_err().kind(), ErrorKind::Absent);
    backend.set_online(CLIENT, false);
    let vfs = vfs_with(&backend, &store, Settings::default());
    know(&vfs).await;
    assert!(read_all(&vfs, &node).await.unwrap() == bytes);
    assert_eq!(vfs.attributes(&node, &call()).await.unwrap(), before);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_leaves_the_listing_while_it_is_collected_is_served() {
    let (backend, vfs) = fixture().await;
    let etc = find(&vfs, &path("etc")).await.unwrap().node;
    let node = find(&vfs, &path("etc/hosts")).await.unwrap().node;
    backend.set_latency(Duration::from_secs(5));
    let reader = tokio::spawn({
        let vfs = vfs.clone();
        async move { read_all(&vfs, &node).await }
    });
    tokio::time::sleep(Duration::from_secs(1)).await; // the endpoint has read it
    backend.set_latency(Duration::ZERO);
    backend.remove(CLIENT, "auto", &["etc", "hosts"]);
    let _news: Vec<Progress> = vfs.refresh(&etc, 0, &call()).collect().await;
    assert_eq!(find(&vfs, &path("etc/hosts")).await.unwrap_err().kind(), ErrorKind::Absent);
    assert!(!reader.is_finished());
    // Whoever asks again, because his patience was too short, waits for the same.
    assert_eq!(read_all(&vfs, &node).await.unwrap(), b"127.0.0.1 localhost\n");
    assert_eq!(backend.fetches(), 1);
    assert_eq!(reader.await.unwrap().unwrap(), b"127.0.0.1 localhost\n");
}

#[tokio::test(start_paused = true)]
async fn a_file_collected_larger_than_listed_has_the_size_that_was_collected() {
    let backend = crate::backend();
    let entry = FakeEntry { size: 3, content: "longer than listed".into(), ..FakeEntry::new(FileType::Regular) };
    backend.add_entry(CLIENT, "auto", &["log"], entry);
    let vfs = vfs(&backend);
    know(&vfs).await;
    let node = find(&vfs, &path("log")).await.unwrap().node;
    assert_eq!(vfs.read(&node, 0, 100, &call()).await.unwrap().attributes.size, Some(18));
    assert_eq!(vfs.attributes(&node, &call()).await.unwrap().size, Some(18));
}

#[tokio::test(start_paused = true)]
async fn evicted_listings_come_back_from_the_store_with_the_same_handles() {
    let backend = crate::backend();
    let store = std::sync::Arc::new(MemoryStore::default());
    let settings = Settings { listing_memory: 1, ..Settings::default() };
    let vfs = vfs_with(&backend, &store, settings);
    know(&vfs).await;
    let hosts = find(&vfs, &path("etc/hosts")).await.unwrap().node;
    names(&vfs, &path("empty")).await.unwrap();
    let jobs = backend.listings();
    assert_eq!(vfs.attributes(&hosts, &call()).await.unwrap().size, Some(20));
    assert_eq!(find(&vfs, &path("etc/hosts")).await.unwrap().node, hosts);
    assert_eq!(backend.listings(), jobs);
}
