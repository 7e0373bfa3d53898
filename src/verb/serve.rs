//! `serve`: the gateway on a real Velociraptor server.

use std::collections::BTreeSet;

use anyhow::bail;
use clap::Args;
use futures_util::StreamExt;
use velociraptor::{CheckReport, Driver};
use vfs::backend::{Backend, EndpointChange};

use crate::announce::{self, Client};
use crate::configuration::{GatewayKeys, Listen};
use crate::service_manager::ServiceManager;
use crate::terminal::say;
use crate::way::{Way, WayKeys};
use crate::wiring::{Gateway, Listeners, Prepared};
use crate::{shutdown, state};

const NFS_PORT: u16 = 2049;
const WEBDAV_PORT: u16 = 8080;

/// See `raptorgate serve --help`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    pub way: WayKeys,
    #[command(flatten)]
    pub gateway: GatewayKeys,
    /// Print one line of JSON when everything listens
    #[arg(long)]
    pub json: bool,
}

/// Runs until a signal comes.
///
/// # Errors
/// If the configuration cannot work: one line that says what to do.
pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let keys = &arguments.gateway;
    let Way { driver, origin } = arguments.way.find()?;
    let state = keys.state.state.clone().unwrap_or_else(state::serve_default);
    let prepared = Prepared::open(&state, keys)?;
    if prepared.knows_endpoints()? {
        // Mounts of before go on at once, from the cache, even if the server is away.
        let driver = driver.clone();
        tokio::spawn(async move { log(&driver.check().await) });
    } else {
        let report = driver.check().await;
        if let Some(problem) = report.problems.first() {
            bail!("{problem}");
        }
        log(&report);
    }
    let listeners = Listeners { nfs: or_port(&keys.nfs, NFS_PORT), webdav: or_port(&keys.webdav, WEBDAV_PORT) };
    let gateway = prepared.serve(keys, &listeners, driver.clone(), origin).await?;
    if arguments.json {
        // The scripts that read the line want the endpoints in it.
        gateway.until_known(&first_round(&driver).await).await;
    }
    let requests = shutdown::Requests::listen()?;
    if arguments.json {
        say(&announce::json(&gateway.reach, &endpoints(&gateway)));
    } else {
        tell(&gateway);
    }
    let manager = ServiceManager::from_environment();
    manager.ready(&announce::summary(&gateway.reach));
    let signal = requests.first().await;
    tracing::info!(signal, "ending");
    manager.stopping();
    gateway.stop().await;
    Ok(())
}

fn or_port(given: &[Listen], port: u16) -> Vec<Listen> {
    if given.is_empty() { vec![Listen::Loopback(port)] } else { given.to_vec() }
}

fn log(report: &CheckReport) {
    let version = report.server_version.as_deref().unwrap_or("not known");
    if report.is_usable() {
        tracing::info!(address = report.address, user = report.user, version, "connected to the Velociraptor server");
    }
    for problem in &report.problems {
        tracing::error!("{problem}");
    }
    for hint in &report.hints {
        tracing::warn!("{hint}");
    }
}

/// The endpoints that the server names, or none if it does not answer.
async fn first_round(driver: &Driver) -> BTreeSet<String> {
    let mut changes = driver.endpoints();
    let mut named = BTreeSet::new();
    while let Some(change) = changes.next().await {
        match change {
            EndpointChange::Present(endpoint) => {
                named.insert(endpoint.id.client_id.to_string());
            }
            EndpointChange::Gone(_) => {}
            EndpointChange::Complete | EndpointChange::Unreachable { .. } => break,
        }
    }
    named
}

/// The endpoints that are known by now.
fn endpoints(gateway: &Gateway) -> Vec<Client> {
    let known = gateway.vfs.endpoints().into_iter();
    let clients = known.map(|status| Client {
        client_id: status.endpoint.id.client_id.to_string(),
        os: system(&status.endpoint),
        hostname: status.endpoint.hostname,
        root: None,
        online: status.online,
    });
    clients.collect()
}

fn system(endpoint: &vfs::Endpoint) -> String {
    let word = serde_json::to_value(endpoint.system).ok();
    word.as_ref().and_then(serde_json::Value::as_str).unwrap_or("unknown").to_owned()
}

/// A server has too many endpoints to tell the commands for each.
fn tell(gateway: &Gateway) {
    for address in &gateway.reach.nfs {
        say(&format!("NFS on {address}"));
    }
    if let Some(url) = gateway.reach.webdav_url() {
        say(&format!("WebDAV and browsers on {url}  (commands for every system: {url}-/connect)"));
    }
    say("endpoints: raptorgate clients");
    say("");
    for (title, command) in announce::commands(&gateway.reach, "CLIENT_ID", "NAME") {
        say(&format!("  {title:<13} {command}"));
    }
}
