//! Following a job that collects: each file as it comes, and how the job ended.

use futures_util::stream::BoxStream;
use tokio::time::Instant;

use crate::backend::{Fetched, Job, JobEvent, Outcome};
use crate::error::{Error, Result};
use crate::flight::Flight;
use crate::path::EndpointPath;
use crate::tree::EndpointEntry;
use crate::vfs::Inner;

/// A job under way.
pub(super) struct Follower<'a> {
    job: Job,
    /// What it was asked to collect.
    asked: Vec<EndpointPath>,
    entry: &'a EndpointEntry,
    events: BoxStream<'static, JobEvent>,
    start_by: Instant,
    heard: bool,
}

/// What matters of a job's news.
pub(super) enum Step {
    Fetched(Box<Fetched>),
    Ended(Outcome),
}

impl Inner {
    /// Begins to follow `job`, which was asked to collect these files of the endpoint.
    pub(super) fn follower<'a>(&self, job: Job, asked: Vec<EndpointPath>, entry: &'a EndpointEntry) -> Follower<'a> {
        let events = self.backend.watch(&job);
        Follower { events, job, asked, entry, start_by: Instant::now() + self.settings.start_by, heard: false }
    }

    /// The next step of the job; what it tells on the way is told on by `flight`. `others` wait for it too.
    ///
    /// # Errors
    /// As [`Inner::next_event`], and `Backend` if the news break off.
    pub(super) async fn next_step(
        &self,
        follower: &mut Follower<'_>,
        flight: &Flight,
        others: &[&Flight],
    ) -> Result<Step> {
        let Follower { job, asked, entry, events, start_by, heard } = follower;
        let flights: Vec<&Flight> = others.iter().copied().chain([flight]).collect();
        let tell_heard = |heard: &mut bool| {
            if !std::mem::replace(heard, true) {
                flights.iter().for_each(|flight| flight.update(|status| status.due = None));
            }
        };
        loop {
            match self.next_event(&flights, events, job, entry, *start_by, *heard).await? {
                Some(JobEvent::Delivered) => flight.update(|status| status.delivered = true),
                Some(JobEvent::Progress { bytes, .. }) => {
                    if bytes > 0 {
                        tell_heard(heard);
                    }
                    flight.update(|status| status.bytes = bytes);
                }
                // The bytes of one file must never be taken for those of another, whatever a backend mixes up.
                Some(JobEvent::Fetched(fetched)) if !asked.contains(&fetched.file) => {
                    tracing::error!(flow = %job.id, path = %fetched.file, "the job brought a file that it was not asked for; it is not used");
                }
                Some(JobEvent::Fetched(fetched)) => {
                    tell_heard(heard);
                    return Ok(Step::Fetched(Box::new(fetched)));
                }
                Some(JobEvent::Listed(_)) => {}
                Some(JobEvent::Ended(outcome)) => return Ok(Step::Ended(outcome)),
                None => return Err(Error::backend("the job's news broke off; try again")),
            }
        }
    }
}
