//! Listings: one job for any number of readers, cached ones without any, and no lie when one fails.

use std::time::Duration;

use vfs::testing::call;
use vfs::{ErrorKind, Freshness, Node, Profile, System};

use crate::{CLIENT, OFFLINE, find, fixture, names, path};

#[tokio::test(start_paused = true)]
async fn an_uncached_directory_costs_one_job_and_a_cached_one_none() {
    let (backend, vfs) = fixture().await;
    assert_eq!(names(&vfs, &path("")).await.unwrap(), ["etc", "empty"]);
    assert_eq!(backend.listings(), 1);
    assert_eq!(names(&vfs, &path("")).await.unwrap(), ["etc", "empty"]);
    assert_eq!(backend.listings(), 1);
}

#[tokio::test(start_paused = true)]
async fn any_number_of_readers_share_one_job() {
    let (backend, vfs) = fixture().await;
    let node = find(&vfs, &path("")).await.unwrap().node;
    backend.hold_jobs();
    let readers: Vec<_> = (0..50)
        .map(|_| {
            let vfs = vfs.clone();
            tokio::spawn(async move { vfs.list(&node, &call()).await.map(|listing| listing.len()) })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    backend.release_jobs();
    for reader in readers {
        assert_eq!(reader.await.unwrap().unwrap(), 2);
    }
    assert_eq!(backend.listings(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_empty_directory_is_empty_and_a_failed_one_is_an_error() {
    let (backend, vfs) = fixture().await;
    assert!(names(&vfs, &path("empty")).await.unwrap().is_empty());
    backend.deny(CLIENT, "auto", &["etc"]);
    assert_eq!(names(&vfs, &path("etc")).await.unwrap_err().kind(), ErrorKind::Denied);
    // Asked again at once: the same answer, without another job.
    let jobs = backend.listings();
    assert_eq!(names(&vfs, &path("etc")).await.unwrap_err().kind(), ErrorKind::Denied);
    assert_eq!(backend.listings(), jobs);
}

#[tokio::test(start_paused = true)]
async fn failed_refresh_never_replaces_a_good_snapshot() {
    let (backend, vfs) = fixture().await;
    let before = names(&vfs, &path("etc")).await.unwrap();
    backend.deny(CLIENT, "auto", &["etc"]);
    tokio::time::advance(Duration::from_secs(25 * 3600)).await;
    assert_eq!(names(&vfs, &path("etc")).await.unwrap(), before);
    let etc = find(&vfs, &path("etc")).await.unwrap().node;
    let Freshness::Listed { failed_since: Some(failed), .. } = vfs.freshness(&etc).await.unwrap() else {
        panic!("the failure is not visible");
    };
    assert!(failed.message.contains("permission denied"));
}

#[tokio::test(start_paused = true)]
async fn a_stale_listing_is_served_at_once_and_refreshed_behind_the_readers_back() {
    let (backend, vfs) = fixture().await;
    names(&vfs, &path("empty")).await.unwrap();
    let jobs = backend.listings();
    backend.add_file(CLIENT, "auto", &["empty", "new"], "x");
    tokio::time::advance(Duration::from_secs(10 * 60)).await;
    backend.hold_jobs();
    assert!(names(&vfs, &path("empty")).await.unwrap().is_empty());
    backend.release_jobs();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(names(&vfs, &path("empty")).await.unwrap(), ["new"]);
    // The parents on the way were looked at again too, each once.
    assert!(backend.listings() <= jobs + 3, "{} jobs", backend.listings());
}

#[tokio::test(start_paused = true)]
async fn a_slow_listing_is_later_and_never_empty_or_absent() {
    let (backend, vfs) = fixture().await;
    let auto = find(&vfs, &path("")).await.unwrap().node;
    backend.hold_jobs();
    let error = vfs.list(&auto, &call()).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Later { .. }), "{error:?}");
    let error = vfs.lookup(&auto, "etc", &call()).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Later { .. }), "{error:?}");
    backend.release_jobs();
    assert_eq!(vfs.list(&auto, &call()).await.unwrap().len(), 2);
    assert_eq!(backend.listings(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_offline_endpoint_answers_promptly_with_an_error() {
    let (backend, vfs) = fixture().await;
    let before = tokio::time::Instant::now();
    let error = names(&vfs, &format!("/{OFFLINE}/auto")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Offline);
    assert!(before.elapsed() < Duration::from_secs(1));
    let error = find(&vfs, &format!("/{OFFLINE}/auto/home")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Offline);
    assert_eq!(backend.listings(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_the_server_holds_is_served_before_any_job_and_offline() {
    let (backend, vfs) = fixture().await;
    backend.hold_listing(OFFLINE, "auto", &[], Duration::from_secs(3 * 24 * 3600));
    assert_eq!(names(&vfs, &format!("/{OFFLINE}/auto")).await.unwrap(), ["home"]);
    backend.hold_listing(CLIENT, "auto", &[], Duration::from_secs(60));
    assert_eq!(names(&vfs, &path("")).await.unwrap(), ["etc", "empty"]);
    assert_eq!(backend.listings(), 0);
}

#[tokio::test(start_paused = true)]
async fn lost_tasks_are_queued_again_and_not_for_ever() {
    let (backend, vfs) = fixture().await;
    backend.lose_jobs(2);
    assert_eq!(names(&vfs, &path("")).await.unwrap().len(), 2);
    assert_eq!(backend.listings(), 3);
    backend.lose_jobs(100);
    assert_eq!(names(&vfs, &path("etc")).await.unwrap_err().kind(), ErrorKind::Backend);
    assert_eq!(backend.listings(), 6);
}

#[tokio::test(start_paused = true)]
async fn one_job_lists_a_level_more_and_readers_below_wait_for_it() {
    let (backend, vfs) = fixture().await;
    names(&vfs, &path("")).await.unwrap();
    assert_eq!(names(&vfs, &path("etc")).await.unwrap().len(), 4);
    assert_eq!(names(&vfs, &path("etc/ssh")).await.unwrap(), ["sshd_config"]);
    assert_eq!(backend.listings(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_flow_that_is_never_taken_is_cancelled() {
    let (backend, vfs) = fixture().await;
    let auto = find(&vfs, &path("")).await.unwrap().node;
    backend.hold_jobs();
    vfs.list(&auto, &call()).await.unwrap_err();
    tokio::time::sleep(Duration::from_secs(16 * 60)).await;
    assert_eq!(backend.cancelled(), 1);
}

#[tokio::test(start_paused = true)]
async fn readers_in_the_middle_of_a_listing_go_on_in_the_same_generation() {
    let (backend, vfs) = fixture().await;
    for number in 0..10 {
        backend.add_file(CLIENT, "auto", &["many", &format!("f{number}")], "x");
    }
    let many = find(&vfs, &path("many")).await.unwrap().node;
    let first = vfs.list(&many, &call()).await.unwrap();
    let (generation, next) = vfs::listing::split_cookie(first.cookie(4)).unwrap();
    assert_eq!((generation, next), (first.generation(), 5));
    let stamp = vfs.attributes(&many, &call()).await.unwrap().changed;
    backend.remove(CLIENT, "auto", &["many", "f2"]);
    let mut progress = vfs.refresh(&many, 0, &call());
    while futures_util::StreamExt::next(&mut progress).await.is_some() {}
    let again = vfs.list_at(&many, generation, &call()).await.unwrap();
    assert_eq!(again.name(5, Profile::Posix), "f5");
    assert_eq!(vfs.list(&many, &call()).await.unwrap().len(), 9);
    assert_ne!(vfs.attributes(&many, &call()).await.unwrap().changed, stamp, "kernel caches must notice");
}

#[tokio::test(start_paused = true)]
async fn the_root_lists_the_endpoints_and_their_names_without_any_job() {
    let (backend, vfs) = fixture().await;
    assert_eq!(names(&vfs, "/").await.unwrap(), ["by-name", CLIENT, OFFLINE]);
    assert_eq!(names(&vfs, "/by-name").await.unwrap(), ["host-0000000000000001", "host-0000000000000002"]);
    let found = vfs.resolve(&["by-name", "host-0000000000000001"], true, &call()).await.unwrap();
    assert_eq!(found, find(&vfs, &format!("/{CLIENT}")).await.unwrap());
    assert_eq!(names(&vfs, &format!("/{CLIENT}")).await.unwrap(), ["auto", "collected"]);
    assert_eq!(vfs.parent(&found.node).await.unwrap().node, Node::ROOT);
    assert_eq!(backend.listings(), 0);
}

#[tokio::test(start_paused = true)]
async fn endpoints_of_several_organisations_are_below_their_own_too() {
    assert_eq!(find(&fixture().await.1, "/org").await.unwrap_err().kind(), ErrorKind::Absent);
    let (backend, other) = (crate::backend(), "C.0000000000000003-OTEST1");
    backend.add_endpoint(other, System::Linux, true);
    backend.add_file(other, "auto", &["theirs"], "x");
    let vfs = vfs::testing::vfs(&backend);
    crate::know(&vfs).await;
    assert_eq!(names(&vfs, "/").await.unwrap(), ["by-name", "org", CLIENT, OFFLINE, other]);
    assert_eq!(names(&vfs, "/org").await.unwrap(), ["OTEST1", "root"]);
    assert_eq!(names(&vfs, "/org/root").await.unwrap(), [CLIENT, OFFLINE]);
    assert_eq!(names(&vfs, "/org/OTEST1").await.unwrap(), [other]);
    assert_eq!(find(&vfs, "/org/OTHER").await.unwrap_err().kind(), ErrorKind::Absent);
    assert_eq!(find(&vfs, &format!("/org/OTEST1/{CLIENT}")).await.unwrap_err().kind(), ErrorKind::Absent);
    let theirs = format!("{other}/auto");
    assert_eq!(
        find(&vfs, &format!("/org/OTEST1/{theirs}")).await.unwrap(),
        find(&vfs, &format!("/{theirs}")).await.unwrap()
    );
    assert_eq!(names(&vfs, &format!("/org/OTEST1/{theirs}")).await.unwrap(), ["theirs"]);
    let org = find(&vfs, "/org/OTEST1").await.unwrap().node;
    assert_eq!(vfs.parent(&org).await.unwrap().node, find(&vfs, "/org").await.unwrap().node);
}

#[tokio::test(start_paused = true)]
async fn the_last_receive_tokens_are_not_spent_behind_somebodys_back() {
    let backend = crate::backend();
    for name in ["a", "b", "c", "d", "e", "f"] {
        backend.add_directory(CLIENT, "auto", &[name]);
    }
    let vfs = vfs::testing::vfs(&backend);
    crate::know(&vfs).await;
    names(&vfs, &path("etc")).await.unwrap();
    tokio::time::advance(Duration::from_secs(400)).await;
    for name in ["a", "b", "c", "d", "e", "f"] {
        names(&vfs, &path(name)).await.unwrap();
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    let jobs = backend.listings();
    names(&vfs, &path("etc")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(backend.listings(), jobs, "few tokens are left");
    tokio::time::advance(Duration::from_secs(300)).await;
    names(&vfs, &path("etc")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(backend.listings(), jobs + 1, "the bucket is full again");
}
