//! Collecting a file: one flow however many ask for it, refusals that say why, and nothing that was not asked for.

use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;

use super::caps::automatic;
use super::follower::Step;
use super::held::Held;
use super::{as_listed, record_collected};
use crate::attributes::listed_version;
use crate::backend::{Cause, Complaint, Failure, Fetched, Job, Limits, Outcome, Work};
use crate::error::{Error, ErrorKind, Result};
use crate::flight::{EndOnDrop, Flight};
use crate::node::{Identity, Node};
use crate::path::EndpointPath;
use crate::planner::{OnReturn, says_nothing, while_wanted};
use crate::principal::{Call, Spend};
use crate::store::{FileAsListed, ForReturn, Place};
use crate::timestamp::Timestamp;
use crate::tree::{Directory, EndpointEntry, gone};
use crate::vfs::Inner;

/// Collections that the endpoint refused lately: asking again at once would only cost the endpoint.
#[derive(Default)]
pub(crate) struct Refusals {
    by_version: DashMap<(u64, Identity, u32), (Timestamp, Error)>,
}

const REFUSAL_AGE: Duration = Duration::from_secs(60);
const REFUSALS_KEPT: usize = 10_000;

impl Refusals {
    pub(crate) fn get(&self, node: &Node, now: Timestamp) -> Option<Error> {
        let refusal = self.by_version.get(&(node.export, node.own, node.version))?;
        (now.since(refusal.0) < REFUSAL_AGE).then(|| refusal.1.clone())
    }

    pub(super) fn put(&self, node: &Node, now: Timestamp, error: &Error) {
        if self.by_version.len() >= REFUSALS_KEPT {
            self.by_version.retain(|_, (at, _)| now.since(*at) < REFUSAL_AGE);
        }
        self.by_version.insert((node.export, node.own, node.version), (now, error.clone()));
    }
}

/// A file may grow by so much between its listing and its collection.
const GROWTH: u64 = 64 << 20;
/// A file whose size only reading tells may have so much, unless somebody asked for it explicitly (D7).
const UNKNOWN_SIZE_BYTES: u64 = 1 << 20;
/// Time on the endpoint, at least.
const COLLECTION_TIMEOUT: Duration = Duration::from_secs(600);
/// A task that was lost on its way is queued again so often.
pub(super) const ATTEMPTS: u32 = 3;

/// One collection on its way.
#[derive(Clone)]
pub(super) struct Demand {
    pub directory: Arc<Directory>,
    pub node: Node,
    pub path: EndpointPath,
    pub entry: Arc<EndpointEntry>,
    pub listed: FileAsListed,
    /// Bytes uploaded at most.
    pub limit: u64,
    pub call: Call,
}

impl Inner {
    /// The collection of this version that is under way, or a new one.
    pub(crate) async fn demand_collection(
        self: &Arc<Self>,
        directory: &Arc<Directory>,
        node: &Node,
        call: &Call,
    ) -> Result<Arc<Flight>> {
        if let Some(running) = directory.collection((node.own, node.version)) {
            if call.explicit {
                running.keep();
            }
            return Ok(running);
        }
        if !call.explicit
            && let Some(refusal) = self.refusals.get(node, self.clock.now())
        {
            return Err(refusal);
        }
        self.demand_whole(&self.demand_of(directory, node, call).await?).await
    }

    /// What would be collected for `node`.
    pub(super) async fn demand_of(
        self: &Arc<Self>,
        directory: &Arc<Directory>,
        node: &Node,
        call: &Call,
    ) -> Result<Demand> {
        let Place::Endpoint(place) = &directory.place else {
            return Err(gone());
        };
        let loaded = self.tree.load(directory).await?.ok_or_else(gone)?;
        let entry = loaded.snapshot.by_identity(node.own).ok_or_else(gone)?;
        if entry.row.unfetchable() {
            return Err(Error::new(
                ErrorKind::Uncollected,
                "the name was no valid UTF-8, so the endpoint cannot be asked for it by name",
            ));
        }
        let path = place.child(entry.row.name())?;
        let size = entry.row.size();
        let limit = if entry.row.size_unknown() && !call.explicit {
            UNKNOWN_SIZE_BYTES
        } else {
            size.saturating_add(size / 8).saturating_add(GROWTH)
        };
        Ok(Demand {
            directory: directory.clone(),
            node: *node,
            entry: self.endpoint_of(node.export)?,
            listed: as_listed(&entry, node.version),
            limit,
            call: call.clone(),
            path,
        })
    }

    /// The collection of the whole file that is under way, or a new one.
    pub(super) async fn demand_whole(self: &Arc<Self>, demand: &Demand) -> Result<Arc<Flight>> {
        let Demand { path, call, directory, node, .. } = demand;
        let size = demand.listed.size;
        match automatic(&self.settings, path) {
            _ if call.explicit => {}
            None => {
                let message = format!("{path} is collected only if somebody asks for it: use `raptorgate collect`");
                return Err(Error::new(ErrorKind::TooBig, message));
            }
            Some(cap) if size > cap => {
                return Err(Error::new(
                    ErrorKind::TooBig,
                    format!(
                        "{path} has {size} bytes, more than the {cap} that opening a file collects; use `raptorgate collect`"
                    ),
                ));
            }
            Some(_) => {}
        }
        let (flight, started) = self.join_collection(directory, node, path, call);
        if call.explicit {
            flight.keep();
        }
        if started {
            self.activities.add(flight.clone());
            tokio::spawn(run(self.clone(), demand.clone(), flight.clone()));
        }
        Ok(flight)
    }

    /// The collection of the version that `node` names which is under way, or a new one that whoever gets it has to see to.
    pub(super) fn join_collection(
        &self,
        directory: &Directory,
        node: &Node,
        path: &EndpointPath,
        call: &Call,
    ) -> (Arc<Flight>, bool) {
        directory.join_collection((node.own, node.version), || {
            let principal = call.principal.name().into();
            Flight::new(path.endpoint.client_id.clone(), path.to_string(), "collect", principal, self.clock.now())
        })
    }

    pub(super) async fn collect_file(self: &Arc<Self>, demand: &Demand, flight: &Arc<Flight>) -> Result<()> {
        if !demand.entry.is_online(&*self.backend, &*self.clock, self.settings.offline_after).await? {
            return Err(demand.entry.offline_error());
        }
        let spend = Spend::Collection { bytes: demand.listed.size };
        self.admission.admit(&demand.call, &demand.path.endpoint, &demand.path.to_string(), &spend).await?;
        let permit = while_wanted(&[flight], demand.entry.flows.acquire()).await?;
        for attempt in 1.. {
            let job = self.submit_collection(demand, flight).await?;
            match self.follow_collection(demand, &job, flight).await? {
                Some(fetched) => {
                    drop(permit);
                    return self.take(demand, fetched, None).await;
                }
                None if attempt < ATTEMPTS => {
                    tracing::warn!(path = %demand.path, flow = %job.id, attempt, "the task was lost on its way to the endpoint; queued again");
                }
                None => break,
            }
        }
        Err(Error::backend("the task was lost on its way to the endpoint several times; try again later"))
    }

    /// Whether somebody else has collected the file: then it is here now.
    pub(in crate::content) async fn was_uploaded(self: &Arc<Self>, demand: &Demand) -> bool {
        let taken = self.take_stand_in(&demand.directory, &demand.node, &demand.call).await;
        taken.unwrap_or_else(|error| {
            tracing::warn!(path = %demand.path, %error, "whether others have collected the file could not be told");
            false
        })
    }

    /// What a demand for a file of an endpoint that is away is told.
    pub(super) async fn collect_on_return(self: &Arc<Self>, demand: &Demand, error: Error) -> Error {
        let Demand { entry, call, path, listed, limit, .. } = demand;
        let what = ForReturn { depth: 0, max_upload_bytes: *limit, lost: 0 };
        let spend = Spend::Collection { bytes: listed.size };
        self.on_return(OnReturn { entry, call, path, spend, what }, error).await
    }

    /// Whether the file was brought by a flow that had waited for the return of the endpoint.
    pub(super) async fn collected_on_return(self: &Arc<Self>, demand: &Demand, flight: &Flight) -> bool {
        let Demand { directory, node, path, entry, .. } = demand;
        self.came_back(entry, path, flight).await
            && Held::of(directory, node).is_some_and(|held| held.whole().is_some())
    }

    async fn submit_collection(self: &Arc<Self>, demand: &Demand, flight: &Arc<Flight>) -> Result<Job> {
        let work = Work::Fetch { files: vec![demand.path.clone()] };
        let limits = Limits {
            timeout: COLLECTION_TIMEOUT + Duration::from_secs(demand.listed.size >> 22),
            max_rows: 0,
            max_upload_bytes: demand.limit,
            cpu_percent: 0,
        };
        self.submit(&demand.call, (&demand.entry, &[flight]), &demand.path, work, "collect", limits).await
    }

    /// Waits for the file; `None` if the task never ran.
    async fn follow_collection(
        self: &Arc<Self>,
        demand: &Demand,
        job: &Job,
        flight: &Arc<Flight>,
    ) -> Result<Option<Fetched>> {
        let mut follower = self.follower(job.clone(), vec![demand.path.clone()], &demand.entry);
        let mut fetched = None;
        loop {
            let outcome = match self.next_step(&mut follower, flight, &[]).await? {
                Step::Fetched(file) => {
                    fetched = Some(*file);
                    continue;
                }
                Step::Ended(outcome) => outcome,
            };
            return match outcome {
                _ if fetched.is_some() => Ok(fetched),
                Outcome::Failed { failure: Failure::Lost, .. } => Ok(None),
                Outcome::Failed { failure: Failure::Limit, message } => {
                    let message = format!("{} is larger than the collection may be: {message}", demand.path);
                    Err(Error::new(ErrorKind::TooBig, message))
                }
                Outcome::Failed { message, .. } => {
                    Err(Error::backend(format!("collecting {} failed: {message}", demand.path)))
                }
                Outcome::Finished { complaint } => {
                    let complaint = complaint.unwrap_or_else(|| Complaint {
                        cause: Cause::Unknown,
                        message: "the endpoint found nothing to read under this name, or may not look there".into(),
                    });
                    Err(self.refused(demand, &complaint))
                }
            };
        }
    }

    /// Remembers what came. `set`: the delivery, if it came with files that belong to it.
    pub(super) async fn take(
        self: &Arc<Self>,
        demand: &Demand,
        fetched: Fetched,
        set: Option<&Arc<str>>,
    ) -> Result<()> {
        let content = match fetched.content {
            Ok(content) => content,
            Err(complaint) => return Err(self.refused(demand, &complaint)),
        };
        let Node { own, version, .. } = demand.node;
        let observation = fetched.observation;
        if self.differs_from_ranges(demand, &content).await? {
            // What was read of this version in ranges was another state of the file.
            let found = listed_version(content.size, Some(observation.started));
            let listed = FileAsListed { times: None, ..demand.listed.clone() };
            record_collected(self, &demand.directory, own, found, listed, (content, observation), set).await?;
            return Err(self.changed(demand));
        }
        // A listing may have come in between that says otherwise: these bytes are those of the listed version all the same.
        record_collected(self, &demand.directory, own, version, demand.listed.clone(), (content, observation), set)
            .await
    }

    /// The endpoint could not read the file. It may be gone: only a new listing of its directory can prove it.
    pub(super) fn refused(self: &Arc<Self>, demand: &Demand, complaint: &Complaint) -> Error {
        let kind = match complaint.cause {
            Cause::Denied => ErrorKind::Denied,
            Cause::Unsupported => ErrorKind::Unsupported,
            Cause::Absent | Cause::Unknown => {
                let _joined = self.look_anew(&demand.directory, &demand.call);
                ErrorKind::Uncollected
            }
        };
        Error::new(kind, format!("the endpoint could not read {}: {}", demand.path, complaint.message))
    }
}

/// Whether asking again at once would only cost the endpoint.
pub(super) fn is_refusal(error: &Error) -> bool {
    use ErrorKind::{Changed, Denied, Uncollected, Unsupported};
    matches!(error.kind(), Denied | Unsupported | Uncollected | Changed)
}

pub(super) async fn run(inner: Arc<Inner>, demand: Demand, flight: Arc<Flight>) {
    let guard = EndOnDrop(flight.clone());
    let (export, principal) = (demand.node.export, demand.call.principal.name());
    let walks = inner.walks.busy(export, principal, inner.clock.now());
    let is_here = inner.collected_on_return(&demand, &flight).await || inner.was_uploaded(&demand).await;
    let mut result = if is_here { Ok(()) } else { inner.collect_for_reader(&demand, &flight).await };
    if let Err(error) = &result
        && error.kind() == ErrorKind::Offline
    {
        result = Err(inner.collect_on_return(&demand, error.clone()).await);
    }
    if walks {
        inner.walks.answered(export, principal, inner.clock.now());
    }
    if let Err(error) = &result {
        if says_nothing(error) {
            tracing::debug!(path = %demand.path, %error, "not collected");
        } else {
            tracing::warn!(path = %demand.path, principal = demand.call.principal.name(), %error, "collection failed");
        }
        if is_refusal(error) {
            inner.refusals.put(&demand.node, inner.clock.now(), error);
        }
    }
    flight.end(result);
    demand.directory.end_collection((demand.node.own, demand.node.version));
    drop(guard);
}
