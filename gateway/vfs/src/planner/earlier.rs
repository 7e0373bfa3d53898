//! Jobs of an earlier process: what they bring is kept, and whoever asks for it meanwhile waits for them instead of starting them again. What
//! was not delivered in time is taken back, across restarts too (D17).

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::backend::{Failure, Fetched, Job, JobEvent, Listed, Outcome};
use crate::content::{as_listed, record_collected, version_of_found};
use crate::error::{Error, Result};
use crate::flight::{EndOnDrop, Flight};
use crate::node::Identity;
use crate::path::EndpointPath;
use crate::principal::{Call, Principal, Protocol};
use crate::store::{JobRecord, Place};
use crate::tree::{Directory, EndpointEntry, blocking, gone};
use crate::vfs::Inner;

/// Pause before the news of a job are asked for again.
const AGAIN: Duration = Duration::from_secs(30);

impl Inner {
    /// Remembers a job until its end was seen.
    pub(super) async fn remember_job(&self, record: JobRecord) {
        let store = self.store.clone();
        let job = record.job.id.clone();
        if let Err(error) = blocking(move || store.put_job(&record)).await {
            tracing::error!(flow = %job, %error, "a flow could not be remembered: if the gateway ends now, nobody takes it back");
        }
    }

    /// The end of a job was seen.
    pub(super) async fn forget_job(&self, job: &Job) {
        let (store, forgotten) = (self.store.clone(), job.clone());
        if let Err(error) = blocking(move || store.remove_job(&forgotten)).await {
            tracing::warn!(flow = %job.id, %error, "a flow that ended could not be forgotten");
        }
    }

    /// Goes on with all jobs of an earlier process. The endpoints must be known.
    pub(crate) async fn take_up_jobs(self: &Arc<Self>) {
        let store = self.store.clone();
        match blocking(move || store.jobs()).await {
            Ok(records) => {
                for record in records {
                    match self.endpoint_of(self.keys.export(&record.job.endpoint)) {
                        Ok(entry) if record.for_return.is_some() => self.follow_return(record, entry),
                        Ok(entry) => {
                            tokio::spawn(take_up(self.clone(), record, entry));
                        }
                        Err(_) => {} // nobody knows the endpoint any more
                    }
                }
            }
            Err(error) => {
                tracing::error!(%error, "the flows of the time before the start cannot be read: nobody takes them back")
            }
        }
    }

    /// The directory at `path`, made if nothing is known of it.
    async fn directory_at(self: &Arc<Self>, path: &EndpointPath) -> Result<Arc<Directory>> {
        let export = self.keys.export(&path.endpoint);
        let client = self.keys.child(Identity::ROOT, &path.endpoint.client_id, 0);
        let own = self.keys.child(client, &path.accessor, 0);
        let root = EndpointPath::accessor_root(path.endpoint.clone(), path.accessor.clone());
        let directory = self.tree.known(export, client, own, Place::Endpoint(root.clone())).await?;
        self.directory_below(&directory, &root, path).await
    }

    /// Keeps a listing that an earlier process asked for.
    async fn keep_listing(self: &Arc<Self>, listed: Listed) -> Result<()> {
        let directory = self.directory_at(&listed.directory).await?;
        self.publish(&directory, listed).await
    }

    /// Keeps a file that an earlier process asked for, as if a colleague had collected it (D27).
    async fn keep_file(self: &Arc<Self>, fetched: Fetched) -> Result<()> {
        let (Ok(content), None) = (fetched.content, fetched.range) else { return Ok(()) };
        let above = fetched.file.parent().ok_or_else(gone)?;
        let directory = self.directory_at(&above).await?;
        let loaded = self.tree.load(&directory).await?.ok_or_else(gone)?;
        let name = fetched.file.name().unwrap_or_default();
        let entry = loaded.snapshot.by_name(name, &self.keys).ok_or_else(gone)?;
        let version = version_of_found(&entry, &content, &fetched.observation);
        let listed = as_listed(&entry, version);
        record_collected(self, &directory, entry.identity, version, listed, (content, fetched.observation), None).await
    }
}

async fn take_up(inner: Arc<Inner>, record: JobRecord, entry: Arc<EndpointEntry>) {
    tracing::info!(flow = %record.job.id, path = %record.path, "a flow of the time before the start is followed on");
    let make = |work| {
        let (endpoint, principal) = (record.job.endpoint.client_id.clone(), record.principal.as_str().into());
        let flight = Flight::new(endpoint, record.path.to_string(), work, principal, inner.clock.now());
        if record.kept {
            flight.keep();
        }
        flight
    };
    // Whoever asks for a listing that is under way waits for it.
    let directory = if record.lists { inner.directory_at(&record.path).await.ok() } else { None };
    let (flight, listed_by_it) = match &directory {
        Some(directory) => directory.join_flight(|| make("list")),
        None => (make("collect"), true),
    };
    if !listed_by_it {
        // Somebody asked before we came here: his flow is on its way, and what ours brings is kept all the same.
        let flight = make("list");
        let _ended = follow(&inner, &record, &entry, &flight).await;
        return;
    }
    let _guard = EndOnDrop(flight.clone());
    flight.update(|status| status.job = Some(record.job.id.clone()));
    inner.activities.add(flight.clone());
    let result = match follow(&inner, &record, &entry, &flight).await {
        Ok(Brought::Lost) => Err(Error::backend("the task was lost on its way to the endpoint; ask again")),
        brought => brought.map(|_| ()),
    };
    if let Err(error) = &result {
        tracing::warn!(flow = %record.job.id, path = %record.path, %error, "a flow of the time before the start was given up");
    }
    match directory {
        Some(directory) if result.is_err() && !flight.has_ended() && !flight.is_abandoned() => {
            // Whoever joined asked for a listing, not for that of an earlier time.
            let call = Call::new(Principal::new(record.principal), Protocol::Gateway, Duration::ZERO);
            inner.did_not_come(&directory, &flight, &call).await;
        }
        Some(directory) => {
            flight.end(result);
            directory.end_flight(&flight);
        }
        None => flight.end(result),
    }
}

/// How a job ended that did not end with an error.
pub(super) enum Brought {
    /// What was asked for was listed or collected.
    AskedFor,
    /// The task never ran.
    Lost,
}

/// Keeps what the job brings, to its end.
pub(super) async fn follow(
    inner: &Arc<Inner>,
    record: &JobRecord,
    entry: &EndpointEntry,
    flight: &Flight,
) -> Result<Brought> {
    let JobRecord { job, path, start_by, for_return, .. } = record;
    let start_by = Instant::now() + start_by.since(inner.clock.now());
    let mut events = inner.backend.watch(job);
    let mut heard = false;
    let mut came = false;
    loop {
        let event = match for_return {
            Some(_) => inner.next_event_on_return(&mut events, record, flight).await?,
            None => inner.next_event(&[flight], &mut events, job, entry, start_by, heard).await?,
        };
        let kept = match event {
            Some(JobEvent::Delivered) => {
                flight.update(|status| (status.delivered, status.queued_until) = (true, None));
                Ok(())
            }
            Some(JobEvent::Progress { rows, bytes }) => {
                heard |= rows + bytes > 0;
                flight.update(|status| (status.rows, status.bytes) = (rows, bytes));
                Ok(())
            }
            Some(JobEvent::Listed(listed)) => {
                heard = true;
                let is_asked = listed.directory == *path;
                let kept = inner.keep_listing(listed).await;
                if is_asked {
                    came = true;
                    flight.end(kept.clone());
                }
                kept
            }
            Some(JobEvent::Fetched(fetched)) => {
                (heard, came) = (true, true);
                inner.keep_file(fetched).await
            }
            Some(JobEvent::Ended(_)) if came => return Ok(Brought::AskedFor),
            Some(JobEvent::Ended(Outcome::Failed { failure: Failure::Lost, .. })) => return Ok(Brought::Lost),
            Some(JobEvent::Ended(_)) => {
                return Err(Error::backend("the flow ended without what was asked for; ask again"));
            }
            None if for_return.is_some() => {
                // Somebody must hear of it when the endpoint is back.
                sleep(AGAIN).await;
                events = inner.backend.watch(job);
                continue;
            }
            None => return Err(Error::backend("the job's news broke off; try again")),
        };
        if let Err(error) = kept {
            tracing::warn!(flow = %job.id, %error, "what a flow of the time before the start brought could not be kept");
        }
    }
}
