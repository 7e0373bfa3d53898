//! Words that only some rooms may use, and paths that no file may name.

use crate::tree::{self, File};

/// The rooms that know Velociraptor; every other Rust file of the product is a stranger to it.
const KNOW_VELOCIRAPTOR: [&str; 2] = ["gateway/velociraptor/", "gateway/simulator/"];

/// What only those rooms say: names of artifacts, VQL, generated code.
const THEIR_WORDS: [&str; 9] = [
    "System.VFS.",
    "System.Flow.",
    "Server.Internal.",
    "Generic.Client",
    "Windows.Search",
    "SELECT * FROM",
    "FROM scope()",
    "velociraptor_proto",
    "prost::",
];

#[test]
fn only_two_rooms_speak_the_language_of_the_server() {
    let mut spoken = Vec::new();
    for file in product_files() {
        if KNOW_VELOCIRAPTOR.iter().any(|room| file.path.starts_with(room)) {
            continue;
        }
        for (number, line) in code_lines(&file) {
            spoken.extend(
                THEIR_WORDS
                    .iter()
                    .filter(|word| line.contains(*word))
                    .map(|word| format!("{}:{number}: {word}", file.path)),
            );
        }
    }
    assert!(spoken.is_empty(), "{spoken:#?}");
}

#[test]
fn no_file_points_outside_the_project() {
    // Put together here, so that this file does not say them.
    let outside = [["..", "shared"].join("/"), ["", "work", ""].join("/"), ["", "root", ""].join("/") + "."];
    let mut pointing = Vec::new();
    for file in tree::text_files() {
        for (number, line) in file.text.lines().enumerate() {
            pointing.extend(
                outside
                    .iter()
                    .filter(|path| names(line, path))
                    .map(|path| format!("{}:{}: {path}", file.path, number + 1)),
            );
        }
    }
    assert!(pointing.is_empty(), "{pointing:#?}");
}

#[test]
fn the_simulator_is_never_what_a_front_end_is_written_for() {
    let mut spoken = Vec::new();
    for file in product_files() {
        if ["gateway/vfs/", "gateway/nfs/", "gateway/webdav/", "gateway/store/"]
            .iter()
            .any(|room| file.path.starts_with(room))
        {
            spoken.extend(
                code_lines(&file)
                    .filter(|(_, line)| line.contains("simulator"))
                    .map(|(number, _)| format!("{}:{number}", file.path)),
            );
        }
    }
    assert!(spoken.is_empty(), "{spoken:#?}");
}

/// Whether the path stands in the line as a path of its own, not as the tail of a longer one.
fn names(line: &str, path: &str) -> bool {
    line.match_indices(path)
        .any(|(at, _)| !line[..at].ends_with(|before: char| before.is_alphanumeric() || "/}_-".contains(before)))
}

/// The Rust files of the product: no tests of the root package, no generated code.
fn product_files() -> impl Iterator<Item = File> {
    tree::rust_files().into_iter().filter(|file| {
        (file.path.starts_with("src/") || file.path.starts_with("gateway/")) && !tree::is_generated(file)
    })
}

/// The lines that are not comments, with their numbers.
fn code_lines(file: &File) -> impl Iterator<Item = (usize, &str)> {
    file.text
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}
