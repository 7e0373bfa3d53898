//! The gateway ends, by SIGTERM or by SIGKILL, and starts again with the same state: mounts go on without a remount, open files
//! go on reading, and what was cached is there although its endpoint is not.

use std::fs;
use std::time::Duration;

use tempfile::TempDir;

use crate::support::gateway::{Gateway, Start, url_path};
use crate::support::ground_truth::sha256;
use crate::support::guest::{self, Link, Release, Session};
use crate::support::propfind;
use crate::support::skip::skip_if;
use crate::support::tree::Tree;

#[derive(Clone, Copy)]
enum End {
    Term,
    Kill,
}

fn a_mount_survives(release: Release, end: End) {
    let tree = Tree::small();
    let mut gateway = Gateway::demo(&[tree.path()]);
    let client = gateway.endpoint(tree.path());
    let port = gateway.nfs_port();
    let options = format!("vers=3,tcp,nolock,port={port},mountport={port}");
    let export = format!("/{}/auto", client.client_id);
    let sum = sha256(&fs::read(tree.path().join("pictures/large.bin")).unwrap());
    let variables = [("EXPORT", export.as_str()), ("OPTIONS", &options), ("SUM", &sum)];
    let mut guest = Session::start(release, &Link::Port(port), "restart.sh", &variables);

    guest.reach("mounted");
    for _ in 0..2 {
        match end {
            End::Term => gateway.stop(),
            End::Kill => gateway.kill(),
        }
        gateway.start_again();
        guest.go_on();
        guest.reach("read");
    }

    // And once more with the endpoint away: the cache alone must do.
    match end {
        End::Term => gateway.stop(),
        End::Kill => gateway.kill(),
    }
    gateway.start_again();
    gateway.control().take_offline(&client.client_id);
    guest.go_on();
    guest.reach("read offline");
    guest.go_on();
    guest.end();
}

#[test]
fn a_mount_goes_on_after_sigterm() {
    skip_if!(guest::obstacle(Release::Trixie));
    a_mount_survives(Release::Trixie, End::Term);
}

#[test]
fn a_mount_goes_on_after_sigkill() {
    skip_if!(guest::obstacle(Release::Trixie));
    a_mount_survives(Release::Trixie, End::Kill);
}

#[test]
fn a_mount_by_linux_6_1_goes_on_after_sigkill() {
    skip_if!(guest::obstacle(Release::Bookworm));
    a_mount_survives(Release::Bookworm, End::Kill);
}

fn the_cache_survives(end: End) {
    let tree = Tree::small();
    let folder = TempDir::new().unwrap();
    let mut gateway = Gateway::start(Start::demo(&[tree.path()], folder.path()));
    let client = gateway.endpoint(tree.path());
    let report = fs::read(tree.path().join("documents/report.txt")).unwrap();
    let first = propfind::list(&gateway.http(), &(url_path(&client, b"documents") + "/"));
    assert_eq!(gateway.http().get(&url_path(&client, b"documents/report.txt")).body, report);

    match end {
        End::Term => gateway.stop(),
        End::Kill => gateway.kill(),
    }
    gateway.start_again();
    gateway.control().take_offline(&client.client_id);
    let before = gateway.control().flows();
    let again = propfind::list(&gateway.http(), &(url_path(&client, b"documents") + "/"));
    let names = |resources: &[propfind::Resource]| {
        resources.iter().map(|resource| resource.name().to_vec()).collect::<Vec<_>>()
    };
    assert_eq!(names(&first), names(&again));
    let content = gateway.http().get(&url_path(&client, b"documents/report.txt"));
    assert_eq!((content.status, content.body == report), (200, true));
    assert_eq!(gateway.control().flows(), before, "what is cached needs no flow");
}

#[test]
fn listings_and_contents_are_still_there_after_sigterm() {
    the_cache_survives(End::Term);
}

#[test]
fn listings_and_contents_are_still_there_after_sigkill() {
    the_cache_survives(End::Kill);
}

#[test]
fn the_same_endpoints_come_back() {
    let tree = Tree::small();
    let mut gateway = Gateway::demo(&[tree.path()]);
    let ids = |gateway: &Gateway| {
        let mut ids: Vec<String> = gateway.ready().clients.iter().map(|client| client.client_id.clone()).collect();
        ids.sort();
        ids
    };
    let before = ids(&gateway);
    let password = gateway.ready().password.clone();
    gateway.kill();
    gateway.start_again();
    assert_eq!(ids(&gateway), before);
    assert_eq!(gateway.ready().password, password, "printed commands stay good");
}

#[test]
fn it_starts_soon_and_ends_soon() {
    let mut gateway = Gateway::demo(&[]);
    let started = std::time::Instant::now();
    gateway.stop();
    assert!(started.elapsed() < Duration::from_secs(5), "it took {:?} to end", started.elapsed());
}
