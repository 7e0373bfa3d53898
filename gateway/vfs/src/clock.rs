//! Time as the VFS sees it: injected, so that tests decide what time it is.

use crate::timestamp::Timestamp;

/// Where "now" comes from. Waiting itself uses tokio's timers, which tests can pause.
pub trait Clock: Send + Sync + 'static {
    /// Wall-clock time, for ages of listings and for the ledger.
    fn now(&self) -> Timestamp;
}

/// The clock of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods)] // the one place that asks the operating system
    fn now(&self) -> Timestamp {
        let elapsed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp::new(i64::try_from(elapsed.as_secs()).unwrap_or(i64::MAX), elapsed.subsec_nanos())
    }
}
