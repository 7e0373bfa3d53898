//! A server or an endpoint that misbehaves as real ones do: the answer is right, or it is an error; never half, never empty, never
//! "no such file".

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::gateway::{Client, Gateway, url_path};
use crate::support::propfind;
use crate::support::tree::Tree;
use crate::whole_tree_through_webdav::assert_tree;

fn demo(tree: &Tree) -> (Gateway, Client) {
    let gateway = Gateway::demo(&[tree.path()]);
    let client = gateway.endpoint(tree.path());
    (gateway, client)
}

fn right_although(fault: Value) {
    let tree = Tree::small();
    let (gateway, client) = demo(&tree);
    gateway.control().ask(&json!({ "fault": fault }));
    assert_tree(&gateway, &client, b"", &tree);
}

#[test]
fn the_tree_is_right_when_the_servers_records_come_late() {
    right_although(json!({ "late_records_ms": 1000 }));
}

#[test]
fn the_tree_is_right_when_log_lines_get_lost() {
    right_although(json!({ "lost_log_share": 1.0 }));
}

#[test]
fn the_tree_is_right_with_the_rows_of_servers_before_0_74() {
    right_although(json!({ "old_rows": true }));
}

#[test]
fn the_tree_is_right_when_rows_have_no_names() {
    right_although(json!({ "nameless_rows": true }));
}

#[test]
fn the_tree_is_right_when_pages_differ_in_their_columns() {
    right_although(json!({ "uneven_columns": true }));
}

#[test]
fn the_tree_is_right_when_the_server_returns_less_than_asked() {
    right_although(json!({ "short_reads": true }));
}

#[test]
fn the_tree_is_right_when_the_server_refuses_long_messages() {
    right_although(json!({ "message_limit": 2_097_152 }));
}

#[test]
fn the_tree_is_right_when_event_streams_end() {
    let tree = Tree::small();
    let (gateway, client) = demo(&tree);
    propfind::list(&gateway.http(), &(url_path(&client, b"") + "/"));
    gateway.control().ask(&json!({ "drop_event_streams": {} }));
    assert_tree(&gateway, &client, b"", &tree);
}

#[test]
fn the_tree_is_right_after_the_server_was_away() {
    let tree = Tree::small();
    let (gateway, client) = demo(&tree);
    let http = gateway.http();
    let root = url_path(&client, b"") + "/";
    let before = propfind::list(&http, &root).len();
    gateway.control().ask(&json!({ "restart_server": { "down_ms": 3000 } }));
    assert_eq!(propfind::list(&http, &root).len(), before, "what is cached needs no server");
    let started = Instant::now();
    // Meanwhile what is not cached is refused or waits; it is never empty and never absent.
    loop {
        let response = propfind::ask(&http, &(url_path(&client, b"documents") + "/"), "1").unwrap();
        if response.status == 207 {
            break;
        }
        assert!([502, 503].contains(&response.status), "{}: {}", response.status, response.text());
        assert!(started.elapsed() < Duration::from_secs(60), "the gateway does not find back to its server");
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_tree(&gateway, &client, b"", &tree);
}

#[test]
fn a_listing_that_failed_is_an_error_and_the_next_one_is_right() {
    let tree = Tree::small();
    let (gateway, client) = demo(&tree);
    let http = gateway.http();
    gateway.control().ask(&json!({ "fault": { "fail_next_flows": { "count": 1, "text": "out of memory" } } }));
    let root = url_path(&client, b"") + "/";
    let response = propfind::ask(&http, &root, "1").unwrap();
    assert!([207, 502, 503].contains(&response.status), "{}: {}", response.status, response.text());
    if response.status == 207 {
        assert_eq!(propfind::parse(&response.body).len(), 5, "it tried again, or it said so; nothing between");
    }
    let started = Instant::now();
    while propfind::ask(&http, &root, "1").unwrap().status != 207 {
        assert!(started.elapsed() < Duration::from_secs(60), "one failure is for ever");
        std::thread::sleep(Duration::from_millis(500));
    }
    assert_tree(&gateway, &client, b"", &tree);
}

#[test]
fn a_file_that_the_endpoint_refuses_is_refused_and_stays_listed() {
    let tree = Tree::small();
    let (gateway, client) = demo(&tree);
    let http = gateway.http();
    gateway.control().ask(&json!({ "deny": { "client": client.client_id, "path": ["documents", "report.txt"] } }));
    let response = http.get(&url_path(&client, b"documents/report.txt"));
    assert!([403, 502].contains(&response.status), "{}: {}", response.status, response.text());
    assert!(!response.text().trim().is_empty(), "a refusal says what can be done");
    let listed = propfind::list(&http, &(url_path(&client, b"documents") + "/"));
    assert!(listed.iter().any(|resource| resource.name() == b"report.txt"));
}

#[test]
fn a_directory_that_the_endpoint_refuses_is_not_empty_and_not_absent() {
    let tree = Tree::small();
    let (gateway, client) = demo(&tree);
    gateway.control().ask(&json!({ "deny": { "client": client.client_id, "path": ["pictures"] } }));
    let response = propfind::ask(&gateway.http(), &(url_path(&client, b"pictures") + "/"), "1").unwrap();
    assert!([403, 502].contains(&response.status), "{}: {}", response.status, response.text());
}

#[test]
fn an_empty_directory_is_empty_and_an_absent_one_is_absent() {
    let tree = Tree::small();
    let (gateway, client) = demo(&tree);
    let http = gateway.http();
    assert!(propfind::list(&http, &(url_path(&client, b"empty") + "/")).is_empty());
    for absent in [&b"nowhere"[..], b"documents/nowhere", b"nowhere/at/all", b"readme.txt/below"] {
        let response = propfind::ask(&http, &url_path(&client, absent), "1").unwrap();
        assert_eq!(response.status, 404, "{}: {}", String::from_utf8_lossy(absent), response.text());
    }
}

#[test]
fn accessors_that_nobody_allowed_are_absent_and_start_nothing() {
    let tree = Tree::small();
    let (gateway, client) = demo(&tree);
    let before = gateway.control().flows();
    for accessor in ["process", "ssh", "s3", "data", "zip", "ntfs", "collector"] {
        let response = propfind::ask(&gateway.http(), &format!("/{}/{accessor}/", client.client_id), "1").unwrap();
        assert_eq!(response.status, 404, "{accessor}: {}", response.text());
    }
    assert_eq!(gateway.control().flows(), before);
}
