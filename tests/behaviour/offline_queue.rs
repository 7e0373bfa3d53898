//! `--offline queue`: what was wanted of an endpoint that is away is there when it returns, although nobody asks and the gateway was killed
//! meanwhile; and it can be taken back, or is after its end date (SEMANTICS 8.6).

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::gateway::{Client, Gateway, Start, url_path};
use crate::support::propfind;
use crate::support::tree::Tree;

/// Everything has happened by then.
const LIMIT: Duration = Duration::from_secs(150);

/// Waits until it holds.
#[track_caller]
pub fn until(what: &str, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < LIMIT, "{what}: it does not come to that");
        thread::sleep(Duration::from_millis(100));
    }
}

/// The flow that waits for what is refused.
#[track_caller]
pub fn refused(gateway: &Gateway, method: &str, path: &str) -> String {
    let started = Instant::now();
    let response = gateway.http().request(method, path, &[("Depth", "1")], b"").unwrap();
    assert_eq!(response.status, 503, "{method} {path}: {}", response.text());
    assert!(response.header("retry-after").is_none(), "nobody knows when it comes back (D19)");
    assert!(started.elapsed() < Duration::from_secs(10), "the answer is prompt: {:?}", started.elapsed());
    let said = response.text();
    let flow = said.split("flow ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or_default().to_owned();
    assert!(flow.starts_with("F.") && said.contains("waits on the server until"), "{said}");
    flow
}

fn activity(gateway: &Gateway) -> Vec<Value> {
    let told = gateway.http().get("/-/api/v1/activity");
    serde_json::from_slice(&told.body).unwrap_or_else(|_| panic!("{}", told.text()))
}

/// Whether all of these flows have ended as they should.
pub fn has_come(gateway: &Gateway, flows: &[&str]) -> bool {
    let works = activity(gateway);
    let done = |flow: &str| works.iter().any(|work| work["job"] == flow && work["ended"] == "done");
    flows.iter().all(|flow| done(flow))
}

fn waiting(gateway: &Gateway) -> usize {
    activity(gateway).iter().filter(|work| !work["queued_until"].is_null()).count()
}

#[test]
fn what_an_endpoint_owes_is_there_when_it_returns_although_the_gateway_was_killed() {
    let tree = Tree::small();
    let (server_state, state) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    // The first gateway only lends its simulated server: that must not be killed.
    let server = Gateway::start(Start::demo(&[tree.path()], server_state.path()));
    let client = server.endpoint(tree.path());
    let config = server_state.path().join("simulator/api_client.yaml");
    let mut gateway = Gateway::start(Start::serve(&config, state.path()).with(["--offline", "queue"]));
    let (documents, readme) = (url_path(&client, b"documents") + "/", url_path(&client, b"readme.txt"));
    propfind::list(&gateway.http(), &(url_path(&client, b"") + "/"));
    server.control().take_offline(&client.client_id);
    until("away", || !gateway.believes_online(&client));

    let before = server.control().flows();
    let flows = [refused(&gateway, "PROPFIND", &documents), refused(&gateway, "GET", &readme)];
    let again = [refused(&gateway, "PROPFIND", &documents), refused(&gateway, "GET", &readme)];
    assert_eq!((&again, server.control().flows() - before), (&flows, 2), "who asks again joins them");
    let told = gateway.verb("activity", &[]).expect("activity").text();
    assert!(flows.iter().all(|flow| told.contains(flow)) && told.contains("until the endpoint is back"), "{told}");
    let why = gateway.http().get(&(documents.clone() + ".raptorgate/why.txt")).text();
    assert!(why.contains(&format!("Flow {}", flows[0])), "{why}");

    gateway.kill();
    gateway.start_again();
    until("away after the start", || !gateway.believes_online(&client));
    assert_eq!(waiting(&gateway), 2);
    assert_eq!(refused(&gateway, "PROPFIND", &documents), flows[0]);
    assert_eq!(refused(&gateway, "GET", &readme), flows[1]);
    gateway.kill();
    gateway.start_again();

    server.control().bring_online(&client.client_id);
    until("what waited has come", || has_come(&gateway, &[&flows[0], &flows[1]]));
    server.control().take_offline(&client.client_id);
    let listed = propfind::list(&gateway.http(), &documents);
    assert_eq!(listed.len(), fs::read_dir(tree.path().join("documents")).unwrap().count());
    let content = gateway.http().get(&readme);
    assert_eq!((content.status, content.body), (200, fs::read(tree.path().join("readme.txt")).unwrap()));
    assert_eq!(server.control().flows() - before, 2);
}

/// The endpoint of the demo that is away, and a directory of it that nobody has listed.
fn away(gateway: &Gateway) -> (Client, String) {
    let clients = &gateway.ready().clients;
    let away = clients.iter().find(|client| !gateway.believes_online(client)).expect("one is away").clone();
    let root = propfind::list(&gateway.http(), &(url_path(&away, b"C:") + "/"));
    let path = |name: &[u8]| url_path(&away, &[b"C:/", name].concat()) + "/";
    let directories = root.iter().filter(|child| child.is_collection).map(|child| path(child.name()));
    let unlisted =
        directories.into_iter().find(|path| propfind::ask(&gateway.http(), path, "1").unwrap().status == 503);
    let unlisted = unlisted.expect("not everything was listed");
    (away, unlisted)
}

fn has_ended(gateway: &Gateway, client: &Client, flow: &str) -> bool {
    gateway.control().ask(&json!({ "ended": { "client": client.client_id, "flow": flow } }))["ended"] == true
}

#[test]
fn what_waits_for_an_endpoint_can_be_taken_back() {
    let state = TempDir::new().unwrap();
    let gateway = Gateway::start(Start::demo(&[], state.path()).with(["--offline", "queue"]));
    let (client, path) = away(&gateway);
    let flow = refused(&gateway, "PROPFIND", &path);
    assert!(!has_ended(&gateway, &client, &flow));
    gateway.verb("cancel", &[&flow]).expect("cancel");
    until("it is not shown as waiting", || waiting(&gateway) == 0);
    assert!(has_ended(&gateway, &client, &flow));
    assert_ne!(refused(&gateway, "PROPFIND", &path), flow, "who asks again begins anew");
}

#[test]
fn what_waits_for_an_endpoint_is_taken_back_after_its_end_date() {
    let state = TempDir::new().unwrap();
    let start = Start::demo(&[], state.path()).with(["--offline", "queue", "--offline-queue-for", "8s"]);
    let gateway = Gateway::start(start);
    let (client, path) = away(&gateway);
    let flow = refused(&gateway, "PROPFIND", &path);
    until("its end date", || has_ended(&gateway, &client, &flow));
    until("it is not shown as waiting", || waiting(&gateway) == 0);
    let ledger = fs::read_dir(state.path().join("ledger")).unwrap();
    let lines: String = ledger.map(|file| fs::read_to_string(file.unwrap().path()).unwrap_or_default()).collect();
    let of_flow = |line: &&str| line.contains(&flow) && line.contains("flow_cancelled");
    assert_eq!(lines.lines().filter(of_flow).count(), 1, "{lines}");
    assert!(lines.contains("did not come back before the end date"), "{lines}");
}
