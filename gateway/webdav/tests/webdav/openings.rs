//! What may be opened, by whom: samples (D25), bursts (D39), the manual mode.

use raptorgate_webdav::{Opening, Samples};

use crate::support::*;

const DRIVES: [&str; 2] = [MINI_REDIR, FINDER];

async fn get(gateway: &Gateway, path: &str, agent: &str) -> Response {
    ask(gateway, "GET", &linux(path), &[("User-Agent", agent)], b"").await
}

#[tokio::test]
async fn samples_are_not_opened_through_a_drive_and_not_even_collected_for_it() {
    let gateway = gateway().await;
    for name in ["evil.exe", "evil.PS1", "evil.lnk", "evil.docm"] {
        gateway.backend.add_file(LINUX, "auto", &["samples", name], "MZ");
    }
    for agent in DRIVES {
        for name in ["evil.exe", "evil.PS1", "evil.lnk", "evil.docm"] {
            let refused = get(&gateway, &format!("samples/{name}"), agent).await;
            assert_eq!(refused.status, 403, "{name}");
            let address = format!("http://{}{}?as=zip", gateway.address, linux(&format!("samples/{name}")));
            assert!(
                refused.text().contains(&address) && refused.text().contains("--samples raw"),
                "{}",
                refused.text()
            );
        }
    }
    assert_eq!(gateway.backend.fetches(), 0);
    for agent in ["curl/8", "rclone/v1.60", "davfs2/1.6.1"] {
        assert_eq!(get(&gateway, "samples/evil.exe", agent).await.text(), "MZ");
    }
}

#[tokio::test]
async fn a_program_of_another_name_is_told_by_its_content() {
    let gateway = gateway().await;
    gateway.backend.add_file(LINUX, "auto", &["holiday.jpg"], "MZ\u{90}\0");
    gateway.backend.add_file(LINUX, "auto", &["notes.txt"], "nothing to see");
    for agent in DRIVES {
        assert_eq!(get(&gateway, "holiday.jpg", agent).await.status, 403);
        assert_eq!(get(&gateway, "notes.txt", agent).await.text(), "nothing to see");
    }
}

#[tokio::test]
async fn samples_are_served_as_they_are_where_that_is_switched_on() {
    let gateway = gateway_with(|config| config.samples = Samples::Raw).await;
    gateway.backend.add_file(LINUX, "auto", &["evil.exe"], "MZ");
    assert_eq!(get(&gateway, "evil.exe", MINI_REDIR).await.text(), "MZ");
}

#[tokio::test]
async fn a_sample_comes_in_an_encrypted_archive_of_known_length() {
    let gateway = gateway().await;
    let content: Vec<u8> = b"MZ".iter().copied().chain((0..3_000_000_u32).map(|byte| byte as u8)).collect();
    gateway.backend.add_file(LINUX, "auto", &["evil.exe"], content.clone());
    let path = format!("{}?as=zip", linux("evil.exe"));
    let archive = ask(&gateway, "GET", &path, &[], b"").await;
    assert_eq!((archive.status, archive.complete), (200, true));
    assert_eq!(archive.header("content-type"), Some("application/zip"));
    assert_eq!(archive.header("content-disposition"), Some("attachment; filename*=UTF-8''evil.exe.zip"));
    assert_eq!(archive.header("etag"), None);
    assert!(archive.body.starts_with(b"PK\x03\x04") && !archive.body.windows(64).any(|piece| piece == &content[..64]));
    let head = ask(&gateway, "HEAD", &path, &[], b"").await;
    assert_eq!(head.header("content-length").map(str::to_owned), Some(archive.body.len().to_string()));
    // The end of the central directory leads to it, and it names the file.
    let end = archive.body.len() - 22;
    assert!(archive.body[end..].starts_with(b"PK\x05\x06"));
    let start = u32::from_le_bytes(archive.body[end + 16..end + 20].try_into().unwrap()) as usize;
    assert!(archive.body[start..].starts_with(b"PK\x01\x02"));
    assert_eq!(&archive.body[start + 46..start + 54], b"evil.exe");
    let directory = ask(&gateway, "GET", &format!("{}?as=zip", linux("etc/link")), &[], b"").await;
    assert_eq!(directory.status, 400);
}

#[tokio::test]
async fn an_archive_of_content_that_ends_early_cuts_the_connection() {
    let gateway = gateway().await;
    gateway.backend.add_file(LINUX, "auto", &["f"], vec![1; 6_000_000]);
    gateway.backend.set_short_reads(true);
    let mut client = Client::connect(gateway.address).await;
    client.write("GET", &format!("{}?as=zip", linux("f")), &[], b"").await;
    let response = client.read(false).await;
    assert!(response.status >= 500 || !response.complete, "{}", response.status);
}

/// GETs of `count` files of one folder at the same time, none of which is answered before all were asked for.
async fn burst(gateway: &Gateway, agent: &str, count: usize) -> Vec<u16> {
    ask(gateway, "PROPFIND", &linux("pictures"), &[("Depth", "1")], b"").await;
    gateway.backend.hold_jobs();
    let mut clients = Vec::new();
    for number in 0..count {
        let mut client = Client::connect(gateway.address).await;
        client.write("GET", &linux(&format!("pictures/{number}.jpg")), &[("User-Agent", agent)], b"").await;
        clients.push(client);
    }
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    gateway.backend.release_jobs();
    let mut statuses = Vec::new();
    for client in &mut clients {
        statuses.push(client.read(false).await.status);
    }
    statuses.sort_unstable();
    statuses
}

#[tokio::test]
async fn many_files_of_a_folder_at_once_are_a_burst_for_those_who_draw_previews() {
    for (agent, served) in
        [(MINI_REDIR, 4), (FINDER, 4), ("gvfs/1.50.3", 4), ("rclone/v1.60", 20), ("davfs2/1.6.1", 20)]
    {
        let gateway = gateway().await;
        // Too large to come along with those that are opened.
        gateway.backend.add_file(LINUX, "auto", &["pictures", "20.jpg"], vec![7; 2 << 20]);
        for number in 0..20 {
            gateway.backend.add_file(LINUX, "auto", &["pictures", &format!("{number}.jpg")], "x");
        }
        let statuses = burst(&gateway, agent, 20).await;
        let expected: Vec<u16> = (0..20).map(|at| if at < served { 200 } else { 403 }).collect();
        assert_eq!(statuses, expected, "{agent}");
        let refusals = gateway.ledger.refusals();
        assert_eq!(refusals.len(), 20 - served);
        if served < 20 {
            let (endpoint, path, reason) = &refusals[0];
            assert!(endpoint == LINUX && path.starts_with(&linux("pictures/")) && reason.contains("at once"));
            let refused = get(&gateway, "pictures/20.jpg", agent).await;
            assert!(refused.text().contains("raptorgate collect"), "{}", refused.text());
            let meant = get(&gateway, "pictures/20.jpg?collect", agent).await;
            assert_eq!(meant.status, 200, "who asks in so many words is served");
            assert_eq!(get(&gateway, "pictures/20.jpg", agent).await.status, 200, "and what is here is served to all");
        }
    }
}

#[tokio::test]
async fn in_manual_mode_only_who_asks_for_it_collects() {
    let gateway = gateway_with(|config| config.opening = Opening::Manual).await;
    let path = linux("etc/hosts");
    for agent in [MINI_REDIR, "curl/8", "rclone/v1.60", "davfs2/1.6.1"] {
        let refused = get(&gateway, "etc/hosts", agent).await;
        assert_eq!(refused.status, 403, "{agent}");
        assert!(refused.text().contains(&format!("http://{}{path}", gateway.address)), "{}", refused.text());
    }
    assert_eq!(get(&gateway, "etc/hosts?as=zip", "curl/8").await.status, 403);
    assert_eq!(get(&gateway, "etc/empty", "curl/8").await.status, 200, "nothing has to be collected for it");
    assert_eq!(gateway.backend.fetches(), 0);
    let collected = ask(&gateway, "GET", &format!("{path}?collect"), &[], b"").await;
    assert_eq!(collected.text(), "127.0.0.1 localhost\n");
    assert_eq!(get(&gateway, "etc/hosts", MINI_REDIR).await.text(), "127.0.0.1 localhost\n");
}

#[tokio::test]
async fn a_refused_file_of_another_spelling_is_named_as_a_browser_finds_it() {
    let gateway = gateway_with(|config| config.opening = Opening::Manual).await;
    gateway.backend.add_file(WINDOWS, "auto", &["C:", "n.txt:stream"], "x");
    let path = format!("/raised/{WINDOWS}/auto/C%EF%BC%9A/n.txt%EF%BC%9Astream");
    let refused = ask(&gateway, "GET", &path, &[("User-Agent", MINI_REDIR)], b"").await;
    let address = format!("http://{}/{WINDOWS}/auto/C%3A/n.txt%3Astream in a browser", gateway.address);
    assert!(refused.text().contains(&address), "{}", refused.text());
}

#[tokio::test]
async fn programs_that_ask_for_every_sub_directory_cost_no_flow_for_each() {
    for agent in [DAVFS2, "Microsoft-WebDAV-MiniRedir/10.0.19045"] {
        let gateway = gateway().await;
        for number in 0..60 {
            gateway.backend.add_file(LINUX, "auto", &["home", &format!("user{number}"), "notes.txt"], "x");
        }
        ask(&gateway, "PROPFIND", &linux("home"), &[("Depth", "1"), ("User-Agent", agent)], b"").await;
        let before = gateway.backend.listings();
        for number in 0..60 {
            let path = linux(&format!("home/user{number}/"));
            let response = ask(&gateway, "PROPFIND", &path, &[("Depth", "1"), ("User-Agent", agent)], b"").await;
            assert_eq!((response.status, hrefs(response.text()).len()), (207, 2));
        }
        assert_eq!(gateway.backend.listings(), before, "{agent}: they had come along");
    }
}
