//! davfs2's way of waiting (D37).

use crate::support::*;

const MARKER: &str = "%21raptorgate%20-%20NOT%20LISTED.txt";

#[tokio::test(start_paused = true)]
async fn davfs2_is_kept_waiting_with_white_space_and_then_gets_the_whole_listing() {
    let gateway = gateway().await;
    gateway.backend.hold_jobs();
    let before = tokio::time::Instant::now();
    let mut client = Client::connect(gateway.address).await;
    client.write("PROPFIND", &linux(""), &[("Depth", "1"), ("User-Agent", DAVFS2)], b"").await;
    let head = client.read_head().await.unwrap();
    assert_eq!((head.status, before.elapsed().as_secs()), (207, 25));
    let opening = client.read_chunk().await.unwrap();
    assert!(opening.ends_with(b"<D:multistatus xmlns:D=\"DAV:\">"));
    for _ in 0..10 {
        assert_eq!(client.read_chunk().await.unwrap(), b"\n");
    }
    let waited = before.elapsed().as_secs();
    assert!((70..=80).contains(&waited), "a sign of life every five seconds: {waited}");
    gateway.backend.release_jobs();
    let mut rest = Vec::new();
    loop {
        let chunk = client.read_chunk().await.expect("the answer ends cleanly");
        if chunk.is_empty() {
            break;
        }
        rest.extend_from_slice(&chunk);
    }
    let text = String::from_utf8(rest).unwrap();
    assert_eq!(hrefs(&text).len(), 4, "{text}");
    assert!(text.ends_with("</D:multistatus>"));
}

#[tokio::test]
async fn davfs2_sees_a_mark_where_a_directory_could_not_be_listed() {
    let gateway = gateway().await;
    let response =
        ask(&gateway, "PROPFIND", &format!("/{OFFLINE}/auto/"), &[("Depth", "1"), ("User-Agent", DAVFS2)], b"").await;
    assert_eq!((response.status, response.complete), (207, true));
    let marker = format!("/{OFFLINE}/auto/{MARKER}");
    assert_eq!(hrefs(response.text()), [format!("/{OFFLINE}/auto/"), marker.clone()]);
    let alone = ask(&gateway, "PROPFIND", &marker, &[("Depth", "0"), ("User-Agent", DAVFS2)], b"").await;
    assert!(alone.text().contains("<D:getcontentlength>0</D:getcontentlength>"), "{}", alone.text());
    let content = ask(&gateway, "GET", &marker, &[("User-Agent", DAVFS2)], b"").await;
    assert_eq!((content.status, content.body.len()), (200, 0));
    let others = ask(&gateway, "PROPFIND", &format!("/{OFFLINE}/auto/"), &[("Depth", "1")], b"").await;
    assert_eq!(others.status, 503);
}

#[tokio::test]
async fn without_the_mark_davfs2_gets_the_error() {
    let gateway = gateway_with(|config| config.not_listed_marker = false).await;
    let response =
        ask(&gateway, "PROPFIND", &format!("/{OFFLINE}/auto/"), &[("Depth", "1"), ("User-Agent", DAVFS2)], b"").await;
    assert_eq!(response.status, 503);
}

#[tokio::test(start_paused = true)]
async fn a_failure_after_the_answer_began_cuts_the_connection() {
    let gateway = gateway_with(|config| config.not_listed_marker = false).await;
    gateway.backend.deny(LINUX, "auto", &[]);
    gateway.backend.hold_jobs();
    let mut client = Client::connect(gateway.address).await;
    client.write("PROPFIND", &linux(""), &[("Depth", "1"), ("User-Agent", DAVFS2)], b"").await;
    assert_eq!(client.read_head().await.unwrap().status, 207);
    client.read_chunk().await.unwrap();
    gateway.backend.release_jobs();
    let mut text = Vec::new();
    while let Some(chunk) = client.read_chunk().await {
        assert!(!chunk.is_empty(), "the answer must not end cleanly");
        text.extend_from_slice(&chunk);
    }
    assert!(!String::from_utf8(text).unwrap().contains("</D:multistatus>"));
}
