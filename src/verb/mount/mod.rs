//! `mount`: mounts an endpoint on this machine, by the gateway that runs or one that it starts, and says what is missing if it cannot.

mod background;
mod machine;
mod plan;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use clap::Args;

use crate::configuration::StateKeys;
use crate::control::Control;
use crate::mount_point;
use crate::state::NoneRuns;
use crate::terminal::{printable, say};
use machine::Machine;
use plan::Plan;

/// See `raptorgate mount --help`.
#[derive(Debug, Args)]
#[command(after_help = "Where no gateway runs, one is started in the background if there is a configuration for it.")]
pub struct Arguments {
    /// The endpoint, by its id or host name; a directory of it (C.1234/auto/etc); or / for all endpoints
    endpoint: String,
    /// An empty directory; it is made if it is missing
    directory: PathBuf,
    /// Further options of mount(8), separated by commas
    #[arg(short, long, value_name = "OPTIONS")]
    options: Option<String>,
    /// Only print the command
    #[arg(long)]
    print: bool,
    #[command(flatten)]
    state: StateKeys,
    /// The YAML file of `serve`, by which a gateway is started if none runs [default: raptorgate.yaml in ~/.config, for root in /etc]
    #[arg(long = "config", value_name = "FILE")]
    configuration: Option<PathBuf>,
}

/// Mounts.
///
/// # Errors
/// What is missing, and what to do about it.
pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let gateway = gateway(&arguments).await?;
    let (status, clients) = (gateway.get("status").await?, gateway.get("clients").await?);
    let directory = std::path::absolute(&arguments.directory)?;
    let machine = Machine::this();
    let Some(system) = machine.system else {
        bail!("there is no mount(8) to run on this system: {}-/connect says what to do", plan::webdav(&status));
    };
    let plan = Plan::make(&status, &clients, &arguments.endpoint, &directory, system, arguments.options.as_deref())?;
    if arguments.print {
        say(&plan.as_root());
        return Ok(());
    }
    if let Some(obstacle) = machine.obstacle(&plan) {
        bail!("{obstacle}");
    }
    prepare(&directory)?;
    mount(&plan, &machine)?;
    say(&format!("{} is mounted at {}", printable(&plan.source), directory.display()));
    Ok(())
}

/// The gateway that runs, or a new one in the background.
async fn gateway(arguments: &Arguments) -> anyhow::Result<Control> {
    let none_runs = match Control::of(arguments.state.state.as_deref()) {
        Err(error) if error.is::<NoneRuns>() => error,
        found => return found,
    };
    match arguments.configuration.clone().or_else(background::usual_configuration) {
        Some(configuration) => background::start(&configuration, arguments.state.state.as_deref()).await,
        None => Err(none_runs
            .context("a gateway is wanted: `raptorgate serve` (or `demo`), or --config FILE to have it started")),
    }
}

/// An empty directory on which nothing is mounted.
fn prepare(directory: &Path) -> anyhow::Result<()> {
    // First of all: whatever asks about a directory on a dead mount hangs.
    if let Some(there) = mount_point::mounts().iter().find(|mount| mount.point == directory) {
        bail!(
            "{} is mounted at {} already: `raptorgate umount {}` ends that",
            printable(&there.source),
            directory.display(),
            directory.display()
        );
    }
    std::fs::create_dir_all(directory).with_context(|| format!("{} cannot be made", directory.display()))?;
    let mut entries = std::fs::read_dir(directory).with_context(|| directory.display().to_string())?;
    if entries.next().is_some() {
        bail!("{} is not empty, and a mount would hide what is in it: choose another", directory.display());
    }
    Ok(())
}

fn mount(plan: &Plan, machine: &Machine) -> anyhow::Result<()> {
    let ended = Command::new("mount").args(plan.arguments()).stdin(Stdio::null()).stdout(Stdio::null()).output();
    let ended = ended.context("mount(8) cannot be run")?;
    if ended.status.success() {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&ended.stderr);
    let complaint = complaint.lines().map(printable).collect::<Vec<_>>().join("; ");
    match machine.explain(&complaint, plan) {
        Some(explanation) => bail!("{complaint}: {explanation}"),
        None => bail!("{complaint} (the command was `{}`)", plan.as_root()),
    }
}
