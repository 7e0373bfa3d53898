//! The service over endpoints in memory, for trying real clients by hand and for measuring:
//! `cargo run --release -p raptorgate-webdav --example webdav_server -- 127.0.0.1:8085`.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a tool for developers

use std::time::Duration;

use bytes::Bytes;
use raptorgate_webdav::{Config, Credentials, Server};
use vfs::endpoint::System;
use vfs::testing::{FakeBackend, FakeEntry};
use vfs::{FileType, Principal, Timestamp};

#[path = "../tests/webdav/large.rs"]
mod large;

const LINUX: &str = "C.1111111111111111";
const WINDOWS: &str = "C.2222222222222222";
const OFFLINE: &str = "C.3333333333333333";

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let address = arguments.first().map_or("127.0.0.1:8085", String::as_str).parse().expect("an address");
    let backend = FakeBackend::new();
    fill(&backend);
    if let Some(seconds) =
        arguments.iter().position(|argument| argument == "--latency").and_then(|at| arguments.get(at + 1))
    {
        backend.set_latency(Duration::from_secs(seconds.parse().expect("seconds")));
    }
    let mut config = Config::new(Principal::new("developer"));
    config.listen = vec![address];
    if let Some(password) =
        arguments.iter().position(|argument| argument == "--password").and_then(|at| arguments.get(at + 1))
    {
        config.credentials = Some(Credentials { user: "analyst".into(), password: password.clone() });
    }
    config.connect =
        vec![("Linux, davfs2".into(), format!("mount -t davfs http://{address}/ /mnt -o ro,nosuid,nodev,noexec"))];
    let server = Server::start(large::vfs(&backend), config).await.expect("the service starts");
    println!("http://{}/", server.addresses()[0]);
    // Listings come from the backend at once: its clock stands still otherwise.
    tokio::time::sleep(Duration::from_secs(24 * 3600)).await;
    server.stop().await;
}

fn fill(backend: &std::sync::Arc<FakeBackend>) {
    backend.add_endpoint(LINUX, System::Linux, true);
    backend.add_endpoint(WINDOWS, System::Windows, true);
    backend.add_endpoint(OFFLINE, System::Linux, false);
    backend.add_file(LINUX, "auto", &["etc", "hosts"], "127.0.0.1 localhost\n");
    backend.add_file(LINUX, "auto", &["etc", "empty"], "");
    backend.add_link(LINUX, "auto", &["etc", "link"], "/etc/hosts");
    backend.add_directory(LINUX, "auto", &["empty"]);
    backend.add_directory(LINUX, "auto", &["denied"]);
    backend.deny(LINUX, "auto", &["denied"]);
    for name in ODD {
        backend.add_file(LINUX, "auto", &["odd", name], name.as_bytes().to_vec());
    }
    let mut random = 1_u64;
    let content: Vec<u8> = (0..64 << 20)
        .map(|_| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            (random >> 32) as u8
        })
        .collect();
    backend.add_file(LINUX, "auto", &["files", "64MiB.bin"], Bytes::from(content));
    backend.add_file(LINUX, "auto", &["files", "4KiB.bin"], vec![7; 4096]);
    for count in [1_000, 10_000, 100_000, 1_000_000] {
        backend.add_directory(LINUX, "auto", &["large", &format!("many-{count}")]);
    }
    let mut old = FakeEntry::new(FileType::Regular);
    old.modified = Some(Timestamp::new(-11_644_473_600, 100));
    backend.add_entry(WINDOWS, "auto", &["C:", "Users", "old.txt"], old);
    backend.add_file(WINDOWS, "auto", &["C:", "Users", "CON.txt"], "a device name");
    backend.add_file(WINDOWS, "auto", &["C:", "Users", "stream.txt:Zone.Identifier"], "[ZoneTransfer]\r\n");
    backend.add_file(WINDOWS, "auto", &["C:", "Users", "report\u{202e}txt.exe"], "MZ");
    backend.add_directory(WINDOWS, "auto", &["C:", "Windows", "System32"]);
    backend.add_file(OFFLINE, "auto", &["never", "seen"], "x");
}

/// Names that break clients and encoders.
const ODD: [&str; 24] = [
    "%41",
    "a#b",
    "a+b",
    "a b",
    "a&b",
    "a<b>",
    "a\"b'",
    "a;b",
    "a:b",
    "a?b",
    "a*b",
    "a|b",
    "back\\slash",
    "trailing ",
    " leading",
    "trailing.",
    "tab\there",
    "new\nline",
    "bell\u{7}",
    "caf\u{e9}",
    "cafe\u{301}",
    "\u{1f996}",
    "\u{202e}gpj.exe",
    "-dash",
];
