//! `demo`: a simulated deployment and a gateway on it, in one process.

use std::path::Path;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::json;
use velociraptor::{ApiConfig, Driver};

use super::simulator::{DeploymentKeys, announced};
use crate::announce;
use crate::configuration::{GatewayKeys, Listen};
use crate::service_manager::ServiceManager;
use crate::terminal::say;
use crate::wiring::{Listeners, Prepared};
use crate::{ports, shutdown, state};

const NFS_PORT: u16 = 2049;
const WEBDAV_PORT: u16 = 8080;

/// See `raptorgate demo --help`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    deployment: DeploymentKeys,
    #[command(flatten)]
    gateway: GatewayKeys,
    /// Print one line of JSON when everything listens, instead of the commands
    #[arg(long)]
    json: bool,
}

/// Runs until a signal comes.
///
/// # Errors
/// If something cannot start.
pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let keys = &arguments.gateway;
    let state = keys.state.state.clone().unwrap_or_else(state::demo_default);
    let prepared = Prepared::open(&state, keys)?;
    let simulator = arguments.deployment.start(arguments.deployment.config(&state)?).await?;
    let clients = announced(&simulator);

    let driver = Driver::connect(&ApiConfig::load(simulator.api_config())?, velociraptor::Options::default())?;
    let listeners = Listeners {
        nfs: listeners(&state, "nfs", NFS_PORT, &keys.nfs)?,
        webdav: listeners(&state, "webdav", WEBDAV_PORT, &keys.webdav)?,
    };
    let origin = json!({ "simulated": true, "api_config": simulator.api_config() });
    let gateway = prepared.serve(keys, &listeners, driver, origin).await?;
    // It learns of them from the simulated server as it would from a real one.
    if !gateway.until_known(&clients.iter().map(|client| client.client_id.clone()).collect()).await {
        bail!("the gateway does not learn of the simulated endpoints: see the log");
    }

    let requests = shutdown::Requests::listen()?;
    if arguments.json {
        say(&announce::json(&gateway.reach, &clients));
    } else {
        say(&format!("raptorgate demo: a simulated Velociraptor deployment, state in {}", state.display()));
        announce::tell(&gateway.reach, &clients);
    }
    let manager = ServiceManager::from_environment();
    manager.ready(&announce::summary(&gateway.reach));
    let signal = requests.first().await;
    tracing::info!(signal, "ending");
    manager.stopping();
    gateway.stop().await;
    simulator.stop().await;
    Ok(())
}

fn listeners(state: &Path, name: &str, usual: u16, given: &[Listen]) -> anyhow::Result<Vec<Listen>> {
    if !given.is_empty() {
        return Ok(given.to_vec());
    }
    let chosen = ports::choose(state, name, usual).with_context(|| format!("there is no port for {name}"))?;
    Ok(vec![chosen])
}
