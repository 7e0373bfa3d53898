//! The pages.

use crate::support::*;

const HEADERS: [(&str, &str); 3] =
    [("User-Agent", BROWSER), ("Accept", "text/html,*/*;q=0.8"), ("Sec-Fetch-Site", "same-origin")];

async fn page(gateway: &Gateway, path: &str) -> Response {
    ask(gateway, "GET", path, &HEADERS, b"").await
}

#[tokio::test]
async fn the_first_page_names_the_endpoints() {
    let gateway = gateway().await;
    let response = page(&gateway, "/").await;
    assert_eq!(response.status, 200);
    for part in [LINUX, WINDOWS, OFFLINE, "online", "offline"] {
        assert!(response.text().contains(part), "{part}");
    }
    let policy = response.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'") && policy.contains("script-src 'self';"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    let found = page(&gateway, &format!("/?q={WINDOWS}")).await;
    assert!(found.text().contains(WINDOWS) && !found.text().contains(&format!("href=\"/{LINUX}/\"")));
}

#[tokio::test]
async fn a_directory_page_escapes_what_it_shows_and_never_links_straight_to_uncollected_content() {
    let gateway = gateway().await;
    gateway.backend.add_file(LINUX, "auto", &["www", "<script>alert(1)<b>.html"], "x");
    gateway.backend.add_file(LINUX, "auto", &["www", "\u{202e}gpj.exe"], "x");
    let mut response = page(&gateway, &linux("www")).await;
    while response.status == 503 {
        assert!(response.text().contains("http-equiv=\"refresh\""));
        response = page(&gateway, &linux("www")).await;
    }
    let text = response.text();
    assert_eq!(text.matches("<script").count(), 1, "{text}");
    assert!(text.contains("&lt;script&gt;alert(1)&lt;b&gt;.html"));
    assert!(text.contains("U+202E") && !text.contains('\u{202e}'));
    assert!(text.contains("badge listed") && text.contains("flow <code>"));
    for href in between(text, "<td class=\"name file\"><a href=\"", "\"") {
        assert!(href.ends_with("?info=1"), "{href}");
    }
}

#[tokio::test]
async fn opening_a_file_shows_its_page_and_only_the_button_collects() {
    let gateway = gateway().await;
    let response = page(&gateway, &linux("etc/hosts")).await;
    assert_eq!(response.status, 403, "no browser saves this page as the file");
    assert!(response.text().contains("not collected") && response.text().contains("method=\"post\""));
    assert_eq!(page(&gateway, &linux("etc/hosts?info=1")).await.status, 200);
    assert_eq!(gateway.backend.fetches(), 0);
    let foreign = ask(&gateway, "POST", &linux("etc/hosts?collect"), &[("Origin", "http://evil.example")], b"").await;
    assert_eq!((foreign.status, gateway.backend.fetches()), (403, 0));
    let pressed = ask(&gateway, "POST", &linux("etc/hosts?collect"), &HEADERS, b"").await;
    assert_eq!((pressed.status, pressed.header("location")), (303, Some(linux("etc/hosts?info=1").as_str())));
    let collected = loop {
        let response = page(&gateway, &linux("etc/hosts?info=1")).await;
        if response.text().contains(">Download<") {
            break response;
        }
        tokio::task::yield_now().await;
    };
    assert!(collected.text().contains("badge listed"));
    assert!(page(&gateway, "/-/activity").await.text().contains("/auto/etc/hosts"));
    assert_eq!(gateway.backend.fetches(), 1);
    let content = page(&gateway, &linux("etc/hosts")).await;
    assert_eq!(content.text(), "127.0.0.1 localhost\n");
    assert!(content.header("content-disposition").unwrap().starts_with("attachment"));
    // printf '127.0.0.1 localhost\n' | sha256sum; computed behind the reader's back
    let hash = "081ef9d5367595d16e30b4b4549d9f43537320508b4ce0788963e10e4f808857";
    while !page(&gateway, &linux("etc/hosts?info=1")).await.text().contains(hash) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_unlisted_directory_shows_a_page_at_once_that_looks_again() {
    let gateway = gateway().await;
    gateway.backend.hold_jobs();
    let response = page(&gateway, &linux("")).await;
    assert_eq!(response.status, 503);
    assert!(response.text().contains("http-equiv=\"refresh\" content=\"2\""), "{}", response.text());
    assert!(!response.text().contains("This directory is empty"));
    gateway.backend.release_jobs();
    while page(&gateway, &linux("")).await.status != 200 {
        tokio::task::yield_now().await;
    }
    assert_eq!(gateway.backend.listings(), 1);
}

#[tokio::test]
async fn rows_are_sorted_and_paged_on_the_server() {
    let gateway = gateway().await;
    ask(&gateway, "PROPFIND", &linux("large/many-2500"), &[("Depth", "1")], b"").await;
    let first = page(&gateway, &linux("large/many-2500?sort=size&order=desc")).await;
    assert_eq!(between(first.text(), "<td class=\"name file\">", "</td>").len(), 1_000);
    assert!(first.text().contains("1–1000 of 2500"));
    let last = page(&gateway, &linux("large/many-2500?sort=size&order=desc&page=3")).await;
    let sizes: Vec<u64> = [first, last]
        .iter()
        .flat_map(|page| {
            between(page.text(), "<td class=\"number\"><span title=\"", " bytes")
                .into_iter()
                .map(|size| size.parse().unwrap())
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(sizes.len(), 1_500);
    assert!(sizes.is_sorted_by(|left, right| left >= right));
    let beyond = page(&gateway, &linux("large/many-2500?page=99")).await;
    assert!(beyond.text().contains("2001–2500 of 2500"));
}

#[tokio::test]
async fn curl_gets_text_and_programs_get_json() {
    let gateway = gateway().await;
    gateway.backend.add_file(LINUX, "auto", &["etc", "esc\u{1b}[31m"], "x");
    let text = ask(&gateway, "GET", &linux("etc/"), &[("User-Agent", "curl/7.88")], b"").await;
    assert_eq!(text.header("content-type"), Some("text/plain; charset=utf-8"));
    assert!(
        text.text()
            .lines()
            .any(|line| line.trim_start().starts_with("20  2020-01-01T00:00:00.123456789Z") && line.ends_with("hosts"))
    );
    assert!(!text.text().contains('\u{1b}'), "nothing that acts on a terminal");
    let json = ask(&gateway, "GET", &linux("etc/"), &[("Accept", "application/json")], b"").await;
    let value: serde_json::Value = serde_json::from_slice(&json.body).unwrap();
    assert_eq!(value["freshness"]["state"], "listed");
    let hosts = value["entries"].as_array().unwrap().iter().find(|entry| entry["name"] == "hosts").unwrap().clone();
    assert_eq!(
        (hosts["size"].as_u64(), hosts["modified"].as_str()),
        (Some(20), Some("2020-01-01T00:00:00.123456789Z"))
    );
    let empty = ask(&gateway, "GET", &linux("empty/"), &[("Accept", "application/json")], b"").await;
    let value: serde_json::Value = serde_json::from_slice(&empty.body).unwrap();
    assert_eq!(value["entries"].as_array().map(Vec::len), Some(0));
}

#[tokio::test]
async fn the_connect_page_shows_the_commands_of_this_host() {
    let gateway =
        gateway_with(|config| config.connect = vec![("Windows <11>".into(), "net use Z: \"http://host/\"".into())])
            .await;
    let response = page(&gateway, "/-/connect").await;
    assert!(
        response.text().contains("Windows &lt;11&gt;")
            && response.text().contains("net use Z: &quot;http://host/&quot;")
    );
    assert_eq!(page(&gateway, "/-/style.css").await.header("content-type"), Some("text/css; charset=utf-8"));
    assert_eq!(page(&gateway, "/-/nothing").await.status, 404);
}
