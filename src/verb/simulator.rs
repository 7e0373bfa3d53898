//! `simulator`: the simulated deployment alone, for tests of other programs and of gateways elsewhere.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use simulator::{Config, EndpointConfig, GuiConfig, GuiLogin, Simulator, Timing};

use crate::announce::Client;
use crate::configuration::StateKeys;
use crate::terminal::say;
use crate::{shutdown, state};

/// What the deployment consists of.
#[derive(Debug, Clone, Args)]
pub struct DeploymentKeys {
    /// A further endpoint whose file system is this directory; may be repeated
    #[arg(long, value_name = "DIR", help_heading = "Simulated deployment")]
    root: Vec<PathBuf>,
    /// Endpoints answer as fast as this machine can, instead of like real ones
    #[arg(long, help_heading = "Simulated deployment")]
    fast: bool,
    /// The endpoints' `Client.max_poll`: they get a receive token back in half of it; real ones have 60
    #[arg(long, value_name = "SECONDS", default_value_t = 2, help_heading = "Simulated deployment")]
    max_poll: u16,
    /// The server has our artifacts, as after `raptorgate install-artifacts`
    #[arg(long, help_heading = "Simulated deployment")]
    artifacts: bool,
}

/// See `raptorgate simulator --help`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    deployment: DeploymentKeys,
    #[command(flatten)]
    state: StateKeys,
    /// Write the file for `raptorgate serve --api-config` here
    #[arg(long, value_name = "FILE")]
    api_config_out: PathBuf,
    /// Where the API listens
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Serve the HTTP API of the GUI here too, for `raptorgate serve --gui-url`
    #[arg(long, value_name = "ADDRESS:PORT")]
    gui: Option<SocketAddr>,
}

impl DeploymentKeys {
    /// The deployment with this state.
    ///
    /// # Errors
    /// If a root is no directory.
    pub fn config(&self, state: &Path) -> anyhow::Result<Config> {
        let mut config = Config::demo(state);
        config.timing.max_poll = Duration::from_secs(self.max_poll.into());
        if self.fast {
            config.timing = Timing::instant();
        }
        for (number, root) in (1..).zip(&self.root) {
            if !root.is_dir() {
                bail!("--root {}: no directory of this machine", root.display());
            }
            config.endpoints.push(EndpointConfig::directory(&hostname(number, root), root));
        }
        Ok(config)
    }

    /// Starts the deployment with this configuration.
    ///
    /// # Errors
    /// If it cannot start.
    pub async fn start(&self, config: Config) -> anyhow::Result<Simulator> {
        let simulator = Simulator::start(config).await.context("the simulated deployment cannot start")?;
        for artifact in velociraptor::artifacts::ALL.iter().filter(|_| self.artifacts) {
            if let Err(error) = simulator.handle().install_artifact(artifact.yaml) {
                bail!("the simulated server does not take {}: {error}", artifact.name);
            }
        }
        Ok(simulator)
    }
}

/// A host name made of the directory's: client ids are derived from it, so it depends on nothing else but the order.
fn hostname(number: usize, root: &Path) -> String {
    let name = root.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let plain: String =
        name.chars().filter(|character| character.is_ascii_alphanumeric() || *character == '-').collect();
    format!("root-{number}-{}", if plain.is_empty() { "machine" } else { &plain })
}

/// The deployment's endpoints, for the announcement.
pub fn announced(simulator: &Simulator) -> Vec<Client> {
    let clients = simulator.clients().into_iter();
    let announced = clients.map(|client| Client {
        client_id: client.client_id,
        hostname: client.hostname,
        os: client.os,
        root: client.root.map(|root| root.to_string_lossy().into_owned()),
        online: client.online,
    });
    announced.collect()
}

/// Runs until a signal comes.
///
/// # Errors
/// If the deployment cannot start.
pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let state = arguments.state.state.clone().unwrap_or_else(state::demo_default);
    let gui = arguments.gui.map(|listen| GuiConfig { listen, base_path: String::new(), login: GuiLogin::Basic });
    let config = Config { listen: arguments.listen, gui, ..arguments.deployment.config(&state)? };
    let simulator = arguments.deployment.start(config).await?;
    let requests = shutdown::Requests::listen()?;
    let out = &arguments.api_config_out;
    // Written whole or not at all: somebody may be waiting for it.
    let unfinished = out.with_extension("unfinished");
    let copied = std::fs::copy(simulator.api_config(), &unfinished).and_then(|_| std::fs::rename(&unfinished, out));
    copied.with_context(|| format!("{} cannot be written", out.display()))?;
    for client in announced(&simulator) {
        say(&format!("{}  {}  {}", client.client_id, client.hostname, client.os));
    }
    say(&format!("serve it with: raptorgate serve --api-config {}", out.display()));
    if let (Some(url), Some(password)) = (simulator.gui_url(), simulator.gui_password_file()) {
        let (password, ca) = (password.display(), simulator.ca());
        let ca = ca.display();
        say(&format!(
            "or with: raptorgate serve --gui-url {url} --gui-user raptorgate --gui-password-file {password} --gui-ca {ca}"
        ));
    }
    requests.first().await;
    simulator.stop().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_are_plain_and_differ() {
        assert_eq!(hostname(1, Path::new("/tmp/.tmpAb Ü")), "root-1-tmpab");
        assert_eq!(hostname(2, Path::new("/")), "root-2-machine");
    }
}
