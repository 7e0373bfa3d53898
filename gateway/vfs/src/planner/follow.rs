//! Following a listing job to its end: publishing whole directories as they come, and saying honestly what did not come.

use std::collections::HashMap;
use std::sync::Arc;

use super::leave::Turn;
use super::prefetch::Reach;
use super::{Demand, Wish};
use crate::backend::{Cause, Complaint, Failure, Job, JobEvent, Listed, Outcome};
use crate::error::{Error, ErrorKind, Result};
use crate::flight::{Flight, RETRY_AFTER};
use crate::path::EndpointPath;
use crate::principal::Call;
use crate::store::FailureRecord;
use crate::tree::Directory;
use crate::vfs::Inner;

/// How a job ended that did not end with an error.
pub(super) enum End {
    /// The directory was listed.
    Listed,
    /// The task never ran.
    Lost,
    /// So much was to come along that the directory itself did not come.
    TooWide,
}

/// Directories below the one that was asked for, whose listings come with the same job.
type Children = HashMap<EndpointPath, (Arc<Directory>, Arc<Flight>)>;

impl Inner {
    pub(super) async fn follow_listing(
        self: &Arc<Self>,
        demand: &Demand,
        turn: &mut Turn,
        reach: &Reach,
        flight: &Arc<Flight>,
    ) -> Result<End> {
        // How many levels come with the demanded directory.
        let depth = reach.depth - u32::from(reach.path != demand.path);
        let job = &turn.job.clone();
        flight.update(|status| status.job = Some(job.id.clone()));
        let mut events = self.backend.watch(job);
        let mut listed = false;
        let (mut heard, mut says_something) = (false, false);
        let mut rows = 0;
        let mut children = Children::new();
        let start_by = tokio::time::Instant::now() + self.settings.start_by;
        let outcome = loop {
            let event = match self.next_event(&[flight], &mut events, job, &demand.entry, start_by, heard).await {
                Ok(event) => event,
                Err(error) if says_nothing(&error) => return Err(error),
                Err(error) => return Err(self.failed(demand, Some(job), Cause::Unknown, error.message()).await),
            };
            match event {
                Some(JobEvent::Delivered) => {
                    turn.taken(self.clock.now());
                    flight.update(|status| status.delivered = true);
                }
                Some(JobEvent::Progress { rows, bytes }) => {
                    heard = true;
                    says_something |= rows > 0;
                    flight.update(|status| (status.rows, status.bytes) = (status.rows.max(rows), bytes));
                }
                Some(JobEvent::Listed(directory)) => {
                    (heard, says_something) = (true, true);
                    rows += directory.rows.len() as u64;
                    flight.update(|status| status.rows = status.rows.max(rows));
                    if directory.directory == demand.path {
                        if depth > 0 {
                            self.expect_children(demand, &demand.directory, &directory, &mut children).await;
                        }
                        self.publish(&demand.directory, directory).await?;
                        listed = true;
                        if !matches!(demand.wish, Wish::Refresh(_)) {
                            self.answer(demand, flight, Ok(()));
                        }
                    } else {
                        if directory.directory == reach.path {
                            self.expect_children(demand, &reach.base, &directory, &mut children).await;
                        }
                        self.publish_below(reach, directory, &mut children).await;
                    }
                }
                Some(JobEvent::Fetched(_)) => {}
                Some(JobEvent::Ended(outcome)) => {
                    turn.ended(&outcome, self.clock.now());
                    break outcome;
                }
                None => {
                    break Outcome::Failed { failure: Failure::Error, message: "the job's news broke off".into() };
                }
            }
            // The server's word alone says nothing of when a websocket's endpoint took it (§7.3).
            if says_something {
                turn.heard(self.clock.now());
                flight.update(|status| status.due = None);
            }
        };
        for (child, flight) in children.into_values() {
            let (inner, call) = (self.clone(), demand.call.clone());
            tokio::spawn(async move { inner.did_not_come(&child, &flight, &call).await });
        }
        if listed {
            return Ok(End::Listed);
        }
        match outcome {
            Outcome::Failed { failure: Failure::Lost, .. } => Ok(End::Lost),
            _ if reach.is_wide() => Ok(End::TooWide),
            outcome => self.unlisted(demand, job, outcome).await,
        }
    }

    /// A listing that somebody else's job was to bring did not come: whoever joined waits for one of its own, which also says why.
    pub(super) async fn did_not_come(self: &Arc<Self>, directory: &Arc<Directory>, flight: &Arc<Flight>, call: &Call) {
        directory.end_flight(flight);
        let wanted = flight.is_wanted() && !flight.is_abandoned();
        let own = if wanted { self.demand_listing(directory, call, Wish::Fresh).ok() } else { None };
        flight.end(match own {
            Some(own) => own.ended_for(flight).await,
            None => {
                Err(Error::later(RETRY_AFTER, "the listing that was under way did not bring this directory; ask again"))
            }
        });
    }

    /// The job is over and has not listed the directory.
    pub(super) async fn unlisted(self: &Arc<Self>, demand: &Demand, job: &Job, outcome: Outcome) -> Result<End> {
        match outcome {
            Outcome::Failed { failure: Failure::Lost, .. } => Ok(End::Lost),
            Outcome::Failed { message, .. } => Err(self.failed(demand, Some(job), Cause::Unknown, &message).await),
            Outcome::Finished { complaint } => {
                let complaint = complaint.unwrap_or_else(|| Complaint {
                    cause: Cause::Unknown,
                    message: "the endpoint could not read the directory and did not say why".into(),
                });
                self.doubt_parent(demand).await;
                Err(self.failed(demand, Some(job), complaint.cause, &complaint.message).await)
            }
        }
    }

    /// The task was lost again and again.
    pub(super) async fn lost(self: &Arc<Self>, demand: &Demand) -> Error {
        self.failed(
            demand,
            None,
            Cause::Unknown,
            "the task was lost on its way to the endpoint several times; try again later",
        )
        .await
    }

    /// Remembers that the directory could not be listed; a good listing stays (design rule).
    async fn failed(self: &Arc<Self>, demand: &Demand, job: Option<&Job>, cause: Cause, message: &str) -> Error {
        let failure =
            FailureRecord { at: self.clock.now(), job: job.map(|job| job.id.clone()), cause, message: message.into() };
        let error = failure_error(&failure);
        let mut state = crate::tree::State::clone(&demand.directory.state());
        state.failure = Some(failure);
        if let Err(error) = self.save_state(&demand.directory, state).await {
            tracing::error!(path = %demand.path, %error, "a failure could not be written to the store");
        }
        error
    }

    /// The directory may be gone: only a new listing of its parent can prove it.
    async fn doubt_parent(self: &Arc<Self>, demand: &Demand) {
        if demand.path.components.is_empty() {
            return;
        }
        let key =
            crate::store::DirectoryKey { export: demand.directory.node.export, own: demand.directory.node.parent };
        if let Ok(parent) = self.tree.resolve_key(key).await {
            let _joined = self.demand_listing(&parent, &demand.call, Wish::Behind);
        }
    }

    /// The sub-directories of `directory` will come with this job: demands for them wait for it instead of starting their own.
    async fn expect_children(
        self: &Arc<Self>,
        demand: &Demand,
        directory: &Arc<Directory>,
        listed: &Listed,
        children: &mut Children,
    ) {
        for row in listed.rows.iter().filter(|row| row.file_type() == crate::FileType::Directory && !row.unfetchable())
        {
            let Ok(path) = listed.directory.child(row.name()) else {
                continue;
            };
            let own = self.keys.child(directory.node.own, row.name(), 0);
            let place = crate::store::Place::Endpoint(path.clone());
            let Ok(child) = self.tree.known(directory.node.export, directory.node.own, own, place).await else {
                continue;
            };
            let (flight, started) = child.join_flight(|| {
                Flight::new(
                    flight_endpoint(&path),
                    path.to_string(),
                    "list",
                    demand.call.principal.name().into(),
                    self.clock.now(),
                )
            });
            if started {
                children.insert(path, (child, flight));
            }
        }
    }

    async fn publish_below(self: &Arc<Self>, reach: &Reach, listed: Listed, children: &mut Children) {
        let path = listed.directory.clone();
        let published = match self.directory_below(&reach.base, &reach.path, &path).await {
            Ok(directory) => self.publish(&directory, listed).await,
            Err(error) => Err(error),
        };
        if let Err(error) = &published {
            tracing::warn!(%path, %error, "a prefetched listing could not be kept");
        }
        if let Some((child, flight)) = children.remove(&path) {
            flight.end(published);
            child.end_flight(&flight);
        }
    }
}

/// Whether an error says nothing of the directory, only that nobody looked.
pub(crate) fn says_nothing(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Offline | ErrorKind::Later { .. })
}

fn flight_endpoint(path: &EndpointPath) -> Arc<str> {
    path.endpoint.client_id.clone()
}

/// What a recorded failure means to whoever asks for the directory. Never `Absent`: only the parent's listing proves that.
pub(crate) fn failure_error(failure: &FailureRecord) -> Error {
    let kind = match failure.cause {
        Cause::Denied => ErrorKind::Denied,
        Cause::Absent | Cause::Unsupported | Cause::Unknown => ErrorKind::Backend,
    };
    Error::new(kind, format!("listing failed: {}", failure.message))
}
