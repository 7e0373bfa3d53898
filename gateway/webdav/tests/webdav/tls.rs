//! TLS and HTTP/2: the same answers, the same limits, and a certificate that can be renewed.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use raptorgate_webdav::{Config, Credentials, TlsFiles};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::*;

/// Certificate and key of the gateway in a folder of their own.
struct Files {
    folder: TempDir,
}

impl Files {
    fn new() -> Files {
        let files = Files { folder: TempDir::new().unwrap() };
        files.renew(&["127.0.0.1"]);
        files
    }

    fn renew(&self, names: &[&str]) -> CertificateDer<'static> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
        fs::write(self.folder.path().join("key.pem"), key.serialize_pem()).unwrap();
        fs::write(self.folder.path().join("certificate.pem"), certificate.pem()).unwrap();
        certificate.der().clone()
    }

    fn configure(&self, config: &mut Config) {
        let file = |name| self.folder.path().join(name);
        config.tls = Some(TlsFiles { certificate: file("certificate.pem"), key: file("key.pem"), client_ca: None });
    }

    fn client(&self, protocols: &[&[u8]]) -> ClientConfig {
        use rustls::pki_types::pem::PemObject;
        let pem = self.folder.path().join("certificate.pem");
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(pem).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut client = builder.with_root_certificates(roots).with_no_client_auth();
        client.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        client
    }
}

async fn connect(address: SocketAddr, client: ClientConfig) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    TlsConnector::from(Arc::new(client)).connect("127.0.0.1".try_into().unwrap(), stream).await
}

async fn http2(address: SocketAddr, files: &Files) -> SendRequest<Empty<bytes::Bytes>> {
    let stream = connect(address, files.client(&[b"h2", b"http/1.1"])).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn request(gateway: &Gateway, method: &str, path: &str) -> http::request::Builder {
    http::Request::builder().method(method).uri(format!("https://{}{path}", gateway.address))
}

fn empty() -> Empty<bytes::Bytes> {
    Empty::new()
}

#[tokio::test]
async fn http_2_and_http_1_1_give_the_same_answers_through_tls() {
    let files = Files::new();
    let gateway = gateway_with(|config| files.configure(config)).await;
    let content: Vec<u8> = (0..3_000_003_u32).map(|byte| (byte * 31 % 251) as u8).collect();
    gateway.backend.add_file(LINUX, "auto", &["big.bin"], content.clone());
    let mut sender = http2(gateway.address, &files).await;
    let listing =
        sender.send_request(request(&gateway, "PROPFIND", &linux("etc")).header("depth", "1").body(empty()).unwrap());
    let listing = listing.await.unwrap();
    assert_eq!(listing.status(), 207);
    let over_h2 = listing.into_body().collect().await.unwrap().to_bytes();
    let head = sender.send_request(request(&gateway, "HEAD", &linux("big.bin")).body(empty()).unwrap()).await.unwrap();
    assert_eq!((head.status().as_u16(), &head.headers()["content-length"]), (200, &http::HeaderValue::from(3_000_003)));
    assert!(
        tokio::time::timeout(Duration::from_secs(5), head.into_body().collect())
            .await
            .unwrap()
            .unwrap()
            .to_bytes()
            .is_empty()
    );
    let whole = sender.send_request(request(&gateway, "GET", &linux("big.bin")).body(empty()).unwrap()).await.unwrap();
    assert!(whole.into_body().collect().await.unwrap().to_bytes() == content);

    let mut stream = connect(gateway.address, files.client(&[])).await.unwrap();
    let text = format!(
        "PROPFIND {} HTTP/1.1\r\nHost: {}\r\nDepth: 1\r\nConnection: close\r\n\r\n",
        linux("etc"),
        gateway.address
    );
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 207"), "{answer}");
    assert!(answer.contains(std::str::from_utf8(&over_h2).unwrap()), "the same listing");
}

#[tokio::test]
async fn guards_hold_over_http_2() {
    let files = Files::new();
    let gateway = gateway_with(|config| {
        files.configure(config);
        config.credentials = Some(Credentials { user: "raptorgate".into(), password: "secret".into() });
    })
    .await;
    let mut sender = http2(gateway.address, &files).await;
    let login = "Basic cmFwdG9yZ2F0ZTpzZWNyZXQ=";
    let mut status = async |builder: http::request::Builder| -> (u16, String) {
        let response = sender.send_request(builder.body(empty()).unwrap()).await.unwrap();
        let status = response.status().as_u16();
        (status, String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap())
    };
    assert_eq!(status(request(&gateway, "GET", "/")).await.0, 401);
    assert_eq!(status(request(&gateway, "GET", "/").header("authorization", login)).await.0, 200);
    let stranger = http::Request::builder().uri("https://evil.example/").header("authorization", login);
    assert_eq!(status(stranger).await.0, 421);
    let origin = format!("https://{}", gateway.address);
    let own = request(&gateway, "POST", &format!("/{LINUX}/auto/?refresh")).header("authorization", login);
    assert_eq!(status(own.header("origin", &origin)).await.0, 303, "our own form, by the host of HTTP/2");
    let foreign = request(&gateway, "POST", &format!("/{LINUX}/auto/?refresh")).header("authorization", login);
    assert_eq!(status(foreign.header("origin", "https://evil.example")).await.0, 403);
    let kit = request(&gateway, "GET", "/-/connect/windows.reg").header("authorization", login);
    let (_, kit) = status(kit).await;
    assert!(kit.contains(&format!("{origin}/raised/")) && !kit.contains("\"BasicAuthLevel\""), "{kit}");
}

#[tokio::test]
async fn content_that_ends_early_resets_the_stream_and_leaves_the_others() {
    let files = Files::new();
    let gateway = gateway_with(|config| files.configure(config)).await;
    gateway.backend.add_file(LINUX, "auto", &["f"], vec![7; 6_000_000]);
    gateway.backend.set_short_reads(true);
    let mut sender = http2(gateway.address, &files).await;
    let response = sender.send_request(request(&gateway, "GET", &linux("f")).body(empty()).unwrap()).await.unwrap();
    if response.status() == 200 {
        let error = response.into_body().collect().await.unwrap_err();
        assert!(format!("{error:?}").contains("Reset"), "{error:?}");
    } else {
        assert!(response.status().is_server_error());
    }
    gateway.backend.set_short_reads(false);
    let other =
        sender.send_request(request(&gateway, "GET", &linux("etc/hosts")).body(empty()).unwrap()).await.unwrap();
    assert_eq!(other.into_body().collect().await.unwrap().to_bytes(), "127.0.0.1 localhost\n");
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_off_and_one_that_says_nothing_is_sent_away() {
    let files = Files::new();
    let gateway = gateway_with(|config| {
        files.configure(config);
        config.write_timeout = Duration::from_millis(600);
        config.header_timeout = Duration::from_millis(600);
    })
    .await;
    gateway.backend.add_file(LINUX, "auto", &["f"], vec![7; 6_000_000]);
    let mut sender = http2(gateway.address, &files).await;
    let response = sender.send_request(request(&gateway, "GET", &linux("f")).body(empty()).unwrap()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(response.into_body().collect().await.is_err(), "what was not taken in time is not finished later");
    let idle = http2(gateway.address, &files).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(idle.is_closed());
}

#[tokio::test]
async fn a_new_certificate_is_taken_without_a_restart_and_a_bad_one_is_not() {
    let files = Files::new();
    let gateway = gateway_with(|config| files.configure(config)).await;
    assert!(connect(gateway.address, files.client(&[])).await.is_ok());
    let old = files.client(&[]);
    files.renew(&["127.0.0.1", "a-longer-name.example"]);
    assert!(connect(gateway.address, files.client(&[])).await.is_ok());
    assert!(connect(gateway.address, old).await.is_err(), "the old one is gone");
    fs::write(files.folder.path().join("key.pem"), "garbage").unwrap();
    assert!(connect(gateway.address, files.client(&[])).await.is_ok(), "what works goes on");
}

#[tokio::test]
async fn who_speaks_plain_http_to_a_protected_address_is_told_so() {
    let files = Files::new();
    let gateway = gateway_with(|config| files.configure(config)).await;
    let response = ask(&gateway, "GET", "/", &[], b"").await;
    assert_eq!((response.status, response.complete), (400, true));
    assert!(response.text().contains("https://"), "{}", response.text());
}
