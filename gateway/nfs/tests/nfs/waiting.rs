//! Calls that have to wait for an endpoint: others go on, nobody is told a lie, and a lost connection loses nothing.

use std::time::Duration;

use super::client::{Client, MOUNT, NFS, Xdr, results};
use super::{backend, config, start, start_with};
use raptorgate_nfs::{Config, Limits};
use vfs::System;
use vfs::testing::FakeBackend;

const IO: u32 = 5;
const NXIO: u32 = 6;
const JUKEBOX: u32 = 10_008;

fn page(directory: &[u8]) -> Xdr {
    Xdr::new().opaque(directory).u64(0).u64(0).u32(4096)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_waits_does_not_hold_up_the_others_on_its_connection() {
    let backend = backend();
    backend.add_directory("C.1", "auto", &["slow"]);
    let (_server, address) = start(&backend).await;
    let mut client = Client::connect(address);
    let auto = client.mount("/C.1/auto");
    let (slow, _) = client.lookup(&auto, "slow");
    backend.hold_jobs();
    let listing = client.send(NFS, 3, 16, &page(&slow));
    for _ in 0..100 {
        assert_eq!(client.getattr(&auto).file_type, 2);
    }
    backend.release_jobs();
    let (xid, reader) = client.receive();
    assert_eq!((xid, results(reader).u32()), (listing, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_waits_too_long_is_told_to_come_again() {
    let backend = backend();
    backend.add_file("C.1", "auto", &["dir", "file"], "content");
    let (_server, address) = start_with(&backend, Config { hold: Duration::from_millis(100), ..config() }).await;
    let mut client = Client::connect(address);
    let dir = client.mount("/C.1/auto/dir");
    let (file, _) = client.lookup(&dir, "file");
    backend.hold_jobs();
    assert_eq!(client.nfs(6, &Xdr::new().opaque(&file).u64(0).u32(10)).0, JUKEBOX);
    backend.release_jobs();
    // What was begun goes on: asking again joins it.
    let mut attempts = 0;
    while client.nfs(6, &Xdr::new().opaque(&file).u64(0).u32(10)).0 == JUKEBOX {
        attempts += 1;
        assert!(attempts < 100);
    }
    assert_eq!(client.read(&file, 0, 10), (b"content".to_vec(), true));
    assert_eq!(backend.fetches(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn offline_is_an_error_at_once_and_never_empty_or_absent() {
    let backend = FakeBackend::new();
    backend.add_endpoint("C.1", System::Linux, false);
    backend.add_file("C.1", "auto", &["known", "file"], "content");
    backend.add_directory("C.1", "auto", &["unknown"]);
    // The server holds two listings; the rest could only come from the endpoint.
    backend.hold_listing("C.1", "auto", &[], Duration::from_secs(60));
    backend.hold_listing("C.1", "auto", &["known"], Duration::from_secs(60));
    let (_server, address) = start(&backend).await;
    let mut client = Client::connect(address);
    let auto = client.mount("/C.1/auto");
    let (known, _) = client.lookup(&auto, "known");
    let (unknown, _) = client.lookup(&auto, "unknown");
    let (file, attributes) = client.lookup(&known, "file");
    assert_eq!(client.nfs(16, &page(&unknown)).0, IO);
    assert_eq!(client.nfs(17, &page(&unknown).u32(4096)).0, IO);
    assert_eq!(client.nfs(3, &Xdr::new().opaque(&unknown).opaque(b"name")).0, IO);
    assert_eq!(client.nfs(6, &Xdr::new().opaque(&file).u64(0).u32(10)).0, NXIO);
    // What is cached stays.
    assert_eq!(Some(client.getattr(&file)), attributes);
    assert_eq!(client.list(&known, 0, true, 4096).len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retransmission_after_a_reconnect_is_answered() {
    let backend = backend();
    backend.add_file("C.1", "auto", &["dir", "file"], "content");
    let (_server, address) = start(&backend).await;
    let mut client = Client::connect(address);
    let dir = client.mount("/C.1/auto/dir");
    let (file, _) = client.lookup(&dir, "file");
    backend.hold_jobs();
    let (xid, message) = client.message(NFS, 3, 6, &Xdr::new().opaque(&file).u64(0).u32(100));
    client.send_record(&message);
    client.send_record(&message);
    drop(client);
    let mut again = Client::connect(address);
    again.send_record(&message);
    backend.release_jobs();
    let (answered, reader) = again.receive();
    assert_eq!(answered, xid);
    let mut reader = results(reader);
    assert_eq!(reader.u32(), 0);
    assert_eq!(backend.fetches(), 1, "asking thrice collects once");
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_cap_calls_are_told_to_come_again_at_once() {
    let backend = backend();
    backend.add_directory("C.1", "auto", &["slow"]);
    let limits = Limits { held_per_connection: 3, ..Limits::default() };
    let (server, address) = start_with(&backend, Config { limits, ..config() }).await;
    let mut client = Client::connect(address);
    let auto = client.mount("/C.1/auto");
    let (slow, _) = client.lookup(&auto, "slow");
    backend.hold_jobs();
    let held: Vec<u32> = (0..3).map(|_| client.send(NFS, 3, 16, &page(&slow))).collect();
    assert_eq!(client.nfs(16, &page(&slow)).0, JUKEBOX);
    assert_eq!(server.connections()[0].held, 3);
    backend.release_jobs();
    let mut answered: Vec<u32> = (0..3).map(|_| client.receive().0).collect();
    answered.sort_unstable();
    assert_eq!(answered, held);
    assert_eq!(client.nfs(16, &page(&slow)).0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn mounting_waits_for_the_listings_on_the_way() {
    let backend = backend();
    backend.add_directory("C.1", "auto", &["a", "b"]);
    let (_server, address) = start(&backend).await;
    backend.hold_jobs();
    let mut client = Client::connect(address);
    let mounting = client.send(MOUNT, 3, 1, &Xdr::new().opaque(b"/C.1/auto/a/b"));
    client.call(MOUNT, 3, 0, &Xdr::new());
    backend.release_jobs();
    let (xid, reader) = client.receive();
    assert_eq!((xid, results(reader).u32()), (mounting, 0));
}

/// mount.nfs asks over UDP and repeats itself after a second, two seconds, four …
#[tokio::test(flavor = "multi_thread")]
async fn a_datagram_that_is_repeated_while_it_waits_is_worked_on_once() {
    let backend = backend();
    backend.add_directory("C.1", "auto", &["a"]);
    let (server, address) = start(&backend).await;
    backend.hold_jobs();
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mount = Xdr::new().u32(77).u32(0).u32(2).u32(MOUNT).u32(3).u32(1).u64(0).u64(0).opaque(b"/C.1/auto/a");
    let mut buffer = [0; 512];
    for _ in 0..3 {
        socket.send_to(&mount.0, address).unwrap();
    }
    // NULL from elsewhere, answered: the three are in the server's hands.
    super::client::datagram(address, MOUNT, 3, 0, &Xdr::new());
    backend.release_jobs();
    let (length, _) = socket.recv_from(&mut buffer).unwrap();
    let mut reader = super::client::Reader::new(buffer[..length].to_vec());
    assert_eq!(reader.u32(), 77);
    assert_eq!(results(reader).u32(), 0);
    let metrics = server.metrics();
    let mnt = metrics.procedures.iter().find(|one| (one.program, one.procedure) == ("mount", "MNT")).unwrap();
    assert_eq!(mnt.calls, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_answers_what_is_at_hand_and_then_closes() {
    let backend = backend();
    backend.add_directory("C.1", "auto", &["slow"]);
    let (server, address) = start(&backend).await;
    let mut client = Client::connect(address);
    let auto = client.mount("/C.1/auto");
    let (slow, _) = client.lookup(&auto, "slow");
    backend.hold_jobs();
    let listing = client.send(NFS, 3, 16, &page(&slow));
    client.getattr(&auto);
    let stopping = tokio::spawn(server.stop());
    backend.release_jobs();
    let (xid, reader) = client.receive();
    assert_eq!((xid, results(reader).u32()), (listing, 0));
    assert!(client.is_closed());
    stopping.await.unwrap();
    assert!(std::net::TcpStream::connect(address).is_err());
}
