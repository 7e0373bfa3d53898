//! Requests: what gRPC would send, as the queries and JSON bodies of the GUI (docs/velociraptor-api.md §10).
//!
//! A field that is set and has no place here would silently be lost; such a request is refused instead.

use serde_json::{Value, json};
use velociraptor_proto::proto;

use super::query::Query;
use crate::server::{CallError, CallResult};

/// A page of a table.
pub(super) fn table(request: &proto::GetTableRequest) -> CallResult<Query> {
    let carried = proto::GetTableRequest {
        rows: request.rows,
        start_row: request.start_row,
        client_id: request.client_id.clone(),
        flow_id: request.flow_id.clone(),
        artifact: request.artifact.clone(),
        r#type: request.r#type.clone(),
        vfs_components: request.vfs_components.clone(),
        ..Default::default()
    };
    must_equal(&carried, request)?;
    Ok(Query::default()
        .with("client_id", &request.client_id)
        .with("flow_id", &request.flow_id)
        .with("artifact", &request.artifact)
        .with("type", &request.r#type)
        .all("vfs_components", &request.vfs_components)
        .number("start_row", request.start_row)
        .number("rows", request.rows))
}

/// A flow to start.
pub(super) fn collect(request: &proto::ArtifactCollectorArgs) -> CallResult<Value> {
    let carried = proto::ArtifactCollectorArgs {
        client_id: request.client_id.clone(),
        artifacts: request.artifacts.clone(),
        specs: request.specs.iter().map(carried_spec).collect(),
        urgent: request.urgent,
        timeout: request.timeout,
        max_rows: request.max_rows,
        max_upload_bytes: request.max_upload_bytes,
        cpu_limit: request.cpu_limit,
        ..Default::default()
    };
    must_equal(&carried, request)?;
    Ok(json!({
        "client_id": request.client_id,
        "artifacts": request.artifacts,
        "specs": request.specs.iter().map(spec).collect::<Vec<_>>(),
        "urgent": request.urgent,
        "timeout": request.timeout.to_string(),
        "max_rows": request.max_rows.to_string(),
        "max_upload_bytes": request.max_upload_bytes.to_string(),
        "cpu_limit": request.cpu_limit,
    }))
}

fn carried_spec(spec: &proto::ArtifactSpec) -> proto::ArtifactSpec {
    let variable =
        |env: &proto::VqlEnv| proto::VqlEnv { key: env.key.clone(), value: env.value.clone(), ..Default::default() };
    let parameters = spec
        .parameters
        .as_ref()
        .map(|parameters| proto::ArtifactParameters { env: parameters.env.iter().map(variable).collect() });
    proto::ArtifactSpec { artifact: spec.artifact.clone(), parameters, ..Default::default() }
}

fn spec(spec: &proto::ArtifactSpec) -> Value {
    let env = spec.parameters.iter().flat_map(|parameters| &parameters.env);
    let env: Vec<_> = env.map(|env| json!({ "key": env.key, "value": env.value })).collect();
    json!({ "artifact": spec.artifact, "parameters": { "env": env } })
}

fn must_equal<T: PartialEq>(carried: &T, request: &T) -> CallResult<()> {
    if carried == request {
        return Ok(());
    }
    Err(CallError::Invalid("this program asks for something that it does not carry over HTTP".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_without_a_place_is_refused() {
        let request = proto::GetTableRequest { rows: 3, artifact: "A/B".into(), ..Default::default() };
        assert_eq!(table(&request).unwrap().to_string(), "?artifact=A%2FB&rows=3");
        let sorted = proto::GetTableRequest { sort_column: "Name".into(), ..request };
        assert!(matches!(table(&sorted), Err(CallError::Invalid(_))));
        let limited = proto::ArtifactCollectorArgs { iops_limit: 1.0, ..Default::default() };
        assert!(matches!(collect(&limited), Err(CallError::Invalid(_))));
    }

    #[test]
    fn integers_of_64_bits_are_text() {
        let request = proto::ArtifactCollectorArgs { max_upload_bytes: u64::MAX, ..Default::default() };
        assert_eq!(collect(&request).unwrap()["max_upload_bytes"], "18446744073709551615");
    }
}
