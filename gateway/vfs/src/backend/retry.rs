//! A server that restarts, or a connection that breaks, is no error of whoever reads: what may be asked twice is asked again for a while.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use tokio::time::Instant;

use super::layer::{Layer, Method};
use super::{Backend, Job, JobEvent};
use crate::error::Result;

/// Asks again what a broken connection has failed ([`crate::Error::is_passing`]), except `submit`: a flow might be started twice. An
/// outage is waited for once, from its beginning; as long as it lasts after that, calls fail at once.
#[derive(Debug)]
pub struct Retry {
    /// How long an outage is waited for.
    patience: Duration,
    outage: Mutex<Option<Outage>>,
}

#[derive(Debug, Clone, Copy)]
struct Outage {
    since: Instant,
    last_failure: Instant,
}

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// A failure so long after the one before it begins another outage.
const FORGOTTEN: Duration = Duration::from_secs(60);
/// How often the news of a job that broke off are asked for again, in all: each time they begin anew.
const WATCH_AGAIN: u32 = 5;

impl Retry {
    /// Waits so long for an outage to end.
    pub fn new(patience: Duration) -> Retry {
        Retry { patience, outage: Mutex::default() }
    }

    /// Notes a failure of a call that began at `began`; whether it is worth asking again.
    fn failed(&self, began: Instant) -> bool {
        let now = Instant::now();
        let mut outage = self.outage.lock().unwrap_or_else(PoisonError::into_inner);
        let known = outage.filter(|outage| now.duration_since(outage.last_failure) < FORGOTTEN);
        let since = known.map_or(began, |outage| outage.since);
        *outage = Some(Outage { since, last_failure: now });
        now.duration_since(since) < self.patience
    }

    fn succeeded(&self) {
        *self.outage.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Default for Retry {
    fn default() -> Retry {
        Retry::new(Duration::from_secs(10))
    }
}

impl Layer for Retry {
    async fn around<T, F>(&self, method: Method, call: impl Fn() -> F + Send + Sync) -> Result<T>
    where
        T: Send,
        F: Future<Output = Result<T>> + Send,
    {
        let mut pause = FIRST_PAUSE;
        loop {
            let began = Instant::now();
            match call().await {
                Err(error) if error.is_passing() => {
                    if !self.failed(began) || !method.is_repeatable() {
                        return Err(error);
                    }
                    tracing::debug!(%error, call = method.name(), "asked again");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                answered => {
                    self.succeeded();
                    return answered;
                }
            }
        }
    }

    fn watch(&self, job: &Job, inner: &Arc<dyn Backend>) -> BoxStream<'static, JobEvent> {
        let watched =
            Watched { events: inner.watch(job), job: job.clone(), inner: inner.clone(), broken: 0, ended: false };
        stream::unfold(watched, Watched::next).boxed()
    }
}

/// A job whose news are asked for again when they break off. What was told is told again then.
struct Watched {
    events: BoxStream<'static, JobEvent>,
    job: Job,
    inner: Arc<dyn Backend>,
    broken: u32,
    ended: bool,
}

impl Watched {
    async fn next(mut self) -> Option<(JobEvent, Watched)> {
        while !self.ended {
            if let Some(event) = self.events.next().await {
                self.ended = matches!(event, JobEvent::Ended(_));
                return Some((event, self));
            }
            if self.broken == WATCH_AGAIN {
                return None;
            }
            tracing::debug!(flow = %self.job.id, "the news of a flow broke off; asked for again");
            tokio::time::sleep(FIRST_PAUSE * 2u32.pow(self.broken)).await;
            self.broken += 1;
            self.events = self.inner.watch(&self.job);
        }
        None
    }
}
