//! Clients are told apart by what they do on the wire, and each is treated as it needs (docs/nfs-clients.md §3).

use std::net::SocketAddr;
use std::time::Duration;

use super::client::{Client, NFS, Sender, Xdr, names};
use super::{backend, config, start, start_with};
use raptorgate_nfs::{Config, PeerKind, Server};

const NFS_ACL: u32 = 100_227;
const ANONYMOUS: u32 = u32::MAX - 1;
const IO: u32 = 5;
const JUKEBOX: u32 = 10_008;

/// The calls of a mount and of a first look, as each client makes them on its NFS connection.
fn linux(address: SocketAddr, root: &[u8]) -> Client {
    let mut client = Client::connect(address);
    client.sender = Sender { stamp: 4711, machine: "workstation", gid: 0, groups: &[0] };
    client.raw_call(NFS, 3, 0, &Xdr::new());
    client.nfs(19, &Xdr::new().opaque(root));
    client.nfs(20, &Xdr::new().opaque(root));
    client.raw_call(NFS_ACL, 3, 0, &Xdr::new());
    client.nfs(19, &Xdr::new().opaque(root));
    client.getattr(root);
    client
}

/// The kernel's client after its connection broke: nothing is negotiated again.
fn linux_reconnected(address: SocketAddr, root: &[u8]) -> Client {
    let mut client = Client::connect(address);
    client.sender = Sender { stamp: 4712, machine: "workstation", gid: 1000, groups: &[4, 24, 1000] };
    client.uid = 1000;
    client.getattr(root);
    client.nfs(4, &Xdr::new().opaque(root).u32(0x1f));
    client
}

fn macos(address: SocketAddr, root: &[u8]) -> Client {
    let mut client = Client::connect(address);
    client.sender = Sender { stamp: 0, machine: "", gid: 20, groups: &[12, 61, 79, 80] };
    client.uid = 501;
    client.nfs(19, &Xdr::new().opaque(root));
    client.getattr(root);
    client.nfs(20, &Xdr::new().opaque(root));
    client.nfs(18, &Xdr::new().opaque(root));
    client.nfs(4, &Xdr::new().opaque(root).u32(0x3f));
    client
}

fn windows(address: SocketAddr, root: &[u8]) -> Client {
    let mut client = Client::connect(address);
    client.sender = Sender { stamp: 99, machine: "DESKTOP-7", gid: ANONYMOUS, groups: &[] };
    client.uid = ANONYMOUS;
    client.raw_call(NFS, 3, 0, &Xdr::new());
    client.nfs(19, &Xdr::new().opaque(root));
    client.nfs(18, &Xdr::new().opaque(root));
    client.getattr(root);
    client
}

/// A client of no kernel: it tells its name and asks for what it needs.
fn library(address: SocketAddr, root: &[u8]) -> Client {
    let mut client = Client::connect(address);
    client.getattr(root);
    client.nfs(4, &Xdr::new().opaque(root).u32(0x03));
    client
}

fn seen(server: &Server, client: &Client) -> (PeerKind, String) {
    let own = client.stream.local_addr().unwrap();
    let reports = server.connections();
    let report = reports.iter().find(|report| report.peer == own).expect("the connection");
    (report.kind, report.why.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_client_is_known_by_its_calls() {
    let (server, address) = start(&backend()).await;
    let root = Client::connect(address).mount("/C.1");
    type Sequence = fn(SocketAddr, &[u8]) -> Client;
    let sequences: [(Sequence, PeerKind, &str); 5] = [
        (linux, PeerKind::Linux, "NFS_ACL"),
        (linux_reconnected, PeerKind::Linux, "ACCESS"),
        (macos, PeerKind::Macos, "machine"),
        (windows, PeerKind::Windows, "-2"),
        (library, PeerKind::Unknown, "no sign"),
    ];
    for (sequence, kind, sign) in sequences {
        let client = sequence(address, &root);
        let (known, why) = seen(&server, &client);
        assert!(known == kind && why.contains(sign), "{kind}: {known}, {why}");
    }
    let mut negotiating = Client::connect(address);
    negotiating.raw_call(NFS, 4, 0, &Xdr::new());
    assert_eq!(seen(&server, &negotiating).0, PeerKind::Linux);
    let report = server.connections().pop().unwrap();
    assert_eq!((report.mounted, report.principal.as_str()), (vec!["/C.1".to_owned()], "local"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_sign_decides() {
    let (server, address) = start(&backend()).await;
    let root = Client::connect(address).mount("/C.1");
    let mut client = windows(address, &root);
    client.nfs(4, &Xdr::new().opaque(&root).u32(0x1f));
    assert_eq!(seen(&server, &client).0, PeerKind::Windows);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_beats_every_sign() {
    let peers = vec!["127.0.0.0/8=windows".parse().unwrap()];
    let (server, address) = start_with(&backend(), Config { peers, ..config() }).await;
    let root = Client::connect(address).mount("/C.1");
    let client = linux(address, &root);
    assert_eq!(seen(&server, &client), (PeerKind::Windows, "the rule 127.0.0.0/8=windows".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn windows_is_never_told_to_come_again_and_others_are() {
    let backend = backend();
    backend.add_directory("C.1", "auto", &["slow"]);
    let (_server, address) = start_with(&backend, Config { hold: Duration::from_millis(100), ..config() }).await;
    let auto = Client::connect(address).mount("/C.1/auto");
    let (slow, _) = Client::connect(address).lookup(&auto, "slow");
    backend.hold_jobs();
    let page = Xdr::new().opaque(&slow).u64(0).u64(0).u32(4096);
    assert_eq!(windows(address, &auto).nfs(16, &page).0, IO);
    assert_eq!(linux(address, &auto).nfs(16, &page).0, JUKEBOX);
    assert_eq!(macos(address, &auto).nfs(16, &page).0, JUKEBOX);
    assert_eq!(library(address, &auto).nfs(16, &page).0, JUKEBOX);
    backend.release_jobs();
}

#[tokio::test(flavor = "multi_thread")]
async fn windows_sees_names_that_it_can_open_and_opens_them() {
    let backend = backend();
    backend.add_file("C.1", "auto", &["a:b?."], "content");
    let (_server, address) = start(&backend).await;
    let auto = Client::connect(address).mount("/C.1/auto");
    let raw = "a:b?.";
    let listed = |client: &mut Client, is_plus| {
        let entries = client.list(&auto, 2, is_plus, 4096);
        names(&entries).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let mut windows = windows(address, &auto);
    let spelled = listed(&mut windows, true);
    assert_eq!(listed(&mut windows, false), spelled);
    let spelled = &spelled[0];
    assert!(!spelled.contains([':', '?']) && !spelled.ends_with('.'), "{spelled}");
    let (file, _) = windows.lookup(&auto, spelled);
    assert_eq!(windows.read(&file, 0, 100).0, b"content");
    for other in [&mut linux(address, &auto), &mut macos(address, &auto)] {
        assert_eq!(listed(other, true), [raw]);
        assert_eq!(other.lookup(&auto, raw).0, file, "one object, one handle");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn macos_sees_a_refresh_in_mtime_and_nobody_else_does() {
    let backend = backend();
    backend.add_file("C.1", "auto", &["dir", "file"], "content");
    let (_server, address) = start(&backend).await;
    let dir = Client::connect(address).mount("/C.1/auto/dir");
    let mut linux = linux(address, &dir);
    let mut macos = macos(address, &dir);
    let mut windows = windows(address, &dir);
    linux.list(&dir, 0, true, 4096);
    let [_, modified, changed] = linux.getattr(&dir).times;
    let [_, seen, stamp] = macos.getattr(&dir).times;
    assert_eq!(stamp, changed);
    assert_ne!(changed.1 % 100, modified.1 % 100, "mtime is as listed, ctime carries the stamp");
    assert_eq!((seen.0, seen.1 / 100, seen.1 % 100), (modified.0, modified.1 / 100, changed.1 % 100));
    assert_eq!(windows.getattr(&dir).times[1], modified);
    let (file, attributes) = macos.lookup(&dir, "file");
    assert_eq!(attributes.unwrap().times[1], linux.getattr(&file).times[1], "times of files are evidence");
}
