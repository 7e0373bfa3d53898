//! One job of several flows: files that are collected together on a server without `Custom.Raptorgate.FetchMany`.
//!
//! The job's id is the flows' ids joined by `+`, so that a later process can watch it too.

use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::{BoxStream, SelectAll};
use vfs::EndpointId;
use vfs::backend::{Failure, Job, JobEvent, Outcome};

const SEPARATOR: char = '+';

/// The job of `flows`.
pub(crate) fn job(endpoint: &EndpointId, flows: &[Arc<str>]) -> Job {
    let id = match flows {
        [only] => only.clone(),
        flows => Arc::from(flows.join("+")),
    };
    Job { endpoint: endpoint.clone(), id }
}

/// The job's flows.
pub(crate) fn parts(job: &Job) -> Vec<Job> {
    let part = |id: &str| Job { endpoint: job.endpoint.clone(), id: Arc::from(id) };
    job.id.split(SEPARATOR).map(part).collect()
}

/// The events of all parts as those of one job.
pub(crate) fn merge(parts: Vec<BoxStream<'static, JobEvent>>) -> BoxStream<'static, JobEvent> {
    let state = Merge {
        delivered: false,
        progress: vec![(0, 0); parts.len()],
        missing: parts.len(),
        outcome: Outcome::Finished { complaint: None },
        events: parts
            .into_iter()
            .enumerate()
            .map(|(index, events)| events.map(move |event| (index, event)).boxed())
            .collect(),
    };
    futures_util::stream::unfold(state, |mut state| async move { state.next().await.map(|event| (event, state)) })
        .boxed()
}

struct Merge {
    events: SelectAll<BoxStream<'static, (usize, JobEvent)>>,
    delivered: bool,
    /// Rows and bytes of each part.
    progress: Vec<(u64, u64)>,
    missing: usize,
    outcome: Outcome,
}

impl Merge {
    async fn next(&mut self) -> Option<JobEvent> {
        loop {
            let (index, event) = self.events.next().await?;
            match event {
                JobEvent::Delivered if std::mem::replace(&mut self.delivered, true) => {}
                JobEvent::Progress { rows, bytes } => {
                    if let Some(progress) = self.progress.get_mut(index) {
                        *progress = (rows, bytes);
                    }
                    let (rows, bytes) = self.progress.iter().fold((0, 0), |sum, part| (sum.0 + part.0, sum.1 + part.1));
                    return Some(JobEvent::Progress { rows, bytes });
                }
                JobEvent::Ended(outcome) => {
                    let before = std::mem::replace(&mut self.outcome, Outcome::Finished { complaint: None });
                    self.outcome = worse(before, outcome);
                    self.missing -= 1;
                    if self.missing == 0 {
                        return Some(JobEvent::Ended(self.outcome.clone()));
                    }
                }
                event => return Some(event),
            }
        }
    }
}

/// A failure outweighs a complaint; a failure that trying again does not mend outweighs a lost task.
fn worse(first: Outcome, second: Outcome) -> Outcome {
    let weight = |outcome: &Outcome| match outcome {
        Outcome::Finished { complaint: None } => 0,
        Outcome::Finished { complaint: Some(_) } => 1,
        Outcome::Failed { failure: Failure::Lost, .. } => 2,
        Outcome::Failed { .. } => 3,
    };
    if weight(&second) > weight(&first) { second } else { first }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_names_all_flows_of_the_job() {
        let endpoint = EndpointId::root_org("C.1");
        let flows: [Arc<str>; 2] = ["F.1".into(), "F.2".into()];
        let both = job(&endpoint, &flows);
        assert_eq!(parts(&both).iter().map(|part| part.id.clone()).collect::<Vec<_>>(), flows);
        assert_eq!(&*job(&endpoint, &flows[..1]).id, "F.1");
    }

    #[tokio::test]
    async fn the_events_of_all_parts_are_those_of_one_job() {
        let failed = |failure| JobEvent::Ended(Outcome::Failed { failure, message: "x".into() });
        let progress = |bytes| JobEvent::Progress { rows: 0, bytes };
        let parts = vec![
            futures_util::stream::iter([JobEvent::Delivered, progress(5), failed(Failure::Limit)]).boxed(),
            futures_util::stream::iter([JobEvent::Delivered, progress(7), failed(Failure::Lost)]).boxed(),
        ];
        let events: Vec<_> = merge(parts).collect().await;
        assert_eq!(events.iter().filter(|event| matches!(event, JobEvent::Delivered)).count(), 1);
        let bytes = events.iter().filter_map(|event| match event {
            JobEvent::Progress { bytes, .. } => Some(*bytes),
            _ => None,
        });
        assert_eq!(bytes.max(), Some(12));
        let ends: Vec<_> = events.iter().filter(|event| matches!(event, JobEvent::Ended(_))).collect();
        assert!(matches!(ends[..], [JobEvent::Ended(Outcome::Failed { failure: Failure::Limit, .. })]), "{ends:?}");
        assert!(matches!(events.last(), Some(JobEvent::Ended(_))));
    }
}
