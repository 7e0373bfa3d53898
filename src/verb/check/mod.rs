//! `check`: whether everything that a gateway needs is there.

mod machine;

use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Args;
use serde_json::{Value, json};
use velociraptor::{ApiConfig, CheckReport, Driver};

use crate::configuration::StateKeys;
use crate::control::Control;
use crate::terminal::say;

/// See `raptorgate check --help`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The file that `velociraptor config api_client` writes [default: that of the running gateway]
    #[arg(long, value_name = "FILE")]
    api_config: Option<PathBuf>,
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
    let running = running_gateway(arguments.state.state.as_deref()).await;
    let named = running.as_ref().and_then(|status| status.pointer("/server/api_config")).and_then(Value::as_str);
    let Some(file) = arguments.api_config.clone().or_else(|| named.map(PathBuf::from)) else {
        bail!("no gateway is running here: name the server's file with --api-config FILE");
    };
    let driver = Driver::connect(&ApiConfig::load(&file)?, velociraptor::Options::default())?;
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
