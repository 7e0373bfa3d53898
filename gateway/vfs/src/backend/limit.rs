//! The server is shared with those who work on it: only so much is asked of it at once.

use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::layer::{Layer, Method};
use super::{Backend, Job, JobEvent};
use crate::error::{Error, Result};

/// Bounds the flows that are under way and the reads that run at once, over all endpoints. What is too much waits its turn.
///
/// A flow counts from its queueing until its news end or nobody listens to them any more, or it is taken back; what nothing is heard of for a
/// minute waits for its endpoint, perhaps for days, and does not count meanwhile.
pub struct Limit {
    flows: Arc<Semaphore>,
    most_flows: u32,
    reads: Semaphore,
    /// Flows that nobody listens to yet.
    queued: DashMap<Job, OwnedSemaphorePermit>,
}

const SILENT: Duration = Duration::from_secs(60);

impl Limit {
    /// So many at once.
    pub fn new(flows: u32, reads: u32) -> Limit {
        Limit {
            flows: Arc::new(Semaphore::new(flows as usize)),
            most_flows: flows,
            reads: Semaphore::new(reads as usize),
            queued: DashMap::new(),
        }
    }
}

impl Default for Limit {
    fn default() -> Limit {
        Limit::new(256, 16)
    }
}

fn closing() -> Error {
    Error::backend("the gateway is ending")
}

impl Layer for Limit {
    async fn around<T, F>(&self, method: Method, call: impl Fn() -> F + Send + Sync) -> Result<T>
    where
        T: Send,
        F: Future<Output = Result<T>> + Send,
    {
        let _permit = match method {
            Method::Read => Some(self.reads.acquire().await.map_err(|_| closing())?),
            _ => None,
        };
        call().await
    }

    async fn submit<F>(&self, works: usize, call: impl Fn() -> F + Send + Sync) -> Result<Vec<Job>>
    where
        F: Future<Output = Result<Vec<Job>>> + Send,
    {
        let wanted = u32::try_from(works).unwrap_or(u32::MAX).min(self.most_flows);
        let mut permits = self.flows.clone().acquire_many_owned(wanted).await.map_err(|_| closing())?;
        let jobs = call().await?;
        for job in &jobs {
            if let Some(permit) = permits.split(1) {
                self.queued.insert(job.clone(), permit);
            }
        }
        Ok(jobs)
    }

    fn watch(&self, job: &Job, inner: &Arc<dyn Backend>) -> BoxStream<'static, JobEvent> {
        let permit = self.queued.remove(job).map(|(_, permit)| permit);
        stream::unfold((inner.watch(job), permit), |(mut events, mut permit)| async move {
            let next = match tokio::time::timeout(SILENT, events.next()).await {
                Ok(next) => next,
                Err(_) => {
                    drop(permit.take());
                    events.next().await
                }
            };
            next.map(|event| {
                let permit = permit.filter(|_| !matches!(event, JobEvent::Ended(_)));
                (event, (events, permit))
            })
        })
        .boxed()
    }

    fn taken_back(&self, job: &Job) {
        self.queued.remove(job);
    }
}
