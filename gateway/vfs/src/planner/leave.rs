//! Listings leave for their endpoint: at once if it takes them, together if they must wait anyway, the important ones first (D30).

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::prefetch::Reach;
use super::queue::{Class, Item};
use super::{Demand, LISTING_CPU, LISTING_ROWS, LISTING_TIMEOUT, TREE_ROWS, TREE_TIMEOUT};
use crate::backend::{Job, Limits, Outcome, Work};
use crate::error::{Error, Result};
use crate::flight::{Flight, abandoned, unwanted};
use crate::principal::Event;
use crate::timestamp::Timestamp;
use crate::tree::{Delivering, EndpointEntry};
use crate::vfs::Inner;

/// What became of a listing that wanted to leave.
pub(super) enum Answer {
    /// It left by itself.
    Alone(Turn),
    /// It left together with others, and is here.
    Listed,
    /// It left together with others, and this job did not bring it.
    Unlisted(Job, Outcome),
    /// The job that it left with says nothing of it: it should leave by itself.
    Apart,
}

/// A job of one's own, and what is to be given back after it.
pub(super) struct Turn {
    pub job: Job,
    /// The first of those that leave together stands for the delivery.
    delivering: Option<Delivering>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Turn {
    /// The server says that the endpoint took the job.
    pub(super) fn taken(&self, now: Timestamp) {
        if let Some(delivering) = &self.delivering {
            delivering.taken(now);
        }
    }

    /// The endpoint said something of the job.
    pub(super) fn heard(&mut self, now: Timestamp) {
        if let Some(delivering) = &mut self.delivering {
            delivering.heard(now);
        }
    }

    /// The job is over.
    pub(super) fn ended(&mut self, outcome: &Outcome, now: Timestamp) {
        if let Some(delivering) = &mut self.delivering {
            delivering.ended(outcome, now);
        }
    }
}

/// How a listing wants to leave.
pub(super) struct Wanted {
    pub class: Class,
    pub reach: Reach,
    pub joins: bool,
    pub what: &'static str,
}

/// Directories that leave as one job at most.
const TOGETHER: usize = 100;
/// Where a delivery will wait for a token, others who ask at the same moment leave with it.
const GATHER: Duration = Duration::from_millis(50);
/// What flows that leave side by side cost: the first goes out alone, the others follow together.
const SIDE_BY_SIDE: f64 = 2.0;

pub(super) const LISTING_LIMITS: Limits =
    Limits { timeout: LISTING_TIMEOUT, max_rows: LISTING_ROWS, max_upload_bytes: 0, cpu_percent: LISTING_CPU };
/// Of a whole tree that somebody asked for in so many words.
pub(super) const TREE_LIMITS: Limits =
    Limits { timeout: TREE_TIMEOUT, max_rows: TREE_ROWS, max_upload_bytes: 0, cpu_percent: LISTING_CPU };

impl Inner {
    /// Waits until the listing has left, or is here because it left with others.
    pub(super) async fn leave(
        self: &Arc<Self>,
        demand: &Demand,
        wanted: Wanted,
        flight: &Arc<Flight>,
    ) -> Result<Answer> {
        let Wanted { class, reach, joins, what } = wanted;
        let (reply, mut answer) = oneshot::channel();
        let due = demand.entry.token_due(self.clock.now());
        flight.update(|status| status.due = due);
        let item = Item { demand: demand.clone(), class, reach, joins, what, flight: flight.clone(), reply };
        if demand.entry.queue.push(item) {
            let entry = demand.entry.clone();
            let attendant = tokio::spawn(attend(self.clone(), entry.clone()));
            tokio::spawn(async move {
                if attendant.await.is_err() {
                    entry.queue.abandon();
                }
            });
        }
        let given_up = || Err(Error::backend("the gateway gave up on this listing; see its log"));
        let waiting: [&Flight; 1] = [flight];
        tokio::select! {
            biased;
            answer = &mut answer => answer.unwrap_or_else(|_| given_up()),
            () = abandoned(&waiting) => {
                // It may have left just now.
                answer.close();
                answer.try_recv().unwrap_or_else(|_| Err(unwanted()))
            }
        }
    }

    /// Lets the next ones leave.
    async fn let_leave(self: &Arc<Self>, entry: &Arc<EndpointEntry>, permit: OwnedSemaphorePermit) {
        let endpoint = entry.endpoint().id.clone();
        let many = entry.queue.len() > 1 && self.backend.capabilities(&endpoint).await.is_ok_and(|able| able.list_many);
        let others = match (many, entry.takes_several(self.clock.now())) {
            (true, _) => TOGETHER - 1,
            (false, true) => entry.listings.available_permits(),
            (false, false) => 0,
        };
        let batch = entry.queue.take(others);
        if batch.is_empty() {
            return;
        }
        if many && batch.len() > 1 {
            return self.leave_together(entry, permit, batch).await;
        }
        let tokens = if batch.len() > 1 { SIDE_BY_SIDE } else { 1.0 };
        let mut delivering = Some(entry.send(tokens, self.clock.now()));
        let mut permit = Some(permit);
        let departures = batch.into_iter().map(|item| {
            let delivering = delivering.take();
            let permit = permit.take().or_else(|| entry.listings.clone().try_acquire_owned().ok());
            // One that goes ahead of a walk takes long: others do not wait for its end.
            let permit = permit.filter(|_| item.class != Class::Walk || item.joins);
            self.leave_alone(item, permit, delivering)
        });
        join_all(departures.collect::<Vec<_>>()).await;
    }

    async fn leave_alone(&self, item: Item, permit: Option<OwnedSemaphorePermit>, delivering: Option<Delivering>) {
        let Reach { path, depth, limits, .. } = &item.reach;
        let work = Work::List { directory: path.clone(), depth: *depth };
        let job = self.queue_work(&item.demand.call, path, work, item.what, *limits).await;
        let started = job.as_ref().ok().cloned();
        let answer = job.map(|job| Answer::Alone(Turn { job, delivering, _permit: permit }));
        if item.reply.send(answer).is_err()
            && let Some(job) = started
        {
            self.give_up(&job, "nobody waits for it any more").await;
        }
    }

    async fn leave_together(
        self: &Arc<Self>,
        entry: &Arc<EndpointEntry>,
        permit: OwnedSemaphorePermit,
        batch: Vec<Item>,
    ) {
        let Some(Demand { path, call, .. }) = batch.first().map(|item| item.demand.clone()) else {
            return;
        };
        let work = Work::ListMany { directories: batch.iter().map(|item| item.demand.path.clone()).collect() };
        let what = together(&batch);
        let delivering = entry.send(1.0, self.clock.now());
        match self.queue_work(&call, &path, work, &what, LISTING_LIMITS).await {
            Ok(job) => {
                self.tell_others(&batch, &job);
                let inner = self.clone();
                tokio::spawn(async move {
                    inner.follow_many(batch, job, delivering).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%path, %error, "listings could not leave together; each goes by itself");
                for item in batch {
                    let _gone = item.reply.send(Ok(Answer::Apart));
                }
            }
        }
    }

    /// The ledger tells for whom else a job was started.
    fn tell_others(&self, batch: &[Item], job: &Job) {
        let mut told: Vec<&str> = batch.first().map(|item| &*item.flight.principal).into_iter().collect();
        for item in batch {
            if told.contains(&&*item.flight.principal) {
                continue;
            }
            told.push(&item.flight.principal);
            let Demand { path, call, .. } = &item.demand;
            self.recorder.record(Event::FlowStarted {
                at: self.clock.now(),
                principal: item.flight.principal.clone(),
                endpoint: path.endpoint.client_id.clone(),
                job: job.id.clone(),
                reason: super::submit::reason(call, "list, with others,", path).0,
            });
        }
    }
}

/// What a delivery for several is, in words.
fn together(batch: &[Item]) -> String {
    let mut others: Vec<&str> = batch.iter().skip(1).map(|item| &*item.flight.principal).collect();
    others.sort_unstable();
    others.dedup();
    format!("list, with {} more for {},", batch.len() - 1, others.join(", "))
}

/// Sees to it that what is in the queue leaves, until nothing is in it.
async fn attend(inner: Arc<Inner>, entry: Arc<EndpointEntry>) {
    while let Ok(permit) = entry.listings.clone().acquire_owned().await {
        let Some(class) = entry.queue.most_important() else {
            return;
        };
        let now = inner.clock.now();
        match entry.wait(now, class == Class::Behind) {
            None => {
                if entry.token_due(now).is_some() {
                    // It will wait for a token anyway.
                    tokio::time::sleep(GATHER).await;
                }
                inner.let_leave(&entry, permit).await;
            }
            Some(wait) => {
                drop(permit);
                let _stirred = tokio::time::timeout(wait, entry.queue.stirred()).await;
            }
        }
    }
}
