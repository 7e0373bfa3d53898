//! The verbs that talk to a running gateway: they say in plain words what they did.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
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
fn who_is_connected_over_nfs_is_told_with_the_reason_why_he_is_taken_for_that() {
    let tree = Tree::small();
    let gateway = Gateway::demo(&[tree.path()]);
    assert!(gateway.verb("clients", &["--connections"]).expect("clients").text().contains("nobody"));
    let connect = |program: u32, machine: &[u8]| {
        let mut stream = TcpStream::connect(("127.0.0.1", gateway.nfs_port())).unwrap();
        stream.write_all(&null_call(program, machine)).unwrap();
        stream.read_exact(&mut [0; 28]).expect("an answer");
        stream
    };
    let [linux, macos] = [connect(100_227, b"host"), connect(100_003, b"")];
    let told = gateway.verb("clients", &["--connections"]).expect("clients").text();
    for (connection, kind, why) in [(&linux, "linux", "NFS_ACL"), (&macos, "macos", "names no machine")] {
        let own = connection.local_addr().unwrap().to_string();
        let line = told.lines().find(|line| line.starts_with(&own)).unwrap_or_else(|| panic!("no {own} in:\n{told}"));
        assert!(line.contains(kind) && line.contains(why), "{line}");
    }
    let json = gateway.verb("clients", &["--connections", "--json"]).expect("clients").text();
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap().as_array().map(Vec::len), Some(2), "{json}");
}

/// NULL of version 3 in one record, with AUTH_SYS of root.
fn null_call(program: u32, machine: &[u8]) -> Vec<u8> {
    let mut name = u32::try_from(machine.len()).unwrap().to_be_bytes().to_vec();
    name.extend(machine);
    name.resize(name.len().next_multiple_of(4), 0);
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<u8>>();
    let credential = [words(&[0]), name, words(&[0; 3])].concat();
    let length = u32::try_from(credential.len()).unwrap();
    let call = [words(&[7, 0, 2, program, 3, 0, 1, length]), credential, words(&[0, 0])].concat();
    [words(&[u32::try_from(call.len()).unwrap() | 1 << 31]), call].concat()
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
