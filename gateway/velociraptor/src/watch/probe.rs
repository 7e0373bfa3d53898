//! Progress of a running upload: only reading what has arrived shows it (D44; docs/velociraptor-api.md §5.4).

use std::sync::Arc;

use vfs::EndpointPath;

use crate::server::{CallResult, Server};

/// How far the upload of one file has come.
pub(super) struct Probe {
    org: Arc<str>,
    components: Vec<String>,
    /// Bytes that have certainly arrived.
    arrived: u64,
    step: u64,
}

const FIRST_STEP: u64 = 1 << 20;
/// Calls of one look.
const CALLS: usize = 8;

impl Probe {
    /// A probe for `file` of the flow; its place on the server is known in advance.
    pub(super) fn new(file: &EndpointPath, flow_id: &str) -> Probe {
        let mut components: Vec<String> =
            ["clients", &file.endpoint.client_id, "collections", flow_id, "uploads", &file.accessor]
                .map(String::from)
                .to_vec();
        components.extend(file.components.iter().map(ToString::to_string));
        Probe { org: file.endpoint.org.clone(), components, arrived: 0, step: FIRST_STEP }
    }

    /// Looks further on, in growing steps; the bytes that have arrived at least.
    pub(super) async fn look(&mut self, server: &Arc<dyn Server>) -> CallResult<u64> {
        for _ in 0..CALLS {
            let offset = self.arrived + self.step - 1;
            if server.buffer(&self.org, &self.components, offset, 1).await?.is_empty() {
                self.step = (self.step / 2).max(1);
                if self.step < FIRST_STEP / 16 {
                    self.step = FIRST_STEP / 16;
                    break;
                }
            } else {
                self.arrived = offset + 1;
                self.step = self.step.saturating_mul(2).min(1 << 30);
            }
        }
        Ok(self.arrived)
    }
}
