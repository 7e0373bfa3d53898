//! The one stream of ended flows that all watchers share (docs/velociraptor-api.md §6.3).
//!
//! Events are a hint that comes at once, never the only way: they are not durable, and an offline endpoint's cancelled flow gives none.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use dashmap::DashMap;
use futures_util::StreamExt as _;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::flow::FlowState;
use crate::server::{CallError, Server};

/// Ended flows by event.
pub(crate) struct Completions {
    shared: Arc<Shared>,
    server: Arc<dyn Server>,
    task: OnceLock<JoinHandle<()>>,
}

struct Shared {
    /// Flows that somebody waits for.
    expected: DashMap<String, watch::Sender<Option<FlowState>>>,
    stream: watch::Sender<Stream>,
    /// Flows in a row whose end no event told.
    untold: AtomicU32,
    silent: Notify,
}

/// State of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Stream {
    /// Whether events come.
    pub(crate) up: bool,
    /// Counts the connections: whoever sees it change may have missed an event.
    pub(crate) generation: u64,
}

/// Waits for the end of one flow.
pub(crate) struct Expected {
    shared: Arc<Shared>,
    flow_id: String,
    ended: watch::Receiver<Option<FlowState>>,
    stream: watch::Receiver<Stream>,
}

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Rights change seldom.
const PAUSE_WITHOUT_RIGHT: Duration = Duration::from_secs(300);
/// A stream that told of none of so many flows in a row is connected anew.
const UNTOLD: u32 = 3;
/// A flow that is expected and never watched must not stay for ever.
const MAX_EXPECTED: usize = 65_536;

impl Completions {
    pub(crate) fn new(server: Arc<dyn Server>) -> Completions {
        let shared = Arc::new(Shared {
            expected: DashMap::new(),
            stream: watch::Sender::new(Stream::default()),
            untold: AtomicU32::new(0),
            silent: Notify::new(),
        });
        Completions { shared, server, task: OnceLock::new() }
    }

    /// Subscribes, unless that was done: before the first flow is started.
    pub(crate) fn subscribe(&self) {
        if !self.server.tells_ends() {
            return;
        }
        self.task.get_or_init(|| tokio::spawn(follow(self.server.clone(), self.shared.clone())));
    }

    /// Prepares to hear of the end of a flow.
    pub(crate) fn expect(&self, flow_id: &str) -> Expected {
        if self.shared.expected.len() >= MAX_EXPECTED {
            self.shared.expected.retain(|_, sender| sender.receiver_count() > 0);
        }
        let ended =
            self.shared.expected.entry(flow_id.to_owned()).or_insert_with(|| watch::Sender::new(None)).subscribe();
        let stream = self.shared.stream.subscribe();
        Expected { shared: self.shared.clone(), flow_id: flow_id.to_owned(), ended, stream }
    }

    /// Remembers a flow that was just started, so that its end is not missed before somebody watches it.
    pub(crate) fn remember(&self, flow_id: &str) {
        self.shared.expected.entry(flow_id.to_owned()).or_insert_with(|| watch::Sender::new(None));
    }
}

impl Drop for Completions {
    fn drop(&mut self) {
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }
}

impl Expected {
    /// State of the stream.
    pub(crate) fn stream(&self) -> Stream {
        *self.stream.borrow()
    }

    /// The flow has finished, as the server says when asked; no event told so. The event may be late, but not those of all flows.
    pub(crate) fn untold(&self) {
        if self.stream().up && self.shared.untold.fetch_add(1, Ordering::Relaxed) + 1 >= UNTOLD {
            self.shared.silent.notify_one();
        }
    }

    /// Waits for the flow's end by event (`Some`), or for a reason to ask the server: the stream was connected anew, or
    /// `patience` is over (`None`).
    pub(crate) async fn wait(&mut self, patience: Duration) -> Option<FlowState> {
        if let Some(state) = self.ended.borrow_and_update().clone() {
            return Some(state);
        }
        tokio::select! {
            biased;
            Ok(()) = self.ended.changed() => self.ended.borrow_and_update().clone(),
            Ok(()) = self.stream.changed() => None,
            () = tokio::time::sleep(patience) => None,
        }
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        // The last watcher takes the entry with it.
        self.shared.expected.remove_if(&self.flow_id, |_, sender| sender.receiver_count() <= 1);
    }
}

/// Reads events eagerly: the server drops a reader that takes more than five seconds for one.
async fn follow(server: Arc<dyn Server>, shared: Arc<Shared>) {
    let mut pause = FIRST_PAUSE;
    loop {
        let mut events = server.completions();
        let begun = Instant::now();
        shared.stream.send_modify(|stream| {
            stream.up = true;
            stream.generation += 1;
        });
        let ended = loop {
            let event = tokio::select! {
                event = events.next() => event,
                () = shared.silent.notified() => {
                    tracing::info!("the stream of ended flows is silent; connecting it anew");
                    break None;
                }
            };
            match event {
                Some(Ok(event)) => {
                    pause = FIRST_PAUSE;
                    shared.untold.store(0, Ordering::Relaxed);
                    for line in event.split(|byte| *byte == b'\n') {
                        if let Some((flow_id, state)) = FlowState::of_event(line)
                            && let Some(expected) = shared.expected.get(&flow_id)
                        {
                            expected.send_replace(Some(state));
                        }
                    }
                }
                Some(Err(error)) => break Some(error),
                None => break None,
            }
        };
        shared.stream.send_modify(|stream| stream.up = false);
        shared.untold.store(0, Ordering::Relaxed);
        if begun.elapsed() > LONGEST_PAUSE {
            pause = FIRST_PAUSE;
        }
        let wait = match &ended {
            Some(CallError::Denied(_)) => {
                tracing::info!("no right to be told of ended flows (ANY_QUERY): flows are polled instead");
                PAUSE_WITHOUT_RIGHT
            }
            _ => pause,
        };
        if let Some(error) = ended {
            tracing::debug!(%error, "the stream of ended flows broke");
        }
        tokio::time::sleep(wait).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
