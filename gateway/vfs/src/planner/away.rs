//! Work for endpoints that are away (`offline: queue`, D17): its flow waits on the server, across restarts of the gateway too, and what it
//! brings is kept when the endpoint is back, whether anybody asks or not.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tokio::time::{sleep, timeout};

use super::earlier::{Brought, follow};
use super::leave::LISTING_LIMITS;
use super::queue::Class;
use super::{ATTEMPTS, Demand, Wish};
use crate::backend::{JobEvent, Limits, Work};
use crate::error::{Error, ErrorKind, Result};
use crate::flight::{EndOnDrop, Flight};
use crate::path::EndpointPath;
use crate::principal::{Call, Principal, Protocol, Spend};
use crate::store::{ForReturn, JobRecord};
use crate::timestamp::Timestamp;
use crate::tree::EndpointEntry;
use crate::vfs::Inner;

/// Flows that wait for the return of their endpoints, by what they are to bring.
#[derive(Default)]
pub(crate) struct Away {
    waiting: Mutex<HashMap<EndpointPath, Waiting>>,
}

/// A flow that waits on the server.
#[derive(Clone)]
pub(crate) struct Waiting {
    flight: Arc<Flight>,
    until: Timestamp,
}

/// What is to be brought when an endpoint is back, and for whom.
pub(crate) struct OnReturn<'a> {
    pub entry: &'a Arc<EndpointEntry>,
    pub call: &'a Call,
    pub path: &'a EndpointPath,
    pub spend: Spend,
    pub what: ForReturn,
}

/// Flows that wait for one endpoint: a walk through what was cached of it must not leave it thousands of tasks.
const MOST: usize = 20;
/// The server tells the flow's id within this time, or the answer does not name it.
const TOLD: Duration = Duration::from_secs(10);
/// When the endpoint is back, its flows come within seconds; who waits longer does not rely on it.
const COMES: Duration = Duration::from_secs(30);
/// The end date is looked at so often at least, and a task that was lost is queued again after such a pause.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// Time on the endpoint for a collection, at least.
const COLLECTION_TIMEOUT: Duration = Duration::from_secs(600);

impl Away {
    fn waiting(&self) -> MutexGuard<'_, HashMap<EndpointPath, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The flow that brings `path`, if one waits.
    fn of(&self, path: &EndpointPath) -> Option<Waiting> {
        self.waiting().get(path).filter(|waiting| !waiting.flight.has_ended()).cloned()
    }

    /// The same, and whether it was made just now.
    fn join(&self, path: &EndpointPath, make: impl FnOnce() -> Waiting) -> Result<(Waiting, bool)> {
        let mut all = self.waiting();
        all.retain(|_, waiting| !waiting.flight.has_ended());
        if let Some(waiting) = all.get(path) {
            return Ok((waiting.clone(), false));
        }
        if all.keys().filter(|other| other.endpoint == path.endpoint).count() >= MOST {
            return Err(Error::new(ErrorKind::Budget, format!("{MOST} others do already")));
        }
        let waiting = make();
        all.insert(path.clone(), waiting.clone());
        Ok((waiting, true))
    }

    /// Flow and end date of what waits for `path`.
    pub(crate) fn told(&self, path: &EndpointPath) -> Option<(Arc<str>, Timestamp)> {
        let waiting = self.of(path)?;
        Some((waiting.job()?, waiting.until))
    }

    /// What waits for `directory`, or for a file in it: names, flows and end dates.
    pub(crate) fn told_in(&self, directory: &EndpointPath) -> Vec<(String, Arc<str>, Timestamp)> {
        let all = self.waiting();
        let here = |path: &EndpointPath| path == directory || path.parent().as_ref() == Some(directory);
        let running = all.iter().filter(|(path, waiting)| here(path) && !waiting.flight.has_ended());
        let mut told: Vec<_> =
            running.filter_map(|(path, waiting)| Some((path.to_string(), waiting.job()?, waiting.until))).collect();
        told.sort();
        told
    }

    /// The flow `job` was taken back.
    pub(crate) fn taken_back(&self, job: &str, by: &str) {
        for waiting in self.waiting().values().filter(|waiting| waiting.job().as_deref() == Some(job)) {
            waiting.flight.end(Err(Error::backend(format!("taken back by {by}"))));
        }
    }
}

impl Waiting {
    fn new(path: &EndpointPath, lists: bool, principal: &str, until: Timestamp, now: Timestamp) -> Waiting {
        let work = if lists { "list" } else { "collect" };
        let flight = Flight::new(path.endpoint.client_id.clone(), path.to_string(), work, principal.into(), now);
        flight.keep();
        flight.update(|status| status.queued_until = Some(until));
        Waiting { flight, until }
    }

    fn job(&self) -> Option<Arc<str>> {
        self.flight.status().borrow().job.clone()
    }
}

impl Inner {
    /// Takes up a flow that waited for its endpoint when an earlier process ended.
    pub(crate) fn expect_return(self: &Arc<Self>, record: &JobRecord) {
        let made = || Waiting::new(&record.path, record.lists, &record.principal, record.start_by, self.clock.now());
        // There are no more than there were.
        let Ok((waiting, true)) = self.away.join(&record.path, made) else { return };
        waiting.flight.update(|status| status.job = Some(record.job.id.clone()));
        self.activities.add(waiting.flight.clone());
    }

    /// Goes on with it, once the endpoints are known.
    pub(super) fn follow_return(self: &Arc<Self>, record: JobRecord, entry: Arc<EndpointEntry>) {
        if let Some(Waiting { flight, .. }) = self.away.of(&record.path) {
            tokio::spawn(run(self.clone(), entry, record, EndOnDrop(flight)));
        }
    }

    /// What a demand for a listing of an endpoint that is away is told.
    pub(super) async fn listed_on_return(self: &Arc<Self>, demand: &Demand, error: Error) -> Error {
        let depth = match demand.wish {
            Wish::First | Wish::Way if demand.directory.state().listing.is_none() => {
                // Nobody stands before a screen and waits: a level, not two.
                self.reach_of(demand, Class::Walk).await.depth
            }
            Wish::Refresh(depth) => depth,
            _ => return error,
        };
        let what = ForReturn { depth, max_upload_bytes: 0, lost: 0 };
        let Demand { entry, call, path, .. } = demand;
        self.on_return(OnReturn { entry, call, path, spend: Spend::Listing, what }, error).await
    }

    /// What is told of `path` of an endpoint that is away: as which flow it waits for the endpoint's return, if that is wished.
    pub(crate) async fn on_return(self: &Arc<Self>, wanted: OnReturn<'_>, error: Error) -> Error {
        let waits = match (self.away.of(wanted.path), self.settings.queue_offline) {
            (Some(waiting), _) => Ok(waiting),
            (None, Some(time)) => self.wait_for_return(wanted, time).await,
            (None, None) => return error,
        };
        let more = match &waits {
            Ok(waiting) => {
                let mut status = waiting.flight.status();
                let known = status.wait_for(|status| status.job.is_some() || status.ended.is_some());
                let job = timeout(TOLD, known).await.ok().and_then(|known| known.ok().and_then(|now| now.job.clone()));
                let flow = job.map_or_else(|| "a flow".into(), |job| format!("flow {job}"));
                let until = waiting.until.to_rfc3339();
                format!("but {flow} waits on the server until {until}, and brings it when the endpoint is back")
            }
            Err(why) => format!("and no flow waits for its return: {}", why.message()),
        };
        Error::offline(format!("{}, {more}", error.message()))
    }

    async fn wait_for_return(self: &Arc<Self>, wanted: OnReturn<'_>, time: Duration) -> Result<Waiting> {
        let OnReturn { entry, call, path, spend, what } = wanted;
        let (now, lists) = (self.clock.now(), spend == Spend::Listing);
        let made = || Waiting::new(path, lists, call.principal.name(), now.plus(time), now);
        let (waiting, is_new) = self.away.join(path, made)?;
        if !is_new {
            return Ok(waiting);
        }
        let guard = EndOnDrop(waiting.flight.clone());
        let queued = async {
            self.admission.admit(call, &path.endpoint, &path.to_string(), &spend).await?;
            self.queue_for_return(call, path, lists, what, waiting.until).await
        };
        match queued.await {
            Ok(record) => {
                tracing::info!(flow = %record.job.id, %path, "the endpoint is away; the flow waits for it on the server");
                waiting.flight.update(|status| status.job = Some(record.job.id.clone()));
                self.activities.add(waiting.flight.clone());
                tokio::spawn(run(self.clone(), entry.clone(), record, guard));
                Ok(waiting)
            }
            Err(error) => {
                waiting.flight.end(Err(error.clone()));
                Err(error)
            }
        }
    }

    async fn queue_for_return(
        &self,
        call: &Call,
        path: &EndpointPath,
        lists: bool,
        what: ForReturn,
        until: Timestamp,
    ) -> Result<JobRecord> {
        let (work, limits, name) = if lists {
            (Work::List { directory: path.clone(), depth: what.depth }, LISTING_LIMITS, "list, on its return,")
        } else {
            let timeout = COLLECTION_TIMEOUT + Duration::from_secs(what.max_upload_bytes >> 22);
            let limits = Limits { timeout, max_rows: 0, max_upload_bytes: what.max_upload_bytes, cpu_percent: 0 };
            (Work::Fetch { files: vec![path.clone()] }, limits, "collect, on its return,")
        };
        self.queue_recorded(call, path, work, name, limits, |record| {
            (record.start_by, record.kept, record.for_return) = (until, true, Some(what));
        })
        .await
    }

    /// If the endpoint is there again, waits for a flow that was queued while it was away and brings `path`; whether it came.
    pub(crate) async fn came_back(&self, entry: &EndpointEntry, path: &EndpointPath, flight: &Flight) -> bool {
        let Some(waiting) = self.away.of(path) else { return false };
        let online = entry.is_online(&*self.backend, &*self.clock, self.settings.offline_after).await;
        if !online.unwrap_or(false) {
            return false;
        }
        flight.update(|status| status.job = waiting.job());
        let mut status = waiting.flight.status();
        let heard = status.wait_for(|status| status.ended.is_some() || status.rows + status.bytes > 0);
        if timeout(COMES, heard).await.is_err() {
            return false;
        }
        waiting.flight.ended_for(flight).await.is_ok()
    }

    /// The next news of a job that waits for its endpoint's return; `None` at the end of the stream.
    ///
    /// # Errors
    /// If the endpoint did not come back by the end date, or somebody took the job back.
    pub(super) async fn next_event_on_return(
        &self,
        events: &mut BoxStream<'static, JobEvent>,
        record: &JobRecord,
        flight: &Flight,
    ) -> Result<Option<JobEvent>> {
        let mut status = flight.status();
        loop {
            let now = self.clock.now();
            let left = Some(record.start_by.since(now)).filter(|left| !left.is_zero());
            tokio::select! {
                biased;
                event = events.next() => return Ok(event),
                ended = status.wait_for(|status| matches!(status.ended, Some(Err(_)))) => {
                    let ended = ended.ok().and_then(|status| status.ended.clone()?.err());
                    return Err(ended.unwrap_or_else(|| Error::backend("it was taken back")));
                }
                () = sleep(left.unwrap_or(LOOK_EVERY).min(LOOK_EVERY)) => {}
            }
            let is_delivered = flight.status().borrow().delivered;
            if is_delivered || self.clock.now() < record.start_by {
                continue;
            }
            if let Err(error) = self.backend.cancel(&record.job).await {
                tracing::warn!(flow = %record.job.id, %error, "a flow whose end date is over could not be cancelled; trying again");
                continue;
            }
            self.record_cancelled(&record.job, "the endpoint did not come back before the end date");
            return Err(Error::backend("the endpoint did not come back before the end date; the flow was cancelled"));
        }
    }

    /// Follows the flow to its end, and queues it again if it is lost on its way (docs/velociraptor-api.md §7.3).
    async fn bring_on_return(
        self: &Arc<Self>,
        entry: &Arc<EndpointEntry>,
        mut record: JobRecord,
        flight: &Flight,
    ) -> Result<()> {
        loop {
            let brought = follow(self, &record, entry, flight).await;
            let what = match (brought, record.for_return) {
                (Ok(Brought::Lost), Some(what)) if what.lost + 1 < ATTEMPTS => {
                    ForReturn { lost: what.lost + 1, ..what }
                }
                (brought, _) => {
                    self.forget_job(&record.job).await;
                    return match brought? {
                        Brought::AskedFor => Ok(()),
                        Brought::Lost => {
                            Err(Error::backend("the task was lost on its way to the endpoint several times"))
                        }
                    };
                }
            };
            tracing::warn!(flow = %record.job.id, path = %record.path, "the task was lost on its way to the endpoint; queued again");
            let again = self.queue_again(&record, what, flight).await;
            // Only now: a restart in between must not forget it.
            self.forget_job(&record.job).await;
            record = again?;
            flight.update(|status| (status.job, status.delivered) = (Some(record.job.id.clone()), false));
        }
    }

    /// Queues a job again that was lost, unless it is taken back meanwhile, as soon as the server takes it.
    async fn queue_again(self: &Arc<Self>, lost: &JobRecord, what: ForReturn, flight: &Flight) -> Result<JobRecord> {
        let call = Call::new(Principal::new(lost.principal.as_str()), Protocol::Gateway, Duration::ZERO);
        loop {
            if let Ok(ended) = timeout(LOOK_EVERY, flight.ended()).await {
                return Err(ended.err().unwrap_or_else(|| Error::backend("it has ended")));
            }
            match self.queue_for_return(&call, &lost.path, lost.lists, what, lost.start_by).await {
                Ok(again) => return Ok(again),
                Err(error) if self.clock.now() >= lost.start_by => return Err(error),
                Err(error) => {
                    tracing::warn!(path = %lost.path, %error, "a flow could not be queued again; trying again")
                }
            }
        }
    }
}

/// Follows a flow until it is over. Whatever happens to the task, it does not seem to wait for ever.
async fn run(inner: Arc<Inner>, entry: Arc<EndpointEntry>, record: JobRecord, flight: EndOnDrop) {
    let path = record.path.clone();
    let result = inner.bring_on_return(&entry, record, &flight.0).await;
    match &result {
        Ok(()) => tracing::info!(%path, "the endpoint is back; what waited for it is here"),
        Err(error) => tracing::warn!(%path, %error, "what waited for the endpoint's return did not come"),
    }
    flight.0.end(result);
}
