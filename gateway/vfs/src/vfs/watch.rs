//! Refresh and collection at somebody's explicit request, with news of how they go.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{BoxStream, StreamExt, unfold};

use super::{Inner, Progress};
use crate::backend::Job;
use crate::error::{Error, ErrorKind, Result};
use crate::flight::{Flight, Status};
use crate::node::{Node, NodeKind};
use crate::planner::Wish;
use crate::principal::Call;
use crate::store::{DirectoryKey, Place};

/// News come at most so often.
const PACE: Duration = Duration::from_millis(250);

impl Inner {
    pub(super) fn watch_refresh(
        self: &Arc<Self>,
        node: &Node,
        depth: u32,
        call: &Call,
    ) -> BoxStream<'static, Progress> {
        let inner = self.clone();
        let (node, call) = (*node, call.clone());
        let start = async move {
            if node.kind != NodeKind::Directory {
                return Err(Error::new(ErrorKind::NotDirectory, "this is not a directory"));
            }
            let directory = inner.tree.resolve(&node).await?;
            if let Some(flight) = inner.demand_uploads_anew(&directory).await? {
                return Ok(Some(flight));
            }
            if !matches!(directory.place, Place::Endpoint(_)) {
                return Ok(None);
            }
            inner.demand_listing(&directory, &call, Wish::Refresh(depth)).map(Some)
        };
        news(start, |status| format!("listed {} entries", status.rows))
    }

    /// Takes back the job called `id`, which is under way.
    pub(super) async fn cancel(&self, id: &str, call: &Call) -> Result<()> {
        let under_way =
            self.activities.list().into_iter().find(|work| work.job.as_deref() == Some(id) && work.ended.is_none());
        let work = under_way
            .ok_or_else(|| Error::absent("no flow of this name is under way here; see `raptorgate activity`"))?;
        let entry = self.endpoints.list().into_iter().find(|entry| entry.endpoint().id.client_id == work.endpoint);
        let endpoint =
            entry.ok_or_else(|| Error::stale("the server does not know this endpoint any more"))?.endpoint().id.clone();
        let job = Job { endpoint, id: id.into() };
        self.backend.cancel(&job).await?;
        self.record_cancelled(&job, &format!("by {}", call.principal.name()));
        self.away.taken_back(id, call.principal.name());
        Ok(())
    }

    pub(super) fn watch_collect(self: &Arc<Self>, node: &Node, call: &Call) -> BoxStream<'static, Progress> {
        let inner = self.clone();
        let (node, mut call) = (*node, call.clone());
        call.explicit = true;
        let start = async move {
            if node.kind != NodeKind::File {
                return Err(Error::new(ErrorKind::Unsupported, "only regular files can be collected"));
            }
            let directory = inner.tree.resolve_key(DirectoryKey { export: node.export, own: node.parent }).await?;
            inner.tree.load(&directory).await?;
            if directory.is_uploads() {
                return Ok(None);
            }
            let held = directory
                .file(node.own)
                .is_some_and(|record| record.collected.iter().any(|copy| copy.version == node.version));
            if held {
                return Ok(None);
            }
            inner.demand_collection(&directory, &node, &call).await.map(Some)
        };
        news(
            start,
            |status| {
                if status.bytes > 0 { format!("collected {} bytes", status.bytes) } else { "collected".to_owned() }
            },
        )
    }
}

enum Stage {
    Starting(futures_util::future::BoxFuture<'static, Result<Option<Arc<Flight>>>>),
    Watching { flight: Arc<Flight>, status: tokio::sync::watch::Receiver<Status>, first: bool },
    Over,
}

/// The news of a flight as a stream that ends with `Done` or `Failed`.
fn news(
    start: impl Future<Output = Result<Option<Arc<Flight>>>> + Send + 'static,
    summary: impl Fn(&Status) -> String + Send + Sync + Copy + 'static,
) -> BoxStream<'static, Progress> {
    unfold(Stage::Starting(Box::pin(start)), move |stage| async move {
        match stage {
            Stage::Starting(start) => match start.await {
                Ok(Some(flight)) => {
                    let status = flight.status();
                    let job = status.borrow().job.clone();
                    Some((Progress::Queued { job }, Stage::Watching { flight, status, first: true }))
                }
                Ok(None) => Some((Progress::Done { message: "already here".into() }, Stage::Over)),
                Err(error) => Some((Progress::Failed { message: error.message().into() }, Stage::Over)),
            },
            Stage::Watching { flight, mut status, first } => {
                if !first && status.borrow().ended.is_none() {
                    let _paced = tokio::time::timeout(PACE, status.wait_for(|status| status.ended.is_some())).await;
                }
                if status.borrow().ended.is_none() {
                    let _changed = status.changed().await;
                }
                let now = status.borrow_and_update().clone();
                match &now.ended {
                    Some(Ok(())) => Some((Progress::Done { message: summary(&now).into() }, Stage::Over)),
                    Some(Err(error)) => Some((Progress::Failed { message: error.message().into() }, Stage::Over)),
                    None => {
                        let progress = if now.rows + now.bytes > 0 {
                            Progress::Running { rows: now.rows, bytes: now.bytes }
                        } else if now.delivered {
                            Progress::Delivered
                        } else {
                            Progress::Queued { job: now.job.clone() }
                        };
                        Some((progress, Stage::Watching { flight, status, first: false }))
                    }
                }
            }
            Stage::Over => None,
        }
    })
    .boxed()
}
