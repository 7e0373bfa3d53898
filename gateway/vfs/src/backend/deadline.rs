//! No call lasts for ever, whatever the driver does.

use std::time::Duration;

use super::layer::{Layer, Method};
use crate::error::{Error, Result};

/// Ends calls that last too long. A driver has closer limits for each of its own calls to the server; this is the net below them, for
/// what they add up to.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    /// For queueing work and taking it back, and for listings that the server holds. What this ends may have been queued all the same, and a
    /// listing of millions takes a minute for each, so it is long.
    pub long: Duration,
    /// For everything else.
    pub short: Duration,
}

impl Default for Deadline {
    fn default() -> Deadline {
        Deadline { long: Duration::from_secs(300), short: Duration::from_secs(120) }
    }
}

impl Layer for Deadline {
    async fn around<T, F>(&self, method: Method, call: impl Fn() -> F + Send + Sync) -> Result<T>
    where
        T: Send,
        F: Future<Output = Result<T>> + Send,
    {
        let limit = match method {
            Method::Submit | Method::Cancel | Method::Held => self.long,
            Method::Read | Method::Presence | Method::Capabilities => self.short,
        };
        tokio::time::timeout(limit, call()).await.unwrap_or_else(|_| {
            let (call, seconds) = (method.name(), limit.as_secs());
            Err(Error::backend(format!("the server did not answer ({call}) within {seconds} s; try again")))
        })
    }
}
