//! Which room may know which.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use crate::tree;

/// What each room may depend on, tests included. `velociraptor-proto` is generated code, no room.
const ALLOWED: [(&str, &[&str]); 9] = [
    ("vfs", &[]),
    ("access", &["vfs"]),
    ("store", &["vfs"]),
    ("nfs", &["vfs", "access"]),
    ("webdav", &["vfs", "access"]),
    ("velociraptor-proto", &[]),
    ("velociraptor", &["vfs", "velociraptor-proto"]),
    ("simulator", &["vfs", "velociraptor-proto"]),
    ("program", &["vfs", "access", "store", "nfs", "webdav", "velociraptor", "simulator"]),
];

#[test]
fn rooms_depend_only_on_the_rooms_they_may_know() {
    let rooms = dependencies();
    let mut wrong = Vec::new();
    for (room, known) in &rooms {
        let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| name == room) else {
            wrong.push(format!("{room} is no room of this house"));
            continue;
        };
        wrong.extend(
            known
                .iter()
                .filter(|other| !allowed.contains(&other.as_str()))
                .map(|other| format!("{room} must not know {other}")),
        );
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(rooms.len(), ALLOWED.len(), "a room is missing: {:?}", rooms.keys());
}

#[test]
fn the_driver_may_be_tried_against_the_simulator_but_never_the_reverse() {
    let rooms = all_dependencies();
    assert!(!rooms["simulator"].contains("velociraptor"), "the simulator must prove the driver, not agree with it");
    for front_end in ["nfs", "webdav"] {
        for other in ["velociraptor", "velociraptor-proto", "store", "simulator", "nfs", "webdav"] {
            assert!(!rooms[front_end].contains(other), "{front_end} must not know {other}, not even in its tests");
        }
    }
}

/// Room -> the other rooms that it is built from.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    graph(|kind| kind != Some("dev"))
}

/// Room -> the other rooms that it or its tests are built from.
fn all_dependencies() -> BTreeMap<String, BTreeSet<String>> {
    graph(|_| true)
}

fn graph(counts: impl Fn(Option<&str>) -> bool) -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(tree::root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut rooms = BTreeMap::new();
    for package in metadata["packages"].as_array().unwrap() {
        let name = room(package["name"].as_str().unwrap()).expect("every member of the workspace is a room");
        let known = package["dependencies"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|dependency| counts(dependency["kind"].as_str()))
            .filter_map(|dependency| room(dependency["name"].as_str().unwrap()))
            .filter(|other| *other != name)
            .collect();
        rooms.insert(name, known);
    }
    rooms
}

/// The room that a package is.
fn room(package: &str) -> Option<String> {
    if package == "raptorgate" {
        return Some("program".to_owned());
    }
    package.strip_prefix("raptorgate-").map(str::to_owned)
}
