//! Watching jobs: one task per job, whoever and however many look at it.

mod complaint;
mod fetch;
mod hub;
mod listing;
mod pages;
mod probe;
mod ranges;
#[cfg(test)]
mod tests;
pub(crate) mod uploads;
mod watcher;

use std::sync::Arc;

use dashmap::DashMap;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use vfs::Clock;
use vfs::backend::{Job, JobEvent};

use crate::events::Completions;
use crate::flow::Task;
use crate::server::Server;
use crate::server_clock::ServerClock;

use hub::Hub;
pub(crate) use pages::{Pages, Table, is_last};

/// What the watchers of all jobs share.
pub(crate) struct Shared {
    pub(crate) server: Arc<dyn Server>,
    pub(crate) completions: Completions,
    pub(crate) clock: Arc<dyn Clock>,
    /// What the server's times are in ours.
    pub(crate) server_clock: ServerClock,
    /// Name of our own user on the server.
    pub(crate) user: String,
    /// Tasks of flows that this process started; the server knows them too, this saves asking.
    tasks: DashMap<Job, Arc<Task>>,
    hubs: DashMap<Job, Arc<Hub>>,
}

/// Tasks beyond this number are asked from the server again.
const MAX_TASKS: usize = 16_384;

impl Shared {
    pub(crate) fn new(server: Arc<dyn Server>, clock: Arc<dyn Clock>, user: String) -> Shared {
        let completions = Completions::new(server.clone());
        Shared {
            server,
            completions,
            clock,
            server_clock: ServerClock::default(),
            user,
            tasks: DashMap::new(),
            hubs: DashMap::new(),
        }
    }

    /// Remembers what a flow was started for.
    pub(crate) fn started(&self, job: &Job, task: Task) {
        if self.tasks.len() >= MAX_TASKS {
            self.tasks.clear();
        }
        self.completions.remember(&job.id);
        self.tasks.insert(job.clone(), Arc::new(task));
    }

    /// Looks at a job, with everybody else who does.
    pub(crate) fn watch(self: &Arc<Self>, job: &Job) -> BoxStream<'static, JobEvent> {
        self.completions.subscribe();
        let events = match self.hubs.get(job).and_then(|hub| hub.join()) {
            Some(events) => events,
            None => {
                // Nobody looks yet, or the first rows are out already: a watcher of its own reads them again.
                let (hub, events) = Hub::new();
                let hub = Arc::new(hub);
                self.hubs.insert(job.clone(), hub.clone());
                tokio::spawn(watcher::run(self.clone(), job.clone(), hub));
                events
            }
        };
        futures_util::stream::unfold(
            events,
            |mut events| async move { events.recv().await.map(|event| (event, events)) },
        )
        .boxed()
    }

    fn ended(&self, job: &Job, hub: &Arc<Hub>) {
        self.hubs.remove_if(job, |_, current| Arc::ptr_eq(current, hub));
        self.tasks.remove(job);
    }
}
