//! The plugins (`FROM …`) and functions of this server.

use serde_json::{Map, Value, json};
use velociraptor_proto::proto::{ArtifactCollectorArgs, ArtifactParameters, ArtifactSpec, VqlEnv};

use crate::server::clients::VERSION;
use crate::server::receive::FlowJson;
use crate::service::clients::matches;
use crate::vql::Row;
use crate::vql::evaluate::{Context, is_true};

/// Rows of the client list and of tables that one query may bring.
const MAX_ROWS: u64 = 1_000_000;

fn argument<'a>(arguments: &'a [(String, Value)], name: &str) -> Option<&'a Value> {
    arguments.iter().find(|(known, _)| known == name).map(|(_, value)| value)
}

fn text(arguments: &[(String, Value)], name: &str) -> String {
    match argument(arguments, name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}

fn number(arguments: &[(String, Value)], name: &str) -> u64 {
    match argument(arguments, name) {
        Some(Value::String(text)) => text.parse().unwrap_or(0),
        Some(value) => value.as_u64().unwrap_or(0),
        None => 0,
    }
}

/// The rows of a plugin. The error is a log line.
pub(crate) fn plugin(context: &mut Context, name: &str, arguments: &[(String, Value)]) -> Result<Vec<Row>, String> {
    let reads = context.permissions.read_results;
    match name {
        "scope" => Ok(vec![Row::default()]),
        "orgs" => Ok(vec![Row::of(&[("Name", json!("<root>")), ("OrgId", json!("root"))])]),
        "info" => Ok(vec![Row::of(&[
            ("Hostname", json!("velociraptor.example.test")),
            ("OS", json!("linux")),
            ("Architecture", json!("amd64")),
            ("Fqdn", json!("velociraptor.example.test")),
        ])]),
        "config" => Ok(vec![Row::of(&[("version", json!({"name": "velociraptor", "version": VERSION}))])]),
        "clients" | "flows" | "source" | "uploads" if !reads => {
            Err(format!("{name}: Permission denied: [READ_RESULTS]\n"))
        }
        "clients" => Ok(clients(context, arguments)),
        "flows" => Ok(flows(context, arguments)),
        "source" => {
            let artifact = text(arguments, "artifact");
            let source = text(arguments, "source");
            let table = if source.is_empty() { artifact } else { format!("{artifact}/{source}") };
            rows_of(context, arguments, &table)
        }
        "uploads" => rows_of(context, arguments, "uploads"),
        "artifact_definitions" => {
            let inner = context.deployment.lock();
            let wanted = argument(arguments, "names").and_then(Value::as_array).cloned().unwrap_or_default();
            Ok(inner
                .artifacts
                .all()
                .filter(|known| wanted.is_empty() || wanted.iter().any(|name| name == known.name.as_str()))
                .map(|known| {
                    Row::of(&[
                        ("name", json!(known.name)),
                        ("description", json!(known.description)),
                        ("type", json!(known.kind)),
                        ("built_in", json!(known.built_in)),
                    ])
                })
                .collect())
        }
        other => Err(format!("Plugin {other} not found. \n")),
    }
}

/// The value of a function; failures are log lines and NULL.
pub(crate) fn function(context: &mut Context, name: &str, arguments: &[(String, Value)]) -> Value {
    match name {
        "dict" => Value::Object(arguments.iter().cloned().collect::<Map<_, _>>()),
        "len" => argument(arguments, "list").map_or(json!(0), |list| match list {
            Value::Array(items) => json!(items.len()),
            Value::String(text) => json!(text.len()),
            _ => json!(0),
        }),
        "now" => json!(context.deployment.clock.seconds()),
        "client_info" => {
            if !context.permissions.read_results {
                return refused(context, name, "READ_RESULTS");
            }
            let id = text(arguments, "client_id");
            clients(context, &[("client_id".to_string(), Value::String(id))])
                .into_iter()
                .next()
                .map_or(Value::Null, |row| serde_json::to_value(&row).unwrap_or_default())
        }
        "get_flow" => {
            if !context.permissions.collect_client {
                return refused(context, name, "COLLECT_CLIENT");
            }
            flows(context, arguments)
                .into_iter()
                .next()
                .map_or(Value::Null, |row| serde_json::to_value(&row).unwrap_or_default())
        }
        "collect_client" => collect(context, arguments),
        "cancel_flow" => {
            if !context.permissions.collect_client {
                return refused(context, name, "COLLECT_CLIENT");
            }
            let flow_id = text(arguments, "flow_id");
            context.deployment.cancel(&context.principal, &text(arguments, "client_id"), &flow_id);
            json!({"flow_id": flow_id})
        }
        "artifact_set_metadata" => {
            if !context.permissions.artifact_writer {
                return refused(context, name, "ARTIFACT_WRITER");
            }
            let basic = argument(arguments, "basic").is_some_and(is_true);
            let done = context.deployment.lock().artifacts.set_basic(&text(arguments, "name"), basic);
            match done {
                Ok(done) => json!(done),
                Err(error) => {
                    context.log.push(format!("artifact_set_metadata: {error}\n"));
                    Value::Null
                }
            }
        }
        "read_file" | "stat" | "upload" => {
            let accessor = match text(arguments, "accessor") {
                accessor if accessor.is_empty() => "auto".to_string(),
                accessor => accessor,
            };
            context.log.push(format!(
                "{name}: Field filename Accessor {accessor}: PermissionDenied: Permission denied: [FILESYSTEM_READ]\n"
            ));
            json!("")
        }
        other => {
            context.log.push(format!("Function {other} not found. \n"));
            Value::Null
        }
    }
}

fn refused(context: &mut Context, function: &str, permission: &str) -> Value {
    context.log.push(format!("{function}: Permission denied: [{permission}]\n"));
    Value::Null
}

fn clients(context: &mut Context, arguments: &[(String, Value)]) -> Vec<Row> {
    let now = context.deployment.clock.micros();
    let (id, search) = (text(arguments, "client_id"), text(arguments, "search"));
    let mut inner = context.deployment.lock();
    inner
        .clients
        .values_mut()
        .filter(|client| id.is_empty() || client.profile.client_id == id)
        .filter(|client| matches(&search, client))
        .map(|client| {
            let told = client.describe(true, now);
            let os = told.os_info.unwrap_or_default();
            let agent = told.agent_information.unwrap_or_default();
            Row::of(&[
                ("client_id", json!(told.client_id)),
                ("agent_information", json!({"version": agent.version, "name": agent.name})),
                (
                    "os_info",
                    json!({"system": os.system, "hostname": os.hostname, "release": os.release,
                           "machine": os.machine, "fqdn": os.fqdn, "mac_addresses": os.mac_addresses}),
                ),
                ("first_seen_at", json!(told.first_seen_at)),
                ("last_seen_at", json!(told.last_seen_at)),
                ("last_ip", json!(told.last_ip)),
                ("labels", json!(told.labels)),
            ])
        })
        .collect()
}

fn flows(context: &mut Context, arguments: &[(String, Value)]) -> Vec<Row> {
    let now = context.deployment.clock.micros();
    let (client_id, flow_id) = (text(arguments, "client_id"), text(arguments, "flow_id"));
    let inner = context.deployment.lock();
    let Some(client) = inner.clients.get(&client_id) else {
        return Vec::new();
    };
    client
        .flows
        .values()
        .rev()
        .filter(|flow| flow_id.is_empty() || flow.id() == flow_id)
        .map(|flow| {
            let told = crate::service::flows::seen(flow, &client.profile.timing, now);
            let json = serde_json::to_value(FlowJson::of(&told)).unwrap_or_default();
            let state = told.state().as_str_name();
            let request = told.request.unwrap_or_default();
            let mut columns = match json {
                Value::Object(members) => members.into_iter().collect::<Vec<_>>(),
                _ => Vec::new(),
            };
            columns.retain(|(name, _)| name != "state");
            columns.push(("state".to_string(), json!(state)));
            columns.push((
                "request".to_string(),
                json!({"creator": request.creator, "artifacts": request.artifacts, "urgent": request.urgent}),
            ));
            columns.push(("create_time".to_string(), json!(told.create_time)));
            Row(columns)
        })
        .collect()
}

/// Rows of a flow's table, as objects.
fn rows_of(context: &mut Context, arguments: &[(String, Value)], table: &str) -> Result<Vec<Row>, String> {
    let (client_id, flow_id) = (text(arguments, "client_id"), text(arguments, "flow_id"));
    let start = number(arguments, "start_row");
    let count = match number(arguments, "count").max(number(arguments, "limit")) {
        0 => MAX_ROWS,
        count => count,
    };
    let slice = {
        let mut inner = context.deployment.lock();
        inner.flow(&client_id, &flow_id).and_then(|flow| flow.table(table).map(|table| table.slice(start, count)))
    };
    let Some(slice) = slice else {
        return Ok(Vec::new());
    };
    let rows = slice.read().map_err(|error| format!("source: {error}\n"))?;
    let rows = rows.into_iter().map(|row| {
        let cells: Vec<Value> = serde_json::from_str(&row).unwrap_or_default();
        let mut columns: Vec<(String, Value)> = slice.columns.iter().cloned().zip(cells).collect();
        if table == "uploads" {
            for (name, value) in &mut columns {
                let store = (name == "vfs_path").then(|| value.as_str().map(|path| format!("fs:{path}"))).flatten();
                if let Some(path) = store {
                    *value = Value::String(path);
                }
            }
        }
        Row(columns)
    });
    Ok(rows.collect())
}

/// `collect_client`: NULL and a log line on failure.
fn collect(context: &mut Context, arguments: &[(String, Value)]) -> Value {
    let artifacts: Vec<String> = match argument(arguments, "artifacts") {
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).map(str::to_string).collect(),
        Some(Value::String(name)) => vec![name.clone()],
        _ => Vec::new(),
    };
    let given = argument(arguments, "spec").cloned().unwrap_or_default();
    let common = argument(arguments, "env").cloned().unwrap_or_default();
    let specs = artifacts
        .iter()
        .map(|artifact| {
            let own = given.get(artifact).and_then(Value::as_object).cloned().unwrap_or_default();
            let shared = common.as_object().cloned().unwrap_or_default();
            let env = shared
                .into_iter()
                .chain(own)
                .map(|(key, value)| VqlEnv {
                    key,
                    value: value.as_str().map_or_else(|| value.to_string(), str::to_string),
                    ..VqlEnv::default()
                })
                .collect();
            ArtifactSpec {
                artifact: artifact.clone(),
                parameters: Some(ArtifactParameters { env }),
                ..ArtifactSpec::default()
            }
        })
        .collect();
    let request = ArtifactCollectorArgs {
        client_id: text(arguments, "client_id"),
        artifacts,
        specs,
        urgent: argument(arguments, "urgent").is_some_and(is_true),
        timeout: number(arguments, "timeout"),
        max_rows: number(arguments, "max_rows"),
        max_upload_bytes: number(arguments, "max_bytes"),
        ..ArtifactCollectorArgs::default()
    };
    match context.deployment.collect(&context.principal, context.permissions, &request) {
        Ok(started) => json!({
            "flow_id": started.flow_id,
            "request": {"creator": context.principal, "client_id": request.client_id, "artifacts": request.artifacts,
                        "flow_id": started.flow_id, "urgent": request.urgent},
        }),
        Err(status) => {
            context.log.push(format!("collect_client: {}\n", status.message()));
            Value::Null
        }
    }
}
