//! An endpoint that is away: what is cached stays readable, what is not gives a prompt error; never "empty", never "no such file".

use std::fs;
use std::time::{Duration, Instant};

use crate::support::gateway::{Gateway, url_path};
use crate::support::ground_truth::sha256;
use crate::support::guest::{self, Link, Release, Session};
use crate::support::propfind;
use crate::support::skip::skip_if;
use crate::support::tree::Tree;

/// A refusal that takes longer than this is no prompt one.
const PROMPT: Duration = Duration::from_secs(10);

/// An endpoint that is back must be asked again within this time.
const COMES_BACK: Duration = Duration::from_secs(120);

/// A small tree with a part so far from the rest that nothing lists it ahead.
fn tree() -> Tree {
    let tree = Tree::small();
    fs::create_dir_all(tree.path().join("far/away/down")).unwrap();
    tree.write("far/away/down/here.txt", b"here\n");
    tree
}

fn a_mount_of_an_absent_endpoint(release: Release) {
    let tree = tree();
    let gateway = Gateway::demo(&[tree.path()]);
    let client = gateway.endpoint(tree.path());
    let port = gateway.nfs_port();
    let options = format!("vers=3,tcp,nolock,port={port},mountport={port}");
    let export = format!("/{}/auto", client.client_id);
    let sum = sha256(&fs::read(tree.path().join("documents/report.txt")).unwrap());
    let variables = [("EXPORT", export.as_str()), ("OPTIONS", &options), ("SUM", &sum)];
    let mut guest = Session::start(release, &Link::Port(port), "offline.sh", &variables);
    guest.reach("cached");
    gateway.lose(&client);
    guest.go_on();
    let said = guest.reach("away");
    for refused in said.iter().filter(|line| line.starts_with("refused")) {
        assert!(refused.ends_with("Input/output error") || refused.ends_with("No such device or address"), "{refused}");
    }
    assert_eq!(said.iter().filter(|line| line.starts_with("refused")).count(), 3, "{said:#?}");
    gateway.control().bring_online(&client.client_id);
    guest.go_on();
    let said = guest.end();
    assert!(said.iter().any(|line| line == "here"), "when it is back, all is there: {said:#?}");
}

#[test]
fn linux_6_12_reads_what_is_cached_and_is_told_of_the_rest() {
    skip_if!(guest::obstacle(Release::Trixie));
    a_mount_of_an_absent_endpoint(Release::Trixie);
}

#[test]
fn linux_6_1_reads_what_is_cached_and_is_told_of_the_rest() {
    skip_if!(guest::obstacle(Release::Bookworm));
    a_mount_of_an_absent_endpoint(Release::Bookworm);
}

#[test]
fn webdav_reads_what_is_cached_and_is_told_of_the_rest() {
    let tree = tree();
    let gateway = Gateway::demo(&[tree.path()]);
    let client = gateway.endpoint(tree.path());
    let http = gateway.http();
    let report = fs::read(tree.path().join("documents/report.txt")).unwrap();
    let documents = url_path(&client, b"documents") + "/";
    propfind::list(&http, &(url_path(&client, b"") + "/"));
    let before = propfind::list(&http, &documents).len();
    assert_eq!(http.get(&url_path(&client, b"documents/report.txt")).body, report);

    gateway.lose(&client);
    assert_eq!(propfind::list(&http, &documents).len(), before);
    assert_eq!(http.get(&url_path(&client, b"documents/report.txt")).body, report);

    let prompt = |method: &str, path: &[u8]| {
        let started = Instant::now();
        let response = http.request(method, &url_path(&client, path), &[("Depth", "1")], b"").unwrap();
        let name = String::from_utf8_lossy(path).into_owned();
        assert!(started.elapsed() < PROMPT, "{method} {name} took {:?}", started.elapsed());
        assert_eq!(response.status, 503, "{method} {name}: {}", response.text());
        assert!(response.header("retry-after").is_none(), "{method} {name}: nobody knows when it comes back (D19)");
        assert!(response.text().contains("offline"), "{method} {name} says why: {}", response.text());
    };
    prompt("PROPFIND", b"far/away");
    prompt("GET", b"far/away/down/here.txt");
    prompt("GET", b"readme.txt");

    gateway.control().bring_online(&client.client_id);
    let started = Instant::now();
    while http.get(&url_path(&client, b"far/away/down/here.txt")).body != b"here\n" {
        assert!(started.elapsed() < COMES_BACK, "it is back, and that is not noticed");
        std::thread::sleep(Duration::from_secs(1));
    }
}

#[test]
fn an_endpoint_that_is_away_is_listed_and_says_so() {
    let gateway = Gateway::demo(&[]);
    let http = gateway.http();
    let listed = propfind::list(&http, "/");
    let clients = &gateway.ready().clients;
    for client in clients {
        assert!(listed.iter().any(|resource| resource.name() == client.client_id.as_bytes()), "{client:?}: {listed:?}");
    }
    let away: Vec<_> = clients.iter().filter(|client| !gateway.believes_online(client)).collect();
    let [away] = away[..] else { panic!("one of the demo's endpoints is away: {clients:?}") };
    // A few of its directories were listed while it was there, the others are refused; none is empty, none is absent.
    let mut refused = 0;
    for child in propfind::list(&http, &(url_path(away, b"C:") + "/")).iter().filter(|child| child.is_collection) {
        let started = Instant::now();
        let path = url_path(away, &[b"C:/", child.name()].concat()) + "/";
        let response = propfind::ask(&http, &path, "1").unwrap();
        assert!([207, 503].contains(&response.status), "{path}: {} {}", response.status, response.text());
        assert!(started.elapsed() < PROMPT, "{path}: {:?}", started.elapsed());
        refused += u32::from(response.status == 503);
    }
    assert!(refused > 0, "everything of it was listed?");
}
