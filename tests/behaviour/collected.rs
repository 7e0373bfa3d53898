//! `/C.xxxx/collected`: what a colleague collected in the GUI is in the tree, whole, without a flow of ours, while the endpoint is away.

use std::fs;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use crate::support::gateway::{Client, Gateway, Start};
use crate::support::ground_truth::sha256;
use crate::support::guest::{self, Link, Release};
use crate::support::http::{Http, encode};
use crate::support::process::{self, missing};
use crate::support::propfind;
use crate::support::tree::{Tree, noise};

fn evidence() -> Tree {
    let tree = Tree::small();
    fs::create_dir_all(tree.path().join("case/deep er")).unwrap();
    tree.write("case/big.bin", &noise(5_000_000, 7));
    tree.write("case/empty", b"");
    tree.write("case/deep er/ünï \"x\".txt", b"of monday\n");
    tree
}

/// A colleague collects `path` in the GUI; when it has ended, the endpoint is taken away.
fn collect_and_lose(gateway: &Gateway, client: &Client, path: &[&str]) -> String {
    let asked = json!({ "download": { "client": client.client_id, "path": path } });
    let flow = gateway.control().ask(&asked)["flow"].as_str().expect("a flow").to_owned();
    let ended = json!({ "ended": { "client": client.client_id, "flow": flow } });
    let started = Instant::now();
    while gateway.control().ask(&ended)["ended"] != true {
        assert!(started.elapsed() < Duration::from_secs(60), "the colleague's flow does not end");
        sleep(Duration::from_millis(100));
    }
    gateway.lose(client);
    flow
}

fn names(http: &Http, path: &str) -> Vec<String> {
    let listed = propfind::list(http, path);
    let mut names: Vec<_> = listed.iter().map(|one| String::from_utf8(one.name().to_vec()).unwrap()).collect();
    names.sort();
    names
}

/// The folder of the flow, which must be the only one.
fn folder_of(http: &Http, client: &Client, flow: &str) -> String {
    let listed = names(http, &format!("/{}/collected/", client.client_id));
    let [folder] = &listed[..] else { panic!("one flow uploaded something: {listed:?}") };
    assert!(folder.ends_with(&format!("-System.VFS.DownloadFile-{flow}")), "{folder}");
    assert!(folder.starts_with("20") && folder.as_bytes()[10] == b'T' && !folder.contains(':'), "{folder}");
    folder.clone()
}

#[test]
fn what_a_colleague_collected_is_read_through_both_protocols_while_the_endpoint_is_away() {
    let tree = evidence();
    let state = TempDir::new().unwrap();
    let mut gateway = Gateway::start(Start::demo(&[tree.path()], state.path()));
    let client = gateway.endpoint(tree.path());
    let http = gateway.http();
    assert_eq!(names(&http, &format!("/{}/collected/", client.client_id)), Vec::<String>::new());
    let live = format!("/{}/auto/case", client.client_id);
    assert_eq!(names(&http, &format!("{live}/")), ["big.bin", "deep er", "empty"]);
    let flow = collect_and_lose(&gateway, &client, &["case"]);
    let flows = gateway.control().flows();
    let folder = folder_of(&http, &client, &flow);
    let top = format!("/{}/collected/{}", client.client_id, encode(folder.as_bytes()));
    assert_eq!(names(&http, &format!("{top}/")), ["auto"]);
    assert_eq!(names(&http, &format!("{top}/auto/case/")), ["big.bin", "deep er", "empty"]);
    let odd = format!("{}/{}", encode(b"deep er"), encode("ünï \"x\".txt".as_bytes()));
    let on_disk = |name: &str| fs::read(tree.path().join("case").join(name)).unwrap();
    for (name, url) in [("big.bin", "big.bin"), ("empty", "empty"), ("deep er/ünï \"x\".txt", &odd)] {
        let got = http.get(&format!("{top}/auto/case/{url}"));
        assert_eq!((got.status, &got.body), (200, &on_disk(name)), "{name}");
    }
    assert_eq!(http.get(&format!("{top}/auto/case/other")).status, 404);
    let written = http.request("PUT", &format!("{top}/auto/case/new"), &[], b"x").unwrap();
    assert_eq!(written.status, 403, "read-only");
    // In the live tree it stands in for the file that nobody opened here.
    assert_eq!(http.get(&format!("{live}/big.bin")).body, on_disk("big.bin"));
    // Of the others the live tree says that the endpoint is away; it does not pretend.
    assert_eq!(http.get(&format!("/{}/auto/readme.txt", client.client_id)).status, 503);

    if let Some(why) = missing(&["nfs-ls", "nfs-cat"]) {
        eprintln!("without libnfs: {why}");
    } else {
        let port = gateway.nfs_port();
        let url = |rest: &str| {
            format!("nfs://127.0.0.1/{}/collected/{folder}{rest}?nfsport={port}&mountport={port}", client.client_id)
        };
        let run = |program: &str, rest: &str| {
            process::run(Command::new(program).arg(url(rest)), Duration::from_secs(30)).expect(program).stdout
        };
        let listed = String::from_utf8(run("nfs-ls", "/auto/case")).unwrap();
        assert!(["big.bin", "deep er", "empty"].iter().all(|name| listed.contains(name)), "{listed}");
        assert_eq!(sha256(&run("nfs-cat", "/auto/case/big.bin")), sha256(&on_disk("big.bin")));
    }
    assert_eq!(gateway.control().flows(), flows, "nothing was started");

    // After a kill of everything the endpoint is still away, and all is there.
    gateway.kill();
    gateway.start_again();
    let http = gateway.http();
    assert_eq!(http.get(&format!("{top}/auto/case/big.bin")).body, on_disk("big.bin"));
    let frozen = http.get(&format!("/frozen{top}/auto/case/{odd}"));
    assert_eq!(frozen.body, b"of monday\n");
}

#[test]
fn linux_reads_and_compares_what_a_colleague_collected_after_the_endpoint_is_gone() {
    crate::support::skip::skip_if!(guest::obstacle(Release::Trixie));
    let tree = evidence();
    let gateway = Gateway::demo(&[tree.path()]);
    let client = gateway.endpoint(tree.path());
    let flow = collect_and_lose(&gateway, &client, &["case"]);
    let folder = folder_of(&gateway.http(), &client, &flow);
    let port = gateway.nfs_port();
    let options = format!("vers=3,tcp,nolock,port={port},mountport={port}");
    let export = format!("/{}", client.client_id);
    let variables = [("EXPORT", export.as_str()), ("OPTIONS", &options), ("FOLDER", &folder)];
    let flows = gateway.control().flows();
    let ran = guest::run(Release::Trixie, &Link::Port(port), "collected.sh", &variables);
    assert_eq!(ran.said("folders"), folder);
    let sum = |name: &str| sha256(&fs::read(tree.path().join("case").join(name)).unwrap());
    let expected = [
        format!("{}  auto/case/big.bin", sum("big.bin")),
        format!("{}  auto/case/deep er/ünï \"x\".txt", sum("deep er/ünï \"x\".txt")),
        format!("{}  auto/case/empty", sum("empty")),
    ];
    assert_eq!(ran.said("sums").lines().collect::<Vec<_>>(), expected);
    assert!(ran.said("refused").contains("Read-only file system"), "{}", ran.said("refused"));
    assert_eq!(gateway.control().flows(), flows, "nothing was started");
}
