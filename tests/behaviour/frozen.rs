//! `/frozen`: two runs of a tool give the same answer, whatever happens on the endpoint meanwhile.

use std::fs;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::gateway::{Gateway, Start, url_path};
use crate::support::process::{self, missing};
use crate::support::propfind;
use crate::support::tree::Tree;

#[test]
fn what_is_known_is_served_as_it_is_through_both_protocols() {
    let tree = Tree::small();
    fs::create_dir(tree.path().join("case")).unwrap();
    tree.write("case/notes.txt", b"of monday\n");
    let state = TempDir::new().unwrap();
    let gateway = Gateway::start(Start::demo(&[tree.path()], state.path()).with(["--max-age", "1s"]));
    let client = gateway.endpoint(tree.path());
    let http = gateway.http();
    let live = url_path(&client, b"case") + "/";
    let frozen = format!("/frozen{live}");
    let names = |path: &str| {
        let mut names: Vec<_> = propfind::list(&http, path).iter().map(|one| one.name().to_vec()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&frozen), [b"notes.txt"]);
    assert_eq!(http.get(&format!("{frozen}notes.txt")).body, b"of monday\n");

    tree.write("case/notes.txt", b"of tuesday, and longer\n");
    tree.write("case/new.txt", b"new\n");
    sleep(Duration::from_secs(2));
    let flows = gateway.control().flows();
    assert_eq!(names(&frozen), [b"notes.txt"]);
    assert_eq!(http.get(&format!("{frozen}notes.txt")).body, b"of monday\n");
    assert_eq!(http.get(&format!("{frozen}new.txt")).status, 404);
    if let Some(why) = missing(&["nfs-ls", "nfs-cat"]) {
        eprintln!("without NFS: {why}");
    } else {
        let port = gateway.nfs_port();
        let url = |rest: &str| {
            format!("nfs://127.0.0.1/frozen/{}/auto/case{rest}?nfsport={port}&mountport={port}", client.client_id)
        };
        let run = |program: &str, rest: &str| {
            process::run(Command::new(program).arg(url(rest)), Duration::from_secs(30)).expect(program).text()
        };
        let listed = run("nfs-ls", "");
        assert!(listed.contains("notes.txt") && !listed.contains("new.txt"), "{listed}");
        assert_eq!(run("nfs-cat", "/notes.txt"), "of monday\n");
    }
    assert_eq!(gateway.control().flows(), flows, "the endpoint was not asked");

    // The live tree shows what came, as soon as its refresh is through.
    let started = Instant::now();
    while names(&live).len() < 2 {
        assert!(started.elapsed() < Duration::from_secs(30), "the live tree was not refreshed");
        sleep(Duration::from_millis(200));
    }
}
