//! The NFS server over real sockets, before an endpoint in memory. One binary, one file per behaviour.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod client;
mod errors;
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
