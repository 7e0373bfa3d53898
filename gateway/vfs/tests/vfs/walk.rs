//! Walks: one deep listing goes ahead of who walks, and of nobody else.

use std::sync::Arc;
use std::time::Duration;

use vfs::Vfs;
use vfs::testing::{FakeBackend, call, vfs};

use crate::{CLIENT, backend, know, names, path};

/// `/srv`, five levels deep, three directories in each; 364 directories.
async fn deep() -> (Arc<FakeBackend>, Vfs) {
    let backend = backend();
    fn grow(backend: &FakeBackend, above: &[&str], levels: usize) {
        backend.add_directory(CLIENT, "auto", above);
        for name in if levels > 0 { &["a", "b", "c"][..] } else { &[] } {
            let mut path = above.to_vec();
            path.push(name);
            grow(backend, &path, levels - 1);
        }
    }
    grow(&backend, &["srv"], 5);
    backend.set_latency(Duration::from_secs(1));
    let vfs = vfs(&backend);
    know(&vfs).await;
    (backend, vfs)
}

/// Goes through everything below `from`, depth first, with a pause before each directory. How many directories there were.
async fn walk(vfs: &Vfs, from: &str, pause: Duration) -> usize {
    let mut stack = vec![path(from)];
    let mut seen = 0;
    while let Some(directory) = stack.pop() {
        tokio::time::sleep(pause).await;
        seen += 1;
        let below = names(vfs, &directory).await.unwrap();
        stack.extend(below.iter().rev().map(|name| format!("{directory}/{name}")));
    }
    seen
}

fn walks(vfs: &Vfs) -> usize {
    vfs.activity().iter().filter(|activity| activity.work == "list ahead of a walk").count()
}

#[tokio::test(start_paused = true)]
async fn a_walk_costs_a_handful_of_jobs_however_many_directories_it_sees() {
    let (backend, vfs) = deep().await;
    names(&vfs, &path("")).await.unwrap();
    let before = backend.listings();
    assert_eq!(walk(&vfs, "srv", Duration::from_millis(2)).await, 364);
    assert!(backend.listings() - before <= 4, "{} jobs", backend.listings() - before);
    assert_eq!(walks(&vfs), 1);
    let before = backend.listings();
    assert_eq!(walk(&vfs, "srv", Duration::from_millis(2)).await, 364);
    assert_eq!(backend.listings(), before, "the second walk finds everything here");
}

#[tokio::test(start_paused = true)]
async fn a_person_who_clicks_starts_no_walk() {
    let (_backend, vfs) = deep().await;
    for click in ["", "srv", "srv/a", "srv/a/b", "srv/a/b/c", "srv/a/b/c/a", "srv/b", "srv/b/a/c/b"] {
        tokio::time::sleep(Duration::from_secs(5)).await;
        names(&vfs, &path(click)).await.unwrap();
    }
    assert_eq!(walks(&vfs), 0);
}

#[tokio::test(start_paused = true)]
async fn the_listing_ahead_of_a_walker_who_went_away_is_cancelled() {
    let (backend, vfs) = deep().await;
    names(&vfs, &path("srv")).await.unwrap();
    let second = crate::find(&vfs, &path("srv/a/a")).await.unwrap().node;
    backend.hold_jobs();
    let waited = tokio::time::timeout(Duration::from_millis(10), vfs.list(&second, &call())).await;
    assert!(waited.is_err(), "nothing came yet");
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!((walks(&vfs), backend.cancelled()), (1, 0));
    tokio::time::sleep(Duration::from_secs(70)).await;
    assert_eq!(backend.cancelled(), 1);
    backend.release_jobs();
    assert_eq!(names(&vfs, &path("srv/a/a/a")).await.unwrap(), ["a", "b", "c"]);
}

#[tokio::test(start_paused = true)]
async fn a_directory_that_the_walk_does_not_bring_is_listed_by_itself() {
    let (backend, vfs) = deep().await;
    backend.deny(CLIENT, "auto", &["srv", "b", "b", "b"]);
    names(&vfs, &path("srv")).await.unwrap();
    names(&vfs, &path("srv/a/a")).await.unwrap();
    names(&vfs, &path("srv/b/b")).await.unwrap();
    assert_eq!(walks(&vfs), 1);
    assert!(names(&vfs, &path("srv/b/b/b")).await.is_err(), "an error, never an empty directory");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_listed_ahead_in_virtual_file_systems() {
    let backend = backend();
    for name in ["1", "2", "3", "4", "5"] {
        backend.add_directory(CLIENT, "auto", &["proc", name, "task"]);
    }
    let vfs = vfs(&backend);
    know(&vfs).await;
    assert_eq!(walk(&vfs, "proc", Duration::from_millis(2)).await, 11);
    assert_eq!(walks(&vfs), 0);
}

#[tokio::test(start_paused = true)]
async fn going_to_a_deep_place_is_no_walk() {
    let (_backend, vfs) = deep().await;
    names(&vfs, &path("srv/a/b/c/a/b")).await.unwrap();
    crate::find(&vfs, &path("srv/b/b/c/a/b")).await.unwrap();
    assert_eq!(walks(&vfs), 0);
}
