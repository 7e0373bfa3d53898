//! `/C.xxxx/collected`: what jobs on an endpoint uploaded, whoever started them (D9). All of it comes from the server: no job is ever
//! started for it, and an endpoint that is away has it all the same.
//!
//! | path | listing |
//! |---|---|
//! | `collected` | the jobs that ended and uploaded something; read again when it is older than a few seconds |
//! | `collected/TIME-NAME-JOB` and all below | read at once for the whole job; for good once the job is long over |

mod content;
mod jobs;
mod layout;
mod stand_in;

use std::sync::Arc;
use std::time::Duration;

use crate::backend::Cause;
use crate::error::{Error, ErrorKind, Result};
use crate::flight::{EndOnDrop, Flight};
use crate::node::{Identity, Node};
use crate::planner::failure_error;
use crate::principal::Call;
use crate::store::{DirectoryKey, FailureRecord, Place, UploadsPlace};
use crate::tree::{COLLECTED, Directory, State};
use crate::vfs::Inner;

pub(crate) use content::as_uploaded;
pub(crate) use jobs::{KnownJobs, job_place};

/// Older than this, the list of jobs is read again, and the uploads of a job that may still change.
const AGE: Duration = Duration::from_secs(5);
/// What an endpoint had read when its job ended may arrive for so long after.
const SETTLES: Duration = Duration::from_secs(600);

impl Inner {
    /// Whether what is known of a directory in `collected` can be served without asking the server; `None` if memory does not tell.
    pub(crate) fn uploads_are_fresh(&self, directory: &Directory, frozen: bool) -> Option<bool> {
        match self.read_with(directory) {
            Some(key) => Some(self.is_fresh(&*self.tree.in_memory(key)?, frozen)),
            None => Some(self.is_fresh(directory, frozen)),
        }
    }

    /// Asks the server if what is known of a directory in `collected` is not fresh. `proves`: only fresh knowledge will do; otherwise what
    /// is known stays good if the server cannot be asked.
    ///
    /// # Errors
    /// Never for a directory of which something is known, but `Later` or if it must be fresh.
    pub(crate) async fn look_at_uploads(
        self: &Arc<Self>,
        directory: &Arc<Directory>,
        call: &Call,
        proves: bool,
    ) -> Result<()> {
        let about = match self.read_with(directory) {
            Some(key) => self.tree.resolve_key(key).await?,
            None => directory.clone(),
        };
        if self.is_fresh(&about, call.frozen) {
            return Ok(());
        }
        let result = match self.recent_failure(&about) {
            Some(failure) if !about.is_being_listed() => Err(failure_error(&failure)),
            _ => self.demand_uploads(&about)?.wait(call.hold).await,
        };
        match result {
            Err(error) if !proves && !matches!(error.kind(), ErrorKind::Later { .. }) => {
                if about.state().listing.is_some() { Ok(()) } else { Err(error) }
            }
            result => result,
        }
    }

    /// Asks the server behind the caller's back if the list of jobs is not fresh: clients that keep listings notice a new one by the
    /// directory's change stamp alone.
    pub(crate) fn look_at_jobs_in_background(self: &Arc<Self>, node: &Node) {
        let key = DirectoryKey { export: node.export, own: node.own };
        let Some(directory) = self.tree.in_memory(key).filter(|it| matches!(it.place, Place::Collected(_))) else {
            return;
        };
        let is_known = directory.state().listing.is_some();
        if is_known && !self.is_fresh(&directory, node.is_frozen()) && self.recent_failure(&directory).is_none() {
            let _joined = self.demand_uploads(&directory);
        }
    }

    /// Asks the server anew for the list of jobs or for a job's uploads, whatever is known; `None` for any other directory.
    pub(crate) async fn demand_uploads_anew(
        self: &Arc<Self>,
        directory: &Arc<Directory>,
    ) -> Result<Option<Arc<Flight>>> {
        let about = match self.read_with(directory) {
            Some(key) => self.tree.resolve_key(key).await?,
            None if matches!(directory.place, Place::Collected(_) | Place::Uploads(_)) => directory.clone(),
            None => return Ok(None),
        };
        self.demand_uploads(&about).map(Some)
    }

    /// The reading of the list of jobs or of a job's uploads that is under way, or a new one.
    pub(crate) fn demand_uploads(self: &Arc<Self>, directory: &Arc<Directory>) -> Result<Arc<Flight>> {
        let (endpoint, path) = match &directory.place {
            Place::Collected(endpoint) => (endpoint, format!("/{endpoint}/{COLLECTED}")),
            Place::Uploads(place) => (&place.job.endpoint, place.to_string()),
            _ => return Err(Error::invalid("this directory is not one of uploads")),
        };
        let make = || Flight::new(endpoint.client_id.clone(), path, "list", Arc::from(""), self.clock.now());
        let (flight, started) = directory.join_flight(make);
        if started {
            tokio::spawn(run(self.clone(), directory.clone(), flight.clone()));
        }
        Ok(flight)
    }

    /// The directory that a directory of uploads is read together with, if that is another one.
    pub(crate) fn read_with(&self, directory: &Directory) -> Option<DirectoryKey> {
        match &directory.place {
            Place::Uploads(place) if !place.below.is_empty() => {
                Some(DirectoryKey { export: directory.node.export, own: self.job_identity(place) })
            }
            _ => None,
        }
    }

    /// The identity of a job's directory.
    fn job_identity(&self, place: &UploadsPlace) -> Identity {
        [&*place.job.endpoint.client_id, COLLECTED, &*place.name]
            .into_iter()
            .fold(Identity::ROOT, |parent, name| self.keys.child(parent, name, 0))
    }

    fn is_fresh(&self, directory: &Directory, frozen: bool) -> bool {
        directory
            .state()
            .listing
            .as_ref()
            .is_some_and(|listing| frozen || listing.settled || self.clock.now().since(listing.observation.seen) <= AGE)
    }

    async fn remember_failure(self: &Arc<Self>, directory: &Arc<Directory>, error: &Error) -> Result<()> {
        let cause = if error.kind() == ErrorKind::Denied { Cause::Denied } else { Cause::Unknown };
        let failure = FailureRecord { at: self.clock.now(), job: None, cause, message: error.message().into() };
        let _turn = directory.publishing.lock().await;
        let state = State { failure: Some(failure), ..State::clone(&directory.state()) };
        self.save_state(directory, state).await
    }
}

async fn run(inner: Arc<Inner>, directory: Arc<Directory>, flight: Arc<Flight>) {
    let guard = EndOnDrop(flight.clone());
    let result = match &directory.place {
        Place::Collected(endpoint) => inner.read_jobs(&directory, endpoint).await,
        Place::Uploads(place) => inner.read_uploads(&directory, place).await,
        _ => Ok(()),
    };
    if let Err(error) = &result {
        tracing::warn!(path = %flight.path, %error, "what was uploaded could not be read from the server");
        if let Err(error) = inner.remember_failure(&directory, error).await {
            tracing::error!(%error, "a failure could not be written to the store");
        }
    }
    flight.end(result);
    directory.end_flight(&flight);
    drop(guard);
}
