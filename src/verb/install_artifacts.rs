//! `install-artifacts`: our own artifacts on the server, once, by an administrator.

use std::path::PathBuf;

use clap::Args;
use velociraptor::{ApiConfig, Driver};

use crate::terminal::say;

/// See `raptorgate install-artifacts --help`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The file that `velociraptor config api_client` writes, of a user who may write artifacts (ARTIFACT_WRITER)
    #[arg(long, value_name = "FILE", required_unless_present = "print")]
    api_config: Option<PathBuf>,
    /// Only print the definitions, to read them or to paste them into the GUI
    #[arg(long)]
    print: bool,
}

/// Installs or prints them.
///
/// # Errors
/// The server cannot be reached, or the user lacks the right.
pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let (false, Some(file)) = (arguments.print, &arguments.api_config) else {
        for artifact in velociraptor::artifacts::ALL {
            say(artifact.yaml.trim_end());
            say("---");
        }
        return Ok(());
    };
    let driver = Driver::connect(&ApiConfig::load(file)?, velociraptor::Options::default())?;
    for name in driver.install_artifacts().await? {
        say(&format!("installed {name}"));
    }
    say("a running gateway uses them within a minute");
    Ok(())
}
