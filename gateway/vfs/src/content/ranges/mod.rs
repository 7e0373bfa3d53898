//! Ranges of large files: who only looks into one moves a few megabytes, readers of other places leave in one delivery, and a file that is
//! read on and on is collected whole. Ranges of different states of a file are never mixed.

mod delivery;
mod plan;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use dashmap::DashMap;

use super::caps::automatic;
use super::chunks::chunk_count;
use super::collect::{Demand, is_refusal};
use super::held::Held;
use crate::backend::FetchedContent;
use crate::error::{ErrorKind, Result};
use crate::flight::{EndOnDrop, Flight};
use crate::node::{Identity, Node};
use crate::principal::{Call, Reads};
use crate::store::CHUNK_BYTES;
use crate::timestamp::Timestamp;
use crate::tree::Directory;
use crate::vfs::Inner;
use plan::Reader;

/// Who reads which files in ranges.
#[derive(Default)]
pub(crate) struct Ranges {
    queues: DashMap<(u64, Identity, u32), Arc<Queue>>,
}

/// Chunks of one version of a file that somebody waits for.
struct Queue {
    state: Mutex<State>,
}

struct State {
    reader: Reader,
    /// What the next delivery has to bring, and who waits for it.
    wanted: BTreeSet<u64>,
    next: Option<Arc<Flight>>,
    /// A task takes deliveries from here, one after another.
    is_served: bool,
    used: Timestamp,
}

const QUEUES_KEPT: usize = 1_000;
/// Somebody who looks into several places of a file reads all of it: the next time it comes whole.
const LOOKS: u32 = 2;
/// Tokens that reading ahead leaves to the endpoint's others.
const TOKENS: f64 = 3.0;

impl Ranges {
    fn of(&self, node: &Node, now: Timestamp) -> Arc<Queue> {
        if self.queues.len() > QUEUES_KEPT {
            self.queues.retain(|_, queue| {
                let state = queue.lock();
                state.is_served || now.since(state.used).as_secs() < 600
            });
        }
        let fresh = || {
            let reader = Reader::new();
            let state = State { reader, wanted: BTreeSet::new(), next: None, is_served: false, used: now };
            Arc::new(Queue { state: Mutex::new(state) })
        };
        self.queues.entry((node.export, node.own, node.version)).or_insert_with(fresh).clone()
    }
}

impl Queue {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// If the task that takes deliveries panics, the next who wants one starts another.
struct Served(Arc<Queue>);

impl Drop for Served {
    fn drop(&mut self) {
        // At its regular end the task says so itself, under the lock: a successor may be at work by now.
        if std::thread::panicking() {
            self.0.lock().is_served = false;
        }
    }
}

impl Inner {
    /// Whether what `call` reads of the file is collected in ranges.
    pub(super) async fn goes_by_ranges(self: &Arc<Self>, demand: &Demand) -> Result<bool> {
        let (size, call) = (demand.listed.size, &demand.call);
        let never = automatic(&self.settings, &demand.path).is_none();
        if never || call.explicit || call.reads == Reads::Whole || size <= self.settings.ranges_above {
            return Ok(false);
        }
        Ok(self.backend.capabilities(&demand.path.endpoint).await?.ranges)
    }

    /// The delivery that brings `chunks` of the version that `demand` names, or at least some of them.
    pub(super) fn demand_ranges(
        self: &Arc<Self>,
        demand: &Demand,
        chunks: impl Iterator<Item = u64>,
    ) -> Result<Arc<Flight>> {
        let now = self.clock.now();
        if let Some(refusal) = self.refusals.get(&demand.node, now) {
            return Err(refusal);
        }
        let queue = self.ranges.of(&demand.node, now);
        let mut state = queue.lock();
        state.used = now;
        state.wanted.extend(chunks);
        let flight = state.next.get_or_insert_with(|| {
            let principal = demand.call.principal.name().into();
            Flight::new(demand.path.endpoint.client_id.clone(), demand.path.to_string(), "read", principal, now)
        });
        let flight = flight.clone();
        if !state.is_served {
            state.is_served = true;
            tokio::spawn(serve(self.clone(), demand.clone(), Served(queue.clone())));
        }
        Ok(flight)
    }

    /// Collects what one who reads straight on will need next, while he still reads what is here. Never with the endpoint's last tokens.
    pub(super) fn ranges_ahead(
        self: &Arc<Self>,
        directory: &Arc<Directory>,
        node: &Node,
        held: &Held,
        chunk: u64,
        call: &Call,
    ) {
        let now = self.clock.now();
        let next = {
            let queue = self.ranges.of(node, now);
            let state = queue.lock();
            state.reader.soon(chunk).filter(|next| !state.is_served && *next < chunk_count(held.size()))
        };
        let Some(next) = next.filter(|next| held.locate(*next).is_none()) else { return };
        let spare = self.endpoints.get(node.export).is_some_and(|entry| entry.tokens(now) >= TOKENS);
        if !spare {
            return;
        }
        let (inner, directory, node, call) = (self.clone(), directory.clone(), *node, call.clone());
        tokio::spawn(async move {
            if let Ok(demand) = inner.demand_of(&directory, &node, &call).await
                && inner.goes_by_ranges(&demand).await.unwrap_or(false)
            {
                // Whoever needs it joins it.
                let _joined = inner.demand_ranges(&demand, std::iter::once(next));
            }
        });
    }

    /// Brings chunks, or the whole file if it is being read as a whole.
    async fn bring(
        self: &Arc<Self>,
        demand: &Demand,
        flight: &Arc<Flight>,
        queue: &Queue,
        wanted: &BTreeSet<u64>,
    ) -> Result<()> {
        if self.collected_on_return(demand, flight).await {
            return Ok(());
        }
        let held = Held::of(&demand.directory, &demand.node);
        if held.as_ref().is_some_and(|held| held.whole().is_some()) {
            return Ok(());
        }
        let size = held.as_ref().map_or(demand.listed.size, Held::size);
        let is_held = |chunk| held.as_ref().is_some_and(|held| held.locate(chunk).is_some());
        let ranges = {
            let mut state = queue.lock();
            let deliveries = state.reader.deliveries();
            let goes_on =
                wanted.iter().find(|chunk| !is_held(**chunk)).is_some_and(|first| state.reader.goes_on(*first));
            let reads_all = deliveries >= LOOKS || deliveries > 0 && goes_on;
            let cap = automatic(&self.settings, &demand.path).unwrap_or(0);
            if reads_all && size <= cap { None } else { Some(state.reader.plan(wanted, chunk_count(size), is_held)) }
        };
        match ranges {
            Some(ranges) if ranges.is_empty() => Ok(()),
            Some(ranges) => self.deliver_ranges(demand, flight, &ranges).await,
            None => self.demand_whole(demand).await?.ended_for(flight).await,
        }
    }

    /// Whether a whole copy cannot be of the state that ranges of its version were read in: every byte that was held is compared.
    pub(super) async fn differs_from_ranges(self: &Arc<Self>, demand: &Demand, whole: &FetchedContent) -> Result<bool> {
        let Some(held) = Held::of(&demand.directory, &demand.node) else { return Ok(false) };
        let Some(ranges) = held.ranges() else { return Ok(false) };
        if ranges.state.size != whole.size {
            return Ok(true);
        }
        for range in &ranges.held {
            for index in range.offset / CHUNK_BYTES as u64..chunk_count(range.end()) {
                let before = self.chunk(&held, index).await?;
                let length = u32::try_from(before.len()).unwrap_or(u32::MAX);
                let now = self.backend.read(&whole.location, index * CHUNK_BYTES as u64, length).await?;
                if before != now {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

/// Takes deliveries until nobody waits.
async fn serve(inner: Arc<Inner>, demand: Demand, served: Served) {
    loop {
        let (wanted, flight) = {
            let mut state = served.0.lock();
            match state.next.take() {
                Some(flight) => (std::mem::take(&mut state.wanted), flight),
                None => {
                    // Under the lock: whoever comes after this finds that nobody serves.
                    state.is_served = false;
                    return;
                }
            }
        };
        let _guard = EndOnDrop(flight.clone());
        inner.activities.add(flight.clone());
        let mut result = inner.bring(&demand, &flight, &served.0, &wanted).await;
        if let Err(error) = &result
            && error.kind() == ErrorKind::Offline
            && automatic(&inner.settings, &demand.path).is_some_and(|cap| demand.listed.size <= cap)
        {
            // Nobody knows what will be read next when it is back: all of it.
            result = Err(inner.collect_on_return(&demand, error.clone()).await);
        }
        if let Err(error) = &result {
            tracing::warn!(path = %demand.path, principal = demand.call.principal.name(), %error, "a part of a file could not be collected");
            if is_refusal(error) {
                inner.refusals.put(&demand.node, inner.clock.now(), error);
            }
        }
        flight.end(result);
    }
}
