//! `CollectArtifact`, `CancelFlow`, `GetFlowDetails` (§6).

use tonic::Status;
use velociraptor_proto::proto::artifact_collector_context::State;
use velociraptor_proto::proto::{
    ApiFlowRequest, ArtifactCollectorArgs, ArtifactCollectorContext, ArtifactCollectorResponse, FlowDetails,
    StartFlowResponse,
};

use crate::server::flow::Flow;
use crate::server::refusal;
use crate::service::{Caller, Service};
use crate::timing::Timing;

impl Service {
    pub(super) async fn collect(
        &self,
        caller: &Caller,
        request: &ArtifactCollectorArgs,
    ) -> Result<ArtifactCollectorResponse, Status> {
        let cost = {
            let inner = self.deployment.lock();
            inner.clients.get(&request.client_id).map(|client| client.profile.timing.start_cost)
        };
        if let Some(cost) = cost.filter(|cost| !cost.is_zero()) {
            tokio::time::sleep(cost).await;
        }
        self.deployment.collect(&caller.name, caller.permissions, request)
    }

    pub(super) fn cancel(&self, caller: &Caller, request: ApiFlowRequest) -> Result<StartFlowResponse, Status> {
        caller.must(caller.permissions.collect_client, "User is not allowed to cancel flows.")?;
        self.deployment.cancel(&caller.name, &request.client_id, &request.flow_id);
        Ok(StartFlowResponse { flow_id: request.flow_id })
    }

    /// Specs are told only on request (since 0.77).
    pub(super) fn flow_details(&self, caller: &Caller, request: &ApiFlowRequest) -> Result<FlowDetails, Status> {
        caller.must(caller.permissions.read_results, "User is not allowed to view flows.")?;
        let now = self.deployment.clock.micros();
        let inner = self.deployment.lock();
        let client = inner.clients.get(&request.client_id).ok_or_else(refusal::not_found)?;
        let flow = client.flows.get(&request.flow_id).ok_or_else(refusal::not_found)?;
        let mut context = seen(flow, &client.profile.timing, now);
        if !request.include_full_request
            && !request.include_truncated_request
            && let Some(asked) = context.request.as_mut()
        {
            asked.specs.clear();
        }
        Ok(FlowDetails { context: Some(context) })
    }
}

/// A flow's context as it reads now: one that was delivered and has been silent for long is UNRESPONSIVE (§6.2).
pub(crate) fn seen(flow: &Flow, timing: &Timing, now: u64) -> ArtifactCollectorContext {
    let mut context = flow.context.clone();
    let silent = u128::from(now.saturating_sub(flow.heard));
    let delivered = matches!(context.state(), State::Waiting | State::InProgress);
    if delivered && silent > timing.unresponsive_after.as_micros() {
        context.set_state(State::Unresponsive);
    }
    context
}
