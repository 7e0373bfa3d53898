//! `Query`: errors are log lines and the stream ends OK (§6.5).

use tokio_stream::iter;
use tonic::Status;
use velociraptor_proto::proto::{VqlCollectorArgs, VqlResponse};

use crate::server::refusal;
use crate::service::api::Streamed;
use crate::service::{Caller, Service};

impl Service {
    pub(super) fn run_query(&self, caller: &Caller, request: VqlCollectorArgs) -> Result<Streamed<VqlResponse>, Status> {
        caller.must(caller.permissions.any_query, "User is not allowed to run queries.")?;
        if !matches!(request.org_id.as_str(), "" | "root") {
            return Err(refusal::unavailable("Org not found"));
        }
        let log = |text: &str| VqlResponse {
            timestamp: self.deployment.clock.micros(),
            log: text.to_string(),
            ..VqlResponse::default()
        };
        Ok(Box::pin(iter(vec![Ok(log("Starting query execution.\n"))])))
    }
}
