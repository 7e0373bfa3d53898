//! In-memory doubles for tests of this room and of the front ends: a backend, a store, a clock, and a VFS made of them.
//!
//! Time is tokio's, so that a test with paused time decides how long anything takes (D41).

mod backend;
mod chaos;
mod receive;
mod store;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

pub use backend::{FakeBackend, FakeEntry};
pub use chaos::Chaos;
pub use store::MemoryStore;

use crate::backend::Backend;
use crate::clock::Clock;
use crate::endpoint::EndpointId;
use crate::error::Result;
use crate::node::Keys;
use crate::principal::{Admission, Call, Event, Principal, Protocol, Recorder, Spend};
use crate::settings::Settings;
use crate::timestamp::Timestamp;
use crate::vfs::{Parts, Vfs};

/// A clock that follows tokio's time from a fixed moment on.
#[derive(Debug, Clone)]
pub struct TestClock {
    start: tokio::time::Instant,
}

impl TestClock {
    /// 2026-01-01T00:00:00Z now.
    #[allow(clippy::new_without_default)] // a moment is no default
    pub fn new() -> TestClock {
        TestClock { start: tokio::time::Instant::now() }
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::new(1_767_225_600, 0).plus(self.start.elapsed())
    }
}

/// Admits everything.
#[derive(Debug, Clone, Copy)]
pub struct AdmitAll;

#[async_trait]
impl Admission for AdmitAll {
    async fn admit(&self, _: &Call, _: &EndpointId, _: &str, _: &Spend) -> Result<()> {
        Ok(())
    }

    async fn would_admit(&self, _: &Call, _: &EndpointId, _: u64, _: u64) -> Result<()> {
        Ok(())
    }
}

/// Records nothing.
#[derive(Debug, Clone, Copy)]
pub struct RecordNothing;

impl Recorder for RecordNothing {
    fn record(&self, _: Event) {}
}

/// A VFS over `backend` with an empty store.
///
/// # Panics
/// Never: a memory store can always be read.
pub fn vfs(backend: &Arc<FakeBackend>) -> Vfs {
    vfs_with(backend, &Arc::new(MemoryStore::default()), Settings::default())
}

/// A VFS over `backend` and `store`.
///
/// # Panics
/// Never: a memory store can always be read.
pub fn vfs_with(backend: &Arc<FakeBackend>, store: &Arc<MemoryStore>, settings: Settings) -> Vfs {
    vfs_through(backend.clone(), backend, store, settings)
}

/// A VFS over `backend` through `layers`, which are around it.
///
/// # Panics
/// Never: a memory store can always be read.
#[allow(clippy::expect_used)] // test support
pub fn vfs_through(
    layers: Arc<dyn Backend>,
    backend: &FakeBackend,
    store: &Arc<MemoryStore>,
    settings: Settings,
) -> Vfs {
    Vfs::new(Parts {
        backend: layers,
        store: store.clone(),
        clock: backend.clock(),
        keys: Keys::new(&[42; 32]),
        admission: Arc::new(AdmitAll),
        recorder: Arc::new(RecordNothing),
        settings,
    })
    .expect("a memory store can be read")
}

/// A call by "tester" that bears 45 s of silence.
pub fn call() -> Call {
    Call::new(Principal::new("tester"), Protocol::Nfs, Duration::from_secs(45))
}
