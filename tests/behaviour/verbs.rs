//! The verbs that talk to a running gateway: they say in plain words what they did.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::large_files::with_image;
use crate::support::gateway::{Gateway, url_path, verb};
use crate::support::propfind;
use crate::support::tree::Tree;

#[test]
fn status_and_clients_name_the_endpoints() {
    let tree = Tree::small();
    let gateway = Gateway::demo(&[tree.path()]);
    let status = gateway.verb("status", &[]).expect("status").text();
    assert!(!status.trim().is_empty());
    let clients = gateway.verb("clients", &[]).expect("clients").text();
    for client in &gateway.ready().clients {
        assert!(
            clients.contains(&client.client_id) && clients.contains(&client.hostname),
            "{client:?} is not in:\n{clients}"
        );
    }
}

#[test]
fn check_tells_what_was_learned_of_an_endpoint() {
    let tree = Tree::small();
    let gateway = Gateway::demo(&[tree.path()]);
    let client = gateway.endpoint(tree.path());
    propfind::list(&gateway.http(), &(url_path(&client, b"") + "/"));
    let by_id = gateway.verb("check", &[&client.client_id]).expect("check").text();
    for told in [&*client.hostname, "of 10", "one comes back    every", "takes work next"] {
        assert!(by_id.contains(told), "{told} is not in:\n{by_id}");
    }
    let by_name = gateway.verb("check", &[&client.hostname, "--json"]).expect("check").text();
    let budget = serde_json::from_str::<Value>(&by_name).unwrap()["budget"].take();
    assert!(budget["refill_ms"].as_u64().is_some_and(|refill| refill > 0), "{budget}");
    let unknown = gateway.verb("check", &["C.nowhere"]);
    assert!(!unknown.succeeded() && unknown.stderr.contains("raptorgate clients"), "{}", unknown.stderr);
}

#[test]
fn refresh_shows_what_came_since() {
    let tree = Tree::small();
    let gateway = Gateway::demo(&[tree.path()]);
    let client = gateway.endpoint(tree.path());
    let http = gateway.http();
    let root = url_path(&client, b"") + "/";
    let has_new = || propfind::list(&http, &root).iter().any(|resource| resource.name() == b"new.txt");
    assert!(!has_new());
    tree.write("new.txt", b"new\n");
    assert!(!has_new(), "a cached listing is served as it is");
    let said = gateway.verb("refresh", &[&format!("/{}/auto", client.client_id)]).expect("refresh");
    assert!(!said.text().trim().is_empty());
    assert!(has_new());
    assert_eq!(http.get(&url_path(&client, b"new.txt")).body, b"new\n");
}

#[test]
fn collect_makes_a_file_readable_without_its_endpoint() {
    let tree = Tree::small();
    let gateway = Gateway::demo(&[tree.path()]);
    let client = gateway.endpoint(tree.path());
    let said = gateway.verb("collect", &[&format!("/{}/auto/pictures/large.bin", client.client_id)]).expect("collect");
    assert!(said.text().contains("large.bin"), "{}", said.text());
    gateway.control().take_offline(&client.client_id);
    let content = gateway.http().get(&url_path(&client, b"pictures/large.bin"));
    assert_eq!(content.status, 200, "{}", content.text());
    assert!(content.body == fs::read(tree.path().join("pictures/large.bin")).unwrap());
}

#[test]
fn a_flow_that_nobody_wants_any_more_is_taken_back() {
    let tree = Tree::small();
    with_image(&tree);
    let gateway = Gateway::demo(&[tree.path()]);
    let path = format!("/{}/auto/large/disk.img", gateway.endpoint(tree.path()).client_id);
    std::thread::scope(|scope| {
        let collects = scope.spawn(|| gateway.verb("collect", &[&path]));
        let started = Instant::now();
        let flow = loop {
            assert!(started.elapsed() < Duration::from_secs(30) && !collects.is_finished(), "no flow was seen");
            let activity: Value = serde_json::from_str(&gateway.verb("activity", &["--json"]).text()).unwrap();
            let of_file = |work: &&Value| work["path"] == path.as_str() && work["ended"].is_null();
            if let Some(flow) = activity.as_array().unwrap().iter().find(of_file).and_then(|work| work["job"].as_str())
            {
                break flow.to_owned();
            }
        };
        gateway.verb("cancel", &[&flow]).expect("cancel");
        let said = collects.join().unwrap();
        assert!(!said.succeeded() && said.stderr.contains("ancelled"), "{}{}", said.text(), said.stderr);
        let again = gateway.verb("cancel", &[&flow]);
        assert!(!again.succeeded() && again.stderr.contains("activity"), "{}", again.stderr);
    });
}

#[test]
fn a_path_that_is_not_there_is_said_to_be_not_there() {
    let tree = Tree::small();
    let gateway = Gateway::demo(&[tree.path()]);
    let client = gateway.endpoint(tree.path()).client_id;
    for name in ["refresh", "collect"] {
        let said = gateway.verb(name, &[&format!("/{client}/auto/no/such/thing")]);
        assert!(!said.succeeded() && said.status.is_some(), "{name}: {}", said.text());
        assert!(said.stderr.contains("no/such/thing") || said.stderr.contains("such"), "{name}: {}", said.stderr);
    }
}

#[test]
fn verbs_without_a_gateway_say_that_none_runs() {
    let folder = TempDir::new().unwrap();
    for name in ["status", "clients"] {
        let said = verb(&[name, "--state", folder.path().to_str().unwrap()], Duration::from_secs(20));
        assert!(!said.succeeded() && said.status.is_some());
        assert!(said.stderr.lines().count() <= 3 && said.stderr.contains("running"), "{name}: {}", said.stderr);
    }
}
