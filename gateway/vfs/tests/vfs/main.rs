//! Behaviour of the model over an in-memory backend with paused time (D41): each test's name is the sentence that it proves.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod away;
mod collected;
mod content;
mod errors;
mod frozen;
mod joining;
mod listing;
mod lookup;
mod meta;
mod never_lie;
mod ranges;
mod reach;
mod restart;
mod stand_in;
mod together;
mod unwanted;
mod walk;

use std::sync::Arc;

use vfs::testing::{FakeBackend, call, vfs};
use vfs::{Call, Error, Found, Node, System, Vfs};

/// The endpoint of most tests.
const CLIENT: &str = "C.0000000000000001";
/// One that is never connected.
const OFFLINE: &str = "C.0000000000000002";

/// A Linux-like endpoint with a few files, an offline one, and a VFS over both that knows them.
async fn fixture() -> (Arc<FakeBackend>, Vfs) {
    let backend = backend();
    let vfs = vfs(&backend);
    know(&vfs).await;
    (backend, vfs)
}

fn backend() -> Arc<FakeBackend> {
    let backend = FakeBackend::new();
    backend.add_endpoint(CLIENT, System::Linux, true);
    backend.add_endpoint(OFFLINE, System::Linux, false);
    backend.add_file(CLIENT, "auto", &["etc", "hosts"], "127.0.0.1 localhost\n");
    backend.add_file(CLIENT, "auto", &["etc", "passwd"], "root:x:0:0\n");
    backend.add_file(CLIENT, "auto", &["etc", "ssh", "sshd_config"], "Port 22\n");
    backend.add_link(CLIENT, "auto", &["etc", "mtab"], "/proc/self/mounts");
    backend.add_directory(CLIENT, "auto", &["empty"]);
    backend.add_directory(OFFLINE, "auto", &["home"]);
    backend
}

/// Waits until the VFS has heard of the endpoints.
async fn know(vfs: &Vfs) {
    vfs.list(&Node::ROOT, &call()).await.unwrap();
}

async fn find(vfs: &Vfs, path: &str) -> Result<Found, Error> {
    find_as(vfs, path, &call()).await
}

async fn find_as(vfs: &Vfs, path: &str, call: &Call) -> Result<Found, Error> {
    let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
    vfs.resolve(&names, false, call).await
}

async fn names(vfs: &Vfs, path: &str) -> Result<Vec<String>, Error> {
    let found = find(vfs, path).await?;
    let listing = vfs.list(&found.node, &call()).await?;
    Ok((0..listing.len()).map(|ordinal| listing.name(ordinal, vfs::Profile::Posix).into_owned()).collect())
}

async fn content(vfs: &Vfs, path: &str) -> Result<Vec<u8>, Error> {
    let found = find(vfs, path).await?;
    read_all(vfs, &found.node).await
}

async fn read_all(vfs: &Vfs, node: &Node) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    loop {
        let data = vfs.read(node, bytes.len() as u64, 300_000, &call()).await?;
        for segment in &data.segments {
            bytes.extend_from_slice(segment);
        }
        if data.eof {
            return Ok(bytes);
        }
        assert!(!data.is_empty(), "a short read that is not the end");
    }
}

fn path(rest: &str) -> String {
    format!("/{CLIENT}/auto/{rest}")
}
