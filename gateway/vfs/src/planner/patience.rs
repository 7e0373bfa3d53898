//! Waiting for news of a job: not for ever, not for an endpoint that has gone away, and not for nobody.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tokio::time::{Instant, sleep};

use crate::backend::{Job, JobEvent};
use crate::error::{Error, Result};
use crate::flight::{Flight, abandoned, unwanted};
use crate::principal::Event;
use crate::tree::EndpointEntry;
use crate::vfs::Inner;

/// While nothing is heard, the endpoint is looked after so often.
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl Inner {
    /// The next news of `job`, for those who wait for `flights`; `None` at the end of the stream. `heard`: the endpoint has been heard of
    /// since it has the job.
    ///
    /// # Errors
    /// `Offline` if the endpoint went away before it was heard of, `Backend` if it did not take the job by `start_by` (D17), `Later` if
    /// nobody waits any more and the server still has the job. The job was taken back then, so that the endpoint does not start old work
    /// days later.
    pub(crate) async fn next_event(
        &self,
        flights: &[&Flight],
        events: &mut BoxStream<'static, JobEvent>,
        job: &Job,
        entry: &EndpointEntry,
        start_by: Instant,
        heard: bool,
    ) -> Result<Option<JobEvent>> {
        let told = async |event: Option<JobEvent>| {
            if matches!(event, Some(JobEvent::Ended(_))) {
                self.forget_job(job).await;
            }
            Ok(event)
        };
        if heard {
            return told(events.next().await).await;
        }
        // What has left the server comes anyway: taking it back would only cost the endpoint another delivery (§7.3).
        let left = flights.iter().any(|flight| flight.status().borrow().delivered);
        loop {
            tokio::select! {
                biased;
                event = events.next() => return told(event).await,
                () = abandoned(flights), if !left => {
                    self.give_up(job, "nobody waits for it any more").await;
                    return Err(unwanted());
                }
                () = sleep(LOOK_EVERY) => {}
            }
            let gone =
                matches!(entry.is_online(&*self.backend, &*self.clock, self.settings.offline_after).await, Ok(false));
            if gone {
                self.give_up(job, "the endpoint went away before it had it").await;
                return Err(entry.offline_error());
            }
            if Instant::now() >= start_by {
                self.give_up(job, "the endpoint did not take it in time").await;
                let minutes = self.settings.start_by.as_secs() / 60;
                return Err(Error::backend(format!(
                    "the endpoint did not take the task within {minutes} minutes; it was cancelled"
                )));
            }
        }
    }

    /// Takes a job back, and records why.
    pub(crate) async fn give_up(&self, job: &Job, reason: &str) {
        match self.backend.cancel(job).await {
            Ok(()) => self.forget_job(job).await,
            Err(error) => tracing::warn!(flow = %job.id, %error, "a flow that was given up could not be cancelled"),
        }
        self.record_cancelled(job, reason);
    }

    /// The ledger tells that a job was taken back, and why.
    pub(crate) fn record_cancelled(&self, job: &Job, reason: &str) {
        self.recorder.record(Event::FlowCancelled {
            at: self.clock.now(),
            endpoint: job.endpoint.client_id.clone(),
            job: job.id.clone(),
            reason: reason.into(),
        });
    }
}

/// What `work` gives, unless nobody waits for any of `flights` any more.
///
/// # Errors
/// `Later` then.
pub(crate) async fn while_wanted<T>(flights: &[&Flight], work: impl Future<Output = T>) -> Result<T> {
    tokio::select! {
        biased;
        result = work => Ok(result),
        () = abandoned(flights) => Err(unwanted()),
    }
}
