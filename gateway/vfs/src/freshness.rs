//! How old a listing may be: states of a directory and the policy that decides what a visit does (D14, D35).

use std::sync::Arc;
use std::time::Duration;

use crate::backend::{Cause, Observation};
use crate::timestamp::Timestamp;

/// What is known of a directory's listing.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Freshness {
    /// Never listed.
    Unknown,
    /// Listed; an older listing stays even if a later refresh failed.
    Listed {
        /// When and by which job.
        observation: Observation,
        /// Number of entries.
        entries: u32,
        /// The refresh after it failed so.
        failed_since: Option<Failed>,
    },
    /// Never listed, and the last attempt failed.
    Failed(Failed),
    /// One of the gateway's own directories: always true.
    Own,
}

/// A failed attempt to list.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Failed {
    /// When.
    pub at: Timestamp,
    /// What sort.
    pub cause: Cause,
    /// In words.
    pub message: Arc<str>,
}

/// Ages that decide what a visit does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FreshnessPolicy {
    /// Younger: served as it is.
    pub max_age: Duration,
    /// Younger: served at once, refreshed behind the caller's back. Older: an online endpoint makes the caller wait.
    pub max_stale: Duration,
    /// A failure younger than this is answered again without asking the endpoint.
    pub failure_age: Duration,
    /// A collected version younger than this is current even if a newer listing differs (D5).
    pub copy_max_age: Duration,
}

impl Default for FreshnessPolicy {
    fn default() -> FreshnessPolicy {
        FreshnessPolicy {
            max_age: Duration::from_secs(5 * 60),
            max_stale: Duration::from_secs(24 * 3600),
            failure_age: Duration::from_secs(10),
            copy_max_age: Duration::from_secs(3600),
        }
    }
}

/// What a visit of a listed directory does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visit {
    /// Serve it.
    Serve,
    /// Serve it and refresh in the background.
    ServeAndRefresh,
    /// Wait for a new listing if the endpoint is online, else serve it.
    Wait,
}

impl FreshnessPolicy {
    /// What to do with a listing of this age.
    pub fn visit(&self, age: Duration) -> Visit {
        if age <= self.max_age {
            Visit::Serve
        } else if age <= self.max_stale {
            Visit::ServeAndRefresh
        } else {
            Visit::Wait
        }
    }
}
