//! Where a state directory is when nobody says so, and how a verb finds the gateway that runs.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use anyhow::bail;

/// No gateway runs where one was looked for.
#[derive(Debug)]
pub struct NoneRuns(String);

impl std::fmt::Display for NoneRuns {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "no gateway is running with the state {}: start one, or name its state with --state", self.0)
    }
}

impl std::error::Error for NoneRuns {}

/// The state directory of `serve`: the system's for root, else the user's own.
pub fn serve_default() -> PathBuf {
    if rustix::process::getuid().is_root() { PathBuf::from("/var/lib/raptorgate") } else { of_user() }
}

/// The state directory of `demo`: never the one of real evidence.
pub fn demo_default() -> PathBuf {
    of_user().with_file_name("raptorgate-demo")
}

/// XDG Base Directory Specification, `$XDG_STATE_HOME`.
fn of_user() -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = variable("XDG_STATE_HOME").or_else(|| variable("HOME").map(|home| home.join(".local/state")));
    base.unwrap_or_else(std::env::temp_dir).join("raptorgate")
}

/// The socket by which the program's verbs speak to the gateway that uses `state`.
pub fn control_socket(state: &Path) -> PathBuf {
    state.join("control.sock")
}

/// The control socket of the gateway that runs: with this state, or, if none is named, with one of the usual ones.
///
/// # Errors
/// [`NoneRuns`], or that it is somebody else's.
pub fn running_gateway(state: Option<&Path>) -> anyhow::Result<PathBuf> {
    let candidates = match state {
        Some(state) => vec![state.to_owned()],
        None => vec![serve_default(), of_user(), demo_default()],
    };
    for candidate in &candidates {
        let socket = control_socket(candidate);
        match UnixStream::connect(&socket) {
            Ok(_) => return Ok(socket),
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                bail!("{}: belongs to another user; run this as the user who runs the gateway", socket.display())
            }
            Err(_) => {}
        }
    }
    let places: Vec<String> = candidates.iter().map(|candidate| candidate.display().to_string()).collect();
    Err(NoneRuns(places.join(" or ")).into())
}
