//! The fake server's answers.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::sync::mpsc;

use super::super::receive::Receiver;
use super::{FakeBackend, place_of};
use crate::backend::{
    Backend, Capabilities, ContentLocation, Delivery, EndpointChange, Job, JobEvent, JobPage, JobSummary, Listed,
    Observation, Presence, Upload, Work,
};
use crate::clock::Clock;
use crate::endpoint::{Endpoint, EndpointId, System};
use crate::error::{Error, Result};
use crate::path::EndpointPath;
use crate::timestamp::Timestamp;

/// Jobs on one page of the list of jobs.
const JOBS_A_PAGE: usize = 10;

#[async_trait]
impl Backend for FakeBackend {
    async fn submit(&self, endpoint: &EndpointId, delivery: Delivery) -> Result<Vec<Job>> {
        let mut jobs = Vec::new();
        for work in delivery.works {
            let counter =
                if matches!(work, Work::List { .. } | Work::ListMany { .. }) { &self.listings } else { &self.fetches };
            counter.fetch_add(1, Ordering::SeqCst);
            // Under one lock: two that are queued at once must never share an id.
            let id = self.with(|state| {
                let id: Arc<str> = format!("F.{}", state.jobs.len() + 1).into();
                state.jobs.insert(id.clone(), (work, delivery.principal.name().into()));
                state.max_rows.insert(id.clone(), delivery.limits.max_rows);
                state.submitted.insert(id.clone(), self.clock.now());
                if let Some(receiver) = &mut state.receiver {
                    state.starts.insert(id.clone(), (receiver.deliver(), receiver.websocket));
                }
                id
            });
            jobs.push(Job { endpoint: endpoint.clone(), id });
        }
        Ok(jobs)
    }

    fn watch(&self, job: &Job) -> BoxStream<'static, JobEvent> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut released = self.released.subscribe();
        let latency = *self.latency.lock().unwrap_or_else(PoisonError::into_inner);
        let me = self.me.clone();
        let job = job.clone();
        let events = (!self.away.borrow().contains(&*job.endpoint.client_id)).then(|| self.run(&job));
        let clock = self.clock.clone();
        let starts = self.with(|state| state.starts.get(&job.id).copied());
        let (mut away, client_id) = (self.away.subscribe(), job.endpoint.client_id.to_string());
        tokio::spawn(async move {
            let events = match events {
                Some(events) => Some(events),
                // It waits on the server until the endpoint is there, which is when it runs.
                None if away.wait_for(|all| !all.contains(&client_id)).await.is_ok() => {
                    me.upgrade().map(|me| me.run(&job))
                }
                None => None,
            };
            let Some(mut events) = events else { return };
            if let Some((start, websocket)) = starts {
                if websocket && !events.is_empty() {
                    let _nobody_listens = sender.send(events.remove(0));
                }
                tokio::time::sleep_until(start).await;
                for event in &mut events {
                    if let JobEvent::Listed(listed) = event {
                        listed.observation.seen = clock.now();
                    }
                }
            }
            if released.wait_for(|released| *released).await.is_err() {
                return;
            }
            tokio::time::sleep(latency).await;
            for event in events {
                let _nobody_listens = sender.send(event);
            }
        });
        stream::unfold(receiver, |mut receiver| async move { receiver.recv().await.map(|event| (event, receiver)) })
            .boxed()
    }

    async fn held(&self, directory: &EndpointPath) -> Result<Option<Listed>> {
        let place = place_of(directory);
        let Some(seen) = self.with(|state| state.held.get(&place).copied()) else {
            return Ok(None);
        };
        Ok(self.rows(&place).map(|rows| Listed {
            directory: directory.clone(),
            rows,
            observation: Observation {
                job: "F.HELD".into(),
                by: "colleague".into(),
                started: seen,
                seen,
                first_row: 0,
            },
            collected: Vec::new(),
        }))
    }

    async fn read(&self, location: &ContentLocation, offset: u64, length: u32) -> Result<Bytes> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let content = self.with(|state| state.contents.get(&location.components).cloned());
        let content = content.ok_or_else(|| Error::absent("the server does not have this upload"))?;
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(content.len());
        let mut end = start.saturating_add(length as usize).min(content.len());
        if self.with(|state| state.short_reads) && end > start {
            end -= 1;
        }
        Ok(content.slice(start..end))
    }

    fn jobs(&self, endpoint: &EndpointId) -> BoxStream<'static, Result<JobPage>> {
        let jobs: Vec<JobSummary> = self.with(|state| {
            let own = state.past.iter().rev().filter(|(client, _, _)| *client == *endpoint.client_id);
            own.map(|(_, job, _)| job.clone()).collect()
        });
        let total = jobs.len() as u64;
        let pages: Vec<JobPage> =
            match jobs.chunks(JOBS_A_PAGE).map(|jobs| JobPage { jobs: jobs.to_vec(), total }).collect() {
                pages if total > 0 => pages,
                _ => vec![JobPage::default()],
            };
        let state = self.state.clone();
        stream::iter(pages)
            .map(move |page| {
                let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                state.job_pages += 1;
                if state.unreachable { Err(Error::backend("the server cannot be reached")) } else { Ok(page) }
            })
            .boxed()
    }

    fn uploads(&self, job: &Job) -> BoxStream<'static, Result<Vec<Upload>>> {
        let page = self.with(|state| {
            state.upload_pages += 1;
            if state.unreachable {
                return Err(Error::backend("the server cannot be reached"));
            }
            let known =
                state.past.iter().find(|(client, other, _)| *client == *job.endpoint.client_id && other.id == job.id);
            Ok(known.map(|(_, _, uploads)| uploads.clone()).unwrap_or_default())
        });
        stream::iter([page]).boxed()
    }

    async fn cancel(&self, _: &Job) -> Result<()> {
        self.cancelled.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn endpoints(&self) -> BoxStream<'static, EndpointChange> {
        let (sender, receiver) = mpsc::unbounded_channel();
        for change in self.all() {
            let _nobody_listens = sender.send(change);
        }
        // Changes after this come through `presence` only: a test adds its endpoints before it makes its VFS.
        stream::unfold((receiver, sender), |(mut receiver, sender)| async move {
            receiver.recv().await.map(|change| (change, (receiver, sender)))
        })
        .boxed()
    }

    async fn presence(&self, endpoint: &EndpointId) -> Result<Presence> {
        let now = self.clock.now();
        match self.with(|state| state.endpoints.get(&*endpoint.client_id).copied()) {
            Some((_, true)) => {
                let silent =
                    self.with(|state| state.receiver.as_ref().map_or(Duration::ZERO, Receiver::silent_for)).as_secs();
                let seen = Timestamp::new(now.seconds - i64::try_from(silent).unwrap_or(0), now.nanos);
                Ok(Presence { last_seen: Some(seen) })
            }
            Some((_, false)) => Ok(Presence { last_seen: Some(Timestamp::new(1_700_000_000, 0)) }),
            None => Err(Error::invalid("unknown endpoint")),
        }
    }

    async fn capabilities(&self, _: &EndpointId) -> Result<Capabilities> {
        let (list_many, fetch_many, ranges) = self.with(|state| (state.list_many, state.fetch_many, state.ranges));
        Ok(Capabilities { collect: true, list_many, fetch_many, ranges })
    }
}

impl FakeBackend {
    fn all(&self) -> Vec<EndpointChange> {
        let now = self.clock.now();
        let mut changes: Vec<EndpointChange> = self.with(|state| {
            let endpoint = |(client_id, (system, online)): (&String, &(System, bool))| {
                let last_seen = if *online { now } else { Timestamp::new(1_700_000_000, 0) };
                EndpointChange::Present(Endpoint {
                    id: EndpointId::of_client_id(client_id.as_str()),
                    hostname: format!("host-{}", client_id.trim_start_matches("C.")),
                    system: *system,
                    agent_version: "0.77.2".to_owned(),
                    labels: Vec::new(),
                    last_seen: Some(last_seen),
                    first_seen: Some(Timestamp::new(1_600_000_000, 0)),
                })
            };
            state.endpoints.iter().map(endpoint).collect()
        });
        changes.push(EndpointChange::Complete);
        changes
    }
}
