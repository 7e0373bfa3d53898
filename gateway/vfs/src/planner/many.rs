//! Following a job that lists many directories: each has an outcome of its own (D29).

use std::collections::HashMap;
use std::sync::Arc;

use super::follow::says_nothing;
use super::leave::Answer;
use super::queue::Item;
use crate::backend::{Cause, Failure, Job, JobEvent, Listed, Outcome};
use crate::error::Result;
use crate::flight::Flight;
use crate::path::EndpointPath;
use crate::tree::Delivering;
use crate::vfs::Inner;

/// Directories that have not come yet.
type Open = HashMap<EndpointPath, Item>;

impl Inner {
    pub(super) async fn follow_many(self: &Arc<Self>, batch: Vec<Item>, job: Job, delivering: Delivering) {
        for item in &batch {
            item.flight.update(|status| status.job = Some(job.id.clone()));
        }
        let mut open: Open = batch.into_iter().map(|item| (item.demand.path.clone(), item)).collect();
        let ended = self.follow_open(&mut open, &job, delivering).await;
        let missing = open.len();
        for item in open.into_values() {
            let answer = match &ended {
                Ok(outcome) if tells_of_each(outcome, missing) => Ok(Answer::Unlisted(job.clone(), outcome.clone())),
                Ok(_) => Ok(Answer::Apart),
                Err(error) if says_nothing(error) => Err(error.clone()),
                Err(error) => Ok(Answer::Unlisted(job.clone(), failed(error.message()))),
            };
            let _gone = item.reply.send(answer);
        }
    }

    async fn follow_open(self: &Arc<Self>, open: &mut Open, job: &Job, mut delivering: Delivering) -> Result<Outcome> {
        let mut events = self.backend.watch(job);
        let start_by = tokio::time::Instant::now() + self.settings.start_by;
        let (mut heard, mut says_something) = (false, false);
        while let Some(entry) = open.values().next().map(|item| item.demand.entry.clone()) {
            let event = {
                let flights: Vec<&Flight> = open.values().map(|item| &*item.flight).collect();
                self.next_event(&flights, &mut events, job, &entry, start_by, heard).await?
            };
            let now = self.clock.now();
            match event {
                Some(JobEvent::Delivered) => {
                    delivering.taken(now);
                    open.values().for_each(|item| item.flight.update(|status| status.delivered = true));
                }
                Some(JobEvent::Progress { rows, .. }) => {
                    heard = true;
                    says_something |= rows > 0;
                }
                Some(JobEvent::Fetched(_)) => {}
                Some(JobEvent::Listed(listed)) => {
                    (heard, says_something) = (true, true);
                    self.take_one(open, listed).await;
                }
                Some(JobEvent::Ended(outcome)) => {
                    delivering.ended(&outcome, now);
                    return Ok(outcome);
                }
                None => return Ok(failed("the job's news broke off")),
            }
            if says_something {
                delivering.heard(now);
                for item in open.values() {
                    item.flight.update(|status| status.due = None);
                }
            }
        }
        Ok(Outcome::Finished { complaint: None })
    }

    async fn take_one(self: &Arc<Self>, open: &mut Open, listed: Listed) {
        let Some(item) = open.remove(&listed.directory) else {
            return;
        };
        let rows = listed.rows.len() as u64;
        item.flight.update(|status| status.rows = rows);
        let published = self.publish(&item.demand.directory, listed).await;
        let _gone = item.reply.send(published.map(|()| Answer::Listed));
    }
}

/// Whether the end of the job is the end of each of the `missing` directories: what the endpoint said of several need not be true of each.
fn tells_of_each(outcome: &Outcome, missing: usize) -> bool {
    match outcome {
        Outcome::Finished { complaint } => {
            missing == 1 || complaint.as_ref().is_some_and(|complaint| complaint.cause != Cause::Unknown)
        }
        Outcome::Failed { failure: Failure::Lost | Failure::Cancelled, .. } => true,
        Outcome::Failed { failure: Failure::Limit | Failure::Error, .. } => false,
    }
}

fn failed(message: &str) -> Outcome {
    Outcome::Failed { failure: Failure::Error, message: message.into() }
}
