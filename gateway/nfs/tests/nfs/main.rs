//! The NFS server over real sockets, before an endpoint in memory. One binary, one file per behaviour.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod client;
mod errors;
mod faults;
mod fuzzed;
mod harness;
mod large;
mod limits;
mod listing;
mod locks;
mod model;
mod mounting;
mod peers;
mod portmapper;
mod procedures;
mod protocol;
mod proxy;
mod reference;
mod tls;
mod waiting;

use std::net::SocketAddr;
use std::sync::Arc;

use raptorgate_nfs::{Config, PortmapMode, Server};
use vfs::System;
use vfs::testing::FakeBackend;

/// A backend with one endpoint `C.1` that is online.
fn backend() -> Arc<FakeBackend> {
    let backend = FakeBackend::new();
    backend.add_endpoint("C.1", System::Linux, true);
    backend
}

/// A server on a port of its own, without portmapper, that lets every local process in.
fn config() -> Config {
    Config {
        listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
        portmap: PortmapMode::Off,
        loopback_any: true,
        ..Config::default()
    }
}

async fn start(backend: &Arc<FakeBackend>) -> (Server, SocketAddr) {
    start_with(backend, config()).await
}

async fn start_with(backend: &Arc<FakeBackend>, config: Config) -> (Server, SocketAddr) {
    let server = Server::start(vfs::testing::vfs(backend), config).await.unwrap();
    let address = server.addresses()[0];
    (server, address)
}

/// Bytes without a pattern; the same for the same seed.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}
