//! One tree through NFS and WebDAV at the same time, while it changes and is refreshed: whatever either shows is a state that the tree had,
//! never an older one than the same reader saw before, and in the end both show the last.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::gateway::{Client, Gateway, url_path};
use crate::support::http::Http;
use crate::support::process::{self, missing};
use crate::support::propfind;
use crate::support::skip::skip_if;
use crate::support::tree::Tree;

/// States of the tree.
const STATES: usize = 25;
/// Files of a state.
const FILES: usize = 40;

/// Names and sizes.
type Listing = BTreeMap<String, u64>;

/// Some files stay, some come and go, some grow; which state it is stands in it.
fn state(number: usize) -> Listing {
    (0..FILES)
        .filter(|file| !(file * 7 + number).is_multiple_of(3))
        .map(|file| (format!("file-{file:03}"), (file + number * (file % 2)) as u64))
        .chain([(format!("state-{number}"), number as u64)])
        .collect()
}

/// Makes the folder be a state, so that no listing sees half of one: it is made beside it and takes its place.
fn make(root: &Path, number: usize) {
    let made = root.join(format!(".next-{number}"));
    fs::create_dir(&made).unwrap();
    for (name, size) in state(number) {
        fs::write(made.join(name), vec![b'x'; usize::try_from(size).unwrap()]).unwrap();
    }
    let place = root.join("changes");
    if place.exists() {
        fs::rename(&place, root.join(format!(".before-{number}"))).unwrap();
    }
    fs::rename(made, place).unwrap();
}

/// Which state a listing is.
#[track_caller]
fn number_of(listing: &Listing, by: &str) -> usize {
    let named: Vec<usize> = listing.keys().filter_map(|name| name.strip_prefix("state-")?.parse().ok()).collect();
    let [number] = named[..] else { panic!("{by}: no state: {listing:?}") };
    assert_eq!(listing, &state(number), "{by}: not state {number}");
    number
}

fn by_webdav(http: &Http, url: &str) -> Listing {
    let resources = propfind::list(http, url);
    let entry = |resource: &propfind::Resource| {
        (String::from_utf8(resource.name().to_vec()).unwrap(), resource.size().expect("a size"))
    };
    resources.iter().map(entry).collect()
}

fn by_nfs(gateway: &Gateway, client: &Client) -> Listing {
    let port = gateway.nfs_port();
    let url = format!("nfs://127.0.0.1/{}/auto/changes?nfsport={port}&mountport={port}", client.client_id);
    let listed = process::run(Command::new("nfs-ls").arg(url), Duration::from_secs(60)).expect("nfs-ls").text();
    // Mode, links, user, group, size, name.
    let entry = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        (words[5].to_owned(), words[4].parse().expect(line))
    };
    listed.lines().map(entry).collect()
}

#[test]
fn nfs_and_webdav_show_the_same_states_of_a_tree_that_changes() {
    skip_if!(missing(&["nfs-ls"]));
    let tree = Tree::empty();
    make(tree.path(), 0);
    let gateway = Gateway::demo(&[tree.path()]);
    let client = gateway.endpoint(tree.path());
    let (http, url) = (gateway.http(), url_path(&client, b"changes"));
    assert_eq!(number_of(&by_webdav(&http, &url), "WebDAV"), 0);

    // What was made last, and what was published last.
    let (made, published, stop) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
    let reader = |by: &'static str, list: &(dyn Fn() -> Listing + Sync)| {
        let (mut last, mut looks, mut seen) = (0, 0, std::collections::BTreeSet::new());
        while !stop.load(Ordering::SeqCst) {
            let before = published.load(Ordering::SeqCst);
            let number = number_of(&list(), by);
            assert!(number >= last, "{by}: state {number} after {last}");
            assert!(number >= before, "{by}: state {number}, and {before} was published before");
            assert!(number <= made.load(Ordering::SeqCst), "{by}: state {number} comes from nowhere");
            last = number;
            looks += 1;
            seen.insert(number);
        }
        (looks, seen.len())
    };
    let started = Instant::now();
    let ((nfs, nfs_states), (webdav, webdav_states)) = std::thread::scope(|scope| {
        let nfs = scope.spawn(|| reader("NFS", &|| by_nfs(&gateway, &client)));
        let webdav = scope.spawn(|| reader("WebDAV", &|| by_webdav(&http, &url)));
        for number in 1..STATES {
            make(tree.path(), number);
            made.store(number, Ordering::SeqCst);
            let path = format!("/{}/auto/changes", client.client_id);
            let refreshed = gateway.verb("refresh", &[&path]);
            if !refreshed.succeeded() || nfs.is_finished() || webdav.is_finished() {
                stop.store(true, Ordering::SeqCst);
                assert!(refreshed.succeeded(), "refresh: {}", refreshed.stderr);
                break;
            }
            published.store(number, Ordering::SeqCst);
        }
        stop.store(true, Ordering::SeqCst);
        (nfs.join().expect("the NFS reader"), webdav.join().expect("the WebDAV reader"))
    });
    let last = STATES - 1;
    assert_eq!(
        (number_of(&by_nfs(&gateway, &client), "NFS"), number_of(&by_webdav(&http, &url), "WebDAV")),
        (last, last)
    );
    println!(
        "{nfs} looks by NFS at {nfs_states} states, {webdav} by WebDAV at {webdav_states}, in {:?}",
        started.elapsed()
    );
    assert!(nfs_states > 2 && webdav_states > 2, "the readers saw {nfs_states} and {webdav_states} states");

    // Each content through the one is the content through the other.
    for (name, size) in state(last) {
        let response = http.get(&url_path(&client, format!("changes/{name}").as_bytes()));
        assert_eq!((response.status, response.body.len() as u64), (200, size), "{name}");
        let port = gateway.nfs_port();
        let nfs = format!("nfs://127.0.0.1/{}/auto/changes/{name}?nfsport={port}&mountport={port}", client.client_id);
        let content = process::run(Command::new("nfs-cat").arg(nfs), Duration::from_secs(60)).expect("nfs-cat").stdout;
        assert_eq!(content, response.body, "{name}");
    }
}
