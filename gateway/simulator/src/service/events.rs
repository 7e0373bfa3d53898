//! `WatchEvent`: one message per event, not durable; a stream that lags is dropped (§6.3).

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use velociraptor_proto::proto::{EventRequest, EventResponse};

use crate::server::refusal;
use crate::service::api::Streamed;
use crate::service::{Caller, Service};

/// The server drops a stream if one send takes longer than this.
const SEND_LIMIT: std::time::Duration = std::time::Duration::from_secs(5);

impl Service {
    pub(super) fn watch(&self, caller: &Caller, request: &EventRequest) -> Result<Streamed<EventResponse>, Status> {
        caller.must(caller.permissions.any_query, "User is not allowed to run queries.")?;
        if !matches!(request.org_id.as_str(), "" | "root") {
            return Err(refusal::unavailable("Org not found"));
        }
        let queue = request.queue.clone();
        let mut events = self.deployment.events.subscribe();
        let mut streams = self.deployment.streams.subscribe();
        let (sender, receiver) = mpsc::channel(16);
        tokio::spawn(async move {
            loop {
                let event = tokio::select! {
                    event = events.recv() => event,
                    _ = streams.changed() => return,
                    () = sender.closed() => return,
                };
                match event {
                    Ok(event) if event.queue == queue => {
                        let mut jsonl = event.json.into_bytes();
                        jsonl.push(b'\n');
                        let message = EventResponse { source: String::new(), jsonl };
                        if sender.send_timeout(Ok(message), SEND_LIMIT).await.is_err() {
                            return;
                        }
                    }
                    Ok(_) => {}
                    Err(RecvError::Lagged(_) | RecvError::Closed) => return,
                }
            }
        });
        Ok(Box::pin(ReceiverStream::new(receiver)))
    }
}
