//! What all targets share: one server for the whole run, before a small tree, and inputs whose places for handles are filled with its own.
//! The same that the property test of `gateway/nfs` uses.

#[path = "../../gateway/nfs/tests/nfs/harness.rs"]
mod harness;

use std::sync::OnceLock;

pub use harness::Harness;

/// The server.
pub fn harness() -> &'static Harness {
    static HARNESS: OnceLock<Harness> = OnceLock::new();
    HARNESS.get_or_init(Harness::start)
}
