//! What all targets share: one server of each protocol for the whole run, before a small tree. The same that the property tests of `gateway/nfs`
//! and `gateway/webdav` use; places for handles in inputs of NFS are filled with those of the server.

#[path = "../../gateway/nfs/tests/nfs/harness.rs"]
mod harness;
#[path = "../../gateway/webdav/tests/webdav/harness.rs"]
mod webdav_harness;

use std::sync::OnceLock;

pub use harness::Harness;
pub use webdav_harness::Target;

/// The NFS server.
pub fn harness() -> &'static Harness {
    static HARNESS: OnceLock<Harness> = OnceLock::new();
    HARNESS.get_or_init(Harness::start)
}

/// The WebDAV server.
pub fn webdav() -> &'static webdav_harness::Harness {
    static HARNESS: OnceLock<webdav_harness::Harness> = OnceLock::new();
    HARNESS.get_or_init(webdav_harness::Harness::start)
}
