//! GET and HEAD: right bytes, right lengths, ranges, conditions, and failures that cannot be taken for content.

use crate::support::*;

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index * 31 % 251) as u8).collect()
}

#[tokio::test]
async fn content_is_collected_once_and_served_exactly() {
    let gateway = gateway().await;
    let content = pattern(5_000_003);
    gateway.backend.add_file(LINUX, "auto", &["big.bin"], content.clone());
    let head = ask(&gateway, "HEAD", &linux("big.bin"), &[], b"").await;
    assert_eq!((head.status, head.header("content-length")), (200, Some("5000003")));
    assert_eq!(gateway.backend.fetches(), 0, "HEAD never collects");
    for _ in 0..2 {
        let response = ask(&gateway, "GET", &linux("big.bin"), &[], b"").await;
        assert_eq!((response.status, response.header("content-length")), (200, Some("5000003")));
        assert!(response.body == content);
    }
    assert_eq!(gateway.backend.fetches(), 1);
    let empty = ask(&gateway, "GET", &linux("etc/empty"), &[], b"").await;
    assert_eq!((empty.status, empty.header("content-length"), empty.body.len()), (200, Some("0"), 0));
}

#[tokio::test]
async fn evidence_can_never_run_in_a_browser() {
    let gateway = gateway().await;
    gateway.backend.add_file(LINUX, "auto", &["x.html"], "<script>alert(1)</script>");
    let response = ask(&gateway, "GET", &linux("x.html"), &[], b"").await;
    assert_eq!(response.header("content-disposition"), Some("attachment; filename*=UTF-8''x.html"));
    assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(response.header("content-security-policy"), Some("sandbox; default-src 'none'"));
    assert_eq!(response.header("content-type"), Some("application/octet-stream"));
    let partial = ask(&gateway, "GET", &linux("x.html"), &[("Range", "bytes=0-1,5-6")], b"").await;
    assert_eq!(partial.header("content-security-policy"), Some("sandbox; default-src 'none'"));
}

#[tokio::test]
async fn every_single_range_gives_its_bytes() {
    let gateway = gateway().await;
    let content = pattern(3_000_000);
    gateway.backend.add_file(LINUX, "auto", &["f"], content.clone());
    for (range, start, end) in [
        ("bytes=0-0", 0, 1),
        ("bytes=5-", 5, 3_000_000),
        ("bytes=-7", 2_999_993, 3_000_000),
        ("bytes=1048570-2097160", 1_048_570, 2_097_161),
        ("bytes=2999999-9999999", 2_999_999, 3_000_000),
        ("bytes=-99999999", 0, 3_000_000),
    ] {
        let response = ask(&gateway, "GET", &linux("f"), &[("Range", range)], b"").await;
        assert_eq!(response.status, 206, "{range}");
        let expected = format!("bytes {start}-{}/3000000", end - 1);
        assert_eq!(response.header("content-range"), Some(expected.as_str()), "{range}");
        assert!(response.body == content[start..end], "{range}");
    }
    for range in ["bytes=3000000-", "bytes=-0", "bytes=9999999-10000000"] {
        let response = ask(&gateway, "GET", &linux("f"), &[("Range", range)], b"").await;
        assert_eq!((response.status, response.header("content-range")), (416, Some("bytes */3000000")), "{range}");
    }
    for range in ["bytes=5-4", "lines=1-2", "bytes=x"] {
        let response = ask(&gateway, "GET", &linux("f"), &[("Range", range)], b"").await;
        assert_eq!((response.status, response.body.len()), (200, 3_000_000), "{range}");
    }
}

#[tokio::test]
async fn several_ranges_are_served_but_never_more_than_the_file() {
    let gateway = gateway().await;
    let content = pattern(10_000);
    gateway.backend.add_file(LINUX, "auto", &["f.txt"], content.clone());
    let ask_for = async |range: &str| ask(&gateway, "GET", &linux("f.txt"), &[("Range", range)], b"").await;
    let response = ask_for("bytes=-5,0-1,4000-4004").await;
    assert_eq!((response.status, response.complete), (206, true));
    let media = response.header("content-type").unwrap().to_owned();
    let boundary = media.strip_prefix("multipart/byteranges; boundary=").unwrap();
    let mut expected = Vec::new();
    for (start, end) in [(0, 2), (4_000, 4_005), (9_995, 10_000)] {
        let head = format!(
            "\r\n--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes {start}-{}/10000\r\n\r\n",
            end - 1
        );
        expected.extend_from_slice(head.as_bytes());
        expected.extend_from_slice(&content[start..end]);
    }
    expected.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    assert!(response.body == expected);
    let one = ask_for("bytes=100-199,0-9,150-300,20-80").await;
    assert_eq!((one.status, one.header("content-range")), (206, Some("bytes 0-300/10000")), "close together is one");
    assert!(one.body == content[..301]);
    assert_eq!(ask_for("bytes=10000-10001,20000-").await.status, 416);
    let sixteen = ask_for(&format!("bytes={}0-", "0-,".repeat(15))).await;
    assert_eq!((sixteen.status, sixteen.body.len()), (206, 10_000));
    let abuse = ask_for(&format!("bytes={}0-", "0-,".repeat(999))).await;
    assert_eq!((abuse.status, abuse.body.len()), (200, 10_000));
    let conditional = [("Range", "bytes=0-1,4000-4004"), ("If-Range", "\"another\"")];
    let whole = ask(&gateway, "GET", &linux("f.txt"), &conditional, b"").await;
    assert_eq!((whole.status, whole.body.len()), (200, 10_000));
}

#[tokio::test]
async fn conditions_are_honoured() {
    let gateway = gateway().await;
    let path = linux("etc/hosts");
    let first = ask(&gateway, "GET", &path, &[], b"").await;
    let tag = first.header("etag").unwrap().to_owned();
    let modified = first.header("last-modified").unwrap().to_owned();
    let other = "\"another\"";
    let earlier = "Sun, 06 Nov 1994 08:49:37 GMT";
    for (headers, status) in [
        (vec![("If-None-Match", tag.as_str())], 304),
        (vec![("If-None-Match", "*")], 304),
        (vec![("If-None-Match", other)], 200),
        (vec![("If-Match", tag.as_str())], 200),
        (vec![("If-Match", other)], 412),
        (vec![("If-Modified-Since", modified.as_str())], 304),
        (vec![("If-Modified-Since", earlier)], 200),
        (vec![("If-Unmodified-Since", earlier)], 412),
        (vec![("If-Range", tag.as_str()), ("Range", "bytes=0-8")], 206),
        (vec![("If-Range", other), ("Range", "bytes=0-8")], 200),
        (vec![("If-Range", modified.as_str()), ("Range", "bytes=0-8")], 206),
    ] {
        for method in ["GET", "HEAD"] {
            let response = ask(&gateway, method, &path, &headers, b"").await;
            assert_eq!(response.status, status, "{method} {headers:?}");
            assert_eq!(response.header("etag"), Some(tag.as_str()), "{method} {headers:?}");
            match (method, status) {
                ("GET", 200) => assert_eq!(response.text(), "127.0.0.1 localhost\n"),
                ("GET", 206) => assert_eq!(response.text(), "127.0.0.1"),
                _ => assert!(response.body.is_empty()),
            }
        }
    }
    let to_the_last_number = format!("bytes=10-{}", u64::MAX);
    for headers in [vec![], vec![("If-Match", tag.as_str())]] {
        let headers: Vec<_> = headers.into_iter().chain([("Range", to_the_last_number.as_str())]).collect();
        let response = ask(&gateway, "GET", &path, &headers, b"").await;
        assert!(response.complete, "{headers:?}");
        assert_eq!((response.status, response.text()), (206, "localhost\n"), "{headers:?}");
    }
}

#[tokio::test]
async fn content_that_ends_early_cuts_the_connection() {
    let gateway = gateway().await;
    let content = pattern(6_000_000);
    gateway.backend.add_file(LINUX, "auto", &["f"], content.clone());
    gateway.backend.set_short_reads(true);
    for headers in [vec![], vec![("Range", "bytes=1-5999999")], vec![("Range", "bytes=0-2999999,3000000-5999999")]] {
        let mut client = Client::connect(gateway.address).await;
        client.write("GET", &linux("f"), &headers, b"").await;
        if let Some(head) = client.read_head().await
            && head.status < 300
        {
            assert!(client.is_closed().await, "{headers:?}");
        }
    }
    let response = ask(&gateway, "GET", &linux("f"), &[], b"").await;
    assert!(response.status >= 500 || !response.complete, "{}", response.status);
    if response.status == 200 {
        assert!(content.starts_with(&response.body), "no byte that was sent is wrong");
    }
}

#[tokio::test]
async fn what_cannot_be_had_is_told_in_words() {
    let gateway = gateway().await;
    gateway.backend.hold_listing(OFFLINE, "auto", &["never"], std::time::Duration::from_secs(60));
    let offline = ask(&gateway, "GET", &format!("/{OFFLINE}/auto/never/seen"), &[], b"").await;
    assert_eq!((offline.status, offline.header("retry-after")), (503, None), "{}", offline.text());
    assert!(!offline.text().trim().is_empty());
    assert_eq!(offline.header("content-type"), Some("text/plain; charset=utf-8"));
    let json = ask(&gateway, "GET", &linux("nothing"), &[("Accept", "application/json")], b"").await;
    let value: serde_json::Value = serde_json::from_slice(&json.body).unwrap();
    assert_eq!((json.status, value["status"].as_u64()), (404, Some(404)));
}

#[tokio::test]
async fn everything_is_read_only_and_keeps_the_connection() {
    let gateway = gateway().await;
    let mut client = Client::connect(gateway.address).await;
    for method in ["PUT", "DELETE", "MKCOL", "MOVE", "COPY", "PATCH", "LOCK", "UNLOCK", "PROPPATCH"] {
        let response = client.send(method, &linux("etc/hosts"), &[], b"").await;
        assert_eq!(response.status, 403, "{method}");
    }
    let odd = client.send("BREW", "/", &[], b"").await;
    assert_eq!((odd.status, odd.header("allow")), (405, Some("OPTIONS, GET, HEAD, POST, PROPFIND")));
    let options = client.send("OPTIONS", "/anything/at/all", &[], b"").await;
    assert_eq!((options.status, options.header("dav"), options.header("ms-author-via")), (200, Some("1"), Some("DAV")));
}
