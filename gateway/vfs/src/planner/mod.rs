//! The planner: turns demands for listings into jobs, any number of demands for one directory into one job, and jobs into published
//! listings.

mod ahead;
mod away;
mod earlier;
mod follow;
mod leave;
mod many;
mod patience;
mod prefetch;
mod publish;
mod queue;
mod submit;
mod walk;

pub(crate) use away::{Away, OnReturn};
pub(crate) use follow::{failure_error, says_nothing};
pub(crate) use patience::while_wanted;
pub(crate) use queue::Queue;
pub(crate) use walk::Walks;

use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::flight::{EndOnDrop, Flight};
use crate::freshness::Visit;
use crate::path::EndpointPath;
use crate::principal::{Call, Spend};
use crate::store::Place;
use crate::tree::{Directory, EndpointEntry};
use crate::vfs::Inner;

use ahead::{Ahead, Walker};
use follow::End;
use leave::{Answer, LISTING_LIMITS, TREE_LIMITS, Wanted};
use prefetch::Reach;
use queue::Class;

/// What a demand for a listing accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Whatever the server already holds is welcome: somebody wants to see a directory that was never listed here.
    First,
    /// As `First`, but somebody only has to go through it: a look-up, a mount of something below. No step of a walk.
    Way,
    /// A new look at the endpoint.
    Fresh,
    /// A new look that nobody waits for.
    Behind,
    /// A new look, this many levels deep, at somebody's explicit request: waits for all of it.
    Refresh(u32),
}

/// Time on the endpoint for one listing.
const LISTING_TIMEOUT: Duration = Duration::from_secs(600);
/// Rows of one listing flow at most (D13).
const LISTING_ROWS: u64 = 1_000_000;
/// The same of a deep listing at somebody's explicit request: at 10,000 rows a second (docs/velociraptor-api.md §4.5) a tree of five
/// million entries takes eight minutes.
const TREE_TIMEOUT: Duration = Duration::from_secs(3_600);
const TREE_ROWS: u64 = 10_000_000;
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
        if wish != Wish::Behind {
            flight.want();
            entry.queue.stir(); // it may have been of no importance so far
        }
        if started {
            if matches!(wish, Wish::Behind | Wish::Refresh(_)) {
                flight.keep();
            }
            self.activities.add(flight.clone());
            let demand = Demand { directory: directory.clone(), path: path.clone(), entry, call: call.clone(), wish };
            tokio::spawn(run(self.clone(), demand, flight.clone()));
        }
        Ok(flight)
    }

    /// Lists `directory` anew whoever waits for it: something was found out that says its listing is old.
    pub(crate) fn look_anew(self: &Arc<Self>, directory: &Arc<Directory>, call: &Call) -> Result<()> {
        self.demand_listing(directory, call, Wish::Fresh)?.keep();
        Ok(())
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
        let (export, principal) = (directory.node.export, call.principal.name());
        let walking = self.walks.is_walking(export, principal) || self.walks.passes_through(export, principal, now);
        if failed_lately || offline || dispensable || walking || directory.is_being_listed() {
            return;
        }
        let _joined = self.demand_listing(directory, call, Wish::Behind);
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
    let mut result = inner.list(&demand, &flight).await;
    if let Err(error) = &result
        && error.kind() == ErrorKind::Offline
    {
        result = Err(inner.listed_on_return(&demand, error.clone()).await);
    }
    if let Err(error) = &result {
        if says_nothing(error) {
            tracing::debug!(path = %demand.path, %error, "not listed");
        } else {
            tracing::warn!(path = %demand.path, principal = demand.call.principal.name(), %error, "listing failed");
        }
    }
    inner.answer(&demand, &flight, result);
    demand.directory.end_flight(&flight);
    drop(guard);
}

/// How often a task that was lost on its way to the endpoint is queued again (docs/velociraptor-api.md §7.3).
const ATTEMPTS: u32 = 3;

impl Inner {
    /// Whoever waits for the listing gets his answer, if it was not given yet.
    fn answer(&self, demand: &Demand, flight: &Flight, result: Result<()>) {
        if demand.wish == Wish::First && !flight.has_ended() {
            self.walks.answered(demand.directory.node.export, demand.call.principal.name(), self.clock.now());
        }
        flight.end(result);
    }

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
        if first && self.came_back(&demand.entry, &demand.path, flight).await && self.is_recent(&demand.directory) {
            return Ok(());
        }
        let ahead = if first { self.ahead_of(demand, walk).await } else { None };
        if let Some((ahead, own)) = &ahead
            && ahead.wait_for(&demand.directory, if *own { Walker::Own(self, demand) } else { Walker::Other }).await
        {
            return Ok(());
        }
        self.admission.admit(&demand.call, &demand.path.endpoint, &demand.path.to_string(), &Spend::Listing).await?;
        let class = self.class_of(demand);
        let mut reach = match demand.wish {
            Wish::Refresh(0) => Reach::own(demand, 0),
            Wish::Refresh(depth) => Reach { limits: TREE_LIMITS, ..Reach::own(demand, depth) },
            Wish::Fresh | Wish::Behind => Reach::own(demand, 0),
            Wish::First | Wish::Way => self.reach_of(demand, class).await,
        };
        let mut joins = !matches!(demand.wish, Wish::Refresh(1..));
        let mut lost = 0;
        loop {
            let wanted = Wanted { class, reach: reach.clone(), joins, what: "list" };
            let answer = tokio::select! {
                answer = self.leave(demand, wanted, flight) => answer?,
                () = brings(ahead.as_ref().map(|(ahead, _)| &**ahead), &demand.directory) => return Ok(()),
            };
            let end = match answer {
                Answer::Alone(mut turn) => self.follow_listing(demand, &mut turn, &reach, flight).await?,
                Answer::Listed => End::Listed,
                Answer::Unlisted(job, outcome) => self.unlisted(demand, &job, outcome).await?,
                Answer::Apart => {
                    joins = false;
                    continue;
                }
            };
            match end {
                End::Listed => return Ok(()),
                End::TooWide => reach = Reach::own(demand, 0),
                End::Lost if lost + 1 < ATTEMPTS => {
                    lost += 1;
                    tracing::warn!(path = %demand.path, lost, "the task was lost on its way to the endpoint; queued again");
                }
                End::Lost => return Err(self.lost(demand).await),
            }
        }
    }

    /// Whether the directory has a listing that is not too old to be shown to whoever can have a new one.
    fn is_recent(&self, directory: &Directory) -> bool {
        let age = directory.state().listing.as_ref().map(|listing| self.clock.now().since(listing.observation.seen));
        age.is_some_and(|age| self.settings.freshness.visit(age) != Visit::Wait)
    }

    fn class_of(&self, demand: &Demand) -> Class {
        let walks = || self.walks.is_walking(demand.directory.node.export, demand.call.principal.name());
        match demand.wish {
            Wish::Behind => Class::Behind,
            Wish::First | Wish::Way if walks() => Class::Walk,
            _ => Class::Person,
        }
    }

    /// The deep listing that goes ahead of a walk and will bring the directory, and whether it is the demander's own. One is started if
    /// this demand makes it a walk below `above`.
    async fn ahead_of(self: &Arc<Self>, demand: &Demand, above: Option<EndpointPath>) -> Option<(Arc<Ahead>, bool)> {
        let export = demand.directory.node.export;
        match self.walks.bringing(export, demand.call.principal.name(), &demand.path) {
            Some(ahead) => Some(ahead),
            None => self.list_ahead(demand, above?).await.map(|ahead| (ahead, true)),
        }
    }
}

/// Comes back when the listing that goes ahead has brought `directory`; never without one.
async fn brings(ahead: Option<&Ahead>, directory: &Directory) {
    match ahead {
        Some(ahead) if ahead.brings_at_last(directory).await => {}
        _ => std::future::pending().await,
    }
}
