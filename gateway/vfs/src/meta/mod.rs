//! `.raptorgate`: reachable by name in every directory, never listed in it (D20). A real entry of that name wins.
//!
//! | path below a directory | what it is |
//! |---|---|
//! | `dir.json` | age, flow, by whom, state |
//! | `why.txt` | the same in words, and what went wrong lately |
//! | `refresh` | reading it refreshes the directory |
//! | `file/NAME.json` | everything known of the entry NAME |
//! | `root` | the accessor's root (links that climb out lead here, D1) |
//! | `bodyfile`, `activity.jsonl`, `status.json` | at an endpoint's root only |

mod content;
mod directory;
mod provenance;

pub(crate) use directory::Metas;

/// Name of the directory.
pub(crate) const META: &str = ".raptorgate";
/// Name of the directory with one JSON file for each entry.
const FILES: &str = "file";
/// Name of the accessor's root.
const ROOT: &str = "root";
/// What a directory's `.raptorgate` holds.
const NAMES: [&str; 3] = ["dir.json", "why.txt", "refresh"];
/// What an endpoint's `.raptorgate` holds besides.
const ENDPOINT_NAMES: [&str; 3] = ["bodyfile", "activity.jsonl", "status.json"];
