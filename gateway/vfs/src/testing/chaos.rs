//! A layer under which everything that can go wrong between us and the server does, as its seed says.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};

use crate::backend::{Backend, Job, JobEvent, Layer, Method};
use crate::error::{Error, Result};

/// Delays calls, fails them before or after they were made, and breaks news off. The same seed does the same.
#[derive(Debug)]
pub struct Chaos {
    state: AtomicU64,
}

/// One in so many calls fails before it is made, and one loses its answer.
const FAILS: u64 = 10;
/// One in so many events is not told, and none after it.
const BREAKS: u64 = 10;
const LONGEST_DELAY_MILLIS: u64 = 300;

impl Chaos {
    /// What happens follows from `seed`.
    pub fn new(seed: u64) -> Chaos {
        Chaos { state: AtomicU64::new(seed) }
    }

    /// A number below `below`.
    fn draw(&self, below: u64) -> u64 {
        let state = self.state.fetch_add(1, Ordering::SeqCst);
        xxhash_rust::xxh3::xxh3_64(&state.to_le_bytes()) % below
    }

    fn delay(&self) -> Duration {
        Duration::from_millis(self.draw(LONGEST_DELAY_MILLIS))
    }
}

fn broken(method: Method) -> Error {
    Error::unreachable(format!("the connection broke ({})", method.name()))
}

impl Layer for Chaos {
    async fn around<T, F>(&self, method: Method, call: impl Fn() -> F + Send + Sync) -> Result<T>
    where
        T: Send,
        F: Future<Output = Result<T>> + Send,
    {
        tokio::time::sleep(self.delay()).await;
        if self.draw(FAILS) == 0 {
            return Err(broken(method));
        }
        let answer = call().await;
        tokio::time::sleep(self.delay()).await;
        if self.draw(FAILS) == 0 { Err(broken(method)) } else { answer }
    }

    fn watch(&self, job: &Job, inner: &Arc<dyn Backend>) -> BoxStream<'static, JobEvent> {
        let chaos = Chaos::new(self.draw(u64::MAX));
        stream::unfold((inner.watch(job), chaos), |(mut events, chaos)| async move {
            let event = events.next().await?;
            tokio::time::sleep(chaos.delay()).await;
            if chaos.draw(BREAKS) == 0 { None } else { Some((event, (events, chaos))) }
        })
        .boxed()
    }
}
