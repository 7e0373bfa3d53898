//! `check`: whether everything that a gateway needs is there.

mod budget;
mod machine;

use std::path::Path;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::{Value, json};
use velociraptor::CheckReport;

use super::clients;
use crate::configuration::StateKeys;
use crate::control::Control;
use crate::terminal::say;
use crate::way::WayKeys;

/// See `raptorgate check --help`.
#[derive(Debug, Args)]
#[command(after_help = "Without --api-config and --gui-url, the server of the running gateway is checked.")]
pub struct Arguments {
    /// Only tell what the running gateway has learned of this endpoint's budget; its id or host name
    #[arg(value_name = "ENDPOINT")]
    endpoint: Option<String>,
    #[command(flatten)]
    way: WayKeys,
    #[command(flatten)]
    state: StateKeys,
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
}

/// Checks and prints; fails if there is a problem.
///
/// # Errors
/// The first problem.
pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    if let Some(endpoint) = &arguments.endpoint {
        return check_endpoint(endpoint, &arguments).await;
    }
    let running = running_gateway(arguments.state.state.as_deref()).await;
    let keys = match &running {
        Some(status) if arguments.way.is_empty() => WayKeys::of_status(&status["server"]),
        _ => arguments.way.clone(),
    };
    if keys.is_empty() {
        bail!(
            "no gateway is running here: name the server with --api-config FILE, or its GUI with --gui-url URL and --gui-user NAME"
        );
    }
    let driver = keys.find()?.driver;
    let server = driver.check().await;
    let machine = machine::look(running.as_ref());
    if arguments.json {
        say(&json!({ "server": server, "machine": machine, "gateway": running }).to_string());
    } else {
        tell(&server, &machine, running.as_ref());
    }
    match server.problems.first() {
        Some(problem) => bail!("{problem}"),
        None => Ok(()),
    }
}

/// What only a gateway that runs knows.
async fn check_endpoint(endpoint: &str, arguments: &Arguments) -> anyhow::Result<()> {
    let gateway = Control::of(arguments.state.state.as_deref());
    let gateway = gateway.context("an endpoint's budget is learned by a gateway while it runs")?;
    let all = gateway.get("clients").await?;
    let found = clients::find(&all, endpoint)?;
    if arguments.json {
        say(&found.to_string());
    } else {
        budget::in_words(found).iter().for_each(|line| say(line));
    }
    Ok(())
}

async fn running_gateway(state: Option<&Path>) -> Option<Value> {
    Control::of(state).ok()?.get("status").await.ok()
}

fn tell(server: &CheckReport, machine: &[machine::Finding], running: Option<&Value>) {
    say("Velociraptor server");
    for line in server.to_string().lines().filter(|line| !line.starts_with("PROBLEM")) {
        say(&format!("  {line}"));
    }
    say("this machine");
    match running.and_then(|status| status["process"].as_u64()) {
        Some(process) => say(&format!("  gateway           running, process {process}")),
        None => say("  gateway           not running"),
    }
    for finding in machine {
        say(&format!("  {:<17} {}", finding.what, finding.words));
    }
    if server.is_usable() {
        say("everything that a gateway needs is there");
    }
}
