//! The table of endpoints: who there is, and who is connected.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use dashmap::DashMap;
use tokio::sync::{Semaphore, watch};

use crate::backend::Backend;
use crate::clock::Clock;
use crate::endpoint::{Endpoint, EndpointId};
use crate::error::{Error, Result};
use crate::node::Keys;
use crate::timestamp::Timestamp;

/// One endpoint.
pub(crate) struct EndpointEntry {
    pub export: u64,
    endpoint: ArcSwap<Endpoint>,
    /// When the server was asked last whether it is connected, and when it last heard of it.
    presence: Mutex<Option<(Timestamp, Option<Timestamp>)>>,
    /// Limits the flows that are under way on it.
    pub flows: Arc<Semaphore>,
    /// Receive tokens that it is believed to have left, and when that was reckoned.
    tokens: Mutex<(f64, Timestamp)>,
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
/// Flows of the gateway on one endpoint at a time. Whole-file collections count too.
const FLOWS_PER_ENDPOINT: usize = 8;
/// An endpoint with receive tokens left always holds a connection, but for a moment after each delivery: without one for so long it is
/// gone. One that may be waiting for a token holds none either, and is not gone (docs/velociraptor-api.md §7.1, §7.2).
const GONE_AFTER: Duration = Duration::from_secs(6);
/// An endpoint's bucket of receive tokens, and how often one comes back, by default (docs/velociraptor-api.md §7.1).
const TOKENS: f64 = 10.0;
const TOKEN_EVERY: Duration = Duration::from_secs(30);
/// With fewer than this it may be waiting for one.
const TOKENS_LOW: f64 = 2.0;

impl EndpointEntry {
    pub(crate) fn endpoint(&self) -> Arc<Endpoint> {
        self.endpoint.load_full()
    }

    /// A delivery was queued: it costs the endpoint a token.
    pub(crate) fn spend_token(&self, now: Timestamp) {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        *tokens = ((refilled(*tokens, now) - 1.0).max(0.0), now);
    }

    /// Receive tokens that it is believed to have left.
    pub(crate) fn tokens(&self, now: Timestamp) -> f64 {
        refilled(*self.tokens.lock().unwrap_or_else(PoisonError::into_inner), now)
    }

    /// How long the server may have heard nothing of it before it counts as offline.
    fn patience(&self, now: Timestamp, offline_after: Duration) -> Duration {
        if self.tokens(now) >= TOKENS_LOW { GONE_AFTER.min(offline_after) } else { offline_after }
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
        let presence = backend.presence(&self.endpoint.load().id).await?;
        let now = clock.now();
        *self.presence.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, presence.last_seen));
        Ok(presence.last_seen.is_some_and(|seen| now.since(seen) <= self.patience(now, offline_after)))
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

/// Tokens after the time that has passed.
fn refilled((tokens, at): (f64, Timestamp), now: Timestamp) -> f64 {
    (tokens + now.since(at).as_secs_f64() / TOKEN_EVERY.as_secs_f64()).min(TOKENS)
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
            flows: Arc::new(Semaphore::new(FLOWS_PER_ENDPOINT)),
            tokens: Mutex::new((TOKENS, Timestamp::default())),
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
