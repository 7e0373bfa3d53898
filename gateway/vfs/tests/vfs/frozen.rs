//! `/frozen` (D11): what is known answers, whatever its age; what is missing is filled once; nothing is looked at again.

use std::sync::Arc;
use std::time::Duration;

use vfs::testing::{FakeEntry, MemoryStore, call, vfs_with};
use vfs::{ErrorKind, FileType, Settings, Timestamp};

use crate::{CLIENT, content, find, know, names, path};

fn frozen(below: &str) -> String {
    format!("frozen/{CLIENT}/auto/{below}")
}

fn file(content: &str, modified: i64) -> FakeEntry {
    FakeEntry {
        size: content.len() as u64,
        content: content.to_owned().into(),
        modified: Some(Timestamp::new(modified, 0)),
        ..FakeEntry::new(FileType::Regular)
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_known_answers_whatever_its_age_and_nothing_is_looked_at_again() {
    let backend = crate::backend();
    backend.add_entry(CLIENT, "auto", &["d", "log"], file("one", 1000));
    let vfs = vfs_with(&backend, &Arc::new(MemoryStore::default()), Settings::default());
    know(&vfs).await;
    assert_eq!(content(&vfs, &path("d/log")).await.unwrap(), b"one");
    let (listings, fetches) = (backend.listings(), backend.fetches());

    // Two days later everything is different on the endpoint.
    backend.add_entry(CLIENT, "auto", &["d", "log"], file("one two", 2000));
    backend.add_entry(CLIENT, "auto", &["d", "new"], file("new", 2000));
    tokio::time::advance(Duration::from_secs(2 * 24 * 3600)).await;
    for _ in 0..2 {
        assert_eq!(names(&vfs, &frozen("d")).await.unwrap(), ["log"]);
        assert_eq!(content(&vfs, &frozen("d/log")).await.unwrap(), b"one");
        assert_eq!(find(&vfs, &frozen("d/new")).await.unwrap_err().kind(), ErrorKind::Absent);
        assert!(!content(&vfs, &frozen("d/.raptorgate/refresh")).await.unwrap().is_empty());
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
    assert_eq!((backend.listings(), backend.fetches()), (listings, fetches));

    // What was never listed or collected is filled, once.
    assert_eq!(names(&vfs, &frozen("etc")).await.unwrap().len(), 4);
    assert_eq!(content(&vfs, &frozen("etc/hosts")).await.unwrap(), b"127.0.0.1 localhost\n");
    let (listings, fetches) = (backend.listings(), backend.fetches());
    tokio::time::advance(Duration::from_secs(2 * 24 * 3600)).await;
    names(&vfs, &frozen("etc")).await.unwrap();
    content(&vfs, &frozen("etc/hosts")).await.unwrap();
    assert_eq!((backend.listings(), backend.fetches()), (listings, fetches));

    // Beside it the live tree goes on.
    assert_eq!(names(&vfs, &path("d")).await.unwrap(), ["log", "new"]);
    assert_eq!(content(&vfs, &path("d/log")).await.unwrap(), b"one two");
}

#[tokio::test(start_paused = true)]
async fn its_handles_lead_on_to_frozen_ones_and_its_objects_have_ids_of_their_own() {
    let (_, vfs) = crate::fixture().await;
    let (live, frozen_etc) = (find(&vfs, &path("etc")).await.unwrap(), find(&vfs, &frozen("etc")).await.unwrap());
    assert_ne!(live.attributes.file_id, frozen_etc.attributes.file_id);
    assert_ne!(vfs.handle(&live.node), vfs.handle(&frozen_etc.node));
    let again = vfs.node(&vfs.handle(&frozen_etc.node)).unwrap();
    let hosts = vfs.lookup(&again, "hosts", &call()).await.unwrap();
    assert!(hosts.node.is_frozen() && vfs.parent(&again).await.unwrap().node.is_frozen());
    let listing = vfs.list(&again, &call()).await.unwrap();
    assert!((0..listing.len()).all(|ordinal| listing.entry(ordinal).unwrap().0.is_frozen()));
    assert_eq!(find(&vfs, "frozen/frozen").await.unwrap_err().kind(), ErrorKind::Absent);
    assert!(!names(&vfs, "").await.unwrap().contains(&"frozen".to_owned()), "nobody walks through everything twice");
    // Through the endpoint's root and back it stays frozen.
    let root = find(&vfs, &frozen(".raptorgate/root/etc")).await.unwrap();
    assert!(root.node.is_frozen());
}
