//! `install-artifacts`: our own artifacts on the server, once, by an administrator.

use clap::Args;

use crate::terminal::say;
use crate::way::WayKeys;

/// See `raptorgate install-artifacts --help`. The user must have the right to write artifacts (ARTIFACT_WRITER).
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    way: WayKeys,
    /// Only print the definitions, to read them or to paste them into the GUI
    #[arg(long)]
    print: bool,
}

/// Installs or prints them.
///
/// # Errors
/// The server cannot be reached, or the user lacks the right.
pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    if arguments.print {
        for artifact in velociraptor::artifacts::ALL {
            say(artifact.yaml.trim_end());
            say("---");
        }
        return Ok(());
    }
    for name in arguments.way.find()?.driver.install_artifacts().await? {
        say(&format!("installed {name}"));
    }
    say("a running gateway uses them within a minute");
    Ok(())
}
