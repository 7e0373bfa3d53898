//! The published sequences of the Windows client, replayed (docs/webdav-clients.md §2.1).

use crate::support::*;

const AGENT: [(&str, &str); 3] = [("User-Agent", MINI_REDIR), ("translate", "f"), ("Connection", "Keep-Alive")];

async fn send(client: &mut Client, method: &str, path: &str, depth: Option<&str>, body: &[u8]) -> Response {
    let mut headers = AGENT.to_vec();
    if let Some(depth) = depth {
        headers.push(("Depth", depth));
    }
    client.send(method, path, &headers, body).await
}

#[tokio::test]
async fn mapping_a_deep_folder_asks_the_root_and_every_parent_on_one_connection() {
    let gateway = gateway().await;
    let mut client = Client::connect(gateway.address).await;
    let options = send(&mut client, "OPTIONS", "/", None, b"").await;
    assert_eq!((options.status, options.header("dav"), options.header("ms-author-via")), (200, Some("1"), Some("DAV")));
    let share = format!("/{WINDOWS}/auto/C%EF%BC%9A/Users");
    for path in [
        "/".to_owned(),
        format!("/{WINDOWS}"),
        format!("/{WINDOWS}/auto"),
        format!("/{WINDOWS}/auto/C%EF%BC%9A"),
        share.clone(),
    ] {
        for _ in 0..2 {
            let response = send(&mut client, "PROPFIND", &path, Some("0"), b"").await;
            assert_eq!(response.status, 207, "{path}: {}", response.text());
            assert!(
                response
                    .text()
                    .starts_with(r#"<?xml version="1.0" encoding="utf-8"?><D:multistatus xmlns:D="DAV:"><D:response>"#)
            );
        }
    }
    let listing = send(&mut client, "PROPFIND", &share, Some("1"), b"").await;
    assert_eq!(hrefs(listing.text()), [format!("{share}/"), format!("{share}/a%20b.txt")]);
    assert!(!listing.text().contains("\n"), "no white space between elements");
    assert!(!listing.text().contains("getetag"), "lean");
    assert!(listing.header("content-encoding").is_none());
}

#[tokio::test]
async fn probes_in_a_directory_that_was_never_listed_are_absent_without_a_flow() {
    let gateway = gateway().await;
    let mut client = Client::connect(gateway.address).await;
    for name in
        ["Desktop.ini", "AutoRun.inf", "desktop.ini", "setup.exe:Zone.Identifier:$DATA", "x.exe:SmartScreen:$DATA"]
    {
        for base in [format!("/{WINDOWS}/auto/"), format!("/{WINDOWS}/auto/C%3A/Users/")] {
            let path = format!("{base}{}", name.replace(':', "%3A"));
            let response = send(&mut client, "PROPFIND", &path, Some("0"), b"").await;
            assert_eq!(response.status, 404, "{path}: {}", response.text());
        }
    }
    assert_eq!(gateway.backend.listings(), 0);
    let other = ask(&gateway, "PROPFIND", &format!("/{WINDOWS}/auto/C%3A/desktop.ini"), &[("Depth", "0")], b"").await;
    assert_eq!(other.status, 404);
    assert!(gateway.backend.listings() > 0, "for every other client absence is proven by a listing");
}

#[tokio::test]
async fn a_probe_that_is_real_evidence_is_served() {
    let gateway = gateway().await;
    gateway.backend.add_file(WINDOWS, "auto", &["C:", "Users", "desktop.ini"], "[.ShellClassInfo]\r\n");
    let mut client = Client::connect(gateway.address).await;
    let users = format!("/{WINDOWS}/auto/C%3A/Users");
    assert_eq!(send(&mut client, "PROPFIND", &users, Some("1"), b"").await.status, 207);
    let listed = send(&mut client, "PROPFIND", &format!("{users}/Desktop.ini"), Some("0"), b"").await;
    assert_eq!(listed.status, 207, "{}", listed.text());
    let content = send(&mut client, "GET", &format!("{users}/Desktop.ini"), None, b"").await;
    assert_eq!(content.text(), "[.ShellClassInfo]\r\n");
}

#[tokio::test]
async fn locks_and_property_changes_are_faked_for_windows_only() {
    let gateway = gateway().await;
    let mut client = Client::connect(gateway.address).await;
    let path = linux("etc/hosts");
    let lock = br#"<?xml version="1.0" encoding="utf-8" ?><D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype><D:owner><D:href>HOST\user</D:href></D:owner></D:lockinfo>"#;
    let locked = send(&mut client, "LOCK", &path, Some("0"), lock).await;
    assert_eq!(locked.status, 200, "{}", locked.text());
    let token = locked.header("lock-token").unwrap().to_owned();
    assert!(locked.text().contains("lockdiscovery"));
    let patch = br#"<?xml version="1.0" encoding="utf-8" ?><D:propertyupdate xmlns:D="DAV:" xmlns:Z="urn:schemas-microsoft-com:"><D:set><D:prop><Z:Win32LastModifiedTime>Sun, 06 Nov 1994 08:49:37 GMT</Z:Win32LastModifiedTime><Z:Win32FileAttributes>00000020</Z:Win32FileAttributes></D:prop></D:set><D:remove><D:prop><D:displayname/></D:prop></D:remove></D:propertyupdate>"#;
    let patched = send(&mut client, "PROPPATCH", &path, None, patch).await;
    assert_eq!(patched.status, 207);
    assert!(
        patched
            .text()
            .contains("Win32FileAttributes xmlns:N=\"urn:schemas-microsoft-com:\"/></D:prop><D:status>HTTP/1.1 200 OK")
    );
    assert!(patched.text().contains("<D:displayname/></D:prop><D:status>HTTP/1.1 403 Forbidden"));
    let mut headers = AGENT.to_vec();
    headers.push(("Lock-Token", &token));
    assert_eq!(client.send("UNLOCK", &path, &headers, b"").await.status, 204);
    for method in ["PUT", "DELETE", "MKCOL"] {
        assert_eq!(send(&mut client, method, &path, None, b"").await.status, 403);
    }
    let nested = format!("{}{}", "<a>".repeat(3_000), "</a>".repeat(3_000));
    assert_eq!(send(&mut client, "LOCK", &path, Some("0"), &nested.as_bytes()[..16_000]).await.status, 413);
    let bomb = br#"<!DOCTYPE x [<!ENTITY a "b">]><D:lockinfo xmlns:D="DAV:"/>"#;
    assert_eq!(send(&mut client, "LOCK", &path, Some("0"), bomb).await.status, 400);
    assert_eq!(ask(&gateway, "LOCK", &path, &[], lock).await.status, 403);
}

#[tokio::test]
async fn a_listing_over_the_clients_limit_is_507_for_it_alone() {
    let gateway = gateway_with(|config| config.windows_listing_limit = 20_000).await;
    for number in 0..100 {
        gateway.backend.add_file(LINUX, "auto", &["many", &format!("file-{number}")], "x");
    }
    let mut client = Client::connect(gateway.address).await;
    let refused = send(&mut client, "PROPFIND", &linux("many"), Some("1"), b"").await;
    assert_eq!(refused.status, 507);
    assert!(refused.text().contains(&format!("http://{}/-/connect", gateway.address)), "{}", refused.text());
    let raised = send(&mut client, "PROPFIND", &format!("/raised{}", linux("many")), Some("1"), b"").await;
    assert_eq!((raised.status, hrefs(raised.text()).len()), (207, 101));
    assert!(hrefs(raised.text())[1].starts_with(&format!("/raised{}", linux("many/"))));
    assert_eq!(send(&mut client, "PROPFIND", &linux("many"), Some("0"), b"").await.status, 207);
    assert_eq!(ask(&gateway, "PROPFIND", &linux("many"), &[("Depth", "1")], b"").await.status, 207);
    let small = send(&mut client, "PROPFIND", &linux("etc"), Some("1"), b"").await;
    assert_eq!(small.status, 207);
    let larger = send(&mut client, "PROPFIND", &linux("large/many-100000"), Some("1"), b"").await;
    assert_eq!(larger.status, 507);
}

#[tokio::test]
async fn where_every_client_has_the_kit_none_is_refused() {
    let gateway = gateway_with(|config| {
        config.windows_listing_limit = 1_000;
        config.windows_limits_raised = true;
    })
    .await;
    let mut client = Client::connect(gateway.address).await;
    let listing = send(&mut client, "PROPFIND", &linux("large/many-10000"), Some("1"), b"").await;
    assert_eq!((listing.status, hrefs(listing.text()).len()), (207, 10_001));
}

#[tokio::test]
async fn a_file_that_windows_cannot_read_is_refused_before_it_is_collected() {
    let gateway = gateway().await;
    gateway.backend.add_file(LINUX, "auto", &["large.bin"], vec![7; 50_000_001]);
    let mut client = Client::connect(gateway.address).await;
    let refused = send(&mut client, "GET", &linux("large.bin"), None, b"").await;
    assert_eq!(refused.status, 413);
    assert!(refused.text().contains(&format!("http://{}/-/connect", gateway.address)), "{}", refused.text());
    assert_eq!(gateway.backend.fetches(), 0);
    let raised = send(&mut client, "GET", &format!("/raised{}", linux("large.bin")), None, b"").await;
    assert_eq!((raised.status, raised.body.len()), (200, 50_000_001));
}

#[tokio::test]
async fn names_that_windows_cannot_have_are_spelled_and_read_back() {
    let gateway = gateway().await;
    let names = [
        "a:b",
        "a：b",
        "con.txt",
        "dot.",
        "space ",
        "q?*<>|\"",
        "plain",
        "PLAIN",
        "Plain",
        "n.txt:stream",
        "lpt¹",
        "‛",
    ];
    for name in names {
        gateway.backend.add_file(LINUX, "auto", &["odd", name], name.as_bytes().to_vec());
    }
    let mut client = Client::connect(gateway.address).await;
    let listing = send(&mut client, "PROPFIND", &linux("odd"), Some("1"), b"").await;
    let found: Vec<String> = hrefs(listing.text()).into_iter().skip(1).map(str::to_owned).collect();
    let mut seen = std::collections::HashSet::new();
    for (name, href) in names.iter().zip(&found) {
        assert!(seen.insert(href.to_lowercase()), "{href} twice");
        for forbidden in ["%3A", "%3F", "%2A", "%3C", "%3E", "%7C", "%22"] {
            assert!(!href.contains(forbidden), "{href}");
        }
        assert!(!href.ends_with('.') && !href.ends_with("%20"), "{href}");
        let content = send(&mut client, "GET", href, None, b"").await;
        assert_eq!((content.status, content.body.as_slice()), (200, name.as_bytes()), "{name:?} as {href}");
    }
}
