//! What the server holds of an endpoint that was seen before and is offline now: listings and files of earlier visits.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use velociraptor_proto::proto::{ArtifactCollectorArgs, ArtifactParameters, ArtifactSpec, VqlEnv};

use crate::config::Generated;
use crate::endpoint::{Endpoint, EndpointParts};
use crate::identity::users::Permissions;
use crate::server::artifacts::{DOWNLOAD_FILE, LIST_DIRECTORY, TRIAGE};
use crate::server::deployment::Deployment;
use crate::timing::Timing;

/// Who made these collections.
const COLLEAGUE: &str = "analyst";
/// How long ago the last of them was.
const LAST_VISIT_MICROS: u64 = 26 * 3_600 * 1_000_000;
/// Longer than any of them takes at full speed.
const PATIENCE: Duration = Duration::from_secs(20);

/// Directories with the depth they were listed to.
fn listings(tree: Generated) -> &'static [(&'static [&'static str], u32)] {
    match tree {
        Generated::Windows => &[
            (&[], 0),
            (&["C:"], 0),
            (&["C:", "Users"], 1),
            (&["C:", "Users", "alice", "Downloads"], 0),
            (&["C:", "Users", "alice", "Documents"], 1),
            (&["C:", "Windows", "System32", "config"], 0),
            (&["C:", "Windows", "System32", "winevt", "Logs"], 0),
        ],
        Generated::Linux => &[(&[], 0), (&["etc"], 1), (&["home"], 1), (&["var", "log"], 1)],
    }
}

fn downloads(tree: Generated) -> &'static [&'static [&'static str]] {
    match tree {
        Generated::Windows => &[
            &["C:", "Users", "alice", "Downloads", "invoice.pdf.exe"],
            &["C:", "Windows", "System32", "config", "SAM"],
            &["C:", "Windows", "System32", "winevt", "Logs", "Security.evtx"],
        ],
        Generated::Linux => &[&["etc", "passwd"], &["var", "log", "auth.log"]],
    }
}

/// Runs the collections of earlier visits, as quickly as the machine can.
pub(crate) async fn make(tree: Generated, parts: EndpointParts, deployment: &Arc<Deployment>) {
    let client_id = parts.client_id.clone();
    let mut tasks = JoinSet::new();
    let mut events = deployment.events.subscribe();
    Endpoint::start(EndpointParts { timing: Timing::instant(), ..parts }, deployment, &mut tasks);
    set_online(deployment, &client_id, true);
    let mut requests: Vec<ArtifactCollectorArgs> = listings(tree)
        .iter()
        .map(|(path, depth)| request(&client_id, LIST_DIRECTORY, path, &[("Depth", depth.to_string())]))
        .chain(downloads(tree).iter().map(|path| request(&client_id, DOWNLOAD_FILE, path, &[])))
        .collect();
    if tree == Generated::Windows {
        requests.push(request(&client_id, TRIAGE, &[], &[]));
    }
    let mut waiting = 0;
    for request in requests {
        match deployment.collect(COLLEAGUE, Permissions::investigator(), &request) {
            Ok(_) => waiting += 1,
            Err(status) => tracing::warn!(%status, "an earlier visit cannot be made"),
        }
    }
    let ended = async {
        while waiting > 0 {
            match events.recv().await {
                Ok(event) if event.queue == "System.Flow.Completion" => waiting -= 1,
                Ok(_) => {}
                Err(_) => return,
            }
        }
    };
    if tokio::time::timeout(PATIENCE, ended).await.is_err() {
        tracing::warn!("the earlier visits of an offline endpoint did not end in time");
    }
    set_online(deployment, &client_id, false);
    tasks.shutdown().await;
    // They were visits of another day: an endpoint heard of a moment ago is not offline for whoever asks.
    if let Some(client) = deployment.lock().clients.get_mut(&client_id) {
        client.last_seen = client.last_seen.saturating_sub(LAST_VISIT_MICROS);
        if let Err(error) = client.save() {
            tracing::warn!(%error, "the last visit of an offline endpoint cannot be written down");
        }
    }
}

fn set_online(deployment: &Arc<Deployment>, client_id: &str, online: bool) {
    if let Some(client) = deployment.lock().clients.get_mut(client_id) {
        client.online.send_replace(online);
        client.connected = false;
    }
}

/// A collection of what lies at `path`.
pub(crate) fn request(
    client_id: &str,
    artifact: &str,
    path: &[&str],
    more: &[(&str, String)],
) -> ArtifactCollectorArgs {
    let components: Vec<String> = path.iter().map(ToString::to_string).collect();
    let env = [("Components", crate::tree::entry::string_array(&components)), ("Accessor", "auto".to_string())]
        .iter()
        .chain(more)
        .map(|(key, value)| VqlEnv { key: (*key).to_string(), value: value.clone(), ..VqlEnv::default() })
        .collect();
    ArtifactCollectorArgs {
        client_id: client_id.to_string(),
        artifacts: vec![artifact.to_string()],
        specs: vec![ArtifactSpec {
            artifact: artifact.to_string(),
            parameters: Some(ArtifactParameters { env }),
            ..ArtifactSpec::default()
        }],
        urgent: true,
        max_upload_bytes: 1 << 40,
        ..ArtifactCollectorArgs::default()
    }
}
