//! `clients`: the endpoints; or who is connected to the gateway.

use anyhow::{anyhow, bail};
use clap::Args;
use serde_json::Value;
use vfs::{Clock, SystemClock, Timestamp};

use super::{connections, control_only};
use crate::terminal::{age, printable, say, table};

/// See `raptorgate clients --help`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    pub gateway: control_only::Arguments,
    /// The NFS connections to the gateway instead: which client each is taken for, why, and what it did
    #[arg(long)]
    pub connections: bool,
}

/// Asks and prints.
///
/// # Errors
/// If no gateway answers.
pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let what = if arguments.connections { "connections" } else { "clients" };
    let clients = arguments.gateway.gateway()?.get(what).await?;
    if arguments.gateway.json {
        say(&clients.to_string());
        return Ok(());
    }
    if arguments.connections {
        connections::tell(&clients);
        return Ok(());
    }
    let rows: Vec<Vec<String>> = clients.as_array().into_iter().flatten().map(row).collect();
    if rows.is_empty() {
        say("the server has named no endpoint yet");
    } else {
        table(&["CLIENT ID", "HOST", "SYSTEM", "SEEN", "FLOWS", "LABELS"], &rows);
    }
    Ok(())
}

/// The endpoint of this id or host name among `clients`.
///
/// # Errors
/// If there is none, or more than one of this host name.
pub fn find<'a>(clients: &'a Value, endpoint: &str) -> anyhow::Result<&'a Value> {
    let all = || clients.as_array().into_iter().flatten();
    let text = |client: &Value, path: &str| client.pointer(path).and_then(Value::as_str).map(str::to_lowercase);
    let wanted = endpoint.to_lowercase();
    if let Some(found) = all().find(|client| text(client, "/id/client_id").as_ref() == Some(&wanted)) {
        return Ok(found);
    }
    let mut called = all().filter(|client| text(client, "/hostname").as_ref() == Some(&wanted));
    let none = || anyhow!("the gateway knows no endpoint {}: see `raptorgate clients`", printable(endpoint));
    let found = called.next().ok_or_else(none)?;
    if called.next().is_some() {
        bail!("several endpoints are called {}: name one by its id, see `raptorgate clients`", printable(endpoint));
    }
    Ok(found)
}

fn row(client: &Value) -> Vec<String> {
    let text = |path: &str| client.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
    let seen = client["last_seen"].as_str().and_then(Timestamp::parse_rfc3339);
    let seen = match (client["online"].as_bool(), seen) {
        (Some(true), _) => "online".into(),
        (_, Some(seen)) => format!("{} ago", age(SystemClock.now().since(seen).as_secs())),
        (_, None) => "never".into(),
    };
    let labels: Vec<&str> = client["labels"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    vec![text("/id/client_id"), text("/hostname"), text("/system"), seen, flows(client), labels.join(", ")]
}

/// Flows under way, and when the endpoint takes more if they wait for that.
fn flows(client: &Value) -> String {
    let jobs = client["jobs"].as_u64().unwrap_or(0);
    match client["takes_work_at"].as_str().and_then(Timestamp::parse_rfc3339) {
        Some(due) => format!("{jobs}, waiting for {}", age(due.since(SystemClock.now()).as_secs())),
        None => jobs.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use vfs::{Budget, Endpoint, EndpointId, EndpointStatus, System, Timestamp};

    use super::*;

    #[test]
    fn an_endpoint_of_the_model_is_told_whole() {
        let endpoint = Endpoint {
            id: EndpointId::root_org("C.1"),
            hostname: "desk".into(),
            system: System::Windows,
            agent_version: "0.77".into(),
            labels: vec!["a".into(), "b".into()],
            last_seen: Some(Timestamp::new(0, 0)),
            first_seen: None,
        };
        let budget = Budget { tokens: 10, refill_ms: 30_000, measured: false, polls: false, next: None };
        let mut status = EndpointStatus { endpoint, online: true, jobs: 2, takes_work_at: None, budget };
        let told = |status: &EndpointStatus| row(&serde_json::to_value(status).unwrap());
        assert_eq!(told(&status), ["C.1", "desk", "windows", "online", "2", "a, b"]);
        status.takes_work_at = Some(SystemClock.now().plus(std::time::Duration::from_secs(25)));
        assert!(told(&status)[4].starts_with("2, waiting for 2"), "{:?}", told(&status));
        status.online = false;
        assert!(told(&status)[3].ends_with("days ago"));
        status.endpoint.last_seen = None;
        assert_eq!(told(&status)[3], "never");
    }

    #[test]
    fn an_endpoint_is_found_by_its_id_or_by_a_name_of_its_own() {
        let client = |id: &str, host: &str| serde_json::json!({ "id": { "client_id": id }, "hostname": host });
        let clients = serde_json::json!([client("C.1", "desk"), client("C.2", "desk"), client("C.3", "lab")]);
        assert_eq!(find(&clients, "c.2").unwrap()["id"]["client_id"], "C.2");
        assert_eq!(find(&clients, "LAB").unwrap()["id"]["client_id"], "C.3");
        assert!(find(&clients, "desk").unwrap_err().to_string().contains("several"));
        assert!(find(&clients, "C.9").unwrap_err().to_string().contains("knows no endpoint"));
    }
}
