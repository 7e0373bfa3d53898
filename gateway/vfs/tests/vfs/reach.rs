//! What a listing takes along for a person: enough that the next looks are hits, never so much that the first one suffers (SEMANTICS 12.4).

use std::sync::Arc;
use std::time::Duration;

use vfs::Vfs;
use vfs::backend::Work;
use vfs::testing::{FakeBackend, vfs};

use crate::{CLIENT, backend, know, names, path};

/// `/home`, four levels deep, five directories in each but the last.
async fn home() -> (Arc<FakeBackend>, Vfs) {
    let backend = backend();
    for number in 0..5 * 5 * 5 * 5 {
        let name = |power: u32| format!("d{}", number / 5_usize.pow(power) % 5);
        backend.add_directory(CLIENT, "auto", &["home", &name(3), &name(2), &name(1), &name(0)]);
    }
    backend.set_latency(Duration::from_secs(1));
    let vfs = vfs(&backend);
    know(&vfs).await;
    (backend, vfs)
}

/// A person looks at these places. How many jobs each of them cost.
async fn click(backend: &FakeBackend, vfs: &Vfs, places: &[&str]) -> Vec<usize> {
    let mut jobs = Vec::new();
    for place in places {
        tokio::time::sleep(Duration::from_secs(5)).await;
        let before = backend.listings();
        assert!(!names(vfs, &path(place)).await.unwrap().is_empty());
        tokio::time::sleep(Duration::from_secs(2)).await;
        jobs.push(backend.listings() - before);
    }
    jobs
}

fn last(backend: &FakeBackend) -> (String, u32) {
    match backend.works().pop().unwrap().0 {
        Work::List { directory, depth } => (directory.components.join("/"), depth),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_level_comes_along() {
    let (backend, vfs) = home().await;
    assert_eq!(click(&backend, &vfs, &["", "home", "home/d1"]).await, [1, 1, 0]);
    assert_eq!(last(&backend), ("home".into(), 1));
}

#[tokio::test(start_paused = true)]
async fn who_looks_at_one_directory_after_another_gets_those_beside_them_too() {
    let (backend, vfs) = home().await;
    // The level below `home/d1` comes with `home`; each of those is a look of its own.
    click(&backend, &vfs, &["", "home", "home/d1", "home/d1/d0"]).await;
    assert_eq!(last(&backend), ("home/d1/d0".into(), 1));
    assert_eq!(click(&backend, &vfs, &["home/d1/d1"]).await, [1]);
    assert_eq!(last(&backend), ("home/d1".into(), 2));
    assert_eq!(click(&backend, &vfs, &["home/d1/d2", "home/d1/d3/d4", "home/d1/d4"]).await, [0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn two_levels_come_along_where_tokens_are_scarce() {
    let (backend, vfs) = home().await;
    backend.set_tokens(6, Duration::from_secs(30), false);
    click(&backend, &vfs, &[""]).await;
    for _ in 0..7 {
        let node = crate::find(&vfs, &path("")).await.unwrap().node;
        let mut refresh = vfs.refresh(&node, 0, &vfs::testing::call());
        while futures_util::StreamExt::next(&mut refresh).await.is_some() {}
    }
    assert_eq!(click(&backend, &vfs, &["home"]).await, [1]);
    assert_eq!(last(&backend), ("home".into(), 2));
    assert_eq!(click(&backend, &vfs, &["home/d3", "home/d3/d4"]).await, [0, 0]);
}

#[tokio::test(start_paused = true)]
async fn what_is_too_wide_to_take_along_is_not_in_the_way() {
    let (backend, vfs) = home().await;
    for number in 0..100_001 {
        let (directory, file) = (format!("many-{}", number / 500), number.to_string());
        backend.add_file(CLIENT, "auto", &["home", "d1", "d0", &directory, &file], "");
    }
    click(&backend, &vfs, &["", "home", "home/d1", "home/d1/d3"]).await;
    let before = backend.listings();
    assert_eq!(names(&vfs, &path("home/d1/d4")).await.unwrap().len(), 5);
    assert_eq!(backend.listings() - before, 2, "with those beside it, and then by itself");
    assert_eq!(last(&backend), ("home/d1/d4".into(), 0));
}
