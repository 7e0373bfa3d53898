//! Many small files of one directory: read one after another they cost a few flows, with the bytes that are on disk.

use std::fs;

use tempfile::TempDir;

use crate::support::gateway::{Gateway, Start, url_path};
use crate::support::propfind;
use crate::support::tree::Tree;

fn with_files(count: usize) -> Tree {
    let tree = Tree::small();
    fs::create_dir_all(tree.path().join("logs")).unwrap();
    for number in 0..count {
        tree.write(format!("logs/{number:03}.log"), format!("line of {number}\n").repeat(number + 1).as_bytes());
    }
    tree
}

/// Reads all of `logs`; how many flows that took.
fn read_all(gateway: &Gateway, tree: &Tree) -> u64 {
    let client = gateway.endpoint(tree.path());
    let http = gateway.http();
    let listed = propfind::list(&http, &(url_path(&client, b"logs") + "/"));
    let before = gateway.control().flows();
    for file in listed {
        let name = String::from_utf8(file.name().to_vec()).unwrap();
        let content = http.get(&url_path(&client, format!("logs/{name}").as_bytes()));
        assert_eq!(content.status, 200, "{name}: {}", content.text());
        assert!(content.body == fs::read(tree.path().join("logs").join(&name)).unwrap(), "{name}");
    }
    gateway.control().flows() - before
}

#[test]
fn with_our_artifacts_they_cost_a_few_flows() {
    let tree = with_files(200);
    let state = TempDir::new().unwrap();
    let gateway = Gateway::start(Start::demo(&[tree.path()], state.path()).with(["--artifacts"]));
    let flows = read_all(&gateway, &tree);
    assert!(flows <= 5, "{flows} flows for 200 files");
}

#[test]
fn without_them_they_leave_together_and_every_byte_is_right() {
    let tree = with_files(40);
    let state = TempDir::new().unwrap();
    let gateway = Gateway::start(Start::demo(&[tree.path()], state.path()));
    assert_eq!(read_all(&gateway, &tree), 40, "a flow each, but not one after another");
    assert_eq!(read_all(&gateway, &tree), 0);
}
