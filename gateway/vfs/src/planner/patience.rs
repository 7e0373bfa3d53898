//! Waiting for news of a job: not for ever, and not for an endpoint that has gone away.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tokio::time::{Instant, timeout};

use crate::backend::{Job, JobEvent};
use crate::error::{Error, Result};
use crate::principal::Event;
use crate::tree::EndpointEntry;
use crate::vfs::Inner;

/// While nothing is heard, the endpoint is looked after so often.
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl Inner {
    /// The next news of `job`; `None` at the end of the stream. `heard`: the endpoint has been heard of since it has the job.
    ///
    /// # Errors
    /// `Offline` if the endpoint went away before it was heard of, `Backend` if it did not take the job by `start_by` (D17). The job was
    /// taken back then, so that the endpoint does not start old work days later.
    pub(crate) async fn next_event(
        &self,
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
        loop {
            if let Ok(event) = timeout(LOOK_EVERY, events.next()).await {
                return told(event).await;
            }
            let gone =
                matches!(entry.is_online(&*self.backend, &*self.clock, self.settings.offline_after).await, Ok(false));
            if !gone && Instant::now() < start_by {
                continue;
            }
            match self.backend.cancel(job).await {
                Ok(()) => self.forget_job(job).await,
                Err(error) => tracing::warn!(flow = %job.id, %error, "a flow that was given up could not be cancelled"),
            }
            self.recorder.record(Event::FlowCancelled {
                at: self.clock.now(),
                endpoint: job.endpoint.client_id.clone(),
                job: job.id.clone(),
                reason: if gone {
                    "the endpoint went away before it had it"
                } else {
                    "the endpoint did not take it in time"
                }
                .into(),
            });
            if gone {
                return Err(entry.offline_error());
            }
            let minutes = self.settings.start_by.as_secs() / 60;
            return Err(Error::backend(format!(
                "the endpoint did not take the task within {minutes} minutes; it was cancelled"
            )));
        }
    }
}
