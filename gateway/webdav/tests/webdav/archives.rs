//! Directories as tar and zip: what is collected of them, a manifest of everything, and never a part for the whole.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::*;

async fn prepared() -> Gateway {
    let gateway = gateway().await;
    for (path, content) in [
        (&["case", "a.txt"][..], "alpha"),
        (&["case", "A.TXT"], "other"),
        (&["case", "sub", "con.log"], "device"),
        (&["case", "sub", "never collected"], "nothing"),
        (&["case", "unlisted", "x"], "x"),
        (&["case", "empty"], ""),
    ] {
        gateway.backend.add_file(LINUX, "auto", path, content.to_owned());
    }
    gateway.backend.add_link(LINUX, "auto", &["case", "link"], "../../../etc/passwd");
    for path in ["case/", "case/sub/"] {
        ask(&gateway, "PROPFIND", &linux(path), &[("Depth", "1")], b"").await;
    }
    for path in ["case/a.txt", "case/A.TXT", "case/sub/con.log"] {
        assert_eq!(ask(&gateway, "GET", &linux(path), &[], b"").await.status, 200);
    }
    gateway
}

/// The members of a stored zip, by its local headers.
fn members(zip: &[u8]) -> Vec<(String, Vec<u8>)> {
    let two = |at: usize| usize::from(u16::from_le_bytes([zip[at], zip[at + 1]]));
    let eight = |at: usize| usize::try_from(u64::from_le_bytes(zip[at..at + 8].try_into().unwrap())).unwrap();
    let mut central = eight(eight(zip.len() - 34) + 48);
    let mut found = Vec::new();
    while zip[central..].starts_with(b"PK\x01\x02") {
        let (name, extra) = (two(central + 28), two(central + 30));
        let path = String::from_utf8(zip[central + 46..central + 46 + name].to_vec()).unwrap();
        let (size, at) = (eight(central + 46 + name + 4), eight(central + 46 + name + 20));
        let start = at + 30 + two(at + 26) + two(at + 28);
        found.push((path, zip[start..start + size].to_vec()));
        central += 46 + name + extra;
    }
    found
}

fn manifest(content: &[u8]) -> Vec<Value> {
    std::str::from_utf8(content).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn a_zip_has_what_is_collected_and_a_manifest_of_the_rest() {
    let gateway = prepared().await;
    let (fetches, listings) = (gateway.backend.fetches(), gateway.backend.listings());
    let response = ask(&gateway, "GET", &linux("case/?zip"), &[("User-Agent", BROWSER)], b"").await;
    assert!(response.complete && response.status == 200);
    assert_eq!(response.header("content-type"), Some("application/zip"));
    assert_eq!(response.header("content-disposition"), Some("attachment; filename*=UTF-8''case.zip"));
    assert_eq!(response.header("content-security-policy"), Some("sandbox; default-src 'none'"));
    assert_eq!((gateway.backend.fetches(), gateway.backend.listings()), (fetches, listings), "nobody was asked");
    let members = members(&response.body);
    let names: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
    // On Windows `a.txt` and `A.TXT` are one name, and `con` is no file.
    for name in ["case/", "case/a.txt", "case/sub/", "case/sub/‛con.log", "case/empty", "manifest.jsonl"] {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
    let twin = names.iter().find(|name| name.starts_with("case/A (case ") && name.ends_with(").TXT"));
    let twin = twin.unwrap_or_else(|| panic!("the twin in {names:?}"));
    let content = |name: &str| members.iter().find(|(known, _)| known == name).map(|(_, content)| content.as_slice());
    assert_eq!(content("case/a.txt"), Some(&b"alpha"[..]));
    assert_eq!(content(twin), Some(&b"other"[..]));
    let manifest = manifest(content("manifest.jsonl").unwrap());
    let line = |path: &str| {
        manifest.iter().find(|line| line["path"] == path).unwrap_or_else(|| panic!("{path}: {manifest:?}"))
    };
    assert_eq!(line("case/sub/never collected")["missing"], "not collected");
    assert_eq!(line("case/link")["link"], "../../../etc/passwd");
    assert_eq!(line("case/sub/‛con.log")["unsafe_on_windows"], true);
    assert_eq!(line("case/sub/‛con.log")["name"], "con.log");
    assert!(line("case/a.txt")["flow"].as_str().is_some_and(|flow| flow.starts_with("F.")));
    assert_eq!(line("case/a.txt")["modified"], "2020-01-01T00:00:00.123456789Z");
    assert_eq!(manifest[0]["source"], linux("case"));
}

#[tokio::test]
async fn a_tar_is_extracted_by_tar_to_the_same_bytes() {
    let gateway = prepared().await;
    let long = format!("{}.bin", "ö".repeat(100));
    gateway.backend.add_file(LINUX, "auto", &["case", &long], vec![7; 3 << 20]);
    ask(&gateway, "POST", "/-/api/v1/refresh", &[], serde_json::json!({"path": linux("case")}).to_string().as_bytes())
        .await;
    let wish = serde_json::json!({"path": linux(&format!("case/{long}"))}).to_string();
    ask(&gateway, "POST", "/-/api/v1/collect", &[], wish.as_bytes()).await;
    let response = ask(&gateway, "GET", &linux("case/?tar"), &[], b"").await;
    assert!(response.complete);
    let folder = std::env::temp_dir().join(format!("raptorgate-tar-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let mut tar = Command::new("tar").args(["-xf", "-", "-C"]).arg(&folder).stdin(Stdio::piped()).spawn().unwrap();
    tar.stdin.take().unwrap().write_all(&response.body).unwrap();
    assert!(tar.wait().unwrap().success());
    assert_eq!(std::fs::read(folder.join("case/A.TXT")).unwrap(), b"other");
    assert_eq!(std::fs::read(folder.join("case/sub/con.log")).unwrap(), b"device");
    assert_eq!(std::fs::read(folder.join("case").join(&long)).unwrap(), vec![7; 3 << 20]);
    let lines = manifest(&std::fs::read(folder.join("manifest.jsonl")).unwrap());
    assert!(lines.iter().any(|line| line["path"] == "case/link" && line["missing"].is_string()));
    // Directories are read-only in the archive.
    Command::new("chmod").args(["-R", "u+w"]).arg(&folder).status().unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn an_archive_whose_content_breaks_off_breaks_the_connection() {
    let gateway = gateway().await;
    gateway.backend.add_file(LINUX, "auto", &["case", "large"], vec![1; 4 << 20]);
    ask(&gateway, "PROPFIND", &linux("case/"), &[("Depth", "1")], b"").await;
    let wish = serde_json::json!({"path": linux("case/large")}).to_string();
    ask(&gateway, "POST", "/-/api/v1/collect", &[], wish.as_bytes()).await;
    gateway.backend.set_short_reads(true);
    for format in ["tar", "zip"] {
        let mut client = Client::connect(gateway.address).await;
        client.write("GET", &linux(&format!("case/?{format}")), &[], b"").await;
        // Nothing has left yet when the first piece fails, or something has and its end never comes.
        if client.read_head().await.is_some() {
            while let Some(chunk) = client.read_chunk().await {
                assert!(!chunk.is_empty(), "{format} ended as if it were whole");
            }
        }
    }
}

#[tokio::test]
async fn head_of_an_archive_says_what_it_would_be() {
    let gateway = prepared().await;
    let head = ask(&gateway, "HEAD", &linux("case/?tar"), &[], b"").await;
    assert_eq!((head.status, head.header("content-type")), (200, Some("application/x-tar")));
    let foreign = ask(&gateway, "GET", &linux("case/?tar"), &[("Sec-Fetch-Site", "cross-site")], b"").await;
    assert_eq!(foreign.status, 403);
}
