//! What people do with a mount, done by the Linux client of both releases: every way to mount (options, families, places, fstab, the
//! automounter), the programs that they run on it, and slow work. Each guest writes a line for each thing that it looked at.

use std::path::Path;

use serde_json::json;
use tempfile::TempDir;

use crate::support::gateway::{Gateway, Start};
use crate::support::ground_truth::sha256;
use crate::support::guest::{self, Link, Release, Session};
use crate::support::network::{self, Namespace};
use crate::support::skip::skip_if;
use crate::support::tree::{Tree, noise};

/// From another machine, as far as the kernel knows: the gateway is in a namespace of its own.
fn mounted_in_every_way(release: Release) {
    let tree = Tree::small();
    let namespace = Namespace::new();
    let gateway = Gateway::demo_inside(&namespace, &[tree.path()]);
    let client = gateway.endpoint(tree.path());
    let clients: Vec<&str> = gateway.ready().clients.iter().map(|client| client.client_id.as_str()).collect();
    // The demo's Windows-like endpoint.
    let windows = gateway.ready().clients.iter().find(|client| client.hostname == "desk-042").expect("desk-042");
    let variables = [
        ("CLIENT", client.client_id.as_str()),
        ("CLIENTS", &clients.join(" ")),
        ("HOSTNAME_OF_CLIENT", &client.hostname),
        ("WINDOWS", &windows.client_id),
        ("LARGE", &sha256(&noise(3_000_000, 2))),
    ];
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
    guest::check(release, &Link::Inside(&namespace), "mount_options.sh", &deploy, &variables);
}

#[test]
fn every_way_to_mount_works_for_linux_6_12() {
    skip_if!(network::obstacle().or_else(|| guest::obstacle_with_programs(Release::Trixie)));
    mounted_in_every_way(Release::Trixie);
}

#[test]
fn every_way_to_mount_works_for_linux_6_1() {
    skip_if!(network::obstacle().or_else(|| guest::obstacle_with_programs(Release::Bookworm)));
    mounted_in_every_way(Release::Bookworm);
}

/// The gateway runs in the guest: what is mounted is `localhost`, without options, with and without rpcbind.
fn used_on_one_machine(release: Release) {
    let program = Path::new(env!("CARGO_BIN_EXE_raptorgate"));
    guest::check(release, &Link::Port(1), "localhost.sh", program.parent().expect("in a folder"), &[]);
}

#[test]
fn programs_work_on_a_mount_of_localhost_by_linux_6_12() {
    skip_if!(guest::obstacle_with_programs(Release::Trixie));
    used_on_one_machine(Release::Trixie);
}

#[test]
fn programs_work_on_a_mount_of_localhost_by_linux_6_1() {
    skip_if!(guest::obstacle_with_programs(Release::Bookworm));
    used_on_one_machine(Release::Bookworm);
}

/// One file of an endpoint never comes (its flow was delivered and does not end).
fn waits_alone(release: Release) {
    let tree = Tree::small();
    let folder = TempDir::new().unwrap();
    let gateway = Gateway::start(Start::demo(&[tree.path()], folder.path()).with(["--nfs-hold", "12s"]));
    let client = gateway.endpoint(tree.path());
    let port = gateway.nfs_port();
    let variables = [
        ("OPTIONS", format!("vers=3,tcp,nolock,port={port},mountport={port}")),
        ("EXPORT", format!("/{}/auto", client.client_id)),
        ("SUM", sha256(&noise(20_000, 1))),
    ];
    let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
    let mut guest = Session::start(release, &Link::Port(port), "slow.sh", &variables);
    guest.reach("listed");
    gateway.control().ask(&json!({ "fault": { "stall_next_flows": 1 } }));
    guest.go_on();
    assert_eq!(guest.reach("waits"), ["during: waits waits"]);
    guest.go_on();
    let expected = [
        "another file: right",
        "another directory: right",
        "its attributes: told",
        "during: waits waits, complaints 0, later 0",
        "^C while it is held: stopped",
        "after: waits, complaints 0",
        "^C after later: stopped",
        "the mount: good",
    ];
    assert_eq!(guest.end(), expected);
}

#[test]
fn slow_work_holds_nobody_else_up_and_can_be_stopped_on_linux_6_12() {
    skip_if!(guest::obstacle(Release::Trixie));
    waits_alone(Release::Trixie);
}

#[test]
fn slow_work_holds_nobody_else_up_and_can_be_stopped_on_linux_6_1() {
    skip_if!(guest::obstacle(Release::Bookworm));
    waits_alone(Release::Bookworm);
}
