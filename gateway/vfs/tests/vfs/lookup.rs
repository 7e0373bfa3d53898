//! Look-ups: "absent" only when proven (D35).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use vfs::backend::{Layer, Layered, Method};
use vfs::testing::{FakeBackend, FakeEntry, MemoryStore, call, vfs, vfs_through};
use vfs::{Call, ErrorKind, FileType, NodeKind, Settings, System};

use crate::{CLIENT, find, fixture, know, names, path};

#[tokio::test(start_paused = true)]
async fn a_miss_in_a_fresh_listing_is_absent_without_a_job() {
    let (backend, vfs) = fixture().await;
    names(&vfs, &path("etc")).await.unwrap();
    let jobs = backend.listings();
    assert_eq!(find(&vfs, &path("etc/shadow")).await.unwrap_err().kind(), ErrorKind::Absent);
    assert_eq!(backend.listings(), jobs);
}

#[tokio::test(start_paused = true)]
async fn a_miss_in_a_stale_listing_looks_again_before_it_says_absent() {
    let (backend, vfs) = fixture().await;
    names(&vfs, &path("etc")).await.unwrap();
    let etc = find(&vfs, &path("etc")).await.unwrap().node;
    backend.add_file(CLIENT, "auto", &["etc", "shadow"], "root:!\n");
    tokio::time::advance(Duration::from_secs(600)).await;
    assert_eq!(vfs.lookup(&etc, "shadow", &call()).await.unwrap().node.kind, NodeKind::File);
}

/// From some time on the server's answers about presence come late.
struct SlowPresence(Arc<AtomicBool>);

impl Layer for SlowPresence {
    async fn around<T, F>(&self, method: Method, ask: impl Fn() -> F + Send + Sync) -> vfs::Result<T>
    where
        T: Send,
        F: Future<Output = vfs::Result<T>> + Send,
    {
        let answer = ask().await;
        if method == Method::Presence && self.0.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_secs(20)).await;
        }
        answer
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_slow_to_tell_of_an_endpoint_makes_nothing_absent() {
    let backend = crate::backend();
    let slow = Arc::new(AtomicBool::new(false));
    let layers = Layered::over(backend.clone(), SlowPresence(slow.clone()));
    let vfs = vfs_through(layers, &backend, &Arc::<MemoryStore>::default(), Settings::default());
    know(&vfs).await;
    names(&vfs, &path("etc")).await.unwrap();
    let etc = find(&vfs, &path("etc")).await.unwrap().node;
    backend.add_file(CLIENT, "auto", &["etc", "shadow"], "root:!\n");
    tokio::time::advance(Duration::from_secs(600)).await;
    slow.store(true, Ordering::Relaxed);
    let patient = Call { hold: Duration::from_secs(600), ..call() };
    let found = vfs.lookup(&etc, "shadow", &patient).await;
    assert_eq!(found.unwrap().node.kind, NodeKind::File);
}

#[tokio::test(start_paused = true)]
async fn a_miss_in_a_stale_listing_of_an_offline_endpoint_is_absent_as_of_that_listing() {
    let (backend, vfs) = fixture().await;
    let etc = find(&vfs, &path("etc")).await.unwrap().node;
    names(&vfs, &path("etc")).await.unwrap();
    backend.set_online(CLIENT, false);
    tokio::time::advance(Duration::from_secs(600)).await;
    assert_eq!(vfs.lookup(&etc, "shadow", &call()).await.unwrap_err().kind(), ErrorKind::Absent);
    assert!(vfs.lookup(&etc, "hosts", &call()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_unknown_endpoint_is_absent_only_when_the_server_has_named_all() {
    let (_, vfs) = fixture().await;
    assert_eq!(find(&vfs, "/C.ffffffffffffffff").await.unwrap_err().kind(), ErrorKind::Absent);
}

#[tokio::test(start_paused = true)]
async fn nothing_climbs_out_of_an_endpoint() {
    let (_, vfs) = fixture().await;
    let etc = find(&vfs, &path("etc")).await.unwrap().node;
    let root = find(&vfs, &path("etc/.raptorgate/root/../../..")).await.unwrap().node;
    assert_eq!(root, vfs::Node::ROOT);
    let link = vfs.lookup(&etc, "mtab", &call()).await.unwrap().node;
    assert_eq!(vfs.read_link(&link).await.unwrap(), ".raptorgate/root/proc/self/mounts");
}

#[tokio::test(start_paused = true)]
async fn absolute_links_lead_to_the_same_endpoint() {
    let backend = crate::backend();
    backend.add_link(CLIENT, "auto", &["home", "alice", "h"], "/etc/hosts");
    let vfs = vfs(&backend);
    know(&vfs).await;
    let through = vfs.resolve(&[CLIENT, "auto", "home", "alice", "h"], true, &call()).await.unwrap();
    assert_eq!(through.node, find(&vfs, &path("etc/hosts")).await.unwrap().node);
}

#[tokio::test(start_paused = true)]
async fn no_directory_is_found_below_itself_by_the_kernels_measure() {
    let (_, vfs) = fixture().await;
    let etc = find(&vfs, &path("etc")).await.unwrap();
    let mut seen = std::collections::HashSet::from([etc.attributes.file_id]);
    let mut here = etc.node;
    for _ in 0..vfs::node::MAX_VIEW {
        let meta = vfs.lookup(&here, ".raptorgate", &call()).await.unwrap();
        let root = vfs.lookup(&meta.node, "root", &call()).await.unwrap();
        let etc_again = vfs.lookup(&root.node, "etc", &call()).await.unwrap();
        for found in [meta, root, etc_again] {
            assert!(seen.insert(found.attributes.file_id), "a file id that an ancestor has");
            let node = vfs.node(&vfs.handle(&found.node)).unwrap();
            assert_eq!(vfs.attributes(&node, &call()).await.unwrap().file_id, found.attributes.file_id);
        }
        here = etc_again.node;
    }
    let listing = vfs.list(&here, &call()).await.unwrap();
    let (hosts, _) = listing.entry(0).unwrap();
    assert_eq!(hosts.view, vfs::node::MAX_VIEW);
    assert_eq!(crate::read_all(&vfs, &hosts).await.unwrap(), b"127.0.0.1 localhost\n");
    let meta = vfs.lookup(&here, ".raptorgate", &call()).await.unwrap();
    assert_eq!(vfs.lookup(&meta.node, "root", &call()).await.unwrap_err().kind(), ErrorKind::Invalid);
}

#[tokio::test(start_paused = true)]
async fn windows_names_ignore_case_and_one_object_has_one_handle() {
    let backend = FakeBackend::new();
    backend.add_endpoint(CLIENT, System::Windows, true);
    backend.add_file(CLIENT, "auto", &["C:", "Windows", "notepad.exe"], "MZ");
    let vfs = vfs(&backend);
    know(&vfs).await;
    let exact = find(&vfs, &path("C:/Windows/notepad.exe")).await.unwrap();
    for spelling in ["c:/windows/NOTEPAD.EXE", "C/Windows/Notepad.exe", "c/WINDOWS/notepad.exe"] {
        let found = find(&vfs, &path(spelling)).await.unwrap();
        assert_eq!(vfs.handle(&found.node), vfs.handle(&exact.node), "{spelling}");
    }
    assert_eq!(names(&vfs, &format!("/{CLIENT}")).await.unwrap(), ["auto", "ntfs", "registry", "collected"]);
}

#[tokio::test(start_paused = true)]
async fn names_that_were_no_utf8_are_listed_apart_and_not_fetched() {
    let backend = crate::backend();
    let odd = FakeEntry { unfetchable: true, size: 3, ..FakeEntry::new(FileType::Regular) };
    backend.add_entry(CLIENT, "auto", &["odd", "a\u{fffd}"], odd.clone());
    backend.add_entry(CLIENT, "auto", &["odd", "a\u{fffd}"], odd);
    let vfs = vfs(&backend);
    know(&vfs).await;
    let directory = find(&vfs, &path("odd")).await.unwrap().node;
    let listing = vfs.list(&directory, &call()).await.unwrap();
    let nodes: Vec<_> = (0..listing.len()).map(|ordinal| listing.entry(ordinal).unwrap().0).collect();
    assert_eq!(nodes.len(), 2);
    assert_ne!(nodes[0].own, nodes[1].own);
    let error = vfs.read(&nodes[1], 0, 10, &call()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Uncollected);
    assert_eq!(backend.fetches(), 0);
}
