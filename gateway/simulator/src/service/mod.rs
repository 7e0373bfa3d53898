//! The gRPC service: who calls, what may be answered, and one file per group of calls.

pub(crate) mod api;
mod buffer;
pub(crate) mod clients;
mod events;
pub(crate) mod flows;
pub(crate) mod listener;
mod query;
mod repository;
pub(crate) mod rows;
mod tables;
pub(crate) mod vfs;

use std::sync::Arc;

use prost::Message;
use tonic::{Request, Response, Status};

use crate::identity::users::Permissions;
use crate::server::deployment::Deployment;
use crate::server::refusal;
use crate::service::listener::Peer;

/// The largest message that the server takes (a default of grpc-go).
const MAX_REQUEST: usize = 4 << 20;

/// The API of one deployment.
#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) deployment: Arc<Deployment>,
}

/// A known user.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) name: String,
    pub(crate) permissions: Permissions,
}

impl Caller {
    fn must(&self, allowed: bool, refusal: &str) -> Result<(), Status> {
        if allowed { Ok(()) } else { Err(refusal::denied(refusal)) }
    }

    fn must_read(&self) -> Result<(), Status> {
        self.must(self.permissions.read_results, "User is not allowed to view results.")
    }
}

impl Service {
    /// Counts a call and finds its user. A certificate without a user record is NOT_FOUND on every call (§1.5).
    fn enter<T: Message>(&self, rpc: &'static str, request: Request<T>) -> Result<(Caller, T), Status> {
        self.deployment.counters.call(rpc);
        let name = request.extensions().get::<Peer>().map(|peer| peer.name.clone()).unwrap_or_default();
        let message = request.into_inner();
        let size = message.encoded_len();
        if size > MAX_REQUEST {
            return Err(too_large(size, MAX_REQUEST));
        }
        let permissions = self.deployment.lock().users.get(&name);
        match permissions {
            Some(permissions) => Ok((Caller { name, permissions }, message)),
            None => Err(refusal::not_found()),
        }
    }

    /// Answers, unless the switch limits messages and this one is larger.
    fn answer<T: Message>(&self, message: T) -> Result<Response<T>, Status> {
        if let Some(limit) = self.deployment.faults.lock().message_limit {
            let size = message.encoded_len();
            if size > limit {
                return Err(too_large(size, limit));
            }
        }
        Ok(Response::new(message))
    }
}

fn too_large(size: usize, limit: usize) -> Status {
    Status::resource_exhausted(format!("grpc: received message larger than max ({size} vs. {limit})"))
}
