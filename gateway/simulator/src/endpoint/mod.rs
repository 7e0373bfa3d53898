//! The endpoint's half: it fetches tasks at the pace of its receive tokens, runs them on its file system, and sends
//! what they produce first in, first out (§7).

mod bucket;
mod connection;
mod download;
mod kape;
mod list;
mod many;
mod ranges;
mod run;
mod sender;
mod upload;
mod walker;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};

use crate::config::System;
use crate::endpoint::sender::Sender;
use crate::server::deployment::Deployment;
use crate::server::receive::{Body, Message};
use crate::timing::{Timing, Transport};
use crate::tree::FileSystem;

/// Flows that are not urgent run two at a time (`Client.concurrency`).
const CONCURRENCY: usize = 2;

/// One simulated endpoint.
pub(crate) struct Endpoint {
    pub(crate) client_id: String,
    pub(crate) system: System,
    pub(crate) timing: Timing,
    pub(crate) seed: u64,
    pub(crate) files: Arc<dyn FileSystem>,
    pub(crate) deployment: Arc<Deployment>,
    online: watch::Receiver<bool>,
    sender: Sender,
    slots: Semaphore,
}

impl Endpoint {
    /// Starts the endpoint's connection and sender; they end when `tasks` is dropped.
    pub(crate) fn start(
        parts: EndpointParts,
        deployment: &Arc<Deployment>,
        tasks: &mut tokio::task::JoinSet<()>,
    ) -> Arc<Self> {
        let online = {
            let inner = deployment.lock();
            inner.clients.get(&parts.client_id).map(|client| client.online.subscribe())
        };
        let endpoint = Arc::new(Self {
            client_id: parts.client_id,
            system: parts.system,
            timing: parts.timing,
            seed: parts.seed,
            files: parts.files,
            deployment: Arc::clone(deployment),
            online: online.unwrap_or_else(|| watch::channel(false).1),
            sender: Sender::default(),
            slots: Semaphore::new(CONCURRENCY),
        });
        tasks.spawn(sender::run(Arc::clone(&endpoint)));
        match endpoint.timing.transport {
            Transport::Https => {
                tasks.spawn(connection::long_poll(Arc::clone(&endpoint)));
            }
            Transport::Wss => {
                tasks.spawn(connection::websocket(Arc::clone(&endpoint)));
            }
        }
        endpoint
    }

    /// Waits until the endpoint can reach its server: switched on, and not backing off after a broken connection.
    async fn reachable(&self) {
        let mut online = self.online.clone();
        loop {
            if online.wait_for(|online| *online).await.is_err() {
                // The deployment is gone.
                std::future::pending::<()>().await;
            }
            let away_until = {
                let inner = self.deployment.lock();
                inner.clients.get(&self.client_id).map_or(0, |client| client.away_until)
            };
            let now = self.deployment.clock.micros();
            if now >= away_until {
                return;
            }
            tokio::time::sleep(Duration::from_micros(away_until - now)).await;
        }
    }

    /// Queues a message behind everything that was queued before.
    fn send(&self, flow_id: &str, wire: u64, body: Body) {
        self.sender.push(Message { flow_id: flow_id.to_string(), wire, body });
    }
}

/// What an endpoint is made of.
#[derive(Clone)]
pub(crate) struct EndpointParts {
    pub(crate) client_id: String,
    pub(crate) system: System,
    pub(crate) timing: Timing,
    pub(crate) seed: u64,
    pub(crate) files: Arc<dyn FileSystem>,
}
