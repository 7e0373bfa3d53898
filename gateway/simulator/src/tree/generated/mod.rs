//! Trees that are made as they are walked: a function of seed and path, so that nothing is stored and nothing costs.

mod linux;
mod linux_places;
mod node;
mod registry;
mod volume;
mod wild;
mod windows;
mod windows_places;

use std::sync::Arc;

use crate::clock::Clock;
use crate::config::Generated;
use crate::tree::FileSystem;

/// The file systems of a generated endpoint.
pub(crate) fn file_system(tree: Generated, seed: u64, clock: Clock) -> Arc<dyn FileSystem> {
    match tree {
        Generated::Linux => Arc::new(linux::Linux::new(seed, clock)),
        Generated::Windows => Arc::new(windows::Windows::new(seed, clock)),
    }
}
