//! Listings of several levels, big ones, and the spellings of Windows.

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt as _;
use velociraptor_proto::proto;
use velociraptor_proto::proto::artifact_collector_context::State;
use vfs::backend::{Failure, JobEvent, Outcome};

use super::{BOTH, FLOW, Stage, finished, list, listing, path, stats, table};
use crate::artifacts;
use crate::flow::Kind;

const FILE: &str = "-rw-r--r--";
const DIR: &str = "drwxr-xr-x";

fn names(seen: &super::Seen) -> Vec<(String, usize)> {
    let mut names: Vec<_> =
        seen.listed.iter().map(|listed| (listed.directory.components.join("/"), listed.rows.len())).collect();
    names.sort();
    names
}

fn expect(names: &[(&str, usize)]) -> Vec<(String, usize)> {
    names.iter().map(|(name, rows)| ((*name).to_owned(), *rows)).collect()
}

#[tokio::test(start_paused = true)]
async fn every_directory_of_a_deep_flow_is_told_and_none_that_failed() {
    let stage = Stage::new();
    stage.server.set_table(
        FLOW,
        artifacts::LISTING,
        listing(&[
            (&["a", "b"], DIR),
            (&["a", "denied"], DIR),
            (&["a", "empty"], DIR),
            (&["a", "x"], FILE),
            (&["a", "b", "c"], DIR),
            (&["a", "b", "y"], FILE),
            (&["a", "b", "c", "below the depth"], DIR),
        ]),
    );
    stage.server.set_table(
        FLOW,
        artifacts::STATS,
        stats(&[(&["a"], 0, 4), (&["a", "b"], 4, 6), (&["a", "b", "c"], 6, 7), (&["a", "empty"], 7, 7)]),
    );
    let job = stage.start(list(path(&["a"]), 2));
    stage.set_state(State::Finished, &BOTH);
    let seen = stage.watch(&job).await;
    assert_eq!(names(&seen), expect(&[("a", 4), ("a/b", 2), ("a/b/c", 1), ("a/empty", 0)]));
    let Some(Outcome::Finished { complaint: Some(_) }) = seen.outcome else { panic!("{:?}", seen.outcome) };
}

#[tokio::test(start_paused = true)]
async fn a_flow_that_broke_off_gives_only_what_it_finished() {
    let stage = Stage::new();
    let rows = listing(&[(&["a", "b"], DIR), (&["a", "b", "half"], FILE)]);
    stage.server.set_table(FLOW, artifacts::LISTING, rows);
    stage.server.set_table(FLOW, artifacts::STATS, stats(&[(&["a"], 0, 1)]));
    let job = stage.start(list(path(&["a"]), 2));
    stage.set_failed("Query timed out after 600 seconds", &BOTH);
    let seen = stage.watch(&job).await;
    assert_eq!(names(&seen), expect(&[("a", 1)]));
    let Some(Outcome::Failed { failure: Failure::Limit, .. }) = seen.outcome else { panic!("{:?}", seen.outcome) };
}

#[tokio::test(start_paused = true)]
async fn a_single_directory_that_is_whole_is_whole_even_if_the_log_was_ugly() {
    let stage = Stage::new();
    stage.server.set_table(FLOW, artifacts::LISTING, listing(&[(&["a", "x"], FILE)]));
    stage.server.set_table(FLOW, artifacts::STATS, stats(&[(&["a"], 0, 1)]));
    let job = stage.start(list(path(&["a"]), 0));
    stage.set_failed("Error: something in the log", &BOTH);
    let seen = stage.watch(&job).await;
    assert_eq!((names(&seen), seen.outcome), (expect(&[("a", 1)]), finished(None)));
}

/// Two directories: `a` with one sub-directory and `files` files, `a/z` with `below` files.
fn big(files: usize, below: usize) -> proto::GetTableResponse {
    let mut rows = vec![serde_json::json!([["a", "z"], "z", 0, DIR, 0])];
    for index in 0..files {
        let name = format!("f{index}");
        rows.push(serde_json::json!([["a", name], name, 0, FILE, rows.len()]));
    }
    for index in 0..below {
        let name = format!("g{index}");
        rows.push(serde_json::json!([["a", "z", name], name, 0, FILE, rows.len()]));
    }
    table(&["_Components", "Name", "Size", "Mode", "_Idx"], rows)
}

#[tokio::test(start_paused = true)]
async fn a_directory_is_told_while_the_flow_runs_when_it_is_certain() {
    let stage = Stage::new();
    let job = stage.start(list(path(&["a"]), 1));
    stage.set_state(State::InProgress, &[]);
    stage.server.set_table(FLOW, artifacts::LISTING, big(9_000, 999));
    let mut events = stage.shared.watch(&job);
    // 999 rows after it are no proof: an endpoint that breaks off may still send some.
    let early = async {
        while let Some(event) = events.next().await {
            if let JobEvent::Listed(listed) = event {
                return Some(listed);
            }
        }
        None
    };
    let mut early = Box::pin(early);
    assert!(tokio::time::timeout(Duration::from_secs(20), &mut early).await.is_err());
    stage.server.set_table(FLOW, artifacts::LISTING, big(9_000, 1_000));
    let listed = tokio::time::timeout(Duration::from_secs(20), early).await.expect("it is certain now").unwrap();
    assert_eq!((listed.directory, listed.rows.len()), (path(&["a"]), 9_001));
    stage.server.set_table(FLOW, artifacts::STATS, stats(&[(&["a"], 0, 9_001), (&["a", "z"], 9_001, 10_001)]));
    stage.set_state(State::Finished, &BOTH);
    let mut rest = Vec::new();
    let mut outcome = None;
    while let Some(event) = events.next().await {
        match event {
            JobEvent::Listed(listed) => rest.push((listed.directory, listed.rows.len())),
            JobEvent::Ended(end) => outcome = Some(end),
            _ => {}
        }
    }
    assert_eq!(rest, [(path(&["a", "z"]), 1_000)], "no directory is told twice");
    assert_eq!(outcome, finished(None));
}

#[tokio::test(start_paused = true)]
async fn pages_that_are_too_long_are_asked_again_in_smaller_ones() {
    let stage = Stage::new();
    stage.server.most_rows.store(700, Ordering::Relaxed);
    stage.server.set_table(FLOW, artifacts::LISTING, big(9_000, 10));
    stage.server.set_table(FLOW, artifacts::STATS, stats(&[(&["a"], 0, 9_001), (&["a", "z"], 9_001, 9_011)]));
    let job = stage.start(list(path(&["a"]), 1));
    stage.set_state(State::Finished, &BOTH);
    let seen = stage.watch(&job).await;
    assert_eq!((names(&seen), seen.outcome), (expect(&[("a", 9_001), ("a/z", 10)]), finished(None)));
}

#[tokio::test(start_paused = true)]
async fn rows_that_the_server_left_out_make_their_directory_uncertain() {
    let stage = Stage::new();
    let mut rows = big(9_000, 1_000);
    rows.rows.remove(4_000);
    stage.server.set_table(FLOW, artifacts::LISTING, rows);
    stage.server.set_table(FLOW, artifacts::STATS, stats(&[(&["a"], 0, 9_001), (&["a", "z"], 9_001, 10_001)]));
    let job = stage.start(list(path(&["a"]), 1));
    stage.set_state(State::Finished, &BOTH);
    let seen = stage.watch(&job).await;
    assert_eq!(names(&seen), expect(&[("a/z", 1_000)]), "`a` lacks a row");
    let Some(Outcome::Failed { failure: Failure::Error, .. }) = seen.outcome else { panic!("{:?}", seen.outcome) };
}

#[tokio::test(start_paused = true)]
async fn a_drive_that_was_read_as_raw_ntfs_is_still_the_drive() {
    let device = r"\\.\C:";
    let stage = Stage::new();
    stage.server.set_table(
        FLOW,
        artifacts::LISTING,
        listing(&[(&[device, "Windows"], DIR), (&[device, "pagefile.sys"], FILE), (&[device, "Windows", "x"], FILE)]),
    );
    stage.server.set_table(FLOW, artifacts::STATS, stats(&[(&["C:"], 0, 2), (&[device, "Windows"], 2, 3)]));
    let job = stage.start(list(path(&["C:"]), 1));
    stage.set_state(State::Finished, &BOTH);
    let seen = stage.watch(&job).await;
    assert_eq!((names(&seen), seen.outcome), (expect(&[("C:", 2), ("C:/Windows", 1)]), finished(None)));
}

#[tokio::test(start_paused = true)]
async fn a_sub_directory_that_was_read_as_raw_ntfs_is_still_the_sub_directory() {
    let device = r"\\.\C:";
    let stage = Stage::new();
    stage.server.set_table(
        FLOW,
        artifacts::LISTING,
        listing(&[
            (&["C:", "locked"], DIR),
            (&["C:", "open"], DIR),
            (&[device, "locked", "sub"], DIR),
            (&[device, "locked", "sub", "x"], FILE),
            (&["C:", "open", "y"], FILE),
        ]),
    );
    stage.server.set_table(
        FLOW,
        artifacts::STATS,
        stats(&[
            (&["C:"], 0, 2),
            (&["C:", "locked"], 2, 3),
            (&[device, "locked", "sub"], 3, 4),
            (&["C:", "open"], 4, 5),
        ]),
    );
    let job = stage.start(list(path(&["C:"]), 2));
    stage.set_state(State::Finished, &BOTH);
    let seen = stage.watch(&job).await;
    let expected = expect(&[("C:", 2), ("C:/locked", 1), ("C:/locked/sub", 1), ("C:/open", 1)]);
    assert_eq!((names(&seen), seen.outcome), (expected, finished(None)));
}

#[tokio::test(start_paused = true)]
async fn directories_whose_names_were_no_utf8_are_not_mixed_up() {
    let bad = "b\u{fffd}d";
    let stage = Stage::new();
    stage.server.set_table(
        FLOW,
        artifacts::LISTING,
        listing(&[(&["a", bad], DIR), (&["a", bad], DIR), (&["a", bad, "one"], FILE), (&["a", bad, "two"], FILE)]),
    );
    stage.server.set_table(FLOW, artifacts::STATS, stats(&[(&["a"], 0, 2), (&["a", bad], 2, 3), (&["a", bad], 3, 4)]));
    let job = stage.start(list(path(&["a"]), 1));
    stage.set_state(State::Finished, &BOTH);
    let seen = stage.watch(&job).await;
    assert_eq!(names(&seen), expect(&[("a", 2)]));
    assert!(seen.listed[0].rows.iter().all(|row| row.unfetchable()));
}

#[tokio::test(start_paused = true)]
async fn the_root_of_an_accessor_can_be_listed_deeply() {
    let stage = Stage::new();
    stage.server.set_table(FLOW, artifacts::LISTING, listing(&[(&["etc"], DIR), (&["etc", "hosts"], FILE)]));
    let components = [serde_json::Value::Null, serde_json::json!(["etc"])];
    let spans = [(0, 1), (1, 2)];
    let rows = components.into_iter().zip(spans).map(
        |(components, (start, end))| serde_json::json!([components, "auto", {"start_idx": start, "end_idx": end}]),
    );
    stage.server.set_table(FLOW, artifacts::STATS, table(&["Components", "Accessor", "Stats"], rows.collect()));
    let job = stage.start(list(path(&[]), 1));
    stage.set_state(State::Finished, &BOTH);
    let seen = stage.watch(&job).await;
    assert_eq!((names(&seen), seen.outcome), (expect(&[("", 1), ("etc", 1)]), finished(None)));
}

#[tokio::test(start_paused = true)]
async fn agents_without_statistics_can_tell_a_full_directory_but_not_an_empty_one() {
    let legacy = artifacts::LIST_DIRECTORY;
    let rows = vec![serde_json::json!(["/a/x", "x", 5, FILE])];
    let stage = Stage::new();
    stage.server.set_table(FLOW, legacy, table(&["_FullPath", "Name", "Size", "Mode"], rows));
    let job = stage.start(list(path(&["a"]), 0));
    stage.set_state(State::Finished, &[legacy]);
    let seen = stage.watch(&job).await;
    assert_eq!((names(&seen), seen.outcome), (expect(&[("a", 1)]), finished(None)));

    stage.server.set_table(FLOW, legacy, table(&["Name"], vec![]));
    let job = stage.start(list(path(&["a"]), 0));
    stage.set_state(State::Finished, &[legacy]);
    let seen = stage.watch(&job).await;
    assert!(seen.listed.is_empty());
    assert!(matches!(seen.outcome, Some(Outcome::Finished { complaint: Some(_) })));
}

#[tokio::test(start_paused = true)]
async fn many_directories_in_one_flow_are_told_one_by_one() {
    let stage = Stage::new();
    let rows = vec![
        serde_json::json!([["a"], "x", 1, FILE, null]),
        serde_json::json!([["a"], "", 0, "", {"start_idx": 0, "end_idx": 1}]),
        serde_json::json!([["b"], "", 0, "", {"start_idx": 0, "end_idx": 0}]),
    ];
    let source = artifacts::LIST_MANY_ROWS;
    stage.server.set_table(FLOW, source, table(&["Dir", "Name", "Size", "Mode", "Stats"], rows));
    let job = stage.start(Kind::ListMany { directories: vec![path(&["a"]), path(&["b"]), path(&["c"])] });
    stage.set_state(State::Finished, &[source]);
    let seen = stage.watch(&job).await;
    assert_eq!(names(&seen), expect(&[("a", 1), ("b", 0)]));
    assert!(matches!(seen.outcome, Some(Outcome::Finished { complaint: Some(_) })), "`c` could not be read");
}

#[tokio::test]
async fn a_hundred_thousand_rows_take_less_than_the_server_needs_for_them() {
    let stage = Stage::new();
    let time = "2026-11-24T13:22:00.207870037Z";
    let data = serde_json::json!({"DevMajor": 254, "DevMinor": 0, "FSType": "ext2"});
    let rows = (0..100_000).map(|index| {
        let name = format!("file_{index:06}.log");
        let path = format!("/srv/evidence/big100k/{name}");
        let components = ["srv", "evidence", "big100k", &name];
        serde_json::json!([path, components, "auto", data, name, 0, FILE, time, time, time, time, index])
    });
    let columns = [
        "_OSPath",
        "_Components",
        "_Accessor",
        "_Data",
        "Name",
        "Size",
        "Mode",
        "mtime",
        "atime",
        "ctime",
        "btime",
        "_Idx",
    ];
    let directory = path(&["srv", "evidence", "big100k"]);
    stage.server.set_table(FLOW, artifacts::LISTING, table(&columns, rows.collect()));
    stage.server.set_table(FLOW, artifacts::STATS, stats(&[(&["srv", "evidence", "big100k"], 0, 100_000)]));
    let job = stage.start(list(directory, 0));
    stage.set_state(State::Finished, &BOTH);
    let begun = tokio::time::Instant::now();
    let seen = stage.watch(&job).await;
    let took = begun.elapsed();
    println!("100,000 rows: {} ms", took.as_millis());
    assert_eq!(seen.listed[0].rows.len(), 100_000);
    // The server takes 4 to 6 s for these pages; the first question to it is asked after 0.4 s.
    assert!(took < Duration::from_secs(3), "{took:?}");
}
