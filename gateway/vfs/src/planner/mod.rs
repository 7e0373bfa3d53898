//! The planner: turns demands for listings into jobs, any number of demands for one directory into one job, and jobs into published
//! listings.

mod ahead;
mod earlier;
mod follow;
mod patience;
mod prefetch;
mod publish;
mod submit;
mod walk;

pub(crate) use follow::failure_error;
pub(crate) use walk::Walks;

use std::sync::Arc;
use std::time::Duration;

use crate::backend::{Job, Limits, Work};
use crate::error::{Error, ErrorKind, Result};
use crate::flight::{EndOnDrop, Flight};
use crate::path::EndpointPath;
use crate::principal::{Call, Spend};
use crate::store::Place;
use crate::tree::{Directory, EndpointEntry};
use crate::vfs::Inner;

/// What a demand for a listing accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Whatever the server already holds is welcome: somebody wants to see a directory that was never listed here.
    First,
    /// As `First`, but somebody only has to go through it: a look-up, a mount of something below. No step of a walk.
    Way,
    /// A new look at the endpoint.
    Fresh,
    /// A new look, this many levels deep, at somebody's explicit request: waits for all of it.
    Refresh(u32),
}

/// Time on the endpoint for one listing.
const LISTING_TIMEOUT: Duration = Duration::from_secs(600);
/// Rows of one listing flow at most (D13).
const LISTING_ROWS: u64 = 1_000_000;
/// A refresh behind somebody's back is for endpoints with so many receive tokens left, or for listings so old (D14).
const REFRESH_TOKENS: f64 = 5.0;
const REFRESH_ANYWAY: Duration = Duration::from_secs(3_600);
/// Share of a CPU for listings, in percent (D13).
const LISTING_CPU: u8 = 50;

impl Inner {
    /// The listing of `directory` that is under way, or a new one.
    pub(crate) fn demand_listing(
        self: &Arc<Self>,
        directory: &Arc<Directory>,
        call: &Call,
        wish: Wish,
    ) -> Result<Arc<Flight>> {
        let Place::Endpoint(path) = &directory.place else {
            return Err(Error::invalid("this directory is the gateway's own: there is nothing to list on an endpoint"));
        };
        let entry = self.endpoint_of(directory.node.export)?;
        let make = || {
            Flight::new(
                path.endpoint.client_id.clone(),
                path.to_string(),
                "list",
                Arc::from(call.principal.name()),
                self.clock.now(),
            )
        };
        let (flight, started) =
            if matches!(wish, Wish::Refresh(_)) { (make(), true) } else { directory.join_flight(make) };
        if started {
            self.activities.add(flight.clone());
            let demand = Demand { directory: directory.clone(), path: path.clone(), entry, call: call.clone(), wish };
            tokio::spawn(run(self.clone(), demand, flight.clone()));
        }
        Ok(flight)
    }

    /// Refreshes behind the caller's back, if the endpoint is there and the last attempt did not just fail.
    pub(crate) fn refresh_in_background(self: &Arc<Self>, directory: &Arc<Directory>, call: &Call) {
        let now = self.clock.now();
        let failed_lately = directory
            .state()
            .failure
            .as_ref()
            .is_some_and(|failure| now.since(failure.at) < self.settings.freshness.max_age);
        let entry = self.endpoints.get(directory.node.export);
        let offline = entry.as_ref().is_none_or(|entry| entry.was_just_offline(now, self.settings.offline_after));
        // The last tokens are for what somebody waits for (D14).
        let dear = entry.is_some_and(|entry| entry.tokens(now) < REFRESH_TOKENS);
        let age = directory.state().listing.as_ref().map(|listing| now.since(listing.observation.seen));
        let dispensable = dear && age.is_some_and(|age| age < REFRESH_ANYWAY);
        let walking = self.walks.is_walking(directory.node.export, call.principal.name());
        if failed_lately || offline || dispensable || walking || directory.is_being_listed() {
            return;
        }
        let _joined = self.demand_listing(directory, call, Wish::Fresh);
    }
}

/// One demand on its way.
#[derive(Clone)]
struct Demand {
    directory: Arc<Directory>,
    path: EndpointPath,
    entry: Arc<EndpointEntry>,
    call: Call,
    wish: Wish,
}

async fn run(inner: Arc<Inner>, demand: Demand, flight: Arc<Flight>) {
    let guard = EndOnDrop(flight.clone());
    let result = inner.list(&demand, &flight).await;
    if let Err(error) = &result {
        if error.kind() == ErrorKind::Offline {
            tracing::debug!(path = %demand.path, %error, "not listed");
        } else {
            tracing::warn!(path = %demand.path, principal = demand.call.principal.name(), %error, "listing failed");
        }
    }
    if demand.wish == Wish::First {
        inner.walks.answered(demand.directory.node.export, demand.call.principal.name(), inner.clock.now());
    }
    flight.end(result);
    demand.directory.end_flight(&flight);
    drop(guard);
}

/// How often a task that was lost on its way to the endpoint is queued again (docs/velociraptor-api.md §7.3).
const ATTEMPTS: u32 = 3;

impl Inner {
    async fn list(self: &Arc<Self>, demand: &Demand, flight: &Arc<Flight>) -> Result<()> {
        let walk = if demand.wish == Wish::First {
            let (export, principal) = (demand.directory.node.export, demand.call.principal.name());
            let system = demand.entry.endpoint().system;
            let allowed = |above: &EndpointPath| prefetch::may_look_ahead(above, system);
            self.walks.miss(export, principal, &demand.path, allowed, self.clock.now())
        } else {
            None
        };
        let first = matches!(demand.wish, Wish::First | Wish::Way);
        if first && let Some(held) = self.backend.held(&demand.path).await? {
            self.publish(&demand.directory, held).await?;
            return Ok(());
        }
        let online = demand.entry.is_online(&*self.backend, &*self.clock, self.settings.offline_after).await?;
        if !online {
            return Err(demand.entry.offline_error());
        }
        if first && self.comes_with_a_walk(demand, walk).await {
            return Ok(());
        }
        self.admission.admit(&demand.call, &demand.path.endpoint, &demand.path.to_string(), &Spend::Listing).await?;
        let depth = match demand.wish {
            Wish::Refresh(depth) => depth,
            Wish::Fresh => 0,
            Wish::First | Wish::Way => self.prefetch_depth(&demand.directory, &demand.path).await,
        };
        let permit = demand.entry.flows.acquire().await;
        for attempt in 1.. {
            let job = self.submit_listing(demand, depth, flight).await?;
            match self.follow_listing(demand, &job, depth, flight).await? {
                follow::End::Listed => break,
                follow::End::Lost if attempt < ATTEMPTS => {
                    tracing::warn!(path = %demand.path, flow = %job.id, attempt, "the task was lost on its way to the endpoint; queued again");
                }
                follow::End::Lost => return Err(self.lost(demand).await),
            }
        }
        drop(permit);
        Ok(())
    }

    /// Whether the directory was listed by a deep listing that goes ahead of a walk. One is started if this demand makes it a walk
    /// below `above`.
    async fn comes_with_a_walk(self: &Arc<Self>, demand: &Demand, above: Option<EndpointPath>) -> bool {
        let export = demand.directory.node.export;
        let principal = demand.call.principal.name();
        let ahead = match self.walks.bringing(export, principal, &demand.path) {
            Some(ahead) => Some(ahead),
            None => match above {
                Some(above) => self.list_ahead(demand, above).await.map(|ahead| (ahead, true)),
                None => None,
            },
        };
        match ahead {
            Some((ahead, own)) => ahead.wait_for(&demand.directory, own).await,
            None => false,
        }
    }

    async fn submit_listing(self: &Arc<Self>, demand: &Demand, depth: u32, flight: &Arc<Flight>) -> Result<Job> {
        let work = Work::List { directory: demand.path.clone(), depth };
        let limits =
            Limits { timeout: LISTING_TIMEOUT, max_rows: LISTING_ROWS, max_upload_bytes: 0, cpu_percent: LISTING_CPU };
        let job = self.submit(&demand.call, &demand.entry, &demand.path, work, "list", limits).await?;
        flight.update(|status| status.job = Some(job.id.clone()));
        Ok(job)
    }
}
