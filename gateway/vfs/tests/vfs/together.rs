//! Small files that a program reads one after another are collected together; what a person opens is collected alone.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use vfs::testing::{FakeBackend, vfs};
use vfs::{ErrorKind, Vfs};

use crate::{CLIENT, backend, content, find, know, names, path};

/// `/many` with 300 small files and one large one; collecting takes a second.
async fn many(fetch_many: bool) -> (Arc<FakeBackend>, Vfs) {
    let backend = backend();
    for number in 0..300 {
        backend.add_file(CLIENT, "auto", &["many", &format!("{number:03}")], format!("content {number}"));
    }
    backend.add_file(CLIENT, "auto", &["many", "large"], vec![7; 3 << 20]);
    for number in 0..6 {
        backend.add_directory(CLIENT, "auto", &[&format!("other {number}")]);
    }
    backend.set_latency(Duration::from_secs(1));
    backend.set_fetch_many(fetch_many);
    let vfs = vfs(&backend);
    know(&vfs).await;
    names(&vfs, &path("many")).await.unwrap();
    (backend, vfs)
}

async fn read(vfs: &Vfs, number: usize) {
    let bytes = content(vfs, &path(&format!("many/{number:03}"))).await.unwrap();
    assert_eq!(bytes, format!("content {number}").into_bytes());
}

#[tokio::test(start_paused = true)]
async fn a_directory_of_small_files_costs_a_handful_of_jobs() {
    let (backend, vfs) = many(true).await;
    for number in 0..300 {
        read(&vfs, number).await;
    }
    assert!(backend.fetches() <= 5, "{} jobs", backend.fetches());
}

#[tokio::test(start_paused = true)]
async fn the_order_in_which_a_program_reads_does_not_matter() {
    let (backend, vfs) = many(true).await;
    for number in 0..300 {
        read(&vfs, (number * 101 + 37) % 300).await;
    }
    assert!(backend.fetches() <= 6, "{} jobs", backend.fetches());
}

#[tokio::test(start_paused = true)]
async fn who_reads_in_the_order_of_a_listing_or_of_file_ids_needs_two_files_to_be_seen() {
    let (backend, vfs) = many(true).await;
    let mut by_file_id = Vec::new();
    for number in 0..300 {
        let node = find(&vfs, &path(&format!("many/{number:03}"))).await.unwrap().node;
        by_file_id.push((node.file_id(), number));
    }
    by_file_id.sort_unstable();
    for (_, number) in &by_file_id {
        read(&vfs, *number).await;
    }
    assert!(backend.fetches() <= 3, "{} jobs", backend.fetches());
    let (backend, vfs) = many(true).await;
    for number in 0..300 {
        read(&vfs, number).await;
    }
    assert!(backend.fetches() <= 3, "{} jobs", backend.fetches());
}

#[tokio::test(start_paused = true)]
async fn two_files_that_are_no_neighbours_bring_no_others() {
    let (backend, vfs) = many(true).await;
    let mut by_file_id = Vec::new();
    for number in [10, 40, 70] {
        let node = find(&vfs, &path(&format!("many/{number:03}"))).await.unwrap().node;
        by_file_id.push((node.file_id(), number));
    }
    by_file_id.sort_unstable();
    read(&vfs, by_file_id[2].1).await;
    read(&vfs, by_file_id[0].1).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    read(&vfs, 11).await;
    assert_eq!(backend.fetches(), 3, "nothing came along");
}

#[tokio::test(start_paused = true)]
async fn what_comes_next_leaves_before_the_reader_is_through_with_what_came() {
    let (backend, vfs) = many(true).await;
    for number in 0..100 {
        read(&vfs, number).await;
    }
    assert_eq!(backend.fetches(), 3, "one alone, the first window, and the next one ahead of the reader");
    tokio::time::sleep(Duration::from_millis(900)).await;
    read(&vfs, 100).await;
    tokio::time::sleep(Duration::from_millis(900)).await;
    let before = tokio::time::Instant::now();
    for number in 101..300 {
        read(&vfs, number).await;
    }
    assert!(before.elapsed() < Duration::from_millis(100), "all of it was here: {:?}", before.elapsed());
    assert_eq!(backend.fetches(), 3);
}

#[tokio::test(start_paused = true)]
async fn nothing_leaves_ahead_of_a_reader_when_the_endpoint_takes_few_more() {
    let (backend, vfs) = many(true).await;
    for number in 0..6 {
        let other = find(&vfs, &path(&format!("other {number}"))).await.unwrap().node;
        let news: Vec<vfs::Progress> = vfs.refresh(&other, 0, &vfs::testing::call()).collect().await;
        assert!(matches!(news.last(), Some(vfs::Progress::Done { .. })), "{news:?}");
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    for number in 0..100 {
        read(&vfs, number).await;
    }
    assert_eq!(backend.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn without_the_artifact_they_leave_in_handfuls() {
    let (backend, vfs) = many(false).await;
    for number in 0..50 {
        read(&vfs, number).await;
    }
    assert!(backend.fetches() <= 8, "{} jobs", backend.fetches());
}

#[tokio::test(start_paused = true)]
async fn what_a_person_opens_goes_alone() {
    let (backend, vfs) = many(true).await;
    for number in 0..10 {
        read(&vfs, number).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    assert_eq!(backend.fetches(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_file_among_them_that_is_denied_says_so_and_the_others_come() {
    let (backend, vfs) = many(true).await;
    backend.deny(CLIENT, "auto", &["many", "007"]);
    for number in 0..20 {
        if number == 7 {
            let error = content(&vfs, &path("many/007")).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Denied);
        } else {
            read(&vfs, number).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_delivery_loses_nothing() {
    let (backend, vfs) = many(true).await;
    read(&vfs, 0).await;
    read(&vfs, 1).await;
    backend.lose_jobs(1);
    for number in 2..20 {
        read(&vfs, number).await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_reads_a_file_that_is_on_its_way_with_others_waits_for_it() {
    let (backend, vfs) = many(true).await;
    read(&vfs, 0).await;
    read(&vfs, 1).await;
    let mut readers = Vec::new();
    for number in 2..30 {
        let vfs = vfs.clone();
        readers.push(tokio::spawn(async move { read(&vfs, number).await }));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for reader in readers {
        reader.await.unwrap();
    }
    assert!(backend.fetches() <= 4, "{} jobs", backend.fetches());
}

/// `/tree/NNN` with three small files each; collecting takes a second.
async fn tree(directories: usize) -> (Arc<FakeBackend>, Vfs) {
    let backend = backend();
    for number in 0..directories {
        for file in ["a", "b", "c"] {
            let name = format!("{number:03}");
            backend.add_file(CLIENT, "auto", &["tree", &name, "deep", file], format!("{number} {file}"));
        }
    }
    backend.set_latency(Duration::from_secs(1));
    backend.set_fetch_many(true);
    let vfs = vfs(&backend);
    know(&vfs).await;
    let root = find(&vfs, &path("tree")).await.unwrap().node;
    let news: Vec<vfs::Progress> = vfs.refresh(&root, 9, &vfs::testing::call()).collect().await;
    assert!(matches!(news.last(), Some(vfs::Progress::Done { .. })), "{news:?}");
    (backend, vfs)
}

#[tokio::test(start_paused = true)]
async fn a_tree_of_small_directories_costs_a_handful_of_jobs() {
    let (backend, vfs) = tree(200).await;
    for number in 0..200 {
        for file in ["a", "b", "c"] {
            let bytes = content(&vfs, &path(&format!("tree/{number:03}/deep/{file}"))).await.unwrap();
            assert_eq!(bytes, format!("{number} {file}").into_bytes());
        }
    }
    assert!(backend.fetches() <= 10, "{} jobs for 600 files of 200 directories", backend.fetches());
}

#[tokio::test(start_paused = true)]
async fn who_picks_one_file_of_each_directory_gets_no_more_than_that() {
    let (backend, vfs) = tree(30).await;
    for number in 0..30 {
        content(&vfs, &path(&format!("tree/{number:03}/deep/b"))).await.unwrap();
    }
    assert_eq!(backend.fetches(), 30);
    assert_eq!(vfs.activity().iter().filter(|activity| activity.work == "collect").count(), 30);
}

#[tokio::test(start_paused = true)]
async fn files_that_belong_together_are_collected_together_whoever_opens_which() {
    for (fetch_many, opened) in [(true, "NTUSER.DAT"), (false, "NTUSER.DAT"), (true, "ntuser.dat.LOG2")] {
        let backend = backend();
        let set = ["NTUSER.DAT", "ntuser.dat.LOG1", "ntuser.dat.LOG2"];
        for name in set.iter().chain(&["other.dat", "ntuser.ini"]) {
            backend.add_file(CLIENT, "auto", &["profile", name], format!("content of {name}"));
        }
        backend.set_latency(Duration::from_secs(1));
        backend.set_fetch_many(fetch_many);
        let vfs = vfs(&backend);
        know(&vfs).await;
        names(&vfs, &path("profile")).await.unwrap();
        content(&vfs, &path(&format!("profile/{opened}"))).await.unwrap();
        tokio::time::sleep(Duration::from_secs(5)).await;
        let fetches = backend.fetches();
        let mut sets = Vec::new();
        for name in set {
            let node = find(&vfs, &path(&format!("profile/{name}"))).await.unwrap().node;
            let bytes = content(&vfs, &path(&format!("profile/{name}"))).await.unwrap();
            assert_eq!(bytes, format!("content of {name}").into_bytes());
            sets.push(vfs.provenance(&node).await.unwrap()["copies"][0]["set"].clone());
        }
        assert_eq!(backend.fetches(), fetches, "all were here");
        assert!(sets[0].is_string() && sets.iter().all(|set| *set == sets[0]), "{sets:?}");
        let other = find(&vfs, &path("profile/other.dat")).await.unwrap().attributes;
        assert!(!other.collected, "what does not belong to it stays where it is");
    }
}
