//! What a peer cannot do: take memory, time or places that belong to others.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::client::{Client, NFS, Xdr};
use super::{backend, config, start, start_with};
use raptorgate_nfs::{Config, Limits};

#[tokio::test(flavor = "multi_thread")]
async fn four_bytes_that_announce_two_gibibytes_end_the_connection() {
    let (_server, address) = start(&backend()).await;
    for marker in [0x7fff_ffffu32, 0xffff_ffff, 0x8001_0001] {
        let mut client = Client::connect(address);
        client.stream.write_all(&marker.to_be_bytes()).unwrap();
        assert!(client.is_closed(), "{marker:x}");
    }
    Client::connect(address).mount("/C.1");
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_ends_its_own_connection_only() {
    let (_server, address) = start(&backend()).await;
    let mut good = Client::connect(address);
    for garbage in [&b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..], &[0x80, 0, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8]] {
        let mut client = Client::connect(address);
        client.stream.write_all(garbage).unwrap();
        assert!(client.is_closed());
        good.mount("/C.1");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_has_to_arrive_within_its_time() {
    let limits = Limits { record_time: Duration::from_millis(300), ..Limits::default() };
    let (_server, address) = start_with(&backend(), Config { limits, ..config() }).await;
    let mut silent = Client::connect(address);
    let mut slow = Client::connect(address);
    slow.call(NFS, 3, 0, &Xdr::new());
    slow.stream.write_all(&[0x80, 0, 0, 40, 1, 2]).unwrap();
    let mut idle = Client::connect(address);
    idle.call(NFS, 3, 0, &Xdr::new());
    assert!(silent.is_closed(), "a connection that never called");
    assert!(slow.is_closed(), "a record that stopped half-way");
    idle.call(NFS, 3, 0, &Xdr::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_is_closed_after_its_time() {
    let limits = Limits { idle: Duration::from_millis(200), ..Limits::default() };
    let (server, address) = start_with(&backend(), Config { limits, ..config() }).await;
    let mut client = Client::connect(address);
    client.call(NFS, 3, 0, &Xdr::new());
    assert_eq!(server.connections().len(), 1);
    assert!(client.is_closed());
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_calls_in_one_burst_are_answered_in_order() {
    let (_server, address) = start(&backend()).await;
    let mut client = Client::connect(address);
    let handle = client.mount("/C.1");
    let mut burst = Vec::new();
    let mut sent = Vec::new();
    for _ in 0..10_000 {
        let (xid, message) = client.message(NFS, 3, 1, &Xdr::new().opaque(&handle));
        burst.extend((u32::try_from(message.len()).unwrap() | 1 << 31).to_be_bytes());
        burst.extend(message);
        sent.push(xid);
    }
    let mut writer = client.stream.try_clone().unwrap();
    let writing = std::thread::spawn(move || writer.write_all(&burst).unwrap());
    let answered: Vec<u32> = sent.iter().map(|_| client.receive().0).collect();
    assert_eq!(answered, sent);
    writing.join().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_is_not_read_from_and_then_dropped() {
    let backend = backend();
    backend.add_file("C.1", "auto", &["file"], vec![7; 1 << 20]);
    let limits = Limits { queued_bytes: 4 << 20, stall: Duration::from_millis(500), ..Limits::default() };
    let (server, address) = start_with(&backend, Config { limits, ..config() }).await;
    let mut client = Client::connect(address);
    let auto = client.mount("/C.1/auto");
    let (file, _) = client.lookup(&auto, "file");
    client.read(&file, 0, 1 << 20);
    for _ in 0..500 {
        client.send(NFS, 3, 6, &Xdr::new().opaque(&file).u64(0).u32(1 << 20));
    }
    // Everybody else is served meanwhile.
    let mut other = Client::connect(address);
    assert_eq!(other.getattr(&file).size, 1 << 20);
    let mut total = 0;
    let mut buffer = vec![0; 1 << 16];
    std::thread::sleep(Duration::from_millis(1_500)); // the stall itself is what is tested
    loop {
        match client.stream.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(count) => total += count,
        }
    }
    assert!(total < 100 << 20, "{total} bytes: the server went on queueing");
    assert!(server.connections().iter().all(|connection| connection.peer != client.stream.local_addr().unwrap()));
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_beyond_the_cap_are_closed_and_places_come_back() {
    let limits = Limits { connections_per_peer: 3, ..Limits::default() };
    let (server, address) = start_with(&backend(), Config { limits, ..config() }).await;
    let mut clients: Vec<Client> = (0..3).map(|_| Client::connect(address)).collect();
    for client in &mut clients {
        client.call(NFS, 3, 0, &Xdr::new());
    }
    let mut refused = TcpStream::connect(address).unwrap();
    assert_eq!(refused.read(&mut [0; 1]).unwrap_or(0), 0);
    assert_eq!(server.metrics().connections.refused, 1);
    drop(clients.pop());
    let mut attempts = 0;
    while server.connections().len() == 3 {
        attempts += 1;
        assert!(attempts < 1_000);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Client::connect(address).call(NFS, 3, 0, &Xdr::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_never_call_keep_nobody_out() {
    let limits = Limits { connections_per_peer: 10, ..Limits::default() };
    let (server, address) = start_with(&backend(), Config { limits, ..config() }).await;
    let mut good = Client::connect(address);
    let handle = good.mount("/C.1");
    let silent: Vec<TcpStream> = (0..200).map(|_| TcpStream::connect(address).unwrap()).collect();
    for _ in 0..5 {
        Client::connect(address).getattr(&handle);
    }
    good.getattr(&handle);
    let totals = server.metrics().connections;
    assert_eq!(totals.refused, 0);
    assert!(totals.evicted >= 190 && totals.open <= 10, "{totals:?}");
    drop(silent);
}

#[tokio::test(flavor = "multi_thread")]
async fn replies_that_nobody_takes_are_bounded_over_all_connections() {
    let backend = backend();
    backend.add_file("C.1", "auto", &["file"], vec![7; 1 << 20]);
    let limits = Limits {
        queued_bytes_total: 8 << 20,
        pressed_stall: Duration::from_millis(300),
        stall: Duration::from_secs(600),
        ..Limits::default()
    };
    let (server, address) = start_with(&backend, Config { limits, ..config() }).await;
    let mut good = Client::connect(address);
    let auto = good.mount("/C.1/auto");
    let (file, _) = good.lookup(&auto, "file");
    good.read(&file, 0, 1 << 20);
    let mut greedy: Vec<Client> = (0..30).map(|_| Client::connect(address)).collect();
    let mut most = 0;
    for client in &mut greedy {
        for _ in 0..20 {
            client.send(NFS, 3, 6, &Xdr::new().opaque(&file).u64(0).u32(1 << 20));
        }
        most = most.max(server.metrics().connections.queued);
    }
    // What one connection may have, and one reply of each other, beyond the bound; without it, it would be 8 MiB for each.
    assert!(most < (8 << 20) + (8 << 20) + (31 << 20), "{most} bytes wait");
    assert_eq!(good.read(&file, 0, 1 << 20).0.len(), 1 << 20);
    let mut attempts = 0;
    while server.metrics().connections.queued > 8 << 20 {
        attempts += 1;
        assert!(attempts < 2_000, "those that take nothing stay");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(good.read(&file, 0, 1 << 20).0.len(), 1 << 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_stays_while_a_call_of_it_is_held() {
    let backend = backend();
    backend.add_directory("C.1", "auto", &["slow"]);
    let limits = Limits { idle: Duration::from_millis(200), ..Limits::default() };
    let (_server, address) = start_with(&backend, Config { limits, ..config() }).await;
    let mut client = Client::connect(address);
    let auto = client.mount("/C.1/auto");
    let (slow, _) = client.lookup(&auto, "slow");
    backend.hold_jobs();
    let listing = client.send(NFS, 3, 16, &Xdr::new().opaque(&slow).u64(0).u64(0).u32(4096));
    std::thread::sleep(Duration::from_millis(700)); // longer than the idle time
    backend.release_jobs();
    assert_eq!(client.receive().0, listing);
    assert!(client.is_closed());
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_tell_what_was_called() {
    let (server, address) = start(&backend()).await;
    let mut client = Client::connect(address);
    let handle = client.mount("/C.1");
    client.getattr(&handle);
    client.nfs(1, &Xdr::new().opaque(b"bad"));
    let metrics = server.metrics();
    let getattr = metrics.procedures.iter().find(|one| (one.program, one.procedure) == ("nfs", "GETATTR")).unwrap();
    assert_eq!((getattr.calls, getattr.failed, getattr.held), (2, 1, 0));
    let mnt = metrics.procedures.iter().find(|one| (one.program, one.procedure) == ("mount", "MNT")).unwrap();
    assert_eq!((mnt.calls, mnt.failed, mnt.held), (1, 0, 1));
    assert_eq!(getattr.failures, [("BADHANDLE", 1)]);
    assert_eq!(getattr.latency.iter().sum::<u64>(), 2);
    assert!(getattr.sent > 0 && mnt.latency_micros > 0);
    client.raw_call(NFS, 3, 1, &Xdr::new());
    let metrics = server.metrics();
    let getattr = metrics.procedures.iter().find(|one| (one.program, one.procedure) == ("nfs", "GETATTR")).unwrap();
    assert_eq!(getattr.failures, [("BADHANDLE", 1), ("GARBAGE_ARGS", 1)]);
    let report = &server.connections()[0];
    assert_eq!((report.peer, report.calls), (client.stream.local_addr().unwrap(), 4));
    assert!(report.sent > 0 && report.received > 0 && report.held == 0);
    assert!(serde_json::to_string(&(metrics, server.connections())).unwrap().contains("GETATTR"));
}
