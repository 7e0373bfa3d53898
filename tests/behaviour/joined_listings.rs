//! Many who open different directories of one endpoint at once: a few flows, one wait for all, and nobody waits for a walk.

use std::fs;
use std::thread;

use tempfile::TempDir;

use crate::support::gateway::{Client, Gateway, Start, url_path};
use crate::support::http::Http;
use crate::support::propfind;
use crate::support::tree::Tree;

/// `share 00` to `share 19`, each with a file that no other has. They lie in the root, where one listing for a whole walk never begins.
fn shares() -> Tree {
    let tree = Tree::small();
    for number in 0..20 {
        fs::create_dir_all(tree.path().join(format!("share {number:02}"))).unwrap();
        tree.write(format!("share {number:02}/only in {number}"), b"x");
    }
    tree
}

fn list(http: &Http, client: &Client, directory: &str) -> Vec<String> {
    let listed = propfind::list(http, &(url_path(client, directory.as_bytes()) + "/"));
    listed.iter().map(|entry| String::from_utf8(entry.name().to_vec()).unwrap()).collect()
}

/// Opens them all at once. How many flows and deliveries that took.
fn open_twenty(gateway: &Gateway, client: &Client) -> (u64, u64) {
    let http = gateway.http();
    let before = (gateway.control().flows(), deliveries(gateway, client));
    thread::scope(|scope| {
        for number in 0..20 {
            let http = &http;
            scope.spawn(move || {
                let names = list(http, client, &format!("share {number:02}"));
                assert_eq!(names, [format!("only in {number}")]);
            });
        }
    });
    (gateway.control().flows() - before.0, deliveries(gateway, client) - before.1)
}

fn deliveries(gateway: &Gateway, client: &Client) -> u64 {
    gateway.control().counters()["deliveries"][&client.client_id].as_u64().unwrap_or(0)
}

#[test]
fn twenty_who_open_twenty_directories_share_a_few_flows_and_nothing_is_lost() {
    let tree = shares();
    let state = TempDir::new().unwrap();
    let gateway = Gateway::start(Start::demo(&[tree.path()], state.path()).with(["--artifacts"]));
    let client = gateway.endpoint(tree.path());
    assert_eq!(list(&gateway.http(), &client, "").len(), 24);
    let (flows, deliveries) = open_twenty(&gateway, &client);
    assert!((1..=3).contains(&flows), "{flows} flows for twenty directories");
    assert!((1..=3).contains(&deliveries), "{deliveries} deliveries");
}

#[test]
fn without_our_artifacts_they_leave_side_by_side() {
    let tree = shares();
    let gateway = Gateway::demo(&[tree.path()]);
    let client = gateway.endpoint(tree.path());
    list(&gateway.http(), &client, "");
    let (flows, deliveries) = open_twenty(&gateway, &client);
    assert_eq!(flows, 20);
    assert!((1..=4).contains(&deliveries), "{deliveries} deliveries");
}

#[test]
fn on_an_empty_bucket_one_wait_is_enough_for_all() {
    let tree = shares();
    let state = TempDir::new().unwrap();
    let arguments = ["--artifacts", "--max-poll", "30"];
    let gateway = Gateway::start(Start::demo(&[tree.path()], state.path()).with(arguments));
    let client = gateway.endpoint(tree.path());
    let root = format!("/{}/auto", client.client_id);
    for _ in 0..12 {
        let told = gateway.verb("refresh", &[&root]);
        assert!(told.succeeded(), "{}", told.stderr);
    }
    let (flows, deliveries) = open_twenty(&gateway, &client);
    assert!((1..=2).contains(&flows), "{flows} flows for twenty directories");
    assert!((1..=2).contains(&deliveries), "{deliveries} deliveries");
    assert!(gateway.believes_online(&client), "who waits for a token is not offline");
}

#[test]
fn a_look_elsewhere_does_not_wait_for_a_walk() {
    let tree = Tree::small();
    for number in 0..60 {
        let directory = tree.path().join(format!("walked/{}/{number}", number % 3));
        fs::create_dir_all(&directory).unwrap();
        for file in 0..1_500 {
            fs::File::create(directory.join(file.to_string())).unwrap();
        }
    }
    let gateway = Gateway::demo(&[tree.path()]);
    let client = gateway.endpoint(tree.path());
    let http = gateway.http();
    for directory in ["", "walked", "walked/0/0"] {
        list(&http, &client, directory);
    }
    let walks = || {
        let activity = http.get("/-/api/v1/activity");
        let works: serde_json::Value = serde_json::from_slice(&activity.body).unwrap();
        let works = works.as_array().unwrap().clone().into_iter();
        works.filter(|work| work["work"] == "list ahead of a walk" && work["ended"].is_null()).count()
    };
    assert_eq!(walks(), 1, "a listing goes ahead of who goes down sooner than anybody can read");
    assert_eq!(list(&http, &client, "documents").len(), 2);
    assert_eq!(walks(), 1, "it was listed while the walk's listing runs");
}
