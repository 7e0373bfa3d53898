//! A restart: the same store, a new process, the same handles.

use std::sync::Arc;

use vfs::testing::{MemoryStore, call, vfs_with};
use vfs::{ErrorKind, Settings};

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
