//! The whole tree through NFS is the tree on disk: names, types, sizes, times, links, and every byte.

use std::process::Command;
use std::time::Duration;

use crate::support::gateway::{Client, Gateway};
use crate::support::ground_truth::{
    assert_contents_were_read, assert_same, ground_truth, nfs_times, sha256, through_nfs,
};
use crate::support::guest::{self, Link, Release};
use crate::support::process::{self, missing};
use crate::support::skip::skip_if;
use crate::support::tree::{MANY, Tree};

fn kernel_client_sees_the_tree(release: Release) {
    let tree = Tree::odd();
    let disk = nfs_times(through_nfs(&ground_truth(tree.path(), |path| !path.starts_with(MANY.as_bytes()))));
    let gateway = Gateway::demo(&[tree.path()]);
    let export = format!("/{}/auto", gateway.endpoint(tree.path()).client_id);
    let port = gateway.nfs_port();
    let options = format!("vers=3,tcp,nolock,port={port},mountport={port}");
    let ran = guest::run(release, &Link::Port(port), "walk.sh", &[("EXPORT", &export), ("OPTIONS", &options)]);
    let seen = nfs_times(ran.objects());
    assert_contents_were_read(&disk, &seen);
    assert_same(&disk, &seen);
    assert_same(&disk, &nfs_times(ran.objects_after()));
}

#[test]
fn linux_6_12_sees_the_tree_that_is_on_disk() {
    skip_if!(guest::obstacle(Release::Trixie));
    kernel_client_sees_the_tree(Release::Trixie);
}

#[test]
fn linux_6_1_sees_the_tree_that_is_on_disk() {
    skip_if!(guest::obstacle(Release::Bookworm));
    kernel_client_sees_the_tree(Release::Bookworm);
}

#[test]
fn libnfs_reads_what_is_on_disk() {
    skip_if!(missing(&["nfs-ls", "nfs-cat"]));
    let tree = Tree::odd();
    let gateway = Gateway::demo(&[tree.path()]);
    let client = gateway.endpoint(tree.path());

    let listed = nfs("nfs-ls", &gateway, &client, "sizes").expect("nfs-ls").text();
    for (path, object) in ground_truth(&tree.path().join("sizes"), |_| true) {
        let name = String::from_utf8(path).unwrap();
        let size = object.size.unwrap().to_string();
        let line = listed.lines().find(|line| line.ends_with(&format!(" {name}")));
        let line = line.unwrap_or_else(|| panic!("no {name} in {listed}"));
        assert!(
            line.starts_with("-r--r--r--") && line.split_whitespace().any(|word| word == size),
            "{line}: {size} bytes expected"
        );
        let content = nfs("nfs-cat", &gateway, &client, &format!("sizes/{name}")).expect("nfs-cat").stdout;
        assert_eq!(content.len(), object.size.map(|size| usize::try_from(size).unwrap()).unwrap(), "length of {name}");
        assert_eq!(Some(sha256(&content)), object.sha256, "content of {name}");
    }

    let names = nfs("nfs-ls", &gateway, &client, MANY).expect("nfs-ls").text();
    let mut names: Vec<&str> = names.lines().filter_map(|line| line.split_whitespace().last()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), crate::support::tree::HOW_MANY);
}

fn nfs(program: &str, gateway: &Gateway, client: &Client, path: &str) -> process::Finished {
    let port = gateway.nfs_port();
    let url = format!("nfs://127.0.0.1/{}/auto/{path}?nfsport={port}&mountport={port}", client.client_id);
    process::run(Command::new(program).arg(url), Duration::from_secs(120))
}
