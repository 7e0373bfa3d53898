//! A mount needs no options: with the gateway's own portmapper or with the machine's rpcbind; of an endpoint, of a folder in it,
//! by host name; locks do not hang; a large directory is exact.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::gateway::{Client, Gateway, url_path};
use crate::support::guest::{self, Link, Release};
use crate::support::network::{self, Namespace};
use crate::support::process::{self, missing};
use crate::support::propfind;
use crate::support::skip::{skip, skip_if};
use crate::support::tree::Tree;

fn obstacle() -> Option<String> {
    network::obstacle().or_else(|| guest::obstacle(Release::Trixie))
}

#[test]
fn a_mount_without_options_works_where_nobody_has_port_111() {
    skip_if!(obstacle());
    let tree = Tree::small();
    let namespace = Namespace::new();
    let gateway = Gateway::demo_inside(&namespace, &[tree.path()]);
    let client = gateway.endpoint(tree.path());
    let variables = [("CLIENT", client.client_id.as_str()), ("HOSTNAME_OF_CLIENT", client.hostname.as_str())];
    let (ran, kinds) = std::thread::scope(|scope| {
        let running = scope.spawn(|| guest::run(Release::Trixie, &Link::Inside(&namespace), "mounts.sh", &variables));
        let mut kinds = BTreeSet::new();
        while !running.is_finished() {
            kinds.extend(kinds_of_mounting_clients(&gateway));
            std::thread::sleep(Duration::from_millis(100));
        }
        (running.join().unwrap(), kinds)
    });
    check(&ran);
    assert!(kinds.contains("linux") && !kinds.contains("windows") && !kinds.contains("macos"), "{kinds:?}");
}

/// What the clients are taken for that have mounted something.
fn kinds_of_mounting_clients(gateway: &Gateway) -> Vec<String> {
    let said = gateway.verb("clients", &["--connections", "--json"]).expect("clients").text();
    let connections: Vec<serde_json::Value> = serde_json::from_str(&said).unwrap();
    let mounted =
        connections.iter().filter(|connection| connection["mounted"].as_array().is_some_and(|all| !all.is_empty()));
    mounted.filter_map(|connection| connection["kind"].as_str().map(str::to_owned)).collect()
}

#[test]
fn a_mount_without_options_works_for_linux_6_1() {
    skip_if!(network::obstacle().or_else(|| guest::obstacle(Release::Bookworm)));
    let tree = Tree::small();
    let namespace = Namespace::new();
    let gateway = Gateway::demo_inside(&namespace, &[tree.path()]);
    let client = gateway.endpoint(tree.path());
    let variables = [("CLIENT", client.client_id.as_str()), ("HOSTNAME_OF_CLIENT", client.hostname.as_str())];
    check(&guest::run(Release::Bookworm, &Link::Inside(&namespace), "mounts.sh", &variables));
}

#[test]
fn a_mount_without_options_works_beside_rpcbind_which_is_left_as_it_was() {
    skip_if!(obstacle());
    let namespace = Namespace::new();
    let rpcbind = match Rpcbind::start(&namespace) {
        Ok(rpcbind) => rpcbind,
        Err(why) => skip!("{why}"),
    };
    let tree = Tree::small();
    let mut gateway = Gateway::demo_inside(&namespace, &[tree.path()]);
    let client = gateway.endpoint(tree.path());
    let variables = [("CLIENT", client.client_id.as_str()), ("HOSTNAME_OF_CLIENT", client.hostname.as_str())];
    let ran = guest::run(Release::Trixie, &Link::Inside(&namespace), "mounts.sh", &variables);
    check(&ran);
    assert!(ran.said("services").contains("100003"), "rpcbind knows: {}", ran.said("services"));

    gateway.stop();
    let left = guest::run(Release::Trixie, &Link::Inside(&namespace), "services.sh", &[]);
    for program in ["100003", "100005", "100021", "100024"] {
        assert!(
            !left.said("services").contains(program),
            "after the end rpcbind still knows {program}: {}",
            left.said("services")
        );
    }
    drop(rpcbind);
}

fn check(ran: &guest::Ran) {
    assert_eq!(ran.said("plain"), "documents empty pictures readme.txt");
    assert_eq!(ran.said("version"), "vers=3");
    assert_eq!(ran.said("subpath"), "one.txt");
    assert_eq!(ran.said("by-name"), "documents empty pictures readme.txt");
    assert_eq!(ran.said("whole"), "read me");
    assert_eq!(ran.said("flock"), "locked");
    assert_eq!(ran.said("unknown"), "refused");
}

#[test]
fn a_directory_of_100_000_entries_is_exact() {
    skip_if!(guest::obstacle(Release::Trixie));
    const COUNT: usize = 100_000;
    // The demo's Linux-like endpoint has one.
    let gateway = Gateway::demo(&[]);
    let http = gateway.http();
    let has_it = |client: &&Client| {
        let path = url_path(client, b"srv/huge") + "/";
        gateway.believes_online(client) && propfind::ask(&http, &path, "0").is_ok_and(|response| response.status == 207)
    };
    let client = gateway.ready().clients.iter().find(has_it).expect("an endpoint with srv/huge");
    let export = format!("/{}/auto/srv", client.client_id);
    let port = gateway.nfs_port();
    let options = format!("vers=3,tcp,nolock,port={port},mountport={port}");
    let ran = guest::run(
        Release::Trixie,
        &Link::Port(port),
        "crowd.sh",
        &[("EXPORT", &export), ("OPTIONS", &options), ("FOLDER", "huge")],
    );
    for listing in ["first", "again", "long"] {
        let names = ran.file(listing);
        let mut names: Vec<&[u8]> = names.split(|byte| *byte == b'\n').filter(|name| !name.is_empty()).collect();
        assert_eq!(names.len(), COUNT, "names of the {listing} listing");
        names.sort_unstable();
        names.dedup();
        let expected: Vec<String> = (0..COUNT).map(|number| format!("file-{number:06}.dat")).collect();
        let wrong = names.iter().zip(&expected).find(|(name, expected)| **name != expected.as_bytes());
        assert!(wrong.is_none() && names.len() == COUNT, "the {listing} listing: {wrong:?}");
    }
    eprintln!("ls -U of {COUNT} entries: {}", ran.said("seconds").replace('\n', ", "));
}

/// The portmapper of Debian, unpacked and not installed, in a namespace.
struct Rpcbind {
    child: Child,
}

impl Rpcbind {
    fn start(namespace: &Namespace) -> Result<Rpcbind, String> {
        if let Some(why) = missing(&["unshare"]) {
            return Err(why);
        }
        let root = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("rpcbind");
        let nfsvm = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/nfsvm/nfsvm");
        if !root.join("sbin/rpcbind").exists() {
            let unpacked =
                process::run(Command::new(nfsvm).arg("unpack").arg(&root).arg("rpcbind"), Duration::from_secs(300));
            if !unpacked.succeeded() {
                return Err(format!("rpcbind could not be fetched: {}", unpacked.stderr));
            }
        }
        let mut command = namespace.command("unshare");
        command.args(["-m", "--propagation", "private"]);
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/nfsvm/rpcbind")).arg(&root);
        let child = command.stdin(Stdio::null()).spawn().map_err(|error| error.to_string())?;
        let mut rpcbind = Rpcbind { child };
        let started = Instant::now();
        let knock = "exec 3<>/dev/tcp/127.0.0.1/111";
        while !process::run(namespace.command("bash").args(["-c", knock]), Duration::from_secs(5)).succeeded() {
            if rpcbind.child.try_wait().unwrap().is_some() || started.elapsed() > Duration::from_secs(20) {
                return Err("rpcbind does not start here".to_owned());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(rpcbind)
    }
}

impl Drop for Rpcbind {
    fn drop(&mut self) {
        let _killed = self.child.kill();
        let _status = self.child.wait();
    }
}
