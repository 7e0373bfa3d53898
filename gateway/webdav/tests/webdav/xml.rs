//! Bodies that attack the parser.

use crate::support::*;

#[tokio::test]
async fn hostile_bodies_are_refused_and_the_service_goes_on() {
    let gateway = gateway().await;
    let nested = format!("{}{}", "<a>".repeat(3_000), "</a>".repeat(3_000));
    assert!(nested.len() > 20_000);
    let deep = format!("{}{}", "<a>".repeat(1_000), "</a>".repeat(1_000));
    let many = format!("<propfind xmlns='DAV:'><prop>{}</prop></propfind>", "<a/>".repeat(600));
    let bomb = "<!DOCTYPE a [<!ENTITY b 'bbbbbbbb'><!ENTITY c '&b;&b;&b;&b;'>]><propfind xmlns='DAV:'><prop>&c;</prop></propfind>";
    let mut client = Client::connect(gateway.address).await;
    for (body, status) in [
        (nested.as_str(), 413),
        (deep.as_str(), 413),
        (many.as_str(), 413),
        (bomb, 400),
        ("<propfind xmlns='DAV:'><prop>", 400),
        ("not xml", 400),
        ("<x:propfind><x:prop/></x:propfind>", 400),
        ("<D:propfind xmlns:D='DAV:'><D:prop><x xmlns:y=''/></D:prop></D:propfind>", 400),
        ("<D:propfind xmlns:D='DAV:'><D:prop/></D:propfind>", 207),
    ] {
        let response = client.send("PROPFIND", "/", &[("Depth", "0")], body.as_bytes()).await;
        assert_eq!(response.status, status, "{}", &body[..body.len().min(60)]);
        if response.header("connection") == Some("close") {
            client = Client::connect(gateway.address).await;
        }
    }
}

#[tokio::test]
async fn infinite_depth_is_refused_with_its_condition() {
    let gateway = gateway().await;
    let response = ask(&gateway, "PROPFIND", "/", &[("Depth", "infinity"), ("X-Litmus", "basic")], b"").await;
    assert_eq!(response.status, 403);
    assert!(response.text().contains("<D:propfind-finite-depth/>"));
    let missing = ask(&gateway, "PROPFIND", &linux("etc"), &[], b"").await;
    assert!(hrefs(missing.text()).len() > 1, "without Depth, itself and its children");
    let file = ask(&gateway, "PROPFIND", &linux("etc/hosts"), &[], b"").await;
    assert_eq!(hrefs(file.text()).len(), 1);
}
