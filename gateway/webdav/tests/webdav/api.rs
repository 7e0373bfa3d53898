//! The JSON API, over TCP and over the control socket.

use std::os::unix::fs::PermissionsExt;

use raptorgate_webdav::{Config, Credentials, Server};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use vfs::Principal;

use crate::support::*;

async fn get(gateway: &Gateway, path: &str) -> (u16, Value) {
    let response = ask(gateway, "GET", path, &[], b"").await;
    (response.status, serde_json::from_slice(&response.body).unwrap())
}

async fn post(gateway: &Gateway, path: &str, body: Value) -> (u16, Vec<Value>) {
    let response = ask(gateway, "POST", path, &[], body.to_string().as_bytes()).await;
    assert!(response.complete);
    (response.status, response.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

#[tokio::test]
async fn status_and_clients_tell_what_the_program_and_the_model_know() {
    let gateway =
        gateway_with(|config| config.status = std::sync::Arc::new(|| serde_json::json!({"version": "9.9"}))).await;
    let (status, value) = get(&gateway, "/-/api/v1/status").await;
    assert_eq!((status, value["version"].as_str(), value["endpoints"]["known"].as_u64()), (200, Some("9.9"), Some(3)));
    let (_, clients) = get(&gateway, "/-/api/v1/clients").await;
    assert_eq!(clients.as_array().map(Vec::len), Some(3));
    assert!(clients.to_string().contains(LINUX));
}

#[tokio::test]
async fn connections_are_what_the_program_says_and_are_only_read() {
    let one = serde_json::json!([{"peer": "192.0.2.1:700", "kind": "linux"}]);
    let told = one.clone();
    let gateway = gateway_with(|config| config.connections = std::sync::Arc::new(move || told.clone())).await;
    assert_eq!(get(&gateway, "/-/api/v1/connections").await, (200, one));
    assert_eq!(ask(&gateway, "POST", "/-/api/v1/connections", &[], b"{}").await.status, 405);
}

#[tokio::test]
async fn metrics_are_the_programs_text_behind_the_password() {
    let metrics = "# TYPE x counter\nx 1\n";
    let gateway =
        gateway_with(|config| config.metrics = std::sync::Arc::new(|| "# TYPE x counter\nx 1\n".into())).await;
    let response = ask(&gateway, "GET", "/-/metrics", &[], b"").await;
    assert_eq!((response.status, response.text()), (200, metrics));
    assert!(response.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    assert_eq!(ask(&gateway, "POST", "/-/metrics", &[], b"").await.status, 405);
    let locked = gateway_with(|config| {
        config.credentials = Some(Credentials { user: "analyst".into(), password: "secret".into() });
    });
    assert_eq!(ask(&locked.await, "GET", "/-/metrics", &[], b"").await.status, 401);
}

#[tokio::test]
async fn refresh_and_collect_stream_progress_to_the_end() {
    let gateway = gateway().await;
    let (status, lines) =
        post(&gateway, "/-/api/v1/refresh", serde_json::json!({"path": linux("etc"), "depth": 0})).await;
    assert_eq!(status, 200);
    assert_eq!(lines.last().unwrap()["progress"], "done", "{lines:?}");
    let (status, lines) = post(&gateway, "/-/api/v1/collect", serde_json::json!({"path": linux("etc/hosts")})).await;
    assert_eq!(status, 200);
    assert_eq!(lines.last().unwrap()["progress"], "done", "{lines:?}");
    assert_eq!(gateway.backend.fetches(), 1);
    let (_, provenance) =
        get(&gateway, &format!("/-/api/v1/provenance?path={}", linux("etc/hosts").replace('/', "%2F"))).await;
    assert_eq!(provenance["name"], "hosts");
    let (status, activity) = get(&gateway, "/-/api/v1/activity").await;
    assert_eq!(status, 200);
    assert!(activity.as_array().unwrap().iter().any(|work| work["work"] == "collect"), "{activity}");
    let failed = serde_json::json!({"path": format!("/{OFFLINE}/auto")});
    let (_, lines) = post(&gateway, "/-/api/v1/refresh", failed).await;
    assert_eq!(lines.last().unwrap()["progress"], "failed", "{lines:?}");
}

#[tokio::test]
async fn nonsense_is_refused_as_json() {
    let gateway = gateway().await;
    for (method, path, body, status) in [
        ("POST", "/-/api/v1/refresh", "{}", 400),
        ("POST", "/-/api/v1/refresh", "nonsense", 400),
        ("POST", "/-/api/v1/refresh", r#"{"path":"/x","more":1}"#, 400),
        ("POST", "/-/api/v1/refresh", r#"{"path":"/../x"}"#, 403),
        ("POST", "/-/api/v1/refresh", r#"{"path":"/nothing"}"#, 404),
        ("GET", "/-/api/v1/refresh", "", 405),
        ("POST", "/-/api/v1/status", "", 405),
        ("GET", "/-/api/v1/provenance", "", 400),
        ("GET", "/-/api/v2/status", "", 404),
    ] {
        let response = ask(&gateway, method, path, &[], body.as_bytes()).await;
        let value: Value = serde_json::from_slice(&response.body).unwrap();
        assert_eq!(
            (response.status, value["status"].as_u64()),
            (status, Some(u64::from(status))),
            "{method} {path} {body}"
        );
    }
}

#[tokio::test]
async fn the_control_socket_serves_its_owner_without_a_password() {
    let directory = std::env::temp_dir().join(format!("raptorgate-webdav-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("control.sock");
    let gateway = gateway_with(|config| {
        config.credentials = Some(Credentials { user: "a".into(), password: "b".into() });
        config.control_socket = Some(path.clone());
    })
    .await;
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let mut stream = UnixStream::connect(&path).await.unwrap();
    stream.write_all(b"GET /-/api/v1/clients HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains(LINUX), "{answer}");
    let mut second = Config::new(Principal::new("second"));
    second.control_socket = Some(path.clone());
    let refused = Server::start(gateway.vfs.clone(), second.clone()).await;
    assert!(refused.is_err(), "a live socket is not taken over");
    gateway.server.stop().await;
    assert!(!path.exists());
    std::os::unix::net::UnixListener::bind(&path).unwrap();
    let server = Server::start(gateway.vfs.clone(), second).await.expect("a dead socket is replaced");
    server.stop().await;
    std::fs::remove_dir_all(&directory).unwrap();
}
