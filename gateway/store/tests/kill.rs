//! A writer killed by SIGKILL at any moment: what it was told is written is there, and nothing is there by half.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use raptorgate_store::{DiskStore, Options};
use support::{directory, file, key, noise};
use vfs::node::Identity;
use vfs::store::{CHUNK_BYTES, ContentKey, DirectoryKey, Store};

const STATE: &str = "RAPTORGATE_STORE_KILL_TEST";
const KILLS: u64 = 12;
/// Small buffers, so that flushes and compactions are under way when the signal comes.
const OPTIONS: Options =
    Options { cache_bytes: 1 << 20, write_buffer_bytes: 2 << 20, sync_interval: std::time::Duration::from_millis(50) };

fn busy_directory() -> DirectoryKey {
    key(1, 1)
}

fn rows(round: u32) -> Vec<u8> {
    noise(round.into(), 20_000 + (round as usize % 7) * 30_000)
}

fn chunk(round: u32) -> Vec<u8> {
    noise(u64::from(round) << 32, if round.is_multiple_of(3) { CHUNK_BYTES } else { 100_000 })
}

/// One round of the writer; everything in it depends on `round` only.
fn write(store: &DiskStore, round: u32) {
    store.publish(busy_directory(), &directory("busy", round), &rows(round)).unwrap();
    let children: Vec<_> =
        (0..50).map(|child| (key(2, u128::from(round) * 100 + child), directory("child", 0))).collect();
    store.put_directories(&children).unwrap();
    store.put_chunk(ContentKey(7), u64::from(round), &chunk(round)).unwrap();
    store.put_file(busy_directory(), Identity(round.into()), &file(round)).unwrap();
}

/// Everything up to `told` is there, and `told + 1` whole or not at all.
fn verify(store: &DiskStore, told: u32) -> u32 {
    let record = store.directory(busy_directory()).unwrap();
    let found = record.map_or(0, |record| {
        assert_eq!(record, directory("busy", record.generation));
        record.generation
    });
    assert!(found == told || found == told + 1, "told {told}, found {found}");
    for generation in [found, found.saturating_sub(1)].into_iter().filter(|generation| *generation > 0) {
        let stored = store.rows(busy_directory(), generation).unwrap();
        assert!(stored.is_some_and(|stored| stored == rows(generation)), "rows of generation {generation}");
    }
    for round in 1..=found {
        match store.chunk(ContentKey(7), round.into()).unwrap() {
            Some(bytes) => assert!(bytes == chunk(round), "chunk {round}"),
            None => assert!(round > told, "chunk {round} is gone"),
        }
        for child in 0..50 {
            let child = store.directory(key(2, u128::from(round) * 100 + child)).unwrap();
            assert!(child.is_some() || round > told, "children of {round}");
        }
    }
    let files = store.files(busy_directory()).unwrap();
    assert!(files.len() as u64 >= told.into());
    for (own, record) in files {
        assert_eq!(record, file(u32::try_from(own.0).unwrap()));
    }
    let mut children = 0;
    store
        .each_directory(2, &mut |_, _| {
            children += 1;
            true
        })
        .unwrap();
    assert_eq!(children, 0, "children were never listed");
    found
}

#[test]
#[ignore = "the child process of the test below"]
fn writer() {
    let Some(state) = std::env::var_os(STATE) else {
        return;
    };
    let store = DiskStore::open(Path::new(&state), OPTIONS).unwrap();
    let first = store.directory(busy_directory()).unwrap().map_or(1, |record| record.generation);
    for round in first.. {
        // The round that was under way is written again: all writes can be repeated.
        write(&store, round);
        println!("\ntold {round}");
    }
}

fn kill_after(state: &PathBuf, rounds: usize) -> u32 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "writer", "--ignored", "--nocapture"])
        .env(STATE, state)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut told = lines.map_while(Result::ok).filter_map(|line| line.strip_prefix("told ")?.parse::<u32>().ok());
    let mut last = told.nth(rounds).expect("the writer died by itself");
    child.kill().unwrap();
    // What it said between our reading and its death counts too.
    for round in told {
        last = round;
    }
    child.wait().unwrap();
    last
}

#[test]
fn a_killed_writer_leaves_a_state_that_opens_with_all_it_was_told_and_nothing_by_half() {
    let state = tempfile::tempdir().unwrap();
    let path = state.path().join("state");
    for kill in 0..KILLS {
        let rounds = usize::try_from(kill * kill % 23).unwrap();
        let told = kill_after(&path, rounds);
        let store = DiskStore::open(&path, OPTIONS).unwrap();
        let found = verify(&store, told);
        assert_eq!(store.usage().unwrap().content_bytes / (50 << 10) > 0, found > 0);
    }
}
