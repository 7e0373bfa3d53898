//! Errors that are about the request itself.

use vfs::testing::call;
use vfs::{ErrorKind, Node};

use crate::{find, fixture, path};

#[tokio::test(start_paused = true)]
async fn operations_on_the_wrong_kind_of_object_say_so() {
    let (_, vfs) = fixture().await;
    let hosts = find(&vfs, &path("etc/hosts")).await.unwrap().node;
    let etc = find(&vfs, &path("etc")).await.unwrap().node;
    assert_eq!(vfs.list(&hosts, &call()).await.unwrap_err().kind(), ErrorKind::NotDirectory);
    assert_eq!(vfs.lookup(&hosts, "x", &call()).await.unwrap_err().kind(), ErrorKind::NotDirectory);
    assert_eq!(vfs.read(&etc, 0, 1, &call()).await.unwrap_err().kind(), ErrorKind::IsDirectory);
    assert_eq!(vfs.read_link(&hosts).await.unwrap_err().kind(), ErrorKind::Unsupported);
}

#[tokio::test(start_paused = true)]
async fn a_handle_of_something_that_never_was_is_stale() {
    let (_, vfs) = fixture().await;
    let hosts = find(&vfs, &path("etc/hosts")).await.unwrap().node;
    let invented = Node { own: vfs::node::Identity(77), ..hosts };
    let invented = vfs.node(&vfs.handle(&invented)).unwrap();
    assert_eq!(vfs.attributes(&invented, &call()).await.unwrap_err().kind(), ErrorKind::Stale);
    let nowhere = Node { parent: vfs::node::Identity(78), ..hosts };
    assert_eq!(vfs.read(&nowhere, 0, 1, &call()).await.unwrap_err().kind(), ErrorKind::Stale);
}
