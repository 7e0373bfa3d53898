//! How far a flow is (docs/velociraptor-api.md §6.2), from the flow's details or from the event that ends it.

use std::sync::Arc;

use serde::Deserialize;
use velociraptor_proto::proto;
use velociraptor_proto::proto::artifact_collector_context::State;
use vfs::Timestamp;
use vfs::backend::Failure;

/// Where a flow is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Waits on the server for the endpoint.
    Queued,
    /// The endpoint has it, as far as the server knows.
    Delivered,
    /// Done.
    Finished,
    /// Over, not as it should.
    Failed,
}

/// What the server says of a flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FlowState {
    pub(crate) phase: Phase,
    /// Error text; empty unless failed.
    pub(crate) status: Arc<str>,
    /// Sources that have rows.
    pub(crate) sources: Vec<String>,
    /// When the flow was started.
    pub(crate) started: Option<Timestamp>,
    /// When the endpoint last said something of it.
    pub(crate) active: Option<Timestamp>,
    pub(crate) rows: u64,
    pub(crate) uploaded_bytes: u64,
    pub(crate) uploaded_files: u64,
    pub(crate) logs: u64,
}

impl FlowState {
    /// From `GetFlowDetails`.
    pub(crate) fn of(context: &proto::ArtifactCollectorContext) -> FlowState {
        let messages = context.query_stats.iter().map(|query| query.error_message.as_str());
        FlowState {
            phase: phase(context.state),
            status: status(&context.status, messages),
            sources: context.artifacts_with_results.clone(),
            started: [context.create_time, context.start_time].into_iter().find_map(known),
            active: known(context.active_time),
            rows: context.total_collected_rows,
            uploaded_bytes: context.total_uploaded_bytes,
            uploaded_files: context.total_uploaded_files,
            logs: context.total_logs,
        }
    }

    /// From an event of `System.Flow.Completion`, with the flow's id; `None` if it is none.
    pub(crate) fn of_event(jsonl: &[u8]) -> Option<(String, FlowState)> {
        let event: Event = serde_json::from_slice(jsonl).ok()?;
        let flow = event.flow;
        let messages = flow.query_stats.iter().map(|query| query.error_message.as_str());
        let state = FlowState {
            phase: phase(flow.state),
            status: status(&flow.status, messages),
            started: [flow.create_time, flow.start_time].into_iter().find_map(known),
            active: known(flow.active_time),
            sources: flow.artifacts_with_results,
            rows: flow.total_collected_rows,
            uploaded_bytes: flow.total_uploaded_bytes,
            uploaded_files: flow.total_uploaded_files,
            logs: flow.total_logs,
        };
        matches!(state.phase, Phase::Finished | Phase::Failed).then_some((event.flow_id, state))
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Finished | Phase::Failed)
    }

    pub(crate) fn has_source(&self, source: &str) -> bool {
        self.sources.iter().any(|known| known == source)
    }

    /// What sort of failure the error text tells of.
    pub(crate) fn failure(&self) -> Failure {
        let text = self.status.to_ascii_lowercase();
        if text.contains("flow not known") || text.contains("client crashed") {
            Failure::Lost
        } else if text.starts_with("cancelled by") || text.contains("flow is cancelled") {
            Failure::Cancelled
        } else if text.contains("exceeded limit") || text.contains("timed out after") || text.contains("timeout") {
            Failure::Limit
        } else {
            Failure::Error
        }
    }
}

/// Unknown states are "still going" (§6.2).
fn phase(state: i32) -> Phase {
    match State::try_from(state) {
        Ok(State::Unset | State::Running) => Phase::Queued,
        Ok(State::Finished) => Phase::Finished,
        Ok(State::Error) => Phase::Failed,
        _ => Phase::Delivered,
    }
}

fn status<'a>(text: &'a str, mut messages: impl Iterator<Item = &'a str>) -> Arc<str> {
    let text = if text.is_empty() { messages.find(|message| !message.is_empty()).unwrap_or_default() } else { text };
    Arc::from(text.trim())
}

fn known(micros: u64) -> Option<Timestamp> {
    (micros != 0).then(|| Timestamp::from_micros(micros))
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "FlowId")]
    flow_id: String,
    #[serde(rename = "Flow")]
    flow: EventFlow,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct EventFlow {
    state: i32,
    status: String,
    create_time: u64,
    start_time: u64,
    active_time: u64,
    total_collected_rows: u64,
    total_uploaded_bytes: u64,
    total_uploaded_files: u64,
    total_logs: u64,
    artifacts_with_results: Vec<String>,
    query_stats: Vec<EventQuery>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct EventQuery {
    error_message: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn failed(status: &str) -> Failure {
        let context =
            proto::ArtifactCollectorContext { state: State::Error.into(), status: status.into(), ..Default::default() };
        let state = FlowState::of(&context);
        assert_eq!(state.phase, Phase::Failed);
        state.failure()
    }

    #[test]
    fn the_texts_of_failures_are_told_apart() {
        assert_eq!(failed("Flow not known - maybe the client crashed?"), Failure::Lost);
        assert_eq!(failed("Cancelled by vfsgw"), Failure::Cancelled);
        assert_eq!(failed("Query timed out after 600 seconds"), Failure::Limit);
        assert_eq!(failed("Upload bytes 4194304 exceeded limit 3145728 for flow F.X. Cancelling."), Failure::Limit);
        assert_eq!(failed("Rows 11 exceeded limit 10 for flow F.X. Cancelling."), Failure::Limit);
        assert_eq!(failed("Symbol x not found"), Failure::Error);
    }

    #[test]
    fn everything_but_finished_and_error_is_waited_for() {
        for (state, expected) in [
            (0, Phase::Queued),
            (1, Phase::Queued),
            (2, Phase::Finished),
            (3, Phase::Failed),
            (4, Phase::Delivered),
            (5, Phase::Delivered),
            (6, Phase::Delivered),
            (77, Phase::Delivered),
        ] {
            assert_eq!(phase(state), expected, "{state}");
        }
    }

    proptest! {
        #[test]
        fn no_event_makes_it_fail(text in "\\PC{0,100}", state: i64) {
            FlowState::of_event(text.as_bytes());
            FlowState::of_event(format!(r#"{{"FlowId":"F.1","Flow":{{"state":{state}}}}}"#).as_bytes());
        }
    }
}
