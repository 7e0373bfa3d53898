//! Everything that is shown can be traced (D20): `.raptorgate` is reachable in every directory, listed in none, and tells who, when,
//! by which flow, and what the wire could not say.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};

use serde_json::Value;

use crate::support::gateway::{Client, Gateway, url_path};
use crate::support::ground_truth::sha256;
use crate::support::http::Http;
use crate::support::propfind;
use crate::support::tree::{TIMES, Tree};

fn json(http: &Http, client: &Client, path: &str) -> Value {
    let response = http.get(&url_path(client, path.as_bytes()));
    assert_eq!(response.status, 200, "{path}: {}", response.text());
    serde_json::from_slice(&response.body).unwrap_or_else(|error| panic!("{path}: {error}: {}", response.text()))
}

#[test]
fn a_directory_tells_when_it_was_listed_by_which_flow_and_by_whom() {
    let tree = Tree::small();
    let gateway = Gateway::demo(&[tree.path()]);
    let client = gateway.endpoint(tree.path());
    let http = gateway.http();
    let listed = propfind::list(&http, &(url_path(&client, b"documents") + "/"));
    assert!(!listed.iter().any(|resource| resource.name() == b".raptorgate"), "reachable, not listed");
    let told = json(&http, &client, "documents/.raptorgate/dir.json").to_string();
    assert!(told.contains("\"F."), "no flow in {told}");
    assert!(told.contains("documents") && told.contains(&client.client_id), "{told}");
    let why = http.get(&url_path(&client, b"documents/.raptorgate/why.txt")).text();
    assert!(why.starts_with("Listed at ") && why.contains("by flow F."), "{why}");
}

#[test]
fn a_file_tells_its_real_mode_its_exact_times_its_copies_and_their_hashes() {
    let tree = Tree::small();
    fs::set_permissions(tree.path().join("readme.txt"), Permissions::from_mode(0o4751)).unwrap();
    symlink("/etc/shadow", tree.path().join("link")).unwrap();
    let gateway = Gateway::demo(&[tree.path()]);
    let client = gateway.endpoint(tree.path());
    let http = gateway.http();
    assert_eq!(http.get(&url_path(&client, b"readme.txt")).body, b"read me\n");

    // A copy is hashed once it is whole in the local store, a moment after it was read.
    let is_hashed = |told: &serde_json::Value| told["copies"].to_string().contains(&sha256(b"read me\n"));
    let mut told = json(&http, &client, ".raptorgate/file/readme.txt.json");
    for _ in 0..100 {
        if is_hashed(&told) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
        told = json(&http, &client, ".raptorgate/file/readme.txt.json");
    }
    assert!(is_hashed(&told) && told["copies"].to_string().contains("F."), "{told}");
    assert_eq!(told["mode"], "4751", "{told}");
    assert_eq!(told["endpoint_has_changed_since"], false, "{told}");
    let told = json(&http, &client, ".raptorgate/file/link.json");
    assert_eq!(told["link"], "/etc/shadow", "{told}");
}

#[test]
fn times_that_the_wire_cannot_carry_stand_there_exactly() {
    let tree = Tree::odd();
    let gateway = Gateway::demo(&[tree.path()]);
    let client = gateway.endpoint(tree.path());
    let http = gateway.http();
    propfind::list(&http, &(url_path(&client, b"times") + "/"));
    for (name, seconds, nanos) in TIMES {
        let told = json(&http, &client, &format!("times/.raptorgate/file/{name}.json"));
        let modified = told["times"]["modified"].as_str().unwrap_or_else(|| panic!("{told}")).to_owned();
        let expected = match seconds {
            1_700_000_000 => "2023-11-14T22:13:20",
            0 => "1970-01-01T00:00:00",
            2_524_608_000 => "2050-01-01T00:00:00",
            _ => "1960-01-01T00:00:00",
        };
        let fraction = format!("{nanos:09}");
        let fraction = fraction.trim_end_matches('0');
        let expected = if fraction.is_empty() { format!("{expected}Z") } else { format!("{expected}.{fraction}Z") };
        assert_eq!(modified, expected, "{name}");
    }
}

#[test]
fn the_body_file_holds_what_was_listed_and_says_how_much_that_is() {
    let tree = Tree::small();
    let gateway = Gateway::demo(&[tree.path()]);
    let client = gateway.endpoint(tree.path());
    let http = gateway.http();
    propfind::list(&http, &(url_path(&client, b"") + "/"));
    let body = http.get(&format!("/{}/.raptorgate/bodyfile", client.client_id)).text();
    assert!(body.starts_with("# ") && body.lines().next().is_some_and(|line| line.contains("director")), "{body}");
    let line = body.lines().find(|line| line.contains("/readme.txt|")).unwrap_or_else(|| panic!("{body}"));
    assert_eq!(line.split('|').count(), 11, "eleven fields, as mactime reads them: {line}");
    assert_eq!(line.split('|').nth(6), Some("8"), "the size: {line}");
}
