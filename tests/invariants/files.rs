//! Sizes and first lines of files: rooms stay small enough to be read.

use crate::tree::{self, File};

/// No file is longer.
const LONGEST: usize = 800;
/// Nine of ten files are no longer.
const NINE_OF_TEN: usize = 400;
/// Half of the files are no longer.
const MEDIAN: usize = 150;

fn written_files() -> Vec<File> {
    tree::rust_files().into_iter().filter(|file| !tree::is_generated(file)).collect()
}

#[test]
fn no_file_needs_a_table_of_contents() {
    let long: Vec<String> = written_files()
        .iter()
        .map(|file| (file.text.lines().count(), &file.path))
        .filter(|(lines, _)| *lines > LONGEST)
        .map(|(lines, path)| format!("{path}: {lines} lines"))
        .collect();
    assert!(long.is_empty(), "longer than {LONGEST} lines: {long:#?}");
}

#[test]
fn most_files_are_read_at_one_sitting() {
    let mut lines: Vec<usize> = written_files().iter().map(|file| file.text.lines().count()).collect();
    lines.sort_unstable();
    let median = lines[lines.len() / 2];
    let nine_of_ten = lines[lines.len() * 9 / 10];
    assert!(median <= MEDIAN, "the median file has {median} lines");
    assert!(nine_of_ten <= NINE_OF_TEN, "one file of ten has more than {nine_of_ten} lines");
}

#[test]
fn every_file_says_what_it_owns() {
    let silent: Vec<String> =
        written_files().into_iter().filter(|file| !file.text.starts_with("//!")).map(|file| file.path).collect();
    assert!(silent.is_empty(), "these do not begin with a `//!` line: {silent:#?}");
}

#[test]
fn no_file_is_a_drawer_for_odds_and_ends() {
    let drawers: Vec<String> = tree::rust_files()
        .into_iter()
        .map(|file| file.path)
        .filter(|path| {
            path.split('/').any(|part| {
                ["util", "utils", "helper", "helpers", "misc", "common"].contains(&part.trim_end_matches(".rs"))
            })
        })
        .collect();
    assert!(drawers.is_empty(), "{drawers:#?}");
}

#[test]
fn the_main_file_only_wires() {
    let main = tree::text_files().into_iter().find(|file| file.path == "src/main.rs").expect("src/main.rs");
    assert!(main.text.lines().count() < 100, "src/main.rs grew to {} lines", main.text.lines().count());
}
