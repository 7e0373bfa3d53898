//! Measures the service over loopback, server and client in one process:
//! `cargo run --release -p raptorgate-webdav --example measure`.
//! Figures of this kind belong into docs/performance.md with the machine they were taken on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)] // a tool for developers

#[path = "../tests/webdav/large.rs"]
mod large;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use raptorgate_webdav::{Config, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use vfs::Principal;
use vfs::endpoint::System;
use vfs::testing::FakeBackend;

const CLIENT: &str = "C.1111111111111111";
const NAMED: &str = r#"<D:propfind xmlns:D="DAV:"><D:prop><D:resourcetype/><D:getcontentlength/><D:getlastmodified/></D:prop></D:propfind>"#;
const REPEATS: usize = 9;

#[tokio::main]
async fn main() {
    let backend = FakeBackend::new();
    backend.add_endpoint(CLIENT, System::Linux, true);
    for count in [1_000, 10_000, 100_000, 1_000_000] {
        backend.add_directory(CLIENT, "auto", &[&format!("many-{count}")]);
    }
    backend.add_file(CLIENT, "auto", &["small"], vec![7; 4096]);
    backend.add_file(CLIENT, "auto", &["large"], vec![7; 256 << 20]);
    let mut config = Config::new(Principal::new("measure"));
    config.listen = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
    let server = Server::start(large::vfs(&backend), config).await.expect("the service starts");
    let address = server.addresses()[0];
    println!("{:<44}{:>12}{:>12}{:>12}", "work", "first byte", "last byte", "bytes");
    for count in [1_000, 10_000, 100_000, 1_000_000] {
        for (title, body) in [("named", NAMED), ("allprop", "")] {
            let request = propfind(&format!("/{CLIENT}/auto/many-{count}"), body);
            let before = resident();
            let mut runs = Vec::new();
            for run in 0..=REPEATS {
                let measured = once(address, &request).await;
                if run > 0 {
                    runs.push(measured);
                }
            }
            runs.sort_by_key(|run| run.1);
            let (first, last, bytes) = runs[REPEATS / 2];
            println!(
                "{:<44}{:>12.1?}{:>12.1?}{:>12}   resident {} -> {} MiB",
                format!("PROPFIND {count} {title}"),
                first,
                last,
                bytes,
                before >> 20,
                resident() >> 20
            );
        }
    }
    let get = format!("GET /{CLIENT}/auto/large HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    once(address, get.as_bytes()).await;
    let mut best = Duration::MAX;
    for _ in 0..5 {
        best = best.min(once(address, get.as_bytes()).await.1);
    }
    println!("GET 256 MiB cached: {:.2} GB/s", f64::from(256 << 20) / best.as_secs_f64() / 1e9);
    small(address).await;
    server.stop().await;
}

async fn small(address: SocketAddr) {
    const CONNECTIONS: usize = 64;
    let request = format!("GET /{CLIENT}/auto/small HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let until = Instant::now() + Duration::from_secs(4);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..CONNECTIONS {
        let request = request.clone();
        tasks.spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let mut buffer = vec![0; 16 * 1024];
            let mut served = 0_u64;
            while Instant::now() < until {
                stream.write_all(request.as_bytes()).await.unwrap();
                let mut got = 0;
                let mut whole = usize::MAX;
                while got < whole {
                    got += stream.read(&mut buffer[got..]).await.unwrap();
                    if whole == usize::MAX
                        && let Some(end) = buffer[..got].windows(4).position(|window| window == b"\r\n\r\n")
                    {
                        whole = end + 4 + 4096;
                    }
                }
                served += 1;
            }
            served
        });
    }
    let mut served = 0;
    while let Some(count) = tasks.join_next().await {
        served += count.unwrap();
    }
    println!("GET 4 KiB, {CONNECTIONS} connections: {} requests/s", served / 4);
}

fn propfind(path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "PROPFIND {path} HTTP/1.1\r\nHost: localhost\r\nDepth: 1\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Time to the first byte, to the last, and the number of bytes.
async fn once(address: SocketAddr, request: &[u8]) -> (Duration, Duration, usize) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let start = Instant::now();
    stream.write_all(request).await.unwrap();
    let mut buffer = vec![0; 1 << 20];
    let mut total = 0;
    let mut first = None;
    loop {
        let count = stream.read(&mut buffer).await.unwrap();
        first.get_or_insert_with(|| start.elapsed());
        if count == 0 {
            return (first.unwrap_or_default(), start.elapsed(), total);
        }
        total += count;
    }
}

/// Resident memory of this process in bytes.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}
