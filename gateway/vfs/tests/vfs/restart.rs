//! A restart: the same store, a new process, the same handles.

use std::sync::Arc;
use std::time::Duration;

use vfs::backend::{Backend, Delivery, Limits, Work};
use vfs::store::{JobRecord, Store};
use vfs::testing::{FakeBackend, MemoryStore, call, vfs_with};
use vfs::{Clock, EndpointId, EndpointPath, ErrorKind, Principal, Reason, Settings};

use crate::{CLIENT, find, know, path, read_all};

#[tokio::test(start_paused = true)]
async fn handles_listings_and_contents_outlive_the_process_and_the_endpoint() {
    let backend = crate::backend();
    let store = Arc::new(MemoryStore::default());
    let before = vfs_with(&backend, &store, Settings::default());
    know(&before).await;
    let etc = find(&before, &path("etc")).await.unwrap();
    let ssh = find(&before, &path("etc/ssh")).await.unwrap();
    let hosts = find(&before, &path("etc/hosts")).await.unwrap();
    let passwd = find(&before, &path("etc/passwd")).await.unwrap();
    let meta = find(&before, &path("etc/.raptorgate/dir.json")).await.unwrap();
    read_all(&before, &hosts.node).await.unwrap();
    let handles: Vec<_> = [&etc, &ssh, &hosts, &passwd, &meta].map(|found| before.handle(&found.node)).to_vec();
    let stamp = before.attributes(&etc.node, &call()).await.unwrap();
    drop(before);

    backend.set_online(CLIENT, false);
    let (listings, fetches) = (backend.listings(), backend.fetches());
    let after = vfs_with(&backend, &store, Settings::default());
    // No look-up first: a client only has its handles.
    let [etc, ssh, hosts, passwd, meta] = [0, 1, 2, 3, 4].map(|index: usize| after.node(&handles[index]).unwrap());
    assert_eq!(read_all(&after, &hosts).await.unwrap(), b"127.0.0.1 localhost\n");
    assert_eq!(after.attributes(&etc, &call()).await.unwrap(), stamp);
    assert_eq!(after.attributes(&passwd, &call()).await.unwrap().size, Some(11));
    assert_eq!(after.list(&etc, &call()).await.unwrap().len(), 4);
    assert_eq!(after.list(&ssh, &call()).await.unwrap().len(), 1);
    assert!(after.attributes(&meta, &call()).await.unwrap().size.unwrap() > 10);
    let error = after.read(&passwd, 0, 10, &call()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Offline, "uncollected and offline is an error, not zeros");
    assert_eq!((backend.listings(), backend.fetches()), (listings, fetches));
}

/// What a process leaves behind that was killed while `work` was under way for `path`.
async fn left_behind(
    backend: &FakeBackend,
    store: &MemoryStore,
    work: Work,
    path: &EndpointPath,
    start_by: Duration,
    kept: bool,
) {
    let limits = Limits { timeout: start_by, max_rows: 0, max_upload_bytes: 0, cpu_percent: 0 };
    let lists = matches!(work, Work::List { .. });
    let (principal, reason) = (Principal::new("alice"), Reason("of before".into()));
    let delivery = Delivery { works: vec![work], principal, reason, limits };
    let job = backend.submit(&path.endpoint, delivery).await.unwrap().remove(0);
    let start_by = backend.clock().now().plus(start_by);
    store
        .put_job(&JobRecord {
            job,
            path: path.clone(),
            lists,
            principal: "alice".into(),
            start_by,
            kept,
            for_return: None,
        })
        .unwrap();
}

fn endpoint_path(names: &[&str]) -> EndpointPath {
    let root = EndpointPath::accessor_root(EndpointId::root_org(CLIENT), "auto");
    names.iter().fold(root, |path, name| path.child(name).unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_listing_that_was_under_way_is_waited_for_and_not_started_again() {
    let (backend, store) = (crate::backend(), Arc::new(MemoryStore::default()));
    backend.hold_jobs();
    let etc = endpoint_path(&["etc"]);
    let work = Work::List { directory: etc.clone(), depth: 0 };
    left_behind(&backend, &store, work, &etc, Duration::from_secs(900), false).await;
    let vfs = vfs_with(&backend, &store, Settings { prefetch: false, ..Settings::default() });
    know(&vfs).await;
    let asks = tokio::spawn({
        let vfs = vfs.clone();
        async move { crate::names(&vfs, &path("etc")).await }
    });
    tokio::time::sleep(Duration::from_secs(2)).await;
    backend.release_jobs();
    assert_eq!(asks.await.unwrap().unwrap().len(), 4);
    assert_eq!(backend.listings(), 2, "that of etc, and that of the directory above it");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(store.jobs().unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_was_being_collected_is_there() {
    let (backend, store) = (crate::backend(), Arc::new(MemoryStore::default()));
    let vfs = vfs_with(&backend, &store, Settings::default());
    know(&vfs).await;
    crate::names(&vfs, &path("etc")).await.unwrap();
    tokio::time::advance(Duration::from_secs(1)).await;
    let hosts = endpoint_path(&["etc", "hosts"]);
    left_behind(&backend, &store, Work::Fetch { files: vec![hosts.clone()] }, &hosts, Duration::from_secs(900), false)
        .await;
    let vfs = vfs_with(&backend, &store, Settings::default());
    know(&vfs).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(crate::content(&vfs, &path("etc/hosts")).await.unwrap(), b"127.0.0.1 localhost\n");
    assert_eq!((backend.fetches(), store.jobs().unwrap().len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn what_was_not_delivered_in_time_is_taken_back_after_a_restart_too() {
    let (backend, store) = (crate::backend(), Arc::new(MemoryStore::default()));
    backend.hold_jobs();
    let etc = endpoint_path(&["etc"]);
    let work = Work::List { directory: etc.clone(), depth: 0 };
    left_behind(&backend, &store, work, &etc, Duration::from_secs(60), true).await;
    tokio::time::advance(Duration::from_secs(30)).await;
    let vfs = vfs_with(&backend, &store, Settings::default());
    know(&vfs).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(backend.cancelled(), 0);
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!((backend.cancelled(), store.jobs().unwrap().len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn what_nobody_asks_for_any_more_after_a_restart_is_taken_back_unless_it_was_asked_for_explicitly() {
    for kept in [false, true] {
        let (backend, store) = (crate::backend(), Arc::new(MemoryStore::default()));
        backend.hold_jobs();
        let etc = endpoint_path(&["etc"]);
        let work = Work::List { directory: etc.clone(), depth: 0 };
        left_behind(&backend, &store, work, &etc, Duration::from_secs(900), kept).await;
        let vfs = vfs_with(&backend, &store, Settings::default());
        know(&vfs).await;
        tokio::time::sleep(Duration::from_secs(55)).await;
        assert_eq!(backend.cancelled(), 0, "clients that were told to come back have time for it");
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(backend.cancelled(), usize::from(!kept));
        assert_eq!(backend.listings(), 1, "and nothing is started in its place");
    }
}
