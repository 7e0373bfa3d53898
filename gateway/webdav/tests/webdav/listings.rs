//! PROPFIND: what it says, how it ends, and what it starts.

use std::sync::Arc;

use vfs::testing::FakeEntry;
use vfs::{FileType, Timestamp};

use crate::support::*;

#[tokio::test]
async fn the_root_and_every_parent_answer_without_redirect_and_without_a_flow() {
    let gateway = gateway().await;
    for path in ["/", &format!("/{LINUX}"), &format!("/{LINUX}/"), &format!("/{LINUX}/auto")] {
        let response = ask(&gateway, "PROPFIND", path, &[("Depth", "0")], b"").await;
        assert_eq!(response.status, 207, "{path}: {}", response.text());
        let expected = if path == "/" { "/".to_owned() } else { format!("{}/", path.trim_end_matches('/')) };
        assert_eq!(hrefs(response.text()), [expected.as_str()], "{path}");
        assert!(response.text().contains("<D:collection/>"), "{path}");
    }
    assert_eq!(gateway.backend.listings(), 0);
}

#[tokio::test]
async fn a_listing_is_exact_and_costs_one_flow() {
    let gateway = gateway().await;
    let response = ask(&gateway, "PROPFIND", &linux("etc"), &[("Depth", "1")], b"").await;
    assert_eq!((response.status, response.complete), (207, true));
    let mut found = hrefs(response.text());
    found.sort_unstable();
    let expected = [linux("etc/"), linux("etc/empty"), linux("etc/hosts"), linux("etc/link")];
    assert_eq!(found, expected.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(response.text().contains("<D:getcontentlength>20</D:getcontentlength>"));
    let flows = gateway.backend.listings();
    ask(&gateway, "PROPFIND", &linux("etc/"), &[("Depth", "1")], b"").await;
    assert_eq!(gateway.backend.listings(), flows, "the second one is cached");
}

#[tokio::test]
async fn ten_thousand_and_a_hundred_thousand_entries_come_whole_and_in_order() {
    let gateway = gateway().await;
    for count in [10_000_u64, 100_000] {
        let directory = format!("large/many-{count}");
        let response = ask(&gateway, "PROPFIND", &linux(&directory), &[("Depth", "1")], b"").await;
        assert_eq!((response.status, response.complete), (207, true));
        let text = response.text();
        let parent = linux(&format!("{directory}/"));
        let mut hrefs = hrefs(text).into_iter();
        assert_eq!(hrefs.next(), Some(parent.as_str()));
        for (number, href) in (0..count).zip(hrefs.by_ref()) {
            assert_eq!(href, format!("{parent}{}", crate::large::name(number)));
        }
        assert_eq!(hrefs.next(), None);
        assert_eq!(between(text, "<D:getcontentlength>", "<").len(), usize::try_from(count).unwrap());
        assert!(text.ends_with("</D:multistatus>"));
    }
}

#[tokio::test]
async fn failures_are_never_an_empty_directory() {
    let gateway = gateway().await;
    gateway.backend.add_directory(LINUX, "auto", &["denied"]);
    gateway.backend.deny(LINUX, "auto", &["denied"]);
    let denied = ask(&gateway, "PROPFIND", &linux("denied"), &[("Depth", "1")], b"").await;
    assert_eq!(denied.status, 403, "{}", denied.text());
    let offline = ask(&gateway, "PROPFIND", &format!("/{OFFLINE}/auto/"), &[("Depth", "1")], b"").await;
    assert_eq!((offline.status, offline.header("retry-after")), (503, None), "{}", offline.text());
    let mac =
        ask(&gateway, "PROPFIND", &format!("/{OFFLINE}/auto/"), &[("Depth", "1"), ("User-Agent", FINDER)], b"").await;
    assert_eq!(mac.status, 423);
    let empty = ask(&gateway, "PROPFIND", &linux("empty"), &[("Depth", "1")], b"").await;
    assert_eq!((empty.status, hrefs(empty.text()).len()), (207, 1));
    let absent = ask(&gateway, "PROPFIND", &linux("nothing"), &[("Depth", "0")], b"").await;
    assert_eq!((absent.status, absent.header("cache-control")), (404, Some("no-store")));
}

#[tokio::test(start_paused = true)]
async fn a_client_is_held_as_long_as_it_bears_and_then_told_to_come_back() {
    for (agent, status, seconds) in [(MINI_REDIR, 503, 50), (FINDER, 423, 60), ("rclone/v1.60", 503, 300)] {
        let gateway = gateway().await;
        gateway.backend.hold_jobs();
        let before = tokio::time::Instant::now();
        let response = ask(&gateway, "PROPFIND", &linux(""), &[("Depth", "1"), ("User-Agent", agent)], b"").await;
        assert_eq!(response.status, status, "{agent}");
        assert!(response.header("retry-after").is_some(), "{agent}");
        assert_eq!(before.elapsed().as_secs(), seconds, "{agent}");
    }
}

#[tokio::test]
async fn depth_is_0_or_1_and_infinity_is_refused_with_its_condition() {
    let gateway = gateway().await;
    let count = async |path: &str, headers: &[(&str, &str)]| {
        let response = ask(&gateway, "PROPFIND", &linux(path), headers, b"").await;
        (response.status, hrefs(response.text()).len())
    };
    assert_eq!(count("etc", &[("Depth", "0")]).await, (207, 1));
    assert_eq!(count("etc", &[("Depth", "1")]).await, (207, 4));
    assert_eq!(count("etc", &[]).await, (207, 4));
    for headers in [vec![], vec![("Depth", "0")], vec![("Depth", "1")]] {
        assert_eq!(count("etc/hosts", &headers).await, (207, 1), "a file is itself whatever the depth");
    }
    for extra in [("X-Litmus", "props: 1"), ("User-Agent", MINI_REDIR)] {
        let response = ask(&gateway, "PROPFIND", &linux("etc"), &[("Depth", "infinity"), extra], b"").await;
        assert_eq!((response.status, response.header("content-type")), (403, Some("application/xml; charset=utf-8")));
        assert!(response.text().contains("<D:error xmlns:D=\"DAV:\"><D:propfind-finite-depth/></D:error>"));
    }
}

#[tokio::test]
async fn properties_are_found_or_reported_as_missing() {
    let gateway = gateway().await;
    let mut entry = FakeEntry::new(FileType::Regular);
    entry.modified = Some(Timestamp::new(-11_644_473_600, 100));
    gateway.backend.add_entry(LINUX, "auto", &["old", "file.txt"], entry);
    let body = br#"<?xml version="1.0"?><D:propfind xmlns:D="DAV:" xmlns:R="urn:raptorgate"><D:prop>
        <D:getlastmodified/><R:modified/><R:mode/><R:collected/><D:quota-available-bytes/><D:getcontenttype/></D:prop></D:propfind>"#;
    let response = ask(&gateway, "PROPFIND", &linux("old/file.txt"), &[("Depth", "0")], body).await;
    let text = response.text();
    assert!(text.contains("<D:getlastmodified>Thu, 01 Jan 1970 00:00:00 GMT</D:getlastmodified>"), "{text}");
    assert!(text.contains("<R:modified>1601-01-01T00:00:00.0000001Z</R:modified>"), "{text}");
    assert!(text.contains("<R:mode>0444</R:mode><R:collected>false</R:collected>"), "{text}");
    assert!(text.contains("<D:getcontenttype>text/plain</D:getcontenttype>"), "{text}");
    let missing = between(text, "<D:propstat>", "</D:propstat>");
    assert_eq!(missing.len(), 2);
    assert_eq!(missing[1], "<D:prop><D:quota-available-bytes/></D:prop><D:status>HTTP/1.1 404 Not Found</D:status>");
    let names = ask(
        &gateway,
        "PROPFIND",
        &linux("old/file.txt"),
        &[("Depth", "0")],
        b"<propfind xmlns='DAV:'><propname/></propfind>",
    )
    .await;
    assert!(names.text().contains("<D:getetag/>") && !names.text().contains("404"), "{}", names.text());
    assert_eq!(gateway.backend.fetches(), 0, "properties never collect");
}

#[tokio::test]
async fn the_entity_tag_is_the_same_everywhere() {
    let gateway = gateway().await;
    let listed = ask(&gateway, "PROPFIND", &linux("etc"), &[("Depth", "1")], b"").await;
    let alone = ask(&gateway, "PROPFIND", &linux("etc/hosts"), &[("Depth", "0")], b"").await;
    let tag = between(alone.text(), "<D:getetag>", "</D:getetag>")[0].to_owned();
    assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() > 10, "{tag}");
    assert!(listed.text().contains(&tag));
    let head = ask(&gateway, "HEAD", &linux("etc/hosts"), &[], b"").await;
    let get = ask(&gateway, "GET", &linux("etc/hosts"), &[], b"").await;
    assert_eq!(head.header("etag"), Some(tag.as_str()));
    assert_eq!(get.header("etag"), Some(tag.as_str()));
    let again = ask(&gateway, "GET", &linux("etc/hosts"), &[("If-None-Match", &tag)], b"").await;
    assert_eq!(again.status, 304);
    let after = ask(&gateway, "PROPFIND", &linux("etc/hosts"), &[("Depth", "0")], b"").await;
    assert!(after.text().contains(&tag), "collecting the same content does not change it");
}

#[tokio::test]
async fn links_are_small_files_and_paths_through_them_are_followed() {
    let gateway = gateway().await;
    gateway.backend.add_link(LINUX, "auto", &["shortcut"], "/etc");
    let body = br#"<D:propfind xmlns:D="DAV:" xmlns:R="urn:raptorgate"><D:prop><R:link/><D:getcontentlength/><D:getcontenttype/><D:resourcetype/></D:prop></D:propfind>"#;
    for (path, depth) in [(linux("etc"), "1"), (linux("etc/link"), "0")] {
        let response = ask(&gateway, "PROPFIND", &path, &[("Depth", depth)], body).await;
        assert!(
            response.text().contains(
                "<R:link>/etc/hosts</R:link><D:getcontentlength>10</D:getcontentlength><D:getcontenttype>inode/symlink</D:getcontenttype><D:resourcetype/>"
            ),
            "{}",
            response.text()
        );
    }
    let content = ask(&gateway, "GET", &linux("etc/link"), &[], b"").await;
    assert_eq!((content.text(), content.header("content-type")), ("/etc/hosts", Some("inode/symlink")));
    let through = ask(&gateway, "GET", &linux("shortcut/hosts"), &[], b"").await;
    assert_eq!(through.text(), "127.0.0.1 localhost\n");
}

#[tokio::test]
async fn odd_names_come_back_as_the_same_bytes() {
    let gateway = gateway().await;
    let names = [
        "%41",
        "a#b",
        "a+b",
        "a b",
        "a&b",
        "a<b>",
        "a\"b'",
        "a;b=c",
        "a:b",
        "a?b",
        "a*b|c",
        "back\\slash",
        "trailing ",
        " leading",
        "dot.",
        "tab\there",
        "new\nline",
        "\u{1}bell\u{7}",
        "caf\u{e9}",
        "cafe\u{301}",
        "\u{1f996}",
        "\u{202e}gpj.exe",
        "~",
        "...",
        "‛",
        "／",
    ];
    for name in names {
        gateway.backend.add_file(LINUX, "auto", &["odd", name], name.as_bytes().to_vec());
    }
    let response = ask(&gateway, "PROPFIND", &linux("odd"), &[("Depth", "1")], b"").await;
    let found: Vec<String> = hrefs(response.text()).into_iter().skip(1).map(str::to_owned).collect();
    assert_eq!(found.len(), names.len());
    for (name, href) in names.iter().zip(&found) {
        let content = ask(&gateway, "GET", href, &[], b"").await;
        assert_eq!((content.status, content.body.as_slice()), (200, name.as_bytes()), "{name:?} at {href}");
    }
}

#[tokio::test]
async fn many_readers_of_an_unlisted_directory_share_one_flow() {
    let gateway = Arc::new(gateway().await);
    gateway.backend.hold_jobs();
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let gateway = gateway.clone();
        readers.spawn(async move { ask(&gateway, "PROPFIND", &linux(""), &[("Depth", "1")], b"").await.status });
    }
    while gateway.backend.listings() == 0 {
        tokio::task::yield_now().await;
    }
    gateway.backend.release_jobs();
    while let Some(status) = readers.join_next().await {
        assert_eq!(status.unwrap(), 207);
    }
    assert_eq!(gateway.backend.listings(), 1);
}
