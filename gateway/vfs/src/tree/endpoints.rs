//! The table of endpoints: who there is, who is connected, and what waits for them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use dashmap::DashMap;
use tokio::sync::{Semaphore, watch};

use super::bucket::{Bucket, Budget, Sent};
use crate::backend::{Backend, Failure, Outcome};
use crate::clock::Clock;
use crate::endpoint::{Endpoint, EndpointId};
use crate::error::{Error, Result};
use crate::node::Keys;
use crate::planner::Queue;
use crate::timestamp::Timestamp;

/// One endpoint.
pub(crate) struct EndpointEntry {
    pub export: u64,
    endpoint: ArcSwap<Endpoint>,
    /// When the server was asked last whether it is connected, and when it last heard of it.
    presence: Mutex<Option<(Timestamp, Option<Timestamp>)>>,
    /// Limits the collections that are under way on it.
    pub flows: Arc<Semaphore>,
    /// Limits the listings that are under way on it: they never wait behind collections, nor behind a walk.
    pub listings: Arc<Semaphore>,
    /// Limits the listings that go ahead of walks on it.
    pub walks: Arc<Semaphore>,
    /// Listings that want to leave for it.
    pub queue: Queue,
    bucket: Mutex<Bucket>,
}

/// All endpoints.
pub(crate) struct Endpoints {
    by_export: DashMap<u64, Arc<EndpointEntry>>,
    /// Whether the server has named all of them once since the gateway started, and if not, why.
    complete: watch::Sender<Round>,
}

/// How far the first look at the server's endpoints is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Round {
    Waiting,
    Unreachable(Arc<str>),
    Complete,
}

/// An answer about presence is good for so long.
const PRESENCE_AGE: Duration = Duration::from_secs(3);
/// Collections of the gateway on one endpoint at a time.
const COLLECTIONS: usize = 8;
/// Listings, and those that go ahead of walks.
const LISTINGS: usize = 40;
const WALKS: usize = 4;
/// An endpoint with receive tokens left always holds a connection, but for a moment after each delivery: without one for so long it is
/// gone. One that may be waiting for a token holds none either, and is not gone (docs/velociraptor-api.md §7.1, §7.2).
const GONE_AFTER: Duration = Duration::from_secs(6);

impl EndpointEntry {
    pub(crate) fn endpoint(&self) -> Arc<Endpoint> {
        self.endpoint.load_full()
    }

    fn bucket(&self) -> MutexGuard<'_, Bucket> {
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A delivery was queued: it costs the endpoint a token.
    pub(crate) fn spend_token(&self, now: Timestamp) {
        self.bucket().spend(1.0, now);
    }

    /// Receive tokens that it is believed to have left.
    pub(crate) fn tokens(&self, now: Timestamp) -> f64 {
        self.bucket().tokens(now)
    }

    /// What is believed of its receive tokens.
    pub(crate) fn budget(&self, now: Timestamp) -> Budget {
        self.bucket().told(now)
    }

    /// Whether works may leave for it side by side (D30).
    pub(crate) fn takes_several(&self, now: Timestamp) -> bool {
        self.bucket().takes_several(now)
    }

    /// How long the next delivery should wait for others to leave with it; `None` if it should leave. `spare`: it should leave a token.
    pub(crate) fn wait(&self, now: Timestamp, spare: bool) -> Option<Duration> {
        self.bucket().wait(now, spare)
    }

    /// When its next receive token is expected, if it has none.
    pub(crate) fn token_due(&self, now: Timestamp) -> Option<Timestamp> {
        self.bucket().due(now)
    }

    /// A delivery that costs so many tokens leaves; what it is heard of teaches.
    pub(crate) fn send(self: &Arc<Self>, tokens: f64, now: Timestamp) -> Delivering {
        Delivering { sent: self.bucket().send(tokens, now), entry: self.clone(), heard: false }
    }

    /// How long the server may have heard nothing of it before it counts as offline.
    fn patience(&self, now: Timestamp, offline_after: Duration) -> Duration {
        if self.bucket().may_wait(now) { offline_after } else { GONE_AFTER.min(offline_after) }
    }

    /// Whether it is connected, as far as is known without asking.
    pub(crate) fn seems_online(&self, now: Timestamp, offline_after: Duration) -> bool {
        let asked = *self.presence.lock().unwrap_or_else(PoisonError::into_inner);
        let listed = self.endpoint.load().last_seen;
        let patience = self.patience(now, offline_after);
        match asked {
            // The server's list is asked for rarely: what it says is old by up to one round.
            Some((at, seen)) if now.since(at) < PRESENCE_AGE * 10 => {
                seen.is_some_and(|seen| at.since(seen) <= patience)
            }
            _ => listed.is_some_and(|seen| now.since(seen) <= offline_after + Duration::from_secs(60)),
        }
    }

    /// Whether the server said lately that it is not connected.
    pub(crate) fn was_just_offline(&self, now: Timestamp, offline_after: Duration) -> bool {
        let asked = *self.presence.lock().unwrap_or_else(PoisonError::into_inner);
        let patience = self.patience(now, offline_after);
        asked.is_some_and(|(at, seen)| {
            now.since(at) < PRESENCE_AGE * 10 && seen.is_none_or(|seen| at.since(seen) > patience)
        })
    }

    /// Whether it is connected, asking the server unless it was asked just now.
    ///
    /// # Errors
    /// `Backend` if the server cannot be asked.
    pub(crate) async fn is_online(
        &self,
        backend: &dyn Backend,
        clock: &dyn Clock,
        offline_after: Duration,
    ) -> Result<bool> {
        let now = clock.now();
        let cached = *self.presence.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, seen)) = cached
            && now.since(at) < PRESENCE_AGE
        {
            return Ok(seen.is_some_and(|seen| at.since(seen) <= self.patience(now, offline_after)));
        }
        // Judged by when it was asked: an answer that is slow to come, or is asked for again, says nothing of a silent endpoint.
        let asked = now;
        let presence = backend.presence(&self.endpoint.load().id).await?;
        let now = clock.now();
        if let (Some((at, Some(before))), Some(seen)) = (cached, presence.last_seen)
            && at.since(before) > GONE_AFTER
            && seen > before
            && seen.since(before) < offline_after
        {
            // It was not gone, so it may have waited for a token.
            self.bucket().doubt(now);
        }
        let mut known = self.presence.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_none_or(|(at, _)| at <= asked) {
            *known = Some((asked, presence.last_seen));
        }
        drop(known);
        Ok(presence.last_seen.is_some_and(|seen| asked.since(seen) <= self.patience(now, offline_after)))
    }

    /// "offline (last seen …)", for people.
    pub(crate) fn offline_error(&self) -> Error {
        let endpoint = self.endpoint.load();
        let seen = self
            .presence
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .and_then(|(_, seen)| seen)
            .or(endpoint.last_seen);
        let seen = seen.map_or_else(|| "never".to_owned(), Timestamp::to_rfc3339);
        Error::offline(format!(
            "{} ({}) is offline, last seen {seen}; what was not cached before cannot be fetched",
            endpoint.id, endpoint.hostname
        ))
    }
}

/// A delivery on its way to an endpoint.
pub(crate) struct Delivering {
    entry: Arc<EndpointEntry>,
    sent: Sent,
    heard: bool,
}

impl Delivering {
    /// The server says that the endpoint took it.
    pub(crate) fn taken(&self, now: Timestamp) {
        if !self.heard {
            self.entry.bucket().taken(self.sent, now);
        }
    }

    /// The endpoint said something of it.
    pub(crate) fn heard(&mut self, now: Timestamp) {
        if !std::mem::replace(&mut self.heard, true) {
            let mut bucket = self.entry.bucket();
            bucket.heard(self.sent, now);
            bucket.settle(self.sent);
            drop(bucket);
            self.entry.queue.stir();
        }
    }

    /// It is over.
    pub(crate) fn ended(&mut self, outcome: &Outcome, now: Timestamp) {
        match outcome {
            Outcome::Failed { failure: Failure::Lost, .. } => self.entry.bucket().lost(),
            Outcome::Failed { failure: Failure::Cancelled, .. } => {}
            _ => self.heard(now),
        }
    }
}

impl Drop for Delivering {
    fn drop(&mut self) {
        if !self.heard {
            self.entry.bucket().settle(self.sent);
            self.entry.queue.stir();
        }
    }
}

impl Endpoints {
    /// The endpoints that were known when the gateway last ran.
    pub(crate) fn new(known: Vec<Endpoint>, keys: &Keys) -> Endpoints {
        let endpoints = Endpoints { by_export: DashMap::new(), complete: watch::Sender::new(Round::Waiting) };
        for endpoint in known {
            endpoints.put(endpoint, keys);
        }
        endpoints
    }

    pub(crate) fn get(&self, export: u64) -> Option<Arc<EndpointEntry>> {
        self.by_export.get(&export).map(|entry| entry.clone())
    }

    /// Adds or changes an endpoint. True if the tree of names changes with it.
    pub(crate) fn put(&self, endpoint: Endpoint, keys: &Keys) -> bool {
        let export = keys.export(&endpoint.id);
        if let Some(entry) = self.by_export.get(&export) {
            let before = entry.endpoint.swap(Arc::new(endpoint.clone()));
            return before.hostname != endpoint.hostname || before.system != endpoint.system;
        }
        let entry = EndpointEntry {
            export,
            endpoint: ArcSwap::from_pointee(endpoint),
            presence: Mutex::new(None),
            flows: Arc::new(Semaphore::new(COLLECTIONS)),
            listings: Arc::new(Semaphore::new(LISTINGS)),
            walks: Arc::new(Semaphore::new(WALKS)),
            queue: Queue::default(),
            bucket: Mutex::new(Bucket::default()),
        };
        self.by_export.insert(export, Arc::new(entry));
        true
    }

    /// Forgets an endpoint that the server does not know any more. True if it was known.
    pub(crate) fn remove(&self, id: &EndpointId, keys: &Keys) -> bool {
        self.by_export.remove(&keys.export(id)).is_some()
    }

    /// All endpoints by client id.
    pub(crate) fn list(&self) -> Vec<Arc<EndpointEntry>> {
        let mut list: Vec<_> = self.by_export.iter().map(|entry| entry.value().clone()).collect();
        list.sort_by(|a, b| a.endpoint.load().id.client_id.cmp(&b.endpoint.load().id.client_id));
        list
    }

    pub(crate) fn set_round(&self, round: Round) {
        self.complete.send_if_modified(|now| {
            let changed = *now != round && !(*now == Round::Complete && matches!(round, Round::Waiting));
            if changed {
                *now = round;
            }
            changed
        });
    }

    pub(crate) fn round(&self) -> Round {
        self.complete.borrow().clone()
    }

    /// Waits at most `hold` until the server has named its endpoints: before that, an unknown one is not "absent".
    ///
    /// # Errors
    /// `Later` or, when the server cannot be reached, `Backend`.
    pub(crate) async fn complete(&self, hold: Duration) -> Result<()> {
        let mut receiver = self.complete.subscribe();
        let waited = tokio::time::timeout(hold, receiver.wait_for(|round| *round == Round::Complete)).await.is_ok();
        if waited {
            return Ok(());
        }
        match self.round() {
            Round::Complete => Ok(()),
            Round::Unreachable(why) => {
                Err(Error::backend(format!("the server cannot be asked for its endpoints: {why}")))
            }
            Round::Waiting => {
                Err(Error::later(crate::flight::RETRY_AFTER, "the server has not named its endpoints yet; ask again"))
            }
        }
    }
}
