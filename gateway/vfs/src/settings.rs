//! The knobs of the model, with their defaults.

use std::time::Duration;

use crate::freshness::FreshnessPolicy;

/// How the VFS behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Ages of listings and copies.
    pub freshness: FreshnessPolicy,
    /// Bytes of listings in memory.
    pub listing_memory: usize,
    /// Bytes of content in memory.
    pub content_memory: usize,
    /// Files up to this size are collected by opening them (D15).
    pub automatic_collection_bytes: u64,
    /// Of larger files only what is read is collected, where the server can read ranges.
    pub ranges_above: u64,
    /// An endpoint that the server has not heard of for so long is offline.
    pub offline_after: Duration,
    /// A flow that was not delivered by then is cancelled (D17).
    pub start_by: Duration,
    /// Work for an endpoint that is away waits on the server so long for its return; `None`: it is refused.
    pub queue_offline: Option<Duration>,
    /// Ask for one level more than was wanted where that is cheap (D13).
    pub prefetch: bool,
    /// Further accessors to show (D2).
    pub accessors: Vec<String>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            freshness: FreshnessPolicy::default(),
            listing_memory: 48 << 20,
            content_memory: 64 << 20,
            automatic_collection_bytes: 256 << 20,
            ranges_above: 32 << 20,
            offline_after: Duration::from_secs(90),
            start_by: Duration::from_secs(15 * 60),
            queue_offline: None,
            prefetch: true,
            accessors: Vec::new(),
        }
    }
}
