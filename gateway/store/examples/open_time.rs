//! Cold start: how long a state with a million cached entries takes to open, after a clean end and after SIGKILL.
//!
//! `cargo run --release -p raptorgate-store --example open_time [STATE] [ENTRIES] [ENTRIES_PER_DIRECTORY]`
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)] // a measurement: it needs the real clock

#[path = "../tests/support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use raptorgate_store::{DiskStore, Options};
use support::{directory, key};
use vfs::FileType;
use vfs::snapshot::{EntryFields, Rows, Times};
use vfs::store::Store;
use vfs::timestamp::Timestamp;

fn listing(directory: u64, entries: u64) -> Vec<u8> {
    let mut rows = Rows::new();
    for entry in 0..entries {
        let name = format!("document-{directory:x}-{entry:05}.pdf");
        let seconds = i64::try_from(1_600_000_000 + directory * 977 + entry * 31).unwrap();
        let time = Some(Timestamp::new(seconds, 123_456_789));
        let times = Times { modified: time, accessed: time, changed: time, born: time };
        let pushed = rows.push(&EntryFields {
            name: &name,
            shown: None,
            file_type: FileType::Regular,
            mode: 0o644,
            size: entry * 1_013,
            size_unknown: false,
            unfetchable: false,
            times,
            link: None,
            inline: None,
            details: None,
        });
        assert!(pushed);
    }
    rows.encode()
}

fn fill(state: &Path, entries: u64, per_directory: u64) {
    let store = DiskStore::open(state, Options::default()).unwrap();
    let started = Instant::now();
    let directories = entries / per_directory;
    let mut raw = 0;
    for number in 0..directories {
        let rows = listing(number, per_directory);
        raw += rows.len();
        store.publish(key(1, u128::from(number)), &directory("some-directory", 1), &rows).unwrap();
    }
    let usage = store.usage().unwrap();
    println!(
        "wrote {directories} listings, {} MB before compression, {} MB on disk, in {:?}",
        raw >> 20,
        usage.listing_bytes >> 20,
        started.elapsed()
    );
    if std::env::var_os("DIE").is_some() {
        std::process::abort();
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let state = arguments.next().map_or_else(|| std::env::temp_dir().join("raptorgate-open-time"), PathBuf::from);
    let entries: u64 = arguments.next().map_or(1_000_000, |text| text.parse().unwrap());
    let per_directory: u64 = arguments.next().map_or(100, |text| text.parse().unwrap());
    if std::env::var_os("FILL").is_some() {
        return fill(&state, entries, per_directory);
    }
    for (end, die) in [("a clean end", false), ("SIGABRT", true)] {
        let _ = std::fs::remove_dir_all(&state);
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.arg(&state).arg(entries.to_string()).arg(per_directory.to_string()).env("FILL", "1");
        if die {
            child.env("DIE", "1");
        }
        child.status().unwrap();
        for attempt in 1..=3 {
            let started = Instant::now();
            let store = DiskStore::open(&state, Options::default()).unwrap();
            let opened = started.elapsed();
            let started = Instant::now();
            let rows = store.rows(key(1, 7), 1).unwrap().unwrap();
            println!(
                "after {end}, opening {attempt}: {opened:?}; first listing ({} KB): {:?}; RSS {} MB",
                rows.len() >> 10,
                started.elapsed(),
                resident()
            );
        }
    }
    let _ = std::fs::remove_dir_all(&state);
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0");
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) / 1024
}
