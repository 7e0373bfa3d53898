//! Nothing from an endpoint acts on the machine that mounts it (D1): set-user-id files, device nodes, pipes, links out of the tree;
//! and nothing that the machine does changes the endpoint.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use crate::support::gateway::Gateway;
use crate::support::ground_truth::{assert_same, ground_truth};
use crate::support::guest::{self, Link, Release};
use crate::support::http::encode;
use crate::support::skip::{skip, skip_if};
use crate::support::tree::Tree;

const PASSWD_OF_THE_ENDPOINT: &[u8] = b"this is the endpoint's\n";

/// `/etc/passwd`, which the guest has, too; and in `/home/alice` everything that is dangerous.
fn hostile_tree() -> Result<Tree, String> {
    let tree = Tree::empty();
    let alice = tree.path().join("home/alice");
    fs::create_dir_all(&alice).unwrap();
    fs::create_dir(tree.path().join("etc")).unwrap();
    tree.write("etc/passwd", PASSWD_OF_THE_ENDPOINT);
    let program = tree.write("home/alice/setuid", b"#!/bin/sh\necho this ran\n");
    fs::set_permissions(program, Permissions::from_mode(0o6755)).unwrap();
    symlink("/etc/passwd", alice.join("absolute")).unwrap();
    symlink("../../../../../etc/passwd", alice.join("climbing")).unwrap();
    symlink("setuid", alice.join("inside")).unwrap();
    make_node(&["mkfifo"], &alice.join("pipe"), &[])?;
    make_node(&["mknod"], &alice.join("memory"), &["c", "1", "1"])?;
    make_node(&["mknod"], &alice.join("disk"), &["b", "7", "0"])?;
    Ok(tree)
}

fn make_node(program: &[&str], path: &Path, rest: &[&str]) -> Result<(), String> {
    let made = Command::new(program[0]).arg(path).args(rest).output().unwrap();
    if made.status.success() {
        Ok(())
    } else {
        Err(format!("{}: {}", program[0], String::from_utf8_lossy(&made.stderr)))
    }
}

fn mounted_safely(release: Release) {
    let tree = match hostile_tree() {
        Ok(tree) => tree,
        Err(why) => skip!("this machine forbids special files: {why}"),
    };
    let before = ground_truth(tree.path(), |_| true);
    let gateway = Gateway::demo(&[tree.path()]);
    let client = gateway.endpoint(tree.path()).client_id;
    let port = gateway.nfs_port();
    let options = format!("vers=3,tcp,nolock,port={port},mountport={port}");
    for (export, folder) in [(format!("/{client}/auto"), "/home/alice"), (format!("/{client}/auto/home/alice"), "")] {
        let variables = [("EXPORT", export.as_str()), ("OPTIONS", &options), ("FOLDER", folder)];
        let ran = guest::run(release, &Link::Port(port), "hostile.sh", &variables);
        let what = format!("mount of {export}");
        assert_eq!(ran.said("setuid"), "444 regular file", "{what}");
        assert_eq!(ran.said("memory"), "444 character special file 0:0", "{what}");
        assert_eq!(ran.said("disk"), "444 block special file 0:0", "{what}");
        assert_eq!(ran.said("pipe"), "444 socket", "{what}");
        for link in ["absolute", "climbing"] {
            assert_eq!(ran.said(link), ".raptorgate/root/etc/passwd", "{what}");
            assert_eq!(
                ran.file(&format!("{link}.content")),
                PASSWD_OF_THE_ENDPOINT,
                "{what}: {link} must lead to the endpoint's file"
            );
        }
        assert_eq!(ran.said("inside"), "setuid", "{what}");
        for opened in ["memory.read", "disk.read", "pipe.read", "setuid.run"] {
            assert_eq!(ran.said(opened), "failed", "{what}: {opened}");
        }
        let writes = ran.said("writes");
        assert_eq!(writes.lines().count(), 8, "{what}: {writes}");
        for write in writes.lines() {
            let refused = write.ends_with("Read-only file system") || write.ends_with("Permission denied");
            assert!(refused, "{what}: {write}");
        }
        assert!(
            writes.contains("chmod") && ran.said("chmod").ends_with("Read-only file system"),
            "{what}: {}",
            ran.said("chmod")
        );
    }
    assert_same(&before, &ground_truth(tree.path(), |_| true));
}

#[test]
fn a_mount_by_linux_6_12_is_safe() {
    skip_if!(guest::obstacle(Release::Trixie));
    mounted_safely(Release::Trixie);
}

#[test]
fn a_mount_by_linux_6_1_is_safe() {
    skip_if!(guest::obstacle(Release::Bookworm));
    mounted_safely(Release::Bookworm);
}

#[test]
fn webdav_refuses_what_would_change_the_endpoint() {
    let tree = Tree::small();
    let before = ground_truth(tree.path(), |_| true);
    let gateway = Gateway::demo(&[tree.path()]);
    let http = gateway.http();
    let root = format!("/{}/auto", gateway.endpoint(tree.path()).client_id);
    let destination = format!("{}{}/elsewhere", gateway.ready().webdav.trim_end_matches('/'), root);
    for (method, path, headers) in [
        ("PUT", "/new.txt", vec![]),
        ("PUT", "/readme.txt", vec![]),
        ("DELETE", "/readme.txt", vec![]),
        ("MKCOL", "/new", vec![]),
        ("MOVE", "/readme.txt", vec![("Destination", destination.as_str())]),
        ("COPY", "/readme.txt", vec![("Destination", destination.as_str())]),
    ] {
        let response = http.request(method, &format!("{root}{path}"), &headers, b"").unwrap();
        assert!((400..500).contains(&response.status), "{method} {path}: {} {}", response.status, response.text());
    }
    assert_same(&before, &ground_truth(tree.path(), |_| true));
}

#[test]
fn paths_that_climb_out_are_refused_in_every_spelling() {
    let tree = Tree::small();
    let gateway = Gateway::demo(&[tree.path()]);
    let http = gateway.http();
    let root = format!("/{}/auto", gateway.endpoint(tree.path()).client_id);
    let climbing = [
        "documents/../../../../etc/passwd",
        "%2e%2e/%2e%2e/etc/passwd",
        "documents/%2e%2e%2f%2e%2e/etc/passwd",
        "..%5c..%5cetc%5cpasswd",
    ];
    let own = fs::read("/etc/passwd").unwrap();
    for path in climbing.map(str::to_owned).into_iter().chain([encode(b"../../etc/passwd")]) {
        let response = http.request("GET", &format!("{root}/{path}"), &[], b"").unwrap();
        assert!(response.status >= 400, "{path}: {}", response.status);
        assert_ne!(response.body, own, "{path}");
    }
}
