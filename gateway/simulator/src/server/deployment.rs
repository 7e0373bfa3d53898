//! The deployment: everything the server knows, behind one lock, and what wakes its endpoints and watchers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{broadcast, watch};

use crate::clock::Clock;
use crate::config::System;
use crate::error::Error;
use crate::identity::ids::FlowIds;
use crate::identity::users::Users;
use crate::server::artifacts::Artifacts;
use crate::server::clients::Client;
use crate::server::counters::Counters;
use crate::server::faults::Faults;
use crate::server::flow::Flow;

/// Events that may wait for a slow watcher before it is dropped.
const EVENTS_IN_FLIGHT: usize = 4096;

/// One row of an event queue.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) queue: &'static str,
    pub(crate) json: String,
}

/// The server.
pub(crate) struct Deployment {
    pub(crate) clock: Clock,
    pub(crate) faults: Faults,
    pub(crate) counters: Counters,
    pub(crate) events: broadcast::Sender<Event>,
    /// Changes when all event streams must end.
    pub(crate) streams: watch::Sender<u64>,
    closed: AtomicBool,
    inner: Mutex<Inner>,
}

/// What lies behind the lock.
pub(crate) struct Inner {
    pub(crate) users: Users,
    pub(crate) artifacts: Artifacts,
    pub(crate) ids: FlowIds,
    pub(crate) clients: BTreeMap<String, Client>,
}

impl Inner {
    pub(crate) fn flow(&mut self, client_id: &str, flow_id: &str) -> Option<&mut Flow> {
        self.clients.get_mut(client_id)?.flows.get_mut(flow_id)
    }
}

impl Deployment {
    /// The operating system of a client.
    pub(crate) fn system_of(&self, client_id: &str) -> System {
        self.lock().clients.get(client_id).map_or(System::Linux, |client| client.profile.system)
    }

    /// Opens the server's state under `folder`; endpoints are enrolled afterwards.
    pub(crate) fn open(folder: &Path, clock: Clock) -> Result<Self, Error> {
        let inner = Inner {
            users: Users::open(folder)?,
            artifacts: Artifacts::open(folder)?,
            ids: FlowIds::default(),
            clients: BTreeMap::new(),
        };
        Ok(Self {
            clock,
            faults: Faults::default(),
            counters: Counters::default(),
            events: broadcast::channel(EVENTS_IN_FLIGHT).0,
            streams: watch::channel(0).0,
            closed: AtomicBool::new(false),
            inner: Mutex::new(inner),
        })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on nothing changes any more, whatever still runs: the process is as good as dead.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Sends one row to everybody who watches `queue`.
    pub(crate) fn emit(&self, queue: &'static str, json: String) {
        // Nobody watching is no trouble: events are not durable.
        let _ = self.events.send(Event { queue, json });
    }
}

/// The folder of one client below the state folder.
pub(crate) fn client_folder(folder: &Path, client_id: &str) -> PathBuf {
    folder.join("clients").join(client_id)
}
