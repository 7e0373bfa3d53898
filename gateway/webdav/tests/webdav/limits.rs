//! Peers that are slow, greedy, or many; and the end.

use std::time::Duration;

use crate::support::*;

#[tokio::test]
async fn oversized_headers_and_bodies_are_refused() {
    let gateway = gateway().await;
    let mut client = Client::connect(gateway.address).await;
    let huge = "x".repeat(200_000);
    let mut request = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {huge}");
    request.truncate(150_000);
    client.write_raw(request.as_bytes()).await;
    assert_eq!(client.read_head().await.unwrap().status, 431);
    let many: Vec<(String, String)> = (0..100).map(|number| (format!("X-{number}"), "y".to_owned())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(ask(&gateway, "GET", "/", &many, b"").await.status, 431);
    let body = vec![b' '; 20_000];
    assert_eq!(ask(&gateway, "PROPFIND", "/", &[], &body).await.status, 413);
    assert_eq!(ask(&gateway, "OPTIONS", "/", &[], b"").await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_finishes_its_header_is_cut_off() {
    let gateway = gateway().await;
    let mut slow = Client::connect(gateway.address).await;
    slow.write_raw(b"GET / HTTP/1.1\r\nHost: loc").await;
    let before = tokio::time::Instant::now();
    let _answer = slow.read_head().await;
    assert!(before.elapsed() <= Duration::from_secs(31), "{:?}", before.elapsed());
}

#[tokio::test]
async fn slow_connections_do_not_keep_others_out() {
    let gateway = gateway().await;
    let mut slow = Vec::new();
    for _ in 0..200 {
        let mut client = Client::connect(gateway.address).await;
        client.write_raw(b"GET / HTTP/1.1\r\n").await;
        slow.push(client);
    }
    assert_eq!(ask(&gateway, "OPTIONS", "/", &[], b"").await.status, 200);
}

#[tokio::test]
async fn held_requests_do_not_slow_others_down() {
    let gateway = gateway().await;
    ask(&gateway, "PROPFIND", &linux("etc"), &[("Depth", "1")], b"").await;
    gateway.backend.hold_jobs();
    let mut held = Vec::new();
    for _ in 0..200 {
        let mut client = Client::connect(gateway.address).await;
        client.write("PROPFIND", &linux("empty"), &[("Depth", "1")], b"").await;
        held.push(client);
    }
    let response = ask(&gateway, "PROPFIND", &linux("etc"), &[("Depth", "1")], b"").await;
    assert_eq!(response.status, 207);
    gateway.backend.release_jobs();
    for mut client in held {
        assert_eq!(client.read(false).await.status, 207);
    }
}

#[tokio::test]
async fn stopping_lets_answers_finish_and_closes_idle_connections() {
    let gateway = gateway().await;
    let mut idle = Client::connect(gateway.address).await;
    assert_eq!(idle.send("OPTIONS", "/", &[], b"").await.status, 200);
    gateway.backend.hold_jobs();
    let mut busy = Client::connect(gateway.address).await;
    busy.write("PROPFIND", &linux(""), &[("Depth", "1")], b"").await;
    while gateway.backend.listings() == 0 {
        tokio::task::yield_now().await;
    }
    let Gateway { backend, server, address, .. } = gateway;
    let stop = tokio::spawn(server.stop());
    assert!(idle.is_closed().await);
    backend.release_jobs();
    let response = busy.read(false).await;
    assert_eq!((response.status, response.complete), (207, true));
    stop.await.unwrap();
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}
