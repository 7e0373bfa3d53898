//! Host, credentials, foreign sites: loopback is not a permission (D3).

use raptorgate_webdav::Credentials;

use crate::support::*;

// analyst:secret, WORKGROUP\analyst:secret, analyst:wrong
const GOOD: &str = "Basic YW5hbHlzdDpzZWNyZXQ=";
const DOMAIN: &str = "Basic V09SS0dST1VQXGFuYWx5c3Q6c2VjcmV0";
const WRONG: &str = "Basic YW5hbHlzdDp3cm9uZw==";

async fn locked() -> Gateway {
    gateway_with(|config| config.credentials = Some(Credentials { user: "analyst".into(), password: "secret".into() }))
        .await
}

#[tokio::test]
async fn every_method_and_path_needs_the_credentials_and_a_refusal_keeps_the_connection() {
    let gateway = locked().await;
    let mut client = Client::connect(gateway.address).await;
    for (method, path) in [
        ("OPTIONS", "/"),
        ("PROPFIND", "/"),
        ("GET", "/-/style.css"),
        ("GET", "/-/api/v1/status"),
        ("POST", "/"),
        ("PUT", "/x"),
    ] {
        let response = client.send(method, path, &[], b"").await;
        assert_eq!(response.status, 401, "{method} {path}");
        assert!(response.header("www-authenticate").unwrap().starts_with("Basic realm="));
        let wrong = client.send(method, path, &[("Authorization", WRONG)], b"").await;
        assert_eq!(wrong.status, 401, "{method} {path}");
    }
    for good in [GOOD, DOMAIN] {
        let response = client.send("PROPFIND", "/", &[("Depth", "0"), ("Authorization", good)], b"").await;
        assert_eq!(response.status, 207);
    }
}

#[tokio::test]
async fn guessing_is_slowed_down_without_locking_out_a_mount() {
    let gateway = locked().await;
    let mut mount = Client::connect(gateway.address).await;
    assert_eq!(mount.send("OPTIONS", "/", &[("Authorization", GOOD)], b"").await.status, 200);
    let mut guesser = Client::connect(gateway.address).await;
    let mut last = 0;
    for _ in 0..60 {
        last = guesser.send("OPTIONS", "/", &[("Authorization", WRONG)], b"").await.status;
    }
    assert_eq!(last, 429);
    assert_eq!(guesser.send("OPTIONS", "/", &[("Authorization", GOOD)], b"").await.status, 429, "not even looked at");
    assert_eq!(mount.send("OPTIONS", "/", &[("Authorization", GOOD)], b"").await.status, 200);
}

#[tokio::test]
async fn a_foreign_host_name_gets_nothing() {
    let gateway = gateway_with(|config| config.hosts = vec!["gateway.example".into()]).await;
    for (host, status) in [
        ("evil.example", 421),
        ("localhost.evil.example:80", 421),
        ("", 421),
        ("localhost", 200),
        ("127.0.0.1:9", 200),
        ("[::1]:80", 200),
        ("gateway.example", 200),
    ] {
        let response = ask(&gateway, "OPTIONS", "/", &[("Host", host)], b"").await;
        assert_eq!(response.status, status, "{host}");
    }
    let mut client = Client::connect(gateway.address).await;
    client.write_raw(b"OPTIONS / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n").await;
    assert!(client.read(false).await.status >= 400, "two hosts");
    assert_eq!(gateway.backend.listings(), 0);
}

#[tokio::test]
async fn another_sites_page_and_a_prefetch_start_nothing() {
    let gateway = gateway().await;
    let navigation = [("User-Agent", BROWSER), ("Accept", "text/html"), ("Sec-Fetch-Mode", "navigate")];
    for foreign in [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Site", "same-site"), ("Sec-Purpose", "prefetch")] {
        for (method, path) in
            [("GET", linux("etc/hosts")), ("GET", linux("")), ("PROPFIND", linux("")), ("POST", linux("?refresh"))]
        {
            let mut headers = navigation.to_vec();
            headers.push(foreign);
            let response = ask(&gateway, method, &path, &headers, b"").await;
            assert_eq!(response.status, 403, "{method} {path} {foreign:?}");
        }
    }
    let api =
        ask(&gateway, "POST", "/-/api/v1/collect", &[("Origin", "http://evil.example")], br#"{"path":"/x"}"#).await;
    assert_eq!(api.status, 403);
    assert_eq!((gateway.backend.listings(), gateway.backend.fetches()), (0, 0));
}

#[tokio::test]
async fn paths_that_try_to_get_around_something_are_refused() {
    let gateway = gateway().await;
    for (path, status) in [
        ("/a/../b", 403),
        ("/%2e%2e/etc", 403),
        ("/a%2Fb", 400),
        ("/a%00", 400),
        ("/%ff", 400),
        ("/%", 400),
        ("//evil.example/x", 404),
    ] {
        let response = ask(&gateway, "GET", path, &[], b"").await;
        assert_eq!(response.status, status, "{path}");
    }
    assert_eq!(gateway.backend.listings(), 0);
}
