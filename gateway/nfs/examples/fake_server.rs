//! Serves a made-up endpoint from memory, for trying real clients: `fake_server [ADDRESS] [auto|own|register|off] [ENTRIES] [LATENCY_MS]`.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::net::SocketAddr;
use std::time::Duration;

use raptorgate_nfs::{Config, PortmapMode, Server};
use vfs::testing::{FakeBackend, FakeEntry, vfs};
use vfs::{FileType, System};

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let address: SocketAddr =
        arguments.next().map_or("127.0.0.1:2049".parse().unwrap(), |text| text.parse().expect("an address"));
    let portmap = match arguments.next().as_deref() {
        Some("auto") => PortmapMode::Auto,
        Some("own") => PortmapMode::Own,
        Some("register") => PortmapMode::Register,
        _ => PortmapMode::Off,
    };
    let entries: usize = arguments.next().map_or(10_000, |text| text.parse().expect("a number"));
    let latency = arguments.next().map_or(100, |text| text.parse().expect("a number"));
    let backend = FakeBackend::new();
    backend.add_endpoint("C.1", System::Linux, true);
    backend.add_endpoint("C.2", System::Windows, true);
    backend.add_endpoint("C.3", System::Linux, false);
    backend.set_latency(Duration::from_millis(latency));
    for (name, content) in [
        ("hello", b"hello\n".to_vec()),
        ("empty", Vec::new()),
        ("big", (0u32..1 << 20).flat_map(u32::to_le_bytes).collect::<Vec<u8>>().repeat(16)),
    ] {
        backend.add_file("C.1", "auto", &["etc", name], content);
    }
    backend.add_link("C.1", "auto", &["etc", "link"], "hello");
    backend.add_link("C.1", "auto", &["etc", "absolute"], "/etc/hello");
    for (name, file_type) in [
        ("fifo", FileType::Fifo),
        ("socket", FileType::Socket),
        ("tty", FileType::CharacterDevice),
        ("disk", FileType::BlockDevice),
    ] {
        backend.add_entry("C.1", "auto", &["dev", name], FakeEntry::new(file_type));
    }
    let suid = FakeEntry { mode: 0o4755, ..FakeEntry::new(FileType::Regular) };
    backend.add_entry("C.1", "auto", &["bin", "suid"], suid);
    for number in 0..entries {
        let entry = FakeEntry { size: 7, content: "content".into(), ..FakeEntry::new(FileType::Regular) };
        backend.add_entry("C.1", "auto", &["many", &format!("entry-{number:06}")], entry);
    }
    backend.add_directory("C.1", "auto", &["tree"]);
    for directory in 0..100 {
        for file in 0..100 {
            backend.add_file(
                "C.1",
                "auto",
                &["tree", &format!("d{directory}"), &format!("f{file}")],
                format!("{directory}/{file}\n"),
            );
        }
    }
    backend.add_file("C.2", "auto", &["C:", "Users", "Alice", "note.txt"], "text\r\n");
    let config = Config { listen: vec![address], portmap, ..Config::default() };
    let server = Server::start(vfs(&backend), config).await.expect("the server starts");
    println!("{:?} {:?}", server.addresses(), server.portmap());
    tokio::signal::ctrl_c().await.expect("signals can be caught");
    println!("{}", serde_json::to_string(&server.metrics()).expect("metrics are JSON"));
    server.stop().await;
}
