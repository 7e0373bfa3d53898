//! A gateway for a mount where none runs: `serve` in the background, with its log in its state.

use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};

use crate::command_line::Verb;
use crate::configuration::{self, Failure};
use crate::control::Control;
use crate::state;
use crate::terminal::{printable, say};

/// How long a gateway may take to answer: it waits for its server first.
const ROUNDS: u32 = 300;
const ROUND: Duration = Duration::from_millis(100);

/// The configuration that nobody has to name.
pub fn usual_configuration() -> Option<PathBuf> {
    let of_root = rustix::process::getuid().is_root().then(|| PathBuf::from("/etc/raptorgate.yaml"));
    let of_user = std::env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config")))
        .map(|folder| folder.join("raptorgate.yaml"));
    [of_root, of_user].into_iter().flatten().find(|path| path.is_file())
}

/// Starts `serve` with this file, and waits until it answers.
///
/// # Errors
/// What the gateway says if it does not start.
pub async fn start(file: &Path, state: Option<&Path>) -> anyhow::Result<Control> {
    let mut arguments = vec!["serve".into(), "--config".into(), file.as_os_str().to_owned()];
    arguments.extend(state.into_iter().flat_map(|state| ["--state".into(), state.as_os_str().to_owned()]));
    let state = state_of(&arguments)?;
    // It may run after all, with another state than the usual ones.
    if let Ok(running) = Control::of(Some(&state)) {
        return Ok(running);
    }
    DirBuilder::new().recursive(true).mode(0o700).create(&state).with_context(|| state.display().to_string())?;
    let log = state.join("serve.log");
    let output = OpenOptions::new().create(true).append(true).mode(0o600).open(&log);
    let output = output.with_context(|| log.display().to_string())?;
    let before = output.metadata()?.len();
    let mut gateway = Command::new(std::env::current_exe()?)
        .args(&arguments)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .process_group(0) // ^C ends the verb, not the gateway
        .spawn()
        .context("a gateway cannot be started")?;
    let process = gateway.id();
    say(&format!("no gateway runs: one is started by {}, process {process}, log in {}", file.display(), log.display()));
    for _ in 0..ROUNDS {
        tokio::time::sleep(ROUND).await;
        if let Some(status) = gateway.try_wait()? {
            bail!("the gateway does not start ({status}): {}", last_words(&log, before));
        }
        let Ok(control) = Control::of(Some(&state)) else { continue };
        if knows_endpoints(&control).await {
            say(&format!("it goes on when mounts end; `kill {process}` ends it"));
            return Ok(control);
        }
    }
    bail!("the gateway (process {process}) names no endpoint yet: see {}, and try again", log.display())
}

/// A gateway that has just started asks its server first.
async fn knows_endpoints(gateway: &Control) -> bool {
    gateway.get("clients").await.is_ok_and(|clients| clients.as_array().is_some_and(|clients| !clients.is_empty()))
}

/// The state that `serve` with these arguments uses.
fn state_of(arguments: &[std::ffi::OsString]) -> anyhow::Result<PathBuf> {
    let all = std::iter::once("raptorgate".into()).chain(arguments.iter().cloned());
    match configuration::command_line(all) {
        Ok(line) => match line.verb {
            Verb::Serve(serve) => Ok(serve.gateway.state.state.unwrap_or_else(state::serve_default)),
            _ => bail!("these are no arguments of serve"),
        },
        Err(Failure::File(error)) => Err(error),
        Err(Failure::CommandLine(error)) => bail!("{}", printable(error.to_string().trim())),
    }
}

/// What it wrote since; the end of it is the reason.
fn last_words(log: &Path, before: u64) -> String {
    let all = std::fs::read(log).unwrap_or_default();
    let new = all.get(usize::try_from(before).unwrap_or(0)..).unwrap_or_default();
    let text = String::from_utf8_lossy(new);
    let last = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it says nothing");
    printable(last.trim_start_matches("raptorgate: "))
}
