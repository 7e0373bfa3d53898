//! What Explorer does with a mapped drive, request by request as published captures have it (docs/webdav-clients.md §2.1): what it is
//! told, to the byte where it matters, and what that costs the endpoint.

use std::sync::Arc;

use crate::support::*;

/// A connection of the WebClient service.
struct Drive {
    client: Client,
}

impl Drive {
    async fn connect(gateway: &Gateway) -> Drive {
        Drive { client: Client::connect(gateway.address).await }
    }

    async fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        let mut all = vec![("Connection", "Keep-Alive"), ("User-Agent", MINI_REDIR), ("translate", "f")];
        all.extend_from_slice(headers);
        self.client.send(method, path, &all, body).await
    }

    async fn propfind(&mut self, path: &str, depth: &str) -> Response {
        self.send("PROPFIND", path, &[("Depth", depth), ("Content-Length", "0")], b"").await
    }
}

fn users(rest: &str) -> String {
    format!("/{WINDOWS}/auto/C%EF%BC%9A/Users{rest}")
}

/// A folder with 27 children, 4 of them folders.
async fn folder() -> Gateway {
    let gateway = gateway().await;
    for number in 0..23 {
        let name = format!("file {number:02}.txt");
        gateway.backend.add_file(WINDOWS, "auto", &["C:", "Users", "a", &name], format!("content {number}"));
    }
    for number in 0..4 {
        let name = format!("sub{number}");
        gateway.backend.add_file(WINDOWS, "auto", &["C:", "Users", "a", &name, "inner.txt"], "x");
    }
    gateway
}

#[tokio::test]
async fn what_windows_is_told_of_a_file_is_lean_and_has_the_prefix() {
    let gateway = gateway().await;
    let mut entry = vfs::testing::FakeEntry::new(vfs::FileType::Regular);
    entry.modified = Some(vfs::Timestamp::new(784_111_777, 123_456_700));
    gateway.backend.add_entry(WINDOWS, "auto", &["C:", "Users", "n.txt"], entry);
    let mut drive = Drive::connect(&gateway).await;
    let response = drive.propfind(&users("/n.txt"), "0").await;
    assert_eq!(response.header("content-type"), Some("application/xml; charset=utf-8"));
    assert_eq!(response.header("content-length").map(str::to_owned), Some(response.body.len().to_string()));
    assert_eq!(
        response.text(),
        format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?><D:multistatus xmlns:D=\"DAV:\"><D:response><D:href>{}</D:href>\
             <D:propstat><D:prop><D:resourcetype/><D:getcontentlength>0</D:getcontentlength>\
             <D:getlastmodified>Sun, 06 Nov 1994 08:49:37 GMT</D:getlastmodified></D:prop>\
             <D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response></D:multistatus>",
            users("/n.txt")
        )
    );
}

#[tokio::test]
async fn a_folder_is_answered_without_its_slash_and_without_a_redirect() {
    let gateway = folder().await;
    let mut drive = Drive::connect(&gateway).await;
    for path in [users("/a"), users("/a/")] {
        let response = drive.propfind(&path, "1").await;
        assert_eq!((response.status, response.complete), (207, true));
        let hrefs = hrefs(response.text());
        assert_eq!((hrefs[0], hrefs.len()), (users("/a/").as_str(), 28));
        assert!(hrefs.contains(&users("/a/sub0/").as_str()) && hrefs.contains(&users("/a/file%2000.txt").as_str()));
    }
}

#[tokio::test]
async fn mapping_with_a_password_is_refused_twice_and_goes_on_over_the_same_connection() {
    let gateway = gateway_with(|config| {
        config.credentials =
            Some(raptorgate_webdav::Credentials { user: "raptorgate".into(), password: "secret".into() });
    })
    .await;
    let mut drive = Drive::connect(&gateway).await;
    let login = ("Authorization", "Basic V09SS0dST1VQXHJhcHRvcmdhdGU6c2VjcmV0"); // WORKGROUP\raptorgate:secret
    for (method, depth) in [("OPTIONS", None), ("OPTIONS", None), ("PROPFIND", Some("0")), ("PROPFIND", Some("0"))] {
        let mut headers: Vec<(&str, &str)> = depth.map(|depth| ("Depth", depth)).into_iter().collect();
        let refused = drive.send(method, "/", &headers, b"").await;
        assert_eq!((refused.status, refused.header("connection")), (401, None), "{method}");
        assert_eq!(refused.header("www-authenticate"), Some(r#"Basic realm="raptorgate", charset="UTF-8""#));
        headers.push(login);
        let welcome = drive.send(method, "/", &headers, b"").await;
        assert!(matches!(welcome.status, 200 | 207), "{method}: {}", welcome.status);
    }
}

#[tokio::test]
async fn opening_a_drive_costs_the_endpoint_one_listing() {
    let gateway = folder().await;
    let mut drive = Drive::connect(&gateway).await;
    let root = format!("/{WINDOWS}/auto");
    let icon = drive.propfind(&format!("{root}/Desktop.ini"), "0").await;
    assert_eq!((icon.status, icon.header("cache-control")), (404, Some("no-store")));
    assert_eq!(gateway.backend.listings(), 0);
    for _ in 0..3 {
        assert_eq!(drive.propfind(&root, "1").await.status, 207);
    }
    assert_eq!(gateway.backend.listings(), 1);
}

#[tokio::test]
async fn opening_a_folder_asks_45_times_over_6_connections_and_costs_two_flows_at_most() {
    let gateway = Arc::new(folder().await);
    let mut first = Drive::connect(&gateway).await;
    let listing = first.propfind(&users("/a"), "1").await;
    let children: Vec<String> = hrefs(listing.text()).into_iter().skip(1).map(str::to_owned).collect();
    assert_eq!(first.propfind(&users("/a/Desktop.ini"), "0").await.status, 404);
    let before = gateway.backend.listings();
    // Every child once, the folders with their children as well, the first 14 once more: 45 in all.
    let mut requests: Vec<(String, &str)> = children.iter().map(|child| (child.clone(), "0")).collect();
    requests.extend(children.iter().filter(|child| child.ends_with('/')).map(|child| (child.clone(), "1")));
    requests.extend(children.iter().take(14).map(|child| (child.clone(), "0")));
    assert_eq!(requests.len(), 45);
    let mut connections = tokio::task::JoinSet::new();
    for part in requests.chunks(8) {
        let (gateway, part) = (gateway.clone(), part.to_vec());
        connections.spawn(async move {
            let mut drive = Drive::connect(&gateway).await;
            for (path, depth) in part {
                let response = drive.propfind(path.trim_end_matches('/'), depth).await;
                assert_eq!(response.status, 207, "{path}: {}", response.text());
            }
        });
    }
    assert_eq!(connections.len(), 6);
    while let Some(connection) = connections.join_next().await {
        connection.unwrap();
    }
    let flows = gateway.backend.listings() - before;
    assert!(flows <= 2, "one sub-folder, then those beside it together: {flows}");
    assert_eq!(gateway.backend.fetches(), 0);
}

#[tokio::test]
async fn looking_at_one_child_lists_nothing_below_it() {
    let gateway = gateway().await;
    let mut drive = Drive::connect(&gateway).await;
    let root = format!("/{WINDOWS}/auto");
    assert_eq!(drive.propfind(&root, "1").await.status, 207);
    let before = gateway.backend.listings();
    for _ in 0..7 {
        assert_eq!(drive.propfind(&format!("{root}/C%EF%BC%9A"), "0").await.status, 207);
    }
    assert_eq!(gateway.backend.listings(), before);
}

#[tokio::test]
async fn right_click_on_a_file_starts_nothing() {
    let gateway = folder().await;
    let mut drive = Drive::connect(&gateway).await;
    assert_eq!(drive.propfind(&users("/a"), "1").await.status, 207);
    let before = gateway.backend.listings();
    for _ in 0..7 {
        assert_eq!(drive.propfind(&users("/a/file%2003.txt"), "0").await.status, 207);
    }
    for probe in
        ["AutoRun.inf", "desktop.ini", "file%2003.txt%3AZone.Identifier%3A%24DATA", "file%2003.txt.ws", "folder.jpg"]
    {
        assert_eq!(drive.propfind(&users(&format!("/a/{probe}")), "0").await.status, 404, "{probe}");
    }
    assert_eq!((gateway.backend.listings(), gateway.backend.fetches()), (before, 0));
}

#[tokio::test]
async fn opening_a_file_is_one_collection_and_its_bytes() {
    let gateway = folder().await;
    let mut drive = Drive::connect(&gateway).await;
    let path = users("/a/file%2005.txt");
    assert_eq!(drive.propfind(&path, "0").await.status, 207);
    let content = drive.send("GET", &path, &[("If-None-Match", "\"of before\"")], b"").await;
    assert_eq!((content.status, content.text()), (200, "content 5"));
    assert_eq!((content.header("content-length"), content.header("content-encoding")), (Some("9"), None));
    assert_eq!(drive.propfind(&path, "0").await.status, 207);
    assert_eq!(gateway.backend.fetches(), 1);
}

#[tokio::test]
async fn a_write_is_refused_in_a_way_that_leaves_the_drive_alive() {
    let gateway = folder().await;
    let mut drive = Drive::connect(&gateway).await;
    assert_eq!(drive.propfind(&users("/a"), "1").await.status, 207);
    let new = users("/a/new.txt");
    assert_eq!(drive.propfind(&new, "0").await.status, 404);
    assert_eq!(drive.send("PUT", &new, &[("Content-Length", "0")], b"").await.status, 403);
    let old = users("/a/file%2000.txt");
    let lock = br#"<?xml version="1.0" encoding="utf-8" ?><D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype><D:owner><D:href>HOST\user</D:href></D:owner></D:lockinfo>"#;
    let locked = drive.send("LOCK", &old, &[("Timeout", "Second-3600")], lock).await;
    assert_eq!(locked.status, 200);
    let token = locked.header("lock-token").unwrap().to_owned();
    let patch = br#"<?xml version="1.0" encoding="utf-8" ?><D:propertyupdate xmlns:D="DAV:" xmlns:Z="urn:schemas-microsoft-com:"><D:set><D:prop><Z:Win32CreationTime>Sun, 06 Nov 1994 08:49:37 GMT</Z:Win32CreationTime><Z:Win32LastAccessTime>Sun, 06 Nov 1994 08:49:37 GMT</Z:Win32LastAccessTime><Z:Win32LastModifiedTime>Sun, 06 Nov 1994 08:49:37 GMT</Z:Win32LastModifiedTime><Z:Win32FileAttributes>00000000</Z:Win32FileAttributes></D:prop></D:set></D:propertyupdate>"#;
    let condition = format!("({token})");
    let patched = drive.send("PROPPATCH", &old, &[("If", &condition)], patch).await;
    assert_eq!(between(patched.text(), "<D:status>", "</D:status>"), ["HTTP/1.1 200 OK"], "{}", patched.text());
    assert_eq!(drive.send("HEAD", &old, &[], b"").await.status, 200);
    let put = drive.send("PUT", &old, &[("If", &condition)], &[b'x'; 30_000]).await;
    assert_eq!((put.status, put.header("connection")), (403, None));
    assert_eq!(drive.send("UNLOCK", &old, &[("Lock-Token", &token)], b"").await.status, 204);
    let unharmed = drive.send("GET", &old, &[], b"").await;
    assert_eq!(unharmed.text(), "content 0");
}

#[tokio::test]
async fn what_was_not_collected_is_offline_where_that_is_switched_on() {
    let gateway = gateway_with(|config| config.offline_attribute = true).await;
    let mut drive = Drive::connect(&gateway).await;
    let attributes = async |drive: &mut Drive| {
        let listing = drive.propfind(&users(""), "1").await;
        between(listing.text(), "<Z:Win32FileAttributes>", "<").into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(attributes(&mut drive).await, ["00000010", "00003021"]);
    assert_eq!(drive.send("GET", &users("/a%20b.txt"), &[], b"").await.text(), "hello");
    assert_eq!(attributes(&mut drive).await, ["00000010", "00000021"]);
}

#[tokio::test]
async fn the_kit_has_this_gateways_address_and_no_password() {
    let gateway = gateway_with(|config| {
        config.credentials =
            Some(raptorgate_webdav::Credentials { user: "raptorgate".into(), password: "secret".into() });
    })
    .await;
    let login = ("Authorization", "Basic cmFwdG9yZ2F0ZTpzZWNyZXQ=");
    let origin = format!("http://{}", gateway.address);
    for (name, file, parts) in [
        (
            "windows.reg",
            "raptorgate.reg",
            [
                "Windows Registry Editor Version 5.00\r\n",
                "\"BasicAuthLevel\"=dword:00000002\r\n",
                &format!("{origin}/raised/"),
            ],
        ),
        (
            "windows.ps1",
            "raptorgate.ps1",
            ["$User = 'raptorgate'", "BasicAuthLevel             = '00000002'", &format!("$origin = '{origin}'")],
        ),
    ] {
        let path = format!("/-/connect/{name}");
        let response = ask(&gateway, "GET", &path, &[login], b"").await;
        assert_eq!((response.status, response.complete), (200, true));
        let disposition = format!("attachment; filename=\"{file}\"");
        assert_eq!(response.header("content-disposition"), Some(disposition.as_str()));
        for part in parts {
            assert!(response.text().contains(part), "{part}: {}", response.text());
        }
        for wrong in ["secret", "@ORIGIN", "@USER", "@BASIC"] {
            assert!(!response.text().contains(wrong), "{}", response.text());
        }
        assert!(response.text().lines().count() == response.text().matches("\r\n").count(), "line ends of Windows");
        assert_eq!(ask(&gateway, "POST", &path, &[login], b"").await.status, 405);
        assert_eq!(ask(&gateway, "GET", &path, &[], b"").await.status, 401);
    }
    assert_eq!(ask(&gateway, "GET", "/-/connect/other", &[login], b"").await.status, 404);
}
