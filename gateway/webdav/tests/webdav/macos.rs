//! macOS' WebDAV client (docs/webdav-clients.md §2.2, §3.4).

use vfs::testing::FakeEntry;
use vfs::{FileType, Timestamp};

use crate::support::*;

const MAC: [(&str, &str); 2] = [("User-Agent", FINDER), ("Depth", "0")];

#[tokio::test]
async fn a_mount_is_read_only_because_it_is_class_1() {
    let gateway = gateway().await;
    let options = ask(&gateway, "OPTIONS", &linux(""), &[("User-Agent", FINDER)], b"").await;
    assert_eq!((options.status, options.header("dav")), (200, Some("1")));
    assert_eq!(ask(&gateway, "LOCK", &linux("etc/hosts"), &[("User-Agent", FINDER)], b"").await.status, 403);
}

#[tokio::test]
async fn quota_is_answered_as_not_there() {
    let gateway = gateway().await;
    let body = br#"<?xml version="1.0" encoding="utf-8"?><D:propfind xmlns:D="DAV:"><D:prop><D:quota-available-bytes/><D:quota-used-bytes/><D:quota/><D:quotaused/></D:prop></D:propfind>"#;
    let response = ask(&gateway, "PROPFIND", &format!("/{LINUX}/"), &MAC, body).await;
    assert_eq!(
        between(response.text(), "<D:propstat>", "</D:propstat>"),
        [
            "<D:prop><D:quota-available-bytes/><D:quota-used-bytes/><D:quota/><D:quotaused/></D:prop><D:status>HTTP/1.1 404 Not Found</D:status>"
        ]
    );
}

#[tokio::test]
async fn names_are_found_with_their_accents_taken_apart() {
    let gateway = gateway().await;
    let names = ["caf\u{e9}.txt", "\u{c4}rger", "한글", "plain"];
    for name in names {
        gateway.backend.add_file(LINUX, "auto", &["odd", name], name.as_bytes().to_vec());
    }
    let decomposed = ["cafe\u{301}.txt", "A\u{308}rger", "\u{1112}\u{1161}\u{11ab}\u{1100}\u{1173}\u{11af}", "plain"];
    for (name, asked) in names.iter().zip(decomposed) {
        let path = linux(&format!("odd/{}", percent(asked)));
        let content = ask(&gateway, "GET", &path, &[("User-Agent", FINDER)], b"").await;
        assert_eq!((content.status, content.body.as_slice()), (200, name.as_bytes()), "{name}");
    }
    let others = ask(&gateway, "GET", &linux("odd/cafe%CC%81.txt"), &[], b"").await;
    assert_eq!(others.status, 404, "for others these are different names");
}

#[tokio::test]
async fn names_that_differ_in_their_accents_alone_lead_to_their_own_bytes() {
    let gateway = gateway().await;
    for name in ["cafe\u{301}", "caf\u{e9}"] {
        gateway.backend.add_file(LINUX, "auto", &["odd", name], name.as_bytes().to_vec());
    }
    let listing = ask(&gateway, "PROPFIND", &linux("odd"), &[("User-Agent", FINDER), ("Depth", "1")], b"").await;
    let mut contents = Vec::new();
    for href in hrefs(listing.text()).into_iter().skip(1) {
        // As Finder asks: whatever was listed, taken apart.
        let asked = href.replace("%C3%A9", "e%CC%81");
        contents.push(ask(&gateway, "GET", &asked, &[("User-Agent", FINDER)], b"").await.body);
    }
    contents.sort();
    assert_eq!(contents, ["cafe\u{301}".as_bytes(), "caf\u{e9}".as_bytes()]);
}

#[tokio::test]
async fn what_finder_probes_for_starts_nothing() {
    let gateway = gateway().await;
    for name in ["._hosts", ".DS_Store", "._.", ".Spotlight-V100"] {
        let response = ask(&gateway, "PROPFIND", &linux(&format!("etc/{name}")), &MAC, b"").await;
        assert_eq!(response.status, 404, "{name}");
    }
    assert_eq!(gateway.backend.listings(), 0);
}

#[tokio::test]
async fn marks_at_the_root_keep_the_indexer_away_and_are_not_listed() {
    let gateway = gateway().await;
    for name in [".metadata_never_index", ".ql_disablethumbnails", ".ql_disablecache"] {
        for root in ["/".to_owned(), format!("/{LINUX}/"), format!("/frozen/{LINUX}/")] {
            let path = format!("{root}{name}");
            let content = ask(&gateway, "GET", &path, &[("User-Agent", FINDER)], b"").await;
            assert_eq!((content.status, content.body.len()), (200, 0), "{path}");
            let found = ask(&gateway, "PROPFIND", &path, &MAC, b"").await;
            assert!(found.text().contains("<D:getcontentlength>0</D:getcontentlength>"), "{}", found.text());
        }
        let other = ask(&gateway, "GET", &format!("/{LINUX}/{name}"), &[], b"").await;
        assert_eq!(other.status, 404, "for nobody else");
        let evidence = ask(&gateway, "GET", &linux(&format!("etc/{name}")), &[("User-Agent", FINDER)], b"").await;
        assert_eq!(evidence.status, 404, "never where evidence is");
    }
    let listing = ask(&gateway, "PROPFIND", &format!("/{LINUX}"), &[("User-Agent", FINDER), ("Depth", "1")], b"").await;
    assert!(!listing.text().contains("ql_disable"), "{}", listing.text());
    let without = gateway_with(|config| config.macos_markers = false).await;
    let content = ask(&without, "GET", "/.ql_disablecache", &[("User-Agent", FINDER)], b"").await;
    assert_eq!(content.status, 404);
}

#[tokio::test]
async fn dates_that_break_a_mount_are_clamped() {
    for (seconds, shown) in
        [(-11_644_473_600, "Thu, 01 Jan 1970 00:00:00 GMT"), (400_000_000_000, "Fri, 31 Dec 9999 23:59:59 GMT")]
    {
        let gateway = gateway().await;
        let mut entry = FakeEntry::new(FileType::Regular);
        entry.modified = Some(Timestamp::new(seconds, 0));
        gateway.backend.add_entry(LINUX, "auto", &["odd.txt"], entry);
        let path = linux("odd.txt");
        let response = ask(&gateway, "PROPFIND", &path, &MAC, b"").await;
        assert!(response.text().contains(shown), "{}", response.text());
        let head = ask(&gateway, "HEAD", &path, &[("User-Agent", FINDER)], b"").await;
        assert_eq!(head.header("last-modified"), Some(shown));
    }
}

fn percent(name: &str) -> String {
    name.bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() || byte == b'.' {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}
