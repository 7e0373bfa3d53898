//! Peers that are malicious or broken: framing that two servers would read differently, bodies and headers without end, paths that are none.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::*;

/// Everything that comes back for these bytes until the server closes, or nothing has come for a while.
async fn spoken(gateway: &Gateway, bytes: &[u8]) -> (String, bool) {
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    let _ = stream.write_all(bytes).await;
    let mut all = Vec::new();
    let mut piece = vec![0; 64 * 1024];
    loop {
        match tokio::time::timeout(Duration::from_millis(500), stream.read(&mut piece)).await {
            Ok(Ok(0) | Err(_)) => return (String::from_utf8_lossy(&all).into_owned(), true),
            Ok(Ok(count)) => all.extend_from_slice(&piece[..count]),
            Err(_) => return (String::from_utf8_lossy(&all).into_owned(), false),
        }
    }
}

/// Status of each answer; a multistatus has such lines inside, which do not begin one.
fn statuses(answers: &str) -> Vec<&str> {
    let starts = answers.match_indices("HTTP/1.1 ").filter(|(at, _)| *at == 0 || answers[..*at].ends_with('\n'));
    starts.map(|(at, mark)| &answers[at + mark.len()..][..3]).collect()
}

#[tokio::test]
async fn framing_that_two_servers_would_read_differently_never_starts_a_second_request() {
    let gateway = gateway().await;
    let hidden = "GET /-/api/v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let host = "Host: localhost\r\n";
    for start in [
        // Content-Length covers what Transfer-Encoding leaves over, in both orders and spellings.
        format!(
            "PROPFIND / HTTP/1.1\r\n{host}Depth: 0\r\nContent-Length: {}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            hidden.len() + 5
        ),
        format!(
            "PROPFIND / HTTP/1.1\r\n{host}Depth: 0\r\nTransfer-Encoding: chunked\r\nContent-Length: {}\r\n\r\n0\r\n\r\n",
            hidden.len() + 5
        ),
        format!(
            "PROPFIND / HTTP/1.1\r\n{host}Depth: 0\r\nTransfer-Encoding: Chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n"
        ),
        // Transfer-Encoding that is none.
        format!("PROPFIND / HTTP/1.1\r\n{host}Depth: 0\r\nTransfer-Encoding: xchunked\r\nContent-Length: 0\r\n\r\n"),
        format!("PROPFIND / HTTP/1.1\r\n{host}Depth: 0\r\nTransfer-Encoding: chunked, identity\r\n\r\n"),
        format!("PROPFIND / HTTP/1.1\r\n{host}Depth: 0\r\nTransfer-Encoding : chunked\r\nContent-Length: 0\r\n\r\n"),
        format!(
            "PROPFIND / HTTP/1.0\r\n{host}Depth: 0\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n0\r\n\r\n"
        ),
        // Two lengths, and one that is none.
        format!(
            "PROPFIND / HTTP/1.1\r\n{host}Depth: 0\r\nContent-Length: 0\r\nContent-Length: {}\r\n\r\n",
            hidden.len()
        ),
        format!("PROPFIND / HTTP/1.1\r\n{host}Depth: 0\r\nContent-Length: 0, {}\r\n\r\n", hidden.len()),
        format!("PROPFIND / HTTP/1.1\r\n{host}Depth: 0\r\nContent-Length: +0\r\n\r\n"),
        format!("PROPFIND / HTTP/1.1\r\n{host}Depth: 0\r\nContent-Length: 0x0\r\n\r\n"),
        format!("PROPFIND / HTTP/1.1\r\n{host}Depth: 0\r\nContent-Length: -1\r\n\r\n"),
        // A header that goes on in the next line.
        format!("PROPFIND / HTTP/1.1\r\n{host}Depth: 0\r\nX: y\r\n Content-Length: 50\r\n\r\n"),
    ] {
        let (answers, closed) = spoken(&gateway, format!("{start}{hidden}").as_bytes()).await;
        assert!(statuses(&answers).len() <= 1, "{start:?}: {:?}", statuses(&answers));
        assert!(closed, "{start:?} leaves the connection open");
    }
    assert_eq!(ask(&gateway, "OPTIONS", "/", &[], b"").await.status, 200);
}

#[tokio::test]
async fn requests_in_one_piece_are_answered_in_order() {
    let gateway = gateway().await;
    let request = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let mut client = Client::connect(gateway.address).await;
    let all: String = (0..50)
        .map(|number| request(&if number % 2 == 0 { linux("etc/hosts") } else { linux("etc/nothing") }))
        .collect();
    client.write_raw(all.as_bytes()).await;
    for number in 0..50 {
        let response = client.read(false).await;
        assert_eq!(response.status, if number % 2 == 0 { 200 } else { 404 }, "request {number}");
        assert!(response.complete);
    }
}

#[tokio::test]
async fn a_peer_that_closes_its_half_gets_all_or_nothing_and_frees_what_it_held() {
    let gateway = gateway().await;
    ask(&gateway, "PROPFIND", &linux("large/many-10000"), &[("Depth", "1")], b"").await;
    for path in [linux("etc/hosts"), linux("large/many-10000/")] {
        let mut stream = TcpStream::connect(gateway.address).await.unwrap();
        let request = format!("PROPFIND {path} HTTP/1.1\r\nHost: localhost\r\nDepth: 1\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
        read.expect("the connection ends").ok();
        let text = String::from_utf8_lossy(&answer);
        let looks_whole = text.ends_with("0\r\n\r\n") && text.contains("transfer-encoding: chunked");
        assert!(!looks_whole || text.contains("</D:multistatus>"), "a part that looks like the whole");
    }
    // Held, and gone.
    assert_eq!(ask(&gateway, "PROPFIND", &linux("etc"), &[("Depth", "1")], b"").await.status, 207);
    gateway.backend.hold_jobs();
    for _ in 0..50 {
        let mut client = Client::connect(gateway.address).await;
        client.write("PROPFIND", &linux("empty"), &[("Depth", "1")], b"").await;
    }
    assert_eq!(ask(&gateway, "PROPFIND", &linux("etc"), &[("Depth", "1")], b"").await.status, 207);
    gateway.backend.release_jobs();
}

#[tokio::test]
async fn bodies_without_end_or_sense_are_refused_before_they_are_read() {
    let gateway = gateway().await;
    let start = "PROPFIND / HTTP/1.1\r\nHost: localhost\r\nDepth: 0\r\n";
    let chunks = "10\r\n<!-- --><!-- -->\r\n".repeat(3_000);
    let extension = "e".repeat(100_000);
    let trailers: String = (0..5_000).map(|number| format!("T-{number}: x\r\n")).collect();
    for (body, allowed) in [
        (format!("{start}Content-Length: 1000000000000\r\n\r\n"), vec!["413"]),
        (format!("{start}Content-Length: 99999999999999999999999\r\n\r\n"), vec!["400"]),
        (format!("{start}Transfer-Encoding: chunked\r\n\r\n{chunks}"), vec!["413"]),
        (format!("{start}Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\nx"), vec!["400"]),
        (
            format!("{start}Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\n{}", "x".repeat(70_000)),
            vec!["400", "413"],
        ),
        (format!("{start}Transfer-Encoding: chunked\r\n\r\n-1\r\nx"), vec!["400"]),
        (format!("{start}Transfer-Encoding: chunked\r\n\r\n1;{extension}\r\nx\r\n0\r\n\r\n"), vec!["400"]),
        (format!("{start}Transfer-Encoding: chunked\r\n\r\n0\r\n{trailers}\r\n"), vec!["400", "431"]),
        (
            format!(
                "PUT /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000000\r\n\r\n{}",
                "x".repeat(100_000)
            ),
            vec!["403"],
        ),
    ] {
        let (answers, closed) = spoken(&gateway, body.as_bytes()).await;
        let begin = &body[..body.len().min(140)];
        // What is still on its way when the server closes may take the answer with it.
        assert!(answers.is_empty() || allowed.contains(&statuses(&answers)[0]), "{begin:?}: {answers}");
        assert!(closed, "{begin:?} leaves the connection open");
    }
    assert_eq!(ask(&gateway, "OPTIONS", "/", &[], b"").await.status, 200);
}

#[tokio::test]
async fn a_thousand_ranges_give_the_file_once() {
    let gateway = gateway().await;
    for count in [17, 1_000] {
        let ranges = format!("bytes={}", vec!["0-"; count].join(","));
        for condition in [("X", "y"), ("If-Match", "*")] {
            let response =
                ask(&gateway, "GET", &linux("etc/hosts"), &[("Range", ranges.as_str()), condition], b"").await;
            assert_eq!((response.status, response.text()), (200, "127.0.0.1 localhost\n"), "{count} {condition:?}");
        }
    }
}

#[tokio::test]
async fn paths_that_are_none_reach_nothing() {
    let gateway = gateway().await;
    let deep = "/a".repeat(1_100);
    let long = format!("/{}", "a".repeat(60_000));
    for path in [
        "/%",
        "/%4",
        "/%zz",
        "/%00",
        "/a%00b",
        "/a%2fb",
        "/a%2Fb",
        "/..",
        "/%2e%2e/%2E%2E",
        "/C.1111111111111111/auto/../..",
        "/%c0%ae%c0%ae/",
        "/%ff",
        "/%ed%a0%80",
        "//evil.example/..",
        deep.as_str(),
        long.as_str(),
    ] {
        for method in ["GET", "PROPFIND", "HEAD", "OPTIONS", "LOCK", "POST", "MOVE"] {
            let response = ask(&gateway, method, path, &[("Depth", "0")], b"").await;
            let refused = matches!(response.status, 400 | 403 | 404 | 405 | 414);
            assert!(
                refused || method == "OPTIONS" && response.status == 200,
                "{method} {path:.40}: {}",
                response.status
            );
        }
    }
    assert_eq!(gateway.backend.listings(), 0, "no endpoint was asked");
    for raw in [
        &b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n"[..],
        b"GET /a b HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET \0 HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
    ] {
        let (answers, _) = spoken(&gateway, raw).await;
        assert!(statuses(&answers).iter().all(|status| status.starts_with('4')), "{answers}");
    }
    // The absolute form names its host itself.
    let (answers, _) = spoken(&gateway, b"GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(statuses(&answers), ["421"]);
}

#[tokio::test]
async fn elements_with_thousands_of_attributes_are_refused() {
    let gateway = gateway().await;
    let attributes: String = (0..1_500).map(|number| format!(" a{number}=''")).collect();
    let namespaces: String = (0..600).map(|number| format!(" xmlns:n{number}='u{number}'")).collect();
    for many in [attributes, namespaces] {
        let body = format!("<propfind xmlns='DAV:'><prop><x{many}/></prop></propfind>");
        assert!(body.len() < 16 * 1024);
        let status = ask(&gateway, "PROPFIND", "/", &[("Depth", "0")], body.as_bytes()).await.status;
        assert!(matches!(status, 400 | 413), "{status}: {body:.80}");
    }
}

#[tokio::test]
async fn conditions_that_do_not_end_are_refused() {
    let gateway = gateway().await;
    let windows = ("User-Agent", MINI_REDIR);
    for condition in ["\"", "W/\"", "\"a\", \"", ", \" ,"] {
        for name in ["If-None-Match", "If-Match", "If-Range"] {
            let headers = [(name, condition), ("Range", "bytes=0-1")];
            assert_eq!(
                ask(&gateway, "GET", &linux("etc/hosts"), &headers, b"").await.status,
                400,
                "{name}: {condition}"
            );
        }
    }
    for condition in ["<", "(<", "([", "([\"a)", "(Not", "([\"])", "x", "([W/\"])", "<a b>", "(<\">)"] {
        let response = ask(&gateway, "LOCK", &linux("etc/hosts"), &[("If", condition), windows], b"").await;
        assert!(matches!(response.status, 400 | 412 | 423), "{condition}: {}", response.status);
    }
}

#[tokio::test]
async fn no_header_unlocks_what_is_refused() {
    let gateway = gateway().await;
    for header in [("X-Litmus", "props: 3"), ("X-Litmus-Second", "basic: 1"), ("X-HTTP-Method-Override", "DELETE")] {
        let infinity = ask(&gateway, "PROPFIND", "/", &[("Depth", "infinity"), header], b"").await;
        assert_eq!(infinity.status, 403, "{header:?}");
        for method in ["PUT", "MKCOL", "DELETE", "MOVE", "COPY"] {
            assert_eq!(
                ask(&gateway, method, &linux("etc/hosts"), &[header], b"").await.status,
                403,
                "{method} {header:?}"
            );
        }
    }
    assert_eq!(gateway.backend.listings(), 0);
}

#[tokio::test]
async fn at_the_bound_who_dribbles_makes_room_for_who_asks() {
    let gateway = gateway_with(|config| config.max_connections = 50).await;
    ask(&gateway, "PROPFIND", &linux("etc"), &[("Depth", "1")], b"").await;
    gateway.backend.hold_jobs();
    let mut held = Client::connect(gateway.address).await;
    held.write("PROPFIND", &linux("empty"), &[("Depth", "1")], b"").await;
    // Its request is seen before the others come.
    while gateway.backend.listings() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut slow = Vec::new();
    for start in ["GET / HTTP/1.1\r\n", "PROPFIND / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n<"] {
        for _ in 0..300 {
            let mut client = Client::connect(gateway.address).await;
            client.write_raw(start.as_bytes()).await;
            slow.push(client);
        }
        assert_eq!(ask(&gateway, "OPTIONS", "/", &[], b"").await.status, 200, "{start:?}");
    }
    assert_eq!(ask(&gateway, "OPTIONS", "/", &[], b"").await.status, 200);
    gateway.backend.release_jobs();
    assert_eq!(held.read(false).await.status, 207, "who waits for an answer keeps his connection");
}
