//! Starting, delivering, cancelling and losing flows (§6, §7.3).

use std::sync::atomic::Ordering;

use tonic::Status;
use velociraptor_proto::proto::artifact_collector_context::State;
use velociraptor_proto::proto::velo_status::ReturnedStatus;
use velociraptor_proto::proto::{
    ArtifactCollectorArgs, ArtifactCollectorContext, ArtifactCollectorResponse, VeloStatus,
};

use crate::identity::ids::is_client_id;
use crate::identity::users::Permissions;
use crate::server::clients::Task;
use crate::server::deployment::Deployment;
use crate::server::flow::Flow;
use crate::server::refusal;

/// Default of `max_upload_bytes` since 0.76.1-rc1.
const DEFAULT_UPLOAD_LIMIT: u64 = 1 << 30;

/// `status` of a flow whose task got lost.
pub(crate) const LOST: &str = "Flow not known - maybe the client crashed?";

impl Deployment {
    /// Checks a client id as calls that start flows do; the order of the answers is the server's.
    pub(crate) fn check_client(&self, client_id: &str) -> Result<(), Status> {
        if client_id.is_empty() {
            return Err(refusal::unavailable("ClientId not provided"));
        }
        if !is_client_id(client_id) {
            return Err(refusal::unavailable("ClientId is not valid"));
        }
        if !self.lock().clients.contains_key(client_id) {
            return Err(refusal::not_found());
        }
        Ok(())
    }

    /// `CollectArtifact`: everything that starts a flow ends here.
    pub(crate) fn collect(
        &self,
        principal: &str,
        permissions: Permissions,
        asked: &ArtifactCollectorArgs,
    ) -> Result<ArtifactCollectorResponse, Status> {
        if asked.client_id == "server" {
            return Err(refusal::denied("User is not allowed to launch flows: COLLECT_SERVER"));
        }
        if !permissions.collect_client {
            let basic = {
                let inner = self.lock();
                asked.artifacts.iter().all(|name| inner.artifacts.get(name).is_some_and(|known| known.basic))
            };
            if !permissions.collect_basic || !basic || asked.artifacts.is_empty() {
                return Err(refusal::denied("User is not allowed to launch flows."));
            }
        }
        {
            let inner = self.lock();
            for name in &asked.artifacts {
                if inner.artifacts.get(name).is_none() {
                    return Err(refusal::unavailable(format!("Unknown artifact {name}")));
                }
            }
        }
        self.check_client(&asked.client_id)?;
        if asked.artifacts.is_empty() {
            return Err(refusal::unavailable("No artifacts to collect"));
        }
        if !asked.flow_id.is_empty() {
            return Err(refusal::unavailable("Appending to a flow is not simulated: leave flow_id empty"));
        }
        // Only these members are copied (§6.1).
        let request = ArtifactCollectorArgs {
            client_id: asked.client_id.clone(),
            artifacts: asked.artifacts.clone(),
            specs: asked.specs.clone(),
            ops_per_second: asked.ops_per_second,
            cpu_limit: asked.cpu_limit,
            iops_limit: asked.iops_limit,
            timeout: asked.timeout,
            progress_timeout: asked.progress_timeout,
            max_rows: asked.max_rows,
            max_logs: asked.max_logs,
            max_upload_bytes: asked.max_upload_bytes,
            urgent: asked.urgent,
            trace_freq_sec: asked.trace_freq_sec,
            ..ArtifactCollectorArgs::default()
        };
        let flow_id = self.schedule(principal, &request)?;
        for name in &request.artifacts {
            self.counters.flow(&request.client_id, name);
        }
        Ok(ArtifactCollectorResponse { flow_id, request: Some(request) })
    }

    fn schedule(&self, principal: &str, request: &ArtifactCollectorArgs) -> Result<String, Status> {
        let mut inner = self.lock();
        let flow_id = inner.ids.next(&self.clock);
        let mut stored = request.clone();
        stored.creator = principal.to_string();
        stored.flow_id.clone_from(&flow_id);
        if stored.max_upload_bytes == 0 {
            stored.max_upload_bytes = DEFAULT_UPLOAD_LIMIT;
        }
        let context = ArtifactCollectorContext {
            create_time: self.clock.micros(),
            request: Some(stored.clone()),
            session_id: flow_id.clone(),
            state: State::Running.into(),
            client_id: request.client_id.clone(),
            ..ArtifactCollectorContext::default()
        };
        tracing::info!(principal, client = %request.client_id, flow = %flow_id, "ScheduleFlow");
        let client = inner.clients.get_mut(&request.client_id).ok_or_else(refusal::not_found)?;
        let flow = Flow::create(&client.flow_folder(&flow_id), context).map_err(refusal::disk)?;
        client.queue.push_back(Task {
            flow_id: flow_id.clone(),
            request: stored,
            cancelled: std::sync::Arc::clone(&flow.cancelled),
        });
        client.flows.insert(flow_id.clone(), flow);
        client.wake.notify_one();
        Ok(flow_id)
    }

    /// Hands all queued tasks to the endpoint's connection: their flows are WAITING from now on.
    pub(crate) fn deliver(&self, client_id: &str) -> Vec<Task> {
        let now = self.clock.micros();
        let mut inner = self.lock();
        let Some(client) = inner.clients.get_mut(client_id).filter(|_| !self.is_closed()) else {
            return Vec::new();
        };
        client.last_seen = now;
        let tasks: Vec<Task> = client.queue.drain(..).collect();
        for task in &tasks {
            if let Some(flow) = client.flows.get_mut(&task.flow_id) {
                flow.context.set_state(State::Waiting);
                flow.context.inflight_time = now / 1_000_000;
                flow.heard = now;
                if let Err(error) = flow.save() {
                    tracing::error!(%error, "a flow cannot be written");
                }
            }
        }
        drop(inner);
        if !tasks.is_empty() {
            self.counters.delivery(client_id);
        }
        tasks
    }

    /// `CancelFlow`: an unknown or ended flow is no error (§1.8). No event is sent.
    pub(crate) fn cancel(&self, principal: &str, client_id: &str, flow_id: &str) {
        let mut inner = self.lock();
        tracing::info!(principal, client = %client_id, flow = %flow_id, "CancelFlow");
        let Some(client) = inner.clients.get_mut(client_id) else {
            return;
        };
        client.queue.retain(|task| task.flow_id != flow_id);
        let Some(flow) = client.flows.get_mut(flow_id) else {
            return;
        };
        flow.cancelled.store(true, Ordering::Relaxed);
        if flow.has_ended() {
            return;
        }
        flow.context.set_state(State::Error);
        flow.context.status = format!("Cancelled by {principal}");
        if let Err(error) = flow.save() {
            tracing::error!(%error, "a flow cannot be written");
        }
    }

    /// The server has asked a client about a flow and learned that it does not know it (§7.3).
    pub(crate) fn lose(&self, client_id: &str, flow_id: &str) {
        let mut inner = self.lock();
        let Some(flow) = inner.flow(client_id, flow_id).filter(|_| !self.is_closed()) else {
            return;
        };
        if flow.has_ended() {
            return;
        }
        flow.context.set_state(State::Error);
        flow.context.status = LOST.to_string();
        flow.context.outstanding_requests = 1;
        flow.context.total_requests = 1;
        flow.context.inflight_time = 0;
        flow.context.query_stats = vec![VeloStatus {
            status: ReturnedStatus::UnknownFlow.into(),
            error_message: LOST.to_string(),
            ..VeloStatus::default()
        }];
        let event = self.end_flow(flow);
        drop(inner);
        self.emit("System.Flow.Completion", event);
    }
}
